"""Compaction of a Delta table: the rows of its small files in fewer, larger ones; nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts.commits import Effect
from headwater.errors import ConnectorError, StateError
from headwater.storage.common.parquet import cast_rows, scan_files, write_parquet
from headwater.storage.delta.log import compact_delta, list_live_files
from headwater.storage.delta.versions import LostVersionError, check_written, note_version, write_version
from headwater.storage.delta.write import Written, place_files

if TYPE_CHECKING:
    from pathlib import Path

    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

    from headwater.storage.delta.versions import HeldLog
    from headwater.storage.delta.write import Base

SMALL_FILE_BYTES = 16 << 20
"""A file below this size is joined with others of its kind; larger ones are left alone: the work stays small."""


def join_files(
    name: str, base: Base, table: DeltaTable, log: HeldLog, connection: DuckDBPyConnection, scratch: Path
) -> int:
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
    change, version = place_files(base, written), table.version() + 1
    try:
        write_version(log, version, change.adds, lambda mark: compact_delta(table, change, mark))
    except LostVersionError as error:
        text = f"{name}: somebody else wrote to the table while its files were joined; nothing was changed"
        raise StateError(text, fix="run it again") from error
    note_version(table, base.folder, version)
    check_written(name, base.folder, version, [(file.path, file.size_bytes) for file in change.adds])
    return len(small)
