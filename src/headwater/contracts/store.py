"""What a store is handed, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from headwater.contracts.rows import NO_ROWS
from headwater.core.fragments import NO_PREDICATE, NO_SELECT, PredicateSql, SelectSql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyConnection

    from headwater.contracts.rows import Rows, Session
    from headwater.core.commit import Column, Commit, Receipt, TableState
    from headwater.core.layers import Family
    from headwater.core.stores import Capabilities


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one table.

    Attributes:
        mode: `append` adds rows. `replace` makes them the whole table. `merge` writes rows by `key` (a row with the
            same key is replaced) and removes the keys that `deletes` selects. `overwrite_where` removes the rows that
            match `where` and adds the rows. `record` changes no row: only the commit is written.
        rows: The new rows, columns in the order of `columns`, types already landed; none for `record`.
        columns: All columns of the table after the commit.
        key: Key columns of a merge; never NULL, one row per key in `rows`.
        deletes: SELECT of key columns to remove in a merge, or "".
        where: SQL predicate on the table's columns for `overwrite_where`.
        rejects: SELECT of quarantine rows (`REJECT_COLUMNS`) that become visible with this commit, or "".
        files: Folder whose files become the artefact, instead of rows, with `replace`; "" for a table.
    """

    mode: Literal["append", "replace", "merge", "overwrite_where", "record"]
    rows: Rows = NO_ROWS
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    deletes: SelectSql = NO_SELECT
    where: PredicateSql = NO_PREDICATE
    rejects: SelectSql = NO_SELECT
    files: str = ""


def _ignore(_: str) -> None:
    """Default of `Load.notify` and `Load.audit`: nobody listens."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load of one table by one producer.

    Attributes:
        table: Dataset name, `namespace.dataset`.
        producer: Name of the node that writes it.
        load_id: Stable over a resumed load: names its staging.
        connection: Connection of the session on which every SELECT of the load runs.
        audit: Called with a SELECT of the table as it will be, before anything is visible; raises to abort.
        notify: Called with the name of each boundary inside a commit ("before_commit", "claimed", "after_commit").
    """

    table: str
    producer: str
    load_id: str
    connection: DuckDBPyConnection
    audit: Callable[[SelectSql], None] = _ignore
    notify: Callable[[str], None] = _ignore


@runtime_checkable
class Store(Protocol):
    """A place where tables live, and the only place where a commit is made.

    Class attributes register it: `kind`, `family`, `capabilities`. A store inherits from it; of one that only looks
    like it, `lineage_name` is taken from here.
    A commit is all or nothing and a compare-and-set on (producer, previous sequence): a stale writer gets a
    `StateError` and nothing is written.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    capabilities: ClassVar[Capabilities]

    def __init__(self, path: str, session: Session) -> None:
        """`path` is absolute; nothing is created before the first write."""

    @classmethod
    def lineage_name(cls, path: str, dataset: str, location: str) -> tuple[str, str]:
        """Return OpenLineage's (namespace, name) of a dataset, by its naming specification: here, a folder.

        `location` is `TableState.location`, "" before the first commit: the name is the same before and after.
        """
        namespace, _, name = dataset.rpartition(".")
        return "file", str(Path(location or Path(path, namespace.replace(".", "__"), name)).resolve())

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables by dataset name, or all that the store holds.

        A table that was never committed is left out, unless a load has staged rows for it. A table that is not as
        Headwater left it (restored, overwritten, replaced) is described with `TableState.foreign` set; one that was
        dropped is described without a commit.
        """

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql) -> StageResult:
        """Write one chunk's rows (a SELECT on `load.connection`) where readers do not see them; survives a kill.

        Call `finish_chunk` of the result to make the chunk count: a chunk without its end is forgotten.
        """

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Make a change visible, all or nothing, together with its commit.

        `commit.sequence` is a proposal: a store that found it claimed takes the next one and returns it. Drops the
        load's staging.

        Raises:
            StateError: The table's last commit is not `commit.previous`, or somebody else changed the table.
        """

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Remove what nobody can read any more: expired versions, staging left by killed loads, unreferenced files.

        `keep` may hold `versions` (int) and `age_s` (float, default a week); `drop: True` drops the tables.
        `compact: True` joins small files first: the same rows in fewer files, no new version. `compact: "only"` does
        nothing else; it is asked only of a table whose `TableState.small_files` is not 0. Stores that never say so
        pass over both.
        """


@runtime_checkable
class ViewStore(Protocol):
    """A store in which view models can stand, for tools that open it alone (`Capabilities.keeps_views`)."""

    @property
    def catalog(self) -> str:
        """The name under which it is attached to the session."""
        ...


@runtime_checkable
class GroupingStore(Protocol):
    """A store that can make several commits one.

    Within such a block a table that was committed in it can be read, on its connection only, as
    `catalog.namespace.dataset`.
    """

    @property
    def catalog(self) -> str:
        """Where such a table is read."""
        ...

    def together(self, connection: DuckDBPyConnection, tables: Sequence[str]) -> AbstractContextManager[None]:
        """Make the commits of `tables` that a block asks for on one connection all visible with its end, or none.

        A receipt that `commit` returns in the block holds once the block has ended; what it announces after a commit is
        announced then. Whatever is raised in the block takes back all of it. Threads do so at once, each on its own
        connection.

        Raises:
            StateError: As for `commit`; nothing of the block is written.
        """


@dataclass(frozen=True, slots=True)
class ObjectCopy:
    """A file that a store keeps: its place below the store's path, and SHA-256 (hex) and length of its bytes."""

    place: str
    sha256: str
    size_bytes: int


@runtime_checkable
class ObjectStore(Protocol):
    """A store that also keeps files as they are, beside the table that lists them."""

    def keep_object(self, table: str, path: str) -> ObjectCopy:
        """Copy a file, unless its bytes are there; on the disk when this returns. Threads may call it at once.

        It stays while a row that is readable or staged has its place in the column `object`: `maintain` removes others.
        """


@runtime_checkable
class FileStore(Protocol):
    """A store that keeps tables as files, and knows the checksum of each."""

    def find_damaged(self, table: str) -> list[str]:
        """Read all files of a table, and say which are not what was written."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """One staged chunk: a SELECT that reads it back, its row count, and the call that makes it count.

    `finish_chunk(end)` records the chunk's end (plain JSON) durably.
    """

    query: SelectSql
    rows: int
    finish_chunk: Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class MaintainResult:
    """What maintenance removed from one table, and how many files it joined; `problem`: why it could do nothing."""

    files_removed: int = 0
    bytes_removed: int = 0
    staging_removed: int = 0
    dropped: bool = False
    files_compacted: int = 0
    problem: str = ""
