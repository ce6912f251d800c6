"""`schema: discard_value` and `deletes: soft_flag`, over the sources that can."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.run import Status
from tests.run.projects import write
from tests.run.runner import rows, run, run_well

if TYPE_CHECKING:
    from pathlib import Path

MERGING = ("lakehouse", "warehouse")
DECLARED = "{id: bigint, price: 'decimal(8,2)', day: date, ts: timestamptz}"
GOOD = (1, "1.50", "2026-01-02", "2026-01-02T03:04:05Z")
BAD = (2, "dear", "someday", "soon")


def put_rows(folder: Path, form: str) -> None:
    """Write a good row and one that fits nowhere, both with a column that is not declared."""
    found = [dict(zip(("id", "price", "day", "ts", "more"), (*row, "x"), strict=True)) for row in (GOOD, BAD)]
    file = folder / f"rows.{form}"
    if form == "csv":
        lines = [",".join(map(str, row.values())) for row in found]
        file.write_text("\n".join(["id,price,day,ts,more", *lines, ""]), encoding="utf-8")
    elif form == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(found), file)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("policy", ["discard_value", "discard_row"])
def test_a_value_that_does_not_fit_is_left_out_or_its_row_is(tmp_path: Path, form: str, policy: str) -> None:
    write(
        tmp_path,
        {
            "headwater.yaml": "name: discards\n",
            "sources/s.yaml": (
                f"kind: files\ntables:\n  t: {{path: rows.{form}, schema: {policy}, columns: {DECLARED}}}\n"
            ),
        },
    )
    put_rows(tmp_path, form)
    result = run_well(tmp_path)["s.t/load"]
    found = rows(tmp_path, "select id, price::varchar, day::varchar, epoch(ts)::bigint from s.t")
    if policy == "discard_value":
        assert found == [(1, "1.50", "2026-01-02", 1767323045), (2, None, None, None)]
        assert result.rejected == 0
        assert rows(tmp_path, "select count(*) from (describe select * from s.t)") == [(4,)]
    else:
        assert (found, result.rejected) == ([], 2)


@pytest.mark.parametrize("policy", ["discard_value", "discard_row"])
def test_a_column_that_is_declared_later_lands(tmp_path: Path, policy: str) -> None:
    file = "kind: files\ntables:\n  t: {{path: rows.csv, schema: {}, load: incremental, key: id, columns: {}}}\n"
    write(tmp_path, {"headwater.yaml": "name: later\n", "sources/s.yaml": file.format(policy, "{id: bigint}")})
    (tmp_path / "rows.csv").write_text("id\n1\n", encoding="utf-8")
    run_well(tmp_path)
    write(tmp_path, {"sources/s.yaml": file.format(policy, "{id: bigint, more: bigint}")})
    (tmp_path / "rows.csv").write_text("id,more\n1,10\n2,20\n", encoding="utf-8")
    assert run_well(tmp_path)["s.t/load"].rejected == 0
    assert rows(tmp_path, "select id, more from s.t") == [(1, 10), (2, 20)]


def test_damaged_rows_are_rejects_even_then(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "headwater.yaml": "name: discards\n",
            "sources/s.yaml": (
                "kind: files\ntables:\n"
                "  t: {path: a.csv, schema: discard_value, date_format: '%d.%m.%Y', columns: {id: bigint, day: date}}\n"
            ),
            "a.csv": "id,day\n1,31.12.2025\n2,2025-12-31\n3\n4,1.1.2026,x\n",
        },
    )
    assert run_well(tmp_path)["s.t/load"].rejected == 2
    assert rows(tmp_path, "select id, day::varchar from s.t") == [(1, "2025-12-31"), (2, None)]


def database(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "app.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def sqlite_project(folder: Path, store: str, more: str) -> None:
    write(
        folder,
        {
            "headwater.yaml": "name: discards\n",
            "sources/app.yaml": f"kind: sqlite\npath: app.db\ntables:\n  users: {{into: {store}, {more}}}\n",
        },
    )


def test_cells_of_sqlite_that_do_not_fit(tmp_path: Path) -> None:
    database(tmp_path, "CREATE TABLE users (id INTEGER PRIMARY KEY, born DATE, score DECIMAL(5,2), token UUID)")
    database(tmp_path, "INSERT INTO users VALUES (1, '2000-01-01', 1.5, NULL), (2, 'unknown', 'high', 'none')")
    sqlite_project(tmp_path, "lakehouse", "schema: discard_value")
    assert run_well(tmp_path)["app.users/load"].rejected == 0
    assert rows(tmp_path, "select id, born::varchar, score::varchar, token from app.users") == [
        (1, "2000-01-01", "1.50", None),
        (2, None, None, None),
    ]
    database(tmp_path, "ALTER TABLE users ADD COLUMN extra TEXT", "INSERT INTO users (id, extra) VALUES (3, 'x')")
    assert run_well(tmp_path)["app.users/load"].rejected == 0
    assert (
        rows(tmp_path, "select column_name from (describe select * from app.users) where column_name = 'extra'") == []
    )


@pytest.mark.parametrize("store", MERGING)
@pytest.mark.parametrize("load", ["full", "incremental, cursor: at"])
def test_what_the_source_deleted_is_flagged(tmp_path: Path, store: str, load: str) -> None:
    database(tmp_path, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
    database(tmp_path, *[f"INSERT INTO users VALUES ({key}, 'n{key}', {key})" for key in range(1, 9)])
    sqlite_project(tmp_path, store, f"load: {load}, key: id, deletes: soft_flag")
    run_well(tmp_path)
    flagged = "select id, name from app.users where _deleted_at is not null"
    assert rows(tmp_path, flagged) == []
    database(tmp_path, "DELETE FROM users WHERE id = 3", "UPDATE users SET name = 'new', at = 20 WHERE id = 4")
    second = run_well(tmp_path)["app.users/load"]
    assert (second.rows, rows(tmp_path, flagged)) == (8, [(3, "n3")])
    assert rows(tmp_path, "select name from app.users where id = 4") == [("new",)]
    when = rows(tmp_path, "select _deleted_at::varchar from app.users where id = 3")
    database(tmp_path, "INSERT INTO users VALUES (9, 'n9', 30)")
    run_well(tmp_path, now=None)
    assert rows(tmp_path, "select _deleted_at::varchar from app.users where id = 3") == when
    assert run_well(tmp_path)["app.users/load"].status in (Status.UNCHANGED, Status.SKIPPED)
    database(tmp_path, "INSERT INTO users VALUES (3, 'n3', 3)")
    run_well(tmp_path)
    assert rows(tmp_path, flagged) == []
    assert rows(tmp_path, "select count(*) from app.users") == [(9,)]


@pytest.mark.parametrize("load", ["full", "incremental, cursor: at"])
def test_too_many_deletes_flag_nothing(tmp_path: Path, load: str) -> None:
    database(tmp_path, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
    database(tmp_path, *[f"INSERT INTO users VALUES ({key}, 'n{key}', {key})" for key in range(1, 5)])
    sqlite_project(tmp_path, "lakehouse", f"load: {load}, key: id, deletes: soft_flag")
    run_well(tmp_path)
    database(tmp_path, "DELETE FROM users WHERE id > 1")
    assert "max_deleted" in run(tmp_path)["app.users/load"].error
    database(tmp_path, "DELETE FROM users")
    assert "no keys" in run(tmp_path)["app.users/load"].error
    assert rows(tmp_path, "select count(*) from app.users where _deleted_at is null") == [(4,)]


@pytest.mark.parametrize("store", MERGING)
def test_a_full_load_of_files_flags_what_is_gone(tmp_path: Path, store: str) -> None:
    more = "load: full, key: id, deletes: soft_flag, max_deleted: 60%, columns: {id: bigint, item: varchar}"
    write(
        tmp_path,
        {
            "headwater.yaml": "name: discards\n",
            "sources/s.yaml": f"kind: files\ntables:\n  t: {{path: in/*.csv, into: {store}, {more}}}\n",
            "in/1.csv": "id,item\n1,a\n2,b\n3,c\n",
        },
    )
    run_well(tmp_path)
    write(tmp_path, {"in/1.csv": "id,item\n1,a\n3,c2\n4,d\n"})
    run_well(tmp_path)
    found = "select id, item, _deleted_at is not null from s.t"
    assert rows(tmp_path, found) == [(1, "a", False), (2, "b", True), (3, "c2", False), (4, "d", False)]
    run_well(tmp_path, full=["s.t"])
    assert rows(tmp_path, found) == [(1, "a", False), (3, "c2", False), (4, "d", False)]


def test_a_reject_that_is_read_again_breaks_no_limit(tmp_path: Path) -> None:
    """A bad row at the cursor's end comes again with every load; it was judged when it was new."""
    database(tmp_path, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
    database(tmp_path, *[f"INSERT INTO users VALUES ({key}, 'n{key}', {key})" for key in range(1, 21)])
    database(tmp_path, "INSERT INTO users VALUES (21, NULL, 20)")
    more = "load: incremental, cursor: at, key: id, max_rejected: 10%, reject_if: {nameless: name is null}"
    sqlite_project(tmp_path, "lakehouse", more)
    assert run_well(tmp_path)["app.users/load"].rejected == 1
    database(tmp_path, "INSERT INTO users VALUES (22, 'n22', 20)")
    assert run_well(tmp_path)["app.users/load"].rejected == 0
    database(tmp_path, "INSERT INTO users VALUES (23, NULL, 20)")
    assert "max_rejected" in run(tmp_path)["app.users/load"].error
    assert rows(tmp_path, "select count(*) from quarantine.app__users") == [(1,)]
