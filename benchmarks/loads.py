"""Loads beside bare DuckDB under the same rules: CSV into the warehouse, JSON Lines into the warehouse."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
from pathlib import Path

from models import timed

CSV_COLUMNS = {
    "id": "bigint", "customer": "bigint", "amount": "decimal(12,2)", "name": "varchar", "city": "varchar",
    "at": "timestamp", "day": "date", "paid": "boolean", "score": "double", "note": "varchar",
}  # fmt: skip
JSON_COLUMNS = {
    "id": "bigint",
    "user": "varchar",
    "amount": "double",
    "at": "timestamp",
    "tags": "varchar",
    "late": "varchar",
}

BARE_CSV = """
import sys, duckdb
connection = duckdb.connect(sys.argv[2])
columns = {columns!r}
connection.execute("SET preserve_insertion_order = false")
connection.execute(f"CREATE TABLE t AS SELECT *, 'batch' AS _batch, now() AS _loaded_at FROM read_csv("
                   f"'{{sys.argv[1]}}', columns={{columns}}, header=true, auto_detect=false, store_rejects=true, "
                   "filename='_file')")
bad = connection.execute("SELECT count(*) FROM reject_errors").fetchone()
null = connection.execute("SELECT count(*) FROM t WHERE contains(name, chr(0)) OR contains(city, chr(0)) "
                          "OR contains(note, chr(0))").fetchone()
connection.close()
"""

BARE_JSON = """
import sys, duckdb
connection = duckdb.connect(sys.argv[2])
columns = {columns!r}
connection.execute("SET preserve_insertion_order = false")
connection.execute(f"CREATE TABLE t AS SELECT * FROM read_ndjson('{{sys.argv[1]}}', columns={{columns}})")
connection.close()
"""

BARE_JSON_RAW = """
import sys, duckdb
connection = duckdb.connect(sys.argv[2])
columns = {columns!r}
connection.execute("SET preserve_insertion_order = false")
value = "CAST(json_extract_string(json, '$.{{0}}') AS {{1}}) AS {{0}}"
parts = ", ".join(value.format(name, kind) for name, kind in columns.items())
connection.execute(f"CREATE TABLE t AS SELECT {{parts}}, CAST(json AS VARCHAR) AS _raw "
                   f"FROM read_ndjson_objects('{{sys.argv[1]}}')")
connection.close()
"""


def write_csv(file: Path, rows: int) -> None:
    """Write rows of ten mixed columns."""
    chance = random.Random(1)
    cities = ["Berlin", "Paris", "Praha", "Łódź", "Köln", "Zürich"]
    with file.open("w", encoding="utf-8") as out:
        out.write(",".join(CSV_COLUMNS) + "\n")
        for number in range(rows):
            day = f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            out.write(
                f"{number},{chance.randrange(100_000)},{chance.randrange(10_000_000) / 100:.2f},name {number % 5000},"
                f"{cities[number % 6]},{day} {number % 24:02d}:{number % 60:02d}:00,{day},"
                f"{'true' if number % 3 else 'false'},{chance.random():.6f},a note about order {number}\n"
            )


def write_json(file: Path, target_bytes: int) -> int:
    """Write nested lines until the file is large enough; the key `late` appears from the middle on."""
    chance, number, size = random.Random(2), 0, 0
    with file.open("w", encoding="utf-8") as out:
        while size < target_bytes:
            record = {
                "id": number, "user": f"user-{chance.randrange(100_000)}", "amount": round(chance.random() * 100, 2),
                "at": f"2024-01-{number % 28 + 1:02d}T{number % 24:02d}:00:00",
                "tags": ["a", "b", f"t{number % 100}"],
                "payload": {"k": number % 7, "text": "x" * 250},
            }  # fmt: skip
            if size > target_bytes / 2:
                record["late"] = "here"
            line = json.dumps(record) + "\n"
            out.write(line)
            size += len(line)
            number += 1
    return number


def write_project(folder: Path, source: str, path: str, columns: dict[str, str]) -> None:
    """Write a project of one source table, loaded in full into the warehouse."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sources").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: bench_load\n")
    listed = ", ".join(f'{name}: "{kind}"' for name, kind in columns.items())
    text = f"kind: files\ntables:\n  rows:\n    path: {path}\n    into: warehouse\n    columns: {{{listed}}}\n"
    (folder / "sources" / f"{source}.yaml").write_text(text)


def measure_load(folder: Path, bare: str, file: Path, columns: dict[str, str], rounds: int = 3) -> dict[str, float]:
    """Return medians of the bare script and of a first run, and the median of their ratios, pair by pair."""
    script = folder.parent / "bare.py"
    script.write_text(bare.format(columns=columns))
    figures: dict[str, list[float]] = {"bare_s": [], "headwater_s": [], "ratio": [], "memory_mb": []}
    for _ in range(rounds):
        database = folder.parent / "bare.duckdb"
        database.unlink(missing_ok=True)
        bare_s, _ = timed([sys.executable, str(script), str(file), str(database)])
        write_project(folder, "bench", str(file), columns)
        ours, memory = timed([sys.executable, "-m", "headwater", "-p", str(folder), "run"])
        for key, value in zip(figures, (bare_s, ours, ours / bare_s, memory), strict=True):
            figures[key].append(value)
    return {key: statistics.median(values) for key, values in figures.items()}
