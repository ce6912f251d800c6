"""Metrics of a project: declared, refused where they would lie, asked, and shown on a page."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.graph import Location
from headwater.core.metrics import SemanticModel
from headwater.errors import HeadwaterError, ProjectErrors
from tests.cli.conftest import Call, call  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headwater.core.project import Project

SHOP = """version: 0.2.0.dev0
name: shop
datasets:
  - name: orders
    source: staging.orders
    primary_key: [id]
    ai_context: {synonyms: [sales]}
    fields:
      - {name: day, expression: day, datatype: Date}
      - {name: channel, expression: lower(chan), label: filter, custom_extensions: [{vendor_name: DBT, data: '{}'}]}
  - name: customers
    source: staging.customers
    unique_keys: [[id], [mail]]
    fields:
      - name: region
        expression: {dialects: [{dialect: SNOWFLAKE, expression: 'UPPER(region)'}, {dialect: ANSI_SQL, expression: region}]}
relationships:
  - {name: buyer, from: orders, to: customers, from_columns: [customer_id], to_columns: [id]}
metrics:
  - {name: revenue, expression: SUM(orders.amount), description: All that was paid., datatype: Decimal}
  - {name: sold, expression: COUNT(orders.id)}
"""  # noqa: E501

ORDERS = """select * from (values
  (1, date '2024-01-01', 'Web', 1, 10.50::decimal(9,2)),
  (2, date '2024-01-20', 'shop', 2, 5.25),
  (3, date '2024-02-03', 'web', null, 7)
) as t(id, day, chan, customer_id, amount)
"""
CUSTOMERS = "select * from (values (1, 'EU', 'a'), (2, 'US', 'b')) as t(id, region, mail)\n"

FILES = {
    "models/staging/orders.sql": ORDERS,
    "models/staging/customers.sql": CUSTOMERS,
    "metrics/shop.yaml": SHOP,
}

PAGE = """---
params: {channel: {default: web}}
---
# Shop

```big_number
{metric: revenue}
```

```table
{metric: [revenue, sold], by: region}
```

```table
{metric: revenue, by: [month], where: "channel = $channel"}
```

```table
{metric: revenue, by: [month], where: "channel = $channel", title: again}
```

```table
{metric: revenue, where: "channel = 'WEB'"}
```

