"""Binding on empty tables: columns and types out, errors with place and nearest name."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from headwater.core.commit import Column
from headwater.errors import ProjectError
from headwater.sql.binding import Binder, explain_error

COLUMNS = (Column("order_id", "BIGINT"), Column("amount", "DECIMAL(18,2)"), Column('odd "name"', "DATE"))


@pytest.fixture
def binder() -> Iterator[Binder]:
    binder = Binder()
    binder.add("shop.orders", COLUMNS)
    yield binder
    binder.close()


def test_columns_of_a_query(binder: Binder) -> None:
    found = binder.bind('select o."odd ""name""", sum(amount) as total, count(*) from shop.orders o group by all')
    assert [(c.name, c.type) for c in found] == [
        ('odd "name"', "DATE"), ("total", "DECIMAL(38,2)"), ("count_star()", "BIGINT"),
    ]  # fmt: skip


def test_a_dataset_may_change(binder: Binder) -> None:
    binder.add("shop.orders", (Column("x", "VARCHAR"),))
    binder.add("other ns.t", (Column("y", "DATE"),))
    assert binder.bind('select x, y from shop.orders, "other ns".t') == (Column("x", "VARCHAR"), Column("y", "DATE"))


NOT_FOUND = 'SQL: Referenced column "amont" not found in FROM clause!'


@pytest.mark.parametrize(
    ("query", "what", "fix", "line", "column"),
    [
        ("select amont\nfrom shop.orders", NOT_FOUND, "amount", 1, 8),
        (
            "select 'é𐍈',\n\n 'é', o.ordr_id from shop.orders o",
            'SQL: Table "o" does not have a column named "ordr_id"', "order_id", 3, 7,
        ),
        ("select " + "order_id, " * 200 + "amont from shop.orders", NOT_FOUND, "amount", 1, 2008),
        ("select abss(order_id) from shop.orders", "SQL: Scalar Function with name abss does not exist!", "abs", 1, 8),
        ("select amount::decimall from shop.orders", "SQL: Type with name decimall does not exist!", "decimal", 1, 16),
        (
            "select order_id from shop.orders\nwhere sum(order_id) > 1",
            "SQL: WHERE clause cannot contain aggregates!", "", 2, 7,
        ),
        ("select $1", "SQL: Values were not provided for the following prepared statement parameters: 1", "", 0, 0),
    ],
)  # fmt: skip
def test_errors_have_their_place(query: str, what: str, fix: str, line: int, column: int, binder: Binder) -> None:
    with pytest.raises(ProjectError) as caught:
        binder.bind(query)
    assert caught.value.what == what
    assert fix in caught.value.fix
    assert bool(fix) == bool(caught.value.fix)
    assert (caught.value.line, caught.value.column) == (line, column)


def message_of(query: str) -> str:
    with pytest.raises(duckdb.Error) as caught:
        duckdb.execute(query)
    return str(caught.value)


def test_an_error_of_a_run_below_a_line_of_ours() -> None:
    error = explain_error(message_of("SELECT * FROM (\nselect 1 as amount,\n  amont from (select 1 as amount)\n)"))
    assert (error.line, error.column) == (2, 3)
    assert error.what == 'SQL: Referenced column "amont" not found in FROM clause!'
    assert error.fix == 'nearest: "amount"'


def test_the_column_of_a_shortened_line_is_unknown() -> None:
    error = explain_error(message_of("DESCRIBE\nselect " + "1, " * 200 + "amont from (select 1 as amount)"))
    assert (error.line, error.column) == (1, 0)


def test_an_error_without_a_place() -> None:
    error = explain_error("Conversion Error: Could not convert string 'x' to INT32")
    assert (error.what, error.line, error.column) == ("SQL: Could not convert string 'x' to INT32", 0, 0)
