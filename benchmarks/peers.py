"""Peers in environments of their own: dbt-duckdb and SQLMesh on the models of models.py, dlt on the loads.

An environment is made once below .bench/ and kept by its pins. A peer that cannot be installed is told as skipped.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from models import timed, write_project

BENCH = Path(__file__).resolve().parent.parent / ".bench"
DUCKDB = "duckdb==1.5.5"
PINS = {
    "dbt": ("dbt-core==1.11.16", "dbt-duckdb==1.11.1", DUCKDB),
    "sqlmesh": ("sqlmesh==0.236.4", DUCKDB),
    "dlt": (
        "dlt[duckdb,parquet]==1.31.0",
        "connectorx==0.4.6",
        "sqlalchemy>=2",
        "psycopg[binary]>=3.2",
        "pyarrow>=20",
        DUCKDB,
    ),
    "adbc": ("adbc-driver-postgresql==1.13.0", "pyarrow>=20", DUCKDB),
}
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_VERSION_CHECK": "false",
    "DO_NOT_TRACK": "1",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}
"""The peers' own switches for telemetry and version checks."""

_NAME = re.compile(r"\b(?:staging|marts)\.(m\d+)\b")


class SkippedPeerError(Exception):
    """A peer could not be installed."""


def environment(peer: str) -> Path:
    """Return the `bin` folder of a peer's environment, made when its pins are new.

    Raises:
        SkippedPeerError: It cannot be installed; the reason is the installer's.
    """
    os.environ.update(QUIET)
    pins = PINS[peer]
    folder = BENCH / peer
    mark, wanted = folder / "pins", hashlib.sha256("\n".join([sys.version, *pins]).encode()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        for command in ([sys.executable, "-m", "venv", str(folder)], [f"{folder}/bin/pip", "install", "-q", *pins]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SkippedPeerError(f"{peer} cannot be installed: {(done.stderr.strip() or '?').splitlines()[-1]}")
        mark.write_text(wanted)
    return folder / "bin"


def write_dbt(source: Path, folder: Path, threads: int) -> None:
    """Translate a project of models.py for dbt: every reference a ref(), every model a table."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        "name: bench\nversion: '1.0'\nprofile: bench\nflags: {send_anonymous_usage_stats: false}\n"
        "models: {bench: {+materialized: table}}\n"
    )
    (folder / "profiles.yml").write_text(
        f"bench: {{target: dev, outputs: {{dev: {{type: duckdb, path: bench.duckdb, threads: {threads}}}}}}}\n"
    )
    for file in source.glob("models/*/*.sql"):
        (folder / "models" / file.name).write_text(_NAME.sub(r"{{ ref('\1') }}", file.read_text()))


def write_sqlmesh(source: Path, folder: Path, threads: int) -> None:
    """Translate a project of models.py for SQLMesh: MODEL(kind FULL) in front of the same text."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "gateways: {duck: {connection: {type: duckdb, database: bench.duckdb, "
        f"concurrent_tasks: {threads}}}}}}}\ndefault_gateway: duck\nmodel_defaults: {{dialect: duckdb}}\n"
        "disable_anonymized_analytics: true\n"
    )
    for file in source.glob("models/*/*.sql"):
        head = f"MODEL (name {file.parent.name}.{file.stem}, kind FULL);\n"
        (folder / "models" / file.name).write_text(head + file.read_text())


def measure_models(
    folder: Path, count: int, peers: tuple[str, ...] = ("dbt", "sqlmesh"), rounds: int = 3
) -> dict[str, dict[str, float] | str]:
    """Return per competitor the medians of first run, nothing changed one leaf edited; the competitors alternate."""
    found: dict[str, dict[str, float] | str] = {}
    threads = len(os.sched_getaffinity(0))
    commands: dict[str, list[str]] = {"headwater": [sys.executable, "-m", "headwater", "-p", ".", "run"]}
    for peer in peers:
        try:
            place = environment(peer)
        except SkippedPeerError as skipped:
            found[peer] = str(skipped)
            continue
        words = {"dbt": ["--no-version-check", "run", "--profiles-dir", "."], "sqlmesh": ["plan", "--auto-apply"]}[peer]
        commands[peer] = [str(place / peer), *words]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            work = folder / name
            write_project(folder / "source", count)
            if name == "headwater":
                write_project(work, count)
            else:
                {"dbt": write_dbt, "sqlmesh": write_sqlmesh}[name](folder / "source", work, threads)
            rows[name].append(_measure_one(work, name, command, f"m{count - 1:04d}"))
    for name, measured in rows.items():
        found[name] = {key: statistics.median(row[key] for row in measured) for key in measured[0]}
    return found


def _measure_one(work: Path, name: str, command: list[str], leaf: str) -> dict[str, float]:
    """Run first, with nothing changed, and with one leaf edited."""
    first, memory = timed(command, work)
    noop, _ = timed(command, work)
    (file,) = work.glob(f"models/**/{leaf}.sql")
    file.write_text(file.read_text().replace("% 97", "% 89"))
    # dbt compares with the artifacts of the run before; its plain `run` would build everything again.
    shutil.rmtree(work / "before", ignore_errors=True)
    if name == "dbt":
        shutil.copytree(work / "target", work / "before")
        command = [*command, "--select", "state:modified+", "--state", "before"]
    edited, _ = timed(command, work)
    return {"first_s": first, "noop_s": noop, "leaf_s": edited, "memory_mb": memory}


def table(count: int, found: dict[str, dict[str, float] | str]) -> list[str]:
    """Return the lines of RESULTS.md for one number of models: seconds, and how many times Headwater's."""
    ours = found["headwater"]
    assert isinstance(ours, dict)
    lines = []
    for name, figures in found.items():
        if isinstance(figures, str):
            lines.append(f"| {count} | {name} | skipped: {figures} | | | |")
            continue
        cells = [f"{figures[key]:.2f} s ({figures[key] / ours[key]:.1f} x)" for key in ("first_s", "noop_s", "leaf_s")]
        lines.append(f"| {count} | {name} | {' | '.join(cells)} | {figures['memory_mb']:.0f} MB |")
    return lines
