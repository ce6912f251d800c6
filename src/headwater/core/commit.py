"""What a commit says: where the reader stands, what made the rows, and what they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import NO_SELECT, SelectSql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type in DuckDB's spelling, and `source_type` when it was landed from another."""

    name: str
    type: str
    source_type: str = ""


SNAPSHOT_COLUMNS = (
    Column("valid_from", "TIMESTAMP WITH TIME ZONE"),
    Column("valid_to", "TIMESTAMP WITH TIME ZONE"),
)
"""What a snapshot adds to its query's columns: since when a row holds, and until when (NULL: it still does)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change of one table, recorded with the rows.

    Attributes:
        producer: Name of the node that writes the table.
        sequence: Counts commits from 1; gaps are allowed.
        previous: The sequence this commit follows, or None for the first: the compare-and-set compares it.
        run_id: The run that made it.
        position: Where the reader stands: cursor, files of this load, finished intervals. Plain JSON values.
        fingerprint: Hash of the declaration, SQL and Python that made the rows.
        inputs: Version of each input dataset that was read.
        times: Per date or timestamp column, the lowest and highest value (ISO text, UTC) among rows changed, old and
            new; an empty dict means no such column, None that every row may have changed.
        version: Sequence of the last commit that changed rows: what readers compare.
        recent: (version, times) of the commits that changed rows before this one, oldest first, at most 20.
        now: The run's clock (ISO text, UTC).
        rows: Rows in the table after the commit; None when it was not counted.
        digest: Order-free digest of the table's rows after the commit, or "" when none was taken.
        replaces_all: The rows of earlier commits are no longer read (a full load into the lake).
        content: What the store knows its table again by, when others may have written to it; "" when it keeps nothing.
    """

    producer: str
    sequence: int
    previous: int | None
    run_id: str
    fingerprint: str
    now: str
    version: int
    position: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    times: dict[str, list[str]] | None = field(default_factory=dict)
    rows: int | None = None
    digest: str = ""
    recent: list[Any] = field(default_factory=list)
    replaces_all: bool = False
    content: str = ""

    @property
    def commit_id(self) -> str:
        """`producer@sequence`: names the commit in the destination."""
        return f"{self.producer}@{self.sequence}"

    def to_json(self) -> str:
        """Return the commit as one line of JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(fields, separators=(",", ":"), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Commit:
        """Read a commit written by `to_json`; keys of later versions are passed over."""
        data = json.loads(text)
        return cls(**{key: value for key, value in data.items() if key in cls.__dataclass_fields__})

    def changes_since(self, version: int) -> list[dict[str, list[str]] | None] | None:
        """Return `times` of every commit that changed rows after `version`; None when that is no longer known."""
        history = [*self.recent, [self.version, self.times]] if self.version == self.sequence else list(self.recent)
        versions = [entry[0] for entry in history]
        return [entry[1] for entry in history[versions.index(version) + 1 :]] if version in versions else None

    def history(self) -> list[Any]:
        """Return what the next commit carries as `recent`."""
        if self.version != self.sequence:
            return list(self.recent)
        return [*self.recent, [self.version, self.times]][-20:]

    def at(self, sequence: int) -> Commit:
        """Return the commit under another sequence, its version moved along when it changed rows."""
        version = sequence if self.version == self.sequence else self.version
        return replace(self, sequence=sequence, version=version)


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One staged chunk: its id, what its end said (position, counts), and a SELECT that reads it back."""

    chunk: str
    query: SelectSql
    end: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Staging:
    """Staged rows of a load that was not committed: the manifest (request and bounds) and its finished chunks."""

    load_id: str
    manifest: dict[str, Any]
    parts: tuple[StagedPart, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version of an artefact.

    Attributes:
        commit: The commit that made it.
        location: The folder of its files.
        files: Their names, and the SHA-256 that each was written with.
    """

    commit: Commit
    location: str
    files: dict[str, str]


PINNED = "pinned"
"""Key of an artefact's position: the version that it was asked to be of; it is not made again meanwhile."""


@dataclass(frozen=True, slots=True)
class TableState:
    """What a store knows of a table.

    Attributes:
        name: Dataset name.
        columns: All columns, system columns included; empty when there is no table yet.
        commit: Last commit, or None when the table is gone or was never made.
        position: The position merged over all commits (see `merge_positions`).
        scan: A SELECT over the table, runnable on the session's connections; empty when there is no table.
        rejects: A SELECT over its quarantine, or empty.
        location: File, folder or schema.table, for people.
        size_bytes: Size of its files, or None when unknown.
        small_files: How many files `maintain` with `compact` would join.
        staging: Staged rows left by a load that did not finish.
        foreign: Why the table is not as Headwater left it; empty when it is. Nothing is written while it is set.
        mend: How to go on then, where it is not by `run --reset` of this table.
        kept: The versions whose files are still there, newest first, of a store that keeps them.
    """

    name: str
    columns: tuple[Column, ...] = ()
    commit: Commit | None = None
    position: dict[str, Any] = field(default_factory=dict)
    scan: SelectSql = NO_SELECT
    rejects: SelectSql = NO_SELECT
    location: str = ""
    size_bytes: int | None = None
    small_files: int = 0
    staging: Staging | None = None
    foreign: str = ""
    mend: str = ""
    kept: tuple[KeptVersion, ...] = ()

    @property
    def is_lost(self) -> bool:
        """Whether it is not known what the table holds, or a file of it is gone: its rows cannot be read."""
        return bool(self.foreign) and (self.commit is None or not self.scan)

    @property
    def way_out(self) -> str:
        """What mends a table that is not as Headwater left it."""
        return self.mend or f"headwater run --reset {self.name}"

    @property
    def version(self) -> int | None:
        """The version readers compare, or None when there is no table."""
        return self.commit.version if self.commit else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a store says of a commit it made; counts are rows, None when the store does not know them.

    `state` is the table as it now is, where the store knows it without asking again; its position is that of this
    commit alone.
    """

    commit: Commit
    rows_inserted: int | None = None
    rows_deleted: int | None = None
    state: TableState | None = None

    @property
    def changed(self) -> bool:
        """Whether the commit changed any row."""
        return self.commit.version == self.commit.sequence


PER_KEY = ("files", "cursors", "partitions")
"""Keys of a position that hold an entry per file, parent or partition."""


def holds_entries(key: str, value: Any) -> bool:
    """Whether a key of a position is merged entry by entry: it may hold something else in a connector of others."""
    return key in PER_KEY and isinstance(value, dict)


def merge_positions(positions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge positions from the oldest to the newest.

    A later key replaces an earlier one. Where a key of `PER_KEY` holds a mapping its entries do: each load lists only
    those that it has moved, and an entry that is None is gone. A position with `complete: true` starts afresh.
    """
    merged: dict[str, Any] = {}
    for position in positions:
        if position.get("complete"):
            merged = {}
        for key, value in position.items():
            if not holds_entries(key, value):
                merged[key] = value
            elif isinstance(merged.get(key), dict):
                merged[key].update(value)
            else:
                merged[key] = dict(value)
    merged.pop("complete", None)
    for key in PER_KEY:
        if isinstance(found := merged.get(key), dict):
            merged[key] = {name: entry for name, entry in found.items() if entry is not None}
            if not merged[key]:
                del merged[key]
    return merged
