"""Columns proposed from the beginning of a few files, for somebody to confirm; and why that cannot be done."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.core.fragments import quote_text
from headwater.sources.common.json_rows import proposed_type
from headwater.sources.common.layout import csv_options, is_exact_in_duckdb, open_text, read_layout
from headwater.sources.common.listing import duckdb_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.sources.common.layout import Dialect
    from headwater.sources.common.listing import File

_SAMPLE_ROWS = 10_000


def propose(
    base: str, files: Sequence[File], kind: str, dialect: Dialect, connection: DuckDBPyConnection
) -> tuple[tuple[Column, ...], list[str]]:
    """Infer columns; whole numbers are BIGINT. When none can be, the notes name the file and the reason."""
    import duckdb

    for file in files if kind in ("csv", "tsv") else ():
        if not is_exact_in_duckdb(base, file.path, dialect.encoding):
            told = "UTF-16 that is big-endian or damaged is not sampled; declare columns"
            return (), [f"no columns can be proposed: {file.path}: {told}"]
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_scan(base, files, kind, dialect)}").fetchall()
    except duckdb.Error as error:
        return (), [_explain(base, files, kind, dialect, connection, error)]
    columns = tuple(Column(name, proposed_type(type_text)) for name, type_text, *_ in rows)
    if kind not in ("csv", "tsv") or not dialect.header:
        return columns, []
    return _in_every_header(base, files, dialect, columns)


def _in_every_header(
    base: str, files: Sequence[File], dialect: Dialect, columns: tuple[Column, ...]
) -> tuple[tuple[Column, ...], list[str]]:
    """Leave out columns that not every header has (a row that is too long makes one): a declared column has to come."""
    headers = [layout.names for file in files if (layout := read_layout(base, file.path, dialect, []))]
    there = set.intersection(*({name.lower() for name in names} for names in headers)) if headers else set()
    odd = [column.name for column in columns if column.name.lower() not in there]
    left = tuple(column for column in columns if column.name not in odd)
    return left, [f"not proposed, since not every file's header has it: {', '.join(odd)}"] if odd else []


def _scan(base: str, files: Sequence[File], kind: str, dialect: Dialect) -> str:
    paths = "[" + ", ".join(quote_text(duckdb_path(base, file.path)) for file in files) + "]"
    if kind in ("csv", "tsv"):
        return (
            f"read_csv({paths}, header={dialect.header}, delim={quote_text(dialect.delimiter)}, "
            f"quote={quote_text(dialect.quote)}, encoding={quote_text(dialect.read_encoding)}, "
            f"nullstr=[{', '.join(map(quote_text, dialect.null_values)) or quote_text('')}], "
            f"sample_size={_SAMPLE_ROWS}, ignore_errors=true, null_padding=true, union_by_name=true)"
        )
    style = "newline_delimited" if kind == "jsonl" else "auto"
    return (
        f"read_json({paths}, format='{style}', maximum_depth=2, sample_size={_SAMPLE_ROWS}, "
        f"ignore_errors={kind == 'jsonl'}, union_by_name=true)"
    )


def _explain(
    base: str, files: Sequence[File], kind: str, dialect: Dialect, connection: DuckDBPyConnection, error: Exception
) -> str:
    """Say which file cannot be sampled, and why: DuckDB names neither in every case."""
    import duckdb

    told, guilty = error, files[0]
    for file in files if len(files) > 1 else ():
        try:
            connection.execute(f"DESCRIBE SELECT * FROM {_scan(base, [file], kind, dialect)}")
        except duckdb.Error as own:
            told, guilty = own, file
            break
    reason, line = ("", 0)
    if kind in ("csv", "tsv"):
        reason, line = _find_damage(base, guilty, dialect)
    reason = reason or str(told).partition("\n")[0].replace(duckdb_path(base, guilty.path), guilty.path)
    place = f"{guilty.path}:{line}" if line else guilty.path
    fix = "mend the file, or declare columns: its bad rows are then rejects"
    return f"no columns can be proposed: {place}: {reason}; {fix}"


def _find_damage(base: str, file: File, dialect: Dialect) -> tuple[str, int]:
    """Return what is wrong with the beginning of a CSV file and in which line, "" when nothing is found."""
    line = 1
    with open_text(base, file.path, dialect.encoding, "strict") as text:
        reader = csv.reader(text, strict=True, **csv_options(dialect))
        try:
            for _ in islice(reader, _SAMPLE_ROWS):
                line = reader.line_num + 1
        except UnicodeError:
            return f"the text is not {dialect.encoding}", line
        except csv.Error as error:
            if "end of data" in str(error):
                return "a quote is opened and never closed", line
            return str(error), line
    return "", 0
