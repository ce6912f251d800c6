"""The log of a slot as it comes from the server, and its changes on their way into a temporary table."""

from __future__ import annotations

import select
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.contracts import CHANGE_COLUMNS
from headwater.core.fragments import quote_identifier, quote_text
from headwater.postgres import PostgresError
from headwater.sources.postgres.catalogue import ServerTable, resolve_columns
from headwater.sources.postgres.cdc_slot import in_use
from headwater.sources.postgres.pgoutput import UNCHANGED, Relation, SentValue
from headwater.sources.postgres.rows import RowPlan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import psycopg
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from psycopg.pq.abc import PGconn, PGresult

    from headwater.core.commit import Column
    from headwater.postgres import Server
    from headwater.sources.postgres.slot_names import Slot
    from headwater.sources.postgres.types import ServerColumn

BATCH_ROWS = 50_000
BATCH_BYTES = 32 * 2**20
"""How much is held in Python, before it goes into DuckDB, which spills to disk what its memory cannot hold."""

_IN_USE_LIMIT_S = 10.0
_COPY_HEADER_BYTES = 19
_FIELD_BYTES = 6
"""Before the one field of a row of binary COPY: how many fields, and its length."""


# ------------------------------------------------------------------------------------------------------------ stream


def stream_log(target: Server, slot: Slot, upper: str) -> Generator[bytes, None, None]:
    """Yield the messages of all transactions that the slot holds, up to a position; the slot stays where it is.

    The server decodes its log once, on its disk, and sends it as it is taken: nothing is held here.

    Raises:
        ConnectorError: The server fails, or somebody else reads from the slot.
    """
    import psycopg

    options = f"'proto_version', '1', 'publication_names', {quote_text(quote_identifier(slot.publication))}"
    changes = f"pg_logical_slot_peek_binary_changes({quote_text(slot.name)}, {quote_text(upper)}, NULL, {options})"
    command = f"COPY (SELECT data FROM {changes}) TO STDOUT (FORMAT binary)"
    try:
        with closing(target.connect()) as session:
            session.execute("SET client_encoding = 'UTF8'")
            if session.info.server_version >= 140000:
                session.execute("SET client_connection_check_interval = '1s'")
            _begin_copy(session.pgconn, command.encode(), slot)
            yield from _read_copy(session.pgconn)
    except psycopg.Error as error:
        raise target.explain(error) from None


def _begin_copy(connection: PGconn, command: bytes, slot: Slot) -> None:
    """Begin the COPY; a run that was killed may still hold the slot for a moment."""
    from psycopg import errors, pq

    until = time.monotonic() + _IN_USE_LIMIT_S
    while True:
        connection.send_query(command)
        result = _next_result(connection)
        if result is not None and result.status == pq.ExecStatus.COPY_OUT:
            return
        failed = errors.error_from_result(result) if result is not None else errors.InternalError("no result")
        if not isinstance(failed, errors.ObjectInUse):
            raise failed
        if time.monotonic() > until:
            raise in_use(slot) from None
        while _next_result(connection) is not None:
            pass
        time.sleep(0.1)


def _next_result(connection: PGconn) -> PGresult | None:
    while connection.is_busy():
        select.select([connection.socket], [], [])
        connection.consume_input()
    return connection.get_result()


def _read_copy(connection: PGconn) -> Iterator[bytes]:
    from psycopg import errors, pq

    start = _COPY_HEADER_BYTES + _FIELD_BYTES
    while True:
        size, data = connection.get_copy_data(1)
        if size > start or (size > _FIELD_BYTES and start == _FIELD_BYTES):
            yield bytes(data[start:])
            start = _FIELD_BYTES
        elif size == 0:
            select.select([connection.socket], [], [])
            connection.consume_input()
        elif size < 0:
            break
    result = _next_result(connection)
    if result is not None and result.status != pq.ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)


# ------------------------------------------------------------------------------------------------------------- batch


@dataclass(slots=True)
class ChangeBatch:
    """Changes of rows of one shape, as texts, until they are stored.

    Attributes:
        missing: Rows (by number) that lack values that no change before them can tell: their key is new.
    """

    rows: list[Sequence[SentValue]] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    unchanged: list[list[str] | None] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, operation: str, number: int, row: Sequence[SentValue], unchanged: list[str] | None = None) -> None:
        """Add a change."""
        self.rows.append(row)
        self.operations.append(operation)
        self.numbers.append(number)
        self.unchanged.append(unchanged)

    def arrow(self, width: int) -> pa.ServerTable:
        """Return the changes: r0, r1, … and what `CHANGE_COLUMNS` says.

        Raises:
            PostgresError: A text is not UTF-8.
        """
        import pyarrow as pa

        cells = zip(*self.rows, strict=True) if self.rows and width else [()] * width
        try:
            columns = {f"r{place}": pa.array(list(cell), pa.string()) for place, cell in enumerate(cells)}
        except pa.ArrowInvalid as error:
            raise PostgresError(f"the log holds text that is not UTF-8: {error}") from None
        operation, number, unchanged = CHANGE_COLUMNS
        said = any(names is not None for names in self.unchanged)
        names = pa.list_(pa.string())
        columns[operation] = pa.array(self.operations, pa.string())
        columns[number] = pa.array(self.numbers, pa.int64())
        columns[unchanged] = pa.array(self.unchanged, names) if said else pa.nulls(len(self.rows), names)
        return pa.table(columns)


