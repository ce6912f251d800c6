"""PostgreSQL, an API and a log beside bare DuckDB scripts and dlt; servers are real and in processes of their own."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models import timed
from peers import SkippedPeerError, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
REST_PAGES, REST_ROWS, REST_LATENCY_S = 100, 1000, 0.03

MIXED = """
CREATE TABLE mixed AS SELECT n AS id, (n * 7919 % 100000)::int AS customer, (n % 1000000)::numeric(12,2) / 7 AS amount,
  'name ' || n % 5000 AS name, (ARRAY['Berlin','Paris','Praha','Oslo'])[n % 4 + 1] AS city,
  timestamptz '2024-01-01' + n * interval '1 second' AS at, date '2024-01-01' + (n % 365)::int AS day,
  n % 3 = 0 AS paid, sqrt(n) AS score, 'a note about order ' || n AS note
FROM generate_series(1, {rows}::bigint) AS n;
ALTER TABLE mixed ALTER amount TYPE numeric(12,2), ADD PRIMARY KEY (id);
"""

BARE_POSTGRES = """
import importlib.util, pathlib, sys, duckdb
dsn, target, kind = sys.argv[1:]
folder = pathlib.Path(importlib.util.find_spec("duckdb_extension_postgres_scanner").origin).parent / "extensions"
connection = duckdb.connect(target if kind == "warehouse" else ":memory:")
connection.execute(f"LOAD '{folder / f'v{duckdb.__version__}' / 'postgres_scanner.duckdb_extension'}'")
connection.execute(f"ATTACH '{dsn}' AS pg (TYPE postgres, READ_ONLY)")
if kind == "warehouse":
    connection.execute("CREATE TABLE mixed AS SELECT * FROM pg.public.mixed")
else:
    from deltalake import write_deltalake
    write_deltalake(target, connection.sql("SELECT * FROM pg.public.mixed").to_arrow_reader(100_000))
