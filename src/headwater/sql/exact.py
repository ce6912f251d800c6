"""Casts that alter no value: SQL that gives a value in another type, or NULL where that type does not hold it exactly.

DuckDB's own casts are lenient: `1.5` becomes the integer 2, `0x1F` 31 and `1_000` 1000, `1/2/24` a day of the year 1, a
date drops its time and a timestamp its offset. Here a text is read in these notations only:

- numbers: digits with a sign, a point and an exponent; `inf`, `infinity` and `nan` for FLOAT and DOUBLE, which take the
  nearest value; every other type holds the value exactly (`588.00` is the integer 588);
- dates: a year of four digits, month, day (`-` or `/` between them), with midnight or without a time;
- timestamps: such a date, or one and a time (`T` or a blank between them) with an offset, `Z`, `UTC`, `GMT` or without;
  a time with an offset in a column without one is converted to UTC; digits of a second that the type does not hold
  have to be zeros;
- dates and times under a format of strptime: its letters with as many digits as they stand for (`%Y` four).

Typed values are compared with what they become, cast back. Sessions run in UTC.
Source: DuckDB 1.5.5, measured; ISO 8601 and RFC 3339 for times.
"""

from __future__ import annotations

import re
from functools import lru_cache

from headwater.core.fragments import quote_identifier, quote_text
from headwater.sql.nested import is_nested, list_element, map_types, struct_fields, text_twin
from headwater.sql.sealed import connect_sealed

INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
)
FLOATS = frozenset({"FLOAT", "DOUBLE"})
EPOCHS = {"EPOCH_S": ("DECIMAL(24,6)", 1_000_000), "EPOCH_MS": ("DECIMAL(24,3)", 1_000)}
"""Numbers since 1970-01-01 UTC: as what they are read, and how many microseconds one is."""

_TEXTS = frozenset({"VARCHAR", "JSON"})
_SECOND_DIGITS = {"TIMESTAMP": 6, "TIMESTAMP WITH TIME ZONE": 6, "TIMESTAMP_S": 0, "TIMESTAMP_MS": 3, "TIMESTAMP_NS": 9}
_DAY = r"[0-9]{4}(?:-[0-9]{1,2}-|/[0-9]{1,2}/)[0-9]{1,2}"
_ZONE = r"(?:[Zz]|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9](?::?[0-5][0-9])?)?| ?UTC| ?GMT)"
_UTC = r"(?:[Zz]|[+-]00(?::?00(?::?00)?)?| ?UTC| ?GMT)"
_BEFORE_CHRIST = r"(?: \(BC\))?"
_INFINITY = r"[+-]?infinity"
_EXPONENT = r"^\s*[+-]?[0-9]*\.?([0-9]*?)0*[eE]([+-]?[0-9]{1,3})\s*$"
_SMALL = r"^\s*[+-]?[0-9]*?(0*)(?:\.0*)?[eE](-[0-9]{1,3})\s*$"
"""A whole number with a negative exponent: its zeros at the end, and the exponent."""


def exact_cast_sql(value: str, source: str, target: str, *, from_boolean: bool = False) -> str:
    """Return SQL of `value` as `target`, NULL where `target` does not hold it exactly.

    Args:
        value: SQL of the value; it is repeated, so let it be a column.
        source: Its DuckDB type.
        target: The DuckDB type wanted, or EPOCH_S or EPOCH_MS (which give TIMESTAMP WITH TIME ZONE).
        from_boolean: Whether true may become the number 1, as somebody has said in so many words.
    """
    if target in EPOCHS:
        number, factor = EPOCHS[target]
        counted = exact_cast_sql(value, source, number)
        return f"TRY(make_timestamptz(TRY_CAST({counted} * {factor} AS BIGINT)))"
    if source == target:
        return value
    if source in _TEXTS:
        if target in _TEXTS:
            return f"CAST({value} AS {target})" if target == "VARCHAR" else f"TRY_CAST({value} AS {target})"
        return text_cast_sql(f"CAST({value} AS VARCHAR)" if source == "JSON" else value, target)
    if source == "BOOLEAN" and not from_boolean and _is_number(target):
        return f"CAST(NULL AS {target})"
    tried = f"TRY_CAST({value} AS {target})"
    if target == "FLOAT" and source == "DOUBLE":
        return f"CASE WHEN isinf({tried}) AND NOT isinf({value}) THEN NULL ELSE {tried} END"
    if target in FLOATS and (source.startswith("DECIMAL") or source in FLOATS):
        return tried
    if target == "VARCHAR":
        return f"TRY(decode({value}))" if source == "BLOB" else tried
    return f"CASE WHEN TRY_CAST({tried} AS {source}) IS NOT DISTINCT FROM {value} THEN {tried} END"