@dataclass(slots=True)
class ChangeTable:
    """A temporary table that changes are appended to, whatever shape the source's table had when they were made.

    Attributes:
        connection: The session's connection.
        target: The server, asked for types and for values that the log leaves out.
        table: The source's table as it is now.
        columns: The columns to yield.
        declared_only: A row with a value in another column is a reject.
        shows_values: The reason of a reject may show the value that does not fit.
    """

    connection: DuckDBPyConnection
    target: Server
    table: ServerTable
    columns: tuple[Column, ...]
    declared_only: bool
    shows_values: bool
    _session: psycopg.Connection[Any] | None = None
    _shapes: dict[Relation, tuple[ServerColumn, ...]] = field(default_factory=dict)

    def close(self) -> None:
        """End the session that was asked."""
        if self._session is not None:
            self._session.close()

    def append(self, into: str, relation: Relation | None, batch: ChangeBatch, *, begun: bool) -> None:
        """Append a batch to the temporary table `into`, made when it is not `begun`.

        Raises:
            ConnectorError: The server fails.
        """
        shape = self._shape(relation) if relation is not None else self.table.columns
        if relation is not None:
            self._fill_missing(relation, batch)
        view = f"{into}_arrow"
        self.connection.register(view, batch.arrow(len(shape)))
        verb = f"INSERT INTO {quote_identifier(into)}" if begun else f"CREATE TEMP TABLE {quote_identifier(into)} AS"
        try:
            self.connection.execute(f"{verb} {self._select(shape, quote_identifier(view))}")
        finally:
            self.connection.unregister(view)

    def _select(self, shape: Sequence[ServerColumn], view: str) -> str:
        plan = RowPlan(ServerTable(self.table.sql, tuple(shape)), self.columns, shows_values=self.shows_values)
        places = {column.name: place for place, column in enumerate(shape)}
        selected = []
        for index, column in enumerate(self.columns):
            found = plan.table.find(column.name)
            if found is not None:
                selected.append(f"r{places[found.name]} AS c{index}")
        asked = {column.name.lower() for column in self.columns}
        others = [c.name for c in shape if c.name.lower() not in asked] if self.declared_only else []
        cases = [
            f"CASE WHEN r{places[name]} IS NOT NULL OR list_contains({CHANGE_COLUMNS[2]}, {quote_text(name)}) "
            f"THEN {quote_text(f'column {quote_identifier(name)} is not declared')} END"
            for name in others
        ]
        undeclared = f"nullif(concat_ws('; ', {', '.join(cases)}), '')" if cases else "NULL::VARCHAR"
        selected += ["NULL::VARCHAR AS bad", f"{undeclared} AS undeclared", *CHANGE_COLUMNS]
        return plan.projection(f"(SELECT {', '.join(selected)} FROM {view})", text=True, carried=CHANGE_COLUMNS)

    def _shape(self, relation: Relation) -> tuple[ServerColumn, ...]:
        if relation not in self._shapes:
            found = [(column.name, column.type, column.typmod) for column in relation.columns]
            self._shapes[relation] = resolve_columns(self._ask(), found)
        return self._shapes[relation]

    def _fill_missing(self, relation: Relation, batch: ChangeBatch) -> None:
        """Take values that the log leaves out of rows with a new key from the server, as they are there now.

        A row that is not there any more has a later change in the log, and so has one that was changed since.
        """
        names = [column.name for column in relation.columns]
        keys = [place for place, column in enumerate(relation.columns) if column.identifies]
        there = {column.name for column in self.table.columns}
        for number in batch.missing:
            row = list(batch.rows[number])
            gaps = [place for place, value in enumerate(row) if value is UNCHANGED]
            wanted = [place for place in gaps if names[place] in there]
            found: Sequence[Any] | None = None
            if wanted and all(names[place] in there for place in keys):
                selected = ", ".join(f"{quote_identifier(names[place])}::text" for place in wanted)
                where = " AND ".join(f"{quote_identifier(names[place])} = %s" for place in keys)
                sql = f"SELECT {selected} FROM {self.table.sql}".replace("%", "%%") + f" WHERE {where}"
                values = [(row[place] or b"").decode() for place in keys]
                found = self._ask().execute(sql.encode(), values).fetchone()
            told = dict(zip(wanted, found or (), strict=False))
            for place in gaps:
                value = told.get(place)
                row[place] = None if value is None else value.encode()
            batch.rows[number] = row

    def _ask(self) -> psycopg.Connection[Any]:
        if self._session is None:
            self._session = self.target.connect()
        return self._session
