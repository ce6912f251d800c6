"""Queries that give two columns of one name: every kind of model names them as DuckDB does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from tests.run.runner import put, rows, run, run_well

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """kind: files
tables:
  left: {path: left.csv, columns: {id: bigint, note: varchar}}
  right: {path: right.csv, columns: {id: bigint, Note: varchar}}
"""
QUERY = "select l.*, r.*, 7 as ID from s.left as l join s.right as r on l.id = r.id - 10\n"
NAMES = ["id", "note", "id_1", "Note_1", "ID_2"]
KINDS = {
    "table": "",
    "view": "",
    "incremental": "key: id_1\n",
    "snapshot": "key: id_1\n",
}
PLACES = [(kind, store) for kind in KINDS for store in ("warehouse", "lakehouse", "lake")
          if store != "lake" or kind == "table"]  # fmt: skip


def project(folder: Path, models: dict[str, str]) -> Path:
    files = {"sources/s.yaml": SOURCE, "left.csv": "id,note\n1,a\n", "right.csv": "id,Note\n11,b\n"}
    return put(folder, {**files, **models})


@pytest.mark.parametrize(("kind", "store"), PLACES)
def test_every_kind_of_model_names_them(tmp_path: Path, kind: str, store: str) -> None:
    placed = "" if kind == "view" else f"store: {store}\ncolumns: {{id_1: {{checks: [{{range: {{min: 11}}}}]}}}}\n"
    header = f"/* headwater\nmaterialize: {kind}\n{KINDS[kind]}{placed}*/\n"
    folder = project(
        tmp_path,
        {
            "models/m/both.sql": header + QUERY,
            "models/m/below.sql": "select id_1 as k, note_1, id_2 from m.both\n",
            "tests/t.yaml": "model: m.both\ngiven:\n  s.left: [{id: 1, note: a}]\n  s.right: [{id: 11, Note: b}]\n"
            "expect: [{id: 1, id_1: 11, Note_1: b, ID_2: 7}]\n",
        },
    )
    loaded = load(folder)
    assert [column.name for column in loaded.check().schemas["m.both"] or ()][:5] == NAMES
    assert [result.passed for result in loaded.test()] == [True]
    run_well(folder)
    (folder / "right.csv").write_text("id,Note\n11,c\n", encoding="utf-8")
    run_well(folder)
    seen = [(11, "b", 7), (11, "c", 7)] if kind == "snapshot" else [(11, "c", 7)]  # a snapshot keeps every state
    assert sorted(rows(folder, "from m.below")) == seen
    assert set(run(folder)) >= {"m.below/transform"}
    traced = load(folder).lineage().datasets["m.below"].columns
    reads = {"s.left", "s.right"} if kind == "view" else {"m.both"}
    assert {leaf[0] for column in traced for leaf in column.leaves} <= reads
    if kind == "view":
        assert [column.leaves for column in traced] == [(("s.right", "id"),), (("s.right", "Note"),), ()]
    assert b"id_1" in bytes(str(load(folder).draw(format="html")), "utf-8")


PYTHON = """import headwater as hw
import pyarrow as pa


@hw.model(inputs={"left": "s.left"}, store="lakehouse")
def made(left: hw.Relation) -> pa.Table:
    return %s
"""


@pytest.mark.parametrize("made", ["table", "table.to_pandas().set_axis(['x', 'x', 'X'], axis=1)"])
def test_a_python_model_may_return_them(tmp_path: Path, made: str) -> None:
    if "pandas" in made:
        pytest.importorskip("pandas")
    table = "pa.table([[1], [2], [3]], names=['x', 'x', 'X'])"
    if "pandas" in made:
        table = "pa.table([[1], [2], [3]], names=['x', 'y', 'z'])"
    project(tmp_path, {"models/m/made.py": PYTHON % made.replace("table", table, 1)})
    run_well(tmp_path)
    assert load(tmp_path).query("from m.made").to_pylist() == [{"x": 1, "x_1": 2, "X_2": 3}]
