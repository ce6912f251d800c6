"""What a source is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from headwater.core.fragments import NO_SELECT, SelectSql
from headwater.core.policies import LoadMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.contracts.store import ObjectCopy
    from headwater.core.commit import Column
    from headwater.core.layers import Family
    from headwater.core.specs import IngestSpec, Spec
    from headwater.errors import ProjectError


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
        return self.ingest.load == LoadMode.INCREMENTAL


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """What is known once a chunk's rows are exhausted.

    Attributes:
        position: Where the reader stands after this chunk (plain JSON); merged over the chunks of a load, and over
            loads, in order: a later key replaces an earlier one, but under `files`, `cursors` and `partitions` entries
            do, see `merge_positions`. A load lists only the entries that it has moved.
        rejects: A SELECT on the request's connection that yields `_file, _line, rule, reason, raw` of rows the reader
            could not turn into columns; empty when there are none.
        rejected: How many rows that SELECT yields.
        swallowed: How many lines of the file those rejects took beside their first ones (a quote that was not closed).
        resume: What a resumed read has to know to go on after this chunk, where its id does not tell (the address of
            the next page). Plain JSON; kept with the staged chunk, never part of a commit.
    """

    position: dict[str, Any] = field(default_factory=dict)
    rejects: SelectSql = NO_SELECT
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
    query: SelectSql
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
    keys: Callable[[Sequence[str]], SelectSql] | None = None
    columns: tuple[Column, ...] | None = None
    report: Callable[[Mapping[str, Any]], None] | None = None
    catalogue: bool = False
    locate: Callable[[str, Sequence[str]], list[int | None]] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A batch source. One instance per source file of a project.

    A connector inherits from it; of one that only looks like it, what it lacks below `read` is taken from here.

    Attributes:
        kind: Its name in a source file.
        family: Its box in the diagram.
        connection_spec: What the file says beside `tables`.
        table_spec: A table's own keys, beside those of `IngestSpec`.
        loads: What `load:` may be.
        lists_keys: Whether it gives `Reading.keys`.
        needs_cursor: Nothing but a declared `cursor` or `key` shows which rows are new.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    connection_spec: ClassVar[type[Spec]]
    table_spec: ClassVar[type[Spec]]
    loads: ClassVar[tuple[str, ...]] = ("full", "incremental")
    lists_keys: ClassVar[bool] = True
    needs_cursor: ClassVar[bool] = False

    def __init__(self, spec: Any, root: str) -> None:
        """`spec` is an instance of `connection_spec`; `root` the project's folder, to resolve relative paths."""

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        """Describe tables: name within the source to its `table_spec`.

        Raises:
            ConnectorError: The source cannot be reached; with the mark `Retryable` when it may pass.
        """

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: fix its upper bounds now (or take them from `request.manifest`), yield chunks later."""

    @classmethod
    def check_table(cls, table: Any) -> dict[str, ProjectError]:
        """Return what keys of a table say that cannot be done, by key; asks nobody."""
        return {}

    @classmethod
    def check_tables(cls, tables: Mapping[str, Any]) -> dict[str, ProjectError]:
        """Return what is wrong with tables that name each other, by table; asks nobody."""
        return {}

    @classmethod
    def claims(cls, connection: Any, table: Any, environment: str) -> tuple[str, ...]:
        """Return what no two tables may have at the place they are read from.

        Raises:
            ProjectError: It cannot be had.
        """
        return ()

    def lineage_name(self, table: str, options: Any) -> tuple[str, str] | None:
        """Return OpenLineage's (namespace, name) of what a table is read from, by its naming specification.

        Where the specification has no word for a place, its rule holds: the namespace is the place, the name is the
        path within it. Of a connection it holds host, port and database at most. None: what the project calls them.
        """
        return None

    def belongs_to(self, source: str, environment: str) -> None:
        """Take note of whose tables they are; called once, before anything is asked, to name what is kept there."""
