"""What a user may write, and the words in which it is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.core.specs import CheckSpec, IngestSpec, ModelSpec, PrepareRule, RangeArgs, SourceColumnSpec, Spec
from headwater.core.values import Plain, format_duration, parse_duration, parse_limit, parse_ratio, resolve_scalar
from tests.declared import STORES


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_durations_come_back(number: int, unit: str) -> None:
    number %= 10**5
    duration = parse_duration(f" {number} {unit} ")
    assert parse_duration(format_duration(duration)) == duration
    assert parse_duration(duration) is duration


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("90s", 90, "90s"), ("120s", 120, "2m"), ("36h", 129600, "36h"), ("0s", 0, "0s"), ("1.5h", 5400, "90m"),
        ("250ms", 0.25, "250ms"), ("14d", 1209600, "2w"),
    ],
)  # fmt: skip
def test_durations_are_shown_in_the_largest_unit(text: str, seconds: float, shown: str) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert format_duration(parse_duration(text)) == shown


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5m", "m", "5 m 3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write a number and a unit"):
        parse_duration(text)


def test_ratios_and_limits() -> None:
    assert (parse_ratio("20%"), parse_ratio("0.1 %"), parse_ratio(0.5)) == (0.2, 0.001, 0.5)
    assert (parse_limit("100"), parse_limit("0.1%"), parse_limit(7)) == (100, 0.001, 7)
    for text in ("120%", "20", "x%"):
        with pytest.raises(ValueError, match="is not a percentage"):
            parse_ratio(text)
    for text in ("1.5", "x", True):
        with pytest.raises(ValueError, match="neither a number of rows nor a percentage"):
            parse_limit(text)


def test_scalars_are_typed_within_lists_and_mappings() -> None:
    value = {"a": [Plain("1"), Plain("x"), "2", None, Plain("1.5"), Plain("01.5")], "b": {"c": Plain("TRUE")}}
    assert resolve_scalar(value) == {"a": [1, "x", "2", None, 1.5, "01.5"], "b": {"c": True}}


REFUSED: list[tuple[type[Spec], dict[str, Any], str]] = [
    (CheckSpec, {}, "a check has exactly one of"),
    (CheckSpec, {"unique": "a", "sql": "x"}, "a check has exactly one of"),
    (RangeArgs, {}, "a range needs min or max"),
    (PrepareRule, {}, "a rule of prepare has exactly one of"),
    (PrepareRule, {"trim": "all", "drop": "x"}, "a rule of prepare has exactly one of"),
    (IngestSpec, {"deletes": "compare_keys"}, "deletes: compare_keys needs a key"),
    (IngestSpec, {"lag": "5m"}, "lag belongs to load: incremental"),
    (IngestSpec, {"into": "lake", "key": "id"}, "the lake only appends or replaces whole loads"),
    (IngestSpec, {"checks": [{"freshness": "1d"}]}, "the check freshness needs a column"),
    (ModelSpec, {"materialize": "view", "store": "lake"}, "a view lives in no store of its own"),
    (ModelSpec, {"materialize": "view", "checks": [{"unique": "id"}]}, "a view holds no rows"),
    (ModelSpec, {"materialize": "incremental"}, "needs `time`, `every` and `start`, or a `key`"),
    (ModelSpec, {"materialize": "incremental", "key": "id", "time": "t"}, "`time` needs `every` and `start`"),
    (ModelSpec, {"materialize": "snapshot"}, "materialize: snapshot needs a `key`"),
    (ModelSpec, {"materialize": "snapshot", "key": "id", "store": "lake"}, "the lake cannot hold"),
    (
        ModelSpec, {"materialize": "incremental", "time": "t", "every": "day", "start": "January"},
        "start: 'January' is not an ISO date or timestamp; write it like 2024-01-31",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "values", "message"), REFUSED)
def test_what_does_not_fit_together_is_refused(spec: type[Spec], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec.model_validate(values, context={"stores": STORES})


def test_checks_of_columns_come_first_with_their_column() -> None:
    spec = IngestSpec.model_validate(
        {
            "columns": {"a": "int", "b": {"checks": ["unique", "not_null", {"range": {"min": 1}}]}},
            "checks": [{"row_count": {"min": 1}}],
        }
    )
    assert spec.columns["a"] == SourceColumnSpec(type="INTEGER")
    assert [(c.kind, c.column, c.unique, c.not_null) for c in spec.all_checks()] == [
        ("unique", "b", ["b"], None), ("not_null", "b", None, ["b"]), ("range", "b", None, None),
        ("row_count", None, None, None),
    ]  # fmt: skip


def test_a_rule_knows_its_kind() -> None:
    assert PrepareRule.model_validate({"drop": "x"}).kind == "drop"
