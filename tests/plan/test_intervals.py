"""Arithmetic of intervals against plain sets of hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.plan import Interval
from headwater.core.specs import ModelSpec
from headwater.errors import PlanError
from headwater.plan.intervals import (
    floor_time,
    merge_spans,
    next_time,
    parse_moment,
    read_spans,
    subtract_spans,
    whole_span,
    write_spans,
)

EVERY = st.sampled_from(["hour", "day", "week", "month", "year"])
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1))
ZERO = datetime(2024, 1, 1)


def hours(*spans: Interval) -> set[int]:
    return {
        hour
        for span in spans
        for hour in range((span.start - ZERO) // timedelta(hours=1), (span.end - ZERO) // timedelta(hours=1))
    }


def interval(pair: tuple[int, int]) -> Interval:
    return Interval(ZERO + timedelta(hours=pair[0]), ZERO + timedelta(hours=pair[1]))


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(interval), max_size=8)


@given(MOMENTS, EVERY)
def test_a_moment_lies_in_its_interval(moment: datetime, every: str) -> None:
    start = floor_time(moment, every)
    end = next_time(start, every)
    assert start <= moment < end
    assert floor_time(start, every) == start == floor_time(end - timedelta(microseconds=1), every)
    assert floor_time(end, every) == end


@pytest.mark.parametrize(
    ("every", "start", "end"),
    [
        ("hour", "2024-02-29T13:00:00", "2024-02-29T14:00:00"),
        ("day", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
        ("week", "2024-02-26T00:00:00", "2024-03-04T00:00:00"),
        ("month", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("year", "2024-01-01T00:00:00", "2025-01-01T00:00:00"),
    ],
)
def test_the_interval_of_a_leap_day(every: str, start: str, end: str) -> None:
    floor = floor_time(datetime(2024, 2, 29, 13, 45), every)
    assert (floor.isoformat(), next_time(floor, every).isoformat()) == (start, end)


@given(SPANS)
def test_merged_spans_are_the_same_hours_apart_and_in_order(spans: list[Interval]) -> None:
    merged = merge_spans(spans)
    assert hours(*merged) == hours(*(span for span in spans if span.start < span.end))
    assert all(one.end < other.start for one, other in pairwise(merged))
    assert all(span.start < span.end for span in merged)


@given(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple).map(interval), SPANS)
def test_what_is_left_is_the_rest_of_the_hours(whole: Interval, done: list[Interval]) -> None:
    rest = subtract_spans(whole, done)
    assert hours(*rest) == hours(whole) - hours(*(span for span in done if span.start < span.end))
    assert merge_spans(rest) == rest


@given(SPANS)
def test_spans_come_back_from_a_position(spans: list[Interval]) -> None:
    assert read_spans({"intervals": write_spans(spans)}) == merge_spans(spans)


def test_a_position_without_intervals_has_none() -> None:
    assert read_spans({}) == ()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024-01-31T12:30", datetime(2024, 1, 31, 12, 30)),
        ("2024-01-31 12:30:00.25", datetime(2024, 1, 31, 12, 30, 0, 250000)),
        ("2024-01-31T12:30+02:00", datetime(2024, 1, 31, 10, 30)),
        ("2024-01-31T12:30Z", datetime(2024, 1, 31, 12, 30)),
    ],
)
def test_moments_are_utc_without_zone(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(PlanError, match="'January' is not an ISO date or timestamp\n  fix: write it like 2024-01-31"):
        parse_moment("January")


@given(MOMENTS, MOMENTS, EVERY)
def test_the_whole_span_ends_with_the_interval_that_holds_now(start: datetime, now: datetime, every: str) -> None:
    spec = ModelSpec.model_validate(
        {"materialize": "incremental", "time": "t", "every": every, "start": start.isoformat()}
    )
    whole = whole_span(spec, now.replace(tzinfo=UTC))
    assert whole.start == floor_time(start, every)
    if now >= start:
        assert whole.start <= now < whole.end
        assert floor_time(whole.end, every) == whole.end
        assert floor_time(whole.end - timedelta(microseconds=1), every) == floor_time(now, every)
    elif floor_time(now, every) < whole.start:
        assert whole.end == whole.start


def test_an_interval_shows_itself_as_iso() -> None:
    assert str(interval((0, 24))) == "2024-01-01T00:00:00/2024-01-02T00:00:00"
