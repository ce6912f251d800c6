"""Columns as PostgreSQL has them: their types there, and what is copied into them, as texts or in binary form.

The binary form is written by DuckDB's extension for PostgreSQL, of types that are its own or can be cast exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.fragments import quote_identifier, quote_text
from headwater.errors import StepError
from headwater.sql.nested import is_nested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

MAX_NAME_BYTES = 63
"""The server cuts longer names."""

_RESERVED = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_PLAIN = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "UTINYINT": "numeric",
    "USMALLINT": "numeric",
    "UINTEGER": "numeric",
    "UBIGINT": "numeric",
    "HUGEINT": "numeric",
    "UHUGEINT": "numeric",
    "BIGNUM": "numeric",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "DATE": "date",
    "TIME": "time without time zone",
    "TIME_NS": "time without time zone",
    "TIME WITH TIME ZONE": "time with time zone",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMP_S": "timestamp without time zone",
    "TIMESTAMP_MS": "timestamp without time zone",
    "TIMESTAMP_NS": "timestamp without time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "INTERVAL": "interval",
    "BLOB": "bytea",
    "BIT": "bit varying",
    "UUID": "text",
    "VARCHAR": "text",
    "JSON": "text",
    '"NULL"': "text",
}
"""DuckDB's types, and PostgreSQL's as `format_type` writes them."""

_YEAR_ONE = {
    "DATE": "DATE '0001-01-01'",
    "TIMESTAMP": "TIMESTAMP '0001-01-01'",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '0001-01-01 00:00:00+00'",
}
_RANGES = {
    "DATE": ("DATE '4714-11-24 (BC)'", "DATE '5874897-12-31'"),
    "TIMESTAMP": ("TIMESTAMP '4714-11-24 (BC) 00:00:00'", "TIMESTAMP '294247-01-10 04:00:54.775806'"),
    "TIMESTAMP WITH TIME ZONE": (
        "TIMESTAMPTZ '4714-11-24 (BC) 00:00:00+00'",
        "TIMESTAMPTZ '294247-01-10 04:00:54.775806+00'",
    ),
}
"""PostgreSQL's first, and the last of both; the extension writes a time before the first as one of the far future."""

_BINARY = {
    **dict.fromkeys(("BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"), ""),
    **dict.fromkeys(("TIME", "TIME WITH TIME ZONE", "INTERVAL", "BLOB"), ""),
    "TINYINT": "SMALLINT",
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"), "DECIMAL(18,0)"),
    "UUID": "VARCHAR",
}
"""Types that have a binary form, and what they are cast to for it; a cast is exact, or fails."""

_INTEGERS = (4, 9, 18)
"""How many digits fit the integers of 16, 32 and 64 bits that DuckDB keeps decimals in."""

