"""SQLite: tables, views and queries of one database file."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from headwater.contracts import Chunk, ChunkEnd, Reading, TableDescription
from headwater.core.cursor import effective_lag, subtract_lag
from headwater.core.layers import Family
from headwater.core.specs import Spec
from headwater.errors import ConnectorError, ProjectError, Retryable, Terminal
from headwater.sources.one_statement import one_statement
from headwater.sources.sqlite_catalogue import describe_table, file_version, find_table
from headwater.sources.sqlite_rows import RowLoader
from headwater.sources.sqlite_types import moment
from headwater.sql.placeholders import quote_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.contracts import ReadRequest
    from headwater.core.commit import Column
    from headwater.sources.sqlite_catalogue import Table

BUSY_TIMEOUT_S = 5.0
"""How long a read waits for a writer."""


class SqliteError(ConnectorError, Terminal):
    """The file is not what it should be."""


class SqliteBusyError(ConnectorError, Retryable):
    """A writer holds the file."""


class SqliteConnection(Spec):
    """Which file: `path`, relative to the project."""

    path: str = Field(min_length=1)


class SqliteTable(Spec):
    """One table: `table` (a table or view; the name in the project when left out), or `query`, a SELECT."""

    table: str | None = None
    query: Annotated[str, AfterValidator(partial(one_statement, sqlite=True))] | None = None

    @model_validator(mode="after")
    def _one(self) -> SqliteTable:
        if self.table and self.query:
            raise ValueError("write table or query, not both")
        return self


class Sqlite:
    """A SQLite database.

    Emits: columns with the types that the catalogue declares (see `sqlite_types`), `_rule` and `_reason` for rows with
    a cell that does not fit.
    Units and time zone: instants in UTC; a number in a DATE or TIMESTAMP column is seconds since 1970 or a Julian day.
    State: `cursor`: the highest value read, as SQLite stores it. Order is SQLite's own: text cursors have to be written
    alike in every row to be in order.
    Delivery: one read transaction for a whole table. A resumed read goes on after its finished chunks in a new one:
    rows that changed in between come with the next load. A read holds a shared lock: in rollback mode a writer waits.
    Raises: ConnectorError; `Retryable` when a writer holds the file.
    Source: the file at `path` of the connection, opened read-only.
    """

    kind: ClassVar[str] = "sqlite"
    family: ClassVar[Family] = Family.DATABASES
    connection_spec: ClassVar[type[Spec]] = SqliteConnection
    table_spec: ClassVar[type[Spec]] = SqliteTable

    def __init__(self, spec: SqliteConnection, root: str) -> None:
        self._name = spec.path
        self._path = os.path.abspath(os.path.join(root, spec.path))

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
        if request.ingest.schema_policy != "discard_row":
            unknown = []
        lenient = request.ingest.schema_policy == "discard_value"
        token = uuid.uuid4().hex[:12]
        loader = RowLoader(request.connection, columns, tuple(unknown), not request.ingest.hides_values, token, lenient)
        read = _TableRead(self, database, found, cursor, request, manifest, loader)
        return Reading(manifest, read.chunks(), ("_rule", "_reason"), self._keys(table, found, request), columns)

    def _keys(self, name: str, table: Table, request: ReadRequest) -> Callable[[Sequence[str]], str]:
        """Return the function that reads the key columns as they are when it is called."""

        def read_keys(wanted: Sequence[str]) -> str:
            columns = tuple(c for c in _columns(name, table, request) if c.name in wanted)
            loader = RowLoader(request.connection, columns, (), False, uuid.uuid4().hex[:12])
            with closing(self._open()) as database:
                try:
                    return loader.load(database, table, "", [], "keys")
                except sqlite3.Error as error:
                    raise self._explain(error) from error

        return read_keys

    def _find(self, database: sqlite3.Connection, name: str, options: SqliteTable) -> Table:
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
    table: Table
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
                yield Chunk(name, query, self._finish(name, position))

    def _finish(self, name: str, position: dict[str, Any]) -> Callable[[], ChunkEnd]:
        def finish() -> ChunkEnd:
            self.loader.drop(name)
            return ChunkEnd(position)

        return finish

    def _parts(self) -> Iterator[tuple[str, str, list[Any], dict[str, Any]]]:
        """Yield (id, WHERE, its parameters, position) of each chunk."""
        lower, upper, cuts = self.manifest["lower"], self.manifest["upper"], self.manifest["cuts"]
        name = quote_identifier(self.cursor)
        bounds: list[str] = []
        values: list[Any] = []
        if self.cursor:
            if self.manifest["nulls"]:
                yield "nulls", f"{name} IS NULL", [], {}
            if upper is None:
                return
            bounds, values = [f"{name} <= ?"], [upper]
            if lower is not None:
                bounds, values = [*bounds, f"{name} >= ?"], [*values, lower]
        order = order_columns(self.table, self.cursor)
        row = f"({', '.join(order)})"
        marks = f"({', '.join('?' * len(order))})"
        for number, (after, upto) in enumerate(pairwise([None, *cuts, None])):
            where, parameters = list(bounds), list(values)
            if after is not None:
                where, parameters = [*where, f"{row} > {marks}"], [*parameters, *after]
            if upto is not None:
                where, parameters = [*where, f"{row} <= {marks}"], [*parameters, *upto]
            position = {} if not self.cursor else {"cursor": upto[0] if upto else upper}
            yield f"rows-{number:05d}", " AND ".join(where), parameters, position


def order_columns(table: Table, cursor: str) -> list[str]:
    """Return what cuts a table into chunks: never NULL together with the cursor, and unique."""
    return [*([quote_identifier(cursor)] if cursor else []), *table.unique]


def _bounds(database: sqlite3.Connection, table: Table, cursor: str, request: ReadRequest) -> dict[str, Any]:
    """Fix the bounds of a new read: lowest and highest cursor value, and the last row of each chunk but the last."""
    lower = upper = None
    where, parameters = "", []
    nulls = False
    if cursor:
        name = quote_identifier(cursor)
        upper, nulls = database.execute(f"SELECT max({name}), count(*) > count({name}) FROM {table.sql}").fetchone()
        if isinstance(upper, bytes):
            raise SqliteError(f"the cursor {cursor!r} holds blobs, which have no place in a position")
        lower = _lower_bound(table, cursor, request)
        where, parameters = f"WHERE {name} <= ?", [upper]
        if lower is not None:
            where, parameters = f"{where} AND {name} >= ?", [upper, lower]
    cuts: list[list[Any]] = []
    if table.unique:
        order = ", ".join(order_columns(table, cursor))
        numbered = (
            f"SELECT {order}, row_number() OVER (ORDER BY {order}) AS _n, count(*) OVER () AS _all FROM {table.sql}"
        )
        rows = database.execute(
            f"SELECT * FROM ({numbered} {where}) WHERE _n % ? = 0 AND _n < _all ORDER BY _n",
            [*parameters, request.chunk_rows],
        )
        cuts = [list(row[:-2]) for row in rows.fetchall()]
    if any(isinstance(value, bytes) for cut in cuts for value in cut):
        cuts = []
    return {"lower": lower, "upper": upper, "nulls": bool(nulls), "cuts": cuts}


def _lower_bound(table: Table, cursor: str, request: ReadRequest) -> int | float | str | None:
    """Return the cursor value from which to read: the last one, less the lag."""
    last = request.position.get("cursor")
    if last is None:
        return None
    type_text = _type_of(cursor, request.columns) or _type_of(cursor, table.columns)
    lag = effective_lag(type_text, request.ingest.lag, has_key=bool(request.ingest.key))
    try:
        return step_back(last, type_text, lag) if lag else last
    except ValueError:
        raise SqliteError(
            f"the last value of cursor {cursor!r} is not a date or time in ISO form, so no lag can be taken from it",
            fix="mend the column, or set lag: 0s",
        ) from None


def step_back(last: int | float | str, type_text: str, lag: timedelta) -> int | float | str:
    """Take a lag from a cursor value in the form SQLite stores it.

    A text is cut to seconds: it is then before every text of that second, whatever its fraction or offset.

    Raises:
        ProjectError: The column is neither a date nor a timestamp.
    """
    if type_text != "DATE" and not type_text.startswith("TIMESTAMP"):
        raise ProjectError(
            f"lag is a length of time and the cursor is {type_text}", fix="leave lag out, or declare the column's type"
        )
    if isinstance(last, int):
        return last + int(-lag // timedelta(seconds=1))
    if isinstance(last, float):
        return last - lag / timedelta(days=1)
    days = len(last) == 10
    found = moment(last) if days else datetime.fromisoformat(last.strip())
    back = subtract_lag(found.date() if days else found, lag)
    if isinstance(back, datetime):
        return back.replace(tzinfo=None).isoformat(sep=last[10], timespec="seconds")
    return str(back)


def _type_of(name: str, columns: Sequence[Column]) -> str:
    return next((column.type for column in columns if column.name.lower() == name.lower()), "")


def _cursor(name: str, table: Table, request: ReadRequest) -> str:
    """Return the cursor column of an incremental read, or ""."""
    cursor = request.ingest.cursor if request.incremental else None
    if request.incremental and not cursor and not request.ingest.key:
        raise ProjectError(
            f"table {name!r} is loaded incrementally, and nothing tells its new rows from the old ones",
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


def _columns(name: str, table: Table, request: ReadRequest) -> tuple[Column, ...]:
    """The columns to yield: those asked for, typed as asked, then, unless the policy says no, the table's others."""
    asked = {column.name.lower() for column in request.columns}
    there = {column.name.lower() for column in table.columns}
    new = [column for column in table.columns if column.name.lower() not in asked]
    missing = [column.name for column in request.columns if column.name.lower() not in there]
    if request.ingest.schema_policy == "freeze" and request.columns and (new or missing):
        what = [f"new: {', '.join(column.name for column in new)}"] if new else []
        what += [f"missing: {', '.join(missing)}"] if missing else []
        raise ProjectError(
            f"the columns of {name!r} are not those declared ({'; '.join(what)}) and schema is freeze",
            fix="declare the columns, or allow schema: evolve",
        )
    kept = new if request.ingest.schema_policy == "evolve" or not request.columns else []
    return (*request.columns, *kept)
