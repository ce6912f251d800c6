"""docs/from-box-to-file.md says of every box and arrow what the code says."""

from __future__ import annotations

import ast
import re

import pytest
from ruamel.yaml import YAML

from headwater.core.layers import ARROWS, Family, Layer
from headwater.core.policies import Materialization
from headwater.core.specs import DEFAULT_STORES, IngestSpec, ModelSpec, PrepareRule
from headwater.plugins import list_kinds, load_store

from .code import ROOT, entry_points, find_class, modules

PAGE = (ROOT / "docs" / "from-box-to-file.md").read_text(encoding="utf-8")
NOT_YET = "not yet"
_GROUPS = {Layer.SOURCES: "sources", Layer.STORAGE: "stores", Layer.CONSUMPTION: "consumers"}
_KEPT = {"artefacts"}
"""Stores that hold what consumers make, and no tables: they are part of a consumer's box."""


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    """What is written as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


BOXES = {cells[0]: cells for cells in rows("Boxes")}


def test_boxes_are_those_of_the_picture() -> None:
    assert [(cells[0], cells[1]) for cells in rows("Boxes")] == [(family.value, family.label) for family in Family]


def test_arrows_are_those_of_the_picture() -> None:
    expected = [(f"{up.value} → {down.value}", label) for (up, down), label in ARROWS.items()]
    assert [(cells[0], cells[1]) for cells in rows("Arrows")] == expected


def test_every_box_says_what_to_write_and_what_there_is() -> None:
    for box, cells in BOXES.items():
        assert len(cells) == 4, box
        assert words(cells[2]), box
        assert cells[3] == NOT_YET or words(cells[3]), box


@pytest.mark.parametrize("layer", list(_GROUPS))
def test_kinds_named_as_there_are_those_that_are_registered(layer: Layer) -> None:
    named = [kind for family in Family if family.layer is layer for kind in words(BOXES[family.value][3])]
    assert sorted(named) == sorted(set(entry_points(_GROUPS[layer])) - _KEPT)


@pytest.mark.parametrize("layer", list(_GROUPS))
def test_a_kind_stands_at_the_box_it_says_it_belongs_to(layer: Layer) -> None:
    registered = entry_points(_GROUPS[layer])
    for family in (family for family in Family if family.layer is layer):
        for kind in words(BOXES[family.value][3]):
            built = find_class(*registered[kind])
            assert built is None or _family_of(built) == f"Family.{family.name}", kind


def _family_of(node: ast.ClassDef) -> str:
    """The value of a connector's class attribute `family`, as it is written."""
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "family" for target in targets):
            assert isinstance(statement, ast.Assign | ast.AnnAssign)
            assert statement.value
            return ast.unparse(statement.value)
    raise AssertionError(f"{node.name} has no class attribute `family`")


def test_boxes_that_no_connector_fills_are_there_when_the_product_makes_nodes_of_them() -> None:
    code = "\n".join(m.text for m in modules() if not m.path.startswith(("headwater/core/", "headwater/diagram/")))
    others = [family for family in Family if family.layer not in _GROUPS]
    made = {family.value for family in others if re.search(rf"\bFamily\.{family.name}\b", code)}
    assert {family.value for family in others if BOXES[family.value][3] != NOT_YET} == made


def test_what_ingestion_and_processing_offer_is_complete() -> None:
    keys = {field.alias or name for name, field in IngestSpec.model_fields.items()}
    assert set(words(BOXES["B"][2])) <= keys
    assert words(BOXES["B"][3]) == list(PrepareRule.model_fields)
    assert words(BOXES["C"][3]) == list(Materialization)


def test_stores_are_words_of_the_language() -> None:
    stores = {kind for family in Family if family.layer is Layer.STORAGE for kind in words(BOXES[family.value][3])}
    assert stores | _KEPT == set(list_kinds("stores")) == set(DEFAULT_STORES)
    assert {kind for kind in list_kinds("stores") if not load_store(kind).capabilities.keeps_tables} == {*_KEPT, "mesh"}


def test_an_arrow_is_there_when_both_its_boxes_are() -> None:
    for arrow, _, what, today in rows("Arrows"):
        there = all(BOXES[box][3] != NOT_YET for box in arrow.split(" → "))
        assert today == ("yes" if there else NOT_YET), arrow
        assert what, arrow


def test_examples_are_accepted() -> None:
    yaml = YAML(typ="safe", pure=True)
    source, model = re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)
    table = yaml.load(source)["tables"]["list"]
    assert table.pop("path")
    assert set(IngestSpec.model_validate(table).model_fields_set) == {"columns", "reject_if"}
    header = re.match(r"/\* headwater\n(.*?)\n\*/\n", model, re.DOTALL)
    assert header
    assert ModelSpec.model_validate(yaml.load(header[1])).materialize == "table"
