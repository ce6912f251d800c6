"""PostgreSQL: tables, views and queries of one database."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from headwater.contracts import Chunk, ChunkEnd, Reading, Source, TableDescription
from headwater.core.fragments import SelectSql, quote_identifier
from headwater.core.layers import Family
from headwater.core.policies import LoadMode, SchemaPolicy
from headwater.core.specs import Spec
from headwater.errors import ProjectError
from headwater.postgres import Server, find_scanner
from headwater.sources.common.one_statement import one_statement
from headwater.sources.postgres.bounds import check_order, fix_bounds, list_parts, ordered_sql
from headwater.sources.postgres.catalogue import find_tables, search_path
from headwater.sources.postgres.cdc import CdcTable, read_changes
from headwater.sources.postgres.cdc_slot import lag_notes
from headwater.sources.postgres.holders import NAMED_AFTER, list_holders, tell_holders
from headwater.sources.postgres.rows import RowPlan, open_reader
from headwater.sources.postgres.slot_names import Owner, Slot, environment_suffix, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.contracts import ReadRequest
    from headwater.core.commit import Column
    from headwater.sources.postgres.catalogue import ServerTable
    from headwater.sources.postgres.types import ServerColumn


class PostgresConnection(Spec):
    """Which database: `connection`, a libpq URI, key=value words or a mapping of them, and the schema of its tables."""

    connection: str | dict[str, str | int] = Field(min_length=1, json_schema_extra={"secret": True})
    database_schema: str = Field("public", min_length=1)


def _short(name: str) -> str:
    if too_long(name):
        raise ValueError("the server cuts names at 63 bytes: write a shorter one")
    return name


class PostgresTable(Spec):
    """One table: `table` (a table or view; the name in the project when left out), or `query`, a SELECT.

    A query finds its tables in `database_schema` first, where that is given.

    `load: cdc` takes `slot` and `publication`: names of its own, where those that are made up do not suit.
    """

    table: str | None = None
    query: Annotated[str, AfterValidator(one_statement)] | None = None
    slot: str | None = Field(None, pattern=r"^[a-z0-9_]{1,63}$")
    publication: Annotated[str, AfterValidator(_short)] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> PostgresTable:
        if self.table and self.query:
            raise ValueError("write table or query, not both")
        return self


class Postgres(Source):
    """A PostgreSQL database.

    Emits: columns with the types of the catalogue (see `postgres_types`), `_rule` and `_reason` for rows with a value
    that the landed type cannot hold.
    Units and time zone: sessions run in UTC; a timestamp without time zone is as it is stored.
    State: `cursor`: the highest value read, as the server's text. Text is compared by code points, whatever its
    collation; a cursor that would land as text and is none is refused. Rows whose cursor is NULL, infinite or NaN
    are rejects.
    Delivery: one REPEATABLE READ transaction for a whole table. A resumed read goes on after its finished chunks in a
    new one: rows that changed in between come with the next load. Tables with a primary key are cut at (cursor, key).
    A row of a transaction that is still running may be committed with a cursor value below ones that were read. So a
    timestamptz bound stays below the start of the oldest open transaction of the database; that of a timestamp or date
    stays as far below the highest value as that transaction is old, whatever zone its values are in. This process's
    own reads are not among them (see `postgres_holders`); who holds a bound back is a note of the read. For any other
    cursor, and when a prepared transaction has written to the table, the read waits up to 2 s until nobody writes to
    it; when somebody still does, rows with a key are read and the position stays, and without a key nothing is read.
    The same goes for open transactions whose start is not shown, because the user lacks the role pg_read_all_stats or
    their session has track_activities off, whether or not they have written. So it is on a hot standby for any cursor,
    until the transactions of the primary that had written have ended; a time of the beginning of one that writes later
    is not known there. This holds for values taken from the clock or a sequence when the row is written or later, not
    for ones that a client made up earlier: `lag` is for those.
    With `load: cdc`: a snapshot, then the log of a slot of its own; `lsn`: whose transactions are loaded that commit
    before it. A load takes each transaction once, in the order of the log (see `postgres_cdc`). The slot is moved on
    after the commit. Columns: also `_hw_op`, `_hw_seq`, `_hw_unchanged`.
    Raises: ConnectorError; `Retryable` when the server cannot be reached, broke off, is starting or cancelled a
    statement.
    Source: libpq's `connection`; pg_catalog; reads only, but for `load: cdc`, which makes a
    publication and a replication slot.
    """

    kind: ClassVar[str] = "postgres"
    family: ClassVar[Family] = Family.DATABASES
    connection_spec: ClassVar[type[Spec]] = PostgresConnection
    table_spec: ClassVar[type[Spec]] = PostgresTable
    needs_cursor: ClassVar[bool] = True
    loads: ClassVar[tuple[str, ...]] = ("full", "incremental", "cdc")

    def __init__(self, spec: PostgresConnection, root: str) -> None:
        self._spec = spec
        self._owner = Owner(root)

    def belongs_to(self, source: str, environment: str) -> None:
        """Say whose tables they are, before anything is asked: slots are named after it."""
        self._owner = replace(self._owner, source=source, environment=environment)

    @classmethod
    def check_table(cls, table: PostgresTable) -> dict[str, ProjectError]:
        """Return that a query has no log to follow."""
        if table.query and getattr(table, "load", LoadMode.FULL) == LoadMode.CDC:
            fix = "name a table instead of query, or use load: incremental"
            return {"load": ProjectError("load: cdc follows the log of a table, and a query has none", fix=fix)}
        return {}

    @classmethod
    def claims(cls, spec: PostgresConnection, table: PostgresTable, environment: str) -> tuple[str, ...]:
        """Return what no two tables may have: the slot that a table names, on its server.

        Raises:
            ProjectError: Its name is too long.
        """
        if not table.slot or getattr(table, "load", LoadMode.CDC) != LoadMode.CDC:
            return ()
        name = f"{table.slot}{environment_suffix(environment)}"
        if too_long(name):
            raise ProjectError(f"the slot {name} has a name of more than 63 bytes", fix="give it a shorter one")
        return (f"slot {name} at {Server(spec.connection).server}",)

    def lineage_name(self, table: str, options: PostgresTable) -> tuple[str, str]:
        """Return host and port as the namespace, and database, schema and table."""
        at, name = Server(self._spec.connection), options.table or table
        shown = name if "." in name else f"{self._spec.database_schema}.{name}"
        return f"postgres://{at.server}", f"{at.database}.{shown}"

    def describe(self, tables: Mapping[str, PostgresTable]) -> dict[str, TableDescription]:
        """Describe tables from the catalogue, all at once; notes say which columns land as text of their digits."""
        target = Server(self._spec.connection)
        queries = {name: options for name, options in tables.items() if options.query}
        found = self._find(target, {name: options for name, options in tables.items() if not options.query})
        if queries:
            found |= self._find(self._searching(target), queries)
        found = {name: found[name] for name in tables}
        _, slow = find_scanner()
        told = self._notes(target, tables)
        described = {name: table.describe() for name, table in found.items()}
        more = {name: [note for note in (slow, *told.get(name, ())) if note] for name in described}
        return {name: replace(about, notes=(*about.notes, *more[name])) for name, about in described.items()}

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: the highest cursor value below running transactions, and the cuts between chunks."""
        import psycopg

        target = Server(self._spec.connection)
        if request.options.query:
            target = self._searching(target)
        found = self._find(target, {table: request.options})[table]
        columns = _columns(table, found, request)
        if request.ingest.load == LoadMode.CDC:
            owner = self._owner.of_copy(make="lsn" not in request.position)
            slot = Slot.of(request.options, target, self._spec.database_schema, table, owner)
            return read_changes(CdcTable(target, slot, found, columns, _undeclared(found, request)), request)
        cursor = _cursor(table, found, request)
        manifest = dict(request.manifest) if request.manifest is not None else None
        if manifest is None:
            try:
                with closing(target.connect()) as session:
                    manifest = fix_bounds(session, found, cursor, request)
            except psycopg.Error as error:
                raise target.explain(error) from None
        plan = RowPlan(found, columns, _undeclared(found, request), _infinite(cursor), not request.ingest.hides_values)
        read = _TableRead(target, plan, cursor, request, manifest)
        keys = self._keys(target, found, request, columns)
        notes = tuple(note for note in [str(manifest.get("note", ""))] if note)
        return Reading(manifest, read.chunks(), ("_rule", "_reason"), keys, columns, notes=notes)

    def _searching(self, target: Server) -> Server:
        """Return the target whose sessions look for a query's tables in `database_schema` first, if it is given."""
        import psycopg

        if "database_schema" not in self._spec.model_fields_set:
            return target
        try:
            with closing(target.connect()) as session:
                return target.searching(search_path(session, self._spec.database_schema))
        except psycopg.Error as error:
            raise target.explain(error) from None

    def _find(self, target: Server, tables: Mapping[str, PostgresTable]) -> dict[str, ServerTable]:
        import psycopg

        try:
            with closing(target.connect()) as session:
                return find_tables(session, self._spec.database_schema, tables)
        except psycopg.Error as error:
            raise target.explain(error) from None

    def _slots(self, target: Server, name: str, options: PostgresTable) -> list[Slot]:
        """The slots that a table may have: its own, and the one of a table that was loaded long ago."""
        schema, owner = self._spec.database_schema, self._owner.of_copy()
        old = Slot.of_old(options, target, schema, name, owner.root)
        return [Slot.of(options, target, schema, name, owner), old]

    def _notes(self, target: Server, tables: Mapping[str, PostgresTable]) -> dict[str, list[str]]:
        """Say how far slots that are followed are behind, and who holds back the bounds of tables with a cursor."""
        import psycopg

        slots = {name: self._slots(target, name, options) for name, options in tables.items() if not options.query}
        bounded = [name for name, options in tables.items() if getattr(options, "cursor", None)]
        try:
            with closing(target.connect()) as session:
                lags = lag_notes(session, slots)
                holders = list_holders(session) if bounded else []
        except psycopg.Error as error:
            raise target.explain(error) from None
        old = [holder for holder in holders if holder.age is not None and holder.age >= NAMED_AFTER]
        held = f"the newest rows may have to wait for open transactions: {tell_holders(old)}" if old else ""
        return {name: [*lags.get(name, ()), held if name in bounded else ""] for name in tables}

    def _keys(
        self, target: Server, table: ServerTable, request: ReadRequest, columns: tuple[Column, ...]
    ) -> Callable[[Sequence[str]], SelectSql]:
        """Return the function that reads the key columns as they are when it is called."""

        def read_keys(wanted: Sequence[str]) -> SelectSql:
            plan = RowPlan(table, tuple(column for column in columns if column.name in wanted))
            name = f"hw_postgres_{uuid.uuid4().hex[:12]}_keys"
            with closing(open_reader(target)) as reader:
                reader.fill(request.connection, name, plan, "")
            return SelectSql(f"SELECT * FROM {quote_identifier(name)}")

        return read_keys


