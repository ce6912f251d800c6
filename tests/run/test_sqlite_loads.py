"""Loads from a database: cursors, keys, deletes that are compared, and changed declarations."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING

import pytest

from headwater.core.run import Status
from headwater.errors import ProjectErrors
from tests.run.runner import put, rows, run, run_well, statuses

if TYPE_CHECKING:
    from pathlib import Path

STORES = ("warehouse", "lakehouse")


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "in.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def project(folder: Path, store: str, more: str) -> Path:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    put(
        folder,
        {
            "sources/db.yaml": f"kind: sqlite\npath: in.db\ntables:\n  t:\n    into: {store}\n{lines}",
            "models/m/n.sql": "select count(*) as n from db.t\n",
        },
    )
    if not (folder / "in.db").exists():
        execute(
            folder,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, at TIMESTAMP)",
            *(f"INSERT INTO t VALUES ({n}, 'v{n}', '2026-01-01 00:00:0{n}')" for n in range(1, 6)),
        )
    return folder


MERGE = "load: incremental\ncursor: at\nkey: id\ndeletes: compare_keys"


@pytest.mark.parametrize("store", STORES)
def test_deletes_are_compared_within_their_limit(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, MERGE)
    run_well(tmp_path)
    execute(tmp_path, "DELETE FROM t WHERE id = 1")
    landed = run_well(tmp_path)["db.t/load"]
    assert (landed.status, landed.rows, landed.rows_deleted) == (Status.DONE, 4, 1)
    execute(tmp_path, "DELETE FROM t WHERE id = 2", "UPDATE t SET v = 'new', at = '2026-02-01' WHERE id = 3")
    error = run(tmp_path)["db.t/load"].error
    assert "1 of 4 rows (25.0%) are gone from the source, 20.0% allowed" in error
    assert rows(tmp_path, "select id from db.t") == [(2,), (3,), (4,), (5,)]
    project(tmp_path, store, f"{MERGE}\nmax_deleted: 25%")
    both = run_well(tmp_path)
    assert both["db.t/load"].status is Status.DONE
    assert rows(tmp_path, "select id, v from db.t") == [(3, "new"), (4, "v4"), (5, "v5")]
    assert rows(tmp_path, "from m.n") == [(3,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", STORES)
def test_no_key_at_all_is_an_accident(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, f"{MERGE}\nmax_deleted: 100%")
    run_well(tmp_path)
    execute(tmp_path, "DELETE FROM t")
    assert "the source gave no keys, and comparing would remove all 5 rows" in run(tmp_path)["db.t/load"].error
    project(tmp_path, store, f"{MERGE}\nmax_deleted: 100%\nallow_empty: true")
    assert run_well(tmp_path)["db.t/load"].rows == 0
    execute(tmp_path, "INSERT INTO t VALUES (9, 'v9', '2026-03-01')")
    run_well(tmp_path)
    assert rows(tmp_path, "select id from db.t") == [(9,)]


@pytest.mark.parametrize("store", STORES)
def test_without_a_key_rows_at_the_last_cursor_value_come_once(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental\ncursor: at")
    run_well(tmp_path)
    execute(tmp_path, "INSERT INTO t VALUES (6, 'tie', '2026-01-01 00:00:05'), (7, 'tie', '2026-01-01 00:00:05')")
    assert run_well(tmp_path)["db.t/load"].rows_inserted == 2
    execute(tmp_path, "INSERT INTO t VALUES (8, 'tie', '2026-01-01 00:00:05')", "UPDATE t SET v = 'old' WHERE id = 1")
    assert run_well(tmp_path)["db.t/load"].rows_inserted == 1
    execute(tmp_path, "UPDATE t SET v = 'older' WHERE id = 1")
    assert run_well(tmp_path)["db.t/load"].status is Status.UNCHANGED
    assert [n for (n,) in rows(tmp_path, "select id from db.t")] == [1, 2, 3, 4, 5, 6, 7, 8]
    project(tmp_path, store, "load: incremental\ncursor: at\nreject_if: {tie: v = 'tie'}")
    assert run_well(tmp_path)["db.t/load"].status is Status.UNCHANGED
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", STORES)
def test_a_key_without_a_cursor_merges_the_whole_table(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "load: incremental\nkey: id")
    run_well(tmp_path)
    execute(tmp_path, "UPDATE t SET v = 'new' WHERE id = 2", "INSERT INTO t VALUES (6, 'v6', NULL)")
    landed = run_well(tmp_path)["db.t/load"]
    assert (landed.rows_inserted, landed.rows_deleted, landed.rows) == (2, 1, 6)


def test_deletes_need_a_source_that_gives_its_keys(tmp_path: Path) -> None:
    files = "kind: files\ntables:\n  t: {path: in/*.csv, into: warehouse, key: id, columns: {id: bigint}, deletes: "
    put(tmp_path, {"sources/db.yaml": files + "compare_keys, load: incremental}\n", "in/1.csv": "id\n1\n2\n"})
    with pytest.raises(ProjectErrors, match=r"sources/db\.yaml:3:\d+: t: deletes: compare_keys .* files lists none"):
        run(tmp_path)
    put(tmp_path, {"sources/db.yaml": files + "compare_keys, load: full, max_deleted: 50%}\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": "id\n1\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "from db.t select id") == [(1,)]


def test_incremental_without_cursor_and_key_is_refused(tmp_path: Path) -> None:
    """There is nothing to tell new rows by: every row would come again."""
    project(tmp_path, "warehouse", "load: incremental")
    with pytest.raises(ProjectErrors, match=r"sources/db\.yaml:\d+:\d+: t: .*nothing shows which rows are new"):
        run(tmp_path)


def test_a_type_declared_for_one_column_holds_and_the_others_are_the_catalogues(tmp_path: Path) -> None:
    project(tmp_path, "warehouse", "columns:\n  id: {checks: [not_null]}\n  at: date\n  v: {description: what}")
    execute(tmp_path, "UPDATE t SET at = '2026-01-0' || id")
    run_well(tmp_path)
    told = rows(tmp_path, 'select typeof(id), typeof(v), typeof("at"), "at" from db.t where id = 3')
    assert told == [("BIGINT", "VARCHAR", "DATE", date(2026, 1, 3))]
