"""Contracts of every shape, for tests of what is kept, written and compared."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from headwater.core.product import PortColumn, PortContract, SlaName, SlaTerm
from headwater.core.promises import arrange_checks, arrange_terms, settle_check
from headwater.core.specs import OPERATORS, CheckSpec

TYPES = ["BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN", "DECIMAL(38,2)", "BIGINT[]", "BLOB"]
COLUMNS = ["a", "odd name", "é", 'say "hi"', "C"]

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
numbers: st.SearchStrategy[Any] = st.integers(-(10**20), 10**20) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3
)
counts = st.integers(0, 100)
scalars: st.SearchStrategy[Any] = numbers | texts


def musts() -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from([name for name in OPERATORS if not name.endswith("between")])
    two = st.sampled_from([name for name in OPERATORS if name.endswith("between")])
    unit = st.sampled_from(["rows", "percent"])
    pairs = st.lists(counts, min_size=2, max_size=2).map(sorted)
    return st.builds(lambda name, value, unit: {name: value, "unit": unit}, one, counts, unit) | st.builds(
        lambda name, value, unit: {name: value, "unit": unit}, two, pairs, unit
    )


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    low, high = draw(st.sampled_from(["min", "above", ""])), draw(st.sampled_from(["max", "below", ""]))
    found = {end: draw(values) for end in (low, high) if end}
    return found or {"min": draw(values)}


@st.composite
def lengths(draw: st.DrawFn) -> dict[str, int]:
    low, high = sorted(draw(st.tuples(counts, counts)))
    return draw(st.sampled_from([{"min": low}, {"max": high}, {"min": low, "max": high}]))


@st.composite
def checks(draw: st.DrawFn, names: list[str]) -> CheckSpec:
    several = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    at = st.just({"column": draw(st.sampled_from(names))})
    kinds: list[st.SearchStrategy[dict[str, Any]]] = [
        st.builds(lambda one: {"not_null": one}, several),
        st.builds(lambda one: {"unique": one}, several),
        st.builds(lambda one, at: {"accepted_values": one, **at}, st.lists(scalars | st.none(), max_size=3), at),
        st.builds(lambda one, at: {"missing_values": one, **at}, st.lists(scalars | st.none(), min_size=1), at),
        st.builds(lambda one, at: {"range": one, **at}, ranges(scalars), at),
        st.builds(lambda one, at: {"length": one, **at}, lengths(), at),
        st.builds(lambda one, at: {"pattern": one, **at}, st.sampled_from(PATTERNS) | texts, at),
        st.builds(lambda one, at: {"valid": one, **at}, valids(), at),
        st.builds(
            lambda to, field, at: {"relationship": {"to": to, "field": field}, **at},
            st.sampled_from(["a.b", "x.y.z"]), words, at,
        ),
        st.builds(lambda one: {"sql": one}, st.sampled_from(QUERIES) | words),
        st.builds(
            lambda one, value: {"query": one, "must": {"be_less_than": value}}, st.sampled_from(QUERIES), numbers
        ),
        st.builds(
            lambda one, pair: {"row_count": {**one, **pair}},
            ranges(counts),
            st.just({}) | st.lists(counts, min_size=2, max_size=2).map(lambda pair: {"not_between": sorted(pair)}),
        ),
        st.builds(lambda hours, at: {"freshness": f"{hours}h", **at}, st.integers(1, 99), at),
    ]  # fmt: skip
    found = draw(st.one_of(kinds))
    if not {"row_count", "freshness", "query"} & found.keys() and draw(st.booleans()):
        found["must"] = draw(musts())
    if draw(st.booleans()):
        found["name"] = draw(words)
    if draw(st.booleans()):
        found["severity"] = "warning"
    return settle_check(CheckSpec.model_validate(found))


PATTERNS = [
    "[A-Z]+",
    "^a$",
    "^(?:b)$",
    "(?s:.*)(?:x)(?s:.*)",
    "^(?:b)$|^(?:c)$",
    "a|b",
    r"^a\$",
    "(?s:.*)(?:^x$)(?s:.*)",
]
QUERIES = ["select * from this", "select 1 -- {object}", "with b as (from this) select * from b;", "select '\\'"]


def valids() -> st.SearchStrategy[dict[str, Any]]:
    parts = {
        "values": st.lists(scalars, max_size=2),
        "pattern": st.sampled_from(PATTERNS),
        "range": ranges(scalars),
        "length": lengths(),
    }
    return st.lists(st.sampled_from(sorted(parts)), min_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: parts[name] for name in names})
    )


@st.composite
def contracts(draw: st.DrawFn) -> PortContract:
    names = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True))
    columns = tuple(
        PortColumn(
            name,
            draw(st.sampled_from(TYPES)),
            draw(st.booleans()),
            draw(st.booleans()),
            draw(texts),
            draw(st.booleans()),
            draw(st.sampled_from(["", "public", "confidential"])),
            draw(st.sampled_from([{}, {"businessName": "it", "tags": ["x"]}, {"deprecated": True}])),
        )
        for name in names
    )
    times = [column.name for column in columns if column.type in ("DATE", "TIMESTAMP")]
    terms = st.builds(
        lambda name, limit, column: SlaTerm(name, limit, "" if name is SlaName.FREQUENCY else column),
        st.sampled_from(list(SlaName)),
        st.integers(1, 10**8).map(lambda seconds: timedelta(seconds=seconds)),
        st.sampled_from(["", *times]),
    )
    carried: list[dict[str, Any]] = [
        {},
        {"contract": {"price": {"priceAmount": 3}, "surprise": [1, "x", None]}, "object": {"businessName": "Sales"}},
        {"sla": [{"property": "endOfSupport", "value": "2032-05-12"}], "object": {"quality": [{"type": "text"}]}},
        {"contract": {"description": {"usage": "any"}, "team": {"name": "us"}}},
        {"contract": {"customProperties": [{"property": "mine", "value": {"a": 1}}]}},
    ]
    return PortContract(
        domain=draw(st.sampled_from(["main", "sales"])),
        port=draw(st.sampled_from(["p", "daily_revenue"])),
        version=draw(st.sampled_from(["1.0.0", "12.3.4", "0.1.0-rc.1"])),
        source=draw(st.sampled_from(["marts.x", "d.marts.x"])),
        columns=columns,
        checks=arrange_checks(columns, draw(st.lists(checks(names), max_size=6))),
        sla=arrange_terms(draw(st.lists(terms, max_size=3))),
        strict=draw(st.booleans()),
        owner=draw(st.sampled_from(["", "a@example.com"])),
        product=draw(st.sampled_from(["", "revenue"])),
        contract_id=draw(words),
        description=draw(texts),
        status=draw(st.sampled_from(["active", "draft"])),
        tags=tuple(draw(st.lists(words, max_size=2))),
        carried=draw(st.sampled_from(carried)),
    )


def exact(value: Any) -> Decimal:
    return Decimal(str(value))
