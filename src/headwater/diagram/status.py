"""What is known of a node's last run, and how it is said in a few words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from headwater.core.run import Status
from headwater.diagram.metrics import clean

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What is known of one node.

    Attributes:
        status: How its last step ended, "stale" when it is older than it should be, "never" when it has not run.
        rows: Rows in its table, or None when unknown or beside the point.
        rejected: Rows in quarantine: of a step those it sent there, of a dataset all that are there.
        freshness: How old it is, as text ("3 min ago"): the drawing has no clock.
        error: The error's text when it failed.
        version: Version of its dataset, or None.
        warnings: Checks that failed and do not stop anything, each in a few words.
    """

    status: Status | Literal["stale", "never"]
    rows: int | None = None
    rejected: int = 0
    freshness: str = ""
    error: str = ""
    version: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Badge:
    """A status as it is drawn: its `word` (which gives icon and colour) and one line of text."""

    word: str
    text: str


SYMBOLS = {
    "failed": "✕",
    "blocked": "⏸",
    "stopped": "■",
    "stale": "◷",
    "done": "✓",
    "unchanged": "=",
    "skipped": "–",
    "never": "○",
}
"""Status words, the worst first, each with the character that stands for its icon in formats of plain text."""


def count_of(number: int, noun: str) -> str:
    """Return "1 row", "336,776 rows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def describe_status(status: NodeStatus) -> str:
    """Say a status in words, the status itself first: what a `title` and the text form say."""
    version = f"version {status.version}" if status.version is not None else ""
    told = [f"warning: {clean(text)}" for text in status.warnings]
    parts = [_opening(status), *_facts(status, warnings=False), version, *told]
    return ", ".join(part for part in parts if part)


def badge_of(status: NodeStatus) -> Badge:
    """Say a status in one short line beside its icon: "336,776 rows · 3 min ago"."""
    facts = _facts(status)
    opening = [] if status.status is Status.DONE and facts else [_opening(status)]
    return Badge(str(status.status), " · ".join([*opening, *facts]))


def summary_badge(statuses: Iterable[NodeStatus]) -> Badge | None:
    """Say how many nodes have which status, under the worst of them; None when there are none."""
    counts, warnings = dict.fromkeys(SYMBOLS, 0), 0
    for status in statuses:
        counts[str(status.status)] += 1
        warnings += len(status.warnings)
    said = {word: number for word, number in counts.items() if number}
    if not said:
        return None
    warned = [count_of(warnings, "warning")] if warnings else []
    return Badge(next(iter(said)), " · ".join([*(f"{number:,} {word}" for word, number in said.items()), *warned]))


def _opening(status: NodeStatus) -> str:
    if status.status is Status.FAILED and status.error:
        lines = [clean(line) for line in status.error.splitlines() if line.strip()]
        return f"failed: {lines[0]}" if lines else "failed"
    return "never run" if status.status == "never" else str(status.status)


def _facts(status: NodeStatus, *, warnings: bool = True) -> list[str]:
    rows = count_of(status.rows, "row") if status.rows is not None else ""
    rejected = f"{status.rejected:,} rejected" if status.rejected else ""
    warned = count_of(len(status.warnings), "warning") if status.warnings and warnings else ""
    return [part for part in (rows, rejected, warned, clean(status.freshness)) if part]