connection.close()
"""

DLT_POSTGRES = """
import sys, dlt
from dlt.sources.sql_database import sql_table
dsn, target = sys.argv[1:]
rows = sql_table(credentials=dsn, table="mixed", backend="connectorx", reflection_level="full_with_precision")
pipeline = dlt.pipeline("bench_pg", destination=dlt.destinations.duckdb(target), pipelines_dir=target + ".dlt")
pipeline.run(rows, write_disposition="replace").raise_on_failed_jobs()
"""

DLT_REST = """
import sys, dlt
from dlt.sources.rest_api import rest_api_source
url, target = sys.argv[1:]
pages = {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": "pages"}
source = rest_api_source({"client": {"base_url": url}, "resources": [
    {"name": "rows", "endpoint": {"path": "rows", "data_selector": "data", "paginator": pages}}]})
pipeline = dlt.pipeline("bench_rest", destination=dlt.destinations.duckdb(target), pipelines_dir=target + ".dlt")
pipeline.run(source, write_disposition="replace").raise_on_failed_jobs()
"""

SERVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.services.http import Reply, serve
pages, rows, latency_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
def page(number):
    data = [{"id": n, "name": f"row {n}", "amount": n / 7, "at": "2024-01-01T00:00:00Z", "tags": ["a", str(n % 9)]}
            for n in range(number * rows, (number + 1) * rows)]
    return json.dumps({"data": data, "pages": pages}).encode()
bodies = [page(number) for number in range(pages)]
with serve() as server:
    server.routes["/rows"] = (lambda asked: Reply(bodies[int(asked.value("page", "1")) - 1], wait_s=latency_s))
    print(server.url, flush=True)
    sys.stdin.read()
"""

BARE_LOG = r"""
import sys, duckdb
connection = duckdb.connect()
pattern = r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"$'
names = ["host", "ident", "user", "at", "request", "status", "size", "referer", "agent"]
connection.execute(f"COPY (SELECT part.host, part.ident, part.user, strptime(part.at, '%d/%b/%Y:%H:%M:%S %z') AS at, "
    f"part.request, part.status::int AS status, try_cast(part.size AS bigint) AS size, part.referer, "
    f"part.agent FROM (SELECT regexp_extract(line, '{pattern}', {names}) AS part FROM read_csv('{sys.argv[1]}', "
    f"columns={{'line': 'VARCHAR'}}, delim='', quote='', escape='', header=false, auto_detect=false))) "
    f"TO '{sys.argv[2]}' (FORMAT parquet)")
"""


def write_project(folder: Path, source: str) -> list[str]:
    """Write a project of one source; return the command that runs it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sources").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: bench_connectors\n")
    (folder / "sources" / "bench.yaml").write_text(source)
    return [sys.executable, "-m", "headwater", "-p", str(folder), "run"]


def _script(folder: Path, name: str, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def _dlt(folder: Path, script: str, place: str) -> tuple[list[str] | None, str]:
    """Return the command of a dlt script, or None and why there is none."""
    try:
        python = environment("dlt") / "python"
    except SkippedPeerError as skipped:
        return None, str(skipped)
    return [str(python), _script(folder, "by_dlt.py", script), place, str(folder / "dlt.duckdb")], ""


def _compare(folder: Path, commands: dict[str, list[str]], rounds: int) -> dict[str, float]:
    """Run competitors in turn, each on nothing; return medians of seconds, peak memory and ratios to Headwater's."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            for old in (*folder.glob("dlt.duckdb*"), *folder.glob("bare.*[!y]"), folder / "ours" / "data"):
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
            shutil.rmtree(folder / "ours" / ".headwater", ignore_errors=True)
            times[name].append(timed(command))
    found = {f"{name}_s": statistics.median(one[0] for one in measured) for name, measured in times.items()}
    found |= {f"{name}_mb": statistics.median(one[1] for one in measured) for name, measured in times.items()}
    for name in commands:
        pairs = zip(times[name], times["headwater"], strict=True)
        found[f"{name}_ratio"] = statistics.median(theirs[0] / ours[0] for theirs, ours in pairs)
    return found


def measure_postgres(folder: Path, kind: str, rows: int = 1_000_000, rounds: int = 3) -> dict[str, float | str]:
    """Return seconds and memory of a full load of 10 mixed columns, bare DuckDB and dlt (connectorx) beside it."""
    sys.path.insert(0, str(ROOT))
    import psycopg  # after the path
    from tests.services.postgres import Postgres, ServerUnavailableError

    try:
        with Postgres.start() as server:
            dsn = server.dsn()
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(MIXED.format(rows=rows))
                connection.execute("VACUUM ANALYZE mixed")
            source = f'kind: postgres\nconnection: "{dsn}"\ntables:\n  mixed: {{into: {kind}}}\n'
            bare = [sys.executable, _script(folder, "bare.py", BARE_POSTGRES), dsn, str(folder / "bare.out"), kind]
            commands = {"bare": bare, "headwater": write_project(folder / "ours", source)}
            by_dlt, reason = _dlt(folder, DLT_POSTGRES, dsn)
            if by_dlt:
                commands["dlt"] = by_dlt
            found: dict[str, float | str] = {**_compare(folder, commands, rounds)}
            return found | ({"dlt": reason} if reason else {})
    except ServerUnavailableError as reason:
        return {"skipped": str(reason)}


@contextmanager
def _api() -> Iterator[str]:
    """Start the API in a process of its own; give its address."""
    words = [str(ROOT), str(REST_PAGES), str(REST_ROWS), str(REST_LATENCY_S)]
    command = [sys.executable, "-c", SERVER, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def measure_rest(folder: Path, rounds: int = 3) -> dict[str, float | str]:
    """Return seconds and rows a second of 100 pages of 1,000 rows at 30 ms, dlt's rest_api beside it."""
    with _api() as url:
        source = (
            f"kind: rest\nconnection: {url}\ntables:\n  rows:\n    path: /rows\n    records: $.data\n    in_flight: 8\n"
            "    paginate: {kind: page, as: page, start: 1, total_pages: $.pages}\n    into: warehouse\n"
            "    columns: {id: bigint, name: varchar, amount: double, at: timestamptz, tags: json}\n"
        )
        commands = {"headwater": write_project(folder / "ours", source)}
        by_dlt, reason = _dlt(folder, DLT_REST, url)
        if by_dlt:
            commands["dlt"] = by_dlt
        found: dict[str, float | str] = {**_compare(folder, commands, rounds)}
    for name in commands:
        found[f"{name}_rows_s"] = REST_PAGES * REST_ROWS / float(found[f"{name}_s"])
    return found | ({"dlt": reason} if reason else {})


def measure_logs(folder: Path, lines: int = 1_000_000, rounds: int = 3) -> dict[str, float]:
    """Return seconds and lines a second of a packed access log, bare DuckDB with the same pattern beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "access.log.gz"
    with gzip.open(file, "wt", compresslevel=3, encoding="utf-8") as out:
        for n in range(lines):
            out.write(
                f"10.0.{n % 200}.{n % 250} - - [{n % 28 + 1:02d}/Jan/2024:{n % 24:02d}:{n % 60:02d}:00 +0000] "
                f'"GET /page/{n % 5000} HTTP/1.1" {200 if n % 50 else 404} {n % 90000} "-" "Mozilla/5.0 ({n % 100})"\n'
            )
    source = f"kind: logs\ntables:\n  access: {{path: {file}, format: combined}}\n"
    bare = [sys.executable, _script(folder, "bare.py", BARE_LOG), str(file), str(folder / "bare.parquet")]
    found = _compare(folder, {"bare": bare, "headwater": write_project(folder / "ours", source)}, rounds)
    return found | {"headwater_lines_s": lines / found["headwater_s"]}


if __name__ == "__main__":
    measure = {"rest": measure_rest, "logs": measure_logs}
    for wanted in sys.argv[2:]:
        place = Path(sys.argv[1], wanted)
        result = measure[wanted](place, rounds=1) if wanted in measure else measure_postgres(place, wanted, rounds=1)
        print(wanted, json.dumps(result), f"load {os.getloadavg()[0]:.1f}", flush=True)
