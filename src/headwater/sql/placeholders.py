"""Variables and the run's clock in a query: `$name` becomes a typed literal at its token, never in text or comments."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headwater.model.types import normalize_type
from headwater.model.values import resolve_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLOCK = ("now", "interval_start", "interval_end")
"""Placeholders that are filled in when a step runs; the others are variables of headwater.yaml."""

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_TIMESTAMP = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$")


def quote_identifier(name: str) -> str:
    """Quote a name for DuckDB, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def quote_dataset(dataset: str) -> str:
    """Quote `namespace.dataset` part by part."""
    namespace, _, name = dataset.partition(".")
    return f"{quote_identifier(namespace)}.{quote_identifier(name)}"


def quote_text(value: str) -> str:
    """Write a text literal."""
    return "'" + value.replace("'", "''") + "'"


def literal(value: Any) -> str:
    """Write a value as a typed SQL literal.

    A text that is an ISO date or timestamp gets that type; `{value, type}` overrides; a list becomes a list.

    Raises:
        ValueError: The value has no literal form.
    """
    value = resolve_scalar(value)
    if isinstance(value, dict) and set(value) == {"value", "type"}:
        return f"CAST({quote_text(str(value['value']))} AS {normalize_type(str(value['type']))})"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float | Decimal):
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, datetime | date):
        value = value.isoformat()
    if isinstance(value, str):
        return _text_literal(value)
    raise ValueError(f"{value!r} cannot be written as a SQL literal")


def _text_literal(value: str) -> str:
    if _DATE.match(value):
        return f"DATE {quote_text(value)}"
    if match := _TIMESTAMP.match(value):
        return f"{'TIMESTAMPTZ' if match[3] else 'TIMESTAMP'} {quote_text(value)}"
    return quote_text(value)


def timestamp_literal(value: datetime) -> str:
    """Write an instant (with zone) as TIMESTAMPTZ, a local one as TIMESTAMP."""
    word = "TIMESTAMPTZ" if value.tzinfo else "TIMESTAMP"
    return f"{word} '{value.isoformat(sep=' ')}'"


def interval_literal(value: timedelta) -> str:
    """Write a duration as an INTERVAL literal of microseconds."""
    return f"INTERVAL '{round(value.total_seconds() * 1_000_000)} microseconds'"


def find_placeholders(text: str) -> list[tuple[int, int, str]]:
    """Return (start, end, name) of every `$name` token, as character offsets.

    Text literals, dollar-quoted text, quoted names and comments are not touched: DuckDB's tokenizer decides.
    """
    if "$" not in text:
        return []
    import duckdb

    raw = text.encode()
    tokens = duckdb.tokenize(text)
    found = []
    for (offset, kind), (following, next_kind) in pairwise(tokens):
        if raw[offset : offset + 1] != b"$" or following != offset + 1 or str(kind) != "token_type.operator":
            continue
        match = re.match(r"\w+", raw[following:].decode(errors="replace"))
        if match and str(next_kind) != "token_type.string_const":
            start = len(raw[:offset].decode())
            found.append((start, start + 1 + len(match[0]), match[0]))
    return found


def replace_placeholders(text: str, value_of: Callable[[str], str | None]) -> str:
    """Replace every `$name` for which `value_of` gives a literal; the others stay."""
    pieces: list[str] = []
    last = 0
    for start, end, name in find_placeholders(text):
        if (value := value_of(name)) is not None:
            pieces += [text[last:start], value]
            last = end
    return "".join([*pieces, text[last:]])


def fill_clock(text: str, now: datetime, interval: tuple[datetime, datetime] | None = None) -> str:
    """Fill in `$now`, and `$interval_start` and `$interval_end` as TIMESTAMP (without zone, UTC)."""
    values: Mapping[str, str] = {"now": timestamp_literal(now)}
    if interval:
        values = {
            **values,
            "interval_start": timestamp_literal(interval[0]),
            "interval_end": timestamp_literal(interval[1]),
        }
    return replace_placeholders(text, values.get)
