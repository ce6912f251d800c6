"""Every kind of check against a plain Python oracle; all checks of a table in one query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.run import CheckResult
from headwater.core.specs import CheckSpec
from headwater.core.values import Plain
from headwater.quality import compile_scan, read_scan, sample_query

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)
NAMES = ["a", "odd name", 'say "hi"', "select", "é", "a.b", "rows", "this"]

Row = tuple[int | None, str | None]
ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 4), st.none() | st.sampled_from(["x", "y", "xx", "X", ""])), max_size=8
)


def connect(rows: Sequence[tuple[Any, ...]], columns: dict[str, str]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    quoted = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {kind}' for name, kind in columns.items())
    connection.execute(f"CREATE TABLE t ({quoted})")
    for row in rows:
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' for _ in row)})", list(row))
    return connection


def scan(
    connection: duckdb.DuckDBPyConnection, *checks: dict[str, Any], now: datetime = NOW
) -> tuple[CheckResult, ...]:
    compiled = compile_scan([CheckSpec.model_validate(check) for check in checks], "SELECT * FROM t", now)
    row = connection.execute(compiled.query).fetchone()
    assert row is not None
    return read_scan(compiled, row)


def oracle(rows: list[Row], number: str, text: str) -> dict[str, tuple[dict[str, Any], int]]:
    """Per check: its declaration, and how many rows are wrong."""
    numbers = [row[0] for row in rows]
    texts = [row[1] for row in rows]
    given_numbers = [n for n in numbers if n is not None]
    given_texts = [t for t in texts if t is not None]
    pairs = [row for row in rows if None not in row]
    return {
        "not_null": ({"not_null": number}, numbers.count(None)),
        "not_null of two": ({"not_null": [number, text]}, sum(None in row for row in rows)),
        "unique": ({"unique": number}, len(given_numbers) - len(set(given_numbers))),
        "unique of two": ({"unique": [number, text]}, len(pairs) - len(set(pairs))),
        "accepted_values": (
            {"accepted_values": ["x", "y", None], "column": text},
            sum(t not in ("x", "y") for t in given_texts),
        ),
        "accepted_values of numbers": (
            {"accepted_values": [Plain("1"), 2], "column": number},
            sum(n not in (1, 2) for n in given_numbers),
        ),
        "no accepted values": ({"accepted_values": [], "column": text}, len(given_texts)),
        "range": (
            {"range": {"min": Plain("1"), "max": 3}, "column": number},
            sum(not 1 <= n <= 3 for n in given_numbers),
        ),
        "range upwards": ({"range": {"min": 0.5}, "column": number}, sum(n < 0.5 for n in given_numbers)),
        "range downwards": ({"range": {"max": 2}, "column": number}, sum(n > 2 for n in given_numbers)),
        "range of texts": ({"range": {"min": "x"}, "column": text}, sum(t < "x" for t in given_texts)),
        "pattern": ({"pattern": "[xy]", "column": text}, sum(not re.fullmatch("[xy]", t) for t in given_texts)),
        "relationship": (
            {"relationship": {"to": "other.keys", "field": "the key"}, "column": number},
            sum(n not in (1, 2) for n in given_numbers),
        ),
        "row_count": ({"row_count": {"min": 2, "max": 4}}, int(not 2 <= len(rows) <= 4)),
        "sql": (
            {"sql": f"select * from this where {quote(number)} > 3; -- big"},
            sum(n > 3 for n in given_numbers),
        ),
        "sql with a CTE": (
            {"sql": f"with b as (from this) select 1 from b where {quote(text)} = 'X'"},
            texts.count("X"),
        ),
    }  # fmt: skip


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@given(ROWS, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_every_kind_counts_as_plain_python_does(rows: list[Row], number: str, text: str) -> None:
    if number == text:
        text = f"{text} too"
    connection = connect(rows, {number: "INTEGER", text: "VARCHAR"})
    connection.execute("CREATE SCHEMA other")
    connection.execute('CREATE TABLE other.keys AS SELECT * FROM (VALUES (1), (2), (NULL)) AS v("the key")')
    expected = oracle(rows, number, text)
    results = scan(connection, *(check for check, _ in expected.values()))
    assert {name: result.failing for name, result in zip(expected, results, strict=True)} == {
        name: wrong for name, (_, wrong) in expected.items()
    }
    assert all(result.passed == (result.failing == 0) and result.rows == len(rows) for result in results)


@given(ROWS)
def test_a_sample_holds_wrong_rows_only(rows: list[Row]) -> None:
    connection = connect(rows, {"n": "INTEGER", "t": "VARCHAR"})
    connection.execute("CREATE SCHEMA other")
    connection.execute('CREATE TABLE other.keys AS SELECT 1 AS "the key"')
    for check, wrong in oracle(rows, "n", "t").values():
        compiled = compile_scan([CheckSpec.model_validate(check)], "SELECT * FROM t", NOW)
        query = sample_query(compiled.measures[0], "SELECT * FROM t", 3)
        if "row_count" in check:
            assert query == ""
        elif "relationship" not in check:
            found = connection.execute(query).fetchall()
            assert bool(found) == bool(wrong)
            assert len(found) <= 3


def test_a_sample_shows_values_as_text() -> None:
    connection = connect([(datetime(2024, 1, 1, tzinfo=UTC),)], {"at": "TIMESTAMPTZ"})
    compiled = compile_scan([CheckSpec(sql="from this")], "SELECT * FROM t", NOW)
    found = connection.execute(sample_query(compiled.measures[0], "SELECT * FROM t"))
    assert [column[0] for column in found.description or ()] == ["at"]
    assert found.fetchall() == [("2024-01-01 00:00:00+00",)]


def test_a_duplicate_key_is_shown_with_its_count() -> None:
    connection = connect([(1,), (1,), (1,), (2,)], {"rows": "INTEGER"})
    compiled = compile_scan([CheckSpec.model_validate({"unique": "rows"})], "SELECT * FROM t", NOW)
    assert connection.execute(sample_query(compiled.measures[0], "SELECT * FROM t")).fetchall() == [("1", "3")]


@pytest.mark.parametrize(
    ("kind", "newest", "failing", "detail"),
    [
        ("TIMESTAMPTZ", "2024-01-31 11:00:00+00", 0, ""),
        ("TIMESTAMPTZ", "2024-01-31 12:59:00+02", 1, "newest is 2024-01-31 10:59:00+00"),
        ("TIMESTAMP", "2024-01-31 11:00", 0, ""),
        ("TIMESTAMP", "2024-01-31 10:59:59.999999", 1, "newest is 2024-01-31 10:59:59.999999"),
        ("DATE", "2024-01-31", 1, "newest is 2024-01-31"),
        ("DATE", "2024-02-01", 0, ""),
        ("TIMESTAMP", None, 1, "no rows"),
    ],
)
def test_freshness_is_told_by_the_runs_clock(kind: str, newest: str | None, failing: int, detail: str) -> None:
    rows = [(newest,), (None,)] if newest else []
    (result,) = scan(connect(rows, {"at": kind}), {"freshness": "1h", "column": "at"})
    assert (result.failing, result.detail) == (failing, detail)
    assert result.check == "freshness(at, 1h)"


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=400)), st.integers(-5, 5))
def test_freshness_to_the_second(age: timedelta, off: int) -> None:
    age = timedelta(seconds=int(age.total_seconds()))
    moment = NOW - age + timedelta(seconds=off)
    spec = {"freshness": f"{int(age.total_seconds())}s", "column": "at"}
    (result,) = scan(connect([(moment,)], {"at": "TIMESTAMPTZ"}), spec)
    assert result.passed == (off >= 0)


def test_the_names_of_checks() -> None:
    checks: list[dict[str, Any]] = [
        {"not_null": "a"}, {"unique": ["a", "b"]}, {"range": {"min": Plain("0")}, "column": "a"},
        {"range": {"min": 0, "max": 1.5}, "column": "a"}, {"pattern": "x+", "column": "b"},
        {"accepted_values": ["x"], "column": "b"}, {"row_count": {"max": 3}},
        {"sql": "select *\n  from this"}, {"row_count": {"min": 1}, "name": "not empty"},
        {"unique": "a", "severity": "warning", "name": "one each"},
    ]  # fmt: skip
    results = scan(connect([(1, "x")], {"a": "INTEGER", "b": "VARCHAR"}), *checks)
    assert [result.check for result in results] == [
        "not_null(a)", "unique(a, b)", "range(a, 0..)", "range(a, 0..1.5)", "pattern(b)", "accepted_values(b)",
        "row_count(..3)", "sql(select * from this)", "not empty", "one each",
    ]  # fmt: skip
    assert [result.severity for result in results] == ["error"] * 9 + ["warning"]


def test_a_count_is_shown_when_it_is_wrong() -> None:
    (result,) = scan(connect([(1,), (2,)], {"a": "INTEGER"}), {"row_count": {"min": 3}})
    assert (result.failing, result.detail) == (1, "2 rows")


def test_all_checks_of_a_table_are_one_query_that_reads_it_once() -> None:
    connection = connect([(1, "x")], {"a": "INTEGER", "b": "VARCHAR"})
    checks = [
        {"not_null": "a"}, {"unique": "a"}, {"range": {"min": 0}, "column": "a"}, {"pattern": "x", "column": "b"},
        {"accepted_values": ["x"], "column": "b"}, {"row_count": {"min": 1}},
    ]  # fmt: skip
    compiled = compile_scan([CheckSpec.model_validate(check) for check in checks], "SELECT * FROM t", NOW)
    (plan,) = connection.execute(f"EXPLAIN (FORMAT json) {compiled.query}").fetchall()
    assert plan[1].count('"SEQ_SCAN') == 1


def test_an_empty_table_fails_no_check_of_rows() -> None:
    rows: list[Row] = []
    connection = connect(rows, {"n": "INTEGER", "t": "VARCHAR"})
    connection.execute("CREATE SCHEMA other")
    connection.execute('CREATE TABLE other.keys AS SELECT 1 AS "the key"')
    checks = [check for check, _ in oracle(rows, "n", "t").values() if "row_count" not in check]
    assert all(result.passed and result.rows == 0 for result in scan(connection, *checks))


def test_a_relationship_to_a_column_that_is_not_there_is_not_taken_for_one_that_is_here() -> None:
    connection = connect([(1,)], {"id": "INTEGER"})
    connection.execute("CREATE SCHEMA other")
    connection.execute("CREATE TABLE other.keys AS SELECT 1 AS x")
    with pytest.raises(duckdb.BinderException):
        scan(connection, {"relationship": {"to": "other.keys", "field": "id"}, "column": "id"})


def test_no_checks_are_a_count() -> None:
    assert scan(connect([(1,)], {"a": "INTEGER"})) == ()
