"""Parquet files as the file stores write and read them: DuckDB writes, flushes and reads them, no extension needed."""

from __future__ import annotations

import os
import re
import stat
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.files import open_regular
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.storage.common.disk import sync_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column

FILE_SIZE = "128MB"
"""Size at which a new file is begun: small enough to be rewritten when a merge touches it."""


_SEAL = re.compile(r"-([0-9a-f]{8})-([0-9a-f]{16})\.parquet$")
"""How a file's name ends: the CRC-32 of its bytes, and when it was last written to (ns); earlier files have neither."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file: path, row count, size, and what its footer says per column (text, as DuckDB returns it)."""

    path: str
    rows: int
    size_bytes: int
    statistics: dict[str, dict[str, str]] = field(default_factory=dict)

    def at(self, path: Path) -> DataFile:
        """Return the same file under another name."""
        return DataFile(str(path), self.rows, self.size_bytes, self.statistics)

    def is_damaged(self) -> bool:
        """Return whether the file is missing or another than was written."""
        return bool(find_damaged([(self.path, self.size_bytes)]))

    def to_dict(self) -> dict[str, Any]:
        """Return the file as plain JSON, its path by name only."""
        name = Path(self.path).name
        return {"name": name, "rows": self.rows, "size_bytes": self.size_bytes, "statistics": self.statistics}

    @classmethod
    def from_dict(cls, folder: Path, data: dict[str, Any]) -> DataFile:
        """Read what `to_dict` returned, for a file in `folder`."""
        return cls(str(folder / data["name"]), data["rows"], data["size_bytes"], data["statistics"])


def name_part(path: str, prefix: str = "part-") -> str:
    """Return a new name for a file that `write_parquet` wrote, which tells the same of its bytes."""
    sealed = _SEAL.search(path)
    return f"{prefix}{uuid.uuid4().hex}{sealed[0] if sealed else '.parquet'}"


def find_damaged(files: Iterable[tuple[str, int | None]], *, whole: bool = False) -> str:
    """Say which of some files, each with the size it was written with (None: not known), is not as it was, or "".

    A file that was written to since it got its name, or with `whole` every one, is read and its checksum compared:
    Parquet as DuckDB writes it has none, and a changed byte may make another valid value.
    """
    for path, size_bytes in files:
        try:
            found = os.stat(path)
        except OSError:
            return f"its file {path} is gone"
        if not stat.S_ISREG(found.st_mode):
            return f"its file {path} is not a file any more"
        if size_bytes is not None and found.st_size != size_bytes:
            return f"its file {path} has {found.st_size:,} bytes instead of {size_bytes:,}"
        sealed = _SEAL.search(path)
        if sealed and (whole or not _is_untouched(found, sealed)) and (wrong := _compare(path, found, sealed, whole)):
            return wrong
    return ""


def _is_untouched(found: os.stat_result, sealed: re.Match[str]) -> bool:
    """Whether a file has the time of its last write; some file systems and copies keep whole seconds of it."""
    written_ns = int(sealed[2], 16)
    return found.st_mtime_ns in (written_ns, written_ns // 10**9 * 10**9)


def _compare(path: str, found: os.stat_result, sealed: re.Match[str], whole: bool) -> str:
    """Say that the bytes of a file are not those that its name tells, or ""; then it gets its time back."""
    read = _sum_of if whole else _sum_of_once
    try:
        if read(path, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns) != int(sealed[1], 16):
            return f"its file {path} is damaged: its bytes are not those that were written"
    except OSError as error:
        return f"its file {path} cannot be read: {error.strerror}"
    if not _is_untouched(found, sealed):
        with suppress(OSError):  # who may not write here compares again
            os.utime(path, ns=(found.st_atime_ns, int(sealed[2], 16)))
    return ""


def _sum_of(path: str, *_: int) -> int:
    found = 0
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        while block := file.read(_BLOCK_BYTES):
            found = zlib.crc32(block, found)
    return found


_sum_of_once = lru_cache(maxsize=100_000)(_sum_of)
"""Where a time cannot be set back, a process reads the file once."""


def _seal(file: DataFile) -> DataFile:
    """Give a file that was just written a name that tells its checksum, and when it was written to."""
    path = Path(file.path)
    sealed = path.with_name(f"{path.stem}-{_sum_of(file.path):08x}-{path.stat().st_mtime_ns:x}.parquet")
    os.rename(path, sealed)
    return file.at(sealed)


def write_parquet(connection: DuckDBPyConnection, query: SelectSql, folder: Path) -> list[DataFile]:
    """Write the rows of a query into a new folder and flush them to the disk; no rows, no file."""
    folder.mkdir(parents=True)
    written = connection.execute(
        f"COPY ({query}) TO {quote_text(str(folder))} (FORMAT parquet, COMPRESSION zstd, RETURN_STATS, "
        f"FILE_SIZE_BYTES '{FILE_SIZE}', WRITE_EMPTY_FILE false, OVERWRITE_OR_IGNORE)"
    ).fetchall()
    files = [DataFile(name, rows, size_bytes, statistics) for name, rows, size_bytes, _, statistics, _ in written]
    for file in files:
        sync_file(Path(file.path))
    files = [_seal(file) for file in files]
    sync_folder(folder)
    return [file for file in files if file.rows]


def cast_rows(query: SelectSql, given: Sequence[Column], columns: Sequence[Column]) -> SelectSql:
    """Return a SELECT of a query's rows, its columns named as in `given` and typed as in `columns`."""
    types = {column.name: column.type for column in columns}
    casts = ", ".join(
        f"CAST({quote_identifier(c.name)} AS {types[c.name]}) AS {quote_identifier(c.name)}" for c in given
    )
    names = ", ".join(quote_identifier(column.name) for column in given)
    return SelectSql(f"SELECT {casts} FROM ({query}) AS _rows({names})")


def scan_files(columns: Sequence[Column], paths: Iterable[str], *, rows: int = 0, file_column: str = "") -> SelectSql:
    """Return a SELECT over files: the columns in order with their types, NULL where a file lacks one.

    Args:
        columns: What to read.
        paths: The files.
        rows: How many rows they hold, about; without it DuckDB, which is told the schema and so reads no footer before
            it plans, takes them to be empty and joins them in loops (measured with 1.5.5).
        file_column: Name of one more column that holds each row's file.
    """
    names = ", ".join(quote_identifier(column.name) for column in columns)
    listed = ", ".join(quote_text(path) for path in paths)
    if not listed:
        nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {quote_identifier(column.name)}" for column in columns)
        extra = f", CAST(NULL AS VARCHAR) AS {quote_identifier(file_column)}" if file_column else ""
        return SelectSql(f"SELECT {nulls}{extra} WHERE false")
    schema = ", ".join(
        f"{quote_text(column.name)}: {{'name': {quote_text(column.name)}, 'type': {quote_text(column.type)}, "
        "'default_value': NULL}"
        for column in columns
    )
    extra = f", {quote_identifier(file_column)}" if file_column else ""
    named = f", filename = {quote_text(file_column)}" if file_column else ""
    counted = f", explicit_cardinality = {rows}" if rows else ""
    options = f"hive_partitioning = false{named}{counted}, schema = MAP {{{schema}}}"
    return SelectSql(f"SELECT {names}{extra} FROM read_parquet([{listed}], {options})")
