"""What `must` allows: a number is judged by it, and two of them are compared."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from headwater.core.policies import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.specs.base import MustArgs


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers between two ends; None is without end, and an open end is not part of it."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, number: Fraction) -> bool:
        """Whether a number lies in it."""
        above = self.low is None or number > Fraction(self.low) or (number == self.low and not self.low_open)
        below = self.high is None or number < Fraction(self.high) or (number == self.high and not self.high_open)
        return above and below

    def within(self, other: Span) -> bool:
        """Whether all of it lies in another one."""
        if other.low is not None:
            if self.low is None or self.low < other.low:
                return False
            if self.low == other.low and other.low_open and not self.low_open:
                return False
        if other.high is not None:
            if self.high is None or self.high > other.high:
                return False
            if self.high == other.high and other.high_open and not self.high_open:
                return False
        return True

    @property
    def is_empty(self) -> bool:
        """Whether no number lies in it."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))


NONE_WRONG = (Span(Decimal(0), Decimal(0)),)
"""What a check without `must` allows."""


def allowed_by(must: MustArgs | None) -> tuple[Span, ...]:
    """Return the numbers that `must` allows, in whole rows where rows are counted."""
    if must is None:
        return NONE_WRONG
    return _spans(must)


def passes(must: MustArgs | None, number: Fraction | int | Decimal) -> bool:
    """Whether a number is what it must be."""
    return any(span.holds(Fraction(number)) for span in allowed_by(must))


def passes_share(must: MustArgs | None, wrong: int, rows: int) -> bool:
    """Whether so many wrong rows of so many are what they must be; no row of none is wrong."""
    if must is None or must.unit is Unit.ROWS:
        return passes(must, wrong)
    return passes(must, Fraction(100 * wrong, rows) if rows else 0)


def describe_must(must: MustArgs, *, counts: bool) -> str:
    """Return what a number must be, as people say it; `counts`: it counts wrong rows."""
    value = getattr(must, must.operator)
    shown = " and ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"must {must.operator.replace('_', ' ')} {shown}{f' {must.unit}' if counts else ''}"


def is_loosened(before: MustArgs | None, after: MustArgs | None, *, counts: bool) -> bool:
    """Whether `after` lets a number pass that `before` did not; `counts`: the numbers are wrong rows.

    Rows and a share of them cannot be compared, but for none at all.
    """
    if counts:
        spans = [_counted(allowed_by(must), must) for must in (before, after)]
        if _unit(before) is not _unit(after) and spans[1] != NONE_WRONG:
            return True
    else:
        spans = [allowed_by(before), allowed_by(after)]
    return not _within(spans[1], spans[0])


def has_no_least(must: MustArgs | None) -> bool:
    """Whether fewer wrong rows are never worse."""
    spans = _counted(allowed_by(must), must)
    return len(spans) == 1 and spans[0].low == 0 and not spans[0].low_open


def _unit(must: MustArgs | None) -> Unit:
    return must.unit if must else Unit.ROWS


def _within(inner: Sequence[Span], outer: Sequence[Span]) -> bool:
    return all(any(one.within(other) for other in outer) for one in inner)


def _spans(must: MustArgs) -> tuple[Span, ...]:
    value = getattr(must, must.operator)
    low, high = value if isinstance(value, list) else (value, value)
    if must.be is not None or must.be_between is not None:
        return (Span(low, high),)
    if must.not_be is not None or must.not_be_between is not None:
        return (Span(None, low, high_open=True), Span(high, None, low_open=True))
    if must.be_less_than is not None or must.be_less_or_equal_to is not None:
        return (Span(None, high, high_open=must.be_less_than is not None),)
    return (Span(low, None, low_open=must.be_greater_than is not None),)


def _counted(spans: Sequence[Span], must: MustArgs | None) -> tuple[Span, ...]:
    """Return of the spans what numbers of rows, or shares of them, can be."""
    whole = _unit(must) is Unit.ROWS
    found = [_whole(span) if whole else _share(span) for span in spans]
    kept = [span for span in found if not span.is_empty]
    return tuple(_joined(kept) if whole else kept)


def _whole(span: Span) -> Span:
    low = Decimal(0)
    if span.low is not None:
        low = max(low, Decimal(floor(span.low) + 1 if span.low_open else ceil(span.low)))
    if span.high is None:
        return Span(low)
    return Span(low, Decimal(ceil(span.high) - 1 if span.high_open else floor(span.high)))


def _share(span: Span) -> Span:
    low, low_open = (Decimal(0), False) if span.low is None or span.low < 0 else (span.low, span.low_open)
    high, high_open = (span.high, span.high_open) if span.high is not None else (Decimal(100), False)
    return Span(low, Decimal(100), low_open) if high > 100 else Span(low, high, low_open, high_open)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join spans of whole numbers between which none lies."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.low or Decimal(0)):
        last = joined[-1] if joined else None
        if last is not None and (last.high is None or (span.low or Decimal(0)) <= last.high + 1):
            high = None if last.high is None or span.high is None else max(last.high, span.high)
            joined[-1] = Span(last.low, high)
        else:
            joined.append(span)
    return joined
