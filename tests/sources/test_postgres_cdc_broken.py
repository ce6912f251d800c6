"""`load: cdc` of PostgreSQL when the server, the slot, the table or the disk does what nobody asked for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.sources.postgres import cdc as postgres_cdc
from tests.run.runner import rows, run, run_well
from tests.services.postgres import Postgres as Server

from .postgres_database import Database
from .test_postgres_cdc import T, drop_slots, failure, landed, project, server, slots

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_slot_stays(db: Database):
    yield
    drop_slots(db)


# ------------------------------------------------------------------------------------------------------------ server


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_restarts_while_its_log_is_read(
    postgres: Server, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """Stopped in an orderly way, or crashed: it then recovers, and its slot may stand where it stood long ago."""
    monkeypatch.setattr("headwater.run.steps.extract.RETRY_PAUSES_S", (0.01, 0.01))
    db.sql(T, "INSERT INTO t VALUES (0, 'first', NULL)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql(
        "INSERT INTO t SELECT n, repeat('x', 2000), NULL FROM generate_series(1, 5000) n", "DELETE FROM t WHERE id = 7"
    )
    monkeypatch.setattr(postgres_cdc, "BATCH_ROWS", 500)
    append = postgres_cdc.ChangeTable.append
    reading, restarted = threading.Event(), threading.Event()

    def cut(*args: Any, **more: Any) -> None:
        append(*args, **more)
        reading.set()
        assert restarted.wait(60)

    monkeypatch.setattr(postgres_cdc.ChangeTable, "append", cut)
    warnings: list[str] = []

    def listen(event: Any) -> None:
        if event.name == "warning":
            warnings.append(str(event.data["text"]))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_well, tmp_path, listeners=[listen])
        assert reading.wait(60)
        postgres.stop(how)
        postgres.resume()
        restarted.set()
        running.result()
    assert len(warnings) == 1, "tried again"
    assert landed(tmp_path, "id") == server(db, "id")
    db.sql("UPDATE t SET name = 'later' WHERE id = 1")
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == server(db, "id", "name")


def test_an_invalidated_slot(postgres: Server, db: Database, tmp_path: Path) -> None:
    """The server keeps no more log than max_slot_wal_keep_size: the changes are lost, which plan and run say."""
    db.sql(T, "CREATE TABLE noise (a text)", "INSERT INTO t VALUES (1, 'a', NULL)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("INSERT INTO t VALUES (2, 'lost', NULL)")
    try:
        db.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
        for _ in range(6):
            db.sql("INSERT INTO noise SELECT repeat(md5(n::text), 200) FROM generate_series(1, 4000) n")
            db.sql("SELECT pg_switch_wal()", "CHECKPOINT")
        assert db.sql("SELECT wal_status FROM pg_replication_slots WHERE database = current_database()") == [("lost",)]
        assert any("changes are lost" in note and "--full" in note for note in load(tmp_path).plan().notes)
        told = failure(tmp_path)
        assert "the server has invalidated the slot" in told
        assert "--full" in told
        assert landed(tmp_path, "id") == [("1",)], "the last good version stays"
    finally:
        db.sql("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    run_well(tmp_path, full=["db.t"])
    db.sql("INSERT INTO t VALUES (3, 'c', NULL)")
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == server(db, "id", "name")


def test_no_slot_is_free(db: Database, tmp_path: Path) -> None:
    db.sql(T)
    project(tmp_path, db)
    taken = db.sql("SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots")[0][0]
    for number in range(taken):
        db.sql(f"SELECT pg_create_physical_replication_slot('{db.name}_{number}')")
    try:
        assert "max_replication_slots" in failure(tmp_path)
    finally:
        db.sql(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^{db.name}'")
    run_well(tmp_path)


# ------------------------------------------------------------------------------------------------------------- table

PARTS = (
    "CREATE TABLE t (id int, day date, name text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    "INSERT INTO t SELECT n, '2026-01-20'::date + n, 'n' || n FROM generate_series(1, 20) n",
)


def by_id_and_day(folder: Path, db: Database, more: str = "") -> None:
    project(folder, db, more)
    file = folder / "sources/db.yaml"
    file.write_text(file.read_text().replace("key: id", "key: [id, day]"))


@pytest.mark.parametrize("own", [False, True])
def test_partitions_are_followed_as_one_table(db: Database, tmp_path: Path, own: bool) -> None:
    db.sql(*PARTS)
    if own:
        db.sql("CREATE PUBLICATION own FOR ALL TABLES WITH (publish_via_partition_root = true)")
    by_id_and_day(tmp_path, db, "    publication: own\n" if own else "")
    run_well(tmp_path)
    db.sql(
        "UPDATE t SET day = '2026-02-20' WHERE id = 1",
        "DELETE FROM t WHERE id IN (2, 18)",
        "CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        "INSERT INTO t VALUES (30, '2026-03-05', 'in a new partition'), (31, '2026-01-05', 'in an old one')",
        "UPDATE t_2 SET name = 'by its own name' WHERE id = 19",
    )
    run_well(tmp_path)
    assert landed(tmp_path, "id", "day", "name") == server(db, "id", "day", "name")
    db.sql("TRUNCATE t")
    run_well(tmp_path)
    assert landed(tmp_path, "id") == []


@pytest.mark.parametrize("of", ["TABLE t", "ALL TABLES"])
def test_a_publication_of_the_partitions_is_told(db: Database, tmp_path: Path, of: str) -> None:
    db.sql(*PARTS, f"CREATE PUBLICATION own FOR {of}")
    by_id_and_day(tmp_path, db, "    publication: own\n")
    told = failure(tmp_path)
    assert "publish_via_partition_root" in told
    assert slots(db) == []
    db.sql("ALTER PUBLICATION own SET (publish_via_partition_root = true)")
    run_well(tmp_path)
    db.sql("DELETE FROM t WHERE id = 3")
    run_well(tmp_path)
    assert landed(tmp_path, "id") == server(db, "id")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("FOR TABLE t WITH (publish = 'insert, update')", "leaves out delete, truncate"),
        ("FOR TABLE t WHERE (id > 1)", "leaves out rows that are not (id > 1)"),
        ("FOR TABLE t (id, name)", "leaves out column 'body'"),
    ],
)
def test_a_publication_that_leaves_something_out(db: Database, tmp_path: Path, how: str, told: str) -> None:
    db.sql(T, f"CREATE PUBLICATION own {how}")
    project(tmp_path, db, "    publication: own\n")
    assert told in failure(tmp_path)
    assert slots(db) == []
    db.sql("DROP PUBLICATION own")
    run_well(tmp_path)
    db.sql("DROP PUBLICATION own", f"CREATE PUBLICATION own {how}")
    assert told in failure(tmp_path)


def test_a_table_that_is_given_another_name(db: Database, tmp_path: Path) -> None:
    db.sql(T)
    project(tmp_path, db, "    table: t\n    slot: kept\n", table="t")
    run_well(tmp_path)
    db.sql(
        "INSERT INTO t VALUES (1, 'before', NULL)", "ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (2, 'b', NULL)"
    )
    db.sql(T, "INSERT INTO t VALUES (3, 'another', NULL)")
    told = failure(tmp_path)
    assert "dropped and made again" in told
    file = tmp_path / "sources/db.yaml"
    file.write_text(file.read_text().replace("    table: t\n", "    table: u\n"))
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == [("1", "before"), ("2", "b")]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_rows_with_a_value_in_an_undeclared_column_are_rejects(db: Database, tmp_path: Path, identity: str) -> None:
    db.sql(
        "CREATE TABLE t (id int PRIMARY KEY, name text, extra text)",
        "ALTER TABLE t ALTER extra SET STORAGE EXTERNAL",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
        "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', 'x'), (3, 'c', repeat('x', 9000))",
        "INSERT INTO t VALUES (4, 'd', NULL), (5, 'e', NULL)",
    )
    project(tmp_path, db, "    schema: discard_row\n    columns: {id: int, name: varchar}\n")
    assert run_well(tmp_path)["db.t/load"].rejected == 2
    db.sql(
        "UPDATE t SET name = 'still apart' WHERE id = 3",
        "UPDATE t SET extra = 'now' WHERE id = 4",
        "INSERT INTO t VALUES (6, 'f', NULL), (7, 'g', 'x')",
        "UPDATE t SET extra = NULL WHERE id = 2",
        "UPDATE t SET extra = 'soon gone' WHERE id = 5",
        "DELETE FROM t WHERE id = 5",
    )
    found = run_well(tmp_path)["db.t/load"]
    assert landed(tmp_path, "id", "name") == [("1", "a"), ("2", "b"), ("4", "d"), ("6", "f")]
    assert found.rejected == 4
    reasons = rows(tmp_path, "select distinct rule, reason from quarantine.db__t")
    assert len(reasons) == 1
    assert 'column "extra" is not declared' in reasons[0][1]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_row_that_could_not_land_is_deleted_all_the_same(db: Database, tmp_path: Path, identity: str) -> None:
    db.sql(
        "CREATE TABLE t (id int PRIMARY KEY, price numeric(8,2))",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    )
    project(tmp_path, db, "    reject_if: {dear: price > 100}\n")
    run_well(tmp_path)
    db.sql("UPDATE t SET price = 'NaN' WHERE id = 1", "UPDATE t SET price = 500 WHERE id = 2")
    assert run_well(tmp_path)["db.t/load"].rejected == 2
    assert landed(tmp_path, "id", "price") == [("1", "1.00"), ("2", "2.00"), ("3", "3.00")]
    db.sql("DELETE FROM t WHERE id < 3")
    assert run_well(tmp_path)["db.t/load"].rejected == 0
    assert landed(tmp_path, "id") == [("3",)]


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_a_type_that_no_longer_fits_is_told_and_nothing_lost(db: Database, tmp_path: Path, store: str) -> None:
    db.sql("CREATE TABLE t (id int PRIMARY KEY, amount int)", "INSERT INTO t VALUES (1, 10)")
    project(tmp_path, db, store=store)
    run_well(tmp_path)
    db.sql(
        "INSERT INTO t VALUES (2, 20)",
        "ALTER TABLE t ALTER amount TYPE text USING 'EUR ' || amount",
        "INSERT INTO t VALUES (3, 'EUR 30')",
    )
    first = run(tmp_path)
    errors = [str(result.error) for result in first.values() if result.error]
    assert any("'amount' is" in error and "load the table anew" in error for error in errors), errors
    assert landed(tmp_path, "id", "amount") == [("1", "10")]
    run_well(tmp_path, full=["db.t"])
    db.sql("INSERT INTO t VALUES (4, 'EUR 40')")
    run_well(tmp_path)
    assert landed(tmp_path, "id", "amount") == server(db, "id", "amount")


def test_a_column_of_the_key_that_is_dropped_is_told(db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', NULL)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("ALTER TABLE t DROP id", "ALTER TABLE t ADD nr int PRIMARY KEY DEFAULT 1")
    told = failure(tmp_path)
    assert "'id'" in told
    assert landed(tmp_path, "id") == [("1",)]


def test_a_column_that_is_dropped_and_made_again(db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', 'x')")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql(
        "INSERT INTO t VALUES (2, 'b', 'y')",
        "ALTER TABLE t DROP body",
        "INSERT INTO t VALUES (3, 'c')",
        "ALTER TABLE t ADD body text",
        "INSERT INTO t VALUES (4, 'd', 'z')",
    )
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == server(db, "id", "name")


# -------------------------------------------------------------------------------------------------------------- disk

FULL_DISK = """
import resource, sys
from headwater.api import load
import duckdb, pyarrow, deltalake, psycopg
loaded = load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
run = loaded.run(workers=1)
for result in run.results:
    print(result.step, result.status.value, result.error)
"""


def test_a_disk_that_is_full_while_changes_are_spilled(db: Database, tmp_path: Path) -> None:
    db.sql(T)
    project(tmp_path, db, store="warehouse")
    (tmp_path / "headwater.yaml").write_text("name: cdc\nengine: {memory_limit: 100MB, threads: 1}\n")
    run_well(tmp_path)
    db.sql(
        "INSERT INTO t SELECT n, md5(n::text), md5((n * 7)::text) || repeat(md5(n::text), 40) "
        "FROM generate_series(1, 70000) n"
    )
    arguments = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(2 * 2**20)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "db.t/extract failed" in done.stdout, done.stdout + done.stderr
    assert "Could not write file" in done.stdout
    assert ".headwater/tmp/" in done.stdout
    assert load(tmp_path).query("select count(*) as n from db.t").to_pylist() == [{"n": 0}]
    run_well(tmp_path)
    assert load(tmp_path).query("select count(*) as n from db.t").to_pylist() == [{"n": 70_000}]