def text_cast_sql(value: str, target: str, tried: str = "") -> str:
    """Return SQL of a text as `target`, NULL where it is not in one of the notations above or does not fit.

    Args:
        value: SQL of the text, a VARCHAR; it is repeated, so let it be a column.
        target: The DuckDB type wanted.
        tried: What DuckDB's own TRY_CAST makes of it, where that is at hand already: it is repeated, too.
    """
    tried = tried or f"TRY_CAST({value} AS {target})"
    if target in INTEGERS:
        return _number(value, tried, 0)
    if match := re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", target):
        return _number(value, tried, int(match[1]))
    if target in FLOATS:
        endless = _full(value, r"\s*[+-]?(?i:inf|infinity)\s*")
        word = _full(value, r"\s*[+-]?(?i:nan)\s*")
        refused = f"contains({value}, '_') OR (isinf({tried}) AND NOT {endless}) OR (isnan({tried}) AND NOT {word})"
        return f"CASE WHEN {refused} THEN NULL ELSE {tried} END"
    if target == "DATE":
        return _date(value, tried)
    if target in _SECOND_DIGITS:
        return _timestamp(value, target, tried)
    if target in ("TIME", "TIME WITH TIME ZONE"):
        return _time(value, target)
    if target == "BOOLEAN":
        return f"coalesce({tried}, TRY_CAST(trim({value}) AS BOOLEAN))"
    if target == "INTERVAL":
        return f"CASE WHEN regexp_matches({value}, '\\.[0-9]{{6}}[0-9]*[1-9]') THEN NULL ELSE {tried} END"
    return nested_cast_sql(f"TRY_CAST({value} AS {text_twin(target)})", target) if is_nested(target) else tried


def nested_cast_sql(parts: str, target: str, given: str = "TRUE") -> str:
    """Return SQL of a nested value of texts as `target`, NULL where one of them does not fit.

    Args:
        parts: SQL of the value, in the shape of `target` with VARCHAR in the place of every plain type.
        target: A list, an array, a STRUCT or a MAP.
        given: A test that has to hold, too.
    """
    element = list_element(target)
    free = f"{element}[]" if element is not None else target  # DuckDB has no CASE over arrays of a fixed length
    value = f"CASE WHEN {given} AND {_fits(parts, target, 0)} THEN {_typed(parts, free, 0)} END"
    return value if free == target else f"TRY_CAST({value} AS {target})"


def formatted_cast_sql(value: str, target: str, written: str) -> str:
    """Return SQL of a text in a format of strptime as `target`, NULL where it is not in that format or does not fit.

    Args:
        value: SQL of the text, a VARCHAR; it is repeated, so let it be a column.
        target: DATE, or a type of timestamps.
        written: The format. Source: https://duckdb.org/docs/stable/sql/functions/dateformat
    """
    parsed = f"try_strptime({value}, {quote_text(written)})"
    source = "TIMESTAMP WITH TIME ZONE" if re.search(r"%-?[zZ]", written) else "TIMESTAMP"
    source = "TIMESTAMP_NS" if "%n" in written and source == "TIMESTAMP" else source
    typed = exact_cast_sql(parsed, source, target)
    return f"CASE WHEN {_full(value, _format_pattern(written))} THEN {typed} END"