```table
{metric: revenue, where: "channel = 'web'"}
```
"""


def changed(old: str, new: str) -> dict[str, str]:
    assert old in SHOP
    return {**FILES, "metrics/shop.yaml": SHOP.replace(old, new)}


TIMED = """custom_extensions: [{vendor_name: HEADWATER, data: '{"time": "%s"}'}]"""


def models(project: Project) -> tuple[SemanticModel, ...]:
    return project.semantic_models


def test_a_list_a_mapping_and_flat_keys_say_the_same(load_files: Callable[..., Project]) -> None:
    version, _, flat = SHOP.partition("\n")
    inner = "\n".join(f"    {line}" for line in flat.splitlines())
    listed = f"{version}\nsemantic_model:\n  -\n{inner}\n"
    mapping = f"{version}\ndialects: [ANSI_SQL]\nsemantic_model:\n{inner}\n"
    found = [models(load_files({**FILES, "metrics/shop.yaml": text})) for text in (SHOP, listed, mapping)]
    for (model,) in found:
        assert model.name == "shop"
        assert {name: one.source for name, one in model.datasets.items()} == {
            "orders": "staging.orders",
            "customers": "staging.customers",
        }
        assert model.datasets["customers"].keys == (("id",), ("mail",))
        assert model.datasets["orders"].fields["day"].is_time
        assert model.datasets["customers"].fields["region"].sql == "region"
        assert model.metrics["revenue"].description == "All that was paid."
    (model,) = found[0]
    assert model.metrics["sold"].location == Location("metrics/shop.yaml", 21, 5)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("0.2.0.dev0", "0.1.1", "'0.1.1' is not known"),
        ("to_columns: [id]", "to_columns: [region]", "the relationship buyer: region is no key of customers"),
        ("to_columns: [id]", "to_columns: [id, mail]", "from_columns and to_columns have as many columns"),
        ("to: customers", "to: client", "the relationship buyer: no dataset is named client"),
        ("from: orders, to: customers", "from: customers, to: customers", "leads from customers to itself"),
        ("name: sold", "name: Revenue", "two metrics are named Revenue"),
        ("name: customers", "name: Orders", "two datasets are named Orders"),
        ("name: channel", "name: DAY", "two fields of orders are named DAY"),
        ("name: channel", "name: a b", "'a b' is no name"),
        ("name: channel", "name: day__month", "'day__month' is no name"),
        ("source: staging.orders", "source: staging.order", "the semantic model shop reads staging.order, which"),
        ("dialect: ANSI_SQL", "dialect: MDX", "no expression is in ANSI_SQL"),
        ("label: filter", "labels: filter", "unknown word 'labels'"),
        ("primary_key: [id]", TIMED % "channel", "its time channel is none of its fields that are times: day"),
        (
            "primary_key: [id]",
            "custom_extensions: [{vendor_name: HEADWATER, data: ['x']}]",
            "the data of HEADWATER are not",
        ),
        ("COUNT(orders.id)", "''", "expression"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    errors_of: Callable[..., list[str]], old: str, new: str, told: str
) -> None:
    found = errors_of(changed(old, new))
    assert any(told in text and text.startswith("metrics/shop.yaml:") for text in found), found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("COUNT(orders.id)", "COUNT(orders.number)", 'metrics/shop.yaml:21:5: the metric sold: SQL: Table "orders"'),
        ("COUNT(orders.id)", "orders.id", "metrics/shop.yaml:21:5: the metric sold: orders.id stands outside of an"),
        ("lower(chan)", "lower(chanel)", 'metrics/shop.yaml:10:9: the field orders.channel: SQL: Table "orders"'),
        ("lower(chan)", "max(chan)", "metrics/shop.yaml:10:9: the field orders.channel is an aggregate"),
        ("lower(chan)", "list(chan)", "metrics/shop.yaml:10:9: the field orders.channel is an aggregate"),
        (
            "label: filter",
            "dimension: {is_time: true}",
            "metrics/shop.yaml:10:9: the field orders.channel is a time, and",
        ),
        (
            "datatype: Decimal",
            "datatype: String",
            "metrics/shop.yaml:20:5: the metric revenue is DECIMAL(38,2), and declared",
        ),
        ("[customer_id]", "[customer]", "metrics/shop.yaml:18:5: the relationship buyer: orders.customer = customers."),
        ("[customer_id]", "[chan]", "metrics/shop.yaml:18:5: the relationship buyer: orders.chan = customers.id are"),
        ("datatype: Date", "datatype: String", "metrics/shop.yaml:9:9: the field orders.day is DATE, and declared as"),
        ("[[id], [mail]]", "[[id], [email]]", "metrics/shop.yaml:12:5: the key customers.email: SQL:"),
        ("SUM(orders.amount)", "SUM(orders.chan)", "metrics/shop.yaml:20:5: the metric revenue: SQL:"),
    ],
)
def test_check_binds_all_of_it(write_project: Callable[..., Path], old: str, new: str, told: str) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load(write_project(changed(old, new))).check()
    assert any(str(error).startswith(told) for error in caught.value.errors), caught.value


def test_over_a_schema_that_is_not_known_it_is_bound_later(write_project: Callable[..., Path]) -> None:
    python = "import headwater as hw\n\n\n@hw.model()\ndef orders():\n    return []\n"
    files = {**FILES, "models/staging/orders.py": python}
    del files["models/staging/orders.sql"]
    bound = load(write_project(files)).check()
    assert [note for note in bound.unchecked if note.startswith("metrics/shop.yaml:2:1: the metrics of shop")]


def test_a_private_dataset_is_refused_and_a_port_is_not(
    write_project: Callable[..., Path], errors_of: Callable[..., list[str]]
) -> None:
    inside = SHOP.replace("staging.orders", "main.orders_v1").replace("staging.customers", "own.customers")
    product = (
        "kind: product\nports:\n  orders:\n    version: 1.0.0\n    from: staging.orders\n    columns: "
        "{id: bigint, day: date, chan: varchar, customer_id: bigint, amount: 'decimal(12,2)'}\n"
    )
    files = {
        "models/staging/orders.sql": ORDERS, "products/orders.yaml": product,
        "domains/sales/models/own/customers.sql": CUSTOMERS, "domains/sales/metrics/shop.yaml": inside,
        "domains/sales/dashboards/page.md": PAGE,
    }  # fmt: skip
    private = {**files, "domains/sales/metrics/shop.yaml": inside.replace("main.orders_v1", "staging.orders")}
    found = errors_of(private)
    assert any("domains/sales/metrics/shop.yaml:5:5: the semantic model shop reads staging.orders, which is" in text
               for text in found), found  # fmt: skip
    project = load(write_project(files))
    assert project.run().status == "done"
    asked = project.query(metrics=["sales.revenue"], by=["region"]).to_pylist()
    assert {row["region"]: row["revenue"] for row in asked} == {
        "EU": Decimal("10.50"), "US": Decimal("5.25"), None: Decimal(7),
    }  # fmt: skip
    with pytest.raises(HeadwaterError, match="no metric is named revenue") as told:
        project.query(metrics=["revenue"])
    assert told.value.fix == "write sales.revenue"
    with pytest.raises(HeadwaterError, match=r"no metric is named sles\.revenue") as told:
        project.query(metrics=["sles.revenue"])
    assert told.value.fix == "did you mean 'sales.revenue'?"
    with pytest.raises(HeadwaterError, match="metrics and a SELECT are asked for at once"):
        project.query("select 1", metrics="sales.revenue")


def test_a_page_shows_metrics_and_is_made_again_when_they_change(write_project: Callable[..., Path]) -> None:
    folder = write_project({**FILES, "dashboards/page.md": PAGE})
    project = load(folder)
    assert project.run().status == "done"
    page = (folder / "data/artefacts/dashboards/page/latest/index.html").read_text()
    assert "22.75" in page
    assert page.count("17.50") == 1
    assert page.count("10.50") == 3
    assert {result.step: result.status for result in load(folder).run().results}["dashboards.page"] == "skipped"
    (folder / "metrics/shop.yaml").write_text(SHOP.replace("SUM(orders.amount)", "SUM(orders.amount) * 2"))
    again = load(folder).run()
    assert {result.step: result.status for result in again.results}["dashboards.page"] == "done"
    assert "45.50" in (folder / "data/artefacts/dashboards/page/latest/index.html").read_text()


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("big_number\n{metric: revenu}", "dashboards/page.md:1: big_number: no metric is named revenu"),
        ("table\n{metric: revenue, by: nothing}", "dashboards/page.md:1: table: no field is named nothing"),
        ("table\n{metric: revenue, query: q}", "write one of query and metric"),
        ("table\n{rows: 3}", "write one of query and metric"),
        ("table\n{query: q, by: day}", "by and where are of metrics"),
        ("big_number\n{metric: [revenue, sold]}", "value is missing"),
        ("big_number\n{metric: sold, by: day, agg: sum}", "the sum of a metric's groups is another number"),
        ("chart\n{metric: revenue, mark: bar}", "x, y is missing"),
        ("chart\n{metric: [revenue, sold], by: [day, region], mark: bar, color: region}", "as y have a colour each"),
        ("table\n{metric: revenue, where: channel = $chanel}", "$chanel is no parameter"),
    ],
)
def test_a_block_that_asks_wrongly_is_told(errors_of: Callable[..., list[str]], block: str, told: str) -> None:
    found = errors_of({**FILES, "dashboards/page.md": f"```{block}\n```\n\n```sql q\nselect 1\n```\n"})
    assert any(told in text for text in found), found


def test_the_command_line_asks(call: Call, write_project: Callable[..., Path]) -> None:  # noqa: F811
    folder = str(write_project(FILES))
    assert call("-p", folder, "run").code == 0

    def ask(*arguments: str) -> Any:
        return call("-p", folder, "query", *arguments)

    asked = ask("--metric", "revenue,sold", "--by", "month", "--format", "csv")
    assert (asked.code, asked.text) == (0, "month,revenue,sold\n2024-01-01,15.75,2\n2024-02-01,7.00,1\n")
    asked = ask("-m", "revenue", "-m", "sold", "--where", "channel = 'web' and customers.region is null", "--json")
    assert asked.json == [{"revenue": "7.00", "sold": 1}]
    told = ask("-m", "revenue", "--by", "region", "--sql")
    assert told.text.startswith('SELECT customers.region AS "region", sum(orders.amount) AS "revenue"\nFROM "staging"')
    assert ask(told.text, "--format", "csv").text == ask("-m", "revenue", "--by", "region", "--format", "csv").text
    assert ask("-m", "revenu").error == "no metric is named revenu\n  fix: did you mean 'revenue'?\n"
    asked = ask("-m", "sold", "--where", "channel = 'web'", "--where", "day < '2024-02-01' or 1 = 2", "--json")
    assert asked.json == [{"sold": 1}]
    assert ask("-m", "sold", "--where", "1 = 1) OR (1 = 1", "--where", "channel = 'web'").code == 2
    asked = ask("-m", "sold", "--by", "channel", "--by", "month", "--format", "csv")
    assert asked.text.startswith("channel,month,sold\n")
    assert ask("-m", "").error.startswith("no metric is asked for")
    for wrong in ((), ("select 1", "-m", "revenue"), ("select 1", "--by", "day")):
        assert ask(*wrong).code == 2
