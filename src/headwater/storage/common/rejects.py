"""The quarantine of a file store's table: Parquet files beside it, visible once a commit lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import REJECT_COLUMNS
from headwater.core.commit import Column
from headwater.core.fragments import NO_SELECT, SelectSql
from headwater.storage.common.parquet import cast_rows, scan_files, write_parquet
from headwater.storage.common.sql import match_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.storage.common.parquet import DataFile

_COLUMNS = tuple(Column(name, type_text) for name, type_text in REJECT_COLUMNS)
_MOST_FILES = 50
"""More files than this are written into one."""


def scan_rejects(paths: Sequence[str]) -> SelectSql:
    """Return a SELECT over quarantine files, or "" when there is none."""
    return scan_files(_COLUMNS, paths) if paths else NO_SELECT


def write_rejects(
    connection: DuckDBPyConnection, rejects: SelectSql, known: Sequence[str], target: Path
) -> tuple[list[DataFile], bool]:
    """Write the rows of `rejects` whose key is not in the `known` files into a new folder.

    Returns:
        The files, and whether they hold the rows of the known ones as well, of which there were too many.
    """
    if not rejects:
        return [], False
    fresh = cast_rows(rejects, _COLUMNS, _COLUMNS)
    if not known:
        return write_parquet(connection, fresh, target), False
    before = scan_rejects(known)
    same = match_keys(["_reject_key"], "_known", "_fresh")
    fresh = SelectSql(
        f"SELECT * FROM ({fresh}) AS _fresh WHERE NOT EXISTS (SELECT 1 FROM ({before}) AS _known WHERE {same})"
    )
    merged = len(known) >= _MOST_FILES
    return write_parquet(connection, SelectSql(f"({fresh}) UNION ALL ({before})" if merged else fresh), target), merged
