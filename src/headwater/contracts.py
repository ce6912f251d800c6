"""The contracts: all a connector needs to know.

A connector is one file with one class, registered by one entry point (group `headwater.sources` or
`headwater.stores`). Built-ins come through the same door. Class attributes are the registration: they must be
readable without importing a driver, so heavy imports belong inside methods.

Rows travel as a DuckDB SELECT on a connection of the session (`Rows`), which any Arrow stream can be registered on:
a store that can read SQL writes it natively, any other store takes `Rows.reader()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column, Commit, Receipt, TableState
    from headwater.core.layers import Family
    from headwater.core.specs import IngestSpec, Spec

CHANGE_COLUMNS = ("_hw_op", "_hw_seq", "_hw_unchanged")
"""What the rows of `load: cdc` carry until they land; see `Reading.extra`."""

DELETED_AT = "_deleted_at"
"""Column of a table with `deletes: soft_flag`: when the row was first found deleted, NULL while the source has it."""

RAW_COLUMN = "_raw"
"""Column of a loaded table with the text of a row as it was delivered; JSON, logs and APIs have it."""

SYSTEM_COLUMNS = ("_batch", "_loaded_at", "_file", RAW_COLUMN)
"""Columns of loaded tables that queries do not see; `system.<source>__<table>` shows them."""

REJECT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_reject_key", "VARCHAR"), ("_batch", "VARCHAR"), ("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
    ("_file", "VARCHAR"), ("_line", "BIGINT"), ("rule", "VARCHAR"), ("reason", "VARCHAR"), ("raw", "VARCHAR"),
)  # fmt: skip
"""Columns of every quarantine, in order. `_reject_key`: hash of the raw row, so that a re-read does not count twice.
`rule`: one word (too_few_fields, cast, duplicate_key, the name of a `reject_if`, …); `reason`: for people; `raw`: the
row as it came, without any value that `mask` or `drop` hides."""


class Session(Protocol):
    """The engine's DuckDB session: one database instance, many connections.

    `read_only` is true when nothing may be written: a warehouse file is then attached read-only.
    """

    read_only: bool

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection of its own to the shared instance; the caller closes it. Sessions run in UTC."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a SELECT that runs on `connection`; running it twice may not be possible."""

    connection: DuckDBPyConnection
    query: str

    def reader(self, batch_rows: int = 100_000) -> pa.RecordBatchReader:
        """Return the rows as a stream of Arrow batches."""
        return self.connection.sql(self.query).to_arrow_reader(batch_rows)


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What a source knows of a table without reading it.

    Attributes:
        columns: Columns with DuckDB types; `source_type` holds the source's own. Empty when the schema is unknown.
        key: Primary key, or empty.
        estimated_rows: None when unknown.
        version: Changes when the content may have changed; None when the source cannot know.
        proposed: The columns were inferred from a sample: they must be confirmed (written to the schema file) first.
        notes: What people should know (a declared type that lies, files that were skipped).
        rejects: By column, the values that its type has at the source and not where it is read; for `types`.
        missing: Declared columns that the source no longer gives and that are not optional: a load would fail.
    """

    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    estimated_rows: int | None = None
    version: str | None = None
    proposed: bool = False
    notes: tuple[str, ...] = ()
    rejects: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What is asked of a source.

    Attributes:
        options: The table's own keys, validated by the connector's `table_spec`.
        ingest: The keys that every kind has.
        columns: The known schema (declared or from `describe`): never inferred unattended.
        position: The position of the last commit, merged over all; empty for a first or full read.
        replaced: What it would be, were the read not full.
        connection: A DuckDB connection of the session for `Chunk.query` and temporary tables.
        now: The run's clock, UTC, with zone.
        manifest: The bounds fixed by an earlier, killed read of the same request; None for a new read.
        finished: Ids of chunks that an earlier, killed read has staged: do not yield them again.
        ends: What those chunks said to go on after them: id to `ChunkEnd.resume`.
        tables: The options of every table of the source by name, for a table that is read by another's rows.
        chunk_rows: Rows per chunk to aim for.
        keep_object: Copies a file into the table's store, see `ObjectStore`; None when that store keeps no objects.
    """

    options: Any
    ingest: IngestSpec
    columns: tuple[Column, ...]
    position: Mapping[str, Any]
    connection: DuckDBPyConnection
    now: datetime
    manifest: Mapping[str, Any] | None = None
    finished: frozenset[str] = frozenset()
    ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    chunk_rows: int = 1_000_000
    replaced: Mapping[str, Any] = field(default_factory=dict)
    keep_object: Callable[[str], ObjectCopy] | None = None

    @property
    def incremental(self) -> bool:
        """Whether only what is new since `position` is asked for."""
        return self.ingest.load == "incremental"


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """What is known once a chunk's rows are exhausted.

    Attributes:
        position: Where the reader stands after this chunk (plain JSON); merged over the chunks of a load in order.
        rejects: A SELECT on the request's connection that yields `_file, _line, rule, reason, raw` of rows the reader
            could not turn into columns; empty when there are none.
        rejected: How many rows that SELECT yields.
        swallowed: How many lines of the file those rejects took beside their first ones (a quote that was not closed).
        resume: What a resumed read has to know to go on after this chunk, where its id does not tell (the address of
            the next page). Plain JSON; kept with the staged chunk, never part of a commit.
    """

    position: dict[str, Any] = field(default_factory=dict)
    rejects: str = ""
    rejected: int = 0
    resume: dict[str, Any] = field(default_factory=dict)
    swallowed: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        id: Stable over a resumed read of the same manifest.
        query: A SELECT on the request's connection that yields the rows, columns named and typed as asked, plus
            `_file` VARCHAR and `_line` BIGINT where rows have a place in a file. Runs once, but for `release`.
        finish: Call it when the rows are exhausted. Raises a `Retryable` error when the source changed while it was
            read (a half-written file).
        release: Set when the session holds the rows already: the query may then run again, cheaply, until this is
            called.
    """

    id: str
    query: str
    finish: Callable[[], ChunkEnd]
    release: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A read that has begun: its upper bounds are fixed in `manifest` (plain JSON) before the first chunk is taken.

    Attributes:
        manifest: The bounds, to be handed back by `ReadRequest.manifest` when the read is resumed.
        chunks: The chunks; each is taken, run and finished before the next one's query runs. Where they are a generator
            an error of the engine is thrown into it: it may know which of its files is damaged.
        extra: Which of `_file`, `_line`, `_raw`, `_rule`, `_reason` and (all or none) `_hw_op`, `_hw_seq` and
            `_hw_unchanged` the chunks' queries yield beside the columns.
            A row whose `_rule` is set is a reject that the reader found in passing (`_raw` shows it, else its columns).
            With `_hw_op` (`load: cdc`) a row is a change: "upsert", "delete" (only the key columns count) or "truncate"
            (no column counts: every row before it is gone). `_hw_seq` BIGINT gives their order, `_hw_unchanged`
            VARCHAR[] the columns of an upsert whose value the source did not repeat. A change of the key is a delete of
            the old one and an upsert of the new one.
        keys: For `deletes: compare_keys`. Given the names of the columns that the key is made from, it returns a
            SELECT on the request's connection of all their values in the source as it is now. Call it once the
            chunks are exhausted: a row that was read is then among the keys unless the source deleted it meanwhile.
            None when the source cannot list its keys.
        report: Called with the load's position once it is committed: the source may let go of what lies before it. It
            may be called again for the same position, or not at all when the process is killed.
        columns: The columns that every chunk yields, when they are not the request's (a file's header has more).
            A column of type EPOCH_S or EPOCH_MS is yielded as a number.
        catalogue: Rows stand for files that `keep_object` copied: few bytes, so all may be rewritten when one changes.
        locate: Given a `_file` and the `_raw` of some of its rows in order, their lines: for rejects without `_line`.
        notes: What people should know of this read.
    """

    manifest: dict[str, Any]
    chunks: Iterator[Chunk]
    extra: tuple[str, ...] = ()
    keys: Callable[[Sequence[str]], str] | None = None
    columns: tuple[Column, ...] | None = None
    report: Callable[[Mapping[str, Any]], None] | None = None
    catalogue: bool = False
    locate: Callable[[str, Sequence[str]], list[int | None]] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A batch source. One instance per source file of a project.

    Class attributes register it: `kind`, `family`, `connection_spec` (what the file says beside `tables`) and
    `table_spec` (a table's own keys, beside those of `IngestSpec`). A source that has `load: cdc` says so in one more,
    `loads = ("full", "incremental", "cdc")`, and one that never gives `Reading.keys` in `lists_keys = False`.
    A source whose tables name each other has a class method `check_tables(tables)` that returns what is wrong with
    them: name to ProjectError; it asks nobody.
    One that keeps things where it reads: `belongs_to(source, environment)`, called once, to name them; and a class
    method `claims(connection, table, environment)`: what no two tables may have there.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    connection_spec: ClassVar[type[Spec]]
    table_spec: ClassVar[type[Spec]]

    def __init__(self, spec: Any, root: str) -> None:
        """`spec` is an instance of `connection_spec`; `root` the project's folder, to resolve relative paths."""

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        """Describe tables: name within the source to its `table_spec`.

        Raises:
            ConnectorError: The source cannot be reached; with the mark `Retryable` when it may pass.
        """

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: fix its upper bounds now (or take them from `request.manifest`), yield chunks later."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one table.

    Attributes:
        mode: `append` adds rows. `replace` makes them the whole table. `merge` writes rows by `key` (a row with the
            same key is replaced) and removes the keys that `deletes` selects. `overwrite_where` removes the rows that
            match `where` and adds the rows. `record` changes no row: only the commit is written.
        rows: SELECT of the new rows, columns in the order of `columns`, types already landed; "" for `record`.
        columns: All columns of the table after the commit.
        key: Key columns of a merge; never NULL, one row per key in `rows`.
        deletes: SELECT of key columns to remove in a merge, or "".
        where: SQL predicate on the table's columns for `overwrite_where`.
        rejects: SELECT of quarantine rows (`REJECT_COLUMNS`) that become visible with this commit, or "".
        parts: Staged parts that make up `rows` unchanged, so that a file store may take the files as they are.
    """

    mode: Literal["append", "replace", "merge", "overwrite_where", "record"]
    rows: str = ""
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    deletes: str = ""
    where: str = ""
    rejects: str = ""
    parts: tuple[str, ...] = ()


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
    audit: Callable[[str], None] = _ignore
    notify: Callable[[str], None] = _ignore


@runtime_checkable
class Store(Protocol):
    """A place where tables live, and the only place where a commit is made.

    Class attributes register it: `kind`, `family`, `modes` (the change modes it can do beside `record`).
    A commit is all or nothing and a compare-and-set on (producer, previous sequence): a stale writer gets a
    `StateError` and nothing is written.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    modes: ClassVar[frozenset[str]]

    def __init__(self, path: str, session: Session) -> None:
        """`path` is absolute; nothing is created before the first write."""

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables by dataset name, or all that the store holds.

        A table that was never committed is left out, unless a load has staged rows for it. A table that is not as
        Headwater left it (restored, overwritten, replaced) is described with `TableState.foreign` set; one that was
        dropped is described without a commit.
        """

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: str) -> StageResult:
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

    query: str
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
