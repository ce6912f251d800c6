"""Contracts compared: every promise that can be broken, and what breaks none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.graph import Location
from headwater.core.product import PortColumn, PortContract, SlaName, SlaTerm
from headwater.core.promises import arrange_checks, settle_check
from headwater.core.specs import CheckSpec
from headwater.plan.promised_checks import BreakKind
from headwater.plan.promises import BrokenPromise, compare_contracts, compare_ports
from tests.core.contracts import checks, contracts

COLUMNS = (
    PortColumn("id", "BIGINT", required=True, unique=True),
    PortColumn("amount", "DECIMAL(38,2)"),
    PortColumn("code", "VARCHAR"),
    PortColumn("at", "TIMESTAMP"),
)
BASE = PortContract("main", "p", "1.0.0", "marts.x", COLUMNS, location=Location("products/x.yaml", 4))


def with_checks(*written: dict[str, Any]) -> PortContract:
    found = [settle_check(CheckSpec.model_validate(one)) for one in written]
    return replace(BASE, checks=arrange_checks(COLUMNS, found))


def with_column(which: str, **changed: Any) -> PortContract:
    return replace(BASE, columns=tuple(replace(c, **changed) if c.name == which else c for c in COLUMNS))


def with_sla(name: str, hours: int, column: str = "") -> PortContract:
    return replace(BASE, sla=(SlaTerm(SlaName(name), timedelta(hours=hours), column),))


def kinds(found: tuple[BrokenPromise, ...]) -> list[str]:
    return [str(one.kind) for one in found]


def check_case(before: dict[str, Any], after: dict[str, Any] | None, kind: str) -> tuple[Any, ...]:
    return with_checks(before), with_checks(*([after] if after else [])), kind


def at(column: str, **written: Any) -> dict[str, Any]:
    return {"column": column, **written}


BREAKING = [
    (BASE, replace(BASE, columns=COLUMNS[:3]), "column_gone"),
    (BASE, with_column("code", name="Code"), "column_gone"),
    (BASE, with_column("amount", type="DOUBLE"), "type_changed"),
    (BASE, with_column("id", required=False), "required_dropped"),
    (BASE, with_column("id", unique=False), "unique_dropped"),
    check_case(at("code", accepted_values=["a"]), at("code", accepted_values=["a", "b"]), "values_widened"),
    check_case(at("code", missing_values=[None, ""]), at("code", missing_values=[None]), "values_widened"),
    check_case(at("amount", range={"min": 0}), at("amount", range={"min": -1}), "bound_loosened"),
    check_case(at("amount", range={"max": 9}), at("amount", range={"max": 10}), "bound_loosened"),
    check_case(at("amount", range={"below": 9}), at("amount", range={"max": 9}), "bound_loosened"),
    check_case(at("amount", range={"min": 0, "max": 9}), at("amount", range={"min": 0}), "bound_loosened"),
    check_case(at("at", range={"min": "2024-01-01"}), at("at", range={"min": "2023-12-31"}), "bound_loosened"),
    check_case(at("code", length={"max": 3}), at("code", length={"max": 4}), "bound_loosened"),
    check_case(at("code", length={"min": 3}), at("code", length={"min": 2}), "bound_loosened"),
    check_case({"row_count": {"min": 10}}, {"row_count": {"min": 9}}, "bound_loosened"),
    check_case({"row_count": {"min": 0, "not_between": [1, 2]}}, {"row_count": {"min": 0}}, "bound_loosened"),
    check_case(at("at", freshness="4h"), at("at", freshness="5h"), "bound_loosened"),
    check_case(at("code", pattern="[A-Z]"), at("code", pattern="[A-Za-z]"), "pattern_changed"),
    check_case(
        at("amount", not_null="amount", must={"be_less_than": 5}),
        at("amount", not_null="amount", must={"be_less_or_equal_to": 5}),
        "threshold_loosened",
    ),
    check_case(
        at("code", not_null="code", must={"be_less_than": 1, "unit": "percent"}),
        at("code", not_null="code", must={"be_less_than": 2, "unit": "percent"}),
        "threshold_loosened",
    ),
    check_case({"not_null": "code"}, {"not_null": "code", "must": {"be_less_than": 2}}, "threshold_loosened"),
    check_case(at("code", not_null="code"), at("code", not_null="code", severity="warning"), "severity_lowered"),
    check_case(at("code", not_null="code"), None, "check_removed"),
    check_case({"unique": ["code", "at"]}, None, "check_removed"),
    check_case({"unique": ["code"]}, {"unique": ["code", "at"]}, "check_removed"),
    check_case({"sql": "select * from this where id < 0"}, None, "check_removed"),
    check_case({"sql": "select 1 from this"}, {"sql": "select 2 from this"}, "check_removed"),
    check_case({"sql": "select 1 from this", "name": "n"}, {"sql": "select 2 from this", "name": "n"}, "check_changed"),
    check_case(
        {"query": "select 1", "must": {"be_less_than": 2}}, {"query": "select 1", "must": {"be_less_than": 3}},
        "threshold_loosened",
    ),
    check_case(
        at("id", relationship={"to": "a.b", "field": "x"}), at("id", relationship={"to": "a.b", "field": "y"}),
        "check_changed",
    ),
    check_case(
        at("code", valid={"pattern": "x", "length": {"max": 3}}),
        at("code", valid={"pattern": "x", "length": {"max": 4}}),
        "check_changed",
    ),
    (with_sla("freshness", 4), with_sla("freshness", 5), "sla_loosened"),
    (with_sla("latency", 4, "at"), with_sla("latency", 5, "at"), "sla_loosened"),
    (with_sla("frequency", 24), with_sla("frequency", 25), "sla_loosened"),
    (with_sla("retention", 24), with_sla("retention", 23), "sla_loosened"),
    (with_sla("freshness", 4), BASE, "sla_removed"),
    (with_sla("latency", 4, "at"), with_sla("latency", 4), "sla_removed"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "kind"), BREAKING)
def test_a_broken_promise(before: PortContract, after: PortContract, kind: str) -> None:
    assert kinds(compare_contracts(before, after)) == [kind]


@pytest.mark.parametrize(("before", "after", "kind"), BREAKING)
def test_the_other_way_round_nothing_is_broken_but_what_cannot_be_compared(
    before: PortContract, after: PortContract, kind: str
) -> None:
    found = kinds(compare_contracts(after, before))
    same = ("type_changed", "pattern_changed", "check_changed") if kind != "column_gone" else ("column_gone",)
    assert set(found) <= {*same, "check_removed", "sla_removed"}


def test_every_kind_is_tested() -> None:
    tested = {kind for _, _, kind in BREAKING} | {"port_gone", "major_gone"}
    assert tested == {str(kind) for kind in BreakKind}


NOT_BREAKING = [
    (BASE, replace(BASE, columns=(*COLUMNS, PortColumn("more", "BIGINT")))),
    (BASE, replace(BASE, columns=COLUMNS[::-1])),
    (BASE, with_column("code", required=True)),
    (BASE, with_column("code", unique=True)),
    (BASE, with_column("code", description="x", classification="confidential")),
    (BASE, replace(BASE, strict=False)),
    (BASE, replace(BASE, description="x", owner="y", source="z.z", version="1.1.0", tags=("t",))),
    (with_checks(at("code", not_null="code")), with_column("code", required=True)),
    (BASE, replace(with_column("id", required=False), checks=(CheckSpec(not_null=["id"], column="id"),))),
    (with_checks({"unique": ["code", "at"]}), with_column("at", unique=True)),
    (with_checks({"not_null": ["code", "at"]}), with_checks({"not_null": ["at"]}, {"not_null": ["code"]})),
    (with_checks(at("amount", range={"min": 0})), with_checks(at("amount", range={"above": 0}))),
    (with_checks(at("amount", range={"min": "0.50"})), with_checks(at("amount", range={"min": 0.5}))),
    (with_checks(at("at", range={"max": "2024-01-02"})), with_checks(at("at", range={"max": "2024-01-01T12:00:00"}))),
    (with_checks(at("amount", accepted_values=[1, 2])), with_checks(at("amount", accepted_values=["1.0"]))),
    (with_checks(at("code", pattern="x", name="a")), with_checks(at("code", pattern="x", name="b"))),
    (
        with_checks(at("code", accepted_values=["a", "b"], must={"be_less_than": 3})),
        with_checks(at("code", accepted_values=["a"], must={"be_less_than": 2})),
    ),
    (with_checks(at("code", pattern="x", severity="warning")), with_checks(at("code", pattern="x"))),
    (with_sla("freshness", 4), with_sla("latency", 3)),
    (BASE, with_sla("freshness", 4)),
]


@pytest.mark.parametrize(("before", "after"), NOT_BREAKING)
def test_what_breaks_nothing(before: PortContract, after: PortContract) -> None:
    assert compare_contracts(before, after) == ()


def test_a_narrower_condition_that_some_rows_must_break_is_another_one() -> None:
    before = with_checks(at("code", accepted_values=["a", "b"], must={"be_greater_than": 3}))
    after = with_checks(at("code", accepted_values=["a"], must={"be_greater_than": 3}))
    assert kinds(compare_contracts(before, after)) == ["values_widened"]


def test_a_check_of_a_column_that_is_gone_is_said_once() -> None:
    before = with_checks(at("code", pattern="x"), {"unique": ["code", "at"]})
    after = replace(BASE, columns=(COLUMNS[0], COLUMNS[1], COLUMNS[3]))
    (found,) = compare_contracts(before, after)
    assert (found.port, found.column, found.kind) == ("main.p_v1", "code", BreakKind.COLUMN_GONE)
    assert str(found) == "main.p_v1: column code is gone (it was VARCHAR)"
    assert found.location == Location("products/x.yaml", 4)


def test_the_texts_say_what_was_and_what_is() -> None:
    before = with_checks(at("amount", range={"min": 0, "max": 10}), at("code", accepted_values=["a"]))
    after = with_checks(at("amount", range={"min": 0, "max": 20}), at("code", accepted_values=["a", None, "b"]))
    assert [one.text for one in compare_contracts(before, after)] == [
        "column amount: the check was range min 0, max 10 and is range min 0, max 20",
        "column code: the check was accepted_values [a] and is accepted_values [a, null, b]",
    ]
    before = with_checks(at("code", not_null="code", must={"be_less_than": 1, "unit": "percent"}))
    (found,) = compare_contracts(before, BASE)
    assert found.text == "column code: the check not_null [code], must be less than 1 percent is gone"
    (found,) = compare_contracts(with_sla("latency", 4, "at"), with_sla("latency", 48, "at"))
    assert found.text == "latency by at 4h became 2d"


def test_ports_and_majors_that_are_gone() -> None:
    second = replace(BASE, version="2.0.0")
    published = {one.dataset: one for one in (BASE, second)}
    assert compare_ports(published, published) == ()
    (found,) = compare_ports(published, {second.dataset: second})
    assert (found.kind, found.text) == (BreakKind.MAJOR_GONE, "major 1 was published and only 2 is declared")
    assert compare_ports(published, {second.dataset: second}, retired=["main.p_v1"]) == ()
    found = compare_ports(published, {})[0]
    assert (found.kind, found.port) == (BreakKind.PORT_GONE, "main.p_v1")
    third = replace(BASE, version="1.1.0", columns=COLUMNS[:2])
    assert kinds(compare_ports(published, {third.dataset: third, second.dataset: second})) == ["column_gone"] * 2


@given(contracts())
def test_a_contract_breaks_no_promise_of_its_own(contract: PortContract) -> None:
    assert compare_contracts(contract, contract) == ()
    assert compare_ports({contract.dataset: contract}, {contract.dataset: contract}) == ()


@given(contracts(), st.data())
def test_a_further_check_breaks_nothing_and_without_it_something_is_broken(
    contract: PortContract, data: st.DataObject
) -> None:
    names = [column.name for column in contract.columns]
    further = data.draw(checks(names))
    more = replace(contract, checks=arrange_checks(contract.columns, [*contract.checks, further]))
    assert compare_contracts(contract, more) == ()
    if compare_contracts(more, contract):
        assert further not in contract.audit_checks()


@given(contracts(), st.sampled_from([*SlaName]), st.integers(1, 99), st.integers(1, 99))
def test_an_sla_is_loosened_one_way_only(contract: PortContract, name: SlaName, one: int, other: int) -> None:
    first = replace(contract, sla=(SlaTerm(name, timedelta(hours=one)),))
    second = replace(contract, sla=(SlaTerm(name, timedelta(hours=other)),))
    there, back = compare_contracts(first, second), compare_contracts(second, first)
    assert (len(there), len(back)) == ((0, 0) if one == other else (1, 0) if there else (0, 1))
