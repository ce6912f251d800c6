"""Kill it anywhere: after SIGKILL at any event boundary and one more run, all tables equal the undisturbed ones."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.run.kill import NOW, copy_project, run_child
from tests.run.projects import (
    change_files,
    change_models,
    change_sqlite,
    files_project,
    mesh_project,
    models_project,
    small_models_project,
    sqlite_project,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LATER = NOW + timedelta(days=1)

CASES: list[tuple[str, str, str]] = [
    *(("files", store, mode) for store in ("warehouse", "lakehouse") for mode in ("full", "append", "merge")),
    *(("files", "lake", mode) for mode in ("full", "append")),
    *(("sqlite", store, mode) for store in ("warehouse", "lakehouse") for mode in ("full", "append", "merge")),
    ("sqlite", "lake", "append"),
    ("models", "warehouse", "all"),
    ("models", "lakehouse", "all"),
    ("small models", "warehouse", "together"),
    ("mesh", "mesh", "read"),
]

LEARNING = ("mesh", "mesh", "learned")
"""With a model that learns: a training takes seconds, so it is killed at random moments only."""

SETTINGS = {"small models": {"headwater.run.execute.MOST_STEPS": 2}}
"""Groups of two, so that some of the boundaries lie between two groups."""


def make(kind: str, store: str, mode: str, folder: Path) -> tuple[Path, Callable[[Path], None]]:
    """Return a project and what changes its source."""
    if kind == "files":
        return files_project(folder, store, mode), lambda at: change_files(at, mode)
    if kind == "sqlite":
        return sqlite_project(folder, store, mode), lambda at: change_sqlite(at, mode)
    if kind == "small models":
        return small_models_project(folder, store, 5), change_models
    if kind == "mesh":
        return mesh_project(folder, learns=mode == "learned"), change_models
    return models_project(folder, store), change_models


def undisturbed(
    kind: str, store: str, mode: str, tmp_path: Path
) -> tuple[Path, Path, list[dict[str, list[Any]]], list[int]]:
    """Run twice without a kill; return the project fresh and before its second run, its tables, and event counts."""
    fresh, change = make(kind, store, mode, tmp_path / "fresh")
    whole = copy_project(fresh, tmp_path / "whole")
    first = run_child(whole, settings=SETTINGS.get(kind, {}))
    assert first.code == 0
    tables = [first.tables]
    change(whole)
    changed = copy_project(whole, tmp_path / "changed")
    second = run_child(whole, now=LATER, settings=SETTINGS.get(kind, {}))
    assert second.code == 0
    tables.append(second.tables)
    assert tables[0] != tables[1]
    return fresh, changed, tables, [first.events, second.events]


def kill_and_compare(
    base: Path,
    work: Path,
    at: int,
    now: Any,
    wanted: dict[str, list[Any]],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Kill a run at an event, run once more, compare."""
    folder = copy_project(base, work)
    killed = run_child(folder, at=at, now=now, settings=settings or {})
    assert killed.code == -9, f"event {at} was not reached: {killed}"
    again = run_child(folder, now=now, settings=settings or {})
    assert again.code == 0, f"the run after a kill at event {at} failed"
    assert again.tables == wanted, f"killed at event {at}"


@pytest.mark.parametrize(("kind", "store", "mode"), CASES)
def test_killed_at_every_boundary_of_the_second_run(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    _, changed, tables, events = undisturbed(kind, store, mode, tmp_path)
    for at in range(1, events[1] + 1):
        kill_and_compare(changed, tmp_path / "work", at, LATER, tables[1], SETTINGS.get(kind, {}))


@pytest.mark.parametrize(
    ("kind", "store", "mode"),
    [
        ("files", "warehouse", "merge"),
        ("files", "lakehouse", "append"),
        ("small models", "warehouse", "together"),
    ],
)
def test_killed_at_every_boundary_of_the_first_run(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    fresh, _, tables, events = undisturbed(kind, store, mode, tmp_path)
    for at in range(1, events[0] + 1):
        kill_and_compare(fresh, tmp_path / "work", at, NOW, tables[0], SETTINGS.get(kind, {}))


@pytest.mark.kill
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("kind", "store", "mode"), [*CASES, LEARNING])
def test_a_hundred_random_kills(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    """Each kill in a row on one project: killed at a random event, twice in a row now and then, then run once more."""
    fresh, changed, tables, events = undisturbed(kind, store, mode, tmp_path)
    chance = random.Random(f"{kind}{store}{mode}")
    kills = 0
    while kills < 100:
        stage = chance.randrange(2)
        base, now = (fresh, changed)[stage], (NOW, LATER)[stage]
        folder = copy_project(base, tmp_path / "work")
        for _ in range(chance.choice([1, 1, 2, 3])):
            at = chance.randrange(1, events[stage] + 1)
            if run_child(folder, at=at, now=now, settings=SETTINGS.get(kind, {})).code == -9:
                kills += 1
        again = run_child(folder, now=now, settings=SETTINGS.get(kind, {}))
        assert again.code == 0
        assert again.tables == tables[stage], f"differs after {kills} kills"
