"""Where stores may be: each in a place of its own, in every environment, and not where the project keeps its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from headwater.errors import ProjectErrors
from headwater.project.loader import load_project
from tests.run.runner import put

if TYPE_CHECKING:
    from pathlib import Path


def refusal(folder: Path, text: str) -> str:
    put(folder, {"headwater.yaml": f"name: demo\n{text}"})
    with pytest.raises(ProjectErrors) as refused:
        load_project(folder)
    return "\n".join(str(error) for error in refused.value.errors)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("data/lakehouse/shop/orders/gold.duckdb", "inside of the store lakehouse"),
        ("data", "the store lake is inside of the store gold"),
        ("data/../data/lake/x", "inside of the store lake"),
        ("data/warehouse.duckdb.left", "needs for its own files"),
        ("data/warehouse.duckdb.wal", "needs for its own files"),
        (".headwater/gold.duckdb", "in the project's folder .headwater/"),
        ("models", "in the project's folder models/"),
        (".", "where the project is"),
        ("..", "where the project is"),
        ("~/gold.duckdb", "no plain path"),
        ("s3://bucket/gold", "no plain path"),
        (":memory:", "no plain path"),
    ],
)
@pytest.mark.parametrize("kind", ["warehouse", "lakehouse", "lake"])
def test_a_store_has_a_place_of_its_own(tmp_path: Path, kind: str, path: str, why: str) -> None:
    told = refusal(tmp_path / "p", f"stores:\n  gold: {{kind: {kind}, path: '{path}'}}\n")
    assert why in told
    assert "headwater.yaml:" in told


def test_two_names_of_one_file_are_one_place(tmp_path: Path) -> None:
    put(tmp_path / "p", {"data/warehouse.duckdb": "x"})
    os.link(tmp_path / "p/data/warehouse.duckdb", tmp_path / "p/data/gold.duckdb")
    text = "stores:\n  gold: {kind: warehouse, path: data/gold.duckdb}\n"
    assert "the stores warehouse and gold are in one place" in refusal(tmp_path / "p", text)


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ("lakehouse: {path: data/lakehouse/shop/orders/prod}", "inside of the store lakehouse"),
        ("lakehouse: {path: data/lake}", "in one place"),
        ("warehouse: {path: data/lake/w.duckdb}", "inside of the store lake"),
    ],
)
def test_environments_keep_out_of_each_other(tmp_path: Path, places: str, why: str) -> None:
    told = refusal(tmp_path / "p", f"environments:\n  prod:\n    stores:\n      {places}\n")
    assert why in told
    assert "environment prod" in told


def test_what_stands_side_by_side_is_accepted(tmp_path: Path) -> None:
    text = (
        "stores:\n  gold: {kind: warehouse, path: data/gold.duckdb}\n  gold_lake: {kind: lake, path: data/gold}\n"
        "  new: {kind: lake, path: data/warehouse}\n"
        f"  far: {{kind: warehouse, path: {tmp_path}/far.duckdb}}\n"
        "environments:\n  prod:\n    stores:\n      lakehouse: {path: prod/lakehouse}\n"
        "      warehouse: {path: data/warehouse.duckdb}\n"
    )
    put(tmp_path / "p", {"headwater.yaml": f"name: demo\n{text}", "data/lake/x/y.txt": "x"})
    names = ["artefacts", "far", "gold", "gold_lake", "lake", "lakehouse", "mesh", "new", "warehouse"]
    assert sorted(load_project(tmp_path / "p").stores) == names
