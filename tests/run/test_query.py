"""Queries: every dataset by name whichever store it is in, what is hidden, what is refused; looking changes no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.plan import Orphan
from headwater.errors import ProjectError
from headwater.sql.parse import Parsed
from tests.run.projects import STORES
from tests.run.runner import HEADER, put, rows, run, run_well, source

if TYPE_CHECKING:
    from pathlib import Path

VIEW = "/* headwater\nmaterialize: view\n*/\n"


def everywhere(folder: Path) -> Path:
    """A source and a model in each store, a view over all three sources, a view over that view."""
    models = {
        f"models/m/{s}.sql": f"/* headwater\nstore: {s}\n*/\nselect id + 1 as n from {s}.orders\n" for s in STORES
    }
    union = " union all ".join(f"select id, '{store}' as store from {store}.orders" for store in STORES)
    return put(
        folder,
        {
            **{f"sources/{store}.yaml": source(store) for store in STORES},
            **models,
            "models/v/each.sql": f"{VIEW}{union}\n",
            "models/v/counted.sql": f"{VIEW}select store, count(*) as n, $now as at from v.each group by all\n",
            "in/1.csv": HEADER + "1,a,1\n2,b,x\n",
        },
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = everywhere(tmp_path_factory.mktemp("everywhere"))
    run_well(folder)
    return folder


def refused(folder: Path, sql: str) -> str:
    with pytest.raises(ProjectError) as caught:
        load(folder).query(sql)
    return str(caught.value)


@pytest.mark.parametrize("store", STORES)
def test_every_dataset_by_name(project: Path, store: str) -> None:
    loaded = load(project)
    assert loaded.query(f"from {store}.orders").column_names == ["id", "item", "price"]
    assert rows(project, f"from m.{store}") == [(2,)]
    system = loaded.query(f"from system.{store}__orders")
    assert set(system.column_names) == {"id", "item", "price", "_batch", "_loaded_at", "_file"}
    quarantine = loaded.query(f"select rule, _file, _line from quarantine.{store}__orders").to_pylist()
    assert quarantine == [{"rule": "cast", "_file": "in/1.csv", "_line": 3}]


def test_across_stores_and_through_views(project: Path) -> None:
    joined = "from lake.orders join lakehouse.orders using (id) join warehouse.orders using (id) select count(*)"
    assert rows(project, joined) == [(1,)]
    assert rows(project, "select store, n from v.counted") == [(store, 1) for store in sorted(STORES)]
    assert rows(project, "with x as (select * from LAKE.Orders) select id from x") == [(1,)]
    assert rows(project, 'select "id" from "lake"."orders" where item <> \'system.x\'') == [(1,)]
    whole = 'select s._file, q._line from SYSTEM . lake__orders as s, "system"."lake__orders" as t, '
    assert rows(project, f"{whole} quarantine.lake__orders as q") == [("in/1.csv", 3)]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from lake.order", "no dataset is named lake.order\n  fix: did you mean 'lake.orders'?"),
        ("from system.m__lake", "no dataset is named system.m__lake"),
        ("from quarantine.lake__order", "did you mean 'quarantine.lake__orders'?"),
        ("from information_schema.tables", "no dataset is named information_schema.tables"),
        ("from memory.lake.orders", "no dataset is named memory.lake.orders"),
        ("from lake.orders; select 1", "2 statements"),
        ("", "empty"),
        ("create table t as select 1", "another kind of statement"),
        ("attach 'x.db'", "another kind of statement"),
        ("copy lake.orders to 'x.csv'", "another kind of statement"),
        ("set threads = 1", "another kind of statement"),
        ("selec 1", "syntax error"),
        ("from read_csv('/etc/passwd')", "read_csv() reads outside the project"),
        ("from '/etc/passwd'", "no dataset is named main./etc/passwd"),
        ("select nme from lake.orders", 'column "nme" not found'),
        ("select item::int from lake.orders", "Could not convert string 'a'"),
    ],
)
def test_what_is_not_a_select_over_the_datasets_is_refused(project: Path, sql: str, says: str) -> None:
    assert says in refused(project, sql)


@pytest.mark.parametrize(
    "function", ["read_text", "read_blob", "glob", "sniff_csv", "query", "query_table", "parquet_scan"]
)
def test_functions_that_read_elsewhere_are_refused(project: Path, function: str) -> None:
    assert f"{function}() reads outside the project" in refused(project, f"select * from {function}('x')")


@pytest.mark.parametrize(
    "sql", ["from read_text('/etc/hostname')", "select * from glob('/*')", "from read_csv('/etc/passwd')"]
)
def test_the_engine_itself_reaches_nothing_but_the_stores(
    project: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """What the list of functions would let through stops at the engine's own locks."""
    monkeypatch.setattr("headwater.workspace.query.parse_query", lambda _: Parsed((), (), ()))
    assert "file system operations are disabled" in refused(project, sql)


