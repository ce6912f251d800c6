"""Lines of a log into a temporary table of DuckDB, matched once; the lines that do not fit are told apart there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifier, quote_text
from headwater.core.policies import SchemaPolicy
from headwater.sources.common.json_rows import JsonProjection
from headwater.sources.common.layout import RAW_CHARACTERS
from headwater.sources.common.listing import FileFormatError
from headwater.sources.logs.format import FORMATS, LogFormat, own_format
from headwater.sources.logs.split import last_line_end, split_lines
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.sources.logs.follow import Part
    from headwater.sources.logs.look import Log
    from headwater.sources.logs.spec import LogsTable
    from headwater.sources.logs.text import LogText

CHUNK_BYTES = 64 * 1024 * 1024
"""Bytes of text per chunk."""


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads one chunk of one log.

    Attributes:
        connection: Where the temporary table is made.
        options: The table's keys.
        columns: The columns to yield.
        policy: What happens to keys of JSON that are not declared.
        token: Makes the temporary table's name unique on the connection.
    """

    connection: DuckDBPyConnection
    options: LogsTable
    columns: tuple[Column, ...]
    policy: SchemaPolicy
    token: str

    @property
    def _table(self) -> str:
        return f"hw_log_{self.token}"

    def take(self, text: LogText) -> SelectSql | None:
        """Read the next lines of a log: a SELECT of their rows, or None when there is no whole line any more.

        Raises:
            ChangedFileError: The file was truncated or written anew while it was read.
            FileFormatError: A line is too long.
        """
        part, log = text.part, text.log
        wanted = CHUNK_BYTES if part.end is None else min(CHUNK_BYTES, part.end - log.offset)
        if wanted <= 0:
            return None
        data = text.read(wanted)
        last = len(data) < wanted if part.end is None else log.offset + len(data) >= part.end
        if not (last and text.is_complete):
            data = data[: last_line_end(data, text.codec)]
        if not data and not last:
            raise FileFormatError(
                f"{part.file.path}: a line is longer than {CHUNK_BYTES} bytes", fix="is it text?", path=part.file.path
            )
        if not data:
            return None
        count = self._load(part, data, text.codec, log)
        text.accept(data, count)
        return self._rows(part)

    def _load(self, part: Part, data: bytes, codec: str, log: Log) -> int:
        """Load lines with their numbers, matched and typed once, into the temporary table; return how many."""
        import pyarrow as pa

        lines = split_lines(data, codec, first=log.offset == 0)
        found = self._format(next((line for line in map(str, lines.text) if line.strip()), ""))
        tried = f"{found.matched} AS s" if found else "TRY_CAST(line AS JSON) AS json"
        count = len(lines.text)
        columns = {"line": lines.text, "n": pa.array(range(log.lines + 1, log.lines + count + 1), pa.int64())}
        if lines.damaged:
            columns["damaged"] = pa.array([index in lines.damaged for index in range(count)])
        view = f"{self._table}_view"
        self.connection.register(view, pa.table(columns))
        damaged = "damaged" if lines.damaged else "FALSE AS damaged"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {self._table} AS "
            f"SELECT n, {quote_text(part.file.path)} AS file, {self._kept(part, found)} "
            f"FROM (SELECT n, line, {damaged}, {tried} FROM {view} WHERE trim(line, e' \t\r') <> '')"
        )
        self.connection.unregister(view)
        return count

    def _kept(self, part: Part, found: LogFormat | None) -> str:
        """SQL of what is kept of a line: its columns, and the line itself where it does not match."""
        if found is None:
            rule = "CASE WHEN damaged THEN 'encoding' WHEN json IS NULL THEN 'unparsed' END AS rule"
            return f"json, {rule}, CASE WHEN rule IS NOT NULL THEN line END AS line, NULL::VARCHAR AS misfit"
        written = f"CAST({timestamp_literal(_moment(part.file.mtime_ns))} AS TIMESTAMP)"
        values = [f"{found.value(column, written)} AS c{index}" for index, column in enumerate(self.columns)]
        misfit = f"CASE WHEN {found.test} THEN {self._misfits(found)} END AS misfit"
        rule = (
            f"CASE WHEN damaged THEN 'encoding' WHEN NOT ({found.test}) THEN 'unparsed' "
            "WHEN misfit IS NOT NULL THEN 'cast' END AS rule"
        )
        line = f"CASE WHEN rule IS NOT NULL THEN left(line, {RAW_CHARACTERS}) END AS line"
        return ", ".join([*values, misfit, rule, line])

    def _misfits(self, found: LogFormat) -> str:
        """SQL of which values of a line are not of their column's type, or NULL."""
        if self.policy == SchemaPolicy.DISCARD_VALUE:
            return "NULL::VARCHAR"
        failed = [(column, found.failed(column, f"c{index}")) for index, column in enumerate(self.columns)]
        told = [
            f"CASE WHEN {test} THEN {quote_text(f'column {column.name} is not a {column.type}')} END"
            for column, test in failed
            if test
        ]
        return f"nullif(concat_ws('; ', {', '.join(told)}), '')" if told else "NULL::VARCHAR"

    def _format(self, first: str) -> LogFormat | None:
        """Return the format of lines, of which the first that is not empty is given; None for JSON."""
        if self.options.format == "json":
            return None
        if self.options.pattern:
            return own_format(self.options.pattern, self.options.types, self.options.time_format)
        if self.options.format == "syslog":
            return FORMATS["rfc5424" if re.match(r"<\d{1,3}>\d{1,2} ", first) else "rfc3164"]
        return FORMATS[str(self.options.format)]

    def _rows(self, part: Part) -> SelectSql:
        place = f"{quote_text(part.file.path)} AS _file"
        if self.options.format == "json":
            told = quote_text(part.file.path)
            projection = JsonProjection(self.columns, self.policy, told, self.connection)
            scan = f"SELECT json, n FROM {self._table} WHERE line IS NULL"
            return projection.select(scan, [place, "n AS _line", "CAST(json AS VARCHAR) AS _raw"])
        values = ", ".join(f"c{index} AS {quote_identifier(column.name)}" for index, column in enumerate(self.columns))
        told = "NULL::VARCHAR AS _rule, NULL::VARCHAR AS _reason"
        return SelectSql(f"SELECT {values}, {place}, n AS _line, {told} FROM {self._table} WHERE line IS NULL")

    def rejects(self) -> tuple[SelectSql, int]:
        """Return a SELECT of the lines that do not fit, and how many there are; it stays when the rows are dropped."""
        row = self.connection.execute(f"SELECT count(line) FROM {self._table}").fetchone()
        if not row or not row[0]:
            return NO_SELECT, 0
        told = self.options.format or "the pattern"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {self._table}_rejects AS "
            "SELECT file AS _file, n AS _line, rule, CASE rule WHEN 'cast' THEN misfit "
            f"WHEN 'encoding' THEN {quote_text(f'the text is not {self.options.encoding}')} "
            f"ELSE {quote_text(f'the line is not {told}')} END AS reason, line AS raw "
            f"FROM {self._table} WHERE line IS NOT NULL"
        )
        return SelectSql(f"SELECT * FROM {self._table}_rejects"), int(row[0])

    def drop(self) -> None:
        """Drop the lines."""
        self.connection.execute(f"DROP TABLE IF EXISTS {self._table}")


def _moment(mtime_ns: int) -> datetime:
    return datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC).replace(tzinfo=None)
