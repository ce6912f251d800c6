"""Kill it anywhere, with PostgreSQL's log as the source; and a long history with five kills equals the server's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater.api import load
from headwater.postgres import PostgresError
from headwater.sources.postgres import cdc as postgres_cdc
from tests.run.kill import NOW, copy_project, run_child
from tests.run.projects import write
from tests.run.test_kill import kill_and_compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

LATER = NOW + timedelta(days=1)
BEFORE = (
    "CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric(8,2))",
    "INSERT INTO orders SELECT n, 'item ' || n % 3, n FROM generate_series(1, 8) n",
)
AFTER = (
    "INSERT INTO orders VALUES (20, 'bad', 'NaN'), (21, 'new', 1.10)",
    "UPDATE orders SET item = 'changed' WHERE id = 2",
    "UPDATE orders SET id = 40 WHERE id = 4",
    "DELETE FROM orders WHERE id = 3",
)


@pytest.fixture
def database(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """A database of its own, without slots in the end."""
    name = f"cdc_{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
            yield session
            session.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE database = current_database()"
            )
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def project(folder: Path, postgres: Postgres, session: psycopg.Connection[Any], store: str = "lakehouse") -> Path:
    return write(
        folder,
        {
            "headwater.yaml": "name: kills\n",
            ".env": f"KILL_DSN={postgres.dsn(session.info.dbname)}\n",
            "sources/db.yaml": (
                "kind: postgres\nconnection: ${env:KILL_DSN}\ntables:\n  orders:\n    load: cdc\n"
                f"    key: id\n    slot: {session.info.dbname}\n    into: {store}\n"
            ),
        },
    )


def put_back(session: psycopg.Connection[Any]) -> Callable[[], None]:
    """Remember the slot as it is; the returned function makes a copy of that state the slot again."""
    slot = session.info.dbname
    session.execute(f"SELECT pg_copy_logical_replication_slot('{slot}', 'kept_{slot}')".encode())

    def again() -> None:
        session.execute(f"SELECT pg_drop_replication_slot('{slot}')".encode())
        session.execute(f"SELECT pg_copy_logical_replication_slot('kept_{slot}', '{slot}')".encode())

    return again


@pytest.mark.parametrize("store", ["lakehouse", pytest.param("warehouse", marks=pytest.mark.kill)])
def test_killed_at_every_boundary(
    postgres: Postgres, database: psycopg.Connection[Any], store: str, tmp_path: Path
) -> None:
    fresh = project(tmp_path / "fresh", postgres, database, store)
    for statement in BEFORE:
        database.execute(statement.encode())
    whole = copy_project(fresh, tmp_path / "whole")
    first = run_child(whole)
    assert first.code == 0
    for at in range(1, first.events + 1):
        kill_and_compare(fresh, tmp_path / "work", at, NOW, first.tables)
    whole = copy_project(fresh, tmp_path / "whole")
    assert run_child(whole).code == 0
    again = put_back(database)
    changed = copy_project(whole, tmp_path / "changed")
    for statement in AFTER:
        database.execute(statement.encode())
    second = run_child(whole, now=LATER)
    assert second.code == 0
    assert len(second.tables["db.orders"]) == 1 + 8
    assert len(second.tables["rejects of db.orders"]) == 1 + 1
    for at in range(1, second.events + 1):
        again()
        kill_and_compare(changed, tmp_path / "work", at, LATER, second.tables)


def follow(postgres: Postgres, session: psycopg.Connection[Any], folder: Path, inserts: int) -> None:
    """Inserts, updates of a fifth, deletes of a twentieth, an ALTER; a kill in each of five loads."""
    session.execute("CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric(12,2), at timestamptz)")
    project(folder, postgres, session)
    assert run_child(folder).code == 0
    fifth = inserts // 5
    for part in range(5):
        low, high = part * fifth + 1, (part + 1) * fifth
        session.execute(
            "INSERT INTO orders (id, item, price, at) SELECT n, 'item ' || n, n / 7.0, "
            f"'2026-01-01'::timestamptz + n * interval '1 s' FROM generate_series({low}, {high}) n".encode()
        )
        if part == 2:
            session.execute("ALTER TABLE orders ADD note text")
        session.execute(f"UPDATE orders SET item = 'u{part}' WHERE id BETWEEN {low} AND {high} AND id % 5 = 0".encode())
        session.execute(f"DELETE FROM orders WHERE id BETWEEN {low} AND {high} AND id % 20 = 1".encode())
        if part > 2:
            session.execute(f"UPDATE orders SET note = 'n' || id WHERE id BETWEEN {low} AND {low + 99}".encode())
        killed = run_child(folder, at=3 + 2 * part, now=LATER)
        assert killed.code == -9
    assert run_child(folder, now=LATER).code == 0
    names = ("id", "item", "price", "at", "note")
    shown = ", ".join(f'"{name}"::varchar' for name in names)
    found = [tuple(row.values()) for row in load(folder).query(f"select {shown} from db.orders").to_pylist()]
    wanted = session.execute(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM orders".encode()).fetchall()
    assert len(found) == inserts - inserts // 20
    assert set(found) == set(wanted)
    assert len(found) == len(wanted)


def test_a_history_with_five_kills_equals_the_server(
    postgres: Postgres, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    database.execute("SET TimeZone = 'UTC'")
    follow(postgres, database, tmp_path, 20_000)


@pytest.mark.kill
@pytest.mark.timeout(1200)
def test_a_long_history_with_five_kills_equals_the_server(
    postgres: Postgres, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    database.execute("SET TimeZone = 'UTC'")
    follow(postgres, database, tmp_path, 200_000)


def test_a_read_of_many_chunks_goes_on_after_those_that_are_staged(
    postgres: Postgres, database: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in BEFORE:
        database.execute(statement.encode())
    folder = project(tmp_path, postgres, database)
    load(folder).run()
    read = postgres_cdc._LogRead.__init__

    def small(self: Any, source: Any, request: Any, manifest: Any) -> None:
        manifest["chunk_rows"] = 3
        read(self, source, request, manifest)

    monkeypatch.setattr(postgres_cdc._LogRead, "__init__", small)
    for statement in AFTER:
        database.execute(statement.encode())
    database.execute("UPDATE orders SET item = item || ' later'")

    append = postgres_cdc.ChangeTable.append
    chunks: list[str] = []

    def stop(self: Any, into: str, *args: Any, **more: Any) -> None:
        chunks.append(into)
        if into.endswith("_3"):
            raise PostgresError("stopped")
        append(self, into, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_cdc.ChangeTable, "append", stop)
        assert load(folder).run().status != "done"
    database.execute("DELETE FROM orders WHERE id = 8")
    with pytest.MonkeyPatch.context() as patch:
        chunks.clear()
        patch.setattr(
            postgres_cdc.ChangeTable, "append", lambda *args, **more: chunks.append(args[1]) or append(*args, **more)
        )
        assert load(folder).run().status == "done"
    assert min(int(name.rpartition("_")[2]) for name in chunks) == 2, "the first two chunks were staged"
    first = load(folder).query("select id, item from db.orders order by id").to_pylist()
    assert [row["id"] for row in first] == [1, 2, 5, 6, 7, 8, 21, 40]
    assert load(folder).run().status == "done"
    found = [(row["id"], row["item"]) for row in load(folder).query("from db.orders order by id").to_pylist()]
    assert found == database.execute("SELECT id, item FROM orders WHERE id <> 20 ORDER BY id").fetchall()
