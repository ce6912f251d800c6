"""The range of each date and timestamp column over the rows that a commit inserts and removes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headwater.contracts import SYSTEM_COLUMNS
from headwater.model.types import is_time_type
from headwater.storage.sql import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

    from headwater.model.commit import Column

Ranges = dict[str, tuple[str, str] | None]
"""Lowest and highest value per column, as ISO text; None when a value has no such text (infinity, years before 1)."""

_ISO = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?")


def list_time_columns(columns: Iterable[Column]) -> list[Column]:
    """Return the columns whose range a commit records; system columns are not among them."""
    return [column for column in columns if is_time_type(column.type) and column.name not in SYSTEM_COLUMNS]


def read_ranges(connection: DuckDBPyConnection, columns: Iterable[Column], source: str) -> tuple[int, Ranges]:
    """Count the rows of `source` (what may follow FROM) and read the ranges of its time columns in one scan."""
    timed = list_time_columns(columns)
    parts = ["count(*)"]
    for column in timed:
        name = quote_name(column.name)
        zone = " AT TIME ZONE 'UTC'" if "TIME ZONE" in column.type else ""
        parts += [f"CAST(min({name}){zone} AS VARCHAR)", f"CAST(max({name}){zone} AS VARCHAR)"]
    row = connection.execute(f"SELECT {', '.join(parts)} FROM {source}").fetchone() or (0,)
    ranges: Ranges = {}
    for index, column in enumerate(timed):
        low, high = row[1 + 2 * index], row[2 + 2 * index]
        if low is not None:
            ranges[column.name] = _iso_range(low, high, "TIME ZONE" in column.type)
    return row[0], ranges


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