@pytest.mark.parametrize("name", ["warehouse.orders", "m.warehouse", "v.each", "v.counted", "system.lake__orders"])
def test_before_the_first_run_it_holds_nothing(tmp_path: Path, name: str) -> None:
    assert "holds nothing yet\n  fix: headwater run" in refused(everywhere(tmp_path), f"from {name}")


@pytest.mark.parametrize("store", STORES)
def test_orphans_are_readable_and_listed(tmp_path: Path, store: str) -> None:
    put(
        tmp_path,
        {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n", "models/m/x.sql": "select 1 as n\n"},
    )
    run_well(tmp_path)
    (tmp_path / "sources/shop.yaml").unlink()
    loaded = load(tmp_path)
    assert loaded.plan().orphans == (Orphan("shop.orders", store),)
    assert loaded.query("from shop.orders").column_names == ["id", "item", "price"]
    loaded.maintain(drop_orphans=True)
    assert "no dataset is named shop.orders" in refused(tmp_path, "from shop.orders")


@pytest.mark.parametrize("store", STORES)
def test_quarantine_without_rejects_is_empty(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n"})
    run_well(tmp_path)
    found = load(tmp_path).query("from quarantine.shop__orders")
    assert (found.num_rows, found.column_names[-3:]) == (0, ["rule", "reason", "raw"])


def test_a_view_whose_input_lost_a_column_says_so(tmp_path: Path) -> None:
    put(tmp_path, {"models/m/a.sql": "select 1 as n\n", "models/v/b.sql": f"{VIEW}select n from m.a\n"})
    run_well(tmp_path)
    put(tmp_path, {"models/m/a.sql": "select 1 as k\n", "models/v/b.sql": f"{VIEW}select k from m.a\n"})
    assert "k" in refused(tmp_path, "from v.b")
    run_well(tmp_path)
    assert rows(tmp_path, "from v.b") == [(1,)]


def snapshot(folder: Path) -> dict[str, Any]:
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.stat().st_size)
        for file in folder.rglob("*")
        if ".headwater" not in file.parts
    }


def look(folder: Path) -> None:
    loaded = load(folder)
    loaded.check()
    loaded.plan()
    loaded.states()
    loaded.node_statuses()
    loaded.draw()
    loaded.runs()
    loaded.history("m.lake/transform")


def test_looking_changes_no_file_of_a_fresh_project(tmp_path: Path) -> None:
    before = snapshot(everywhere(tmp_path))
    look(tmp_path)
    refused(tmp_path, "from v.each")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "data").exists()


def test_looking_changes_no_file_after_a_run(project: Path) -> None:
    before = snapshot(project)
    look(project)
    rows(project, "from v.counted")
    assert snapshot(project) == before


def test_looking_at_a_project_whose_warehouse_is_gone(tmp_path: Path) -> None:
    run_well(everywhere(tmp_path))
    (tmp_path / "data/warehouse.duckdb").unlink()
    before = snapshot(tmp_path)
    look(tmp_path)
    assert rows(tmp_path, "select id from lake.orders") == [(1,)]
    assert "warehouse.orders holds nothing yet" in refused(tmp_path, "from warehouse.orders")
    assert snapshot(tmp_path) == before
    again = run(tmp_path)
    assert again["warehouse.orders/load"].error == ""
    assert again["lake.orders/load"].status.value == "skipped"
    assert rows(tmp_path, "from m.warehouse") == [(2,)]


def test_a_failed_first_load_of_several_chunks_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.sources.common.listing.GROUP_FILES", 1)
    for store in STORES:
        folder = tmp_path / store
        files = {f"in/{n}.csv": HEADER + f"{n},a,1\nx\n" for n in range(3)}
        put(folder, {"sources/shop.yaml": source(store, "max_rejected: 2"), **files})
        assert "3 of 6 rows are rejects" in run(folder)["shop.orders/load"].error
        assert "shop.orders holds nothing yet" in refused(folder, "from shop.orders")
        assert "shop.orders holds nothing yet" in refused(folder, "from quarantine.shop__orders")


@pytest.mark.parametrize("name", ["xé", "XÉ", "xİ"])
def test_a_cte_hides_only_what_the_engine_takes_for_it(tmp_path: Path, name: str) -> None:
    """DuckDB takes A for a, and É not for é: a reference that is no CTE to it is a file outside the project."""
    (tmp_path / "xé.csv").write_text("secret\n1\n")
    put(tmp_path, {"headwater.yaml": "name: ctes\n"})
    other = name.swapcase() if name != "xİ" else "xi̇"
    sql = f'with "{tmp_path}/[{name}].csv" as (select 1 as a) select * from "{tmp_path}/[{other}].csv"'
    with pytest.raises(ProjectError, match=r"no dataset is named|outside the project"):
        load(tmp_path).query(sql)
