"""What a contract measures beside the checks of ever: lengths, missing and valid values, how many may be wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.fragments import SelectSql
from headwater.core.patterns import pattern_of_search
from headwater.core.specs import CheckSpec
from headwater.core.values import Plain
from headwater.errors import CheckFailedError
from headwater.quality import Audit, compile_scan, failing_rows
from tests.core.contracts import musts
from tests.quality.test_scan import NOW, ROWS, Row, connect, scan

THIS = SelectSql("SELECT * FROM t")


def oracle(rows: list[Row]) -> dict[str, tuple[dict[str, Any], list[int]]]:
    """Per check of single values: its declaration, and the places of the rows that are wrong."""
    texts = {at: row[1] for at, row in enumerate(rows) if row[1] is not None}
    numbers = {at: row[0] for at, row in enumerate(rows) if row[0] is not None}

    def of_texts(wrong: Any) -> list[int]:
        return [at for at, text in texts.items() if wrong(text)]

    def of_numbers(wrong: Any) -> list[int]:
        return [at for at, number in numbers.items() if wrong(number)]

    nothing = [at for at, row in enumerate(rows) if row[1] is None]
    return {
        "length": ({"length": {"min": 1, "max": 1}, "column": "t"}, of_texts(lambda text: len(text) != 1)),
        "length of numbers": ({"length": {"min": 2}, "column": "n"}, of_numbers(lambda n: True)),
        "missing": (
            {"missing_values": [None, "", "xx"], "column": "t"},
            sorted([*nothing, *of_texts(lambda text: text in ("", "xx"))]),
        ),
        "missing numbers": (
            {"missing_values": [Plain("0"), Plain("3.0"), "N/A", "4"], "column": "n"},
            of_numbers(lambda n: n in (0, 3, 4)),
        ),
        "exclusive range": (
            {"range": {"above": 0, "below": Decimal(3)}, "column": "n"},
            of_numbers(lambda n: not 0 < n < 3),
        ),
        "a searched pattern": (
            {"pattern": pattern_of_search("^x|y$"), "column": "t"},
            of_texts(lambda text: not re.search(r"^x|y\Z", text)),
        ),
        "valid": (
            {"valid": {"values": ["x", "xx", "y"], "pattern": "x*", "length": {"max": 1}}, "column": "t"},
            of_texts(lambda text: text != "x"),
        ),
        "valid numbers": (
            {"valid": {"values": [1, 2, 4], "range": {"max": 3}}, "column": "n"},
            of_numbers(lambda n: n not in (1, 2)),
        ),
        "not null": ({"not_null": ["n", "t"]}, [at for at, row in enumerate(rows) if None in row]),
    }


@given(ROWS)
def test_every_metric_counts_as_plain_python_does(rows: list[Row]) -> None:
    connection = connect(rows, {"n": "INTEGER", "t": "VARCHAR"})
    expected = oracle(rows)
    results = scan(connection, *(check for check, _ in expected.values()))
    assert {name: result.failing for name, result in zip(expected, results, strict=True)} == {
        name: len(wrong) for name, (_, wrong) in expected.items()
    }


@given(ROWS)
def test_the_failing_rows_are_those_that_are_counted(rows: list[Row]) -> None:
    numbered = [(at, *row) for at, row in enumerate(rows)]
    connection = connect(numbered, {"at": "INTEGER", "n": "INTEGER", "t": "VARCHAR"})
    expected = oracle(rows)
    checks = [CheckSpec.model_validate(check) for check, _ in expected.values()]
    measures = compile_scan(checks, THIS, NOW).measures
    for measure, (_, wrong) in zip(measures, expected.values(), strict=True):
        found = connection.execute(failing_rows([measure], THIS, 100)).fetchall()
        assert sorted(row[1] for row in found) == wrong
        assert {row[0] for row in found} <= {measure.name}
    found = connection.execute(failing_rows(measures, THIS, 100)).fetchall()
    told = {row[1]: set(row[0].split("; ")) for row in found}
    assert told == {
        at: {measure.name for measure, (_, wrong) in zip(measures, expected.values(), strict=True) if at in wrong}
        for at in {at for _, wrong in expected.values() for at in wrong}
    }


def test_the_failing_rows_of_keys_and_relationships() -> None:
    connection = connect([(1, "x"), (1, "x"), (1, "y"), (None, "z"), (3, None)], {"n": "INTEGER", "t": "VARCHAR"})
    connection.execute("CREATE SCHEMA other")
    connection.execute("CREATE TABLE other.keys AS SELECT 1 AS k")

    def failing(*written: dict[str, Any], limit: int = 100) -> list[Any]:
        checks = [CheckSpec.model_validate(one) for one in written]
        query = failing_rows(compile_scan(checks, THIS, NOW).measures, THIS, limit)
        return connection.execute(query).fetchall() if query else []

    assert failing({"unique": "n"}) == [("unique(n)", 1, "x"), ("unique(n)", 1, "x"), ("unique(n)", 1, "y")]
    assert failing({"unique": ["n", "t"]}) == [("unique(n, t)", 1, "x")] * 2
    to_keys = {"relationship": {"to": "other.keys", "field": "k"}, "column": "n"}
    assert failing(to_keys) == [("relationship(n -> other.keys.k)", 3, None)]
    assert failing(to_keys, {"not_null": ["n", "t"]}, limit=1) == [("not_null(n, t)", None, "z")]
    assert failing({"row_count": {"min": 9}}, {"sql": "from this"}) == []


OPERATIONS = {
    "be": lambda n, v: n == v, "not_be": lambda n, v: n != v, "be_greater_than": lambda n, v: n > v,
    "be_greater_or_equal_to": lambda n, v: n >= v, "be_less_than": lambda n, v: n < v,
    "be_less_or_equal_to": lambda n, v: n <= v, "be_between": lambda n, v: v[0] <= n <= v[1],
    "not_be_between": lambda n, v: not v[0] <= n <= v[1],
}  # fmt: skip


@given(st.lists(st.none() | st.just(1), max_size=12), musts())
def test_how_many_rows_may_be_wrong(values: list[int | None], must: dict[str, Any]) -> None:
    connection = connect([(value,) for value in values], {"n": "INTEGER"})
    (result,) = scan(connection, {"not_null": "n", "must": must})
    (operator,) = must.keys() - {"unit"}
    wrong = values.count(None)
    number = wrong if must["unit"] == "rows" else Decimal(100 * wrong) / len(values) if values else 0
    exact = [OPERATIONS[operator](number, must[operator])]
    if must["unit"] == "percent" and values:
        scaled = (
            [v * len(values) for v in must[operator]]
            if isinstance(must[operator], list)
            else must[operator] * len(values)
        )
        exact = [OPERATIONS[operator](100 * wrong, scaled)]
    assert (result.failing, result.passed) == (wrong, exact[0])


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 6])
@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ({"min": 5}, lambda n: n >= 5), ({"above": 5}, lambda n: n > 5), ({"below": 5}, lambda n: n < 5),
        ({"max": 5, "above": 1}, lambda n: 1 < n <= 5), ({"not_between": [1, 5]}, lambda n: not 1 <= n <= 5),
        ({"min": 1, "not_between": [5, 5]}, lambda n: n >= 1 and n != 5),
    ],
)  # fmt: skip
def test_the_number_of_rows(rows: int, count: dict[str, Any], expected: Any) -> None:
    (result,) = scan(connect([(1,)] * rows, {"n": "INTEGER"}), {"row_count": count})
    assert result.passed == expected(rows)
    assert result.detail == ("" if result.passed else f"{rows} rows")


@pytest.mark.parametrize(
    ("query", "must", "passed", "detail"),
    [
        ("select max(n) from this", {"be": 3}, True, ""),
        ("select max(n) from this; -- so", {"be_less_than": 3}, False, "the value is 3"),
        ("select avg(n) from this", {"be_between": [1.9, 2.1]}, True, ""),
        ("select bool_and(n > 0) from this", {"be": 1}, True, ""),
        ("select sum(n)::decimal(38,10) / 7 from this", {"be_greater_than": "0.857"}, True, ""),
        ("select null", {"not_be": 5}, False, "the value is NULL"),
        ("select 'nan'::double", {"not_be": 5}, False, "the value is nan"),
        ("select 'x'", {"not_be": 5}, False, "the value is x"),
        ("with b as (from this) select count(*) from b where n > 1", {"not_be_between": [3, 9]}, True, ""),
    ],
)
def test_the_value_of_a_query(query: str, must: dict[str, Any], passed: bool, detail: str) -> None:
    connection = connect([(1,), (2,), (3,)], {"n": "INTEGER"})
    (result,) = scan(connection, {"query": query, "must": must})
    assert (result.passed, result.detail, result.failing) == (passed, detail, int(not passed))


def test_the_names_of_metrics() -> None:
    checks: list[dict[str, Any]] = [
        {"length": {"max": 3}, "column": "t"}, {"missing_values": [""], "column": "t"},
        {"range": {"above": 0, "below": 9}, "column": "n"}, {"row_count": {"min": 1, "not_between": [2, 3]}},
        {"row_count": {"not_between": [2, 3]}}, {"valid": {"pattern": "x", "values": ["x"]}, "column": "t"},
        {"not_null": "n", "must": {"be_less_than": 1, "unit": "percent"}},
        {"not_null": "n", "must": {"be_between": [0, 2]}, "name": "few"},
        {"query": "select 1", "must": {"be": 1}},
    ]  # fmt: skip
    results = scan(connect([(1, "x")], {"n": "INTEGER", "t": "VARCHAR"}), *checks)
    assert [result.check for result in results] == [
        "length(t, ..3)", "missing_values(t)", "range(n, >0..<9)", "row_count(1.., not 2..3)", "row_count(not 2..3)",
        "valid(t)", "not_null(n), must be less than 1 percent", "few", "query(select 1), must be 1",
    ]  # fmt: skip
    assert [result.column for result in results] == ["t", "t", "n", "", "", "t", "n", "n", ""]


def audit(connection: duckdb.DuckDBPyConnection, checks: Sequence[dict[str, Any]]) -> list[str]:
    warned: list[str] = []
    Audit(
        [CheckSpec.model_validate(check) for check in checks],
        connection,
        datetime(2024, 1, 1, tzinfo=UTC),
        warned.append,
    )(THIS)
    return warned


def test_an_audit_says_what_it_must_be() -> None:
    connection = connect([(None,), (1,)], {"n": "INTEGER"})
    with pytest.raises(
        CheckFailedError, match=r"not_null\(n\), must be less than 50 percent: 1 of 2 rows, for example"
    ):
        audit(connection, [{"not_null": "n", "must": {"be_less_than": 50, "unit": "percent"}}])
    assert audit(connection, [{"not_null": "n", "must": {"be_less_or_equal_to": 50, "unit": "percent"}}]) == []
    (line,) = audit(connection, [{"range": {"min": 0}, "column": "n", "must": {"not_be": 0}, "severity": "warning"}])
    assert line == "warning: range(n, 0..), must not be 0 rows: 0 of 2 rows"


def test_hidden_columns_are_in_no_message() -> None:
    connection = connect([(7777, "secret"), (7777, "secret"), (None, None)], {"n": "INTEGER", "t": "VARCHAR"})
    written: list[dict[str, Any]] = [
        {"unique": ["n", "t"]}, {"range": {"max": 1}, "column": "n"}, {"not_null": "t"},
        {"sql": "select this as id from this"}, {"query": "select max(n) from this", "must": {"be": 1}},
        {"pattern": "x", "column": "t"},
    ]  # fmt: skip
    checks = [CheckSpec.model_validate(check) for check in written]
    told = Audit(checks, connection, datetime(2024, 1, 1, tzinfo=UTC), print, hidden={"n", "t"})
    with pytest.raises(CheckFailedError) as failed:
        told(THIS)
    for text in (str(failed.value), str(told.results)):
        assert "7777" not in text
        assert "secret" not in text
    assert "for example (n=(hidden), t=(hidden), rows=2)" in str(failed.value)
    assert "t=NULL" in str(failed.value)
    query = failing_rows(compile_scan(checks, THIS, NOW).measures, THIS, 10, hidden=["n", "t"])
    found = connection.execute(query).fetchall()
    assert sorted(row[1:] for row in found if row[1]) == [("(hidden)", "(hidden)")] * 2
    assert [row for row in found if row[1] is None] == [("not_null(t)", None, None)]
    fresh = [CheckSpec.model_validate({"freshness": "1h", "column": "at"})]
    dated = connect([("2001-02-03",)], {"at": "DATE"})
    told = Audit(fresh, dated, NOW, print, hidden={"at"})
    with pytest.raises(CheckFailedError, match="the value is hidden"):
        told(THIS)
