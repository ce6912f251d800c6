"""Files that are not what their names say, of every format."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body>\n<h1>Bad</h1></body></html>\n"
BINARY = bytes(range(256)) * 40
LINES = "".join(f"line {number} of a log that is long enough to be cut\n" for number in range(400)).encode()
ROWS = "".join(f"{number},name {number * 7919}\n" for number in range(400)).encode()
RECORDS = "".join(f'{{"id": {number}, "name": "n{number * 7919}"}}\n' for number in range(400)).encode()


def _zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", data)
    return packed.getvalue()


def _parquet(folder: Path) -> bytes:
    file = folder / "made.parquet"
    duckdb.execute(f"COPY (SELECT range AS id, 'x' || range AS name FROM range(1000)) TO '{file}' (FORMAT parquet)")
    data = file.read_bytes()
    file.unlink()
    return data


def _sqlite(folder: Path) -> bytes:
    file = folder / "made.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, name TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"name {n}" * 9) for n in range(2000)])
    connection.close()
    data = file.read_bytes()
    file.unlink()
    return data


FORMATS: dict[str, Callable[[Path], bytes]] = {
    "csv": lambda _: b"id,name\n" + ROWS,
    "tsv": lambda _: b"id\tname\n" + ROWS.replace(b",", b"\t"),
    "json": lambda _: b"[" + RECORDS.strip().replace(b"\n", b",\n") + b"]",
    "jsonl": lambda _: RECORDS,
    "parquet": _parquet,
    "csv.gz": lambda _: gzip.compress(b"id,name\n" + ROWS),
    "jsonl.gz": lambda _: gzip.compress(RECORDS),
    "csv.zst": lambda _: pa.compress(b"id,name\n" + ROWS, "zstd", asbytes=True),
    "jsonl.zst": lambda _: pa.compress(RECORDS, "zstd", asbytes=True),
    "csv.zip": lambda _: _zipped(b"id,name\n" + ROWS),
    "log": lambda _: LINES,
    "log.gz": lambda _: gzip.compress(LINES),
    "log.zst": lambda _: pa.compress(LINES, "zstd", asbytes=True),
    "db": _sqlite,
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) * 2 // 3],
    "web page": lambda _: HTML,
    "nothing": lambda _: b"",
    "binary": lambda _: BINARY,
    "a byte changed": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]
    ),
    "only the beginning": lambda data: data[:7],
}


def source(form: str, name: str) -> str:
    """Return a source file of one table `t` over a file of a format."""
    if form == "db":
        return f"kind: sqlite\npath: {name}\ntables: {{t: {{}}}}\n"
    if form.startswith("log"):
        return f"kind: logs\ntables: {{t: {{path: {name}, pattern: '^(?P<text>line.*)$'}}}}\n"
    if form == "parquet":
        return f"kind: files\ntables: {{t: {{path: {name}}}}}\n"
    return f"kind: files\ntables: {{t: {{path: {name}, columns: {{id: bigint, name: varchar}}}}}}\n"
