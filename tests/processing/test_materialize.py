"""Materializations against plain Python: whatever changes, the table is what its definition says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts import Select, Target
from headwater.core.commit import Column
from headwater.core.fragments import quote_identifier
from headwater.core.plan import Interval
from headwater.core.specs import ModelSpec
from headwater.errors import ProjectError, UserCodeError
from headwater.processing.duckdb.materialize import (
    first_change,
    interval_change,
    interval_predicate,
    key_change,
    land_query,
    replace_change,
    snapshot_change,
)
from tests.declared import STORES

from .tables import Table

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)
KEYED = {"k": "INTEGER", "odd name": "VARCHAR", "v": "DECIMAL(8,2)"}
VALUES = st.none() | st.sampled_from(["a", "b", ""])
CONTENT = st.dictionaries(st.integers(0, 5), st.tuples(VALUES, st.none() | st.integers(0, 2)), max_size=6)


def spec(**values: Any) -> ModelSpec:
    return ModelSpec.model_validate(values)


def span(start: int, end: int) -> Interval:
    return Interval(datetime(2024, 1, start), datetime(2024, 1, end))


def rows_of(content: dict[int, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(key, *values) for key, values in content.items()]


# ------------------------------------------------------------------------------------------------------------- by key

BY_KEY = spec(materialize="incremental", key="k")


@settings(max_examples=50)
@given(st.lists(CONTENT, min_size=1, max_size=4))
def test_incremental_by_key_is_the_query_and_writes_only_what_differs(versions: list[dict[int, Any]]) -> None:
    table = Table(KEYED)
    before: dict[int, Any] = {}
    for number, content in enumerate(versions):
        table.give(KEYED, rows_of(content))
        query, columns = table.landed()
        change = key_change(table.connection, BY_KEY, table.target, query, columns)
        if number:
            new = {key for key, values in content.items() if before.get(key, ...) != values}
            assert table.count(change.rows.on(table.connection)) == len(new)
            assert table.count(change.deletes) == len(before.keys() - content.keys())
        table.apply(change)
        assert table.rows('k, "odd name", v::INTEGER') == sorted(rows_of(content), key=repr)
        before = content


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a", 1), (1, "b", 2)], r"1 rows with a key that stands twice \(k\)\n  fix: filter them"),
        ([(None, "a", 1), (2, "b", 2)], r"1 rows with NULL in k\n  fix: filter them"),
    ],
)
def test_a_key_that_is_none_is_refused_before_anything_is_written(rows: list[Any], message: str) -> None:
    table = Table(KEYED)
    for _ in range(2):
        table.give(KEYED, rows)
        with pytest.raises(UserCodeError, match=message):
            key_change(table.connection, BY_KEY, table.target, *table.landed())
        table.give(KEYED, [(1, "a", 1)])
        table.apply(key_change(table.connection, BY_KEY, table.target, *table.landed()))


def test_a_key_of_two_columns() -> None:
    table = Table(KEYED)
    both = spec(materialize="incremental", key=["k", "odd name"])
    for rows in ([(1, "a", 1), (1, "b", 1)], [(1, "b", 2), (2, "b", 2)]):
        table.give(KEYED, rows)
        table.apply(key_change(table.connection, both, table.target, *table.landed()))
        assert table.rows('k, "odd name", v::INTEGER') == rows


# ------------------------------------------------------------------------------------------------------------ by time

TIMED = {"k": "INTEGER", "day": "DATE", "v": "VARCHAR"}
BY_TIME = spec(materialize="incremental", time="day", every="day", start="2024-01-01")
BY_TIME_AND_KEY = spec(materialize="incremental", time="day", every="day", start="2024-01-01", key="k")
DAYS = st.integers(1, 9).map(lambda day: date(2024, 1, day))
TIMED_CONTENT = st.dictionaries(st.integers(0, 6), st.tuples(st.none() | DAYS, VALUES), max_size=7)
INTERVALS = st.integers(1, 8).flatmap(lambda start: st.integers(start + 1, 9).map(lambda end: span(start, end)))


def inside(interval: Interval, row: tuple[Any, ...]) -> bool:
    return row[1] is not None and interval.start.date() <= row[1] < interval.end.date()


@settings(max_examples=50)
@given(TIMED_CONTENT, st.lists(st.tuples(TIMED_CONTENT, INTERVALS), max_size=4))
def test_incremental_by_time_replaces_the_rows_of_an_interval(first: Any, steps: list[Any]) -> None:
    table = Table(TIMED)
    table.give(TIMED, rows_of(first))
    table.apply(first_change(table.connection, BY_TIME, *table.landed(), span(1, 9)))
    expected = [row for row in rows_of(first) if inside(span(1, 9), row)]
    assert table.rows() == sorted(expected, key=repr)
    for content, interval in steps:
        table.give(TIMED, rows_of(content))
        table.apply(interval_change(table.connection, BY_TIME, table.target, *table.landed(), interval))
        expected = [row for row in expected if not inside(interval, row)]
        expected += [row for row in rows_of(content) if inside(interval, row)]
        assert table.rows() == sorted(expected, key=repr)


@settings(max_examples=50)
@given(TIMED_CONTENT, st.lists(TIMED_CONTENT, max_size=4))
def test_incremental_by_time_and_key_is_the_query_when_all_intervals_are_done(first: Any, versions: list[Any]) -> None:
    """Rows may move to another day: a key then leaves one interval and comes in another, in either order."""
    table = Table(TIMED)
    table.give(TIMED, rows_of(first))
    table.apply(first_change(table.connection, BY_TIME_AND_KEY, *table.landed(), span(1, 10)))
    for number, content in enumerate(versions):
        table.give(TIMED, rows_of(content))
        spans = [span(1, 4), span(4, 6), span(6, 10)]
        for interval in spans if number % 2 else reversed(spans):
            table.apply(interval_change(table.connection, BY_TIME_AND_KEY, table.target, *table.landed(), interval))
        expected = [row for row in rows_of(content) if inside(span(1, 10), row)]
        assert table.rows() == sorted(expected, key=repr)


def test_a_key_that_stands_twice_is_refused_in_the_first_build_too() -> None:
    table = Table(TIMED)
    table.give(TIMED, [(1, date(2024, 1, 1), "a"), (1, date(2024, 1, 2), "b")])
    with pytest.raises(UserCodeError, match="stands twice"):
        first_change(table.connection, BY_TIME_AND_KEY, *table.landed(), span(1, 9))
    table.apply(first_change(table.connection, BY_TIME_AND_KEY, *table.landed(), span(1, 2)))
    assert table.rows() == [(1, date(2024, 1, 1), "a")]


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_an_interval_begins_with_its_start_and_ends_before_its_end(kind: str) -> None:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f'CREATE TABLE t ("the time" {kind})')
    for text in ("2024-01-01", "2024-01-02", "2024-01-02 23:59:59.999999", "2024-01-03"):
        connection.execute("INSERT INTO t VALUES (CAST(? AS TIMESTAMP))", [text])
    row = connection.execute(f"SELECT count(*) FROM t WHERE {interval_predicate('the time', span(2, 3))}").fetchone()
    assert row == (2,)


def test_columns_are_written_in_the_table_s_order() -> None:
    table = Table(TIMED)
    table.give(TIMED, [(1, date(2024, 1, 1), "a")])
    table.apply(first_change(table.connection, BY_TIME, *table.landed(), span(1, 9)))
    query, columns = table.landed("SELECT v, 7::TINYINT AS more, day, k + 1 AS k FROM given")
    table.apply(interval_change(table.connection, BY_TIME, table.target, query, columns, span(1, 2)))
    assert [(c.name, c.type) for c in table.target.columns] == [
        ("k", "INTEGER"), ("day", "DATE"), ("v", "VARCHAR"), ("more", "TINYINT"),
    ]  # fmt: skip
    assert table.rows() == [(2, date(2024, 1, 1), "a", 7)]


def test_a_type_widens_and_what_cannot_is_refused() -> None:
    table = Table({"k": "INTEGER", "v": "SMALLINT"})
    table.give({"k": "INTEGER", "v": "SMALLINT"}, [(1, 5), (2, 5)])
    table.apply(key_change(table.connection, BY_KEY, table.target, *table.landed()))
    table.give({"k": "BIGINT", "v": "BIGINT"}, [(1, 5), (2, 10**12)])
    change = key_change(table.connection, BY_KEY, table.target, *table.landed())
    assert table.count(change.rows.on(table.connection)) == 1
    table.apply(change)
    assert [c.type for c in table.target.columns] == ["BIGINT", "BIGINT"]
    table.give({"k": "INTEGER", "v": "VARCHAR"}, [])
    with pytest.raises(UserCodeError, match=r"column v changed its type from BIGINT\n  fix: cast it to BIGINT, or"):
        key_change(table.connection, BY_KEY, table.target, *table.landed())
    table.give({"k": "INTEGER"}, [])
    with pytest.raises(UserCodeError, match="the query no longer gives v"):
        key_change(table.connection, BY_KEY, table.target, *table.landed())


def test_a_new_column_is_null_in_rows_that_stay() -> None:
    table = Table({"k": "INTEGER", "v": "VARCHAR"})
    table.give({"k": "INTEGER", "v": "VARCHAR"}, [(1, "a"), (2, "b")])
    table.apply(key_change(table.connection, BY_KEY, table.target, *table.landed()))
    table.give({"k": "INTEGER", "v": "VARCHAR", "w": "VARCHAR"}, [(1, "a", None), (2, "b", "x")])
    change = key_change(table.connection, BY_KEY, table.target, *table.landed())
    assert table.count(change.rows.on(table.connection)) == 1
    table.apply(change)
    assert table.rows() == [(1, "a", None), (2, "b", "x")]


# ---------------------------------------------------------------------------------------------------------- snapshots

HISTORY = {"k": "INTEGER", "v": "VARCHAR", "at": "TIMESTAMPTZ"}
SHOWN = 'k, v, epoch_us("at"), epoch_us(valid_from), epoch_us(valid_to)'
MOMENTS = st.integers(0, 4).map(lambda hour: NOW + timedelta(hours=hour))
RUNS = st.lists(st.dictionaries(st.integers(0, 3), st.tuples(VALUES, MOMENTS), max_size=4), min_size=1, max_size=5)
Version = tuple[int, Any, int, int | None]


def epoch_us(moment: datetime) -> int:
    return round(moment.timestamp() * 1000) * 1000


def remember(history: list[Version], key: int, value: Any, start: int, same: bool) -> list[Version]:
    """What SCD type 2 does with one row."""
    current = next((version for version in history if version[0] == key and version[3] is None), None)
    if current is None:
        return [*history, (key, value, start, None)]
    if same:
        return history
    start = max(start, current[2] + 1)
    history = [version for version in history if version is not current]
    return [*history, (*current[:3], start), (key, value, start, None)]


@settings(max_examples=50)
@given(RUNS)
def test_a_snapshot_with_a_time(runs: list[dict[int, tuple[Any, datetime]]]) -> None:
    """The time is a column like the others: a later one alone is a new version."""
    table = Table(HISTORY)
    versions: list[Version] = []
    for content in runs:
        table.give(HISTORY, rows_of(content))
        declared = spec(materialize="snapshot", key="k", time="at")
        table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), NOW))
        for key, (value, at) in content.items():
            same = any(v[:2] == (key, (value, epoch_us(at))) and v[3] is None for v in versions)
            versions = remember(versions, key, (value, epoch_us(at)), epoch_us(at), same)
        shown = [(k, *seen, start, end) for k, seen, start, end in versions]
        assert table.rows(SHOWN) == sorted(shown, key=repr)
        check_history(table)
        check_newest(table, content)


@settings(max_examples=50)
@given(st.lists(st.tuples(CONTENT, st.integers(-2, 5)), min_size=1, max_size=5))
def test_a_snapshot_by_load_time(runs: list[tuple[dict[int, Any], int]]) -> None:
    table = Table(KEYED)
    versions: list[Version] = []
    for content, hours in runs:
        table.give(KEYED, rows_of(content))
        now = NOW + timedelta(hours=hours)
        declared = spec(materialize="snapshot", key="k")
        table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), now))
        for key, values in content.items():
            same = any(v[:2] == (key, values) and v[3] is None for v in versions)
            versions = remember(versions, key, values, epoch_us(now), same)
        shown = table.rows('k, "odd name", v::INTEGER, epoch_us(valid_from), epoch_us(valid_to)')
        assert shown == sorted([(k, *values, start, end) for k, values, start, end in versions], key=repr)
        check_history(table)
        check_newest(table, content)


def check_history(table: Table) -> None:
    """One open version per key, none overlapping another."""
    assert table.count("SELECT k FROM kept WHERE valid_to IS NULL GROUP BY k HAVING count(*) > 1") == 0
    overlap = "a.k = b.k AND a.valid_from < b.valid_from AND a.valid_to > b.valid_from"
    assert table.count(f"SELECT 1 FROM kept a JOIN kept b ON {overlap}") == 0
    assert table.count("SELECT 1 FROM kept WHERE valid_to <= valid_from") == 0


def check_newest(table: Table, content: dict[int, Any]) -> None:
    """Whatever the clock: what is open of a key is what the source gives now."""
    own = [column.name for column in table.target.columns if not column.name.startswith("valid_")]
    names = ", ".join(map(quote_identifier, own))
    there = f"SELECT {names} FROM kept WHERE valid_to IS NULL"
    assert table.count(f"SELECT {names} FROM given EXCEPT {there}") == 0
    assert table.count(f"{there} AND k IN (SELECT k FROM given)") == len(content)


def test_advice_for_a_snapshot_says_what_is_lost() -> None:
    table = Table(KEYED)
    declared = spec(materialize="snapshot", key="k")
    table.give(KEYED, [(1, "a", 1)])
    table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), NOW))
    with pytest.raises(UserCodeError) as gone:
        snapshot_change(table.connection, declared, table.target, *table.landed("SELECT k, v FROM given"), NOW)
    assert "null as odd name" in gone.value.fix
    assert "forgets its history" in gone.value.fix
    other = table.landed('SELECT k, 1 AS "odd name", v FROM given')
    with pytest.raises(UserCodeError) as retyped:
        snapshot_change(table.connection, declared, table.target, *other, NOW)
    assert "forgets its history" in retyped.value.fix
    back = table.landed('SELECT k, null AS "odd name", v FROM given')
    table.apply(snapshot_change(table.connection, declared, table.target, *back, NOW - timedelta(days=1)))
    assert table.rows('"odd name", valid_to IS NULL') == [("a", False), (None, True)]


def test_a_second_snapshot_of_the_same_rows_writes_nothing() -> None:
    table = Table(KEYED)
    table.give(KEYED, [(1, None, None), (2, "a", 1)])
    declared = spec(materialize="snapshot", key="k")
    table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), NOW))
    change = snapshot_change(table.connection, declared, table.target, *table.landed(), NOW + timedelta(hours=1))
    assert (change.mode, change.key, table.count(change.rows.on(table.connection))) == ("merge", ("k", "valid_from"), 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a", NOW), (1, "b", NOW)], "1 rows with a key that stands twice"),
        ([(None, "a", NOW)], "1 rows with NULL in k, at"),
        ([(1, "a", None)], "1 rows with NULL in k, at"),
    ],
)
def test_what_a_snapshot_refuses(rows: list[Any], message: str) -> None:
    table = Table(HISTORY)
    table.give(HISTORY, rows)
    declared = spec(materialize="snapshot", key="k", time="at")
    with pytest.raises(UserCodeError, match=message):
        snapshot_change(table.connection, declared, table.target, *table.landed(), NOW)


def test_a_query_that_gives_a_snapshot_s_own_columns_is_refused() -> None:
    table = Table({"k": "INTEGER", "valid_to": "DATE"})
    with pytest.raises(UserCodeError, match="a snapshot adds valid_to itself\n  fix: give the column another name"):
        snapshot_change(table.connection, spec(materialize="snapshot", key="k"), table.target, *table.landed(), NOW)


def test_a_table_that_was_no_snapshot_is_to_be_rebuilt() -> None:
    table = Table(KEYED)
    query, columns = table.landed()
    table.apply(replace_change(query, columns))
    with pytest.raises(UserCodeError, match="the table is no snapshot yet\n  fix: rebuild it"):
        snapshot_change(table.connection, spec(materialize="snapshot", key="k"), table.target, query, columns, NOW)


def test_a_snapshot_takes_a_new_column() -> None:
    table = Table({"k": "INTEGER"})
    declared = spec(materialize="snapshot", key="k")
    table.give({"k": "INTEGER"}, [(1,), (2,)])
    table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), NOW))
    table.give({"k": "INTEGER", "v": "VARCHAR"}, [(1, "a"), (2, None)])
    table.apply(snapshot_change(table.connection, declared, table.target, *table.landed(), NOW + timedelta(hours=1)))
    assert table.rows("k, v, valid_to IS NULL") == [(1, "a", True), (1, None, False), (2, None, True)]


# ------------------------------------------------------------------------------------------------------------ landing


def land(store: str, expression: str) -> tuple[str, tuple[Column, ...]]:
    query = f"SELECT {expression} AS x"
    columns = tuple(Column(row[0], row[1]) for row in duckdb.execute(f"DESCRIBE {query}").fetchall())
    return land_query(query, columns, STORES[store], "m.a")


@pytest.mark.parametrize(
    ("store", "expression", "landed"),
    [
        ("warehouse", "1::INTEGER", "INTEGER"),
        ("warehouse", "sum(1)", "BIGINT"),
        ("warehouse", "1::UTINYINT", "SMALLINT"),
        ("warehouse", "1::USMALLINT", "INTEGER"),
        ("warehouse", "1::UINTEGER", "BIGINT"),
        ("warehouse", "18446744073709551615::UBIGINT", "DECIMAL(20,0)"),
        ("warehouse", "uuid()", "VARCHAR"),
        ("warehouse", "'a'::ENUM('a', 'b')", "VARCHAR"),
        ("warehouse", "time '12:00'", "TIME"),
        ("warehouse", "interval 1 day", "INTERVAL"),
        ("lakehouse", "1::INTEGER", "BIGINT"),
        ("lakehouse", "1::TINYINT", "BIGINT"),
        ("lakehouse", "1.5::FLOAT", "DOUBLE"),
        ("lakehouse", "[1::SMALLINT]", "BIGINT[]"),
        ("lake", "1::INTEGER", "INTEGER"),
        ("lake", "sum(1)", "BIGINT"),
    ],
)
def test_a_type_lands_in_a_store(store: str, expression: str, landed: str) -> None:
    query, columns = land(store, expression)
    assert [column.type for column in columns] == [landed]
    assert duckdb.execute(f"SELECT typeof(x) FROM ({query})").fetchone() == (landed,)
    source = columns[0].source_type
    assert (source == "") == (query == f"SELECT {expression} AS x")
    assert source != landed


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**63, -(2**63) - 1])
def test_a_sum_of_integers_is_a_bigint_and_overflow_is_an_error(number: int) -> None:
    query, _ = land("warehouse", f"(SELECT sum(n) FROM (VALUES ({number}::HUGEINT)) AS v(n))")
    if -(2**63) <= number < 2**63:
        assert duckdb.execute(query).fetchone() == (number,)
    else:
        with pytest.raises(duckdb.ConversionException, match="out of range"):
            duckdb.execute(query).fetchone()


@pytest.mark.parametrize(
    ("store", "expression", "message"),
    [
        (
            "lakehouse",
            "time '12:00'",
            r"m\.a: the lakehouse cannot hold TIME \(column x\)\n"
            "  fix: cast it .* to VARCHAR",
        ),
        ("lakehouse", "interval 1 day", "the lakehouse cannot hold INTERVAL"),
        ("lake", "interval 1 day", "the lake cannot hold INTERVAL"),
        ("lakehouse", "[interval 1 day]", r"the lakehouse cannot hold INTERVAL\[\]"),
        ("warehouse", "'2024-01-01'::TIMESTAMP_NS", "the warehouse would lose part of TIMESTAMP_NS .* to TIMESTAMP$"),
    ],
)
def test_a_type_that_does_not_fit_is_refused(store: str, expression: str, message: str) -> None:
    with pytest.raises(ProjectError, match=f"(?s){message}"):
        land(store, expression)


def test_a_whole_table_is_replaced() -> None:
    columns = (Column("x", "INTEGER"),)
    change = replace_change("SELECT 1 AS x", columns)
    assert (change.mode, change.rows, change.columns) == ("replace", Select("SELECT 1 AS x"), columns)
    assert Target(STORES["warehouse"]).scan == ""
