"""The one table of types: how a type is spelled, and how it lands in each store.

Types are DuckDB's. A landing is exact, widened (every value is kept, in a wider type), lossy (refused unless
declared) or refused. Source: DuckDB data types, https://duckdb.org/docs/stable/sql/data_types/overview; the Delta
protocol's primitive types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIASES = {
    "INT": "INTEGER", "INT4": "INTEGER", "SIGNED": "INTEGER", "INT8": "BIGINT", "LONG": "BIGINT",
    "INT2": "SMALLINT", "SHORT": "SMALLINT", "INT1": "TINYINT", "BOOL": "BOOLEAN", "LOGICAL": "BOOLEAN",
    "FLOAT4": "FLOAT", "REAL": "FLOAT", "FLOAT8": "DOUBLE", "DOUBLE PRECISION": "DOUBLE",
    "NUMERIC": "DECIMAL", "DEC": "DECIMAL", "TEXT": "VARCHAR", "STRING": "VARCHAR", "CHAR": "VARCHAR",
    "BPCHAR": "VARCHAR", "NVARCHAR": "VARCHAR", "CHARACTER VARYING": "VARCHAR", "BYTEA": "BLOB", "BINARY": "BLOB",
    "VARBINARY": "BLOB", "DATETIME": "TIMESTAMP", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMETZ": "TIME WITH TIME ZONE", "TIMESTAMP_US": "TIMESTAMP", "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "GUID": "UUID", "INT128": "HUGEINT", "UINT8": "UTINYINT", "UINT16": "USMALLINT", "UINT32": "UINTEGER",
    "UINT64": "UBIGINT", "UINT128": "UHUGEINT",
}  # fmt: skip

_SIMPLE = {
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "UHUGEINT", "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME", "TIME WITH TIME ZONE", "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "INTERVAL", "UUID", "JSON", "BIT",
    "DECIMAL",
}  # fmt: skip

_READ_AS = {"EPOCH_S": "TIMESTAMP WITH TIME ZONE", "EPOCH_MS": "TIMESTAMP WITH TIME ZONE"}
"""Spellings allowed in a source's `columns` only: numbers since 1970-01-01 UTC, landed as instants."""

