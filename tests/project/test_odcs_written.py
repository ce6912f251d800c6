"""Contracts written as files of ODCS 3.1, and read again."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.odcs.read import ContractReading, read_contract
from headwater.core.odcs.write import contract_text
from headwater.core.patterns import FORMATS, pattern_of_search, search_of_pattern
from headwater.core.product import PortContract
from headwater.core.types import DELTA_TYPES
from headwater.core.values import Plain, resolve_scalar
from headwater.core.yaml_text import write_yaml
from headwater.documents import parse_document
from headwater.errors import ProjectError
from headwater.project.readers.odps import read_contract_file
from tests.core.contracts import PATTERNS, contracts, texts
from tests.project.test_products import SHOP, read


def read_back(text: str) -> ContractReading:
    errors: list[ProjectError] = []
    document = parse_document(text, "p.odcs.yaml")
    file = read_contract_file(document, errors)
    assert file is not None, [str(error) for error in errors]
    return read_contract(file.odcs, document.place, DELTA_TYPES)


@given(contracts())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_contract_comes_back_from_its_file(contract: PortContract) -> None:
    text = contract_text(contract)
    reading = read_back(text)
    assert [str(error) for error in reading.errors] == []
    assert reading.contract == contract
    assert contract_text(reading.contract) == text


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | texts
        | st.sampled_from(["yes", "1", "- a", "a: b", "#", "x\u2028y", "\U0001f600"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    )
)
def test_yaml_says_what_it_was_given(value: Any) -> None:
    document = parse_document(write_yaml({"value": value}), "x.yaml")
    assert typed(document.data["value"]) == value


def typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    return resolve_scalar(value) if isinstance(value, Plain) else value


@given(st.sampled_from(PATTERNS) | texts)
def test_a_pattern_comes_back_from_its_search(pattern: str) -> None:
    assert pattern_of_search(search_of_pattern(pattern)) == pattern


@pytest.mark.parametrize(
    ("search", "pattern"),
    [
        ("^[A-Z]{2}$", "^[A-Z]{2}$"), ("[A-Z]", "(?s:.*)(?:[A-Z])(?s:.*)"), ("^a|b$", "(?s:.*)(?:^a|b$)(?s:.*)"),
        (r"^a\$", r"(?s:.*)(?:^a\$)(?s:.*)"), (r"^a\\$", r"^a\\$"), ("^(?:a|b)$", "a|b"), (r"^(?:[)])$", "[)]"),
        ("^(?:a)(?:b)$", "^(?:a)(?:b)$"),
    ],
)  # fmt: skip
def test_a_search_as_a_pattern_of_the_whole_text(search: str, pattern: str) -> None:
    assert pattern_of_search(search) == pattern


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("email", ["a@b.co"], ["a@b", "a b@c.de", ""]),
        ("uuid", ["53581432-6c55-4ba2-a65f-72344a91553A"], ["53581432-6c55-4ba2-a65f", "g" * 36]),
        ("uri", ["https://x.example/a?b", "mailto:a@b.co"], ["x", "a b:c"]),
        ("hostname", ["a", "a-b.example.com"], ["-a", "a..b", "a_b", "x" * 64]),
        ("ipv4", ["0.0.0.0", "255.255.255.255"], ["256.1.1.1", "1.1.1", "01.1.1.1"]),
        ("ipv6", ["::", "::1", "fe80::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"], ["1:2:3", ":::", "1::2::3", "g::"]),
        ("byte", ["", "YQ==", "YWI=", "YWJj"], ["YQ=", "Y", "a-b="]),
    ],
)  # fmt: skip
def test_the_formats_of_texts(name: str, good: list[str], bad: list[str]) -> None:
    import duckdb

    def fits(text: str) -> bool:
        found = duckdb.execute("SELECT regexp_full_match(?, ?)", [text, FORMATS[name]]).fetchone()
        return bool(found and found[0])

    assert [text for text in good if not fits(text)] == []
    assert [text for text in bad if fits(text)] == []


def shop_contract() -> PortContract:
    return read(SHOP.lstrip("\n")).products[0].ports[0]


def test_the_shops_contract_as_a_file() -> None:
    assert contract_text(shop_contract()) == (Path(__file__).parent / "golden" / "daily_revenue.odcs.yaml").read_text()


EVERYTHING = """
kind: product
owner: a@example.com
ports:
  p:
    version: 1.2.3
    from: marts.x
    status: deprecated
    tags: [old, "2024"]
    description: "All: of it."
    strict: false
    columns:
      id: {type: bigint, required: true, unique: true, description: The key., checks: [{range: {min: 0}}]}
      email: {type: varchar, classification: confidential, checks: [{pattern: ".+@.+"}, {length: {min: 3, max: 40}}]}
      name: {type: varchar, hidden: true, checks: [{length: {max: 9}, severity: warning}]}
      kind: {type: varchar, checks: [{accepted_values: [a, "1", null]}, {missing_values: [null, ""]}]}
      price: {type: "decimal(18,2)", checks: [{range: {above: 0.5, below: 100}}, {range: {max: 50}, severity: warning}]}
      carrier: {type: varchar, checks: [{relationship: {to: reference.carriers, field: code}}]}
      flag: boolean
      day: {type: date, checks: [{range: {min: "2020-01-01"}}, {freshness: 30d}]}
      at: "timestamp with time zone"
      parts: "bigint[]"
      raw: blob
      both: "struct(a bigint)"
    checks:
      - {not_null: at, must: {be_less_than: 1, unit: percent}, severity: warning, name: few}
      - {unique: [day, kind], must: {be_between: [0, 3]}}
      - {column: name, valid: {values: [x, y], pattern: "[a-z]"}, must: {be_less_or_equal_to: 0.5, unit: percent}}
      - {column: name, valid: {values: [x, y], length: {max: 3}}}
      - {not_null: [day, kind]}
      - {sql: "select * from this where price < 0 -- not free"}
      - {query: "select max(price) from this", must: {be_greater_than: 3.5}}
      - {row_count: {min: 1, max: 1000}}
      - {row_count: {not_between: [5, 6]}}
      - {row_count: {above: 0, not_between: [7, 8]}}
    sla: {freshness: 26h, latency: {column: at, max: 90m}, frequency: 1d, retention: {column: day, max: 900d}}
