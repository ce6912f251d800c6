"""Changes of PostgreSQL landed per second, end to end: 200 k inserts, 40 k updates, 10 k deletes into the lakehouse."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from models import timed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CHANGES = 250_000
TABLE = "CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric(12,2), at timestamptz, paid boolean)"
STATEMENTS = (
    "INSERT INTO orders SELECT n, 'item ' || n, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 s', n % 2 = 0 "
    "FROM generate_series(1, 200000) n",
    "UPDATE orders SET item = 'changed' WHERE id % 5 = 0",
    "DELETE FROM orders WHERE id % 20 = 1",
)


def measure_cdc(folder: Path, rounds: int = 3) -> dict[str, float]:
    """Return medians: changes per second of the whole process, its seconds, and its memory."""
    import psycopg
    from tests.services.postgres import Postgres

    figures: dict[str, list[float]] = {"changes_per_s": [], "run_s": [], "memory_mb": []}
    with Postgres.start() as server:
        for number in range(rounds):
            project = folder / f"cdc{number}"
            with psycopg.connect(server.dsn(), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE bench{number}".encode())
            with psycopg.connect(server.dsn(f"bench{number}"), autocommit=True) as session:
                session.execute(TABLE)
                _write_project(project, server.dsn(f"bench{number}"))
                timed([sys.executable, "-m", "headwater", "-p", str(project), "run"])
                for statement in STATEMENTS:
                    session.execute(statement.encode())
                seconds, memory = timed([sys.executable, "-m", "headwater", "-p", str(project), "run"])
            for key, value in zip(figures, (CHANGES / seconds, seconds, memory), strict=True):
                figures[key].append(value)
    return {key: statistics.median(values) for key, values in figures.items()}


def _write_project(folder: Path, dsn: str) -> None:
    (folder / "sources").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: bench_cdc\n")
    (folder / ".env").write_text(f"BENCH_DSN={dsn}\n")
    (folder / "sources" / "db.yaml").write_text(
        "kind: postgres\nconnection: ${env:BENCH_DSN}\ntables:\n  orders: {load: cdc, key: id}\n"
    )
