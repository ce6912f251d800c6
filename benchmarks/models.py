"""20, 200 and 1,000 small models, each joining two parents: against a plain script on one DuckDB connection."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

GOALS = {
    20: {"first_s": 0.8, "noop_plan_s": 0.5},
    200: {"first_s": 2.2, "noop_plan_s": 0.7},
    1000: {"first_s": 6.0, "noop_plan_s": 1.5, "ratio": 1.8, "memory_mb": 400},
}

PLAIN = """
import sys, time, duckdb, pathlib
folder = pathlib.Path(sys.argv[1])
connection = duckdb.connect(sys.argv[2])
for schema in ("staging", "marts"):
    connection.execute(f"CREATE SCHEMA {schema}")
for line in (folder / "order.txt").read_text().split():
    text = (folder / "models" / line.replace(".", "/")).with_suffix(".sql").read_text()
    connection.execute(f"CREATE TABLE {line} AS {text}")
connection.close()
"""


def write_project(folder: Path, count: int) -> None:
    """Write a project of `count` models: two roots, then each joins two earlier ones."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models" / "staging").mkdir(parents=True)
    (folder / "models" / "marts").mkdir()
    (folder / "headwater.yaml").write_text(f"name: bench_{count}\n")
    names = []
    for index in range(count):
        namespace = "staging" if index < 2 else "marts"
        name = f"{namespace}.m{index:04d}"
        if index < 2:
            text = f"select range as id, range * {index + 2} as v from range(1000)\n"
        else:
            one, other = names[max(0, index - 7)], names[index // 2]
            text = f"select a.id, a.v + b.v % 97 as v\nfrom {one} as a\njoin {other} as b using (id)\n"
        (folder / "models" / namespace / f"m{index:04d}.sql").write_text(text)
        names.append(name)
    (folder / "order.txt").write_text("\n".join(names))


def timed(command: list[str], folder: Path | None = None) -> tuple[float, float]:
    """Run a command (in a folder); return wall seconds and the peak memory in MB."""
    script = (
        "import json, resource, subprocess, sys, time\n"
        "begin = time.perf_counter()\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "spent = time.perf_counter() - begin\n"
        "print(json.dumps([code, spent, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True, cwd=folder
    )
    code, spent, memory = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(command)}: exit {code}\n{done.stderr}")
    return spent, memory


def measure(folder: Path, count: int, rounds: int = 3) -> dict[str, float]:
    """Return medians: plain script, first run, no-op run, no-op plan, one leaf edited, and the peak memory."""
    headwater = [sys.executable, "-m", "headwater", "-p", str(folder)]
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        write_project(folder, count)
        script = folder / "plain.py"
        script.write_text(PLAIN)
        plain, _ = timed([sys.executable, str(script), str(folder), str(folder / "plain.duckdb")])
        first, memory = timed([*headwater, "run"])
        noop, _ = timed([*headwater, "run"])
        plan, _ = timed([*headwater, "plan"])
        leaf = folder / "models" / "marts" / f"m{count - 1:04d}.sql"
        leaf.write_text(leaf.read_text().replace("% 97", "% 89"))
        edited, _ = timed([*headwater, "run"])
        row = {
            "plain_s": plain, "first_s": first, "noop_run_s": noop, "noop_plan_s": plan, "leaf_edited_s": edited,
            "ratio": first / plain, "memory_mb": memory,
        }  # fmt: skip
        for key, value in row.items():
            figures.setdefault(key, []).append(value)
    return {key: statistics.median(values) for key, values in figures.items()}


def measure_help(rounds: int = 5) -> float:
    """Return the median seconds of `headwater --help`."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "headwater", "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
