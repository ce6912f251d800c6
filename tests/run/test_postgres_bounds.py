"""Bounds of PostgreSQL's tables in whole runs: our own parallel reads hold nothing back, others do and are named."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner

from headwater.api import load
from headwater.cli import group
from headwater.postgres import Server
from tests.run.projects import write
from tests.run.runner import run_well
from tests.sources.postgres_database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

TABLES = {
    "days": ("date", "current_date - n % 30"),
    "visits": ("date", "(now() AT TIME ZONE 'Asia/Tokyo')::date - n % 9"),
    "clicks": ("timestamp", "localtimestamp - n * interval '1 s'"),
    "events": ("timestamptz", "clock_timestamp() - n * interval '1 ms'"),
    "orders": ("timestamptz", "clock_timestamp()"),
    "counts": ("bigint", "n"),
}
"""Per table the type of its cursor, and the cursor of row n: up to this very moment."""

ROWS = 300


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    found = Database(postgres)
    yield found
    found.drop()


def project(folder: Path, database: Database) -> Path:
    tables = "".join(f"  {name}: {{load: incremental, cursor: at, into: lakehouse}}\n" for name in TABLES)
    return write(
        folder,
        {
            "headwater.yaml": "name: bounds\n",
            "sources/db.yaml": f"kind: postgres\nconnection: {database.dsn}\ntables:\n{tables}",
        },
    )


@pytest.mark.timeout(600)
def test_fifty_fresh_runs_have_every_row_of_every_table(database: Database, tmp_path: Path) -> None:
    for name, (kind, value) in TABLES.items():
        database.sql(f"CREATE TABLE {name} (n int, at {kind})")
        database.sql(f"INSERT INTO {name} SELECT n, {value} FROM generate_series(1, {ROWS}) n")
    for number in range(50):
        run = load(project(tmp_path / str(number), database)).run(workers=4)
        extracts = {result.step: result for result in run.results if result.step.endswith("/extract")}
        found = {name: extracts[f"db.{name}/extract"].rows_inserted for name in TABLES}
        notes = [note for result in extracts.values() for note in result.notes]
        assert found == dict.fromkeys(TABLES, ROWS), f"run {number}: {notes}"
        assert not notes


@pytest.mark.parametrize("name", ["headwater", "headwater r000000000000"])
def test_whoever_else_is_called_like_us_holds_back_and_is_named(database: Database, tmp_path: Path, name: str) -> None:
    """A name proves nothing: only sessions that this process has opened for reading are left out."""
    database.sql("CREATE TABLE t (n int, at timestamptz)", "INSERT INTO t VALUES (1, now())")
    folder = write(
        tmp_path,
        {
            "headwater.yaml": "name: bounds\n",
            "sources/db.yaml": f"kind: postgres\nconnection: {database.dsn}\ntables:\n"
            "  t: {load: incremental, cursor: at, into: lakehouse}\n",
        },
    )
    with psycopg.connect(database.dsn, application_name=name) as other:
        other.execute("SELECT 'a secret'")
        database.sql("INSERT INTO t VALUES (2, clock_timestamp())")
        results = run_well(folder)
        (note,) = results["db.t/extract"].notes
        assert f"pid {other.info.backend_pid} ({name}, user postgres, idle in transaction" in note
        assert "secret" not in note
        shown = CliRunner().invoke(group, ["-p", str(folder), "status"])
        assert note in shown.output
        other.execute("INSERT INTO t VALUES (3, now())")
    assert load(folder).query("select n from db.t").to_pylist() == [{"n": 1}]
    results = run_well(folder)
    assert results["db.t/extract"].notes == ()
    assert sorted(row["n"] for row in load(folder).query("select n from db.t").to_pylist()) == [1, 2, 3]
    assert "pid" not in CliRunner().invoke(group, ["-p", str(folder), "status"]).output


def test_a_plan_names_who_has_been_there_for_long(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql(*(f"CREATE TABLE {name} (n int, at {kind})" for name, (kind, _) in TABLES.items()))
    folder = project(tmp_path, database)
    with psycopg.connect(database.dsn, application_name="report") as other:
        other.execute("SELECT 1")
        assert not [note for note in load(folder).plan().notes if "report" in note]
        monkeypatch.setattr("headwater.sources.postgres.source.NAMED_AFTER", timedelta(0))
        notes = [note for note in load(folder).plan().notes if "report, user postgres" in note]
    assert [note.partition(":")[0] for note in notes] == [f"db.{name}" for name in TABLES]


def test_a_session_that_reads_cannot_write(database: Database) -> None:
    """What is left out of the bound is read only whatever it runs; the server sees to it."""
    database.sql("CREATE TABLE t (n int)")
    with Server(database.dsn).connect() as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("INSERT INTO t VALUES (1)")
    public, _ = Server(database.dsn).split_secrets()
    assert "default_transaction_read_only=on" in public
