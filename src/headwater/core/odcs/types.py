"""Types and their options in the Open Data Contract Standard: the type that lands, and what the options check."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_identifier
from headwater.core.near import suggest
from headwater.core.patterns import FORMATS, pattern_of_search
from headwater.core.specs.base import CheckSpec, LengthArgs, RangeArgs
from headwater.core.types import known_types, normalize_type
from headwater.core.values import exact_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.specs.standards import OdcsProperty

Fault = tuple[str, str]
"""What is wrong, and the fix."""

_LOGICAL = {
    "string": "VARCHAR", "date": "DATE", "timestamp": "TIMESTAMP", "number": "DOUBLE", "integer": "BIGINT",
    "boolean": "BOOLEAN",
}  # fmt: skip

_PHYSICAL_ONLY = ("time", "object", "array", "map", "vector")

_WHOLE = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}

_TEXT = re.compile(r"(?:CHAR|VARCHAR|BPCHAR|NVARCHAR|CHARACTER VARYING|TEXT|STRING)\s*\(\s*(\d+)\s*\)", re.IGNORECASE)

_ENDS = {"minimum": "min", "maximum": "max", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}

_OPTIONS: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format", "enum"),
    "date": (*_ENDS, "format"),
    "timestamp": (*_ENDS, "format", "timezone", "defaultTimezone"),
    "time": (*_ENDS, "format", "timezone", "defaultTimezone"),
    "integer": (*_ENDS, "multipleOf", "format"),
    "number": (*_ENDS, "multipleOf", "format"),
    "array": ("minItems", "maxItems", "uniqueItems"),
}

_SECONDS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
    "mo": 2592000, "month": 2592000, "months": 2592000,
    "y": 31536000, "yr": 31536000, "year": 31536000, "years": 31536000,
}  # fmt: skip
"""Units of a service level; a month is 30 days and a year 365."""

_ISO = re.compile(r"P(?:(\d+)([YMWD])|T(\d+)([HMS]))")
_ISO_SECONDS = {"Y": 31536000, "M": 2592000, "W": 604800, "D": 86400}
_ISO_TIME_SECONDS = {"H": 3600, "M": 60, "S": 1}


def type_of(prop: OdcsProperty) -> tuple[str, Fault | None]:
    """Return the type of a property as DuckDB spells it, "" when it cannot be known, and why.

    `physicalType` wins over `logicalType`.
    """
    if prop.physical_type:
        try:
            return normalize_type(prop.physical_type), None
        except ValueError:
            near = suggest(prop.physical_type.upper(), known_types(), "write DuckDB's name of the type")
            return "", (f"physicalType {prop.physical_type!r} is no type that a port has", near)
    logical = prop.logical_type.lower()
    if not logical:
        return "", ("its type is missing", "add a physicalType, like bigint, or a logicalType")
    form = str(prop.logical_type_options.get("format", ""))
    if logical == "integer" and form in ("i128", "u128"):
        return "", (f"no port holds an integer of the format {form}", "add a physicalType, like decimal(38,0)")
    if logical == "integer" and form == "u64":
        return "DECIMAL(20,0)", None
    if logical == "timestamp" and _is_true(prop.logical_type_options.get("timezone")):
        return "TIMESTAMP WITH TIME ZONE", None
    if logical in _PHYSICAL_ONLY:
        return "", (
            f"logicalType {logical} does not say how it is kept",
            "add a physicalType, like varchar or bigint[]",
        )
    if logical not in _LOGICAL:
        return "", (f"logicalType {logical!r} is not known", suggest(logical, [*_LOGICAL, *_PHYSICAL_ONLY]))
    return _LOGICAL[logical], None


def logical_type_of(type_text: str) -> str:
    """Return the standard's word for a type; "" when it has none."""
    if type_text.endswith("]"):
        return "array"
    if type_text.startswith(("STRUCT", "MAP", "UNION")):
        return "object"
    if type_text.startswith("DECIMAL") or type_text in ("DOUBLE", "FLOAT"):
        return "number"
    if type_text.startswith("TIMESTAMP"):
        return "timestamp"
    words = {"BIGINT": "integer", "VARCHAR": "string", "DATE": "date", "BOOLEAN": "boolean", "TIME": "time"}
    return words.get(type_text, "")


def options_of(prop: OdcsProperty, logical: str) -> tuple[list[CheckSpec], dict[str, Any], list[Fault]]:
    """Return the checks that the options of a property ask for, the options that are only kept, and what is wrong.

    Args:
        prop: The property.
        logical: Its logical type, or the one that its physical type has.
    """
    options = {key: value for key, value in prop.logical_type_options.items() if value is not None}
    known = _OPTIONS.get(logical, ())
    wrong = [
        (f"the option {key} of {logical or 'this type'} cannot be evaluated", _fix_option(key, known))
        for key in options if key not in known
    ]  # fmt: skip
    options = {key: value for key, value in options.items() if key in known}
    kept: dict[str, Any] = {key: options.pop(key) for key in ("timezone", "defaultTimezone") if key in options}
    column = prop.column
    checks = _ranges(column, options)
    lengths, told = _lengths(prop, options)
    wrong += told
    if lengths:
        checks.append(CheckSpec(length=LengthArgs(**lengths), column=column))
    checks += _more_checks(column, options)
    if "format" in options:
        formed, told = _format(column, logical, str(options["format"]))
        checks += formed
        wrong += told
        if not formed and not told:
            kept["format"] = options["format"]
    return checks, kept, wrong


