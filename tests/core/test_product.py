"""What a product is: names, contracts as JSON, numbers that must be something."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.product import PortColumn, PortContract, from_json, port_dataset_name, to_json
from headwater.core.specs import CheckSpec
from headwater.core.specs.base import MustArgs
from headwater.core.thresholds import is_loosened, passes, passes_share
from headwater.core.values import Plain, exact_scalar, parse_number
from tests.core.contracts import contracts, musts


@given(contracts())
def test_a_contract_comes_back_from_json(contract: PortContract) -> None:
    kept = json.loads(json.dumps(to_json(contract)))
    assert from_json(kept) == contract
    assert to_json(from_json(kept)) == to_json(contract)


def test_names_of_ports() -> None:
    assert port_dataset_name("main", "p", 1) == "main.p_v1"
    assert port_dataset_name("", "p", 0) == "main.p_v0"
    assert port_dataset_name("sales", "p", 12) == "sales.p_v12"


@pytest.mark.parametrize(
    ("classification", "hidden"),
    [("", False), ("public", False), (" Internal ", False), ("confidential", True), ("3", True), ("restricted", True)],
)
def test_a_classification_hides_values_unless_it_is_open(classification: str, hidden: bool) -> None:
    assert PortColumn("a", "BIGINT", classification=classification).hides_values is hidden
    assert PortColumn("a", "BIGINT", classification=classification, hidden=True).hides_values


def test_scalars_keep_their_digits() -> None:
    given: list[Any] = [Plain("0.10"), Plain("12345678901234567890.123"), Plain("007"), Plain("true"), "5", None, 1.5]
    assert [str(exact_scalar(value)) for value in given] == [
        "0.10", "12345678901234567890.123", "007", "true", "5", "None", "1.5",
    ]  # fmt: skip
    assert exact_scalar(Plain("-3")) == -3
    assert isinstance(exact_scalar("5"), str)
    assert exact_scalar(None) is None
    assert parse_number(Plain("1e3")) == Decimal(1000)
    for text in ("", "x", "nan", "inf", "1_000", True):
        with pytest.raises(ValueError, match="is not a number"):
            parse_number(text)


OPERATIONS: dict[str, Callable[[Fraction, Any], bool]] = {
    "be": lambda n, v: n == v,
    "not_be": lambda n, v: n != v,
    "be_greater_than": lambda n, v: n > v,
    "be_greater_or_equal_to": lambda n, v: n >= v,
    "be_less_than": lambda n, v: n < v,
    "be_less_or_equal_to": lambda n, v: n <= v,
    "be_between": lambda n, v: v[0] <= n <= v[1],
    "not_be_between": lambda n, v: not v[0] <= n <= v[1],
}


@given(musts(), st.fractions(-5, 105))
def test_what_a_number_must_be(written: dict[str, Any], number: Fraction) -> None:
    must = MustArgs.model_validate(written)
    (operator,) = written.keys() - {"unit"}
    assert passes(must, number) == OPERATIONS[operator](number, written[operator])


@given(musts(), st.integers(0, 120), st.integers(0, 120))
def test_what_a_share_of_rows_must_be(written: dict[str, Any], wrong: int, more: int) -> None:
    must = MustArgs.model_validate(written)
    (operator,) = written.keys() - {"unit"}
    rows = wrong + more
    number = Fraction(100 * wrong, rows) if rows else Fraction(0)
    expected = number if written["unit"] == "percent" else Fraction(wrong)
    assert passes_share(must, wrong, rows) == OPERATIONS[operator](expected, written[operator])


def test_a_third_of_the_rows_is_more_than_a_third_in_digits() -> None:
    must = MustArgs.model_validate({"be_less_or_equal_to": "33.333333333333333333", "unit": "percent"})
    assert not passes_share(must, 1, 3)
    assert passes_share(must, 33333, 100_000)
    assert passes_share(None, 0, 0)
    assert not passes_share(None, 1, 10**9)


@given(musts(), musts())
def test_a_threshold_is_loosened_when_a_count_passes_that_did_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    before, after = MustArgs.model_validate(one), MustArgs.model_validate(other)
    if one["unit"] != other["unit"]:
        return
    numbers = [Fraction(n) for n in range(203)]
    if one["unit"] == "percent":
        numbers = [Fraction(n, 2) for n in range(201)]
    worse = any(passes(after, number) and not passes(before, number) for number in numbers)
    assert is_loosened(before, after, counts=True) == worse


def test_rows_and_percent_cannot_be_compared_but_for_none() -> None:
    none = MustArgs.model_validate({"be": 0})
    few = MustArgs.model_validate({"be_less_than": 5})
    share = MustArgs.model_validate({"be_less_than": 1, "unit": "percent"})
    assert is_loosened(few, share, counts=True)
    assert is_loosened(share, few, counts=True)
    assert not is_loosened(share, none, counts=True)
    assert not is_loosened(share, None, counts=True)
    assert is_loosened(None, share, counts=True)
    assert not is_loosened(few, MustArgs.model_validate({"be_less_or_equal_to": 4}), counts=True)


def test_a_check_of_before_is_dumped_as_ever() -> None:
    """The fingerprint of a declaration is made of this: new kinds of checks must not change it."""
    checks: list[dict[str, Any]] = [
        {"not_null": ["a"], "column": "a"}, {"range": {"min": Plain("0")}, "column": "a"},
        {"row_count": {"min": 1, "max": 3}}, {"freshness": "26h", "column": "a", "severity": "warning"},
        {"accepted_values": ["x", None], "column": "b", "name": "n"}, {"sql": "select * from this"},
    ]  # fmt: skip
    dumped = [CheckSpec.model_validate(check).model_dump(exclude_defaults=True) for check in checks]
    assert dumped == checks
