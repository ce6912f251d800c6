"""Variables and the run's clock in a query: `$name` becomes a typed literal at its token, never in text or comments."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_text
from headwater.core.types import normalize_type
from headwater.core.values import resolve_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLOCK = ("now", "interval_start", "interval_end")
"""Placeholders that are filled in when a step runs; the others are variables of headwater.yaml."""

CLOCK_PROBE = {
    "now": "TIMESTAMPTZ '2000-01-01'",
    "interval_start": "TIMESTAMP '2000-01-01'",
    "interval_end": "TIMESTAMP '2000-01-01'",
}
"""Values of the clock for parsing and binding, where only their types count."""

Shift = tuple[int, int, int]
"""(line, column, by): what stands on the line from the column on stood `by` columns further left."""

_MOST_DIGITS = 38
"""DuckDB reads a number of more digits as a DOUBLE."""

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_TIMESTAMP = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$")


def literal(value: Any) -> str:
    """Write a value as a typed SQL literal; numbers stay as they were written, and exact.

    An integer that no BIGINT holds is a DECIMAL(38,0), which every store has. A text that is an ISO date or timestamp
    gets that type; `{value, type}` overrides, and holds the value exactly; a list becomes a list.

    Raises:
        ValueError: The value has no literal form.
    """
    if isinstance(value, dict) and set(value) == {"value", "type"}:
        return _typed_literal(value["value"], str(value["type"]))
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    resolved = resolve_scalar(value)
    if resolved is None:
        return "NULL"
    if isinstance(resolved, bool):
        return "TRUE" if resolved else "FALSE"
    if isinstance(resolved, int | float | Decimal) and math.isfinite(resolved):
        return _number_literal(str(value).removeprefix("+"), resolved)
    if isinstance(resolved, datetime | date):
        resolved = resolved.isoformat()
    if isinstance(resolved, str):
        return _text_literal(resolved)
    raise ValueError(f"{resolved!r} cannot be written as a SQL literal")


def _typed_literal(value: Any, type_text: str) -> str:
    from headwater.sql.exact import EPOCHS, exact_text

    kind = normalize_type(type_text)
    if isinstance(value, list | dict):
        raise ValueError("`value` beside `type` is one scalar")
    if kind in EPOCHS:
        raise ValueError(f"{type_text} is how a source writes times; a variable is a timestamp or a timestamptz")
    if value is None:
        return f"CAST(NULL AS {kind})"
    if (text := exact_text(str(value), kind)) is None:
        raise ValueError(f"{value} is no {type_text}")
    return f"CAST({_quote_on_one_line(text)} AS {kind})"


def _number_literal(written: str, value: float | Decimal) -> str:
    digits = sum(character.isdigit() for character in written.lstrip("-0"))
    if digits > _MOST_DIGITS and "e" not in written.lower():
        raise ValueError(f"{written} has more than {_MOST_DIGITS} digits, the most that every store holds exactly")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"CAST('{written}' AS DECIMAL({_MOST_DIGITS},0))"
    return written if value >= 0 else f"({written})"


def _text_literal(value: str) -> str:
    if _DATE.match(value):
        return f"DATE '{date.fromisoformat(value).isoformat()}'"
    if _TIMESTAMP.match(value):
        return timestamp_literal(datetime.fromisoformat(value))
    return _quote_on_one_line(value)


def _quote_on_one_line(value: str) -> str:
    """Write a text literal without line ends, whatever it holds: line numbers of a query must stay."""
    if "\n" not in value and "\r" not in value:
        return quote_text(value)
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"E{quote_text(escaped)}"


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
    return fill_placeholders(text, value_of)[0]


def fill_placeholders(text: str, value_of: Callable[[str], str | None]) -> tuple[str, tuple[Shift, ...]]:
    """Replace every `$name` for which `value_of` gives a literal, and tell how columns moved."""
    pieces: list[str] = []
    shifts: list[Shift] = []
    last = 0
    for start, end, name in find_placeholders(text):
        if (value := value_of(name)) is None:
            continue
        pieces += [text[last:start], value]
        last = end
        line = text.count("\n", 0, start) + 1
        moved = sum(by for other, _, by in shifts if other == line)
        column = start - text.rfind("\n", 0, start) + moved
        shifts.append((line, column + len(value), len(value) - (end - start)))
    return "".join([*pieces, text[last:]]), tuple(shifts)


def column_before(shifts: Sequence[Shift], line: int, column: int) -> int:
    """Return the column, before placeholders were filled in, of a place in the filled text."""
    return column - sum(by for other, start, by in shifts if other == line and start <= column)


def fill_clock(text: str, now: datetime, interval: tuple[datetime, datetime] | None = None) -> SelectSql:
    """Fill in `$now`, and `$interval_start` and `$interval_end` as TIMESTAMP (without zone, UTC)."""
    values: Mapping[str, str] = {"now": timestamp_literal(now)}
    if interval:
        values = {
            **values,
            "interval_start": timestamp_literal(interval[0]),
            "interval_end": timestamp_literal(interval[1]),
        }
    return SelectSql(replace_placeholders(text, values.get))