@lru_cache(maxsize=4096)
def exact_text(text: str, target: str) -> str | None:
    """Return a text whose plain CAST gives what a type holds of `text` exactly, None where it does not hold it.

    It is the text itself, but for what a plain cast would alter: a time's offset in a type without one.
    """
    query = (
        f"SELECT plain IS NOT DISTINCT FROM exact, CAST(exact AS VARCHAR) "
        f"FROM (SELECT TRY_CAST(v AS {target}) AS plain, {exact_cast_sql('v', 'VARCHAR', target)} AS exact "
        "FROM (SELECT $1::VARCHAR AS v)) WHERE exact IS NOT NULL"
    )
    with connect_sealed() as connection:
        found = connection.execute(query, [text]).fetchone()
    return (text if found[0] else str(found[1])) if found else None


def _is_number(type_text: str) -> bool:
    return type_text in INTEGERS or type_text in FLOATS or type_text.startswith("DECIMAL")


def _full(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, {quote_text(pattern)})"


def _number(value: str, tried: str, scale: int) -> str:
    """Numbers as DuckDB writes them are let through; of others the digits behind the point are counted."""
    fraction = rf"\.[0-9]{{0,{scale}}}0*"
    plain = rf"\s*[+-]?(?:[0-9]+(?:{fraction})?|{fraction})\s*"
    places = f"strlen(regexp_extract({value}, {quote_text(_EXPONENT)}, 1))"
    moved = f"TRY_CAST(regexp_extract({value}, {quote_text(_EXPONENT)}, 2) AS INTEGER)"
    zeros = f"strlen(regexp_extract({value}, {quote_text(_SMALL)}, 1))"
    less = f"TRY_CAST(regexp_extract({value}, {quote_text(_SMALL)}, 2) AS INTEGER)"
    return (
        f"CASE WHEN CAST({tried} AS VARCHAR) = {value} OR {_full(value, plain)} THEN {tried} "
        f"WHEN {places} - {moved} <= {scale} THEN {tried} "
        f"WHEN -({less}) - {zeros} <= {scale} THEN {tried} END"
    )


def _date(value: str, tried: str) -> str:
    midnight = rf"(?:[T ]00:00(?::00(?:\.0*)?)?{_UTC}?)?"
    pattern = rf"\s*(?:{_DAY}{midnight}{_BEFORE_CHRIST}|(?i:{_INFINITY}))\s*"
    usual = f"strlen({value}) = 10 AND CAST({tried} AS VARCHAR) = {value}"
    return f"CASE WHEN ({usual}) OR {_full(value, pattern)} THEN {tried} END"


def _time(value: str, target: str) -> str:
    zone = f"{_ZONE}?" if target != "TIME" else ""
    pattern = rf"\s*{_clock(6)}{zone}\s*"
    read = f"regexp_replace({value}, '[Zz]|\\s|UTC|GMT', '', 'g')" if zone else value
    return f"CASE WHEN {_full(value, pattern)} THEN TRY_CAST({read} AS {target}) END"


def _clock(digits: int) -> str:
    return rf"[0-9]{{1,2}}:[0-9]{{1,2}}(?::[0-9]{{1,2}}(?:\.[0-9]{{0,{digits}}}0*)?)?"


