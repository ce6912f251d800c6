"""`load: cdc` of PostgreSQL on a real server, through real runs: the landed table equals the server's, row by row."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater.api import load
from headwater.errors import ConnectorError
from headwater.sources.postgres import cdc as postgres_cdc
from headwater.sources.postgres import cdc_slot as postgres_cdc_slot
from headwater.sources.postgres import rows as postgres_rows
from tests.run.projects import write
from tests.run.runner import run, run_well

from .postgres_database import Database
from .test_postgres_types import EXACT, REJECTED, TEXT, TYPES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres as Server

T = "CREATE TABLE t (id int PRIMARY KEY, name text, body text)"
BIG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n)"


def project(folder: Path, db: Database, options: str = "", store: str = "lakehouse", table: str = "t") -> Path:
    return write(
        folder,
        {
            "headwater.yaml": "name: cdc\n",
            ".env": f"CDC_DSN={db.dsn}\n",
            "sources/db.yaml": (
                f"kind: postgres\nconnection: ${{env:CDC_DSN}}\ntables:\n  {table}:\n    load: cdc\n    key: id\n"
                f"    into: {store}\n{options}"
            ),
        },
    )


def landed(folder: Path, *names: str, table: str = "t") -> list[tuple[Any, ...]]:
    selected = ", ".join(f'"{name}"::varchar' for name in names)
    found = load(folder).query(f"select {selected} from db.{table}").to_pylist()
    return sorted((tuple(row.values()) for row in found), key=repr)


def server(db: Database, *names: str, table: str = "t") -> list[tuple[Any, ...]]:
    selected = ", ".join(f'"{name}"::text' for name in names)
    return sorted(db.sql(f"SELECT {selected} FROM {table}"), key=repr)


def slots(db: Database) -> list[tuple[Any, ...]]:
    return db.sql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")


def drop_slots(db: Database) -> None:
    db.sql(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()",
        "SELECT 1",
    )


@pytest.fixture(autouse=True)
def _no_slot_stays(db: Database):
    yield
    drop_slots(db)


def test_every_operation_lands(db: Database, tmp_path: Path, route: str) -> None:
    db.sql(T, "INSERT INTO t SELECT n, 'n' || n, NULL FROM generate_series(1, 20) n")
    project(tmp_path, db)
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name", "body") == server(db, "id", "name", "body")
    db.sql(
        "INSERT INTO t VALUES (21, 'new', 'ü'), (22, NULL, '')",
        "UPDATE t SET name = 'changed' WHERE id = 3",
        "UPDATE t SET id = 40 WHERE id = 4",
        "DELETE FROM t WHERE id = 5",
        "BEGIN; INSERT INTO t VALUES (50, 'gone', NULL); ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (51, 'x', NULL); SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; COMMIT",
    )
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name", "body") == server(db, "id", "name", "body")
    assert run_well(tmp_path)["db.t/load"].status.value == "unchanged"
    db.sql("TRUNCATE t", "INSERT INTO t VALUES (1, 'after', NULL)")
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name", "body") == [("1", "after", None)]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_values_stored_apart_are_kept(db: Database, tmp_path: Path, identity: str) -> None:
    db.sql(
        T,
        "ALTER TABLE t ALTER body SET STORAGE EXTERNAL",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
        f"INSERT INTO t SELECT n, 'a', n || {BIG} FROM generate_series(1, 4) n",
    )
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql(
        "UPDATE t SET name = 'b' WHERE id = 1",
        "UPDATE t SET id = 20 WHERE id = 2",
        f"INSERT INTO t VALUES (5, 'a', {BIG})",
        "UPDATE t SET name = 'c' WHERE id = 5",
        "UPDATE t SET id = 30 WHERE id = 3",
        "UPDATE t SET id = 31 WHERE id = 30",
    )
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name", "body") == server(db, "id", "name", "body")
    assert all(len(row[2]) > 8192 for row in landed(tmp_path, "id", "name", "body"))


def test_the_table_changes_in_the_middle(db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', 'x')")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql(
        "BEGIN; INSERT INTO t VALUES (2, 'b', 'y'); ALTER TABLE t ADD extra int; "
        "INSERT INTO t VALUES (3, 'c', 'z', 7); COMMIT",
        "ALTER TABLE t ADD amount int",
        "INSERT INTO t VALUES (4, 'd', 'w', 8, 12)",
        "ALTER TABLE t ALTER amount TYPE bigint",
        "INSERT INTO t VALUES (5, 'e', 'v', 9, 3000000000)",
    )
    run_well(tmp_path)
    names = ("id", "name", "body", "extra", "amount")
    assert landed(tmp_path, *names) == server(db, *names)
    db.sql("INSERT INTO t VALUES (6, 'f', 'u', 1, 1)", "ALTER TABLE t DROP body", "INSERT INTO t VALUES (7, 'g', 1, 1)")
    run_well(tmp_path)
    names = ("id", "name", "extra", "amount")
    assert landed(tmp_path, *names) == server(db, *names)


def test_names_that_need_quotes(db: Database, tmp_path: Path) -> None:
    db.sql('CREATE TABLE "Or ""der%" (id int PRIMARY KEY, "select" text, "A b" text)')
    db.sql("INSERT INTO \"Or \"\"der%\" VALUES (1, 's', 'x')")
    project(tmp_path, db, "    table: 'Or \"der%'\n    publication: 'Pub, \"x'\n    slot: my_slot\n")
    run_well(tmp_path)
    db.sql('UPDATE "Or ""der%" SET "select" = \'t\', "A b" = NULL')
    run_well(tmp_path)
    assert landed(tmp_path, "id", "select", "A b") == [("1", "t", None)]
    assert slots(db) == [("my_slot",)]


def test_small_chunks_and_other_tables(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_cdc, "BATCH_ROWS", 3)
    db.sql(T, "CREATE TABLE u (id int PRIMARY KEY)", "CREATE PUBLICATION pair FOR TABLE t, u")
    project(tmp_path, db, "    publication: pair\n  u: {load: cdc, key: id}\n")
    run_well(tmp_path)
    db.sql(
        "BEGIN; INSERT INTO t SELECT n, 'x' FROM generate_series(1, 50) n; INSERT INTO u VALUES (1); "
        "UPDATE t SET id = id + 100 WHERE id < 10; DELETE FROM t WHERE id = 11; COMMIT"
    )
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == server(db, "id", "name")
    assert landed(tmp_path, "id", table="u") == [("1",)]


def test_no_change_is_missed_or_repeated_around_the_snapshot(db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', NULL)")
    project(tmp_path, db)
    fill = postgres_rows.ScannerReader.fill

    def late(*args: Any) -> None:
        db.sql("INSERT INTO t VALUES (2, 'while it was read', NULL)", "DELETE FROM t WHERE id = 1")
        fill(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_rows.ScannerReader, "fill", late)
        run_well(tmp_path)
    assert landed(tmp_path, "id") == [("1",)]
    run_well(tmp_path)
    assert landed(tmp_path, "id") == [("2",)]


def test_from_another_load_to_cdc(db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', NULL)")
    project(tmp_path, db)
    file = tmp_path / "sources/db.yaml"
    text = file.read_text()
    file.write_text(text.replace("load: cdc", "load: full"))
    run_well(tmp_path)
    db.sql("DELETE FROM t WHERE id = 2")
    file.write_text(text)
    run_well(tmp_path)
    assert landed(tmp_path, "id") == [("1",)]


def failure(folder: Path) -> str:
    return str(run(folder)["db.t/extract"].error)


@pytest.mark.parametrize("loss", ["dropped", "moved", "recreated", "unpublished"])
def test_lost_changes_are_an_error_until_the_table_is_read_anew(db: Database, tmp_path: Path, loss: str) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', NULL)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("INSERT INTO t VALUES (2, 'lost', NULL)")
    (slot,) = slots(db)[0]
    if loss == "dropped":
        drop_slots(db)
    elif loss == "moved":
        db.sql(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    elif loss == "recreated":
        db.sql("DROP TABLE t", T)
    else:
        db.sql(f'DROP PUBLICATION "{slot}"')
    error = failure(tmp_path)
    assert "are lost" in error
    assert "--full" in error
    run_well(tmp_path, full=["db.t"])
    db.sql("INSERT INTO t VALUES (3, 'c', NULL)")
    run_well(tmp_path)
    assert landed(tmp_path, "id", "name") == server(db, "id", "name")
    assert len(slots(db)) == 1


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("CREATE TABLE t (id int)", "REPLICA IDENTITY FULL"),
        ("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING", "REPLICA IDENTITY DEFAULT"),
        ("CREATE TABLE t (id int, other int PRIMARY KEY)", "'id' is not in the replica identity"),
        ("CREATE VIEW t AS SELECT 1 AS id", "only a table has a log"),
        ("CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id + 1) VIRTUAL)", "'g' is generated"),
    ],
)
def test_what_cannot_be_followed_says_why(db: Database, tmp_path: Path, prepare: str, said: str) -> None:
    db.sql(prepare)
    assert said in failure(project(tmp_path, db))
    assert slots(db) == []


def test_a_user_that_may_not_replicate(db: Database, tmp_path: Path) -> None:
    role = f"plain_{db.name}"
    db.sql(T, f"CREATE ROLE {role} LOGIN PASSWORD 'x'", f"GRANT SELECT ON t TO {role}")
    try:
        project(tmp_path, db)
        (tmp_path / ".env").write_text(f"CDC_DSN={db.server.dsn(db.name, role, 'x')}\n")
        assert "REPLICATION" in failure(tmp_path)
    finally:
        db.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_an_open_transaction_holds_a_new_slot_back(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_cdc_slot, "BEGIN_LIMIT_S", 1)
    db.sql(T)
    project(tmp_path, db)
    with psycopg.connect(db.dsn) as writer:
        writer.execute("INSERT INTO t VALUES (1, 'open', NULL)")
        assert "transactions that are open" in failure(tmp_path)
        writer.commit()
    run_well(tmp_path)
    assert landed(tmp_path, "id") == [("1",)]


def test_the_lag_is_shown_and_an_idle_table_lets_the_log_go(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.sql(T, "CREATE TABLE noise (a text)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("INSERT INTO noise SELECT repeat('x', 2000) FROM generate_series(1, 20000)")
    confirmed = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
    before = db.sql(confirmed)
    assert any("of log behind" in note for note in load(tmp_path).plan().notes)
    monkeypatch.setattr(postgres_cdc_slot, "_WARN_BYTES", 10**6)
    assert any("warning: slot" in note for note in load(tmp_path).plan().notes)
    assert run_well(tmp_path)["db.t/load"].status.value == "unchanged"
    assert db.sql(confirmed) > before
    at = db.sql(confirmed)
    run_well(tmp_path)
    assert db.sql(confirmed) == at


def test_a_server_that_restarts(postgres: Server, db: Database, tmp_path: Path) -> None:
    db.sql(T, "INSERT INTO t VALUES (1, 'a', NULL)")
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("INSERT INTO t SELECT n, 'b', NULL FROM generate_series(2, 1000) n")
    postgres.stop()
    postgres.resume()
    run_well(tmp_path)
    assert landed(tmp_path, "id") == server(db, "id")


def test_a_server_that_breaks_off_while_it_is_read(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.sql(T)
    project(tmp_path, db)
    run_well(tmp_path)
    db.sql("INSERT INTO t SELECT n, repeat('x', 2000), NULL FROM generate_series(1, 20000) n")
    monkeypatch.setattr(postgres_cdc, "BATCH_ROWS", 1000)
    append = postgres_cdc.ChangeTable.append

    def cut(*args: Any, **more: Any) -> None:
        append(*args, **more)
        with closing(psycopg.connect(db.server.dsn(), autocommit=True)) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'COPY%%'",
                [db.name],
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_cdc.ChangeTable, "append", cut)
        with pytest.raises(ConnectorError, match=r"terminating connection|closed"):
            raise_error(tmp_path)
    run_well(tmp_path)
    assert landed(tmp_path, "id") == server(db, "id")


def raise_error(folder: Path) -> None:
    raise ConnectorError(failure(folder))


def test_a_transaction_larger_than_memory_is_spilled(db: Database, tmp_path: Path) -> None:
    db.sql(T)
    project(tmp_path, db, store="warehouse")
    (tmp_path / "headwater.yaml").write_text("name: cdc\nengine: {memory_limit: 250MB, threads: 1}\n")
    run_well(tmp_path)
    db.sql("INSERT INTO t SELECT n, md5(n::text), repeat(md5(n::text), 30) FROM generate_series(1, 300000) n")
    run_well(tmp_path)
    count = load(tmp_path).query("select count(*) as n, sum(id)::bigint as s from db.t").to_pylist()
    assert count == [{"n": 300_000, "s": 45_000_150_000}]


def test_every_type_lands_from_the_log_as_from_the_snapshot(db: Database, tmp_path: Path, route: str) -> None:
    values = [(kind, list(found)) for kind, (_, found) in EXACT.items()]
    values += [(kind, list(found)) for kind, found in TEXT.items()]
    values += [("inet[]", ["{10.0.0.1,::1,10.0.0.0/8}"]), ("char(4)[]", ["{ab,NULL}"]), ("boolean[][]", ["{{t},{f}}"])]
    columns = ", ".join(f"c{place} {kind}" for place, (kind, _) in enumerate(values))
    db.sql(*TYPES, f"CREATE TABLE t (id int PRIMARY KEY, {columns})")

    def insert(first: int) -> None:
        for number in range(max(len(found) for _, found in values)):
            row = [found[number % len(found)] for _, found in values]
            with psycopg.connect(db.dsn) as session:
                marks = ", ".join(["%s"] * (len(row) + 1))
                session.execute(f"INSERT INTO t VALUES ({marks})".encode(), [str(first + number), *row])

    insert(0)
    project(tmp_path, db, store="warehouse")
    run_well(tmp_path)
    insert(1000)
    run_well(tmp_path)
    names = ", ".join(f"c{place}::varchar" for place in range(len(values)))
    found = [tuple(row.values()) for row in load(tmp_path).query(f"select {names} from db.t order by id").to_pylist()]
    half = len(found) // 2
    assert half > 3
    for place, (kind, _) in enumerate(values):
        assert [row[place] for row in found[:half]] == [row[place] for row in found[half:]], kind


def test_a_value_that_does_not_fit_is_a_reject(db: Database, tmp_path: Path) -> None:
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(REJECTED))
    db.sql(*TYPES, f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    project(tmp_path, db)
    run_well(tmp_path)
    for place, value in enumerate(REJECTED.values()):
        db.sql(f"INSERT INTO t (id, c{place}) VALUES ({place}, '{value}')")
    db.sql("INSERT INTO t (id) VALUES (99)")
    assert run_well(tmp_path)["db.t/load"].rejected == len(REJECTED)
    assert landed(tmp_path, "id") == [("99",)]
