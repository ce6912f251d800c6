"""The range of each date and timestamp column over the rows that a commit inserts and removes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from headwater.contracts.rows import SYSTEM_COLUMNS
from headwater.core.fragments import quote_identifier
from headwater.core.types import is_time_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column

Ranges = dict[str, tuple[str, str] | None]
"""Lowest and highest value per column, as ISO text; None when a value has no such text (infinity, years before 1)."""

_ISO = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?")


def list_time_columns(columns: Iterable[Column]) -> list[Column]:
    """Return the columns whose range a commit records; system columns are not among them."""
    return [column for column in columns if is_time_type(column.type) and column.name not in SYSTEM_COLUMNS]


def read_ranges(connection: DuckDBPyConnection, columns: Iterable[Column], source: str) -> tuple[int, Ranges]:
    """Count the rows of `source` (what may follow FROM) and read the ranges of its time columns in one scan."""
    rows, ranges, _ = read_ranges_and(connection, columns, source, "NULL")
    return rows, ranges


def read_ranges_and(
    connection: DuckDBPyConnection, columns: Iterable[Column], source: str, more: str
) -> tuple[int, Ranges, Any]:
    """Read what `read_ranges` does, and one more aggregate, in one scan."""
    timed = list_time_columns(columns)
    row = connection.execute(f"SELECT {more}, {_aggregates(timed)} FROM {source}").fetchall()[0]
    return row[1], _ranges_of(row[2:], timed), row[0]


def _aggregates(timed: Iterable[Column]) -> str:
    parts = ["count(*)"]
    for column in timed:
        name = quote_identifier(column.name)
        zone = " AT TIME ZONE 'UTC'" if "TIME ZONE" in column.type else ""
        parts += [f"CAST(min({name}){zone} AS VARCHAR)", f"CAST(max({name}){zone} AS VARCHAR)"]
    return ", ".join(parts)


def _ranges_of(found: Sequence[str | None], timed: Iterable[Column]) -> Ranges:
    ranges: Ranges = {}
    for column, low, high in zip(timed, found[::2], found[1::2], strict=True):
        if low is not None and high is not None:
            ranges[column.name] = _iso_range(low, high, "TIME ZONE" in column.type)
    return ranges


class MeasuredFile(Protocol):
    """A Parquet file with the statistics of its columns, as DuckDB's COPY returns them."""

    @property
    def statistics(self) -> Mapping[str, Mapping[str, str]]:
        """By quoted name: `min`, `max` and others, as text."""
        ...


def ranges_of_files(files: Iterable[MeasuredFile], columns: Iterable[Column]) -> list[Ranges]:
    """Return the ranges per file of the time columns, from the files' footers: they are exact for these types."""
    timed = list_time_columns(columns)
    found = []
    for file in files:
        ranges: Ranges = {}
        for column in timed:
            known = file.statistics.get(quote_identifier(column.name), {})
            if "min" in known:
                zoned = "TIME ZONE" in column.type
                low, high = (known[end].removesuffix("+00") if zoned else known[end] for end in ("min", "max"))
                ranges[column.name] = _iso_range(low, high, zoned)
        found.append(ranges)
    return found


def group_ranges(
    connection: DuckDBPyConnection, columns: Iterable[Column], source: str, group: str
) -> tuple[dict[str, int], list[Ranges]]:
    """Count the rows of `source` per value of the column `group` and read the ranges of its time columns."""
    timed = list_time_columns(columns)
    rows = connection.execute(
        f"SELECT {quote_identifier(group)}, {_aggregates(timed)} FROM {source} GROUP BY ALL"
    ).fetchall()
    return {row[0]: row[1] for row in rows}, [_ranges_of(row[2:], timed) for row in rows]


def _iso_range(low: str, high: str, zoned: bool) -> tuple[str, str] | None:
    if not (_ISO.fullmatch(low) and _ISO.fullmatch(high)):
        return None
    suffix = "+00:00" if zoned else ""
    return low.replace(" ", "T") + suffix, high.replace(" ", "T") + suffix


def join_ranges(ranges: Iterable[Ranges]) -> dict[str, list[str]]:
    """Return the ranges that cover all of `ranges`; a column is left out where one of them is unknown."""
    joined: Ranges = {}
    for part in ranges:
        for name, found in part.items():
            known = joined.get(name, found)
            if known is None or found is None:
                joined[name] = None
            else:
                joined[name] = min(known[0], found[0]), max(known[1], found[1])
    return {name: list(found) for name, found in joined.items() if found is not None}
