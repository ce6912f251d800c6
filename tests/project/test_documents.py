"""YAML 1.2: scalars stay what they look like, every key has its place, and nothing else than ProjectError comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.graph import Location
from headwater.core.values import Plain, resolve_scalar
from headwater.documents import parse_document
from headwater.errors import Place, ProjectError


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("0123", "0123"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        ("-7", -7),
        ("true", True),
        ("False", False),
        ('"true"', "true"),
        ("'7'", "7"),
        ("~", None),
        ("null", None),
        ("", None),
    ],
)
def test_a_scalar_stays_what_it_looks_like(text: str, typed: object) -> None:
    data = parse_document(f"key: {text}\n", "a.yaml").data
    assert resolve_scalar(data["key"]) == typed
    assert type(resolve_scalar(data["key"])) is type(typed)
    if isinstance(data["key"], Plain):
        assert str(data["key"]) == text


def test_keys_are_texts() -> None:
    data = parse_document("on: 1\nNO: 2\n1: 3\n12:30: 4\nnull: 5\n", "a.yaml").data
    assert list(data) == ["on", "NO", "1", "12:30", "null"]


def test_places_are_those_of_keys_and_items() -> None:
    document = parse_document("a:\n  - b: 1\n    c: {d: 2}\n", "x.sql", first_line=10)
    assert document.place(("a",)) == Location("x.sql", 10, 1)
    assert document.place(("a", 0)) == Location("x.sql", 11, 5)
    assert document.place(("a", 0, "c", "d")) == Location("x.sql", 12, 9)
    assert document.place(("a", 0, "c", "none", 7)) == Location("x.sql", 12, 5)
    assert document.place(("z",)) == Location("x.sql", 10)


def test_an_alias_is_what_it_names() -> None:
    assert parse_document("a: &x [1, 2]\nb: *x\n", "a.yaml").data == {"a": ["1", "2"], "b": ["1", "2"]}


@pytest.mark.parametrize("text", ["", " \n", "# only a comment\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert parse_document(text, "a.yaml").data is None


@pytest.mark.parametrize(
    "text",
    [
        "a: [${env:X}]",
        "a: {b: 1, c: ${file:x}}",
        'a: {"b c": ${env:X}}',
        "a: [1, ${env:X}]",
    ],
)
def test_an_unquoted_reference_in_a_flow_says_quote_it(text: str) -> None:
    with pytest.raises(ProjectError, match="quote it"):
        parse_document(text, "a.yaml")


@pytest.mark.parametrize("text", ["a: ${env:X}", 'a: {b: "${env:X}"}', "a: ['${env:X}']"])
def test_a_reference_that_is_yaml_is_kept(text: str) -> None:
    assert "${env:X}" in json.dumps(parse_document(text, "a.yaml").data)


@pytest.mark.parametrize("text", ["a: b\n---\nc: d\n", "a: *nowhere\n", "a: 'x\n", "a: b: c\n", "%YAML 9\n---\na: b"])
def test_what_is_not_one_document_is_an_error_with_a_line(text: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_document(text, "a.yaml")
    assert caught.value.line >= 1
    assert caught.value.fix


@given(st.text(alphabet=st.sampled_from("ab:-[]{},#&*!|>'\"%@` \n\t~?1.é\x07"), max_size=40))
def test_every_text_is_a_document_or_a_project_error(text: str) -> None:
    places: Iterable[Place]
    try:
        places = parse_document(text, "a.yaml").places.values()
    except ProjectError as error:
        places = [error]
    assert all(place.path == "a.yaml" for place in places)


TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_what_json_holds_comes_back(value: Any) -> None:
    text = json.dumps({"value": value})
    assert resolve_scalar(parse_document(text, "a.yaml").data) == {"value": value}