def _ranges(column: str, options: Mapping[str, Any]) -> list[CheckSpec]:
    """Return the check of the ends of a range; an exclusive end beside the inclusive one is a check of its own."""
    ends = {_ENDS[key]: exact_scalar(options[key]) for key in _ENDS if key in options}
    alone = [{end: value} for end, value in ends.items() if _is_doubled(end, ends)]
    together = {end: value for end, value in ends.items() if not _is_doubled(end, ends)}
    return [CheckSpec(range=RangeArgs(**part), column=column) for part in (*alone, together) if part]


def _lengths(prop: OdcsProperty, options: Mapping[str, Any]) -> tuple[dict[str, int], list[Fault]]:
    """Return the ends of a text's length; `varchar(18)` has one, too."""
    lengths, wrong = {}, []
    for key, end in (("minLength", "min"), ("maxLength", "max")):
        if key in options and str(options[key]).isdigit():
            lengths[end] = int(str(options[key]))
        elif key in options:
            wrong.append((f"{key}: {options[key]} is no length", "write a whole number"))
    if (most := _TEXT.fullmatch(prop.physical_type.strip())) and "max" not in lengths:
        lengths["max"] = int(most[1])
    return lengths, wrong


def _is_doubled(end: str, ends: Mapping[str, Any]) -> bool:
    """Whether the exclusive end of a range stands beside the inclusive one."""
    return {"above": "min", "below": "max"}.get(end, "") in ends


def _fix_option(key: str, known: tuple[str, ...]) -> str:
    return suggest(key, known) if known else "leave it out, or write a rule of quality: type: sql"


def _more_checks(column: str, options: Mapping[str, Any]) -> list[CheckSpec]:
    checks = []
    name = quote_identifier(column)
    if "pattern" in options:
        checks.append(CheckSpec(pattern=pattern_of_search(str(options["pattern"])), column=column))
    if "enum" in options and isinstance(options["enum"], list):
        checks.append(CheckSpec(accepted_values=[exact_scalar(one) for one in options["enum"]], column=column))
    conditions = {
        "multipleOf": f"{name} % {{value}} <> 0",
        "minItems": f"len({name}) < {{value}}",
        "maxItems": f"len({name}) > {{value}}",
    }
    for key, condition in conditions.items():
        if key in options:
            checks.append(CheckSpec(sql=f"select * from this where {condition.format(value=_number(options[key]))}"))
    if _is_true(options.get("uniqueItems")):
        checks.append(CheckSpec(sql=f"select * from this where len(list_distinct({name})) <> len({name})"))
    return checks


def _number(value: Any) -> str:
    settled = exact_scalar(value)
    return f"'{str(value).replace(chr(39), '')}'" if isinstance(settled, str) else f"{settled}"


def _format(column: str, logical: str, form: str) -> tuple[list[CheckSpec], list[Fault]]:
    """Return the check of a format; neither check nor problem for one that is only kept."""
    if logical == "integer" and form in _WHOLE:
        low, high = _WHOLE[form]
        return [CheckSpec(range=RangeArgs(min=low, max=high), column=column)], []
    if logical == "string" and form in FORMATS:
        return [CheckSpec(pattern=FORMATS[form], column=column)], []
    if logical == "string" and form not in ("password", "binary"):
        return [], [(f"the format {form!r} cannot be evaluated", suggest(form, FORMATS, "write a pattern instead"))]
    if logical == "integer" and form not in ("i64", "i128", "u128"):
        return [], [(f"the format {form!r} cannot be evaluated", suggest(form, [*_WHOLE, "i64"]))]
    if logical == "number" and form not in ("f32", "f64"):
        return [], [(f"the format {form!r} cannot be evaluated", "write f32 or f64, or leave it out")]
    return [], []


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def read_span(value: Any, unit: str) -> timedelta | Fault:
    """Return the length of time of a service level: a number and its unit, or a duration of ISO 8601."""
    number = exact_scalar(value)
    if isinstance(number, str) and not unit and (iso := _ISO.fullmatch(number.strip().upper())):
        seconds = _ISO_SECONDS[iso[2]] * int(iso[1]) if iso[1] else _ISO_TIME_SECONDS[iso[4]] * int(iso[3])
        return timedelta(seconds=seconds)
    if number is None or isinstance(number, str):
        return f"the value {value!r} is no number", "write a number and a unit: value: 26, unit: h"
    word = unit.strip().lower()
    if word == "m":
        return "the unit m is a minute to some and a month to others", "write min or month"
    if word not in _SECONDS:
        known = ["s", "min", "h", "d", "w", "month", "y"]
        return (f"the unit {unit!r} is not known" if unit else "the unit is missing"), suggest(word, known)
    try:
        return timedelta(seconds=float(number * _SECONDS[word]))
    except OverflowError:
        return f"{value} {unit} is too long", "write a shorter time"


def write_span(span: timedelta) -> tuple[int, str]:
    """Return a length of time, of whole seconds, as a number and a unit that `read_span` reads."""
    seconds = int(span.total_seconds())
    for unit in ("d", "h", "min"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return seconds // _SECONDS[unit], unit
    return seconds, "s"


_RULES = frozenset(("required", "unique", "quality", "relationships", "enum", "logicalTypeOptions"))


def has_rules(within: Mapping[str, Any]) -> bool:
    """Whether the parts of a property, `properties` and `items`, ask for something of their values."""
    parts = within.get("properties"), within.get("items")
    return any(
        bool(_RULES & {key for key, value in part.items() if str(value).lower() not in ("false", "none", "[]")})
        or has_rules(part)
        for found in parts
        for part in (found if isinstance(found, list) else [found])
        if isinstance(part, dict)
    )
