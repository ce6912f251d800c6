"""The published rows as a workbook of Excel, a sheet per table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_identifier
from headwater.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.consumption.postgres.staging import StagedTable
    from headwater.core.fragments import SelectSql

MAX_ROWS = 1_048_576
"""Rows of a sheet, the one with the names of the columns among them."""

MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
"""UTF-16 units in a cell."""

_MAX_SHEET_NAME = 31
_DIGITS = 15
"""So many digits of a number are kept: Excel's numbers are floating-point ones."""

_FIRST_DAY = date(1900, 3, 1)
"""Before it Excel counts a day that was not there."""

_NATIVE = ("numeric", "boolean", "smallint", "integer", "bigint", "real", "double precision")
_DAYS: dict[str, Callable[[str], date]] = {
    "date": date.fromisoformat,
    "timestamp without time zone": datetime.fromisoformat,
}
_BATCH_ROWS = 10_000


def write_workbook(
    file: Path,
    tables: Sequence[StagedTable],
    connection: DuckDBPyConnection,
    queries: Mapping[str, SelectSql],
    now: datetime,
) -> None:
    """Write the rows of tables; `now` is written as the time at which the workbook was made.

    Numbers of more than 15 digits, NaN, days before March 1900 and instants are written as text, as is every text,
    whatever it begins with.

    Raises:
        StepError: The rows, columns or a text do not fit into a sheet, or xlsxwriter is not installed.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise StepError("files: xlsx needs the package XlsxWriter", fix="pip install 'headwater[postgres]'") from None
    _check_sizes(tables)
    with xlsxwriter.Workbook(str(file), {"constant_memory": True, "in_memory": False}) as book:
        book.set_properties({"created": now.replace(tzinfo=None)})
        formats = {"date": book.add_format({"num_format": "yyyy-mm-dd"})}
        formats["time"] = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        names: set[str] = set()
        for table in tables:
            sheet = book.add_worksheet(_sheet_name(table.name, names))
            for column, published in enumerate(table.columns):
                sheet.write_string(0, column, published.name)
            for row, values in enumerate(_rows(table, connection, queries[table.name]), start=1):
                for column, value in enumerate(values):
                    if value is not None:
                        _write(sheet, (row, column), value, formats, f"{table.name}.{table.columns[column].name}")


def _check_sizes(tables: Sequence[StagedTable]) -> None:
    for table in tables:
        if table.rows >= MAX_ROWS:
            what = f"{table.name} has {table.rows:,} rows, and a sheet of Excel {MAX_ROWS - 1:,} below its head"
            raise StepError(what, fix="leave xlsx out, or publish fewer rows")
        if len(table.columns) > MAX_COLUMNS:
            raise StepError(f"{table.name} has more than {MAX_COLUMNS:,} columns", fix="leave xlsx out")


def _sheet_name(table: str, used: set[str]) -> str:
    """Return a name that Excel takes, and that no other sheet has in any case."""
    plain = re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", table).strip("'") or "_"
    name, number = plain[:_MAX_SHEET_NAME], 1
    while name.casefold() in used or name.casefold() == "history":
        number += 1
        name = f"{plain[: _MAX_SHEET_NAME - len(str(number)) - 1]}_{number}"
    used.add(name.casefold())
    return name


def _rows(table: StagedTable, connection: DuckDBPyConnection, query: SelectSql) -> Any:
    """Yield the rows; what Excel has no type for comes as the text that PostgreSQL gets."""
    readers = [_DAYS.get(column.type) for column in table.columns]
    listed = ", ".join(
        quote_identifier(column.name) if _is_native(column.type) else f"CAST({column.value} AS VARCHAR)"
        for column in table.columns
    )
    found = connection.execute(f"SELECT {listed} FROM ({query})")
    while batch := found.fetchmany(_BATCH_ROWS):
        for row in batch:
            yield [_read_day(value, read) if read else value for value, read in zip(row, readers, strict=True)]


def _read_day(value: str | None, read: Callable[[str], date]) -> date | str | None:
    """Read a day as it is written; infinity, and years that Python does not have, stay text."""
    try:
        return read(value) if value is not None else None
    except ValueError:
        return value


def _is_native(type_text: str) -> bool:
    return type_text.startswith(_NATIVE)


def _write(sheet: Any, at: tuple[int, int], value: Any, formats: Mapping[str, Any], place: str) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(*at, value)
    elif _is_exact(value):
        sheet.write_number(*at, value)
    elif isinstance(value, date) and _is_day(value):
        sheet.write_datetime(*at, value, formats["time" if isinstance(value, datetime) else "date"])
    else:
        text = str(value)
        if len(text.encode("utf-16-le")) > 2 * MAX_TEXT:
            what = f"{place} has a text of more than {MAX_TEXT:,} characters, which a cell of Excel cannot hold"
            raise StepError(what, fix="leave xlsx out, or shorten it")
        sheet.write_string(*at, text)


def _is_exact(value: Any) -> bool:
    """Whether Excel shows a number as it is: a floating-point one does, of others all digits have to fit."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | Decimal) and len(str(value).strip("-").replace(".", "").lstrip("0")) <= _DIGITS


def _is_day(value: date) -> bool:
    """Whether Excel has the day, and the time to the millisecond."""
    day = value.date() if isinstance(value, datetime) else value
    exact = not isinstance(value, datetime) or not timedelta(microseconds=value.microsecond) % timedelta(milliseconds=1)
    return day >= _FIRST_DAY and exact
