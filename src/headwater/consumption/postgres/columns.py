"""Columns as PostgreSQL has them: their types there, and the texts that are copied into them."""

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
_NANOSECONDS = {"TIMESTAMP_NS": "TIMESTAMP", "TIME_NS": "TIME"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


@dataclass(frozen=True, slots=True)
class PublishedColumn:
    """A column as it is published.

    Attributes:
        name: Its name.
        type: Its type in PostgreSQL, as `format_type` writes it.
        value: The expression, for DuckDB, of the text that is copied.
        refusal: What is said when the expression meets a value that PostgreSQL has no place for.
        quoted: Whether its texts stand in quotes, so that an empty one is no NULL.
    """

    name: str
    type: str
    value: str
    refusal: str = ""
    quoted: bool = False


def read_columns(connection: DuckDBPyConnection, query: str, table: str) -> tuple[PublishedColumn, ...]:
    """Return the columns of a query as PostgreSQL gets them.

    Raises:
        StepError: A name is too long for PostgreSQL, or one of its own.
    """
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    return tuple(_column(str(name), str(type_text), table) for name, type_text, *_ in described)


def list_values(columns: Sequence[PublishedColumn]) -> str:
    """Return the SELECT list that writes columns as texts."""
    return ", ".join(f"{column.value} AS {quote_identifier(column.name)}" for column in columns)


def _column(name: str, type_text: str, table: str) -> PublishedColumn:
    if len(name.encode()) > MAX_NAME_BYTES:
        what = f"{table}: the column {name} has a name of more than {MAX_NAME_BYTES} bytes"
        raise StepError(what, fix="give it a shorter name in a view: PostgreSQL would cut it")
    if name in _RESERVED:
        raise StepError(f"{table}: {name} is a column of PostgreSQL's own", fix="give it another name in a view")
    value = quote_identifier(name)
    if type_text in _YEAR_ONE:
        return PublishedColumn(name, _PLAIN[type_text], _dated(value, type_text))
    if type_text in _NANOSECONDS:
        return _exact_micros(PublishedColumn(name, _PLAIN[type_text], value), type_text, table)
    if type_text == "BLOB":
        return PublishedColumn(name, "bytea", rf"'\x' || hex({value})", quoted=True)
    if (decimal := _DECIMAL.fullmatch(type_text)) is not None:
        return PublishedColumn(name, f"numeric({decimal[1]},{decimal[2]})", value)
    found = _PLAIN.get(type_text, "text")
    if found != "text" or type_text == "UUID":
        return PublishedColumn(name, found, value)
    if is_nested(type_text) or type_text.startswith("UNION("):
        return PublishedColumn(name, found, f"CAST(to_json({value}) AS VARCHAR)", quoted=True)
    refusal = f"{table}.{name} has a text with the character NUL, which PostgreSQL has no place for"
    text = f"CAST({value} AS VARCHAR)"
    guarded = f"CASE WHEN contains({text}, chr(0)) THEN error({quote_text(refusal)}) ELSE {text} END"
    return PublishedColumn(name, found, guarded, refusal, quoted=True)


def _dated(value: str, type_text: str) -> str:
    """Write a time as PostgreSQL reads it: `BC` stands at the end there."""
    text = f"CAST({value} AS VARCHAR)"
    early = f"isfinite({value}) AND {value} < {_YEAR_ONE[type_text]}"
    return f"CASE WHEN {early} THEN replace({text}, ' (BC)', '') || ' BC' ELSE {text} END"


def _exact_micros(column: PublishedColumn, type_text: str, table: str) -> PublishedColumn:
    coarse = _NANOSECONDS[type_text]
    value = f"CAST({column.value} AS {coarse})"
    lost = f"CAST({value} AS {type_text}) <> {column.value}"
    refusal = f"{table}.{column.name} has a time with nanoseconds, and PostgreSQL keeps microseconds"
    written = _dated(value, coarse) if coarse in _YEAR_ONE else f"CAST({value} AS VARCHAR)"
    guarded = f"CASE WHEN {lost} THEN error({quote_text(refusal)}) ELSE {written} END"
    return PublishedColumn(column.name, column.type, guarded, refusal)
