"""What SQLite's declared types become, and reading cells whose storage does not fit their declaration.

A declared type is a hint to SQLite: any cell may hold anything. A cell that fits its column's type is exact; one that
does not makes its row a reject `type`. The rules, cell by cell:

- BOOLEAN: 0 and 1, or one of t, f, true, false, yes, no, y, n, whatever their case.
- DATE, TIMESTAMP: ISO text; a whole number is seconds since 1970 UTC, a real number a Julian day. A text with an
  offset is taken in UTC, and one without it in a TIMESTAMP WITH TIME ZONE is UTC. A DATE has no time of day.
- DECIMAL: only values with as many digits as declared; a real number counts as its shortest decimal.
- Text columns take numbers as their text, number columns take text that is such a number.

Source: SQLite, "Datatypes In SQLite", sections 2.2 and 3.1.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any

from headwater.core.types import normalize_type

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

SqliteValue = int | float | str | bytes | None

_EPOCH = datetime(1970, 1, 1)
_TRUE, _FALSE = ("1", "t", "true", "yes", "y"), ("0", "f", "false", "no", "n")
_NAMED = (
    "BOOLEAN", "BOOL", "DATE", "UUID", "JSON", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP WITHOUT TIME ZONE",
)  # fmt: skip
_WHOLE = re.compile(r"\s*[+-]?[0-9]+(?:\.0*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*")
_ENDLESS = re.compile(r"\s*(?:[+-]?inf(?:inity)?|nan)\s*", re.IGNORECASE)
_MOMENT = re.compile(
    r"\s*([0-9]{4}-[0-9]{2}-[0-9]{2})(?:([Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)([0-9]*)"
    r"\s?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?\s*"
)
"""ISO 8601 as SQLite writes and reads it: day, clock up to microseconds, what is finer, offset."""

_FAST: dict[str, frozenset[type]] = {
    "BIGINT": frozenset({int}),
    "DOUBLE": frozenset({float}),
    "VARCHAR": frozenset({str}),
    "JSON": frozenset({str}),
    "BLOB": frozenset({bytes}),
}
"""Python types whose values Arrow takes as they are."""


def landed_type(declared: str) -> str:
    """Return the DuckDB type of a declared type: by its name where it is a common one, else by SQLite's affinity."""
    text = " ".join(declared.upper().split())
    if match := re.fullmatch(r"(?:DECIMAL|NUMERIC|DEC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", text):
        digits, scale = int(match[1]), int(match[2] or 0)
        return f"DECIMAL({digits},{scale})" if 1 <= digits <= 38 and scale <= digits else "DOUBLE"
    name = re.sub(r"\s*\(.*\)$", "", text)
    if name in _NAMED:
        return normalize_type(name)
    if "INT" in name:
        return "BIGINT"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT", "STRING")) or not name:
        return "VARCHAR"
    if "BLOB" in name:
        return "BLOB"
    numeric = ("REAL", "FLOA", "DOUB", "NUMERIC", "DEC", "NUMBER")
    return "DOUBLE" if any(part in name for part in numeric) else "VARCHAR"


def expected_storage(type_text: str) -> frozenset[str]:
    """Return the storage classes in which a column of a type is expected: others are worth a note."""
    if type_text in ("BIGINT", "BOOLEAN"):
        return frozenset({"integer"})
    if type_text == "DOUBLE" or type_text.startswith("DECIMAL"):
        return frozenset({"real", "integer"})
    return frozenset({"blob"}) if type_text == "BLOB" else frozenset({"text"})


def convert_column(values: list[Any], type_text: str) -> tuple[pa.Array, dict[int, SqliteValue]]:
    """Convert the cells of a column: the Arrow array, and by row the cells that do not fit (NULL in the array)."""
    import pyarrow as pa

    target = arrow_type(type_text)
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= _FAST.get(type_text, frozenset()) or not kinds:
        try:
            return pa.array(values, target), {}
        except UnicodeEncodeError:
            pass
    convert, converted, unfit = converter(type_text), [], {}
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except (ValueError, OverflowError, InvalidOperation):
            converted.append(None)
            unfit[row] = value
    return pa.array(converted, target), unfit


