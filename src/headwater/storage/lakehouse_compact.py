"""Compaction of a Delta table: the rows of its small files in fewer, larger ones; nothing else changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headwater.errors import ConnectorError, StateError
from headwater.storage.commits import Effect
from headwater.storage.delta import compact_delta, list_live_files
from headwater.storage.lakehouse_write import Written, place_files
from headwater.storage.parquet import cast_rows, scan_files, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

    from headwater.storage.delta import DeltaChange
    from headwater.storage.lakehouse_write import Base

SMALL_FILE_BYTES = 16 << 20
"""A file below this size is joined with others of its kind; larger ones are left alone: the work stays small."""


def join_files(name: str, base: Base, table: DeltaTable, connection: DuckDBPyConnection, scratch: Path) -> int:
    """Write the rows of the table's small files into fewer files; return how many files were replaced.

    The handle that was read is the one that commits: when the log has grown meanwhile, nothing is changed.

    Raises:
        StateError: Somebody else wrote to the table in between.
        ConnectorError: The new files could not be written or named in the log.
    """
    small = [file for file in list_live_files(table) if file.size_bytes < SMALL_FILE_BYTES]
    if len(small) < 2:
        return 0
    rows = sum(file.rows or 0 for file in small)
    query = scan_files(base.columns, [base.path(file) for file in small], rows=rows)
    files = write_parquet(connection, cast_rows(query, base.columns, base.columns), scratch / "joined")
    if len(files) >= len(small):
        return 0
    counted = [file.rows for file in small]
    if None not in counted and sum(file.rows for file in files) != rows:
        raise ConnectorError(f"{name}: its files do not hold the rows that its log counts", fix="restore them")
    written = Written(table.schema(), base.columns, Effect(), adds=files, removes=small)
    _commit(name, table, place_files(base, written))
    return len(small)


def _commit(name: str, table: DeltaTable, change: DeltaChange) -> None:
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        compact_delta(table, change)
    except (DeltaError, OSError) as error:
        table.update_incremental()
        live = {file.name for file in list_live_files(table)}
        if any(file.path.rpartition("/")[2] in live for file in change.adds):
            return
        for file in change.adds:
            os.unlink(file.path)
        if isinstance(error, CommitFailedError):
            text = f"{name}: somebody else wrote to the table while its files were joined; nothing was changed"
            raise StateError(text, fix="run it again") from error
        raise
