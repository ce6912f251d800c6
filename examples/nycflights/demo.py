"""The main job on real data: generate, run, run again, change one line and one plane, run a third time, draw.

Every expectation is checked; the script exits 1 and says what differs when one does not hold.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from generate import KINDS, generate

HERE = Path(__file__).resolve().parent
RAW = HERE / "data" / "raw"
BELOW = {
    "faa.flights/extract", "faa.flights/load", "reference.planes/extract", "reference.planes/load",
    "staging.flights/transform", "staging.planes/transform", "marts.daily_delays/transform",
    "marts.punctuality/transform", "marts.fleet/transform", "marts.routes/transform",
}  # fmt: skip
"""The nodes below one flight and one plane."""

RULE_OF_KIND = {kind: kind for kind in KINDS} | {"date": "cast:time_hour", "integer": "cast:distance"}

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


def query(sql: str) -> list[list[str]]:
    """Return the rows of a query, without the header."""
    return list(csv.reader(io.StringIO(headwater("query", sql, "--format", "csv"))))[1:]


def expect(what: str, got: object, wanted: object) -> None:
    """Note a difference."""
    if got != wanted:
        failures.append(f"{what}: {got}, expected {wanted}")


def check_manifest(manifest: dict[str, dict[str, int]]) -> None:
    """Compare what landed and what is in quarantine with what the generator wrote, per file and kind."""
    landed = {
        Path(name).name: int(n) for name, n in query("select _file, count(*) from system.faa__flights group by 1")
    }
    rows = query(
        "select _file, case when rule = 'cast' then 'cast:' || coalesce(regexp_extract(reason, '(time_hour|distance)'),"
        " '?') else rule end, count(*) from quarantine.faa__flights group by all"
    )
    rejected = {(Path(name).name, rule): int(n) for name, rule, n in rows}
    for name, counts in manifest.items():
        expect(f"{name}: landed", landed.get(name), counts["good"])
        for kind in KINDS:
            expect(f"{name}: {kind}", rejected.get((name, RULE_OF_KIND[kind]), 0), counts[kind])
    expect("rejects in all", sum(rejected.values()), sum(c[kind] for c in manifest.values() for kind in KINDS))
    print(f"  {sum(landed.values()):,} rows landed, {sum(rejected.values())} in quarantine, as the manifest says")


def change_one_line_and_one_plane() -> None:
    """Delay one January departure by an hour, and give one plane another seat."""
    file = RAW / "flights-2013-01.csv"
    lines = file.read_bytes().split(b"\n")
    cells = lines[1].split(b",")
    cells[2] = b"62"
    lines[1] = b",".join(cells)
    file.write_bytes(b"\n".join(lines))
    with sqlite3.connect(RAW / "reference.db") as connection:
        connection.execute("UPDATE planes SET seats = seats + 1 WHERE tailnum = 'N14228'")
    connection.close()


def main() -> None:
    """Run the demo."""
    for folder in (HERE / "data", HERE / ".headwater"):
        shutil.rmtree(folder, ignore_errors=True)
    print("generating 336,776 flights of 2013, with damaged rows of seven kinds")
    manifest = generate(RAW)

    print("first run")
    first = run()
    expect("failed steps", [name for name, result in first.items() if result["status"] == "failed"], [])
    check_manifest(manifest)

    print("second run: nothing has changed")
    second = run()
    busy = {name for name, result in second.items() if result["status"] not in ("skipped", "unchanged")}
    expect("steps that did something", busy, set())
    expect("versions", versions(second), versions(first))

    print("third run: one flight and one plane have changed")
    change_one_line_and_one_plane()
    third = run()
    moved = {name for name, version in versions(third).items() if version != versions(second)[name]}
    expect("tables that changed", moved, {name for name in BELOW if not name.endswith("/extract")})
    skipped = {name for name, r in third.items() if r["status"] == "skipped"}
    expect("steps that ran but lie elsewhere", skipped & BELOW, set())
    expect("flights changed", third["faa.flights/load"]["rows_inserted"], 1)
    expect(
        "rows of the plane's history", query("select count(*) from staging.planes where tailnum = 'N14228'"), [["2"]]
    )

    picture = HERE / "data" / "diagram.svg"
    headwater("draw", "-o", str(picture))
    headwater("draw", "--level", "architecture", "-o", str(picture.with_name("architecture.svg")))
    print(headwater("status"))
    print(f"the picture: {picture}")
    if failures:
        raise SystemExit("\n".join(["not as expected:", *failures]))
    print("every expectation held")


if __name__ == "__main__":
    main()
