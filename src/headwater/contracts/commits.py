"""What every store does alike with a commit: its version, its ranges, and when positions are merged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.contracts.ranges import Ranges, join_ranges
from headwater.core.commit import Commit, Receipt, TableState
from headwater.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.contracts import Change
    from headwater.core.commit import Column

POSITIONS_MERGED_EVERY = 50
"""Sequences between two commits whose position holds everything before it, so that few have to be read."""

WEEK_S = 7 * 86_400.0
"""Default age after which maintenance removes what nobody needs."""


@dataclass(slots=True)
class Effect:
    """What a change did to a table: `columns` are those it has now, `ranges` are None when they are not known.

    `content` goes into the commit.
    """

    inserted: int = 0
    deleted: int | None = 0
    rows: int | None = None
    schema_changed: bool = False
    replaced: bool = False
    columns: tuple[Column, ...] = ()
    ranges: list[Ranges] | None = field(default_factory=list)
    content: str = ""

    @property
    def changed(self) -> bool:
        """Whether readers see anything else than before."""
        return bool(self.replaced or self.schema_changed or self.inserted or self.deleted)


def seal_commit(commit: Commit, effect: Effect, prior: Commit | None) -> Commit:
    """Return the commit with the row count, ranges and version that follow from what was done."""
    if not effect.changed and prior is not None:
        return replace(commit, version=prior.version, rows=prior.rows, replaces_all=False, content=prior.content)
    times = None if effect.ranges is None else join_ranges(effect.ranges)
    rows = effect.rows
    if rows is None and effect.deleted is not None and (prior is None or prior.rows is not None):
        rows = (prior.rows if prior and prior.rows else 0) + effect.inserted - effect.deleted
    return replace(commit, version=commit.sequence, times=times, rows=rows, content=effect.content)


def make_receipt(effect: Effect, state: TableState) -> Receipt:
    """Return what a store says of a commit it made; the state is left out when its columns are not known."""
    assert state.commit is not None
    return Receipt(state.commit, effect.inserted, effect.deleted, state if state.columns else None)


def merges_positions(commit: Commit) -> bool:
    """Whether this commit passes a multiple of `POSITIONS_MERGED_EVERY` and should hold the merged position."""
    return commit.sequence // POSITIONS_MERGED_EVERY != (commit.previous or 0) // POSITIONS_MERGED_EVERY


def evolve_columns(old: Sequence[Column], change: Change) -> tuple[Column, ...]:
    """Return the columns after a change: those of the table in their order, then the new ones; none is ever lost."""
    if change.mode == "replace" or not old:
        return change.columns
    wanted = {column.name.casefold(): column for column in change.columns}
    kept = [wanted.pop(column.name.casefold(), column) for column in old]
    return (*kept, *wanted.values())


def spell_as(known: Sequence[Column], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return columns under the names that the table's files use: there, names differ by more than case."""
    names = {column.name.casefold(): column.name for column in known}
    return tuple(replace(column, name=names.get(column.name.casefold(), column.name)) for column in columns)


def stale_commit(dataset: str, commit: Commit, found: int | None) -> StateError:
    """Return the error for a commit that does not follow the table's last one."""
    expected = "no commit" if commit.previous is None else f"commit {commit.previous}"
    last = "none" if found is None else str(found)
    return StateError(
        f"{dataset}: expected {expected} of {commit.producer}, found {last}; another writer came in between",
        fix="run again; if no other run is active, `headwater run --reset "
        + dataset
        + "` drops the table and makes it anew",
    )


def damaged_table(dataset: str, location: str, why: str) -> TableState:
    """Return the state of a table of which it is not known what it holds."""
    return TableState(
        dataset, location=location, foreign=f"{dataset}: {why}; `headwater run --reset {dataset}` rebuilds it"
    )


def foreign_table(dataset: str, why: str) -> StateError:
    """Return the error for a table that is not as Headwater left it."""
    return StateError(
        f"{dataset} is not as Headwater left it: {why}",
        fix=f"keep a copy of what you need: `headwater run --reset {dataset}` drops it and makes it anew",
    )