def arrow_type(type_text: str) -> pa.DataType:
    """Return how a column travels; a type that is not listed travels as text and is cast by the query."""
    import pyarrow as pa

    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", type_text):
        return pa.decimal128(int(match[1]), int(match[2]))
    types = {
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "EPOCH_S": pa.float64(),
        "EPOCH_MS": pa.float64(),
        "BLOB": pa.binary(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    }
    return types.get(type_text, pa.string())


def converter(type_text: str) -> Callable[[Any], object]:
    """Return a function that converts a cell exactly, or raises ValueError, OverflowError or InvalidOperation."""
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", type_text):
        return partial(_decimal, digits=int(match[1]), scale=int(match[2]))
    return {
        "BIGINT": _whole,
        "DOUBLE": _double,
        "EPOCH_S": _double,
        "EPOCH_MS": _double,
        "BLOB": _blob,
        "BOOLEAN": _boolean,
        "DATE": _date,
        "TIMESTAMP": moment,
        "TIMESTAMP WITH TIME ZONE": _instant,
    }.get(type_text, _text)


def _text(value: SqliteValue) -> str:
    if isinstance(value, bytes):
        raise ValueError("a blob is not text")
    text = repr(value) if isinstance(value, float) else str(value)
    text.encode()
    return text


def _whole(value: SqliteValue) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number of 64 bits")
    return value


def _double(value: SqliteValue) -> float:
    if isinstance(value, bytes):
        raise ValueError("a blob is not a number")
    if isinstance(value, str) and not (_NUMBER.fullmatch(value) or _ENDLESS.fullmatch(value)):
        raise ValueError("not a number")
    number = float(0 if value is None else value)
    if isinf(number) and isinstance(value, str) and not _ENDLESS.fullmatch(value):
        raise ValueError("a number that no double is near")
    if isinstance(value, int) and int(number) != value:
        raise ValueError("more digits than a double holds")
    return number


def _blob(value: SqliteValue) -> bytes:
    if isinstance(value, int | float):
        raise ValueError("a number is not a blob")
    return value.encode() if isinstance(value, str) else value or b""


def _boolean(value: SqliteValue) -> bool:
    word = str(value).strip().lower()
    if isinstance(value, bytes | float) or word not in (*_TRUE, *_FALSE):
        raise ValueError("neither true nor false")
    return word in _TRUE


def _decimal(value: SqliteValue, *, digits: int, scale: int) -> Decimal:
    if isinstance(value, bytes):
        raise ValueError("a blob is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("not a number")
    with localcontext(prec=80):
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
        fixed = number.quantize(Decimal(1).scaleb(-scale))
        if fixed != number or len(fixed.as_tuple().digits) > digits:
            raise ValueError("more digits than declared")
        return fixed


def moment(value: SqliteValue) -> datetime:
    """Read a cell as a point in time without zone (UTC where the cell has an offset).

    Raises:
        ValueError: It is none.
        OverflowError: It is outside of the years 1 to 9999.
    """
    if isinstance(value, int):
        return _EPOCH + timedelta(seconds=value)
    if isinstance(value, float):
        return _EPOCH + timedelta(milliseconds=round((value - 2440587.5) * 86_400_000))
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a date or time in ISO form")
    day, clock, finer, zone = (part or "" for part in match.groups())
    if finer.strip("0"):
        raise ValueError("finer than microseconds")
    found = datetime.fromisoformat(day + clock.upper() + zone.upper())
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _instant(value: SqliteValue) -> datetime:
    return moment(value).replace(tzinfo=UTC)


def _date(value: SqliteValue) -> date:
    found = moment(value)
    if found != datetime(found.year, found.month, found.day):
        raise ValueError("a date with a time of day")
    return found.date()
