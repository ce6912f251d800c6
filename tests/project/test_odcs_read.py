"""Products of ODPS with contracts of ODCS: what is evaluated, what is only kept, what is refused and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.product import PortContract, SlaName, SlaTerm, check_to_json
from headwater.core.types import DELTA_TYPES
from headwater.core.values import Plain
from headwater.documents import parse_document
from headwater.project.readers.product_files import ProductReading, read_products
from tests.project.test_odcs_written import FOREIGN
from tests.project.test_products import SHOP

PRODUCT = """\
apiVersion: v1.0.0
kind: DataProduct
id: fbe8d147
name: Sales
status: active
domain: seller
description: {purpose: What was sold.}
team: [{username: boss@example.com, role: Owner}, {username: x, role: steward}]
inputPorts: [{name: payments, version: 1.0.0, contractId: other}]
outputPorts:
  - name: orders
    type: tables
    version: 1.1.0
    contractId: c-1
"""

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: c-1
version: 1.1.0
status: active
schema:
  - name: orders
    physicalName: marts.orders
    properties:
      - name: id
        logicalType: integer
"""


def read(*texts: str) -> ProductReading:
    names = ["sales.odps.yaml", *(f"c{i}.odcs.yaml" for i in range(1, len(texts)))]
    documents = [parse_document(text, f"products/{name}") for name, text in zip(names, texts, strict=True)]
    return read_products(documents, "sales", DELTA_TYPES)


def contract(lines: str = "", *, of_property: str = "", top: str = "") -> ProductReading:
    """Read a contract with further lines: of the whole, of its object, of its property."""
    at_property = "".join(f"        {line}\n" for line in of_property.splitlines())
    at_object = "".join(f"    {line}\n" for line in lines.splitlines())
    return read(PRODUCT, CONTRACT + at_property + at_object + top)


def only(reading: ProductReading) -> PortContract:
    assert [str(error) for error in reading.errors] == []
    return reading.products[0].ports[0]


def checks(reading: ProductReading) -> list[dict[str, Any]]:
    return [check_to_json(check) for check in only(reading).checks]


def test_a_product_and_its_contract() -> None:
    reading = read(PRODUCT, CONTRACT)
    found = only(reading)
    (product,) = reading.products
    assert (product.name, product.domain, product.owner) == ("sales", "sales", "boss@example.com")
    assert product.description == "What was sold."
    assert product.carried["inputPorts"] == [{"name": "payments", "version": "1.0.0", "contractId": "other"}]
    assert (found.dataset, found.source, found.product) == ("sales.orders_v1", "marts.orders", "sales")
    assert [(column.name, column.type) for column in found.columns] == [("id", "BIGINT")]
    assert str(found.location) == "products/c1.odcs.yaml:7:5"
    assert reading.notes == []


@pytest.mark.parametrize(
    ("words", "type_text"),
    [
        ("logicalType: integer", "BIGINT"),
        ("logicalType: number", "DOUBLE"),
        ("logicalType: string", "VARCHAR"),
        ("logicalType: date", "DATE"),
        ("logicalType: timestamp", "TIMESTAMP"),
        ("logicalType: boolean", "BOOLEAN"),
        ("logicalType: timestamp\nlogicalTypeOptions: {timezone: true}", "TIMESTAMP WITH TIME ZONE"),
        ("logicalType: number\nphysicalType: decimal(38,2)", "DECIMAL(38,2)"),
        ("physicalType: BIGINT", "BIGINT"),
        ("logicalType: date\nphysicalType: varchar", "VARCHAR"),
        ("logicalType: array\nphysicalType: bigint[]", "BIGINT[]"),
        ("logicalType: integer\nlogicalTypeOptions: {format: u64}", "DECIMAL(20,0)"),
        ("logicalType: integer\nlogicalTypeOptions: {format: i64}", "BIGINT"),
        ("physicalType: varchar(18)", "VARCHAR"),
    ],
)
def test_types(words: str, type_text: str) -> None:
    lines = "\n".join(words.splitlines())
    reading = read(PRODUCT, CONTRACT.replace("logicalType: integer\n", "description: x\n") + indent(lines))
    assert only(reading).columns[0].type == type_text


