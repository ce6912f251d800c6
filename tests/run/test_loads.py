"""Loads of files from end to end: what is landed, what is quarantined, what makes a new version, in each store."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.core.run import Status
from tests.run.projects import STORES
from tests.run.runner import HEADER, put, rows, run, run_well, source, statuses, version

if TYPE_CHECKING:
    from pathlib import Path

READER = "select count(*) as n, sum(price) as total from shop.orders\n"
QUARANTINE = "select _file, _line, rule from quarantine.shop__orders"
MERGING = ("warehouse", "lakehouse")


def project(folder: Path, store: str, more: str = "") -> Path:
    return put(
        folder,
        {
            "sources/shop.yaml": source(store, more),
            "models/m/reader.sql": READER,
            "in/1.csv": HEADER + "1,a,1.50\n2,b,2.00\n",
            "in/2.csv": HEADER + "3,c,3.00\n4,d,oops\n",
        },
    )


@pytest.mark.parametrize("store", STORES)
def test_full_same_rows_make_no_version_and_skip_the_reader(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    first = run_well(tmp_path)
    assert (first["shop.orders/extract"].rows_inserted, first["shop.orders/extract"].rejected) == (3, 1)
    assert (first["shop.orders/load"].rows, first["shop.orders/load"].rejected) == (3, 1)
    assert rows(tmp_path, QUARANTINE) == [("in/2.csv", 3, "cast")]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    os.utime(tmp_path / "in/1.csv", ns=(1, 1))
    again = run_well(tmp_path)
    assert statuses(again) == {
        "shop.orders/extract": "done", "shop.orders/load": "unchanged", "m.reader/transform": "skipped",
    }  # fmt: skip
    assert again["shop.orders/load"].rejected == 0
    assert version(tmp_path, "shop.orders") == 1
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    put(tmp_path, {"in/1.csv": HEADER + "1,a,9.50\n"})
    changed = run_well(tmp_path)
    assert set(statuses(changed).values()) == {"done"}
    assert rows(tmp_path, "from m.reader") == [(2, Decimal("12.50"))]
    assert rows(tmp_path, QUARANTINE) == [("in/2.csv", 3, "cast")]


@pytest.mark.parametrize("store", STORES)
def test_an_empty_source_never_wipes_a_table_unless_it_may(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    run_well(tmp_path)
    (tmp_path / "in/1.csv").unlink()
    (tmp_path / "in/2.csv").unlink()
    failed = run(tmp_path)
    assert statuses(failed) == {
        "shop.orders/extract": "done", "shop.orders/load": "failed", "m.reader/transform": "blocked",
    }  # fmt: skip
    assert "the source gave no rows" in failed["shop.orders/load"].error
    assert "allow_empty: true" in failed["shop.orders/load"].error
    put(tmp_path, {"in/3.csv": HEADER + "5,e,oops\n"})
    assert "all 1 rows are rejects" in run(tmp_path)["shop.orders/load"].error
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,)]
    put(tmp_path, {"sources/shop.yaml": source(store, "allow_empty: true")})
    allowed = run_well(tmp_path)
    assert (allowed["shop.orders/load"].status, allowed["shop.orders/load"].rows) == (Status.DONE, 0)
    assert rows(tmp_path, "from shop.orders") == []
    assert rows(tmp_path, "from m.reader") == [(0, None)]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", ["", "load: incremental"])
def test_no_file_at_all_makes_an_empty_table(tmp_path: Path, store: str, mode: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store, mode), "models/m/reader.sql": READER})
    (tmp_path / "in").mkdir()
    first = run_well(tmp_path)
    assert first["shop.orders/load"].rows == 0
    assert rows(tmp_path, "from m.reader") == [(0, None)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    put(tmp_path, {"in/1.csv": HEADER})
    run_well(tmp_path)
    assert rows(tmp_path, "from shop.orders") == []
    put(tmp_path, {"in/2.csv": HEADER + "1,a,1\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id from shop.orders") == [(1,)]


@pytest.mark.parametrize("store", MERGING)
def test_full_with_a_key_keeps_the_first_and_rejects_the_others(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "key: id")
    put(tmp_path, {"in/2.csv": HEADER + "2,later,7\n3,c,3\n3,again,4\n,none,5\n"})
    first = run_well(tmp_path)
    assert rows(tmp_path, "select id, item from shop.orders") == [(1, "a"), (2, "b"), (3, "c")]
    wanted = [("in/2.csv", 2, "duplicate_key"), ("in/2.csv", 4, "duplicate_key"), ("in/2.csv", 5, "null_key")]
    assert rows(tmp_path, QUARANTINE) == wanted
    assert (first["shop.orders/load"].rows, first["shop.orders/load"].rejected) == (3, 3)
    os.utime(tmp_path / "in/1.csv", ns=(1, 1))
    again = run_well(tmp_path)
    assert (again["shop.orders/load"].status, again["shop.orders/load"].rejected) == (Status.UNCHANGED, 0)
    assert rows(tmp_path, QUARANTINE) == wanted


@pytest.mark.parametrize("store", STORES)
def test_incremental_appends_new_files_only(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental")
    run_well(tmp_path)
    put(tmp_path, {"in/3.csv": HEADER + "3,twin,1\n", "in/4.csv": HEADER + "6,f,1\n7,g,bad\n"})
    second = run_well(tmp_path)
    assert (second["shop.orders/extract"].rows_inserted, second["shop.orders/extract"].rejected) == (2, 1)
    assert (second["shop.orders/load"].rows_inserted, second["shop.orders/load"].rejected) == (2, 1)
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,), (3,), (6,)]
    assert rows(tmp_path, QUARANTINE) == [("in/2.csv", 3, "cast"), ("in/4.csv", 3, "cast")]
    (tmp_path / "in/1.csv").unlink()
    third = run_well(tmp_path)
    assert third["shop.orders/load"].status is Status.UNCHANGED
    assert third["m.reader/transform"].status is Status.SKIPPED
    assert len(rows(tmp_path, "from shop.orders")) == 5
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    put(tmp_path, {"in/5.csv": HEADER, "in/6.csv": HEADER + "9,i,bad\n"})
    fourth = run_well(tmp_path)
    assert (fourth["shop.orders/load"].status, fourth["shop.orders/load"].rejected) == (Status.UNCHANGED, 1)
    assert len(rows(tmp_path, QUARANTINE)) == 3
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", MERGING)
@pytest.mark.parametrize("mode", ["load: incremental", "load: incremental\nkey: id"])
def test_a_changed_file_replaces_its_rows(tmp_path: Path, store: str, mode: str) -> None:
    project(tmp_path, store, mode)
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "2,B,2.00\n9,i,1\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id, item from shop.orders") == [(2, "B"), (3, "c"), (9, "i")]
    put(tmp_path, {"in/1.csv": HEADER, "in/2.csv": HEADER + "3,c,oops\n4,d,4\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id, item from shop.orders") == [(4, "d")]
    assert rows(tmp_path, "from m.reader") == [(1, Decimal("4.00"))]


def test_the_lake_says_what_to_do_about_a_changed_file(tmp_path: Path) -> None:
    project(tmp_path, "lake", "load: incremental")
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "2,B,2.00\n"})
    failed = run(tmp_path)
    error = failed["shop.orders/load"].error
    assert "in/1.csv changed after it was loaded, and the lake only appends" in error
    assert "load into the lakehouse, or `headwater run --full" in error
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,)]
    full = run_well(tmp_path, full=["shop.orders"])
    assert full["shop.orders/load"].status is Status.DONE
    assert rows(tmp_path, "select id, item from shop.orders") == [(2, "B"), (3, "c")]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", MERGING)
def test_merge_writes_new_and_changed_keys_only(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental\nkey: id")
    run_well(tmp_path)
    put(tmp_path, {"in/3.csv": HEADER + "2,B,2.00\n5,e,5\n5,later,6\n"})
    second = run_well(tmp_path)
    found = second["shop.orders/load"]
    assert (found.rows, found.rows_inserted, found.rows_deleted, found.rejected) == (4, 2, 1, 1)
    assert rows(tmp_path, "select id, item from shop.orders") == [(1, "a"), (2, "B"), (3, "c"), (5, "e")]
    put(tmp_path, {"in/3.csv": HEADER + "2,B,2.000\n5,e,5.0\n"})
    third = run_well(tmp_path)
    assert third["shop.orders/load"].status is Status.UNCHANGED
    assert third["m.reader/transform"].status is Status.SKIPPED
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", MERGING)
def test_a_row_that_another_file_has_too_outlives_the_file_it_came_from(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental\nkey: id")
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1.50\n2,b,2.00\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/7.csv": HEADER + "1,a,1.50\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "2,b,2.00\n"})
    run_well(tmp_path)
    assert (1, "a") in rows(tmp_path, "select id, item from shop.orders")
    put(tmp_path, {"in/7.csv": HEADER})
    run_well(tmp_path)
    assert (1, "a") not in rows(tmp_path, "select id, item from shop.orders")


@pytest.mark.parametrize("store", MERGING)
def test_a_cursor_decides_among_rows_of_one_key(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental\nkey: id\ncursor: price")
    put(tmp_path, {"in/2.csv": HEADER + "1,newest,9\n1,middle,5\n3,none,\n"})
    first = run_well(tmp_path)
    assert rows(tmp_path, "select id, item from shop.orders") == [(1, "newest"), (2, "b")]
    assert rows(tmp_path, QUARANTINE) == [("in/2.csv", None, "null_cursor")]
    assert (first["shop.orders/load"].rejected, first["shop.orders/load"].superseded) == (1, 2)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", ["", "load: incremental"])
def test_a_changed_declaration_is_run_once(tmp_path: Path, store: str, mode: str) -> None:
    """Its fingerprint is recorded even when it gives no new row, so that the next run skips it."""
    project(tmp_path, store, mode)
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(store, f"max_rejected: 90%\n{mode}".strip())})
    second = run_well(tmp_path)
    assert second["shop.orders/extract"].reason == "its declaration changed"
    assert second["shop.orders/load"].status is Status.UNCHANGED
    assert second["m.reader/transform"].status is Status.SKIPPED
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    put(tmp_path, {"sources/shop.yaml": source(store, f"prepare: [{{sql: {{item: upper(item)}}}}]\n{mode}".strip())})
    run_well(tmp_path)
    letters = [("A",), ("B",), ("C",)] if not mode else [("a",), ("b",), ("c",)]
    assert rows(tmp_path, "select item from shop.orders") == letters
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    full = run_well(tmp_path, full=["shop.orders"])
    assert full["shop.orders/load"].status is Status.DONE
    assert rows(tmp_path, "select item from shop.orders") == [("A",), ("B",), ("C",)]


@pytest.mark.parametrize("store", STORES)
def test_from_full_to_incremental_and_back(tmp_path: Path, store: str) -> None:
    """What a full load remembers of its rows says nothing once an incremental one has added some."""
    project(tmp_path, store)
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(store, "load: incremental"), "in/3.csv": HEADER + "5,e,5\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,), (5,)]
    (tmp_path / "in/3.csv").unlink()
    put(tmp_path, {"sources/shop.yaml": source(store)})
    run_well(tmp_path)
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("other", STORES)
def test_a_table_that_moves_to_another_store_is_loaded_there(tmp_path: Path, store: str, other: str) -> None:
    """The table left behind in the old store is not taken for the new one, and is dropped as an orphan."""
    if store == other:
        pytest.skip("the same store")
    project(tmp_path, store, "load: incremental")
    put(tmp_path, {f"models/m/stays_{s}.sql": f"/* headwater\nstore: {s}\n*/\nselect 1 as one\n" for s in STORES})
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(other, "load: incremental"), "in/3.csv": HEADER + "5,e,5\n"})
    moved = run_well(tmp_path)
    assert moved["shop.orders/load"].rows == 4
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,), (3,), (5,)]
    assert rows(tmp_path, "select n from m.reader") == [(4,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    assert load(tmp_path).maintain(drop_orphans=True)[f"shop.orders ({store})"].dropped
    put(tmp_path, {"sources/shop.yaml": source(store, "load: incremental")})
    back = run_well(tmp_path)
    assert back["shop.orders/extract"].reason == "first load"
    assert len(rows(tmp_path, "from shop.orders")) == 4


@pytest.mark.parametrize("store", STORES)
def test_a_model_rebuilt_with_full(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    run_well(tmp_path)
    full = run_well(tmp_path, full=["m.reader"])
    assert full["m.reader/transform"].reason == "asked for with --full"
    assert full["m.reader/transform"].status is Status.DONE
    assert full["shop.orders/load"].status is Status.SKIPPED


def test_jsonl_and_parquet_land_like_csv(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    put(
        tmp_path,
        {
            "sources/a.yaml": "kind: files\ntables:\n  j: {path: in/*.jsonl, into: warehouse, columns: {id: bigint, "
            "tags: 'varchar[]'}}\n  p: {path: in/*.parquet, into: lakehouse}\n",
            "in/1.jsonl": '{"id": 1, "tags": ["x"], "more": {"k": 1}}\n{"id": "two"}\n',
            "models/m/both.sql": "select j.id, len(j.tags) as n, p.v from a.j as j join a.p as p using (id)\n",
        },
    )
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.uint8()), "v": [0.5, None]}), tmp_path / "in/1.parquet")
    run_well(tmp_path)
    assert rows(tmp_path, "from m.both") == [(1, 1, 0.5)]
    assert rows(tmp_path, "select rule from quarantine.a__j") == [("cast",)]
    assert rows(tmp_path, "select json_extract_string(_raw, '$.more.k') from system.a__j") == [("1",)]
