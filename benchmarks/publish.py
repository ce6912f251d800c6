"""Tables published to PostgreSQL beside a bare ingest by ADBC, with a server that is real.

Both read one table of DuckDB; what is timed is the way from there to the commit, without imports.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from peers import SkippedPeerError, environment

ROOT = Path(__file__).resolve().parent.parent

TABLE = """
SELECT n AS id, date '2020-01-01' + (n % 2000)::integer AS day, timestamp '2020-01-01' + to_seconds(n) AS ts,
  ['EUR', 'USD', 'CHF'][1 + n % 3] AS currency, (n * 1.37 % 100000)::decimal(18,2) AS amount, (n * 0.123)::double AS x,
  'customer ' || (n % 50000) AS customer, (n % 100)::integer AS qty, {version} AS version FROM range({rows}) t(n)
"""

BARE = """
import sys, time, duckdb
import adbc_driver_postgresql.dbapi as adbc
dsn, file = sys.argv[1:]
table = duckdb.connect(file, read_only=True)
began = time.perf_counter()
with adbc.connect(dsn) as connection:
    with connection.cursor() as cursor:
        cursor.adbc_ingest("bare", table.sql("SELECT * FROM marts.t").to_arrow_reader(100_000), mode="replace")
    connection.commit()
print(time.perf_counter() - began)
"""


def measure_publish(folder: Path, rows: int = 1_000_000, rounds: int = 5) -> dict[str, float | str]:
    """Return seconds of a first and of a later publish of nine columns, and of a bare ingest; medians of ratios."""
    sys.path.insert(0, str(ROOT))
    import duckdb
    from tests.consumption.publishing import Publishing
    from tests.services.postgres import Postgres, ServerUnavailableError

    folder.mkdir(parents=True, exist_ok=True)
    script, file = folder / "bare.py", folder / "rows.duckdb"
    script.write_text(BARE)
    times: dict[str, list[float]] = {"bare_s": [], "first_s": [], "later_s": []}
    try:
        python = str(environment("adbc") / "python")
        with Postgres.start() as server:
            for version in range(rounds):
                file.unlink(missing_ok=True)
                with duckdb.connect(str(file)) as table:
                    table.execute("SET TimeZone = 'UTC'; CREATE SCHEMA marts")
                    table.execute(f"CREATE TABLE marts.t AS {TABLE.format(version=version, rows=rows)}")
                done = subprocess.run([python, script, server.dsn(), file], capture_output=True, text=True, check=True)
                times["bare_s"].append(float(done.stdout))
                with duckdb.connect(str(file), read_only=True) as table:
                    publishing = Publishing(server.dsn(), {"t": {"from": "marts.t"}}, duck=table)
                    publishing.ask("DROP TABLE IF EXISTS gold.t")
                    for word in ("first_s", "later_s"):
                        began = time.perf_counter()
                        publishing.publish()
                        times[word].append(time.perf_counter() - began)
    except (ServerUnavailableError, SkippedPeerError) as reason:
        return {"skipped": str(reason)}
    found: dict[str, float | str] = {name: statistics.median(measured) for name, measured in times.items()}
    for word in ("first", "later"):
        pairs = zip(times[f"{word}_s"], times["bare_s"], strict=True)
        found[f"{word}_ratio"] = statistics.median(ours / theirs for ours, theirs in pairs)
    return found


if __name__ == "__main__":
    print(measure_publish(Path(sys.argv[1])))
