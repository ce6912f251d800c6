"""Cursor values in positions: exact, typed, with a lag that stays in range."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.cursor import DEFAULT_LAG, decode_cursor, effective_lag, encode_cursor, subtract_lag

VALUES = st.one_of(
    st.tuples(st.just("BIGINT"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("HUGEINT"), st.integers(-(2**100), 2**100)),
    st.tuples(st.just("DOUBLE"), st.floats(allow_nan=False)),
    st.tuples(st.just("DECIMAL(38,10)"), st.decimals(allow_nan=False, allow_infinity=False, places=10)),
    st.tuples(st.just("DATE"), st.dates()),
    st.tuples(st.just("TIMESTAMP"), st.datetimes()),
    st.tuples(st.just("TIMESTAMP WITH TIME ZONE"), st.datetimes(timezones=st.just(UTC))),
    st.tuples(st.just("VARCHAR"), st.text()),
)


@given(VALUES)
def test_a_cursor_comes_back_as_it_was(typed):
    type_text, value = typed
    stored = json.loads(json.dumps(encode_cursor(value)))
    again = decode_cursor(stored, type_text)
    assert again == value
    assert type(again) is type(value)


def test_an_instant_is_stored_in_utc_with_microseconds():
    moment = datetime(2024, 1, 1, 2, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert encode_cursor(moment) == "2024-01-01 00:00:00.000005+00:00"


@pytest.mark.parametrize("value", [True, None, b"x", [1]])
def test_what_has_no_order_is_no_cursor(value):
    with pytest.raises(TypeError):
        encode_cursor(value)


@pytest.mark.parametrize(
    ("stored", "type_text"), [("x", "BIGINT"), ("x", "DECIMAL(3,1)"), ("x", "DATE"), ("x", "TIMESTAMP")]
)
def test_a_changed_type_is_seen(stored, type_text):
    with pytest.raises(ValueError, match="x"):
        decode_cursor(stored, type_text)


def test_a_lag_never_leaves_the_calendar():
    assert subtract_lag(datetime(2024, 1, 1, 0, 5), timedelta(minutes=5)) == datetime(2024, 1, 1)
    assert subtract_lag(datetime(1, 1, 1, 0, 1), timedelta(minutes=5)) == datetime.min
    assert subtract_lag(datetime(1, 1, 1, tzinfo=UTC), timedelta(1)) == datetime.min.replace(tzinfo=UTC)
    assert subtract_lag(date(2024, 1, 3), timedelta(hours=1)) == date(2024, 1, 2)
    assert subtract_lag(date(1, 1, 1), timedelta(days=3)) == date.min
    with pytest.raises(TypeError):
        subtract_lag(5, timedelta(minutes=5))


def test_the_default_lag_is_for_timestamps_with_a_key():
    assert effective_lag("TIMESTAMP WITH TIME ZONE", None, has_key=True) == DEFAULT_LAG
    assert effective_lag("TIMESTAMP", None, has_key=False) is None
    assert effective_lag("BIGINT", None, has_key=True) is None
    assert effective_lag("BIGINT", timedelta(1), has_key=True) == timedelta(1)
