"""Products in the short form: what their files say, what is refused and where."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.core.product import SlaName, SlaTerm, from_json, to_json
from headwater.core.specs import CheckSpec
from headwater.core.types import DELTA_TYPES
from headwater.documents import parse_document
from headwater.project.readers.product_files import ProductReading, product_name, read_products

SHOP = """
kind: product                             # or an ODPS file (kind: DataProduct) whose ports name ODCS contracts
owner: sales@example.com
description: Revenue per day and currency.
ports:
  daily_revenue:                          # read by other domains as main.daily_revenue_v1
    version: 1.0.0
    from: marts.daily_revenue
    columns:
      day: {type: date, required: true}
      currency: {type: varchar, required: true}
      revenue: {type: "decimal(38,2)"}
    checks: [{unique: [day, currency]}]
    sla: {freshness: 26h}
"""

PORT = """
kind: product
ports:
  p:
    version: 1.0.0
    from: marts.x
    columns: {a: bigint, at: timestamp}
"""


def read(*texts: str, domain: str = "main") -> ProductReading:
    documents = [
        parse_document(textwrap.dedent(text).lstrip("\n"), f"products/p{i}.yaml") for i, text in enumerate(texts)
    ]
    return read_products(documents, domain, DELTA_TYPES)


def port(**changed: str) -> str:
    """A product of one port, some of its keys written otherwise."""
    keys = {"version": "1.0.0", "from": "marts.x", "columns": "{a: bigint, at: timestamp}", **changed}
    key = keys.pop("key", "p")
    lines = "".join(f"    {name}: {value}\n" for name, value in keys.items())
    return f"kind: product\nports:\n  {key}:\n{lines}"


def test_the_shops_product_as_it_stands() -> None:
    text = SHOP.lstrip("\n")
    reading = read(text)
    assert (reading.errors, reading.notes) == ([], [])
    (product,) = reading.products
    (contract,) = product.ports
    assert (product.name, product.owner, product.domain) == ("p0", "sales@example.com", "main")
    assert (contract.dataset, contract.source, contract.major) == ("main.daily_revenue_v1", "marts.daily_revenue", 1)
    assert [(c.name, c.type, c.required) for c in contract.columns] == [
        ("day", "DATE", True), ("currency", "VARCHAR", True), ("revenue", "DECIMAL(38,2)", False),
    ]  # fmt: skip
    assert contract.checks == (CheckSpec(unique=["day", "currency"]),)
    assert contract.sla == (SlaTerm(SlaName.FRESHNESS, timedelta(hours=26)),)
    assert (contract.owner, contract.strict, contract.product) == ("sales@example.com", True, "p0")
    assert str(contract.location) == "products/p0.yaml:5:3"
    assert from_json(to_json(contract)) == contract


def test_the_audit_of_a_port_is_each_check_once() -> None:
    text = port(columns="{a: {type: bigint, required: true, unique: true, checks: [not_null, unique]}}")
    (product,) = read(text).products
    assert product.ports[0].audit_checks() == (
        CheckSpec(not_null=["a"], column="a"),
        CheckSpec(unique=["a"], column="a"),
    )


def test_names_of_products_and_ports() -> None:
    assert product_name("domains/x/products/revenue.odps.yaml") == "revenue"
    text = PORT.replace("  p:", "  p_v1:") + PORT.split("ports:")[1].replace("  p:", "  p_v2:").replace(
        "1.0.0", "2.1.0"
    )
    (product,) = read(text, domain="sales").products
    assert [one.dataset for one in product.ports] == ["sales.p_v1", "sales.p_v2"]


def test_the_same_port_twice() -> None:
    text = PORT + PORT.split("ports:")[1].replace("  p:", "  p_v1:")
    (error,) = read(text).errors
    assert "main.p_v1 is declared twice: the other is products/p0.yaml:3:3" in error.what
    (error,) = read(PORT, PORT.replace("  p:", "  P:")).errors
    assert error.path == "products/p1.yaml"


COLUMN = "{a: bigint, at: timestamp, t: varchar}"


@pytest.mark.parametrize(
    ("text", "what", "fix", "line"),
    [
        (port(columns="{a: integer}"), "INTEGER is kept as BIGINT in a port", "write type: bigint", 6),
        (port(columns="{a: real}"), "FLOAT is kept as DOUBLE in a port", "write type: double", 6),
        (port(columns="{a: uuid}"), "UUID is kept as VARCHAR", "write type: varchar", 6),
        (port(columns="{a: 'integer[]'}"), "INTEGER[] is kept as BIGINT[]", "write type: bigint[]", 6),
        (port(columns="{a: time}"), "a port cannot hold TIME", "cast it in the model", 6),
        (port(columns="{a: bigint, A: bigint}"), "the columns a and A differ in case only", "rename", 6),
        (port(columns="{a: {description: x}}"), "add the type of a", "", 3),
        (port(columns="{}"), "at least 1 item", "", 6),
        (port(columns="{a: bigint, b: {typ: bigint}}"), "unknown word 'typ'", "did you mean 'type'?", 6),
        (port(version="1.0"), "'1.0' is not a version", "", 4),
        (port(version="01.0.0"), "is not a version", "", 4),
        (port(key="p_v2"), "the port p_v2 says major 2, and its version is 1.0.0", "name it p_v1", 3),
        (port(key="p_v01"), "says major 01", "name it p_v1", 3),
        (port(key="a-b"), "is no name that SQL reads", "letters", 3),
        (port(key="a__b"), "is no name that SQL reads", "underscores", 3),
        (port(sla="{availability: 99}"), "unknown word 'availability'", "", 7),
        (port(sla="{freshnes: 26h}"), "unknown word 'freshnes'", "did you mean 'freshness'?", 7),
        (port(sla="{freshness: 26 fortnights}"), "is not a duration; write a number and a unit", "given", 7),
        (port(sla="{freshness: 0s}"), "no whole number of seconds above zero", "26h", 7),
        (port(sla="{freshness: 1500ms}"), "no whole number of seconds above zero", "26h", 7),
        (port(sla="{latency: {column: b, max: 4h}}"), "latency by b, which is no column of", "known: a, at", 7),
        (port(sla="{latency: {column: a, max: 4h}}"), "by a, which is BIGINT: it has no age", "timestamp", 7),
        (port(sla="{latency: {max: 4h, colum: at}}"), "unknown word 'colum'", "did you mean 'column'?", 7),
        (port(checks="[{unique: [a, b]}]"), "a check of b, which is no column of the port", "known: a, at", 7),
        (port(checks="[{range: {min: 0}}]"), "the check range needs a column", "", 3),
        (port(checks="[{not_null: a, must: {be_les_than: 3}}]"), "unknown word 'be_les_than'", "'be_less_than'", 7),
        (port(checks="[{not_null: a, must: {be: x}}]"), "'x' is not a number", "", 7),
        (port(checks="[{not_null: a, must: {be: 1, not_be: 2}}]"), "exactly one of be, not_be", "", 7),
        (port(checks="[{not_null: a, must: {be_between: [3, 1]}}]"), "begins with the smaller number", "", 7),
        (port(checks="[{not_null: a, must: {be: 1, unit: promille}}]"), "'promille' is not known", "percent", 7),
        (port(checks="[{query: select 1}]"), "a query needs what its value has to be", "", 7),
        (port(checks="[{row_count: {min: 1}, must: {be: 0}}]"), "row_count counts no wrong rows", "", 7),
        (port(checks="[{valid: {pattern: x}, column: a}]"), "valid joins two or more", "", 7),
        (port(checks="[{length: {}, column: a}]"), "a length needs min or max", "", 7),
        (port(checks="[{range: {min: 1, above: 2}, column: a}]"), "one bound at each end", "", 7),
        (port(strictt="false"), "unknown word 'strictt'", "did you mean 'strict'?", 7),
        (port(status="live"), "'live' is not known", "did you mean 'active'?", 7),
        ("kind: product\n", "'ports' is missing", "add `ports", 1),
        ("kind: produkt\n", "unknown kind 'produkt'", "did you mean 'product'?", 1),
        ("owner: x\n", "`kind` is missing", "write product, DataProduct, DataContract", 1),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, what: str, fix: str, line: int) -> None:
    errors = read(text).errors
    assert len(errors) == 1, [str(error) for error in errors]
    assert what in errors[0].what
    assert fix in errors[0].fix
    assert (errors[0].path, errors[0].line) == ("products/p0.yaml", line)


def test_a_port_may_say_everything() -> None:
    text = """
    kind: product
    owner: a@example.com
    tags: [sales, daily]
    ports:
      p:
        version: 1.2.3
        from: marts.x
        owner: b@example.com
        status: deprecated
        tags: old
        description: All of it.
        strict: false
        columns:
          id: {type: bigint, required: true, unique: true, description: The key.}
          email: {type: varchar, classification: confidential, checks: [{pattern: ".+@.+"}]}
          name: {type: varchar, hidden: true, checks: [{length: {min: 1, max: 40}}]}
          kind: {type: varchar, classification: internal, checks: [{accepted_values: [a, 1, 0.10]}]}
          at: timestamp
        checks:
          - {not_null: at, must: {be_less_than: 1, unit: percent}, severity: warning}
          - {column: kind, missing_values: [null, ""]}
          - {query: select count(*) from this, must: {be_greater_than: 3}}
          - {row_count: {above: 1, not_between: [5, 6]}}
        sla: {freshness: 26h, latency: {column: at, max: 4h}, frequency: 1d, retention: 900d}
    """
    reading = read(text)
    assert reading.errors == []
    contract = reading.products[0].ports[0]
    assert contract.hidden_columns == {"email", "name"}
    assert (contract.owner, contract.status, contract.tags, contract.strict) == (
        "b@example.com", "deprecated", ("old",), False,
    )  # fmt: skip
    assert [term.name for term in contract.sla] == ["freshness", "latency", "frequency", "retention"]
    assert len(contract.checks) == 7
    assert from_json(to_json(contract)) == contract


def test_what_is_kept_is_of_a_known_form() -> None:
    (product,) = read(PORT).products
    kept: dict[str, Any] = to_json(product.ports[0])
    for broken in ({}, {**kept, "form": 2}, {**kept, "columns": [{"name": "a"}]}, {**kept, "version": "x"}):
        with pytest.raises(ValueError, match=r"form|broken|version"):
            from_json(broken)


def test_the_shops_file_is_the_one_of_the_formats() -> None:
    file = Path(__file__).parents[1] / "projects" / "shop" / "products" / "revenue.yaml"
    if file.exists():
        assert file.read_text(encoding="utf-8").split() == SHOP.split()
