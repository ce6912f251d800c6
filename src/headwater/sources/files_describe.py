"""What a table of files is, without reading it: exact for Parquet, proposed from a sample for CSV and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.sources.files_layout import PACKED, open_bytes
from headwater.sources.files_listing import duckdb_path, list_files, listing_version, missing_folder
from headwater.sources.files_parquet import parquet_columns, scan_sql
from headwater.sources.files_zip import is_archive
from headwater.sources.json_rows import proposed_type
from headwater.sql.placeholders import quote_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.sources.files_layout import Dialect
    from headwater.sources.files_listing import File

_SAMPLE_FILES = 3
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 10_000


def describe_files(base: str, pattern: str, kind: str, dialect: Dialect) -> TableDescription:
    """Describe a table: the version is a hash of the list of files, so it changes when any file does."""
    files = list_files(base, pattern)
    folder = missing_folder(base, pattern)
    notes = [f"the folder {folder} does not exist"] if folder else [] if files else [f"no file matches {pattern}"]
    version = listing_version(files)
    full = [file for file in files if file.size_bytes]
    if len(full) < len(files):
        notes.append(f"{len(files) - len(full)} of {len(files)} files are empty")
    if any(is_archive(file.path) for file in full):
        return TableDescription(
            (), (), None, version, notes=(*notes, "what is in archives is not looked at: declare it")
        )
    if kind == "parquet":
        exact = _parquet_rows(base, full)
        return TableDescription(tuple(parquet_columns(base, full)), (), exact, version, notes=tuple(notes))
    columns, more = _propose(base, full[:_SAMPLE_FILES], kind, dialect)
    rows = _estimate_rows(base, full, header=dialect.header and kind in ("csv", "tsv"))
    return TableDescription(columns, (), rows, version, proposed=bool(columns), notes=(*notes, *more))


def _parquet_rows(base: str, files: Sequence[File]) -> int:
    import duckdb

    if not files:
        return 0
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT count(*) FROM ({scan_sql(base, files)})").fetchone()
    return int(row[0]) if row else 0


def _estimate_rows(base: str, files: Sequence[File], *, header: bool) -> int | None:
    """Estimate rows from sizes and the length of the first file's first lines; None for packed files."""
    if not files:
        return 0
    if files[0].path.endswith((*PACKED, ".zip")):
        return None
    with open_bytes(base, files[0].path) as data:
        sample = data.read(_SAMPLE_BYTES)
    lines = sample.count(b"\n") or 1
    total = sum(file.size_bytes for file in files) * lines // len(sample)
    return max(total - (len(files) if header else 0), 0)


def _propose(base: str, files: Sequence[File], kind: str, dialect: Dialect) -> tuple[tuple[Column, ...], list[str]]:
    """Infer columns from the beginning of a few files, for somebody to confirm; whole numbers are BIGINT."""
    import duckdb

    if not files:
        return (), []
    paths = "[" + ", ".join(quote_text(duckdb_path(base, file.path)) for file in files) + "]"
    if kind in ("csv", "tsv"):
        scan = (
            f"read_csv({paths}, header={dialect.header}, delim={quote_text(dialect.delimiter)}, "
            f"quote={quote_text(dialect.quote)}, encoding={quote_text(dialect.encoding)}, "
            f"nullstr=[{', '.join(map(quote_text, dialect.null_values)) or quote_text('')}], "
            f"sample_size={_SAMPLE_ROWS}, ignore_errors=true, null_padding=true, union_by_name=true)"
        )
    else:
        style = "newline_delimited" if kind == "jsonl" else "auto"
        scan = (
            f"read_json({paths}, format='{style}', maximum_depth=2, sample_size={_SAMPLE_ROWS}, "
            f"ignore_errors={kind == 'jsonl'}, union_by_name=true)"
        )
    with duckdb.connect() as connection:
        try:
            rows = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
        except duckdb.Error as error:
            return (), [f"no columns can be proposed from a sample: {str(error).partition(chr(10))[0]}"]
    return tuple(Column(name, proposed_type(type_text)) for name, type_text, *_ in rows), []
