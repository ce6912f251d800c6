"""The example of the file formats, its files unchanged: it loads, binds, passes its unit test and runs.

CSV files stand in for the shop's database and the payment provider.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headwater.api import LoadedProject, load
from headwater.core.layers import Family
from headwater.core.project import Model, SourceTable

PROJECTS = Path(__file__).parents[1] / "projects"
NOW = datetime(2024, 1, 3, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> LoadedProject:
    shutil.copytree(PROJECTS / "shop", tmp_path / "shop", ignore=shutil.ignore_patterns(".headwater", "data"))
    return load(tmp_path / "shop", "")


def rows(shop: LoadedProject, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in shop.query(sql).to_pylist()]


def test_the_files_of_the_example_are_unchanged() -> None:
    lines = (PROJECTS / "shop.sha256").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    for line in lines:
        expected, path = line.split()
        assert hashlib.sha256((PROJECTS / "shop" / path).read_bytes()).hexdigest() == expected, path


def test_it_loads(shop: LoadedProject) -> None:
    project = shop.project
    assert project.name == "shop"
    assert list(project.declared(SourceTable)) == ["prices.list", "shop.customers", "shop.orders", "stripe.charges"]
    assert {name: model.inputs for name, model in project.declared(Model).items()} == {
        "marts.churn_labels": ("staging.orders",),
        "marts.daily_revenue": ("staging.orders", "stripe.charges"),
        "marts.order_history": ("staging.orders",),
        "marts.rfm": ("staging.orders",),
        "staging.customers": ("shop.customers",),
        "staging.orders": ("shop.orders",),
    }
    assert {name: project.store_of(name) for name in ("marts.order_history", "marts.rfm", "prices.list")} == {
        "marts.order_history": "lake",
        "marts.rfm": "warehouse",
        "prices.list": "lakehouse",
    }
    assert (
        "where cast(o.ordered_at as date) >= DATE '2024-01-01'" in project.declared(Model)["marts.daily_revenue"].text
    )
    assert project.warnings == ()


def test_its_graph_has_every_box_that_is_used(shop: LoadedProject) -> None:
    assert set(shop.graph.families()) == {
        Family.FILES, Family.INGESTION, Family.PROCESSING, Family.LAKE, Family.WAREHOUSE, Family.LAKEHOUSE,
    }  # fmt: skip
    assert len(shop.graph.nodes) == 4 * 4 + 6 * 2


def test_it_binds(shop: LoadedProject) -> None:
    bound = shop.check()
    assert bound.notes == []
    assert [(c.name, c.type) for c in bound.schemas["marts.daily_revenue"] or ()] == [
        ("day", "DATE"), ("currency", "VARCHAR"), ("revenue", "DECIMAL(38,2)"),
    ]  # fmt: skip
    assert [c.name for c in bound.schemas["staging.customers"] or ()][-2:] == ["valid_from", "valid_to"]
    assert bound.schemas["marts.rfm"] is None


def test_its_unit_test_passes_and_can_fail(shop: LoadedProject) -> None:
    assert [(result.name, result.passed) for result in shop.test()] == [("daily_revenue", True)]
    file = Path(shop.project.root) / "tests" / "daily_revenue.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("revenue: 10.10}]", "revenue: 10.11}]"), encoding="utf-8")
    (result,) = load(shop.project.root, "").test()
    assert result.missing == ("day: 2024-01-01, currency: NO, revenue: 10.11",)
    assert result.unexpected == ("day: 2024-01-01, currency: NO, revenue: 10.10",)


def test_it_runs_and_the_numbers_are_right(shop: LoadedProject) -> None:
    run = shop.run(now=NOW)
    assert {result.status.value for result in run.results} == {"done"}
    assert [[str(v) for v in row] for row in rows(shop, "from marts.daily_revenue order by day")] == [
        ["2024-01-01", "NO", "12.60"],
        ["2024-01-02", "EUR", "9.99"],
    ]
    assert rows(shop, "select order_id, status, amount::varchar from staging.orders order by 1") == [
        (1, "paid", "10.10"), (2, "open", "2.50"), (3, "paid", "9.99"), (5, "paid", "0.01"),
    ]  # fmt: skip
    assert rows(shop, "select customer_id, valid_to from staging.customers order by 1") == [(1, None), (2, None)]
    assert rows(shop, "select orders_so_far, spent_so_far::varchar from marts.order_history order by 1, 2") == [
        (1, "0.01"), (1, "2.50"), (2, "10.11"), (3, "20.10"),
    ]  # fmt: skip
    assert rows(shop, "select count(*), bool_and(churned) from marts.churn_labels") == [(48, True)]
    assert rows(shop, "select rule, _line from quarantine.shop__orders") == [("negative_amount", 5)]
    assert rows(shop, "select sku, price::varchar from prices.list") == [("x", "1.50")]


def test_a_second_run_does_nothing(shop: LoadedProject) -> None:
    shop.run(now=NOW)
    again = shop.run(now=NOW)
    assert {result.status.value for result in again.results} == {"skipped"}

    found = rows(shop, "select customer_id, orders, last_order_at from marts.rfm order by 1")
    assert found == [
        (1, 3, datetime(2024, 1, 2, tzinfo=UTC)),
        (2, 1, datetime(2024, 1, 1, 23, 59, 59, tzinfo=UTC)),
    ]