_MOST_LISTS = 32
_ARRAY = re.compile(r"(.*[^\s])\s*\[\s*(\d{0,6})\s*\]", re.DOTALL)
_NESTED = re.compile(r"(STRUCT|MAP|UNION|ENUM)\s*(\(.*\))?", re.IGNORECASE | re.DOTALL)
_PART = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<open>\()|(?P<close>\))|[\w ,\[\]]""")
"""What stands between the parentheses of a nested type: names, words, numbers, texts; nothing that ends a type."""


class Fidelity(StrEnum):
    """What a landing does to values."""

    EXACT = "exact"
    WIDENED = "widened"
    LOSSY = "lossy"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Landing:
    """The landed type and what that does to values; `cast_checked` when values out of range stop the load."""

    type: str
    fidelity: Fidelity
    cast_checked: bool = False


def normalize_type(text: str) -> str:
    """Return DuckDB's own spelling of a type: "int" is INTEGER, "decimal" DECIMAL(18,3), "timestamptz" the long form.

    Nested types (STRUCT, MAP, lists, arrays, ENUM) are kept with upper-case type words.

    Raises:
        ValueError: The word is not a type.
    """
    stripped = " ".join(text.strip().split())
    upper = stripped.upper()
    if upper in _READ_AS:
        return upper
    if stripped.count("[") <= _MOST_LISTS and (array := _ARRAY.fullmatch(stripped)):
        return f"{normalize_type(array[1])}[{array[2]}]"
    if nested := _NESTED.fullmatch(stripped):
        if nested[2] and not _is_closed(nested[2]):
            raise ValueError(f"{text!r} is not a type")
        return nested[1].upper() + (nested[2] or "")
    match = re.fullmatch(r"([A-Z_ 0-9]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", upper)
    name = _ALIASES.get(match[1], match[1]) if match else ""
    if not match or name not in _SIMPLE:
        raise ValueError(f"{text!r} is not a type")
    if name == "DECIMAL":
        return _decimal(match[2], match[3])
    return name


def _is_closed(parts: str) -> bool:
    """Whether a text is one pair of parentheses, with parts of types between them."""
    depth, at = 0, 0
    while at < len(parts):
        part = _PART.match(parts, at)
        if part is None or (at and not depth):
            return False
        at = part.end()
        depth += part.lastgroup == "open"
        depth -= part.lastgroup == "close"
    return not depth


def _decimal(width: str | None, scale: str | None) -> str:
    digits, places = (18, 3) if width is None else (int(width), int(scale or 0))
    if not 1 <= digits <= 38 or places > digits:
        raise ValueError(f"decimal({digits},{places}): width is 1 to 38 digits, scale at most the width")
    return f"DECIMAL({digits},{places})"


def known_types() -> list[str]:
    """Every word that can stand as a type, for spelling hints."""
    return sorted(_SIMPLE | set(_ALIASES) | set(_READ_AS))


_EVERYWHERE = {
    "UTINYINT": Landing("SMALLINT", Fidelity.WIDENED),
    "USMALLINT": Landing("INTEGER", Fidelity.WIDENED),
    "UINTEGER": Landing("BIGINT", Fidelity.WIDENED),
    "UBIGINT": Landing("DECIMAL(20,0)", Fidelity.WIDENED),
    "HUGEINT": Landing("BIGINT", Fidelity.EXACT, cast_checked=True),
    "UHUGEINT": Landing("BIGINT", Fidelity.EXACT, cast_checked=True),
    "JSON": Landing("VARCHAR", Fidelity.EXACT),
    "UUID": Landing("VARCHAR", Fidelity.EXACT),
    "BIT": Landing("VARCHAR", Fidelity.EXACT),
    "TIMESTAMP_S": Landing("TIMESTAMP", Fidelity.WIDENED),
    "TIMESTAMP_MS": Landing("TIMESTAMP", Fidelity.WIDENED),
    "TIMESTAMP_NS": Landing("TIMESTAMP", Fidelity.LOSSY),
    "EPOCH_S": Landing("TIMESTAMP WITH TIME ZONE", Fidelity.EXACT),
    "EPOCH_MS": Landing("TIMESTAMP WITH TIME ZONE", Fidelity.EXACT),
}

FILE_TYPES: dict[str, Landing] = {
    "TIME WITH TIME ZONE": Landing("", Fidelity.REFUSED),
    "INTERVAL": Landing("", Fidelity.REFUSED),
}
"""What Parquet files do not hold."""

DELTA_TYPES: dict[str, Landing] = {
    **FILE_TYPES,
    "TINYINT": Landing("BIGINT", Fidelity.WIDENED),
    "SMALLINT": Landing("BIGINT", Fidelity.WIDENED),
    "INTEGER": Landing("BIGINT", Fidelity.WIDENED),
    "UTINYINT": Landing("BIGINT", Fidelity.WIDENED),
    "USMALLINT": Landing("BIGINT", Fidelity.WIDENED),
    "UINTEGER": Landing("BIGINT", Fidelity.WIDENED),
    "FLOAT": Landing("DOUBLE", Fidelity.WIDENED),
    "TIME": Landing("", Fidelity.REFUSED),
}
"""What the Delta protocol does not hold, or only wider."""


def landed(type_text: str, special: Mapping[str, Landing] = MappingProxyType({})) -> Landing:
    """Return how a DuckDB type lands in a store (`special`: its `Capabilities.types`).

    Lists land as lists of the landed element; STRUCT, MAP and UNION are kept as they are; ENUM lands as text.
    """
    if type_text.endswith("]"):
        inner, _, size = type_text.rpartition("[")
        element = landed(inner, special)
        return Landing(f"{element.type}[{size}" if element.type else "", element.fidelity, element.cast_checked)
    if type_text.startswith("ENUM"):
        return Landing("VARCHAR", Fidelity.EXACT)
    return special.get(type_text) or _EVERYWHERE.get(type_text) or Landing(type_text, Fidelity.EXACT)


def wider_type(one: str, other: str) -> str | None:
    """Return the type that holds every value of both, or None when there is none without loss."""
    if one == other:
        return one
    integers = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT"]
    floats = ["FLOAT", "DOUBLE"]
    for ladder in (integers, floats):
        if one in ladder and other in ladder:
            return max(one, other, key=ladder.index)
    decimals = [re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", text) for text in (one, other)]
    if all(decimals):
        scale = max(int(d[2]) for d in decimals if d)
        digits = max(int(d[1]) - int(d[2]) for d in decimals if d)
        return f"DECIMAL({digits + scale},{scale})" if digits + scale <= 38 else None
    return None


def is_time_type(type_text: str) -> bool:
    """Whether the type is a date or a timestamp: a column whose range a commit records."""
    return type_text == "DATE" or (type_text.startswith("TIMESTAMP") and not type_text.endswith("]"))
