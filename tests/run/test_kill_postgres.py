"""Kill it anywhere, with PostgreSQL as the source: rows are merged by key and the vanished ones deleted."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater.contracts import ReadRequest
from headwater.run import execute, extract
from headwater.sources import postgres_rows
from tests.run.kill import NOW, copy_project, run_child
from tests.run.projects import write
from tests.run.runner import rows, run_well
from tests.run.test_kill import kill_and_compare

if TYPE_CHECKING:
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
    monkeypatch.setattr(execute, "RETRY_PAUSES_S", (0.01, 0.01))
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
