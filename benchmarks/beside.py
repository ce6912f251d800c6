"""What is measured beside peers, and how RESULTS.md tells of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import connectors
import peers

COUNTS = (20, 200)
"""Models: how many the peers are asked for at most."""


def measure_beside(folder: Path) -> dict[str, Any]:
    """Measure the models beside dbt and SQLMesh, and the connectors beside bare DuckDB and dlt."""
    found: dict[str, Any] = {}
    for count in COUNTS:
        print(f"{count} models beside peers …", flush=True)
        found[f"peers_{count}"] = peers.measure_models(folder / "peers", count)
    for kind in ("lakehouse", "warehouse"):
        print(f"PostgreSQL into the {kind} …", flush=True)
        found[f"postgres_{kind}"] = connectors.measure_postgres(folder / f"postgres_{kind}", kind)
    print("REST …", flush=True)
    found["rest"] = connectors.measure_rest(folder / "rest")
    print("logs …", flush=True)
    found["logs"] = connectors.measure_logs(folder / "logs")
    return found


def tell_beside(results: dict[str, Any]) -> list[str]:
    """Return the lines of RESULTS.md: ratios are taken round by round, then their median."""
    lines = [
        "", "## Beside peers", "",
        "The same models, translated; in brackets: how many times what Headwater takes. For dbt one leaf is "
        "`state:modified+` against the artifacts before.", "",
        "| models | with | first run | nothing changed | one leaf edited | peak memory |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for count in COUNTS:
        lines += peers.table(count, results[f"peers_{count}"])
    lines += ["", "| load | goal | measured | held |", "|---|---|---|---|"]
    for kind in ("lakehouse", "warehouse"):
        lines += _tell_postgres(
            f"PostgreSQL, 1 M rows of 10 mixed columns into the {kind}", results[f"postgres_{kind}"]
        )
    rest, logs = results["rest"], results["logs"]
    fast = rest["headwater_rows_s"]
    lines.append(
        _row("REST, 100 pages of 1,000 rows at 30 ms", ">= 30 k rows/s", f"{fast / 1e3:.1f} k", fast >= 30_000)
    )
    theirs = f"{rest['dlt_rows_s'] / 1e3:.1f} k rows/s" if "dlt_rows_s" in rest else f"skipped: {rest['dlt']}"
    lines.append(_row("the same by dlt's rest_api", "", theirs, None))
    slower = 1 / logs["bare_ratio"]
    told = f"{logs['headwater_lines_s'] / 1e3:.0f} k lines/s, {slower:.2f} x bare DuckDB, {logs['headwater_mb']:.0f} MB"
    return [*lines, _row("log, 1 M lines of the format combined, gzip", "", told, None)]


def _tell_postgres(what: str, f: dict[str, Any]) -> list[str]:
    if "skipped" in f:
        return [_row(what, "", f"skipped: {f['skipped']}", None)]
    slower = 1 / f["bare_ratio"]
    bare = f"{f['bare_s']:.2f} s, {f['bare_mb']:.0f} MB"
    told = f"{slower:.2f} ({f['headwater_s']:.2f} s, {f['headwater_mb']:.0f} MB; bare {bare})"
    lines = [_row(f"{what} / bare scanner script", "<= 1.2", told, slower <= 1.2)]
    if "dlt_s" not in f:
        return [*lines, _row("the same: dlt (connectorx) / Headwater", ">= 4", f"skipped: {f['dlt']}", None)]
    told = f"{f['dlt_ratio']:.1f} ({f['dlt_s']:.2f} s, {f['dlt_mb']:.0f} MB)"
    return [*lines, _row("the same: dlt (connectorx, into DuckDB) / Headwater", ">= 4", told, f["dlt_ratio"] >= 4)]


def _row(what: str, goal: str, measured: str, held: bool | None) -> str:
    return f"| {what} | {goal} | {measured} | {'' if held is None else 'yes' if held else '**no**'} |"


if __name__ == "__main__":
    found = measure_beside(Path(sys.argv[1]))
    print(json.dumps(found, indent=1))
    print("\n".join(tell_beside(found)))