def indent(lines: str) -> str:
    return "".join(f"        {line}\n" for line in lines.splitlines())


OPTIONS = [
    ("{minimum: 0, maximum: 10}", [{"range": {"min": 0, "max": 10}, "column": "id"}]),
    ("{exclusiveMinimum: 0.5}", [{"range": {"above": {"decimal": "0.5"}}, "column": "id"}]),
    (
        "{minimum: 0, exclusiveMinimum: 1}",
        [{"range": {"above": 1}, "column": "id"}, {"range": {"min": 0}, "column": "id"}],
    ),
    ("{format: i8}", [{"range": {"min": -128, "max": 127}, "column": "id"}]),
    ("{multipleOf: 5}", [{"sql": 'select * from this where "id" % 5 <> 0'}]),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_options_of_numbers(options: str, expected: list[dict[str, Any]]) -> None:
    assert checks(contract(of_property=f"logicalTypeOptions: {options}")) == expected


def test_options_of_texts() -> None:
    text = CONTRACT.replace("logicalType: integer", "logicalType: string\n        physicalType: varchar(9)")
    options = 'logicalTypeOptions: {minLength: 2, pattern: "^[A-Z]$", format: uuid}'
    found = checks(read(PRODUCT, text + indent(options)))
    assert [sorted(one)[1] for one in found] == ["length", "pattern", "pattern"]
    assert found[0] == {"length": {"min": 2, "max": 9}, "column": "id"}
    assert found[2]["pattern"] == "^[A-Z]$"
    array = CONTRACT.replace("logicalType: integer", "logicalType: array\n        physicalType: varchar[]")
    found = checks(read(PRODUCT, array + indent("logicalTypeOptions: {minItems: 1, maxItems: 3, uniqueItems: true}")))
    assert [one["sql"].partition("where ")[2] for one in found] == [
        'len("id") < 1', 'len("id") > 3', 'len(list_distinct("id")) <> len("id")',
    ]  # fmt: skip


RULES = [
    ("{metric: nullValues, mustBe: 0}", {"not_null": ["id"], "column": "id"}),
    ("{type: library, rule: nullValues, mustBe: 0, unit: rows}", {"not_null": ["id"], "column": "id"}),
    (
        "{metric: nullValues, mustBeLessThan: 1, unit: percent, severity: info, name: few}",
        {
            "not_null": ["id"],
            "column": "id",
            "must": {"be_less_than": "1", "unit": "percent"},
            "name": "few",
            "severity": "warning",
        },
    ),
    (
        "{metric: missingValues, arguments: {missingValues: [null, '', 'N/A']}, mustBeLessOrEqualTo: 3}",
        {"missing_values": [None, "", "N/A"], "must": {"be_less_or_equal_to": "3"}, "column": "id"},
    ),
    (
        "{metric: invalidValues, arguments: {validValues: [1, 2.50, x]}, mustBe: 0}",
        {"accepted_values": [1, {"decimal": "2.50"}, "x"], "column": "id"},
    ),
    (
        "{metric: invalidValues, arguments: {pattern: '[A-Z]'}, mustNotBe: 7}",
        {"pattern": "(?s:.*)(?:[A-Z])(?s:.*)", "must": {"not_be": "7"}, "column": "id"},
    ),
    (
        "{metric: invalidValues, arguments: {pattern: '^a$', validValues: [a]}, mustBeBetween: [0, 5]}",
        {"valid": {"values": ["a"], "pattern": "^a$"}, "must": {"be_between": ["0", "5"]}, "column": "id"},
    ),
    ("{metric: duplicateValues, mustBe: 0}", {"unique": ["id"], "column": "id"}),
    (
        "{metric: duplicateValues, mustNotBeBetween: [1, 5]}",
        {"unique": ["id"], "column": "id", "must": {"not_be_between": ["1", "5"]}},
    ),
    (
        "{type: sql, query: 'SELECT count(*) FROM ${object} WHERE {property} > 3;', mustBeGreaterOrEqualTo: 1.5}",
        {"query": 'SELECT count(*) FROM this WHERE "id" > 3', "must": {"be_greater_or_equal_to": "1.5"}},
    ),
    (
        "{query: 'SELECT bool_and(\"${column}\" > 0) FROM {table}', mustBe: true}",
        {"query": 'SELECT bool_and("id" > 0) FROM this', "must": {"be": "1"}},
    ),
]


@pytest.mark.parametrize(("rule", "expected"), RULES)
def test_rules_of_a_property(rule: str, expected: dict[str, Any]) -> None:
    assert checks(contract(of_property=f"quality:\n  - {rule}")) == [expected]


COUNTS = [
    ("mustBe: 5", {"min": 5, "max": 5}),
    ("mustNotBe: 5", {"not_between": [5, 5]}),
    ("mustBeGreaterThan: 5", {"above": 5}),
    ("mustBeGreaterOrEqualTo: 5", {"min": 5}),
    ("mustBeLessThan: 5", {"below": 5}),
    ("mustBeLessOrEqualTo: 5", {"max": 5}),
    ("mustBeBetween: [1, 5]", {"min": 1, "max": 5}),
    ("mustNotBeBetween: [1, 5]", {"not_between": [1, 5]}),
]


@pytest.mark.parametrize(("operator", "expected"), COUNTS)
def test_the_number_of_rows(operator: str, expected: dict[str, Any]) -> None:
    assert checks(contract(f"quality:\n  - {{metric: rowCount, {operator}}}")) == [{"row_count": expected}]


def test_keys_and_relationships() -> None:
    text = """\
apiVersion: v3.0.2
kind: DataContract
id: c-1
version: 1.1.0
schema:
  - name: orders
    physicalName: marts.orders
    properties:
      - {name: id, physicalName: order_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 2}
      - {name: day, logicalType: date, primaryKey: true, primaryKeyPosition: 1}
      - name: customer
        logicalType: integer
        relationships: [{to: customers.id}, {to: "schema/customers/properties/id", type: foreignKey}]
      - name: carrier
        logicalType: string
        enum: [{value: AA, label: American}, {value: UA}]
        relationships:
          - to: elsewhere.yaml#/schema/carriers/properties/code
            customProperties: [{property: headwater.to, value: {dataset: reference.carriers, field: code}}]
    quality:
      - {metric: duplicateValues, arguments: {properties: [customer, id]}, mustBe: 0}
  - name: customers
    physicalName: staging.customers
    properties: [{name: id, physicalName: customer_id, logicalType: integer}]
"""
    reading = read(PRODUCT, text)
    found = only(reading)
    assert [(column.name, column.required) for column in found.columns] == [
        ("order_id", True), ("day", True), ("customer", False), ("carrier", False),
    ]  # fmt: skip
    assert checks(reading) == [
        {"relationship": {"to": "staging.customers", "field": "customer_id"}, "column": "customer"},
        {"accepted_values": ["AA", "UA"], "column": "carrier"},
        {"relationship": {"to": "reference.carriers", "field": "code"}, "column": "carrier"},
        {"unique": ["customer", "order_id"]},
        {"unique": ["day", "order_id"]},
    ]
    assert found.columns[0].carried["name"] == "id"
    assert reading.notes == ["products/c1.odcs.yaml:1: contract c-1: kept, not evaluated: the objects customers"]


def test_service_levels() -> None:
    top = """\
slaDefaultElement: orders.at
slaProperties:
  - {property: latency, value: 4, unit: d, element: orders.at}
  - {property: Freshness, value: 90, unit: minutes, element: day}
  - {property: fy, value: 1, valueExt: 1, unit: d, element: orders.at}
  - {property: retention, value: 3, unit: y}
  - {property: endOfSupport, value: "2032-05-12T09:30:10-08:00"}
"""
    text = CONTRACT + "      - {name: at, logicalType: timestamp}\n      - {name: day, logicalType: date}\n" + top
    reading = read(PRODUCT, text)
    found = only(reading)
    assert found.sla == (
        SlaTerm(SlaName.FRESHNESS, timedelta(minutes=90), "day"), SlaTerm(SlaName.LATENCY, timedelta(days=4), "at"),
        SlaTerm(SlaName.FREQUENCY, timedelta(days=1)), SlaTerm(SlaName.RETENTION, timedelta(days=1095), "at"),
    )  # fmt: skip
    assert found.carried["sla"] == [{"property": "endOfSupport", "value": "2032-05-12T09:30:10-08:00"}]
    assert ["valueExt", 1] in [[key, value] for _, words in found.carried["said"] for key, value in words.items()]


def test_what_is_not_evaluated_is_kept_and_named() -> None:
    top = """\
price: {priceAmount: 9.95, priceCurrency: USD}
surprise: [1, {a: b}]
tenant: x
customProperties: [{property: mine, value: 1}]
"""
    of_property = """\
tags: [uid]
mood: good
quality:
  - {type: text, description: It was looked at.}
  - {metric: nullValues, mustBe: 0, dimension: completeness, schedule: 0 20 * * *, colour: red}
"""
    reading = contract(of_property=of_property, top=top)
    found = only(reading)
    assert found.carried["contract"] == {
        "price": {"priceAmount": 9.95, "priceCurrency": "USD"}, "surprise": [1, {"a": "b"}], "tenant": "x",
        "customProperties": [{"property": "mine", "value": 1}],
    }  # fmt: skip
    assert found.columns[0].carried == {
        "tags": ["uid"], "mood": "good", "quality": [{"type": "text", "description": "It was looked at."}],
    }  # fmt: skip
    assert reading.notes == [
        "products/c1.odcs.yaml:1: contract c-1: unknown keys, kept as they are: "
        "quality.colour, schema.id.mood, surprise",
        "products/c1.odcs.yaml:1: contract c-1: kept, not evaluated: schedule of a rule of quality",
    ]


def no(where: str, text: str, what: str, fix: str, line: int) -> Any:
    return pytest.param(where, text, what, fix, line, id=what)


@pytest.mark.parametrize(
    ("where", "text", "what", "fix", "line"),
    [
        no("sla", "{property: availability, value: 99.9}", "availability cannot be evaluated", "", 13),
        no("sla", "{property: throughput, value: 9}", "service level throughput cannot be evaluated", "", 13),
        no("sla", "{property: latency, value: 4, unit: parsec}", "the unit 'parsec' is not known", "", 13),
        no("sla", "{property: latency, value: 4, unit: m}", "a minute to some and a month", "write min or month", 13),
        no("sla", "{property: latency, value: 4}", "the unit is missing", "", 13),
        no("sla", "{property: latency, value: soon, unit: d}", "is no number", "value: 26, unit: h", 13),
        no("sla", "{property: latency, value: 4, unit: d, element: 'a, b'}", "several elements", "one service", 13),
        no("sla", "{property: latency, value: 4, unit: d, element: at}", "latency by at, which is no col", "id", 12),
        no("rule", "{metric: rowCount, mustBe: 1, unit: percent}", "always 100", "", 13),
        no("rule", "{metric: nullVals, mustBe: 1}", "the metric 'nullVals' cannot be evaluated", "'nullValues'", 13),
        no("rule", "{metric: nullValues, mustBe: 1, unit: pro}", "the unit 'pro' is not known", "rows or percent", 13),
        no("rule", "{metric: nullValues}", "without an operator", "mustBe: 0", 13),
        no("rule", "{metric: nullValues, mustBe: 1, mustNotBe: 2}", "has 2 operators", "mustBe: 0", 13),
        no("rule", "{metric: nullValues, mustBe: few}", "'few' is not a number", "", 13),
        no("rule", "{metric: nullValues, mustBe: 1, severity: odd}", "severity 'odd' is not known", "error or", 13),
        no("rule", "{metric: invalidValues, mustBe: 0}", "what is valid is not said", "validValues", 13),
        no("rule", "{metric: invalidValues, mustBe: 0, arguments: {x: 1}}", "the argument x cannot be ev", "", 13),
        no("rule", "{metric: missingValues, mustBe: 0}", "missingValues without values", "missingValues", 13),
        no("rule", "{type: custom, engine: soda, implementation: x}", "the engine soda cannot be", "type: sql", 13),
        no("rule", "{type: sql, mustBe: 0}", "a rule of SQL without a query", "query", 13),
        no("rule", "{type: magic, mustBe: 0}", "a rule of the type 'magic'", "", 13),
        no("rule", "{description: x, mustBe: 0}", "a rule of the library without a metric", "nullValues", 13),
        no("property", "relationships: [{to: far.away}]", "which dataset the relationship to far.away", "headw", 12),
        no("property", "relationships: [{to: 'x.yaml#/schema/orders/properties/id'}]", "which dataset", "headw", 12),
        no("property", "relationships: [{to: [a.b, a.c]}]", "no foreign key of one column", "leave", 12),
        no("property", "physicalType: integer", "INTEGER is kept as BIGINT in a port", "write type: bigint", 10),
        no("property", "physicalType: NUMBER(38)", "'NUMBER(38)' is no type", "", 10),
        no("property", "logicalTypeOptions: {minimun: 1}", "the option minimun of integer", "'minimum'", 12),
        no("property", "logicalTypeOptions: {format: i7}", "the format 'i7' cannot be evaluated", "i64", 12),
        no("property", "logicalTypeOptions: {format: i128}", "no port holds an integer of the format", "dec", 10),
        no("property", "customProperties: [{property: headwater.hiden, value: 1}]", "'headwater.hiden'", "hidden", 12),
        no("property", "items: {logicalType: string, required: true}", "a rule of what lies within", "sql", 10),
        no("property", "properties: [{name: x, items: {quality: [1]}}]", "of what lies within", "sql", 10),
        no("object", "relationships: [{from: id, to: a.b}]", "a relationship of the table", "at the property", 12),
        no("object", "quality: [{metric: nullValues, mustBe: 0}]", "nullValues of no property", "at a property", 12),
        no("object", "quality: [{metric: duplicateValues, mustBe: 0}]", "duplicateValues of no prop", "arguments", 12),
    ],
)  # fmt: skip
def test_what_is_refused(where: str, text: str, what: str, fix: str, line: int) -> None:
    if where == "sla":
        reading = contract(top=f"slaProperties:\n  - {text}\n")
    elif where == "rule":
        reading = contract(of_property=f"quality:\n  - {text}")
    else:
        reading = contract(text if where == "object" else "", of_property=text if where == "property" else "")
    assert len(reading.errors) == 1, [str(error) for error in reading.errors]
    (error,) = reading.errors
    assert what in error.what
    assert fix in error.fix
    assert (error.path, error.line) == ("products/c1.odcs.yaml", line)


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("product", "contract_file", "what", "fix"),
    [
        (
            swap(PRODUCT, "contractId: c-1", "contractId: c1"),
            CONTRACT,
            "no contract has the id c1; the contracts here are c-1",
            "'c-1'",
        ),
        (swap(PRODUCT, "    contractId: c-1\n", ""), CONTRACT, "it names no contract", "contractId"),
        (
            swap(PRODUCT, "version: 1.1.0", "version: 2.0.0"),
            CONTRACT,
            "it is version 2.0.0 and its contract 1.1.0",
            "major",
        ),
        (
            swap(PRODUCT, "apiVersion: v1.0.0", "apiVersion: v4.1"),
            CONTRACT,
            "version v4.1 of the standard is not read",
            "v1",
        ),
        (swap(PRODUCT, "outputPorts:", "outputs:"), CONTRACT, "a product without output ports", "outputPorts"),
        (PRODUCT, swap(CONTRACT, "apiVersion: v3.1.0", "apiVersion: v2.2.2"), "version v2.2.2 of the standard", "v3.0"),
        (PRODUCT, swap(CONTRACT, "version: 1.1.0", "version: '1'"), "'1' is not a version", ""),
        (PRODUCT, swap(CONTRACT, "marts.orders", "orders"), "cannot be known from 'orders'", "headwater.from"),
        (PRODUCT, swap(CONTRACT, "        logicalType: integer\n", ""), "its type is missing", "physicalType"),
        (
            PRODUCT,
            swap(CONTRACT, "logicalType: integer", "logicalType: array"),
            "does not say how it is kept",
            "physicalType",
        ),
        (PRODUCT, swap(CONTRACT, "logicalType: integer", "logicalType: integr"), "'integr' is not known", "'integer'"),
        (PRODUCT, swap(CONTRACT, "- name: id", "- nam: id"), "'name' is missing", "add `name"),
    ],
)
def test_products_and_contracts_that_are_refused(product: str, contract_file: str, what: str, fix: str) -> None:
    reading = read(product, contract_file)
    found = [error for error in reading.errors if what in error.what]
    assert len(found) == 1, [str(error) for error in reading.errors]
    assert fix in found[0].fix
    assert found[0].line


