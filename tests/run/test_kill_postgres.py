"""Kill it anywhere, with PostgreSQL as the source: rows are merged by key and the vanished ones deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.run.kill import NOW, copy_project, run_child
from tests.run.projects import write
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


@pytest.mark.parametrize("store", ["lakehouse"])
def test_killed_at_every_boundary_of_the_second_run(postgres: Postgres, store: str, tmp_path: Path) -> None:
    name = f"kill_{store}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    project = write(
        tmp_path / "whole",
        {
            "headwater.yaml": "name: kills\n",
            ".env": f"KILL_DSN={postgres.dsn(name)}\n",
            "sources/db.yaml": (
                "kind: postgres\nconnection: ${env:KILL_DSN}\ntables:\n  orders:\n    load: incremental\n"
                "    cursor: at\n    key: id\n    deletes: compare_keys\n    max_deleted: 100%\n"
                f"    into: {store}\n"
            ),
        },
    )
    with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
        for statement in BEFORE:
            session.execute(statement.encode())
        first = run_child(project)
        assert first.code == 0
        changed = copy_project(project, tmp_path / "changed")
        for statement in AFTER:
            session.execute(statement.encode())
    second = run_child(project, now=LATER)
    assert second.code == 0
    assert len(second.tables["db.orders"]) == 1 + 8
    assert len(second.tables["rejects of db.orders"]) == 1 + 1
    for at in range(1, second.events + 1):
        kill_and_compare(changed, tmp_path / "work", at, LATER, second.tables)
