"""Whoever is stopped when a file of the store changes, for as long as others commit and maintain, tells the truth."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

from .zombies import make_table, meet

if TYPE_CHECKING:
    from pathlib import Path

CASES = [
    *(("lakehouse", first) for first in ("append", "staged", "merge", "replace", "wider", "compact", "maintain")),
    *(("lake", first) for first in ("append", "staged", "replace", "maintain")),
]
OTHERS = [["append"], ["maintain"], ["append", "maintain"], ["compact"], ["append", "compact", "maintain"], ["reset"]]


def stop(kind: str, first: str, others: list[str], at: int, tmp_path: Path) -> tuple[bool, int]:
    """Stop one process at a change of a new table; return whether it was, and how many changes there were."""
    path = tmp_path / "store"
    shutil.rmtree(path, ignore_errors=True)
    if not (tmp_path / "fresh").exists():
        make_table(kind, str(tmp_path / "fresh"))
    shutil.copytree(tmp_path / "fresh", path)
    stopped, changes, _ = meet(kind, path, first, others, at)
    return stopped, changes


@pytest.mark.parametrize(("kind", "first"), CASES)
def test_a_few_moments(kind: str, first: str, tmp_path: Path) -> None:
    chance = random.Random(f"{kind} {first}")
    for others in chance.sample(OTHERS, 2):
        stop(kind, first, others, chance.randrange(1, 9), tmp_path)


@pytest.mark.kill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "first"), CASES)
def test_every_moment(kind: str, first: str, tmp_path: Path) -> None:
    """At least thirty stops: every change in turn, as long as the process is not at its end."""
    chance = random.Random(f"every {kind} {first}")
    stops = at = 0
    while stops < 30:
        at += 1
        stopped, changes = stop(kind, first, chance.choice(OTHERS), at, tmp_path)
        assert stopped or changes, "it does nothing that it could be stopped at"
        stops += stopped
        at = at if stopped else 0