_NANOSECONDS = {"TIMESTAMP_NS": "TIMESTAMP", "TIME_NS": "TIME"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


@dataclass(frozen=True, slots=True)
class PublishedColumn:
    """A column as it is published.

    Attributes:
        name: Its name.
        type: Its type in PostgreSQL, as `format_type` writes it.
        value: The expression, for DuckDB, of the text that is copied.
        binary: The one of the value that is copied in binary form, "" where it has none.
        refusal: What is said when the expression meets a value that PostgreSQL has no place for.
        quoted: Whether its texts stand in quotes, so that an empty one is no NULL.
    """

    name: str
    type: str
    value: str
    binary: str = ""
    refusal: str = ""
    quoted: bool = False


def read_columns(connection: DuckDBPyConnection, query: str, table: str) -> tuple[PublishedColumn, ...]:
    """Return the columns of a query as PostgreSQL gets them.

    Raises:
        StepError: A name is too long for PostgreSQL, or one of its own.
    """
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    return tuple(_column(str(name), str(type_text), table) for name, type_text, *_ in described)


def list_values(columns: Sequence[PublishedColumn], *, binary: bool) -> str:
    """Return the SELECT list that gives columns as they are copied."""
    values = (column.binary if binary else column.value for column in columns)
    return ", ".join(
        f"{value} AS {quote_identifier(column.name)}" for value, column in zip(values, columns, strict=True)
    )


def _column(name: str, type_text: str, table: str) -> PublishedColumn:
    if len(name.encode()) > MAX_NAME_BYTES:
        what = f"{table}: the column {name} has a name of more than {MAX_NAME_BYTES} bytes"
        raise StepError(what, fix="give it a shorter name in a view: PostgreSQL would cut it")
    if name in _RESERVED:
        raise StepError(f"{table}: {name} is a column of PostgreSQL's own", fix="give it another name in a view")
    value: str = quote_identifier(name)
    if type_text in ("TIMESTAMP_S", "TIMESTAMP_MS"):
        value, type_text = f"CAST({value} AS TIMESTAMP)", "TIMESTAMP"
    if type_text in _YEAR_ONE:
        refusal, binary = _bounded(value, type_text, f"{table}.{name}")
        return PublishedColumn(name, _PLAIN[type_text], _dated(value, type_text), binary, refusal)
    if type_text in _NANOSECONDS:
        return _exact_micros(name, value, type_text, table)
    if (decimal := _DECIMAL.fullmatch(type_text)) is not None:
        return PublishedColumn(
            name, f"numeric({decimal[1]},{decimal[2]})", value, _binary_decimal(value, int(decimal[1]), int(decimal[2]))
        )
    found, cast = _PLAIN.get(type_text, "text"), _BINARY.get(type_text)
    binary = "" if cast is None else f"CAST({value} AS {cast})" if cast else value
    if type_text == "BLOB":
        return PublishedColumn(name, found, rf"'\x' || hex({value})", binary, quoted=True)
    if found != "text" or type_text == "UUID":
        return PublishedColumn(name, found, value, binary)
    if is_nested(type_text) or type_text.startswith("UNION("):
        written = f"CAST(to_json({value}) AS VARCHAR)"
        return PublishedColumn(name, found, written, written, quoted=True)
    refusal = f"{table}.{name} has a text with the character NUL, which PostgreSQL has no place for"
    text = f"CAST({value} AS VARCHAR)"
    guarded = f"CASE WHEN contains({text}, chr(0)) THEN error({quote_text(refusal)}) ELSE {text} END"
    return PublishedColumn(name, found, guarded, guarded, refusal, quoted=True)


def _binary_decimal(value: str, width: int, scale: int) -> str:
    """Return the expression of a decimal's binary form, "" where it has none.

    The extension fills a fraction up to groups of four digits in an integer as wide as the value's; where that
    overflows (9 digits in 32 bits, 17 in 64) other numbers would arrive. Of decimals in 128 bits it takes three times
    as long as a text: their values are tried in 64, where nearly all of them fit.
    """
    filled = -(-scale // 4) * 4
    if filled <= next((digits for digits in _INTEGERS if width <= digits), -1):
        return value
    return f"CAST({value} AS DECIMAL(18,{scale}))" if filled <= _INTEGERS[-1] else ""


def _bounded(value: str, type_text: str, place: str) -> tuple[str, str]:
    """Return what is said of a time that PostgreSQL does not have, and the expression that says so."""
    first, last = _RANGES[type_text]
    refusal = f"{place} has a value that PostgreSQL's type {_PLAIN[type_text]} does not have"
    outside = f"isfinite({value}) AND ({value} < {first} OR {value} > {last})"
    return refusal, f"CASE WHEN {outside} THEN error({quote_text(refusal)}) ELSE {value} END"


def _dated(value: str, type_text: str) -> str:
    """Write a time as PostgreSQL reads it: `BC` stands at the end there."""
    text = f"CAST({value} AS VARCHAR)"
    early = f"isfinite({value}) AND {value} < {_YEAR_ONE[type_text]}"
    return f"CASE WHEN {early} THEN replace({text}, ' (BC)', '') || ' BC' ELSE {text} END"


def _exact_micros(name: str, value: str, type_text: str, table: str) -> PublishedColumn:
    coarse = _NANOSECONDS[type_text]
    micros = f"CAST({value} AS {coarse})"
    lost = f"CAST({micros} AS {type_text}) <> {value}"
    refusal = f"{table}.{name} has a time with nanoseconds, and PostgreSQL keeps microseconds"
    written = _dated(micros, coarse) if coarse in _YEAR_ONE else f"CAST({micros} AS VARCHAR)"
    text, binary = (
        f"CASE WHEN {lost} THEN error({quote_text(refusal)}) ELSE {shown} END" for shown in (written, micros)
    )
    return PublishedColumn(name, _PLAIN[type_text], text, binary, refusal)
