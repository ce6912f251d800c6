"""Which intervals of an incremental model are due: arithmetic on UTC times without zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.plan import Interval
from headwater.core.values import format_duration
from headwater.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.core.commit import TableState
    from headwater.core.specs import ModelSpec


@dataclass(frozen=True, slots=True)
class Due:
    """Spans to be computed, in order and without overlap, and the reason for people; `note` when a limit was used."""

    spans: tuple[Interval, ...]
    reason: str
    note: str = ""


def floor_time(moment: datetime, every: str) -> datetime:
    """Return the start of the interval that holds a moment; weeks start on Monday."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    if every == "week":
        return day - timedelta(days=day.weekday())
    if every == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if every == "year" else day


def next_time(start: datetime, every: str) -> datetime:
    """Return the start of the interval after the one that starts at `start`."""
    if every == "month":
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    if every == "year":
        return start.replace(year=start.year + 1)
    return start + {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}[every]


def merge_spans(spans: Iterable[Interval]) -> tuple[Interval, ...]:
    """Join spans that touch or overlap."""
    merged: list[Interval] = []
    for span in sorted(spans):
        if span.start >= span.end:
            continue
        if merged and span.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def subtract_spans(whole: Interval, done: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the parts of `whole` that `done` does not cover."""
    rest, at = [], whole.start
    for span in merge_spans(done):
        if span.end <= at or span.start >= whole.end:
            continue
        if span.start > at:
            rest.append(Interval(at, span.start))
        at = max(at, span.end)
    if at < whole.end:
        rest.append(Interval(at, whole.end))
    return tuple(rest)


def read_spans(position: Mapping[str, Any]) -> tuple[Interval, ...]:
    """Read the finished spans of a position."""
    return tuple(Interval(parse_moment(a), parse_moment(b)) for a, b in position.get("intervals", ()))


def write_spans(spans: Iterable[Interval]) -> list[list[str]]:
    """Write finished spans into a position."""
    return [[span.start.isoformat(), span.end.isoformat()] for span in merge_spans(spans)]


def parse_moment(text: str) -> datetime:
    """Read an ISO date or timestamp as UTC without zone.

    Raises:
        PlanError: It is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PlanError(f"{text!r} is not an ISO date or timestamp", fix="write it like 2024-01-31") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def parse_span(begin: str | None, end: str | None) -> Interval | None:
    """Read the span of `--from` and `--to`; None when neither is given.

    Raises:
        PlanError: One is not a time, or the span is empty.
    """
    if begin is None and end is None:
        return None
    span = Interval(parse_moment(begin) if begin else datetime.min, parse_moment(end) if end else datetime.max)
    if span.start >= span.end:
        raise PlanError(f"from {begin} to {end} is no span of time", fix="give --from a time before that of --to")
    return span


def whole_span(spec: ModelSpec, now: datetime) -> Interval:
    """Return the span from `start` to the end of the interval that holds `now`."""
    assert spec.every is not None
    first = floor_time(parse_moment(str(spec.start)), spec.every)
    local = now.astimezone(UTC).replace(tzinfo=None)
    return Interval(first, max(first, next_time(floor_time(local, spec.every), spec.every)))


def rebuilt_span(spec: ModelSpec, own: TableState | None, now: datetime) -> Interval:
    """Return the span that changed SQL makes invalid: to now, or to what was finished under a later clock."""
    whole = whole_span(spec, now)
    done = read_spans(own.position) if own and own.commit else ()
    return Interval(whole.start, max([whole.end, *(span.end for span in done)]))


def clip_span(spec: ModelSpec, span: Interval, now: datetime) -> Interval | None:
    """Return the whole intervals of a model that a span touches, or None when it has none there."""
    every, whole = str(spec.every), whole_span(spec, now)
    begin, end = max(span.start, whole.start), min(span.end, whole.end)
    if begin >= end:
        return None
    last = floor_time(end, every)
    return Interval(floor_time(begin, every), last if last == end else next_time(last, every))


def find_due(
    spec: ModelSpec,
    own: TableState | None,
    inputs: Mapping[str, TableState],
    recorded: Mapping[str, int],
    time_source: tuple[str, str] | None,
    now: datetime,
    volatile: str = "",
) -> Due:
    """Find the spans that are missing, or whose rows an input's change may touch.

    Args:
        spec: The model's header.
        own: State of its table.
        inputs: State of each stored input.
        recorded: Version of each input that the last commit read.
        time_source: (dataset, column) that `time` comes from, None when unknown.
        now: The run's clock.
        volatile: Why unchanged inputs may give other rows; "" when they may not.
    """
    whole = whole_span(spec, now)
    done = read_spans(own.position) if own and own.commit else ()
    missing = subtract_spans(whole, done)
    made = [whole, *(span for span in done if span.end > whole.end)]  # the latter under a later clock
    touched: list[Interval] = []
    changed: list[str] = []
    unknown = [volatile] if volatile else []
    for name, state in inputs.items():
        if name not in recorded or state.version == recorded[name]:
            continue
        changed.append(name)
        spans = _touched(spec, name, state, recorded[name], time_source)
        if spans is None:
            unknown.append(f"{name} changed in rows whose time is not known")
        touched += spans or ()
    if unknown:
        touched.append(_reach(spec, made, done, now))
    touched = [cut for part in merge_spans(made) for span in touched if (cut := _common(part, span, whole.start))]
    parts = [f"{len(missing)} span{'s' if len(missing) != 1 else ''} missing"] if missing else []
    parts += [f"{', '.join(changed)} changed"] if changed else []
    parts += [volatile] if volatile else []
    note = ""
    if unknown and spec.lookback is not None:
        note = f"{'; '.join(unknown)}: only the last {format_duration(spec.lookback)} again"
    return Due(merge_spans([*missing, *touched]), "; ".join(parts) or "nothing is due", note)


def _common(part: Interval, span: Interval, start: datetime) -> Interval | None:
    """Return what two spans have in common after `start`."""
    begin, end = max(part.start, span.start, start), min(part.end, span.end)
    return Interval(begin, end) if begin < end else None


def _reach(spec: ModelSpec, made: Sequence[Interval], done: Sequence[Interval], now: datetime) -> Interval:
    """Return what a change of unknown time may touch: everything, or what `lookback` reaches.

    It reaches back from what was finished last, or from now where that is earlier: a clock that jumps ahead, or stood
    still for a while, leaves no change out.
    """
    last = max(span.end for span in made)
    if spec.lookback is None:
        return Interval(made[0].start, last)
    since = min([now.astimezone(UTC).replace(tzinfo=None), *([max(span.end for span in done)] if done else [])])
    return Interval(floor_time(since - spec.lookback, str(spec.every)), last)


def _touched(
    spec: ModelSpec, name: str, state: TableState, version: int, source: tuple[str, str] | None
) -> list[Interval] | None:
    """Return the spans whose rows a change of an input touches, or None when that cannot be known."""
    if source is None or source[0] != name or state.commit is None:
        return None
    changes = state.commit.changes_since(version)
    if changes is None:
        return None
    spans = []
    for times in changes:
        if times is None or source[1] not in times:
            return None
        low, high = (parse_moment(text) for text in times[source[1]])
        every = str(spec.every)
        spans.append(Interval(floor_time(low, every), next_time(floor_time(high, every), every)))
    return spans