@dataclass(frozen=True, slots=True)
class _TableRead:
    """One read of one table in one transaction, which begins with the first chunk and ends with the last."""

    target: Server
    plan: RowPlan
    cursor: ServerColumn | None
    request: ReadRequest
    manifest: Mapping[str, Any]

    def chunks(self) -> Iterator[Chunk]:
        token = f"hw_postgres_{uuid.uuid4().hex[:12]}"
        connection = self.request.connection
        with closing(open_reader(self.target)) as reader:
            for name, where, position in list_parts(self.plan.table, self.cursor, self.manifest):
                if name in self.request.finished:
                    continue
                table = f"{token}_{name}"
                reader.fill(connection, table, self.plan, where)
                yield Chunk(
                    name, SelectSql(f"SELECT * FROM {quote_identifier(table)}"), _finish(position), self._release(table)
                )

    def _release(self, table: str) -> Callable[[], None]:
        def release() -> None:
            self.request.connection.execute(f"DROP TABLE IF EXISTS {quote_identifier(table)}")

        return release


def _finish(position: dict[str, Any]) -> Callable[[], ChunkEnd]:
    return lambda: ChunkEnd(position)


def _infinite(cursor: ServerColumn | None) -> str:
    if cursor is None:
        return ""
    ordered = ordered_sql(cursor)
    return "" if ordered.endswith("IS NOT NULL") else f"NOT {ordered}"


