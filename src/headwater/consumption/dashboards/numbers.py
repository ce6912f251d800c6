"""Numbers as people read them: every digit, grouped; rounded only where a format says so; one number of a column."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.blocks import Aggregate
from headwater.consumption.dashboards.parameters import NO_VALUE
from headwater.core.texts import visible
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.consumption.dashboards.results import Cell, ResultColumn

_PLAIN = re.compile(r"(-?)([0-9]+)((?:\.[0-9]+)?)")
_FORMAT = re.compile(r"\{(?::([^{}]*))?\}")
_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)
_ISO = re.compile(r"[0-9]{4}-[^()]*")
_SHORTEST_GROUPED = 5
"""A whole number of fewer digits stands in a table as it is: 2024 is a year more often than a count."""


def show_number(text: str, *, at_least: int = 0) -> str:
    """Group a number's digits by commas, all of them; what is no plain number (1e+20, NaN) stays as it is."""
    found = _PLAIN.fullmatch(text)
    if not found or (len(found[2]) < at_least and not found[3]):
        return text
    return f"{found[1]}{int(found[2]):,}{found[3]}" if len(found[2]) <= 4000 else text


def show_cell(value: Cell, column: ResultColumn, form: str | None = None, *, in_table: bool = False) -> str:
    """Return a value as people read it, on one line; NULL is an en dash.

    Raises:
        ProjectError: The format rounds, and the value is no number.
    """
    if value is None:
        return NO_VALUE
    if form is None:
        least = _SHORTEST_GROUPED if in_table and column.is_integer else 0
        return show_number(value, at_least=least) if column.is_number else visible(value, one_line=True)
    return format_value(value, column, form)


def format_value(value: str, column: ResultColumn, form: str) -> str:
    """Write a value by a format: text around `{}`, `{:,.2f}`, `{:.1%}`; braces in the text stand twice.

    Raises:
        ProjectError: It rounds, and the value is no number.
    """
    found = next(match for match in _FORMAT.finditer(form) if form[: match.start()].count("{") % 2 == 0)
    before, after = (
        part.replace("{{", "{").replace("}}", "}") for part in (form[: found.start()], form[found.end() :])
    )
    if not found[1]:
        shown = show_number(value) if column.is_number else visible(value, one_line=True)
    elif not column.is_number:
        raise ProjectError(f"the format {found[0]} is for numbers; {column.name} is {column.type}", fix="write {}")
    else:
        shown = _rounded(value, found[1])
    return f"{before}{shown}{after}"


def _rounded(value: str, form: str) -> str:
    number = Decimal(value)
    if not number.is_finite():
        return value
    with localcontext(_EXACT):
        return format(number, form)


def aggregate(values: Sequence[Cell], column: ResultColumn, agg: Aggregate) -> Cell:
    """Make one value of a column, exactly; NULLs are left out, as in SQL, but by `first` and `last`.

    An average of exact numbers is rounded to two digits more than the column has. Sums and averages of DOUBLE are the
    nearest DOUBLE to the exact sum, whatever the order of rows.

    Raises:
        ProjectError: The column has no such aggregate.
    """
    if agg in (Aggregate.FIRST, Aggregate.LAST):
        return (values[0] if agg is Aggregate.FIRST else values[-1]) if values else None
    present = [value for value in values if value is not None]
    if agg is Aggregate.COUNT:
        return str(len(present))
    if agg in (Aggregate.MIN, Aggregate.MAX):
        return _extreme(present, column, agg)
    if not column.is_number:
        raise ProjectError(
            f"{column.name} is {column.type}: {agg} is for numbers", fix="use count, min, max, or a cast"
        )
    if not present:
        return None
    return _sum_of_floats(present, agg) if column.is_float else _sum_exactly(present, column, agg)


def _extreme(values: Sequence[str], column: ResultColumn, agg: Aggregate) -> Cell:
    if not values:
        return None
    choose = min if agg is Aggregate.MIN else max
    if column.is_number:
        numbers = [value for value in values if value != "NaN"]
        if agg is Aggregate.MAX and len(numbers) < len(values):
            return "NaN"  # as DuckDB orders it: above all numbers
        return choose(numbers, key=Decimal) if numbers else "NaN"
    if column.type == "VARCHAR" or (column.is_time and all(_ISO.fullmatch(value) for value in values)):
        return choose(values)
    what = f"{agg} of {column.name} ({column.type}) cannot be found from its texts"
    raise ProjectError(what, fix=f"write {agg}({column.name}) in SQL")


def _sum_exactly(values: Sequence[str], column: ResultColumn, agg: Aggregate) -> str:
    with localcontext(_EXACT):
        total = sum((Decimal(value) for value in values), Decimal(0))
        if agg is Aggregate.SUM:
            return format(total, "f")
        scale = max(-int(Decimal(values[0]).as_tuple().exponent), 0) + 2
        return format(total / len(values), f".{scale}f")


def _sum_of_floats(values: Sequence[str], agg: Aggregate) -> str:
    numbers = [float(value) for value in values]
    endless = {number for number in numbers if not math.isfinite(number)}
    if endless:
        return _written(endless.pop() if len(endless) == 1 else math.nan)
    try:
        total = math.fsum(numbers)
    except OverflowError:
        raise ProjectError("the sum is larger than a DOUBLE can be", fix="sum as DECIMAL in SQL") from None
    return _written(total if agg is Aggregate.SUM else total / len(numbers))


def _written(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return format(Decimal(repr(number)), "f") if 1e-6 <= abs(number) < 1e16 or not number else repr(number)


def difference(value: Cell, other: Cell) -> tuple[str, str] | None:
    """Return how much a number is above another, and by how many percent with the sign ("" where that has no sense).

    None where one of them is missing or is no number.
    """
    if value is None or other is None:
        return None
    with localcontext(_EXACT):
        one, two = Decimal(value), Decimal(other)
        if not (one.is_finite() and two.is_finite()):
            return None
        by = one - two
        return format(by, "f"), "" if two == 0 else format(by / abs(two), "+.1%")
