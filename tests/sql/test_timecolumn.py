"""The column whose range of values tells which intervals a change touches."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.plan.intervals import floor_time
from headwater.sql.timecolumn import find_time_source

UNITS = ["second", "hour", "day", "week", "month", "quarter", "year", "decade"]
EVERY = ["hour", "day", "week", "month", "year"]


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("select placed as day from s.orders", ("s.orders", "placed")),
        ("select day from s.orders", ("s.orders", "day")),
        ("select cast(placed as date) as day, sum(x) from s.orders group by all", ("s.orders", "placed")),
        ("select placed::timestamp::date as Day from s.orders", ("s.orders", "placed")),
        ("select date_trunc('day', placed) as day from s.orders", ("s.orders", "placed")),
        (
            "select cast(date_trunc('hour', o.placed) as date) as day from s.orders as o join s.x using (k)",
            ("s.orders", "placed"),
        ),
        ("select x.placed as day from s.orders o left join s.x on o.k = x.k", ("s.x", "placed")),
        ("select orders.placed as day from s.orders, s.x", ("s.orders", "placed")),
        ("select o.placed as day from s.orders o, (select 1 from s.x) as q", ("s.orders", "placed")),
        ("select placed as day from orders", ("main.orders", "placed")),
        # not to be told
        ("select max(placed) as day from s.orders group by k", None),
        ("select placed + interval 1 day as day from s.orders", None),
        ("select coalesce(placed, shipped) as day from s.orders", None),
        ("select placed::varchar as day from s.orders", None),
        ("select date_trunc('month', placed) as day from s.orders", None),
        ("select date_trunc(unit, placed) as day from s.orders", None),
        ("select placed as day from s.orders join s.x using (k)", None),
        ("select placed as other from s.orders", None),
        ("select * from s.orders", None),
        ("select a.placed as day from s.orders a join s.orders b on a.k = b.k", None),
        ("select placed as day, (select max(y) from s.orders) as m from s.orders", None),
        ("select placed as day, sum(x) over (order by placed) as total from s.orders", None),
        ("select placed as day from s.orders qualify row_number() over (order by x) = 1", None),
        ("select placed as day from s.orders as o(placed, shipped)", None),
        ("select q.placed as day from (select placed from s.orders) as q", None),
        ("select u.placed as day from unnest([1]) as u(placed)", None),
        ("select s.placed as day from s.orders", None),
        ("with o as (from s.orders) select placed as day from o", None),
        ("select placed as day from s.a union select placed as day from s.b", None),
        ("select 1 as day", None),
        ("select placed as day", None),
        ("this is no sql", None),
        ("select 1; select 2", None),
    ],
)  # fmt: skip
def test_the_source_of_a_time_column(query: str, source: tuple[str, str] | None) -> None:
    assert find_time_source(query, "day", "day") == source


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(EVERY),
    st.sampled_from([*(f"date_trunc('{unit}', ts)" for unit in UNITS), "ts::date", "ts::timestamp_s", "ts"]),
)
def test_a_source_is_told_only_when_values_stay_in_their_interval(ts: datetime, every: str, expression: str) -> None:
    if find_time_source(f"select {expression} as t from s.x", "t", every) is None:
        return
    row = duckdb.execute(f"SELECT CAST({expression} AS TIMESTAMP) FROM (SELECT ?::timestamp AS ts)", [ts]).fetchone()
    assert row is not None
    assert floor_time(row[0].replace(microsecond=0), every) == floor_time(ts, every)


@pytest.mark.parametrize(
    ("every", "units"),
    [
        ("hour", ["second", "hour"]),
        ("day", ["second", "hour", "day"]),
        ("week", ["second", "hour", "day", "week"]),
        ("month", ["second", "hour", "day", "month"]),
        ("year", ["second", "hour", "day", "month", "quarter", "year"]),
    ],
)
def test_the_truncations_that_are_told(every: str, units: list[str]) -> None:
    told = [u for u in UNITS if find_time_source(f"select date_trunc('{u}', ts) as t from s.x", "t", every)]
    assert told == units
