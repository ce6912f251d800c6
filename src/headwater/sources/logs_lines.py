"""Lines of a log into a temporary table of DuckDB, matched once; the lines that do not fit are told apart there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from typing import TYPE_CHECKING, Any, BinaryIO

from headwater.sources.files_layout import RAW_CHARACTERS, open_bytes
from headwater.sources.files_listing import ChangedFileError, FileFormatError
from headwater.sources.json_rows import JsonProjection
from headwater.sources.logs_format import FORMATS, LogFormat, own_format
from headwater.sql.placeholders import quote_identifier, quote_text, timestamp_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.sources.logs_follow import Log, Part
    from headwater.sources.logs_spec import LogsTable

CHUNK_BYTES = 64 * 1024 * 1024
"""Bytes of text per chunk."""

_SEPARATOR = "\x01"
"""Splits fields in Arrow's CSV reader, which is here to find lines: a line that holds it is found in Python."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Lines that were taken: a SELECT of their rows, and how far the log is read with them."""

    query: str
    offset: int
    lines: int


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads one chunk of one log.

    Attributes:
        connection: Where the temporary table is made.
        base: The folder that paths are relative to.
        options: The table's keys.
        columns: The columns to yield.
        policy: What happens to keys of JSON that are not declared.
        token: Makes the temporary table's name unique on the connection.
    """

    connection: DuckDBPyConnection
    base: str
    options: LogsTable
    columns: tuple[Column, ...]
    policy: str
    token: str

    @property
    def _table(self) -> str:
        return f"hw_log_{self.token}"

    def take(self, part: Part, log: Log, *, complete: bool) -> Taken | None:
        """Read the next lines of a log; None when there is no whole line any more.

        Raises:
            ChangedFileError: The file was truncated while it was read.
            FileFormatError: A line is too long.
        """
        wanted = CHUNK_BYTES if part.end is None else min(CHUNK_BYTES, part.end - log.offset)
        data = self._read(part, log.offset, wanted)
        last = len(data) < wanted if part.end is None else log.offset + len(data) >= part.end
        if not (last and complete):
            data = data[: data.rfind(b"\n") + 1]
        if not data and not last:
            raise FileFormatError(
                f"{part.file.path}: a line is longer than {CHUNK_BYTES} bytes", fix="is it text?", path=part.file.path
            )
        if not data:
            return None
        count = self._load(part, data, log.lines)
        return Taken(self._rows(part), log.offset + len(data), log.lines + count)

    def _read(self, part: Part, offset: int, wanted: int) -> bytes:
        try:
            with open_bytes(self.base, part.file.path) as file:
                _skip(file, offset)
                data = file.read(wanted)
        except (FileNotFoundError, EOFError) as error:
            raise ChangedFileError(f"{part.file.path} changed while it was read", path=part.file.path) from error
        except OSError as error:
            raise FileFormatError(f"{part.file.path}: {error}", fix="mend the file", path=part.file.path) from None
        if part.end is not None and len(data) < wanted:
            raise ChangedFileError(
                f"{part.file.path} was truncated while it was read", fix="run again", path=part.file.path
            )
        return data

    def _load(self, part: Part, data: bytes, before: int) -> int:
        """Load lines with their numbers, matched and typed once, into the temporary table; return how many."""
        import pyarrow as pa

        lines = _split_lines(data)
        numbers = pa.array(range(before + 1, before + len(lines) + 1), pa.int64())
        view = f"{self._table}_view"
        self.connection.register(view, pa.table({"line": lines, "n": numbers}))
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {self._table} AS "
            f"SELECT n, {quote_text(part.file.path)} AS file, {self._kept(part, data)} "
            f"FROM (SELECT n, line, {self._tried(data)} FROM {view} WHERE trim(line, e' \\t\\r') <> '')"
        )
        self.connection.unregister(view)
        return len(lines)

    def _tried(self, data: bytes) -> str:
        return (
            "TRY_CAST(line AS JSON) AS json" if self.options.format == "json" else f"{self._format(data).matched} AS s"
        )

    def _kept(self, part: Part, data: bytes) -> str:
        """SQL of what is kept of a line: its columns, and the line itself where it does not match."""
        if self.options.format == "json":
            return "json, CASE WHEN json IS NULL THEN line END AS line, NULL::VARCHAR AS misfit"
        found = self._format(data)
        written = f"CAST({timestamp_literal(_moment(part.file.mtime_ns))} AS TIMESTAMP)"
        values = [f"{found.value(column, written)} AS c{index}" for index, column in enumerate(self.columns)]
        misfit = f"CASE WHEN {found.test} THEN {self._misfits(found)} END AS misfit"
        rest = f"CASE WHEN NOT ({found.test}) OR misfit IS NOT NULL THEN left(line, {RAW_CHARACTERS}) END AS line"
        return ", ".join([*values, misfit, rest])

    def _misfits(self, found: LogFormat) -> str:
        """SQL of which values of a line are not of their column's type, or NULL."""
        if self.policy == "discard_value":
            return "NULL::VARCHAR"
        failed = [(column, found.failed(column, f"c{index}")) for index, column in enumerate(self.columns)]
        told = [
            f"CASE WHEN {test} THEN {quote_text(f'column {column.name} is not a {column.type}')} END"
            for column, test in failed
            if test
        ]
        return f"nullif(concat_ws('; ', {', '.join(told)}), '')" if told else "NULL::VARCHAR"

    def _format(self, data: bytes) -> LogFormat:
        if self.options.pattern:
            return own_format(self.options.pattern, self.options.types, self.options.time_format)
        if self.options.format == "syslog":
            return FORMATS["rfc5424" if re.match(rb"<\d{1,3}>\d{1,2} ", data.lstrip()) else "rfc3164"]
        return FORMATS[str(self.options.format)]

    def _rows(self, part: Part) -> str:
        place = f"{quote_text(part.file.path)} AS _file"
        if self.options.format == "json":
            told = quote_text(part.file.path)
            projection = JsonProjection(self.columns, self.policy, told)
            scan = f"SELECT json, n FROM {self._table} WHERE line IS NULL"
            return projection.select(scan, [place, "n AS _line", "CAST(json AS VARCHAR) AS _raw"])
        values = ", ".join(f"c{index} AS {quote_identifier(column.name)}" for index, column in enumerate(self.columns))
        told = "NULL::VARCHAR AS _rule, NULL::VARCHAR AS _reason"
        return f"SELECT {values}, {place}, n AS _line, {told} FROM {self._table} WHERE line IS NULL"

    def rejects(self) -> tuple[str, int]:
        """Return a SELECT of the lines that do not fit, and how many there are; it stays when the rows are dropped."""
        row = self.connection.execute(f"SELECT count(line) FROM {self._table}").fetchone()
        if not row or not row[0]:
            return "", 0
        told = self.options.format or "the pattern"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {self._table}_rejects AS "
            "SELECT file AS _file, n AS _line, CASE WHEN misfit IS NULL THEN 'unparsed' ELSE 'cast' END AS rule, "
            f"coalesce(misfit, {quote_text(f'the line is not {told}')}) AS reason, line AS raw "
            f"FROM {self._table} WHERE line IS NOT NULL"
        )
        return f"SELECT * FROM {self._table}_rejects", int(row[0])

    def drop(self) -> None:
        """Drop the lines."""
        self.connection.execute(f"DROP TABLE IF EXISTS {self._table}")


def _skip(file: BinaryIO, offset: int) -> None:
    """Go to a place in a file; a packed one is read up to there."""
    if offset and isinstance(file, BufferedReader):
        file.seek(offset)
        return
    while offset > 0:
        block = file.read(min(offset, 1 << 22))
        if not block:
            return
        offset -= len(block)


def _split_lines(data: bytes) -> Any:
    """Split text at its line ends into an Arrow array of strings; bytes that are not UTF-8 become U+FFFD."""
    import pyarrow as pa
    from pyarrow import csv

    if data.count(b"\r") == data.count(b"\r\n") and _SEPARATOR.encode() not in data:
        reading = csv.ReadOptions(column_names=["line"], block_size=1 << 24)
        parsing = csv.ParseOptions(delimiter=_SEPARATOR, quote_char=False, escape_char=False, ignore_empty_lines=False)
        converting = csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False, check_utf8=True)
        try:
            return csv.read_csv(pa.py_buffer(data), reading, parsing, converting).column("line")
        except pa.ArrowInvalid:
            pass  # not UTF-8, or a line longer than a block: found below
    lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return pa.array(lines, pa.string())


def _moment(mtime_ns: int) -> datetime:
    return datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC).replace(tzinfo=None)
