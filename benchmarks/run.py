"""`make bench`: every figure beside its goal, ratios in one run; writes results.json and RESULTS.md.

Timings say little on shared machines: the ratios, taken in one run and pair by pair, are what to compare.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the modules beside this file

import asof  # noqa: E402
import beside  # noqa: E402  # beside this file
import cdc  # noqa: E402
import checks  # noqa: E402
import loads  # noqa: E402
import models  # noqa: E402
import publish  # noqa: E402

NOTES = HERE / "NOTES.md"


def main() -> None:
    """Measure everything; with byte code, as every installed package has it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(HERE.parent / "src", quiet=1)
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as name:
        folder = Path(name)
        results: dict[str, object] = {"load_before": os.getloadavg()[1], "help_s": models.measure_help()}
        for count in models.GOALS:
            print(f"{count} models …", flush=True)
            results[f"models_{count}"] = models.measure(folder / "models", count)
        print("CSV …", flush=True)
        csv = folder / "rows.csv"
        loads.write_csv(csv, 1_000_000)
        results["csv"] = loads.measure_load(folder / "csv", loads.BARE_CSV, csv, loads.CSV_COLUMNS)
        csv.unlink()
        print("JSON Lines …", flush=True)
        lines = folder / "rows.jsonl"
        loads.write_json(lines, 800_000_000)
        results["json"] = loads.measure_load(folder / "json", loads.BARE_JSON, lines, loads.JSON_COLUMNS)
        results["json_raw"] = loads.measure_load(folder / "json", loads.BARE_JSON_RAW, lines, loads.JSON_COLUMNS)
        lines.unlink()
        print("checks …", flush=True)
        table = folder / "checks.parquet"
        checks.make_table(table, 10_000_000)
        results["checks"] = checks.measure_checks(table)
        print("training rows …", flush=True)
        results["asof"] = asof.measure_asof(folder / "asof")
        print("publish …", flush=True)
        results["publish"] = publish.measure_publish(folder / "publish")
        print("CDC …", flush=True)
        results["cdc"] = cdc.measure_cdc(folder / "cdc")
        results |= beside.measure_beside(folder)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(report(results))
    print(f"written: {HERE / 'RESULTS.md'}")


def row(what: str, goal: str, measured: str, held: bool | None) -> str:
    """Return one line of the table."""
    return f"| {what} | {goal} | {measured} | {'' if held is None else 'yes' if held else '**no**'} |"


def report(results: dict[str, object]) -> str:
    """Return RESULTS.md."""
    figures: dict[str, dict[str, float]] = {k: v for k, v in results.items() if isinstance(v, dict)}
    help_s = float(str(results["help_s"]))
    lines = [
        "# Results",
        "",
        f"`make bench` on {datetime.now(UTC):%Y-%m-%d}: {platform.system()} {platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, duckdb {version('duckdb')}, "
        f"deltalake {version('deltalake')}. Medians; the machine is shared (in the five minutes before, "
        f"{results['load_before']:.1f} processes wanted a core), so read the ratios.",
        "",
        "| what | goal | measured | held |",
        "|---|---|---|---|",
        row("`headwater --help`", "<= 0.25 s", f"{help_s:.2f} s", help_s <= 0.25),
    ]
    for count, goals in models.GOALS.items():
        f = figures[f"models_{count}"]
        first, noop = goals["first_s"], goals["noop_plan_s"]
        lines.append(row(f"{count} models: plain script", "", f"{f['plain_s']:.2f} s", None))
        lines.append(row(f"{count} models: first run", f"<= {first} s", f"{f['first_s']:.2f} s", f["first_s"] <= first))
        if "ratio" in goals:
            lines.append(
                row(f"{count} models: first run / plain script", "<= 1.8", f"{f['ratio']:.2f}", f["ratio"] <= 1.8)
            )
            lines.append(
                row(f"{count} models: peak memory", "<= 400 MB", f"{f['memory_mb']:.0f} MB", f["memory_mb"] <= 400)
            )
        lines.append(
            row(
                f"{count} models: nothing changed, plan",
                f"<= {noop} s",
                f"{f['noop_plan_s']:.2f} s",
                f["noop_plan_s"] <= noop,
            )
        )
        lines.append(row(f"{count} models: nothing changed, run", "", f"{f['noop_run_s']:.2f} s", None))
        lines.append(row(f"{count} models: one leaf edited", "", f"{f['leaf_edited_s']:.2f} s", None))
    named = {
        "csv": ("CSV, 1 M rows into the warehouse / bare DuckDB under the same rules", 1.3, "bare_s"),
        "json": (
            "JSON Lines, 800 MB, a late key / bare DuckDB with declared columns (it does not keep the raw text)",
            1.3,
            "bare_s",
        ),
        "json_raw": ("the same / bare DuckDB that keeps the raw text too", None, "bare_s"),
        "checks": ("30 checks on 10 M rows / one hand-written scan", 1.2, "hand_s"),
        "asof": ("training rows, 1 M with a feature of 5 M / bare ASOF join (CPU, the least)", 1.2, "bare_s"),
    }
    for key, (what, goal, bare) in named.items():
        f = figures[key]
        seconds = f"{f['ratio']:.2f} ({f['headwater_s']:.2f} s / {f[bare]:.2f} s)"
        lines.append(row(what, f"<= {goal}" if goal else "", seconds, f["ratio"] <= goal if goal else None))
    for word, goal in (("first", 1.2), ("later", 1.7)):
        f, what = figures["publish"], f"PostgreSQL, a {word} publish of 1 M rows of 9 columns / bare ingest by ADBC"
        if "skipped" in f:
            lines.append(row(what, f"<= {goal}", f"skipped: {f['skipped']}", None))
            continue
        told = f"{f[f'{word}_ratio']:.2f} ({f[f'{word}_s']:.2f} s / {f['bare_s']:.2f} s)"
        lines.append(row(what, f"<= {goal}", told, f[f"{word}_ratio"] <= goal))
    pace = figures["cdc"]["changes_per_s"]
    lines.append(row("CDC, changes landed per second", ">= 60 k/s", f"{pace / 1000:.0f} k/s", pace >= 60_000))
    notes = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
    return "\n".join([*lines, *beside.tell_beside(results), "", notes]).rstrip() + "\n"


if __name__ == "__main__":
    main()
