"""Cursor values as positions hold them: plain JSON that is exact and keeps its type."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

DEFAULT_LAG = timedelta(minutes=5)
"""Lag of a timestamp cursor when the table has a key and does not say otherwise."""

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")

CursorValue = int | float | str | Decimal | date | datetime


def encode_cursor(value: CursorValue) -> int | float | str:
    """Return a cursor value as plain JSON: whole numbers as they are, everything else that could lose digits as text.

    Raises:
        TypeError: The value has no order that a position could hold.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal | date):
        raise TypeError(f"a {type(value).__name__} cannot be a cursor")
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def decode_cursor(stored: Any, type_text: str) -> CursorValue:
    """Read what `encode_cursor` wrote, as the value of a column of that DuckDB type.

    Raises:
        ValueError: The stored value is not of that type: the column's type has changed since.
    """
    text = str(stored)
    if type_text in _INTEGERS:
        return int(text)
    if type_text in ("DOUBLE", "FLOAT"):
        return float(text)
    if type_text.startswith("DECIMAL"):
        return _decimal(text)
    if type_text == "DATE":
        return date.fromisoformat(text)
    if type_text.startswith("TIMESTAMP"):
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=value.tzinfo or UTC) if type_text.endswith("TIME ZONE") else value
    return text


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text!r} is not a decimal") from None


def subtract_lag(value: CursorValue, lag: timedelta) -> CursorValue:
    """Return the cursor value from which to read again; a date steps back whole days, never before the first.

    Raises:
        TypeError: The cursor is neither a date nor a timestamp, so a length of time cannot be taken from it.
    """
    if isinstance(value, datetime):
        first = datetime.min.replace(tzinfo=value.tzinfo)
        return first if value - first < lag else value - lag
    if isinstance(value, date):
        days = timedelta(days=-(-lag // timedelta(days=1)))
        return date.min if value - date.min < days else value - days
    raise TypeError("lag needs a cursor that is a date or a timestamp")


def effective_lag(type_text: str, lag: timedelta | None, *, has_key: bool) -> timedelta | None:
    """Return the lag of a cursor column: the declared one, else the default for timestamps with a key, else None."""
    if lag is not None:
        return lag
    return DEFAULT_LAG if has_key and type_text.startswith("TIMESTAMP") else None