def _timestamp(value: str, target: str, tried: str) -> str:
    local = rf"\s*(?:{_DAY}(?:[T ]{_clock(_SECOND_DIGITS[target])})?{_BEFORE_CHRIST}|(?i:{_INFINITY}))\s*"
    zoned = rf"\s*{_DAY}[T ]{_clock(_SECOND_DIGITS[target])}{_ZONE}{_BEFORE_CHRIST}\s*"
    instant = f"TRY_CAST(trim({value}) AS TIMESTAMP WITH TIME ZONE)"
    if target == "TIMESTAMP_NS":
        instant = f"TRY_CAST(regexp_replace({value}, {quote_text(_UTC)}, '') AS TIMESTAMP_NS)"
        zoned = zoned.replace(_ZONE, _UTC)
    elif target != "TIMESTAMP WITH TIME ZONE":
        instant = f"TRY_CAST({instant} AS {target})"
    usual = f"{value} LIKE '____-__-_____:__:__' AND {value} BETWEEN '0' AND ':'"
    trimmed = f"TRY_CAST(trim({value}) AS {target})"
    return (
        f"CASE WHEN {usual} THEN {tried} WHEN {_full(value, local)} THEN {trimmed} "
        f"WHEN {_full(value, zoned)} THEN {instant} END"
    )


def _typed(text: str, target: str, depth: int) -> str:
    """Every plain part in its type."""
    item = f"x{depth}"
    if (element := list_element(target)) is not None:
        return f"TRY_CAST(list_transform({text}, lambda {item}: {_typed(item, element, depth + 1)}) AS {target})"
    if (fields := struct_fields(target)) is not None:
        parts = ", ".join(
            f"{quote_identifier(n)} := {_typed(f'{text}.{quote_identifier(n)}', kind, depth)}" for n, kind in fields
        )
        return f"CASE WHEN {text} IS NOT NULL THEN struct_pack({parts}) END"
    if (pair := map_types(target)) is not None:
        keys = _typed(f"map_keys({text})", f"{pair[0]}[]", depth)
        return f"map({keys}, {_typed(f'map_values({text})', f'{pair[1]}[]', depth)})"
    return text if target == "VARCHAR" else text_cast_sql(text, target)


def _fits(text: str, target: str, depth: int) -> str:
    """Whether every plain part that is there fits its type."""
    item = f"x{depth}"
    if (element := list_element(target)) is not None:
        wrong = f"list_filter({text}, lambda {item}: NOT ({_fits(item, element, depth + 1)}))"
        return f"coalesce(len({wrong}), 0) = 0"
    if (fields := struct_fields(target)) is not None:
        return " AND ".join(f"({_fits(f'{text}.{quote_identifier(n)}', kind, depth)})" for n, kind in fields)
    if (pair := map_types(target)) is not None:
        names = _typed(f"map_keys({text})", f"{pair[0]}[]", depth)
        once = f"coalesce(list_unique({names}) = len({names}), TRUE)"
        keys = f"{_fits(f'map_keys({text})', f'{pair[0]}[]', depth)} AND {once}"
        return f"({keys}) AND ({_fits(f'map_values({text})', f'{pair[1]}[]', depth)})"
    return "TRUE" if target == "VARCHAR" else f"({text} IS NULL OR ({_typed(text, target, depth)}) IS NOT NULL)"


_DIRECTIVES = {
    **dict.fromkeys("dmHIMSuwUWV", "[0-9]{1,2}"), "j": "[0-9]{1,3}", "Y": "[0-9]{4}", "G": "[0-9]{4}", "y": "[0-9]{2}",
    "p": "[AaPp][Mm]", **dict.fromkeys("aAbB", "[A-Za-z]+"), "f": "[0-9]{1,6}0*", "g": "[0-9]{1,3}0*",
    "n": "[0-9]{1,9}0*", "z": r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)", "Z": r"[A-Za-z0-9_/+-]+",
    "%": "%", "c": rf"{_DAY} {_clock(6)}", "x": _DAY, "X": _clock(6),
}  # fmt: skip


def _format_pattern(written: str) -> str:
    """Return the regular expression of the texts that a format stands for."""
    pattern, index = r"\s*", 0
    while index < len(written):
        if written[index] == "%" and index + 1 < len(written):
            index += 2 if written[index + 1] == "-" and index + 2 < len(written) else 1
            pattern += _DIRECTIVES.get(written[index], ".+")
        elif written[index].isspace():
            pattern += r"\s+"
        else:
            pattern += re.escape(written[index])
        index += 1
    return pattern + r"\s*"
