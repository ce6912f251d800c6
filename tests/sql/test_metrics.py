"""Metrics: the numbers are those of a count by hand, whatever is joined, or the question is refused."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from headwater.core.graph import Location
from headwater.core.metrics import (
    Metric,
    MetricDataset,
    MetricField,
    MetricRelationship,
    MetricRequest,
    SemanticModel,
)
from headwater.errors import ProjectError
from headwater.sql.metrics import check_queries, compile_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = Location("metrics/shop.yaml", 1)

METRICS = {
    "revenue": "SUM(orders.amount)",
    "orders": "COUNT(orders.id)",
    "buyers": "COUNT(DISTINCT orders.customer_id)",
    "mean": "AVG(orders.amount)",
    "least": "MIN(orders.amount)",
    "most": "MAX(orders.amount)",
    "basket": "SUM(orders.amount) / COUNT(DISTINCT orders.id)",
    "european": "SUM(orders.amount) FILTER (WHERE customers.region = 'EU')",
    "weighted": "SUM(orders.amount * customers.weight)",
    "returns": "COUNT(returns.id)",
    "rate": "COUNT(returns.id) / COUNT(orders.id)",
    "customers": "COUNT(customers.id)",
}


def fields(*declared: str | tuple[str, str]) -> dict[str, MetricField]:
    pairs = [(one, one) if isinstance(one, str) else one for one in declared]
    return {name: MetricField(name, sql, sql == "day", PLACE) for name, sql in pairs}


def dataset(name: str, *declared: str | tuple[str, str], keys: tuple[tuple[str, ...], ...] = ()) -> MetricDataset:
    return MetricDataset(name, f"marts.{name}", keys, fields(*declared), PLACE)


def relationship(name: str, many: str, one: str, *columns: tuple[str, str]) -> MetricRelationship:
    return MetricRelationship(name, many, one, columns, PLACE)


DATASETS = [
    dataset("orders", "day", ("channel", "lower(chan)"), keys=(("id",),)),
    dataset("customers", "region", keys=(("id",),)),
    dataset("returns", ("day", "day")),
]
JOINED = (
    relationship("buyer", "orders", "customers", ("customer_id", "id")),
    relationship("returner", "returns", "customers", ("customer_id", "id")),
)


def model(
    datasets: list[MetricDataset] = DATASETS,
    relationships: tuple[MetricRelationship, ...] = JOINED,
    metrics: dict[str, str] = METRICS,
) -> SemanticModel:
    made = {name: Metric(name, sql, "", PLACE) for name, sql in metrics.items()}
    return SemanticModel("shop", {one.name: one for one in datasets}, relationships, made, PLACE)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made = duckdb.connect()
    made.execute("CREATE SCHEMA marts")
    made.execute("CREATE TABLE marts.customers (id INTEGER, region VARCHAR, weight INTEGER)")
    made.execute(
        "CREATE TABLE marts.orders (id INTEGER, day DATE, chan VARCHAR, customer_id INTEGER, amount DECIMAL(9,2))"
    )
    made.execute("CREATE TABLE marts.returns (id INTEGER, day DATE, customer_id INTEGER)")
    yield made
    made.close()


def ask(connection: duckdb.DuckDBPyConnection, *metrics: str, by: tuple[str, ...] = (), where: str = "") -> Any:
    return connection.execute(compile_metrics([model()], MetricRequest(metrics, by, where))).fetchall()


def first_of(day: date | None, grain: str) -> date | None:
    if day is None or grain == "day":
        return day
    if grain == "week":
        return day - timedelta(days=day.weekday())
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[grain]
    return day.replace(month=month, day=1)


@pytest.mark.parametrize("seed", range(12))
def test_the_numbers_are_those_of_a_count_by_hand(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    chance = random.Random(seed)
    regions = ["EU", "US", "APAC", None]
    customers = {n: (chance.choice(regions), chance.randrange(1, 5)) for n in range(1, chance.randrange(2, 20))}
    days = [None, *(date(2023, 11, 20) + timedelta(days=n) for n in range(0, 120, 7))]

    def sale(number: int) -> tuple[Any, ...]:
        amount = Decimal(chance.randrange(-500, 100_000)) / 100
        who = chance.choice([None, 99, *customers])
        return number, chance.choice(days), chance.choice(["Web", "web", "shop", None]), who, amount

    orders = [sale(n) for n in range(chance.randrange(1, 200))]
    returns = [(n, chance.choice(days), chance.choice([None, 99, *customers])) for n in range(chance.randrange(60))]
    connection.executemany("INSERT INTO marts.customers VALUES (?, ?, ?)", [(n, *c) for n, c in customers.items()])
    connection.executemany("INSERT INTO marts.orders VALUES (?, ?, ?, ?, ?)", orders)
    if returns:
        connection.executemany("INSERT INTO marts.returns VALUES (?, ?, ?)", returns)
    grain = chance.choice(["week", "month", "quarter", "year"])

    groups: dict[Any, list[Any]] = defaultdict(list)
    for order in orders:
        groups[first_of(order[1], grain), customers.get(order[3], (None, None))[0]].append(order)
    returned: dict[Any, int] = defaultdict(int)
    for _, day, who in returns:
        returned[first_of(day, grain), customers.get(who, (None, None))[0]] += 1

    got = ask(connection, "revenue", "orders", "buyers", "least", "most", "weighted", by=(grain, "region"))
    assert len(got) == len(groups)
    for when, region, revenue, count, buyers, least, most, weighted in got:
        rows = groups[when, region]
        assert revenue == sum(row[4] for row in rows)
        assert count == len(rows)
        assert buyers == len({row[3] for row in rows} - {None})
        assert (least, most) == (min(row[4] for row in rows), max(row[4] for row in rows))
        weights = [row[4] * customers[row[3]][1] for row in rows if row[3] in customers]
        assert weighted == (sum(weights) if weights else None)
    both = ask(connection, "returns", "rate", "orders", by=(grain, "region"))
    assert {(when, region) for when, region, *_ in both} == {*groups, *returned}
    for when, region, back, rate, count in both:
        assert (back, count) == (returned[when, region], len(groups[when, region]))
        assert rate == (back / count if count else None)
    web = [row for row in orders if row[2] is not None and row[2].lower() == "web"]
    assert ask(connection, "orders", where="channel = 'web'") == [(len(web),)]
    assert ask(connection, "customers") == [(len(customers),)]


def test_a_time_keeps_its_type(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-02-29', 'web', NULL, 1)")
    assert ask(connection, "orders", by=("day__month", "day__week")) == [(date(2024, 2, 1), date(2024, 2, 26), 1)]


def test_a_ratio_over_nothing_is_null(connection: duckdb.DuckDBPyConnection) -> None:
    assert ask(connection, "basket", "revenue", "orders") == [(None, None, 0)]


def test_a_key_that_is_none_is_never_counted_twice(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO marts.customers VALUES (1, 'EU', 1), (1, 'US', 1), (NULL, 'EU', 1), (NULL, 'US', 1)"
    )
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-01', 'web', 1, 10)")
    assert ask(connection, "revenue") == [(Decimal(10),)]
    with pytest.raises(duckdb.Error, match="customers has several rows of one key"):
        ask(connection, "revenue", by=("region",))
    connection.execute("DELETE FROM marts.customers WHERE region = 'US'")
    assert ask(connection, "revenue", by=("region",)) == [("EU", Decimal(10))]


@pytest.mark.parametrize(
    ("metrics", "by", "where", "what"),
    [
        (("revenu",), (), "", "no metric is named revenu"),
        (("revenue",), ("regio",), "", "no field is named regio"),
        (("revenue",), ("returns.day",), "", "a row of orders has no one row of returns"),
        (("customers",), ("channel",), "", "no field is named channel"),
        (("revenue",), ("channel__month",), "", "orders.channel is no time"),
        (("revenue",), ("day__decade",), "", "decade is no grain"),
        (("revenue",), ("clients.region",), "", "no dataset is named clients"),
        (("revenue", "revenue"), (), "", "revenue is asked twice"),
        (("orders",), ("channel", "orders.channel"), "", "channel is asked twice"),
        (("rate",), ("channel",), "", "no field is named channel"),
        (("revenue",), (), "sum(orders.amount) > 3", "where holds an aggregate"),
        (("revenue",), (), "orders.id in (select 1)", "where holds a subquery"),
        (("revenue",), (), "nowhere = 1", "no field is named nowhere"),
        (("revenue",), (), "channel = 'a'; drop table x", "where: it is not one expression"),
        (("revenue",), (), "channel = getenv('HOME')", "where: getenv()"),
        (("revenue",), (), "returns.id = 1", "a row of orders has no one row of returns"),
        (("customers",), (), "orders.id = 1", "a row of customers has no one row of orders"),
        ((), (), "", "are of the semantic models"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    metrics: tuple[str, ...], by: tuple[str, ...], where: str, what: str
) -> None:
    with pytest.raises(ProjectError) as told:
        compile_metrics([model()], MetricRequest(metrics, by, where))
    assert what in told.value.what
    assert told.value.fix


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("orders.amount", "stands outside of an aggregate"),
        ("SUM(orders.amount) + orders.id", "orders.id stands outside of an aggregate"),
        ("1 + 2", "aggregates nothing"),
        ("COUNT(*)", "does not say of which dataset"),
        ("SUM(amount)", "amount is of no dataset"),
        ("SUM(order.amount)", "the metric m: SQL: "),
        ("SUM(ordres.amount)", "ordres.amount is of no dataset"),
        ("SUM(length(getenv('HOME')))", "the metric m: getenv()"),
        ("COUNT(orders.*)", "count(*) does not say of which dataset"),
        ("SUM(COLUMNS('id'))", "holds a star"),
        ("SUM(orders.id + returns.id)", "an aggregate is over orders and returns"),
        ("SUM(SUM(orders.id) OVER ())", "holds a window function"),
        ("(SELECT 1)", "holds a subquery"),
        ("first(orders.amount)", "stands outside of an aggregate"),
        ("SUM(orders.amount), 1", "it is not one expression"),
        ("SUM(orders.amount) FROM x", "the metric m: SQL: "),
    ],
)
def test_what_is_no_metric_is_refused(sql: str, what: str) -> None:
    with pytest.raises(ProjectError) as told:
        compile_metrics([model(metrics={"m": sql})], MetricRequest(("m",)))
    assert what in told.value.what
    (found,) = (check for check in check_queries(model(metrics={"m": sql})) if check.what == "the metric m")
    assert isinstance(found.query, ProjectError)


def test_two_ways_are_no_way() -> None:
    datasets = [dataset("orders"), dataset("dates", "year", keys=(("day",),))]
    ways = (
        relationship("ordered", "orders", "dates", ("ordered_on", "day")),
        relationship("shipped", "orders", "dates", ("shipped_on", "day")),
    )
    with pytest.raises(ProjectError, match="several ways from orders to dates") as told:
        compile_metrics([model(datasets, ways, {"n": "count(orders.id)"})], MetricRequest(("n",), ("year",)))
    assert told.value.fix == "declare dates twice, under a name for each way"


def test_a_way_goes_on_over_several_datasets(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE marts.regions (name VARCHAR, area INTEGER, continent VARCHAR)")
    connection.execute("INSERT INTO marts.regions VALUES ('EU', 1, 'Europe'), ('EU', 2, 'Iceland')")
    connection.execute("INSERT INTO marts.customers VALUES (1, 'EU', 2)")
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-01', 'web', 1, 10), (2, '2024-01-01', 'x', 1, 5)")
    datasets = [*DATASETS, dataset("regions", "continent", keys=(("name", "area"),))]
    ways = (*JOINED, relationship("lives", "customers", "regions", ("region", "name"), ("weight", "area")))
    sql = compile_metrics([model(datasets, ways)], MetricRequest(("revenue",), ("continent", "customers.region")))
    assert connection.execute(sql).fetchall() == [("Iceland", "EU", Decimal(15))]


def test_names_are_those_of_any_case(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-01', 'WEB', 1, 10)")
    sql = compile_metrics([model(metrics={"Revenue": "sum(ORDERS.amount)"})], MetricRequest(("revenue",), ("Channel",)))
    assert connection.execute(sql).fetchall() == [("web", Decimal(10))]
