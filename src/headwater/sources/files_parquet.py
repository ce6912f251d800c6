"""Parquet: columns by name, whatever each file's own order; a value that does not fit the declared type is a reject."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.sources.files_listing import duckdb_path, explain_errors
from headwater.sql.placeholders import quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.sources.files_listing import File

_EPOCHS = ("EPOCH_S", "EPOCH_MS")


def scan_sql(base: str, files: Sequence[File]) -> str:
    """Return a SELECT of all columns of the files, with `_hw_path` and `file_row_number`."""
    paths = ", ".join(quote_text(duckdb_path(base, file.path)) for file in files)
    return (
        f"SELECT * FROM read_parquet([{paths}], union_by_name=true, filename='_hw_path', file_row_number=true, "
        "hive_partitioning=false)"
    )


def parquet_rows(base: str, files: Sequence[File], connection: DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of files from their footers, by the path of each."""
    paths = {duckdb_path(base, file.path): file.path for file in files}
    if not paths:
        return {}
    listed = ", ".join(map(quote_text, paths))
    found = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])").fetchall()
    whole = {os.path.join(base, path): path for path in paths.values()}
    return {whole[name]: int(rows) for name, rows in found}


def parquet_columns(base: str, files: Sequence[File], connection: DuckDBPyConnection | None = None) -> list[Column]:
    """Read the columns of all files from their footers, by name; on a connection of its own when none is given.

    Raises:
        FileFormatError: A file is not Parquet, or a column has types that do not go together.
    """
    import duckdb

    if not files:
        return []
    with closing(duckdb.connect() if connection is None else connection.cursor()) as own, explain_errors(base, files):
        rows = own.execute(f"DESCRIBE {scan_sql(base, files)}").fetchall()
    return [Column(row[0], row[1]) for row in rows if row[0] not in ("_hw_path", "file_row_number")]


def parquet_query(
    base: str, files: Sequence[File], columns: Sequence[Column], unknown: Sequence[str] = (), *,
    absolute: bool = False, lenient: bool = False,
) -> str:  # fmt: skip
    """Return a SELECT of the columns, `_file`, `_line`, `_rule` and `_reason`.

    A value in an `unknown` column rejects its row, and so does one that does not fit, unless `lenient` (it is NULL).
    """
    found = {column.name.lower(): column for column in parquet_columns(base, files)}
    selected, failed = [], []
    for column in columns:
        name = quote_identifier(column.name)
        here = found.get(column.name.lower())
        wanted = "DOUBLE" if column.type in _EPOCHS else column.type
        if here is None:
            selected.append(f"CAST(NULL AS {wanted}) AS {name}")
        elif here.type == column.type or column.type in _EPOCHS:
            selected.append(f"{quote_identifier(here.name)} AS {name}")
        else:
            value = f"TRY_CAST({quote_identifier(here.name)} AS {wanted})"
            selected.append(f"{value} AS {name}")
            if lenient:
                continue
            reason = quote_text(f"column {name} is not a {column.type}")
            failed.append(f"CASE WHEN {quote_identifier(here.name)} IS NOT NULL AND {value} IS NULL THEN {reason} END")
    casts = f"nullif(concat_ws('; ', {', '.join(failed)}), '')" if failed else "NULL::VARCHAR"
    here_too = [quote_identifier(found[name.lower()].name) for name in unknown if name.lower() in found]
    used = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN {quote_text(name)} END" for name in here_too)
    extra = f"nullif(concat_ws(', ', {used}), '')" if used else "NULL::VARCHAR"
    path = "_hw_path" if absolute else f"substr(_hw_path, {len(base.rstrip(os.sep)) + 2})"
    place = f"{path} AS _file, file_row_number + 1 AS _line"
    rows = f"SELECT {', '.join(selected)}, {place}, {casts} AS _cast, {extra} AS _used"
    return (
        "SELECT * EXCLUDE (_cast, _used), "
        "CASE WHEN _cast IS NOT NULL THEN 'cast' WHEN _used IS NOT NULL THEN 'unknown_column' END AS _rule, "
        "coalesce(_cast, 'not declared: ' || _used) AS _reason "
        f"FROM ({rows} FROM ({scan_sql(base, files)}))"
    )
