"""The cursor of an API: the highest value of some rows, and how it is sent to ask for what is newer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from headwater.core.cursor import decode_cursor, effective_lag, encode_cursor, subtract_lag
from headwater.core.fragments import SelectSql, quote_text
from headwater.errors import ProjectError
from headwater.sources.common.json_rows import exact_values
from headwater.sources.rest.client import RestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from headwater.contracts import ReadRequest
    from headwater.core.commit import Column
    from headwater.core.cursor import CursorValue
    from headwater.sources.rest.spec import SendCursorSpec

_EPOCHS = {"EPOCH_S": ("epoch_s", 1_000_000), "EPOCH_MS": ("epoch_ms", 1_000)}
"""How a number of seconds or milliseconds is sent, and its microseconds."""

OFFSETS = "cursor_offsets"
"""Key of a position: the API writes its times with offsets, so a column without one holds them in UTC."""

_OFFSET = r":[0-9.]+\s*(?:[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})*)\s*$"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor column of a table."""

    column: Column

    @property
    def type(self) -> str:
        """The type its values have in a position."""
        return "TIMESTAMP WITH TIME ZONE" if self.column.type in _EPOCHS else self.column.type

    @property
    def is_local(self) -> bool:
        """Whether its values are times that say nothing of a zone."""
        return self.type.startswith("TIMESTAMP") and not self.type.endswith("TIME ZONE")

    def highest_query(self, rows: SelectSql, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of (parent, highest value as text, whether one has an offset) over rows of (parent, text)."""
        value = "_hw_t0"
        if self.column.type in _EPOCHS:
            value = f"make_timestamptz(CAST({value} * {_EPOCHS[self.column.type][1]} AS BIGINT))"
        read = f"SELECT parent, TRY_CAST(text AS JSON) AS json FROM ({rows})"
        read = exact_values(read, (self.column,), connection)
        zoned = f"coalesce(bool_or(regexp_matches(_hw_x0, {quote_text(_OFFSET)})), FALSE)"
        return SelectSql(f"SELECT parent, CAST(max({value}) AS VARCHAR), {zoned} FROM ({read}) GROUP BY parent")

    def decode(self, text: Any) -> CursorValue:
        """Read a value as DuckDB or a position writes it.

        Raises:
            RestError: It is not of the column's type.
        """
        try:
            return decode_cursor(text, self.type)
        except ValueError:
            raise RestError(
                f"the cursor {self.column.name!r} cannot be read as {self.type}: its type has changed",
                fix="load the table anew with --full, or mend the rows",
            ) from None

    def encode(self, value: CursorValue) -> int | float | str:
        """Write a value into a position."""
        return encode_cursor(value)

    def lowest(self, stored: Any, request: ReadRequest) -> CursorValue:
        """Return the value from which to read again: the one in the position less the lag."""
        value = self.decode(stored)
        lag = effective_lag(self.type, request.ingest.lag, has_key=bool(request.ingest.key))
        if not lag:
            return value
        try:
            return subtract_lag(value, lag)
        except TypeError:
            raise ProjectError(
                f"lag is a length of time and the cursor {self.column.name!r} is {self.type}", fix="leave lag out"
            ) from None

    def send(self, value: CursorValue, wanted: str | None) -> str:
        """Write a value as the API wants it; a coarser unit rounds down, so that nothing is missed."""
        form = wanted or self._form()
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC) if form != "date" else value
        if form == "date":
            return value.date().isoformat() if isinstance(value, datetime) else str(value)
        if not isinstance(value, datetime):
            return str(value)
        if form == "raw":
            return str(self.encode(value))
        moment = value.astimezone(UTC) if value.tzinfo else value
        if form == "iso":
            naive = moment.replace(tzinfo=None).isoformat(timespec="microseconds").replace(".000000", "")
            return naive + ("Z" if value.tzinfo else "")
        since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return str(micros // (1_000 if form == "epoch_ms" else 1_000_000))

    def _form(self) -> str:
        if self.column.type in _EPOCHS:
            return _EPOCHS[self.column.type][0]
        if self.type == "DATE":
            return "date"
        return "iso" if self.type.startswith("TIMESTAMP") else "raw"


def find_cursor(table: str, request: ReadRequest) -> Cursor | None:
    """Return the cursor of an incremental read, or None.

    Raises:
        ProjectError: Nothing tells new rows from old ones, or the cursor is not a column.
    """
    ingest = request.ingest
    if not request.incremental:
        return None
    if not ingest.cursor and not ingest.key:
        raise ProjectError(
            f"table {table!r} is loaded incrementally, and nothing shows which of its rows are new",
            fix="add cursor: a column that grows; or key: what a row is merged by; or load: full",
        )
    if not ingest.key and (request.options.parent or not request.options.send_cursor):
        raise ProjectError(
            f"table {table!r} has no key, and rows that were loaded before come again",
            fix="add key: what a row is merged by; or, without a parent, send_cursor",
        )
    if not ingest.cursor:
        return None
    wanted = ingest.cursor.lower()
    found = next((column for column in request.columns if column.name.lower() == wanted), None)
    if found is None:
        raise ProjectError(
            f"table {table!r} has no column {ingest.cursor!r}, which is its cursor",
            fix=f"columns: {', '.join(column.name for column in request.columns)}",
        )
    return Cursor(found)


def cursor_params(
    send: SendCursorSpec | None, cursor: Cursor | None, stored: Any, now: datetime, request: ReadRequest
) -> Mapping[str, list[str]]:
    """Return the parameters that ask for what is new."""
    if send is None or cursor is None:
        return {}
    params = {}
    if stored is not None:
        lowest = cursor.lowest(stored, request)
        if isinstance(lowest, datetime) and lowest.tzinfo is None and request.position.get(OFFSETS):
            lowest = lowest.replace(tzinfo=UTC)
        params[send.as_] = [cursor.send(lowest, send.format)]
    elif send.start is not None:
        params[send.as_] = [send.start]
    if send.until:
        if cursor.type != "DATE" and not cursor.type.startswith("TIMESTAMP"):
            raise ProjectError(f"until sends a time, and the cursor is {cursor.type}", fix="leave until out")
        params[send.until] = [cursor.send(now, send.format)]
    return params