"""


def test_everything_comes_back() -> None:
    product = read(EVERYTHING)
    assert product.errors == []
    contract = product.products[0].ports[0]
    reading = read_back(contract_text(contract))
    assert reading.errors == []
    assert reading.notes == []
    assert reading.contract == contract


FOREIGN = """
apiVersion: v3.2.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: Orders of the shop
version: 1.1.0
status: active
domain: seller
tenant: ClimateQuantumInc
description: {purpose: What was sold., limitations: Some., usage: Any.}
context: {instructions: x}
schema:
  - id: orders_obj
    name: orders
    physicalName: marts.orders
    physicalType: view
    businessName: Orders
    properties:
      - {name: id, physicalName: order_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, tags: [uid]}
      - {name: day, logicalType: date, logicalTypeOptions: {format: yyyy-MM-dd, minimum: "2020-01-01"}, synonyms: [d]}
      - name: carrier
        logicalType: string
        physicalType: varchar(2)
        enum: [{value: AA, label: American}, {value: UA}]
        customProperties: [{property: anonymizationStrategy, value: none}]
        quality:
          - {type: text, description: It was looked at., id: q1}
          - metric: nullValues
            mustBe: 0
            id: q2
            dimension: completeness
            severity: error
            businessImpact: operational
            customProperties: [{property: FIELD_NAME, value: null}, {property: x, value: 1.5}]
    quality: [{metric: rowCount, mustBeGreaterThan: 1000000, method: reconciliation}]
price: {priceAmount: 9.95, priceCurrency: USD, priceUnit: megabyte}
team:
  - {username: ceastwood, role: Data Scientist, dateIn: "2022-08-02"}
  - {username: daustin, role: Owner, description: Keeper of the grail}
roles: [{role: reader, access: read}]
slaProperties:
  - {property: latency, value: 4, unit: d, element: orders.day, driver: regulatory}
  - {property: generalAvailability, value: "2022-05-12T09:30:10-08:00", description: GA}
  - {property: frequency, value: 1, valueExt: 1, unit: d}
support: [{channel: "#help", tool: slack}]
tags: [transactions]
customProperties: [{property: refRulesetName, value: gcsc.ruleset.name}, {property: list, value: [a, 1]}]
contractCreatedTs: "2022-11-15T02:59:43+00:00"
"""


def test_a_contract_of_others_is_written_with_all_that_it_said() -> None:
    reading = read_back(FOREIGN)
    assert [str(error) for error in reading.errors] == []
    contract = reading.contract
    assert contract is not None
    assert (contract.owner, contract.columns[0].name, contract.source) == ("daustin", "order_id", "marts.orders")
    text = contract_text(contract)
    for kept in (
        "Keeper of the grail",
        "refRulesetName",
        "regulatory",
        "American",
        "reconciliation",
        "FIELD_NAME",
        "GA",
    ):
        assert kept in text
    again = read_back(text)
    assert again.errors == []
    assert again.contract == contract
    assert contract_text(contract) == text


CLI = os.environ.get("HEADWATER_DATACONTRACT_CLI") or shutil.which("datacontract") or ""


@pytest.mark.skipif(not CLI, reason="datacontract-cli is not installed; HEADWATER_DATACONTRACT_CLI names it")
@pytest.mark.parametrize("text", [SHOP.lstrip("\n"), EVERYTHING, FOREIGN], ids=["shop", "all", "foreign"])
def test_another_tool_accepts_what_is_written(text: str, tmp_path: Path) -> None:
    contract = read(text).products[0].ports[0] if "kind: product" in text else read_back(text).contract
    assert contract is not None
    contract = replace(contract, carried={"contract": {"surprise": 1, "tenant": "x"}, **contract.carried})
    file = tmp_path / "contract.odcs.yaml"
    file.write_text(contract_text(contract), encoding="utf-8")
    done = subprocess.run([CLI, "lint", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
