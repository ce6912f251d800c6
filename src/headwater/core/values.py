"""Small values that people write: durations, ratios, words."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from headwater.core.texts import is_hidden, visible

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$")
_RATIO = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")


_SIZE = re.compile(r"^\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*((?:[KMGT]i?)?B|)\s*$", re.IGNORECASE | re.ASCII)
_BYTES = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
    "TIB": 1 << 40,
}  # fmt: skip


def parse_duration(text: object) -> timedelta:
    """Read "5m", "10s", "3d", "26h", "2w" or "250ms".

    Raises:
        ValueError: The text is not a number and a unit.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.match(str(text))
    if not match:
        raise ValueError(f"{str(text)!r} is not a duration; write a number and a unit, like 30s, 5m, 26h or 3d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration the way people do: the largest unit that divides it."""
    seconds = value.total_seconds()
    for unit in ("w", "d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{(Decimal(value // timedelta(microseconds=1)) / 1000).normalize():f}ms" if seconds else "0s"


def parse_ratio(text: object) -> float:
    """Read "0.1%" as 0.001.

    Raises:
        ValueError: The text is not a percentage between 0 % and 100 %.
    """
    if isinstance(text, float) and not isinstance(text, bool):
        return text
    match = _RATIO.match(str(text))
    if not match or float(match[1]) > 100:
        raise ValueError(f"{str(text)!r} is not a percentage between 0% and 100%")
    return float(match[1]) / 100


def parse_limit(text: object) -> int | float:
    """Read a count ("100") as an int or a percentage ("0.1%") as a float between 0 and 1.

    Raises:
        ValueError: The text is neither.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return text
    stripped = str(text).strip()
    if stripped.isdigit():
        return int(stripped)
    if stripped.endswith("%"):
        return parse_ratio(stripped)
    raise ValueError(f"{stripped!r} is neither a number of rows nor a percentage")


def parse_size(text: object) -> int:
    """Read "2 GB", "500 MiB" or a number of bytes.

    Raises:
        ValueError: It is no number above zero with a unit of bytes.
    """
    match = _SIZE.match(str(text))
    size_bytes = int(Decimal(match[1]) * _BYTES[match[2].upper()]) if match else 0
    if size_bytes <= 0 or isinstance(text, bool):
        raise ValueError(
            f"{str(text)!r} is not a size; write a number of bytes, or one with a unit, like 500 MB or 2 GB"
        )
    return size_bytes


def parse_number(value: object) -> Decimal:
    """Read a number with all its digits.

    Raises:
        ValueError: It is no number that YAML knows, or not a finite one.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not (_CORE_INT.match(text) or _CORE_FLOAT.match(text)):
        raise ValueError(f"{text!r} is not a number")
    return Decimal(text)


def exact_scalar(value: Any) -> Any:
    """Return a scalar as it is kept: a number that is written plain with all its digits, anything else as its text."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, Plain | int | float):
        return str(value)
    text = str(value)
    if _CORE_INT.match(text):
        return int(text)
    return Decimal(text) if _CORE_FLOAT.match(text) and not re.match(r"^[-+]?0[0-9]", text) else text


def _check_path(text: str) -> str:
    if hidden := next((character for character in text if is_hidden(character)), ""):
        raise ValueError(f"the path holds {visible(hidden, one_line=True)}, which nobody sees")
    return text


def _words(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _duration_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    _duration_schema(r"^\d+(\.\d+)?(ms|s|m|h|d|w)$", "5m"),
]
"""A length of time, written as a number and a unit."""

Ratio = Annotated[float, BeforeValidator(parse_ratio), _duration_schema(r"^\d+(\.\d+)?%$", "20%")]
"""A share of rows, written as a percentage, held as a number between 0 and 1."""

Limit = Annotated[
    int | float,
    BeforeValidator(parse_limit),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?%$"}]}),
]
"""A number of rows (int) or a share of them (float between 0 and 1)."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([KMGT]i?)?B$", "examples": ["2 GB"]},
            ]
        }
    ),
]
"""A number of bytes."""

Number = Annotated[Decimal, BeforeValidator(parse_number), PlainSerializer(str), WithJsonSchema({"type": "number"})]
"""A number with all its digits."""

NumberPair = Annotated[list[Number], Field(min_length=2, max_length=2)]
"""Two numbers."""

PathText = Annotated[str, AfterValidator(_check_path)]
"""A path as people write it: any text whose characters are all seen."""

Words = Annotated[
    list[str],
    BeforeValidator(_words),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One word or a list of words."""


class Plain(str):
    """A YAML scalar that was written without quotes: its text, to be typed by the schema it meets."""

    __slots__ = ()


_CORE_WORDS: dict[str, bool] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_CORE_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
_CORE_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")


def resolve_scalar(value: Any) -> Any:
    """Type a plain scalar by the YAML 1.2 core schema: bool, int, float or text; lists and mappings by their parts.

    A number with a leading zero stays text, and so does everything quoted.
    """
    if isinstance(value, list):
        return [resolve_scalar(item) for item in value]
    if isinstance(value, dict):
        return {str(key): resolve_scalar(item) for key, item in value.items()}
    if not isinstance(value, Plain):
        return value
    if value in _CORE_WORDS:
        return _CORE_WORDS[value]
    if _CORE_INT.match(value):
        return int(value)
    if _CORE_FLOAT.match(value) and not re.match(r"^[-+]?0[0-9]", value):
        return float(value)
    return str(value)


_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def check_version(text: str) -> str:
    """Return a version that is one of SemVer.

    Source: Semantic Versioning 2.0.0, https://semver.org/.

    Raises:
        ValueError: It is none.
    """
    if not _VERSION.fullmatch(text):
        raise ValueError(f"{text!r} is not a version: write three numbers, major.minor.patch, like 1.0.0")
    return text
