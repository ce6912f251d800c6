"""Metrics: the numbers are those of a count by hand, whatever is joined, or the question is refused."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
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
from headwater.sql.metrics.compiling import check_queries, compile_metrics, is_datatype
from headwater.sql.metrics.joins import joins_exactly

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
    "buying": "COUNT(DISTINCT customers.id) FILTER (WHERE orders.amount > 5)",
    "heaviest": "MAX(customers.weight) FILTER (WHERE orders.amount > 5)",
    "share": "european / revenue",
    "per_unit": "SUM(orders.amount / customers.weight)",
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


OTHER = SemanticModel("other", {}, (), {"stated": Metric("stated", "count(*)", "", PLACE)}, PLACE)


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


def test_what_a_condition_reads_is_not_what_is_counted(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO marts.customers VALUES (1, 'EU', 7), (2, 'US', 9)")
    connection.execute(
        "INSERT INTO marts.orders SELECT n, '2024-01-01', 'web', if(n < 3, 1, 2), n * 3 FROM range(5) AS t(n)"
    )
    assert ask(connection, "buying", "heaviest") == [(2, 9)]
    assert ask(connection, "buying", "heaviest", by=("region",)) == [("EU", 1, 7), ("US", 1, 9)]


def test_a_metric_of_metrics_and_a_division_by_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO marts.customers VALUES (1, 'EU', 0), (2, 'US', 2)")
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-01', 'web', 1, 6), (2, '2024-01-01', 'web', 2, 2)")
    assert ask(connection, "share", "per_unit") == [(0.75, 1.0)]
    assert ask(connection, "share", where="region = 'US'") == [(None,)]
    assert ask(connection, "orders", where="orders.amount / customers.weight > 0") == [(1,)]
    for sql in (
        "SUM(orders.amount) / nullif(SUM(customers.weight), 5)",
        "fdiv(SUM(orders.amount), 0)",
        "1 % COUNT(orders.id)",
    ):
        asked = compile_metrics([model(metrics={"m": sql})], MetricRequest(("m",), (), "region = 'EU'"))
        assert connection.execute(asked).fetchall() == [(0 if "%" in sql else None,)]


def test_keys_of_other_types_are_not_joined(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE marts.codes (code VARCHAR, label VARCHAR)")
    connection.execute("INSERT INTO marts.codes VALUES ('1', 'x'), ('01', 'y')")
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-01', 'web', 1, 10)")
    codes = dataset("codes", "label", keys=(("code",),))
    made = model([*DATASETS, codes], (*JOINED, relationship("coded", "orders", "codes", ("id", "code"))))
    sql = compile_metrics([made], MetricRequest(("revenue",), ("label",)))
    with pytest.raises(duckdb.Error, match=r"coded: orders.id and codes.code are of other types"):
        connection.execute(sql).fetchall()
    (check,) = (one for one in check_queries(made) if one.what == "the relationship coded: orders.id = codes.code")
    types = [row[1] for row in connection.execute(f"DESCRIBE {check.query}").fetchall()]
    assert (check.problem(types) or ("",))[0].endswith("are of other types, INTEGER and VARCHAR, and would be cast")
    for type_text in ("BIGINT", "TINYINT"):
        connection.execute(f"CREATE OR REPLACE TABLE marts.codes AS SELECT 1::{type_text} AS code, 'x' AS label")
        assert connection.execute(sql).fetchall() == [("x", Decimal(10))]
        assert check.problem(["INTEGER", type_text]) is None


@pytest.mark.parametrize(
    ("left", "right", "exactly"),
    [
        ("BIGINT", "UTINYINT", True), ("DECIMAL(9,2)", "DECIMAL(4,1)", True), ("VARCHAR", "VARCHAR", True),
        ("VARCHAR", "BIGINT", False), ("DOUBLE", "BIGINT", False), ("TIMESTAMP", "VARCHAR", False),
        ("DATE", "TIMESTAMP", False), ("DECIMAL(9,2)", "BIGINT", False), ("HUGEINT", "UHUGEINT", False),
        ("UHUGEINT", "UHUGEINT", True), ("HUGEINT", "UBIGINT", True),
    ],
)  # fmt: skip
def test_which_types_are_joined(left: str, right: str, exactly: bool) -> None:
    assert joins_exactly(left, right) is joins_exactly(right, left) is exactly


@pytest.mark.parametrize(
    ("datatype", "right", "wrong"),
    [
        ("String", "VARCHAR", "BIGINT"), ("Integer", "HUGEINT", "DOUBLE"), ("Decimal", "DECIMAL(9,2)", "DOUBLE"),
        ("Float", "DOUBLE", "DECIMAL(9,2)"), ("Date", "DATE", "VARCHAR"), ("DateTime", "TIMESTAMP_NS", "VARCHAR"),
        ("DateTimeTz", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"), ("DateTime", "DATE", "TIMESTAMP WITH TIME ZONE"),
        ("Boolean", "BOOLEAN", "VARCHAR"), ("Time", "TIME", "TIMESTAMP"), ("Integer", "UHUGEINT", "INTEGER[]"),
        ("String", "ENUM('a', 'b')", "VARCHAR[]"), ("Date", "DATE", "DATE[]"), ("Time", "TIME WITH TIME ZONE", "DATE"),
        ("DateTime", "TIMESTAMP_S", "DATE[]"), ("Decimal", "BIGINT", "DECIMAL(9,2)[]"),
    ],
)  # fmt: skip
def test_a_datatype_is_that_of_the_column(datatype: str, right: str, wrong: str) -> None:
    assert is_datatype(right, datatype)
    assert not is_datatype(wrong, datatype)
    assert is_datatype(wrong, "Opaque")


def test_the_time_that_a_grain_alone_is_of(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE marts.orders ADD COLUMN shipped DATE")
    connection.execute("INSERT INTO marts.orders VALUES (1, '2024-01-31', 'web', 1, 10, '2024-02-01')")
    two = {"day": MetricField("day", "day", True, PLACE), "shipped": MetricField("shipped", "shipped", True, PLACE)}
    orders = MetricDataset("orders", "marts.orders", (), two, PLACE)
    asked = MetricRequest(("revenue",), ("month",))
    with pytest.raises(ProjectError, match="orders has several times: day, shipped"):
        compile_metrics([model([orders, *DATASETS[1:]])], asked)
    timed = replace(orders, time="shipped")
    sql = compile_metrics([model([timed, *DATASETS[1:]])], asked)
    assert connection.execute(sql).fetchall() == [(date(2024, 2, 1), Decimal(10))]
    both = {"day": two["day"], "month": MetricField("month", "shipped", True, PLACE)}
    for time, first in (("month", [(date(2024, 2, 1), 1)]), ("day", [(date(2024, 2, 1), 1)])):
        named = replace(orders, fields=both, time=time)
        sql = compile_metrics([model([named, *DATASETS[1:]])], MetricRequest(("orders",), ("month",)))
        assert connection.execute(sql).fetchall() == first  # a field of that name is meant, its own time or not
    with pytest.raises(ProjectError, match="month is a field of orders for one number and of returns for another"):
        compile_metrics([model([named, *DATASETS[1:]])], MetricRequest(("orders", "returns"), ("month",)))
    named = replace(orders, fields=both, time="month")
    sql = compile_metrics([model([named, *DATASETS[1:]])], MetricRequest(("orders", "returns"), ("month",)))
    assert connection.execute(sql).fetchall() == [(date(2024, 2, 1), 1, 0)]


@pytest.mark.parametrize(("by", "where"), [(("kind",), ""), ((), "kind = 'A'")])
def test_a_name_means_one_field_for_all_numbers(by: tuple[str, ...], where: str) -> None:
    datasets = [dataset("orders", "kind", keys=(("id",),)), dataset("returns", "kind")]
    ways = (relationship("of", "returns", "orders", ("order_id", "id")),)
    made = model(datasets, ways, {"rate": "COUNT(returns.id) / COUNT(orders.id)"})
    with pytest.raises(ProjectError, match=r"kind is a field of (orders|returns) for one number and of") as told:
        compile_metrics([made], MetricRequest(("rate",), by, where))
    assert told.value.fix
    compile_metrics([made], MetricRequest(("rate",), tuple(f"orders.{one}" for one in by), where and f"orders.{where}"))


def test_a_field_named_like_a_grain_is_taken_by_it(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO marts.orders VALUES (1, '2024-01-03', 'web', NULL, 1), (2, '2024-02-01', 'web', 1, 1)"
    )
    connection.execute("INSERT INTO marts.returns VALUES (1, '2024-01-05', NULL), (2, '2024-01-06', NULL)")
    month = MetricDataset("returns", "marts.returns", (), {"month": MetricField("month", "day", True, PLACE)}, PLACE)
    made = model([DATASETS[0], DATASETS[1], month], JOINED)
    sql = compile_metrics([made], MetricRequest(("orders", "returns"), ("month",)))
    assert connection.execute(sql).fetchall() == [(date(2024, 1, 1), 1, 2), (date(2024, 2, 1), 1, 0)]
    plain = replace(month, fields={"month": MetricField("month", "extract(month FROM day)", False, PLACE)})
    made = model([DATASETS[0], DATASETS[1], plain], JOINED)
    assert connection.execute(compile_metrics([made], MetricRequest(("returns",), ("month",)))).fetchall() == [(1, 2)]
    with pytest.raises(ProjectError, match="month is a field of") as told:
        compile_metrics([made], MetricRequest(("orders", "returns"), ("month",)))
    assert told.value.fix.endswith("rename the field month")


def test_one_field_of_a_dataset_in_two_roles(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE marts.flights AS SELECT 'A' AS origin, 'B' AS dest, 1 AS id")
    connection.execute(
        "CREATE TABLE marts.airports AS SELECT * FROM (VALUES ('A', 'AT'), ('B', 'BE')) AS t(iata, country)"
    )
    ends = [replace(dataset(n, "country", keys=(("iata",),)), source="marts.airports") for n in ("orig", "dst")]
    ways = (
        relationship("o", "flights", "orig", ("origin", "iata")),
        relationship("d", "flights", "dst", ("dest", "iata")),
    )
    made = model([dataset("flights"), *ends], ways, {"n": "count(flights.id)"})
    answer = connection.execute(
        compile_metrics([made], MetricRequest(("n",), ("orig.country", "dst.country"), "orig.country <> dst.country"))
    )
    assert [column[0] for column in answer.description] == ["orig.country", "dst.country", "n"]
    assert answer.fetchall() == [("AT", "BE", 1)]


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
        (("customers",), ("channel",), "", "channel is a field of orders, and a row of customers has no one row of"),
        (("revenue",), ("channel__month",), "", "orders.channel is no time"),
        (("revenue",), ("day__decade",), "", "decade is no grain"),
        (("revenue",), ("clients.region",), "", "no dataset is named clients"),
        (("revenue", "revenue"), (), "", "revenue is asked twice"),
        (("orders",), ("channel", "channel"), "", "channel is asked twice"),
        (("rate",), ("channel",), "", "channel is a field of orders, and a row of returns has no one row of orders"),
        (("customers",), ("month",), "", "customers has no time of its own to take by month"),
        (("revenue",), (), "id.x.y = 1", "where: no field is named id.x.y"),
        (("revenue",), (), "orders.id = $x", "where holds a parameter"),
        (("revenue",), (), "sum(orders.amount) > 3", "where holds an aggregate"),
        (("revenue",), (), "orders.id in (select 1)", "where holds a subquery"),
        (("revenue",), (), "nowhere = 1", "no field is named nowhere"),
        (("revenue",), (), "channel = 'a'; drop table x", "where: it is not one expression"),
        (("revenue",), (), "channel = getenv('HOME')", "where: getenv()"),
        (("revenue",), (), "returns.id = 1", "a row of orders has no one row of returns"),
        (("customers",), (), "orders.id = 1", "a row of customers has no one row of orders"),
        ((), (), "", "are of the semantic models"),
        (("stated", "revenue"), (), "", "stated, revenue are of the semantic models"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    metrics: tuple[str, ...], by: tuple[str, ...], where: str, what: str
) -> None:
    with pytest.raises(ProjectError) as told:
        compile_metrics([model(), OTHER], MetricRequest(metrics, by, where))
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
        ("SUM(orders.amount) + unnest([0, 0])", "the metric m holds unnest(), which makes rows"),
        ("COUNT(orders.*)", "count(*) does not say of which dataset"),
        ("SUM(COLUMNS('id'))", "holds a star"),
        ("SUM(orders.id + returns.id)", "an aggregate is over orders and returns"),
        ("SUM(SUM(orders.id) OVER ())", "holds a window function"),
        ("(SELECT 1)", "holds a subquery"),
        ("first(orders.amount)", "first() is no aggregate of metrics"),
        ("string_agg(orders.chan, ',')", "string_agg() is no aggregate of metrics"),
        ("SUM(customers.weight) FILTER (WHERE orders.id > 1)", "a row of customers has no one row of orders"),
        ("COUNT(customers.id) FILTER (WHERE orders.id > 1)", "a row of customers has no one row of orders"),
        ("SUM(CASE WHEN orders.id > 1 THEN customers.weight END)", "a row of customers has no one row of orders"),
        ("SUM(nullif(customers.weight, orders.id))", "a row of customers has no one row of orders"),
        ("SUM(customers.weight * (orders.id > 1)::int)", "a row of customers has no one row of orders"),
        ("SUM(customers.weight * (orders.id IN (1, 2))::int)", "a row of customers has no one row of orders"),
        ("MAX(orders.amount, 2)", "max() of several arguments is a list"),
        ("AVG(if(orders.id > 1, customers.weight, 0))", "a row of customers has no one row of orders"),
        ("SUM(orders.amount) / m", "the metric m is made of itself: m of m"),
        ("SUM(orders.amount) FILTER (WHERE orders.id > $x)", "the metric m holds a parameter"),
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
    sql = compile_metrics(
        [model(metrics={"Revenue": "sum(ORDERS.amount)"})],
        MetricRequest(("revenue",), ("Channel",), "day__YEAR = date '2024-01-01'"),
    )
    assert connection.execute(sql).fetchall() == [("web", Decimal(10))]
