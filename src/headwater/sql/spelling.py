"""How values are written as text that other programs read: SQL expressions by type, computed where values are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb.sqltypes import DuckDBPyType

_NESTED = ("list", "array", "struct", "map", "union", "variant")
_WHOLE = (
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
    "bignum",
)  # fmt: skip
_NOT_IN_ARROW = ("time with time zone", "bit", "uhugeint", "bignum", "variant")
"""Types that Arrow does not have: the offset would go, the bits be opaque, large numbers wrap around."""

_NOT_IN_PARQUET = (*_NOT_IN_ARROW, "interval", "union")


def as_text(value: str, type_: DuckDBPyType, depth: int = 0) -> str:
    """Return an expression of a value's text: ISO dates, times and intervals, hexadecimal bytes, JSON where it nests.

    Args:
        value: An expression.
        type_: Its type.
        depth: How many lists and maps are around it.
    """
    if type_.id in _NESTED:
        return as_json(value, type_, depth)
    written = _TEXTS.get(type_.id)
    return written(value) if written else f"CAST({value} AS VARCHAR)"


def as_json(value: str, type_: DuckDBPyType, depth: int = 0) -> str:
    """Return an expression of a value as JSON, NULL where the value is NULL.

    Integers are numbers with all their digits, decimals are strings, as is what is no number: NaN, Infinity.
    """
    if type_.id in _NESTED_JSON:
        return f"CASE WHEN {value} IS NOT NULL THEN {_NESTED_JSON[type_.id](value, type_.children, depth)} END"
    if type_.id in _WHOLE or type_.id == "boolean":
        return f"CAST({value} AS VARCHAR)"
    if type_.id in ("float", "double"):
        quoted = _quoted(as_text(value, type_))
        return f"CASE WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) ELSE {quoted} END"
    if type_.id == "variant":
        return _json_as_it_is(f"CAST({value} AS JSON)")
    if str(type_) == "JSON":
        return _json_as_it_is(value)
    text = as_text(value, type_)
    return _quoted(
        rf"regexp_replace({text}, '^(\d+-\d\d-\d\d) (\d)', '\1T\2')" if type_.id.startswith("timestamp") else text
    )


def as_held(value: str, type_: DuckDBPyType, *, parquet: bool = False) -> str:
    """Return an expression of what Arrow (or Parquet) holds of a value: the value, or its text where it has no type."""
    unknown = _NOT_IN_PARQUET if parquet else _NOT_IN_ARROW
    return as_text(value, type_) if _holds_any(type_, unknown) else value


def _holds_any(type_: DuckDBPyType, ids: tuple[str, ...]) -> bool:
    if type_.id in ids:
        return True
    children: Any = type_.children if type_.id in _NESTED_JSON else ()
    return any(_holds_any(child, ids) for _, child in children if not isinstance(child, int))


def _quoted(text: str) -> str:
    return f"CAST(to_json({text}) AS VARCHAR)"


def _member(value: str, type_: DuckDBPyType, depth: int) -> str:
    return f"coalesce({as_json(value, type_, depth)}, 'null')"


# ------------------------------------------------------------------------------------------------------------ scalars


def _float_text(value: str) -> str:
    return (
        f"CASE WHEN isnan({value}) THEN 'NaN' WHEN isinf({value}) THEN if({value} > 0, 'Infinity', '-Infinity') "
        f"ELSE CAST({value} AS VARCHAR) END"
    )


def _with_offset(value: str) -> str:
    """An offset of whole hours gets its minutes: +02 is +02:00."""
    return rf"regexp_replace(CAST({value} AS VARCHAR), '([+-]\d\d)$', '\1:00')"


def _interval_text(value: str) -> str:
    """ISO 8601, each part with its own sign: P1Y2M-3DT4H5M6.7S."""
    days = "".join(_part(f"{part}({value})", sign) for part, sign in (("year", "Y"), ("month", "M"), ("day", "D")))
    seconds = f"rtrim(rtrim(CAST(CAST(microsecond({value}) AS DECIMAL(18, 0)) * 0.000001 AS VARCHAR), '0'), '.')"
    times = "".join(_part(f"{part}({value})", sign) for part, sign in (("hour", "H"), ("minute", "M")))
    times += f" || if(microsecond({value}) <> 0, {seconds} || 'S', '')"
    timed = f"hour({value}) <> 0 OR minute({value}) <> 0 OR microsecond({value}) <> 0"
    return (
        f"CASE WHEN {value} = INTERVAL 0 SECOND AND day({value}) = 0 AND datepart('month', {value}) = 0 THEN 'PT0S' "
        f"WHEN {value} IS NOT NULL THEN 'P'{days} || CASE WHEN {timed} THEN 'T'{times} ELSE '' END END"
    )


def _part(number: str, sign: str) -> str:
    return f" || if({number} <> 0, CAST({number} AS VARCHAR) || '{sign}', '')"


_TEXTS: dict[str, Callable[[str], str]] = {
    "blob": lambda value: f"lower(hex({value}))",
    "float": _float_text,
    "double": _float_text,
    "interval": _interval_text,
    "time with time zone": _with_offset,
    "timestamp with time zone": _with_offset,
}


# ------------------------------------------------------------------------------------------------------------- nested


def _json_as_it_is(value: str) -> str:
    """Embed JSON with all its digits; DuckDB's parser takes words that JSON has not (NaN): such a text is a string."""
    text = f"CAST({value} AS VARCHAR)"
    bare = rf"""regexp_replace({text}, '"(\\.|[^"\\])*"', '', 'g')"""
    broken = rf"regexp_matches({bare}, '(?i)nan|inf|,\s*[\]}}]')"
    return f"CASE WHEN {broken} THEN {_quoted(text)} ELSE {text} END"


def _list_json(value: str, children: Any, depth: int) -> str:
    child, name = children[0][1], f"v{depth}"
    items = f"list_transform({value}, lambda {name}: {_member(name, child, depth + 1)})"
    return f"'[' || array_to_string({items}, ',') || ']'"


def _struct_json(value: str, children: Any, depth: int) -> str:
    if all(not name for name, _ in children):
        members = [_member(f"struct_extract({value}, {at})", child, depth) for at, (_, child) in enumerate(children, 1)]
        return f"'[' || {' || $$,$$ || '.join(members)} || ']'"
    members = [
        f"{_quoted(quote_text(name))} || ':' || {_member(f'struct_extract({value}, {quote_text(name)})', child, depth)}"
        for name, child in children
    ]
    return f"'{{' || {' || $$,$$ || '.join(members)} || '}}'"


def _map_json(value: str, children: Any, depth: int) -> str:
    """A map is an object: its keys are texts."""
    (_, key), (_, item) = children
    name = f"v{depth}"
    pair = f"{_quoted(as_text(f'{name}.key', key, depth + 1))} || ':' || {_member(f'{name}.value', item, depth + 1)}"
    return f"'{{' || array_to_string(list_transform(map_entries({value}), lambda {name}: {pair}), ',') || '}}'"


def _union_json(value: str, children: Any, depth: int) -> str:
    members = [
        f"WHEN {quote_text(name)} THEN {_member(f'union_extract({value}, {quote_text(name)})', child, depth)}"
        for name, child in children
        if name
    ]
    return f"CASE CAST(union_tag({value}) AS VARCHAR) {' '.join(members)} END"


_NESTED_JSON: dict[str, Callable[[str, Any, int], str]] = {
    "list": _list_json,
    "array": _list_json,
    "struct": _struct_json,
    "map": _map_json,
    "union": _union_json,
}
