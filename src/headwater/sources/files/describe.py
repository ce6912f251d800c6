"""What tables of files are, without reading them: exact for Parquet, proposed from a sample for CSV and JSON.

What was found out is kept by path, size and time of last change, so that only what is new is looked at again.
"""

from __future__ import annotations

import zlib
from contextlib import closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.core.policies import LoadMode
from headwater.core.specs import missing_columns
from headwater.sources.common.layout import PACKED, open_bytes, read_layout
from headwater.sources.common.listing import FileFormatError, explain_errors, listing_version
from headwater.sources.common.walk import list_files, missing_files
from headwater.sources.files.known import KnownTables
from headwater.sources.files.objects import describe_objects
from headwater.sources.files.parquet import Nodes, parquet_columns, parquet_rows, read_layouts, read_nodes
from headwater.sources.files.sample import propose
from headwater.sources.files.zip import is_archive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.sources.common.listing import File
    from headwater.sources.files.source import FilesTable

_SAMPLE_FILES = 3
_SAMPLE_BYTES = 1 << 16
_HEADERS = 500


def describe_tables(base: str, root: str, tables: Mapping[str, FilesTable]) -> dict[str, TableDescription]:
    """Describe tables: the version of each is a hash of its list of files, so it changes when any file does.

    Raises:
        FileFormatError: A file is not what it is declared to be.
    """
    known = KnownTables(root, base)
    listed = {name: list_files(base, options.path) for name, options in tables.items() if options.kind != "objects"}
    with closing(_Describing(base, known)) as describing:
        try:
            parquet = {name: files for name, files in listed.items() if tables[name].kind == "parquet"}
            describing.count(parquet.values())
            return {name: describing.describe(options, listed.get(name, ())) for name, options in tables.items()}
        finally:
            known.save()


class _Describing:
    """One round of describing, with one connection for all tables."""

    def __init__(self, base: str, known: KnownTables) -> None:
        self._base = base
        self._known = known
        self._rows: dict[str, int] = {}
        self._nodes: Nodes = {}

    @cached_property
    def _connection(self) -> DuckDBPyConnection:
        import duckdb

        return duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})

    def close(self) -> None:
        if "_connection" in self.__dict__:
            self._connection.close()

    def count(self, tables: Collection[Sequence[File]]) -> None:
        """Count the rows of tables of Parquet that are not known yet, by one query for all of them."""
        import duckdb

        new = [files for files in tables if self._known.find(_key(files, "parquet", "")) is None]
        files = {file.path: file for files in new for file in files if file.size_bytes and not is_archive(file.path)}
        with suppress(duckdb.Error, OSError, FileFormatError):  # a damaged file: told for its table alone
            if files:
                self._rows = parquet_rows(self._base, list(files.values()), self._connection)
                self._nodes = read_nodes(self._base, list(files.values()), self._connection)

    def describe(self, options: FilesTable, files: Sequence[File]) -> TableDescription:
        """Describe one table.

        Raises:
            FileFormatError: A file is not what it is declared to be.
        """
        base, pattern, kind = self._base, options.path, options.kind
        if kind == "objects":
            return describe_objects(base, pattern)
        notes = [] if files else [missing_files(base, pattern)]
        version = listing_version(files)
        full = [file for file in files if file.size_bytes]
        if empty := [file.path for file in files if not file.size_bytes]:
            some = ", ".join(empty[:3]) + (" …" if len(empty) > 3 else "")
            notes.append(f"{len(empty)} of {len(files)} files are empty: {some}")
        if any(is_archive(file.path) for file in full):
            notes.append("what is in archives is not looked at: declare it")
            return TableDescription((), (), None, version, notes=tuple(notes))
        columns, rows, more = self._look(full, options)
        proposed = bool(columns) and kind != "parquet"
        missing = self._missing(full, options)
        notes += more
        return TableDescription(columns, (), rows, version, proposed, tuple(notes), missing=missing)

    def _missing(self, files: Sequence[File], options: FilesTable) -> tuple[str, ...]:
        """Return the declared columns that a file with a header lacks; an incremental load reads the newest ones."""
        if options.kind not in ("csv", "tsv") or not options.header or not options.columns:
            return ()
        some = sorted(files, key=lambda file: file.mtime_ns)[
            -1 if options.load == LoadMode.INCREMENTAL else -_HEADERS :
        ]
        lacking: dict[str, None] = {}
        for file in some:
            with suppress(OSError, EOFError, ValueError, zlib.error, FileFormatError):  # told when it is read
                layout = read_layout(self._base, file.path, options.dialect, list(options.columns))
                lacking |= dict.fromkeys(missing_columns(options, layout.names) if layout else ())
        return tuple(lacking)

    def _look(self, files: Sequence[File], options: FilesTable) -> tuple[tuple[Column, ...], int | None, list[str]]:
        """Return the columns and rows of files; those of a sample only where they are not all declared."""
        kind, sampled = options.kind, not _all_declared(options)
        key = _key(files, kind, repr(options.dialect) if sampled and kind != "parquet" else "")
        if (known := self._known.find(key)) is not None:
            return (*known, [])
        notes: list[str] = []
        with explain_errors(self._base, files):
            if kind == "parquet":
                layouts = read_layouts(self._base, files, self._connection, self._nodes) if files else {}
                columns = tuple(parquet_columns(layouts, self._connection))
                if not all(file.path in self._rows for file in files):
                    self._rows |= parquet_rows(self._base, files, self._connection)
                rows: int | None = sum(self._rows[file.path] for file in files)
            else:
                columns, notes = (), []
                if files and sampled:
                    some = files[:_SAMPLE_FILES]
                    columns, notes = propose(self._base, some, kind, options.dialect, self._connection)
                rows = _estimate_rows(self._base, files, header=options.header and kind in ("csv", "tsv"))
        if not notes:
            self._known.keep(key, columns, rows)
        return columns, rows, notes


def _key(files: Sequence[File], kind: str, sampled: str) -> list[str]:
    """Return what a description is kept by; of empty files there is nothing to tell."""
    return [listing_version([file for file in files if file.size_bytes]), kind, sampled]


def _all_declared(options: FilesTable) -> bool:
    return bool(options.columns) and all(column.type is not None for column in (options.columns or {}).values())


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
