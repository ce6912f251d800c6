"""Kill it anywhere, with PostgreSQL as the source: rows are merged by key and the vanished ones deleted."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater.contracts import ReadRequest
from headwater.run.steps import extract
from headwater.sources.postgres import rows as postgres_rows
from tests.run.kill import NOW, Source, copy_project, kill_at_random, run_child
from tests.run.kill import run_well as run_whole
from tests.run.projects import write
from tests.run.runner import rows, run_well
from tests.run.test_kill import kill_and_compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

LATER = NOW + timedelta(days=1)

BEFORE = (
    "CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric(8,2), at timestamptz)",
    "INSERT INTO orders SELECT n, 'item ' || n % 3, n, '2026-01-01'::timestamptz + n * interval '1 s' "
    "FROM generate_series(1, 8) n",
)
AFTER = (
    "INSERT INTO orders SELECT 20, 'tie', 'NaN', max(at) FROM orders",
    "INSERT INTO orders VALUES (21, 'new', 1.10, '2026-01-02')",
    "UPDATE orders SET item = 'changed', at = '2026-01-03' WHERE id = 2",
    "DELETE FROM orders WHERE id = 3",
)


def project(folder: Path, dsn: str, store: str) -> Path:
    return write(
        folder,
        {
            "headwater.yaml": "name: kills\n",
            ".env": f"KILL_DSN={dsn}\n",
            "sources/db.yaml": (
                "kind: postgres\nconnection: ${env:KILL_DSN}\ntables:\n  orders:\n    load: incremental\n"
                "    cursor: at\n    key: id\n    deletes: compare_keys\n    max_deleted: 100%\n"
                f"    into: {store}\n"
            ),
        },
    )


@pytest.mark.parametrize("store", ["lakehouse"])
def test_killed_at_every_boundary_of_the_second_run(postgres: Postgres, store: str, tmp_path: Path) -> None:
    name = f"kill_{store}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    whole = project(tmp_path / "whole", postgres.dsn(name), store)
    with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
        for statement in BEFORE:
            session.execute(statement.encode())
        first = run_child(whole)
        assert first.code == 0
        changed = copy_project(whole, tmp_path / "changed")
        for statement in AFTER:
            session.execute(statement.encode())
    second = run_child(whole, now=LATER)
    assert second.code == 0
    assert len(second.tables["db.orders"]) == 1 + 8
    assert len(second.tables["rejects of db.orders"]) == 1 + 1
    for at in range(1, second.events + 1):
        kill_and_compare(changed, tmp_path / "work", at, LATER, second.tables)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("route", ["scanner", "copy"])
def test_a_server_that_restarts_between_two_chunks(
    postgres: Postgres, tmp_path: Path, how: signal.Signals, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read begins again by itself, and goes on after what is staged."""
    if route == "copy":
        monkeypatch.setattr(postgres_rows, "find_scanner", lambda: (None, "slow"))
    monkeypatch.setattr(extract, "RETRY_PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(extract, "ReadRequest", partial(ReadRequest, chunk_rows=3))
    name = f"restart_{how.value}_{route}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
        for statement in BEFORE:
            session.execute(statement.encode())
    project(tmp_path, postgres.dsn(name), "lakehouse")
    chunks: list[str] = []
    staged, restarted = threading.Event(), threading.Event()

    def listen(event: Any) -> None:
        if event.name == "chunk_read":
            chunks.append(event.data["chunk"])
        if event.name == "staged" and not staged.is_set():
            staged.set()
            assert restarted.wait(60)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_well, tmp_path, listeners=[listen])
        assert staged.wait(60)
        postgres.stop(how)
        postgres.resume()
        restarted.set()
        running.result()
    assert chunks[0] not in chunks[1:], "what is staged is not read again"
    assert rows(tmp_path, "select id from db.orders") == [(n,) for n in range(1, 9)]


# ---------------------------------------------------------------------------------------------------------- under load

CURSORS = {
    "days": ("date", "current_date", "id"),
    "clicks": ("timestamp", "localtimestamp", "id"),
    "events": ("timestamptz", "now()", ""),
    "orders": ("timestamptz", "clock_timestamp()", "id"),
    "counts": ("bigint", "currval('numbers')", ""),
}
"""Per table the type of its cursor, what a writer puts there, and its key."""


class Load:
    """Sessions that insert all the time, each row in a transaction that is open for a moment before and after."""

    def __init__(self, dsn: str, writers: int = 4) -> None:
        self._dsn = dsn
        self._quiet, self._ended = threading.Event(), threading.Event()
        self._busy = threading.Semaphore(writers)
        self._writers = writers
        self._threads = [threading.Thread(target=self._insert, args=(random.Random(n),)) for n in range(writers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until nobody writes, and let them go on afterwards."""
        self._quiet.set()
        for _ in range(self._writers):
            self._busy.acquire()
        yield
        self._quiet.clear()
        self._busy.release(self._writers)

    def _insert(self, chance: random.Random) -> None:
        with psycopg.connect(self._dsn) as session:
            while not self._ended.wait(chance.uniform(0.1, 0.5)):
                if self._quiet.is_set():
                    continue
                with self._busy, session.transaction():
                    time.sleep(chance.uniform(0, 0.02))
                    for name in chance.sample(list(CURSORS), 2):
                        value = CURSORS[name][1]
                        session.execute(
                            f"INSERT INTO {name} SELECT nextval('numbers'), {value} FROM generate_series(1, 3)".encode()
                        )
                    time.sleep(chance.uniform(0, 0.02))


@pytest.mark.kill
@pytest.mark.timeout(3600)
def test_killed_while_others_insert_all_the_time(postgres: Postgres, tmp_path: Path) -> None:
    """In the end every row is there once, whatever was open when a run began and wherever it was killed."""
    name = "kill_under_load"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
        session.execute("CREATE SEQUENCE numbers")
        for table, (kind, _, _) in CURSORS.items():
            session.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, at {kind})".encode())
        tables = "".join(
            f"  {table}: {{load: incremental, cursor: at, into: lakehouse{f', key: {key}' if key else ''}}}\n"
            for table, (_, _, key) in CURSORS.items()
        )
        fresh = write(
            tmp_path / "fresh",
            {
                "headwater.yaml": "name: kills\n",
                ".env": f"KILL_DSN={postgres.dsn(name)}\n",
                "sources/db.yaml": f"kind: postgres\nconnection: ${{env:KILL_DSN}}\ntables:\n{tables}",
            },
        )
        with Load(postgres.dsn(name)) as load:

            def check(_: dict[str, list[Any]]) -> None:
                with load.paused():
                    found = run_whole(source).tables
                    for table in CURSORS:
                        names, *landed = found[f"db.{table}"]
                        ids = sorted(int(row[names.index("id")]) for row in landed)
                        wanted = session.execute(f"SELECT id FROM {table} ORDER BY id".encode()).fetchall()
                        assert ids == [number for (number,) in wanted], table

            settings = {
                "headwater.run.steps.extract.ReadRequest": partial(ReadRequest, chunk_rows=200),
                "headwater.run.steps.extract.RETRY_PAUSES_S": (0.05, 0.1),
                "headwater.sources.postgres.bounds.WRITERS_WAIT_S": 0.2,
            }
            source = Source(tmp_path / "work", fresh, lambda: None, check, settings)
            assert kill_at_random(source, random.Random("load"), kills=50) >= 50