def test_several_objects_versions_and_contracts() -> None:
    both = (
        CONTRACT + "  - name: lines\n    physicalName: marts.lines\n    properties: [{name: n, logicalType: string}]\n"
    )
    assert only(read(PRODUCT, both)).source == "marts.orders"
    (error,) = read(PRODUCT.replace("name: orders", "name: sales"), both).errors
    assert "none of its objects is named like the port 'sales': orders, lines" in error.what
    second = CONTRACT.replace("version: 1.1.0", "version: 2.0.0")
    port = "  - {name: orders, version: 2.0.0, contractId: c-1}\n"
    reading = read(PRODUCT + port, CONTRACT, second)
    assert [one.dataset for one in reading.products[0].ports] == ["sales.orders_v1", "sales.orders_v2"]
    assert "several contracts have the id c-1" in read(PRODUCT, CONTRACT, CONTRACT).errors[0].what
    other = CONTRACT.replace("id: c-1", "id: c-9")
    assert read(PRODUCT, CONTRACT, other).notes == [
        "products/c2.odcs.yaml:1: contract c-9: no port of a product names it"
    ]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in below for found in places(one, (*path, key)))]


FOREIGN_C1 = FOREIGN.replace("53581432-6c55-4ba2-a65f-72344a91553a", "c-1").lstrip("\n")
NONSENSE: list[Any] = [
    None,
    [],
    {},
    "",
    "x",
    Plain("1"),
    Plain("-1.5"),
    [Plain("1"), []],
    {"a": [{}]},
    Plain("true"),
    [None],
]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_nonsense_anywhere_is_an_error_or_nothing(data: st.DataObject) -> None:
    documents = [
        parse_document(text, f"products/{at}.yaml") for at, text in enumerate((PRODUCT, FOREIGN_C1, SHOP.lstrip("\n")))
    ]
    document = data.draw(st.sampled_from(documents))
    path = data.draw(st.sampled_from(places(document.data)[1:]))
    at = document.data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = data.draw(st.sampled_from(NONSENSE))
    reading = read_products(documents, "sales", DELTA_TYPES)
    assert all(error.path.startswith("products/") and error.line for error in reading.errors)
