"""Stores that a project names: several of one kind, each with its own tables; what reads across them just does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from headwater.api import load
from headwater.core.plan import Orphan
from headwater.errors import ProjectErrors
from tests.run.projects import write
from tests.run.runner import HEADER, put, rows, run, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

YAML = """name: named
stores:
  gold: {kind: warehouse, path: data/gold.duckdb}
  cold: {kind: lake, path: data/cold}
"""


def model(store: str, text: str, more: str = "") -> str:
    return f"/* headwater\nstore: {store}\n{more}*/\n{text}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(
        tmp_path / "p",
        {
            "headwater.yaml": YAML,
            "in/a.csv": "id,item\n1,tea\n2,rice\n",
            "sources/shop.yaml": "kind: files\ntables:\n  orders: {path: in/*.csv, into: gold, load: incremental, "
            "key: id, columns: {id: bigint, item: varchar}}\n",
            "models/marts/base.sql": model("warehouse", "select id, item from shop.orders"),
            "models/marts/top.sql": model("gold", "select count(*) as n from marts.base"),
            "models/marts/kept.sql": model("cold", "select * from marts.top"),
            "models/marts/in_gold.sql": "/* headwater\nmaterialize: view\n*/\nselect n + 1 as n from marts.top\n",
            "models/marts/in_first.sql": "/* headwater\nmaterialize: view\n*/\nselect id from marts.base\n",
            "models/marts/across.sql": "/* headwater\nmaterialize: view\n*/\n"
            "select * from marts.top join marts.base on true\n",
        },
    )


def names_in(file: Path, kind: str) -> set[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(
            f"SELECT schema_name || '.' || {kind}_name FROM duckdb_{kind}s() WHERE NOT internal "
            "AND NOT starts_with(schema_name, '_headwater')"
        ).fetchall()
    return {name for (name,) in found}


def test_each_holds_what_is_declared_there(project: Path) -> None:
    assert set(statuses(run_well(project)).values()) == {"done"}
    assert names_in(project / "data/gold.duckdb", "table") == {"shop.orders", "marts.top"}
    assert names_in(project / "data/warehouse.duckdb", "table") == {"marts.base"}
    assert names_in(project / "data/gold.duckdb", "view") == {"marts.in_gold"}
    assert names_in(project / "data/warehouse.duckdb", "view") == {"marts.in_first"}
    assert (project / "data/cold").is_dir()
    assert rows(project, "SELECT a.n, a.item, k.n FROM marts.across a, marts.kept k") == [(2, "rice", 2), (2, "tea", 2)]
    assert set(statuses(run_well(project)).values()) == {"skipped"}
    (project / "in/b.csv").write_text("id,item\n3,salt\n")
    run_well(project)
    assert rows(project, "SELECT n FROM marts.kept") == [(3,)]
    assert {name: state.commit and state.commit.sequence for name, state in load(project).states().items()} == {
        "shop.orders": 2,
        "marts.base": 2,
        "marts.top": 2,
        "marts.kept": 2,
    }


def test_a_dataset_that_moves_leaves_an_orphan_with_the_stores_name(project: Path) -> None:
    run_well(project)
    write(project, {"models/marts/top.sql": model("warehouse", "select count(*) as n from marts.base")})
    loaded = load(project)
    plan = loaded.plan()
    assert plan.orphans == (Orphan("marts.top", "gold"),)
    told = (
        "marts.top has moved from gold to warehouse, where it is made anew; its 1 rows stay in gold until "
        "`headwater maintain --drop-orphans`"
    )
    assert told in plan.notes
    assert "marts.top is in gold, and not yet in warehouse" in loaded.node_statuses()["marts.top"].error
    assert told not in loaded.plan(select=["marts.base"]).notes
    warned: list[Any] = []
    run_well(project, select=["marts.base"], listeners=[lambda event: warned.append(event.data.get("text"))])
    assert told not in warned
    run_well(project, listeners=[lambda event: warned.append(event.data.get("text"))])
    assert told in warned
    assert told not in load(project).plan().notes
    assert names_in(project / "data/warehouse.duckdb", "table") == {"marts.base", "marts.top"}
    assert "marts.top (gold)" in loaded.maintain(drop_orphans=True)
    assert names_in(project / "data/gold.duckdb", "table") == {"shop.orders"}


def test_it_is_drawn_and_told(project: Path) -> None:
    run_well(project)
    loaded = load(project)
    page = str(loaded.draw(format="html"))
    assert '"store": "gold"' in page or '"store":"gold"' in page
    assert "marts.top" in str(loaded.draw(format="svg"))


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        ("stores: {gold: {path: x}}", "headwater.yaml:2:10: stores: gold has no kind"),
        ("stores: {gold: {kind: wherehouse, path: x}}", "is of the unknown kind 'wherehouse'"),
        ("stores: {gold: {kind: warehouse}}", "'path' is missing"),
        ("stores: {gold: {kind: lake, path: data/lake}}", "the stores lake and gold are in one place"),
        ("defaults: {store: gold}", "headwater.yaml:2:12: no store is named 'gold'"),
        ("environments: {prod: {shared: [lake, gold]}}", "no store is named 'gold'"),
        ("environments: {prod: {stores: {gold: {path: x}}}}", "no store is named 'gold'"),
        ("stores: {a/b: {kind: lake, path: x}}", "the store 'a/b'"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, yaml: str, told: str) -> None:
    folder = write(tmp_path / "p", {"headwater.yaml": f"name: wrong\n{yaml}\n"})
    with pytest.raises(ProjectErrors) as caught:
        load(folder)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"models/m/a.sql": model("silver", "select 1 as x")}, "models/m/a.sql:2:1: store: 'silver' is not known"),
        (
            {"models/m/a.sql": model("cold", "select 1 as x", "materialize: snapshot\nkey: x\n")},
            "the cold cannot hold materialize: snapshot; use lakehouse or warehouse or gold",
        ),
        (
            {"sources/s.yaml": "kind: files\ntables: {t: {path: x.csv, into: cold, key: id, columns: {id: int}}}\n"},
            "the cold only appends or replaces whole loads; a key needs into: lakehouse or warehouse or gold",
        ),
    ],
)
def test_what_a_store_cannot_do_is_told_by_its_name(tmp_path: Path, files: dict[str, Any], told: str) -> None:
    folder = write(tmp_path / "p", {"headwater.yaml": YAML, **files})
    with pytest.raises(ProjectErrors) as caught:
        load(folder)
    assert told in str(caught.value)


def test_an_environment_states_a_named_store(project: Path) -> None:
    shared = "shared: [lake, lakehouse, warehouse, cold]"
    more = f"environments:\n  prod: {{{shared}, stores: {{gold: {{path: prod/gold.duckdb}}}}}}\n"
    write(project, {"headwater.yaml": YAML + more})
    run_well(project)
    loaded = load(project, "prod")
    assert loaded.run().status == "done"
    assert names_in(project / "prod/gold.duckdb", "table") == {"shop.orders", "marts.top"}
    assert json.loads(json.dumps(sorted(loaded.states()))) == ["marts.base", "marts.kept", "marts.top", "shop.orders"]


def test_objects_are_kept_by_any_lake_and_a_python_model_opens_them_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "headwater.yaml": YAML,
            "in/a.txt": "hello",
            "sources/docs.yaml": "kind: files\ntables:\n  texts: {path: in/*.txt, format: objects, into: cold}\n",
            "models/m/read.py": (
                "import headwater as hw\n\n\n"
                '@hw.model(inputs={"texts": "docs.texts"})\n'
                "def read(texts):\n"
                "    import pyarrow as pa\n\n"
                '    found = [hw.object_path(row[0]).read_text() for row in texts.select("object").fetchall()]\n'
                '    return pa.table({"text": found})\n'
            ),
        },
    )
    run_well(tmp_path)
    assert rows(tmp_path, "from m.read") == [("hello",)]
    write(
        tmp_path,
        {"sources/docs.yaml": "kind: files\ntables:\n  texts: {path: in/*.txt, format: objects, into: gold}\n"},
    )
    with pytest.raises(ProjectErrors, match="which the gold cannot; write into: lake or cold"):
        load(tmp_path)


def test_a_file_that_is_no_warehouse_is_never_written_and_never_taken_for_one(tmp_path: Path) -> None:
    """DuckDB would open a CSV file as a database in memory, in which everything is lost."""
    text = "stores:\n  gold: {kind: warehouse, path: data/gold.csv}\n"
    folder = put(tmp_path / "p", {"headwater.yaml": f"name: demo\n{text}", "data/gold.csv": "a\n1\n"})
    put(folder, {"sources/shop.yaml": source("gold"), "in/1.csv": f"{HEADER}1,a,1.00\n"})
    results = run(folder)
    assert results["shop.orders/load"].status.value != "done"
    assert any("data/gold.csv" in result.error for result in results.values())
    assert (folder / "data/gold.csv").read_text() == "a\n1\n"


def test_maintenance_of_a_lakehouse_removes_only_what_is_a_tables(tmp_path: Path) -> None:
    """A note of somebody's, and a table of another kind below a table's folder, are not its files."""
    folder = put(tmp_path / "p", {"sources/shop.yaml": source("lakehouse"), "in/1.csv": f"{HEADER}1,a,1.00\n"})
    run_well(folder)
    table = folder / "data/lakehouse/shop/orders"
    names = ("README.md", "x/_delta_log/0.json", "x/part-1.parquet", "old.parquet")
    put(folder, {f"data/lakehouse/shop/orders/{name}": "not ours" for name in names})
    load(folder).maintain(age_s=0.0)
    assert (table / "README.md").exists()
    assert (table / "x/part-1.parquet").exists()
    assert not (table / "old.parquet").exists()
