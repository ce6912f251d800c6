"""Sources damaged anywhere: what another reader makes of the same bytes, or an error of ours; never a third thing."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.errors import HeadwaterError
from headwater.sources.files.source import Files, FilesConnection, FilesTable
from headwater.sources.logs.source import Logs
from headwater.sources.logs.spec import LogsConnection, LogsTable
from headwater.sources.sqlite.source import Sqlite, SqliteConnection, SqliteTable
from tests.run.damage import FORMATS
from tests.sources.harness import Outcome, read, request

from .damaging import damage_file, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyConnection

SEED = int(os.environ.get("DAMAGE_SEED", "1"))


class RefusedError(Exception):
    """The other reader makes nothing of it."""


@dataclass
class Told:
    """What the other reader makes of bytes: rows in any order, and how many lines are no rows."""

    rows: list[tuple[str | None, ...]]
    broken: int = 0
    names: tuple[str, ...] = ("id", "name")


def csv_told(data: bytes, delimiter: str = ",") -> Told:
    """Lines, split by Python: what holds a quote or another line end is for the counts alone."""
    try:
        header = data.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise RefusedError from None
    names = next(csv.reader([header], delimiter=delimiter), [])
    if {"id", "name"} - set(names) or len(set(names)) != len(names):
        raise RefusedError
    rows, broken = [], 0
    for line in data.partition(b"\n")[2].split(b"\n"):
        if not line.strip(b"\r"):
            continue
        try:
            fields = line.rstrip(b"\r").decode().split(delimiter)
        except UnicodeDecodeError:
            broken += 1
            continue
        if len(fields) == len(names) + 1 and not fields[-1]:
            fields.pop()
        if len(fields) != len(names):
            broken += 1
            continue
        found = dict(zip(names, fields, strict=True))
        rows.append((found["id"] or None, found["name"] or None))
    return Told(rows, broken)


def json_told(data: bytes) -> Told:
    try:
        found = json.loads(data.decode(), object_pairs_hook=_no_key_twice)
        return _told_of([row if isinstance(row, dict) else None for row in found])
    except (ValueError, TypeError, RecursionError):
        raise RefusedError from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None


def _told_of(found: list[dict[str, Any] | None]) -> Told:
    """Rows of JSON: one whose key is another only by its case is a reject, and so is one that holds a NUL."""
    good = [row for row in found if row is not None and not _is_odd(row)]
    return Told([(_text(row.get("id")), _text(row.get("name"))) for row in good], len(found) - len(good))


def _is_odd(row: dict[str, Any]) -> bool:
    other_case = any(key.lower() in ("id", "name") and key not in ("id", "name") for key in row)
    return other_case or any("\0" in str(value) for value in row.values())


def jsonl_told(data: bytes) -> Told:
    found: list[dict[str, Any] | None] = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode(), object_pairs_hook=_no_key_twice)
            found.append(row if isinstance(row, dict) else None)
        except (ValueError, RecursionError):
            found.append(None)
    return _told_of(found)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parquet_told(data: bytes) -> Told:
    try:
        table = pq.read_table(io.BytesIO(data))
        return _told_of(table.select(["id", "name"]).to_pylist())
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        raise RefusedError from None


def sqlite_told(data: bytes) -> Told:
    try:
        with sqlite3.connect(":memory:") as database:
            database.deserialize(data)
            database.text_factory = bytes
            found = [tuple(map(_cell, row)) for row in database.execute("SELECT id, name FROM t")]
            kinds = database.execute("SELECT typeof(id), typeof(name) FROM t")
            fits = [id in (b"integer", b"null") and name != b"blob" for id, name in kinds]
            good = [row for row, fit in zip(found, fits, strict=True) if fit and "\0" not in str(row[1])]
            return Told(good, len(found) - len(good))
    except (sqlite3.Error, OverflowError):
        raise RefusedError from None


def _cell(value: Any) -> str | None:
    """A cell as text; what is no UTF-8 is shown as a reject is, with a NUL in it."""
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "\0"


def log_told(data: bytes) -> Told:
    rows, broken = [], 0
    for line in data.split(b"\n")[:-1]:  # the end of a file that was just written waits for its line end
        if not line.strip(b" \t\r"):
            continue
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError:
            broken += 1
            continue
        if re.fullmatch(r"line.*", text) and "\0" not in text:
            rows.append((text,))
        else:
            broken += 1
    return Told(rows, broken, ("text",))


def unpacked(told: Callable[[bytes], Told], unpack: Callable[[bytes], bytes]) -> Callable[[bytes], Told]:
    def read_packed(data: bytes) -> Told:
        try:
            whole = unpack(data)
        except (OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
            raise RefusedError from None
        except Exception as error:
            if type(error).__name__ in ("error", "ArrowInvalid"):
                raise RefusedError from None
            raise
        return told(whole)

    return read_packed


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = archive.namelist()
        return archive.read(name)


def _unzstd(data: bytes) -> bytes:
    return bytes(pa.input_stream(pa.py_buffer(data), compression="zstd").read())


TOLD: dict[str, Callable[[bytes], Told]] = {
    "csv": csv_told,
    "tsv": lambda data: csv_told(data, "\t"),
    "json": json_told,
    "jsonl": jsonl_told,
    "parquet": parquet_told,
    "csv.gz": unpacked(csv_told, gzip.decompress),
    "jsonl.gz": unpacked(jsonl_told, gzip.decompress),
    "csv.zip": unpacked(csv_told, _unzip),
    "csv.zst": unpacked(csv_told, _unzstd),
    "log": log_told,
    "log.gz": unpacked(log_told, gzip.decompress),
    "db": sqlite_told,
}


def ask(con: DuckDBPyConnection, folder: Path, form: str, name: str) -> Outcome | HeadwaterError:
    """Describe and read a table the way a run does; return the error where there is one."""
    if form == "db":
        source: Any = Sqlite(SqliteConnection(path=name), str(folder))
        options: Any = SqliteTable(table="t")
        columns = {"id": "varchar", "name": "varchar"}
    elif form.startswith("log"):
        source = Logs(LogsConnection(), str(folder))
        options, columns = LogsTable(path=name, pattern="^(?P<text>line.*)$"), {"text": "varchar"}
    else:
        source = Files(FilesConnection(), str(folder))
        options, columns = FilesTable(path=name), {"id": "varchar", "name": "varchar"}
    try:
        source.describe({"t": options})
        return read(source, request(con, options, columns, {"load": "full", "columns": columns}))
    except HeadwaterError as error:
        return error


def check(con: DuckDBPyConnection, folder: Path, form: str, good: bytes, seed: int) -> str:
    """Damage one file; return what came of it."""
    draw = Random(seed)
    name = f"data.{form}"
    file = folder / name
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    file.write_bytes(good)
    if draw.random() < 0.05:
        how = replace_file(file, draw.choice(("nothing", "folder", "pipe", "gone")))
    else:
        how = damage_file(file, draw)
    try:
        found = ask(con, folder, form, name)
        if isinstance(found, HeadwaterError):
            assert found.fix, str(found)
            return "told"
        assert file.is_file(), "rows of what is no file"
        data = file.read_bytes()
        if not data:
            assert found.rows == []
            return "nothing"
        _compare(TOLD[form], found, data, good)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {name} ({how}): {type(error).__name__}: {error}") from error
    return "read"


def _compare(told_by: Callable[[bytes], Told], found: Outcome, data: bytes, good: bytes) -> None:
    original = told_by(good)
    rows = sorted((tuple(row[name] for name in original.names) for row in found.rows), key=repr)
    if rows == sorted(original.rows, key=repr):
        return  # the damage hit nothing that is a value
    try:
        told = told_by(data)
    except RefusedError:
        raise AssertionError(f"another reader refuses it; {len(rows)} rows were read") from None
    wanted = sorted(told.rows, key=repr)
    odd = rows != wanted or len(found.rejects) != told.broken
    text = data.decode("latin-1")
    if odd and told_by in (csv_told, TOLD["tsv"]) and any(mark in text for mark in '"\r\0'):
        strange = [row for row in rows if row not in wanted and not any('"' in line for line in text.split("\n"))]
        assert not strange, strange[:3]
        return
    assert rows == wanted, _difference(rows, wanted)
    assert len(found.rejects) == told.broken, (len(found.rejects), told.broken)


def _difference(rows: list[Any], wanted: list[Any]) -> str:
    more = [row for row in rows if row not in wanted][:3]
    less = [row for row in wanted if row not in rows][:3]
    return f"{len(rows)} rows instead of {len(wanted)}; not in the other: {more}; missing: {less}"


@pytest.fixture
def con() -> Any:
    with duckdb.connect(config={"threads": 2, "enable_external_file_cache": False}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.mark.parametrize("form", list(TOLD))
def test_a_damaged_source_gives_what_another_reader_gives_or_an_error(
    con: DuckDBPyConnection, tmp_path: Path, form: str
) -> None:
    good = FORMATS[form](tmp_path)
    outcomes = {check(con, tmp_path, form, good, SEED * 1_000_000 + number) for number in range(13)}
    assert outcomes <= {"told", "nothing", "read"}


@pytest.mark.kill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", list(TOLD))
def test_a_damaged_source_many_times(con: DuckDBPyConnection, tmp_path: Path, form: str) -> None:
    good = FORMATS[form](tmp_path)
    for number in range(330):
        check(con, tmp_path, form, good, SEED * 1_000_000 + 10_000 + number)