def _cursor(name: str, table: ServerTable, request: ReadRequest) -> ServerColumn | None:
    """Return the cursor column of an incremental read, or None."""
    cursor = request.ingest.cursor if request.incremental else None
    if request.incremental and not cursor and not request.ingest.key:
        raise ProjectError(
            f"table {name!r} is loaded incrementally, and nothing shows which of its rows are new",
            fix="add cursor: a column that grows; or key: what a row is merged by; or load: full",
        )
    if not cursor:
        return None
    found = table.find(cursor)
    if found is None:
        raise ProjectError(
            f"table {name!r} has no column {cursor!r}, which is its cursor",
            fix=f"columns: {', '.join(column.name for column in table.columns)}",
        )
    asked = [column.type for column in request.columns if column.name.lower() == cursor.lower()]
    check_order(found, asked[0] if asked else found.column.type)
    return found


def _undeclared(table: ServerTable, request: ReadRequest) -> tuple[ServerColumn, ...]:
    if request.ingest.schema_policy != SchemaPolicy.DISCARD_ROW:
        return ()
    asked = {column.name.lower() for column in request.columns}
    return tuple(column for column in table.columns if column.name.lower() not in asked)


def _columns(name: str, table: ServerTable, request: ReadRequest) -> tuple[Column, ...]:
    """The columns to yield: those asked for, typed as asked, then, unless the policy says no, the table's others."""
    asked = {column.name.lower() for column in request.columns}
    there = {column.name.lower(): column.column for column in table.columns}
    new = tuple(column for key, column in there.items() if key not in asked)
    missing = [column.name for column in request.columns if column.name.lower() not in there]
    if request.ingest.schema_policy == SchemaPolicy.FREEZE and request.columns and (new or missing):
        what = [f"new: {', '.join(column.name for column in new)}"] if new else []
        what += [f"missing: {', '.join(missing)}"] if missing else []
        raise ProjectError(
            f"the columns of {name!r} are not those declared ({'; '.join(what)}) and schema is freeze",
            fix="declare the columns, or allow schema: evolve",
        )
    kept = new if request.ingest.schema_policy == SchemaPolicy.EVOLVE or not request.columns else ()
    return (*request.columns, *kept)
