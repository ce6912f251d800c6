"""SQLite: tables, views and queries of one database file."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from headwater.contracts import Chunk, ChunkEnd, Reading, Source, TableDescription
from headwater.core.commit import Column
from headwater.core.cursor import effective_lag
from headwater.core.fragments import SelectSql
from headwater.core.layers import Family
from headwater.core.policies import SchemaPolicy
from headwater.core.specs import Spec
from headwater.core.values import PathText
from headwater.errors import ConnectorError, ProjectError, Retryable, Terminal
from headwater.sources.common.one_statement import one_statement
from headwater.sources.sqlite.catalogue import describe_table, file_version, find_table
from headwater.sources.sqlite.cursor import TEXTS, CursorCells, binary, landed_filter, step_back
from headwater.sources.sqlite.rows import RowLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from headwater.contracts import ReadRequest
    from headwater.sources.sqlite.catalogue import DbTable

BUSY_TIMEOUT_S = 5.0
"""How long a read waits for a writer."""


class SqliteError(ConnectorError, Terminal):
    """The file is not what it should be."""


class SqliteBusyError(ConnectorError, Retryable):
    """A writer holds the file."""


class SqliteConnection(Spec):
    """Which file: `path`, relative to the project."""

    path: Annotated[PathText, Field(min_length=1)]


class SqliteTable(Spec):
    """One table: `table` (a table or view; the name in the project when left out), or `query`, a SELECT."""

    table: str | None = None
    query: Annotated[str, AfterValidator(partial(one_statement, sqlite=True))] | None = None

    @model_validator(mode="after")
    def _one(self) -> SqliteTable:
        if self.table and self.query:
            raise ValueError("write table or query, not both")
        return self


class Sqlite(Source):
    """A SQLite database.

    Emits: columns with the types that the catalogue declares (see `sqlite_types`), `_rule` and `_reason` for rows with
    a cell that does not fit.
    Units and time zone: instants in UTC; a number in a DATE or TIMESTAMP column is seconds since 1970 or a Julian day.
    State: `cursor`: the highest value read, as SQLite stores it. Where SQLite's order of the cells is not the order of
    what lands (see `sqlite_cursor`), the highest landed value; every row is then read and compared.
    Delivery: one read transaction for a whole table. A resumed read goes on after its finished chunks in a new one:
    rows that changed in between come with the next load. A read holds a shared lock: in rollback mode a writer waits.
    Raises: ConnectorError; `Retryable` when a writer holds the file.
    Source: the file at `path` of the connection, opened read-only.
    """

    kind: ClassVar[str] = "sqlite"
    family: ClassVar[Family] = Family.DATABASES
    connection_spec: ClassVar[type[Spec]] = SqliteConnection
    table_spec: ClassVar[type[Spec]] = SqliteTable
    needs_cursor: ClassVar[bool] = True

    def __init__(self, spec: SqliteConnection, root: str) -> None:
        self._name = spec.path
        self._path = os.path.abspath(os.path.join(root, spec.path))

    def lineage_name(self, table: str, options: SqliteTable) -> tuple[str, str]:
        """Return the file as the namespace, and the table."""
        return f"sqlite://{os.path.realpath(self._path)}", options.table or table

    def describe(self, tables: Mapping[str, SqliteTable]) -> dict[str, TableDescription]:
        """Describe tables from the catalogue; notes say where cells do not fit their declaration."""
        with closing(self._open()) as database:
            try:
                version = file_version(self._path)
                return {
                    name: describe_table(database, self._find(database, name, options), version)
                    for name, options in tables.items()
                }
            except sqlite3.Error as error:
                raise self._explain(error) from error

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: a transaction, the highest cursor value in it, and the cuts between chunks."""
        database = self._open()
        try:
            return self._begin(database, table, request)
        except sqlite3.Error as error:
            database.close()
            raise self._explain(error) from error
        except (ConnectorError, ProjectError):
            database.close()
            raise

    def _begin(self, database: sqlite3.Connection, table: str, request: ReadRequest) -> Reading:
        found = self._find(database, table, request.options)
        columns = _columns(table, found, request)
        cursor = _cursor(table, found, request)
        manifest = dict(request.manifest) if request.manifest is not None else _bounds(database, found, cursor, request)
        asked = {column.name.lower() for column in request.columns}
        unknown = [c for c in found.columns if c.name.lower() not in asked]
        if request.ingest.schema_policy != SchemaPolicy.DISCARD_ROW:
            unknown = []
        lenient = request.ingest.schema_policy == SchemaPolicy.DISCARD_VALUE
        token = uuid.uuid4().hex[:12]
        loader = RowLoader(request.connection, columns, tuple(unknown), not request.ingest.hides_values, token, lenient)
        read = _TableRead(self, database, found, cursor, request, manifest, loader)
        return Reading(manifest, read.chunks(), ("_rule", "_reason"), self._keys(table, found, request), columns)

    def _keys(self, name: str, table: DbTable, request: ReadRequest) -> Callable[[Sequence[str]], SelectSql]:
        """Return the function that reads the key columns as they are when it is called."""

        def read_keys(wanted: Sequence[str]) -> SelectSql:
            columns = tuple(c for c in _columns(name, table, request) if c.name in wanted)
            loader = RowLoader(request.connection, columns, (), False, uuid.uuid4().hex[:12])
            with closing(self._open()) as database:
                try:
                    return loader.load(database, table, "", [], "keys")
                except sqlite3.Error as error:
                    raise self._explain(error) from error

        return read_keys

    def _find(self, database: sqlite3.Connection, name: str, options: SqliteTable) -> DbTable:
        found = find_table(database, options.table or name, options.query)
        if found is None:
            rows = database.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name")
            known = ", ".join(row[0] for row in rows.fetchall()) or "none"
            raise SqliteError(
                f"{self._name} has no table {options.table or name!r}", fix=f"set table to one of: {known}"
            )
        return found

    def _open(self) -> sqlite3.Connection:
        """Open the file read-only and begin a read transaction."""
        if not os.path.isfile(self._path):
            raise SqliteError(f"there is no file {self._name}", fix="check path in the source's connection")
        try:
            database = sqlite3.connect(
                f"file:{quote(self._path)}?mode=ro",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._explain(error) from error
        try:
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            database.close()
            raise self._explain(error) from error
        return database

    def _explain(self, error: sqlite3.Error) -> ConnectorError:
        """Turn an error of SQLite into one that says what to do."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return SqliteBusyError(
                f"{self._name} is locked by a writer for more than {BUSY_TIMEOUT_S:g} s",
                fix="run again when the writer is done",
            )
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return SqliteError(f"{self._name} is not a SQLite database: {error}", fix="check path, or restore the file")
        return SqliteError(f"{self._name}: {error}", fix="check that the file and its folder can be read")


@dataclass(frozen=True, slots=True)
class _TableRead:
    """One read of one table in one transaction, which ends with the last chunk."""

    source: Sqlite
    database: sqlite3.Connection
    table: DbTable
    cursor: str
    request: ReadRequest
    manifest: Mapping[str, Any]
    loader: RowLoader

    def chunks(self) -> Iterator[Chunk]:
        with closing(self.database):
            for name, where, parameters, position in self._parts():
                if name in self.request.finished:
                    continue
                try:
                    query = self.loader.load(self.database, self.table, where, parameters, name)
                except sqlite3.Error as error:
                    raise self.source._explain(error) from error
                if self.manifest.get("landed"):
                    query = landed_filter(query, self.manifest, _cursor_column(self.table, self.cursor, self.request))
                yield Chunk(name, query, self._finish(name, position))

    def _finish(self, name: str, position: dict[str, Any]) -> Callable[[], ChunkEnd]:
        def finish() -> ChunkEnd:
            self.loader.drop(name)
            return ChunkEnd(position)

        return finish

    def _parts(self) -> Iterator[tuple[str, str, list[Any], dict[str, Any]]]:
        """Yield (id, WHERE, its parameters, position) of each chunk."""
        lower, upper, cuts = self.manifest["lower"], self.manifest["upper"], self.manifest["cuts"]
        cursor = "" if self.manifest.get("landed") else self.cursor
        name = binary(cursor)
        bounds: list[str] = []
        values: list[Any] = []
        if cursor:
            if self.manifest["nulls"]:
                yield "nulls", f"{name} IS NULL", [], {}
            if upper is None:
                return
            bounds, values = [f"{name} <= ?"], [upper]
            if lower is not None:
                bounds, values = [*bounds, f"{name} >= ?"], [*values, lower]
        order = order_columns(self.table, cursor)
        row = f"({', '.join(order)})"
        marks = f"({', '.join('?' * len(order))})"
        for number, (after, upto) in enumerate(pairwise([None, *cuts, None])):
            where, parameters = list(bounds), list(values)
            if after is not None:
                where, parameters = [*where, f"{row} > {marks}"], [*parameters, *after]
            if upto is not None:
                where, parameters = [*where, f"{row} <= {marks}"], [*parameters, *upto]
            yield f"rows-{number:05d}", " AND ".join(where), parameters, self._position(upto)

    def _position(self, upto: list[Any] | None) -> dict[str, Any]:
        """Return the position after a chunk: the cursor of its last row, if the rows are in the cursor's order."""
        if not self.cursor:
            return {}
        if not self.manifest.get("landed"):
            return {"cursor": upto[0] if upto else self.manifest["upper"]}
        highest = self.manifest["highest"]
        return {} if upto or highest is None else {"cursor": highest}


def order_columns(table: DbTable, cursor: str) -> list[str]:
    """Return what cuts a table into chunks: never NULL together with the cursor, and unique."""
    return [*([binary(cursor)] if cursor else []), *table.unique]


def _bounds(database: sqlite3.Connection, table: DbTable, cursor: str, request: ReadRequest) -> dict[str, Any]:
    """Fix the bounds of a new read: lowest and highest cursor value, and the last row of each chunk but the last."""
    lower = upper = None
    where, parameters = "", []
    nulls = False
    if cursor:
        name = binary(cursor)
        upper, nulls = database.execute(f"SELECT max({name}), count(*) > count({name}) FROM {table.sql}").fetchone()
        if isinstance(upper, bytes):
            raise SqliteError(f"the cursor {cursor!r} holds blobs, which have no place in a position")
        column = _cursor_column(table, cursor, request)
        loader = RowLoader(request.connection, (column,), (), False, uuid.uuid4().hex[:12])
        cells = CursorCells(database, table, column, loader)
        if not cells.are_ordered(upper, request.position.get("cursor")):
            return {**_landed_bounds(cells, request), "cuts": _cuts(database, table, "", request, "", [])}
        lower = _lower_bound(column, request)
        where, parameters = f"WHERE {name} <= ?", [upper]
        if lower is not None:
            where, parameters = f"{where} AND {name} >= ?", [upper, lower]
    cuts = _cuts(database, table, cursor, request, where, parameters)
    return {"lower": lower, "upper": upper, "nulls": bool(nulls), "cuts": cuts}


def _cuts(
    database: sqlite3.Connection, table: DbTable, cursor: str, request: ReadRequest, where: str, parameters: list[Any]
) -> list[list[Any]]:
    """Return the last row of each chunk but the last."""
    if not table.unique:
        return []
    order = ", ".join(order_columns(table, cursor))
    numbered = f"SELECT {order}, row_number() OVER (ORDER BY {order}) AS _n, count(*) OVER () AS _all FROM {table.sql}"
    rows = database.execute(
        f"SELECT * FROM ({numbered} {where}) WHERE _n % ? = 0 AND _n < _all ORDER BY _n",
        [*parameters, request.chunk_rows],
    )
    cuts = [list(row[:-2]) for row in rows.fetchall()]
    return [] if any(isinstance(value, bytes) for cut in cuts for value in cut) else cuts


def _landed_bounds(cells: CursorCells, request: ReadRequest) -> dict[str, Any]:
    """Fix the bounds of a read that compares what lands; texts without a type have none, and need a key."""
    name, kind = cells.column.name, cells.column.type
    if kind in TEXTS:
        if not request.ingest.key:
            raise SqliteError(
                f"the cursor {name!r} lands as text and holds times or numbers in several spellings, so the order of "
                "its texts does not show which rows are new",
                fix=f"declare its type (columns: {{{name}: timestamptz}}, or bigint), or give the table a key",
            )
        _checked_lag(kind, request)
        return {"landed": True, "lower": None, "upper": None, "highest": cells.bounds(None, None)[2]}
    last = request.position.get("cursor")
    lag = _checked_lag(kind, request) if last is not None else None
    try:
        lower, upper, highest = cells.bounds(last, lag)
    except ValueError:
        what = "a date or time in ISO form, so no lag can be taken from it" if lag else f"a {kind}"
        raise SqliteError(
            f"the last value of cursor {name!r} is not {what}",
            fix="mend the column, and load the table anew with --full",
        ) from None
    return {"landed": True, "lower": lower, "upper": upper, "highest": highest}


def _checked_lag(type_text: str, request: ReadRequest) -> timedelta | None:
    lag = effective_lag(type_text, request.ingest.lag, has_key=bool(request.ingest.key))
    if lag and type_text != "DATE" and not type_text.startswith("TIMESTAMP"):
        raise ProjectError(
            f"lag is a length of time and the cursor is {type_text}", fix="leave lag out, or declare the column's type"
        )
    return lag


def _cursor_column(table: DbTable, cursor: str, request: ReadRequest) -> Column:
    return Column(cursor, _type_of(cursor, request.columns) or _type_of(cursor, table.columns))


def _lower_bound(column: Column, request: ReadRequest) -> int | float | str | None:
    """Return the cursor value from which to read: the last one, less the lag."""
    last: int | float | str | None = request.position.get("cursor")
    if last is None:
        return None
    lag = _checked_lag(column.type, request)
    try:
        return step_back(last, column.type, lag) if lag else last
    except ValueError:
        raise SqliteError(
            f"the last value of cursor {column.name!r} is not a date or time in ISO form, so no lag can be taken "
            "from it",
            fix="mend the column, or set lag: 0s",
        ) from None


def _type_of(name: str, columns: Sequence[Column]) -> str:
    return next((column.type for column in columns if column.name.lower() == name.lower()), "")


def _cursor(name: str, table: DbTable, request: ReadRequest) -> str:
    """Return the cursor column of an incremental read, or ""."""
    cursor = request.ingest.cursor if request.incremental else None
    if request.incremental and not cursor and not request.ingest.key:
        raise ProjectError(
            f"table {name!r} is loaded incrementally, and nothing shows which of its rows are new",
            fix="add cursor: a column that grows; or key: what a row is merged by; or load: full",
        )
    if not cursor:
        return ""
    for column in table.columns:
        if column.name.lower() == cursor.lower():
            return column.name
    raise ProjectError(
        f"table {name!r} has no column {cursor!r}, which is its cursor",
        fix=f"columns: {', '.join(column.name for column in table.columns)}",
    )


def _columns(name: str, table: DbTable, request: ReadRequest) -> tuple[Column, ...]:
    """The columns to yield: those asked for, typed as asked, then, unless the policy says no, the table's others."""
    asked = {column.name.lower() for column in request.columns}
    there = {column.name.lower() for column in table.columns}
    new = [column for column in table.columns if column.name.lower() not in asked]
    missing = [column.name for column in request.columns if column.name.lower() not in there]
    if request.ingest.schema_policy == SchemaPolicy.FREEZE and request.columns and (new or missing):
        what = [f"new: {', '.join(column.name for column in new)}"] if new else []
        what += [f"missing: {', '.join(missing)}"] if missing else []
        raise ProjectError(
            f"the columns of {name!r} are not those declared ({'; '.join(what)}) and schema is freeze",
            fix="declare the columns, or allow schema: evolve",
        )
    kept = new if request.ingest.schema_policy == SchemaPolicy.EVOLVE or not request.columns else []
    return (*request.columns, *kept)
