"""Preparation, rejects and schema policies from end to end, with counts that add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.core.run import Status
from headwater.errors import ProjectErrors
from tests.run.projects import STORES
from tests.run.runner import HEADER, put, rows, run, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

PREPARE = """\
prepare:
  - trim: all
  - rename: {item: thing}
  - null_if: {thing: ["-", n/a]}
  - fill: {thing: none}
  - cast: {price: double}
  - sql: {twice: price * 2}
  - mask: {columns: [who], key: "${env:MASK_KEY}"}
  - drop: [gone]
reject_if:
  dear: price > 100
  odd: twice > 150
"""
PREPARED = "columns: {id: bigint, item: varchar, price: varchar, who: varchar, gone: varchar}"


@pytest.mark.parametrize("store", STORES)
def test_rules_in_their_order_and_rejects_that_add_up(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASK_KEY", "a very secret key")
    lines = ["1, a ,1.5,ann,x", "2,-,2,bob,y", "3,c,oops,cid,z", "4,d,101,dee,z", "5,e,80,eve,z", "6,f,,,"]
    put(
        tmp_path,
        {
            "sources/shop.yaml": source(store, PREPARE, PREPARED),
            "in/1.csv": "id,item,price,who,gone\n" + "\n".join(lines) + "\n",
            "models/m/n.sql": "select thing, twice, length(who) as n from shop.orders\n",
        },
    )
    results = run_well(tmp_path)
    extract, landed = results["shop.orders/extract"], results["shop.orders/load"]
    assert (extract.rows_inserted, extract.rejected, landed.rows, landed.rejected) == (3, 3, 3, 3)
    assert rows(tmp_path, "from m.n") == [("a", 3.0, 64), ("f", None, None), ("none", 4.0, 64)]
    found = rows(tmp_path, "select rule, reason, raw from quarantine.shop__orders")
    assert [rule for rule, _, _ in found] == ["cast", "dear", "odd"]
    assert found[1][1] == "price > 100"
    for _, reason, raw in found:
        assert not {"cid", "dee", "eve", '"z"'} & {*reason.split(), *raw.replace(",", " ").replace(":", " ").split()}
        assert "who" not in raw
        assert "gone" not in raw


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", ["", "load: incremental\n"])
def test_evolve_adds_a_column_of_the_header(tmp_path: Path, store: str, mode: str) -> None:
    text = source(store, mode)
    put(tmp_path, {"sources/shop.yaml": text, "in/1.csv": HEADER + "1,a,1\n"})
    put(tmp_path, {"models/m/all.sql": "select * from shop.orders\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": "price,Colour,id\n2,red,2\n"})
    error = run(tmp_path)["shop.orders/extract"].error
    assert "in/2.csv has no column item, which is declared" in error
    assert "optional: true" in error
    put(tmp_path, {"sources/shop.yaml": text.replace("item: varchar", "item: {type: varchar, optional: true}")})
    run_well(tmp_path)
    table = load(tmp_path).query("from m.all order by id")
    assert table.column_names == ["id", "item", "price", "Colour"]
    assert table.column("Colour").to_pylist() == [None, "red"]
    put(tmp_path, {"in/3.csv": "price,COLOUR,id\n2,blue,3\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id, colour from m.all") == [(1, None), (2, "red"), (3, "blue")]


@pytest.mark.parametrize("store", STORES)
def test_freeze_takes_no_other_column(tmp_path: Path, store: str) -> None:
    put(
        tmp_path,
        {"sources/shop.yaml": source(store, "schema: freeze\nload: incremental"), "in/1.csv": HEADER + "1,a,1\n"},
    )
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": "id,item,colour\n2,b,red\n"})
    error = run(tmp_path)["shop.orders/extract"].error
    assert "new: colour; missing: price" in error
    assert "schema is freeze" in error
    assert rows(tmp_path, "select id from shop.orders") == [(1,)]


@pytest.mark.parametrize("store", STORES)
def test_discard_row_rejects_rows_with_an_unknown_value(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store, "schema: discard_row\nload: incremental")})
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": "id,item,price,colour\n2,b,1,red\n3,c,1,\n"})
    landed = run_well(tmp_path)["shop.orders/load"]
    assert (landed.rows_inserted, landed.rejected) == (1, 1)
    assert load(tmp_path).query("from shop.orders").column_names == ["id", "item", "price"]
    assert rows(tmp_path, "select rule from quarantine.shop__orders") == [("unknown_column",)]


@pytest.mark.parametrize(
    ("policy", "store"), [("freeze", "warehouse"), ("discard_row", "warehouse"), ("evolve", "lakehouse")]
)
def test_a_changed_type_stops_an_incremental_load(tmp_path: Path, policy: str, store: str) -> None:
    more = f"schema: {policy}\nload: incremental"
    columns = "columns: {id: bigint, item: bigint, price: double}"
    put(tmp_path, {"sources/shop.yaml": source(store, more, columns), "in/1.csv": HEADER + "1,2,1\n"})
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(store, more, columns.replace("item: bigint", "item: double"))})
    error = run(tmp_path)["shop.orders/extract"].error
    assert error.startswith("sources/shop.yaml:")
    assert "column 'item' is BIGINT in the table" in error
    assert "arrives as DOUBLE" in error
    assert rows(tmp_path, "select item from shop.orders") == [(2,)]
    full = run_well(tmp_path, full=["shop.orders"])
    assert full["shop.orders/load"].status is Status.DONE
    assert load(tmp_path).query("from shop.orders").schema.field("item").type == "double"


def test_evolve_widens_in_the_warehouse_and_its_readers_follow(tmp_path: Path) -> None:
    more, columns = "load: incremental", "columns: {id: bigint, item: integer, price: double}"
    put(tmp_path, {"sources/shop.yaml": source("warehouse", more, columns), "in/1.csv": HEADER + "1,2,1\n"})
    put(tmp_path, {"models/m/all.sql": "select item from shop.orders\n"})
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source("warehouse", more, columns.replace("integer", "bigint"))})
    put(tmp_path, {"in/2.csv": HEADER + "2,5000000000,1\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "from m.all") == [(2,), (5_000_000_000,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", STORES)
def test_a_full_load_takes_another_type(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,7,1\n"})
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(store, "", "columns: {id: bigint, item: bigint, price: double}")})
    run_well(tmp_path)
    assert rows(tmp_path, "select item + 1 from shop.orders") == [(8,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("prepare: [{cast: {nme: bigint}}]", "cast names column 'nme', which is not there"),
        ("prepare: [{sql: {n: 'length(itm)'}}]", "is not valid"),
        ("reject_if: {x: 'prce > 1'}", "reject_if"),
        ("key: idd", "key names column 'idd'"),
        ("load: incremental\ncursor: at", "has no column 'at', which is its cursor"),
    ],
)
def test_a_rule_that_cannot_be_is_an_error_with_its_place(tmp_path: Path, rule: str, says: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source("warehouse", rule), "in/1.csv": HEADER + "1,a,1\n"})
    with pytest.raises(ProjectErrors) as caught:
        run(tmp_path)
    assert str(caught.value).startswith("sources/shop.yaml:3:")
    assert "shop.orders: " in str(caught.value)
    assert says in str(caught.value)
