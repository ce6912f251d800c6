"""Files: CSV, TSV, JSON, JSON lines and Parquet, in one folder or many; and files of any kind, as they are."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationInfo, model_validator

from headwater.contracts import Chunk, ChunkEnd, Reading, Source, TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import NO_SELECT, SelectSql
from headwater.core.layers import Family
from headwater.core.policies import SchemaPolicy
from headwater.core.specs import IngestSpec, Spec, missing_columns, stores_of
from headwater.core.values import PathText, Size, Words
from headwater.errors import ProjectError
from headwater.sources.common.encodings import Encoding
from headwater.sources.common.layout import PACKED, Dialect, find_damaged_packed, read_layout
from headwater.sources.common.listing import (
    FileFormatError,
    check_unchanged,
    explain_errors,
    list_groups,
    make_manifest,
    manifest_files,
)
from headwater.sources.common.packed import check_unpacked
from headwater.sources.common.walk import list_to_read
from headwater.sources.files.csv import CsvReader
from headwater.sources.files.describe import describe_tables
from headwater.sources.files.json import JsonReader, find_damaged_json, find_lines
from headwater.sources.files.objects import ObjectRead, check_keeper, check_objects
from headwater.sources.files.parquet import find_damaged_parquet, parquet_columns, parquet_query, read_layouts
from headwater.sources.files.scan import CsvScan, empty_query
from headwater.sources.files.zip import Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.contracts import ReadRequest
    from headwater.sources.common.listing import File

Format = Literal["csv", "tsv", "json", "jsonl", "parquet", "objects"]

_EXTENSIONS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip


_EXTRA = {
    "csv": ("_file", "_line", "_rule", "_reason"), "tsv": ("_file", "_line", "_rule", "_reason"),
    "parquet": ("_file", "_line", "_rule", "_reason"),
    "json": ("_file", "_line", "_raw", "_rule", "_reason"), "jsonl": ("_file", "_line", "_raw", "_rule", "_reason"),
}  # fmt: skip
"""What the chunks of each format yield beside the columns."""


class FilesConnection(Spec):
    """Where the files are: a folder relative to the project, the project's own when left out."""

    path: PathText = ""


class FilesTable(IngestSpec):
    """One table of files.

    `path` may hold `*`, `?`, `[…]` and `**`. `format` comes from the extension when left out (`.gz`, `.zst`
    and `.zip` are passed over; every file of an archive is read). With `objects` the files go into the lake as they
    are, and the table is their catalogue.
    The other keys are for CSV and TSV: `null_values` are texts that mean NULL (the empty one by default),
    `timestamp_format` and `date_format` are in strptime's language.
    `max_unpacked` is how much a packed file may hold; by default 100 MB and 200 times its own size.
    """

    path: Annotated[PathText, Field(min_length=1)]
    format: Format | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    header: bool = True
    encoding: Encoding = "utf-8"
    null_values: Words = Field(default_factory=lambda: [""])
    timestamp_format: str = ""
    date_format: str = ""
    max_unpacked: Size | None = None

    @model_validator(mode="after")
    def _objects_are_left_alone(self, info: ValidationInfo) -> FilesTable:
        if self.format == "objects":
            check_objects(self, stores_of(info))
        return self

    @property
    def kind(self) -> Format:
        """The format, declared or from the extension.

        Raises:
            ProjectError: The extension says nothing.
        """
        if self.format:
            return self.format
        name = self.path.lower()
        for packed in (*PACKED, ".zip"):
            name = name.removesuffix(packed)
        found = _EXTENSIONS.get(PurePosixPath(name).suffix)
        if found is None:
            raise ProjectError(
                f"the extension of {self.path!r} does not say what the files are",
                fix=f"set format to one of {', '.join(sorted(get_args(Format)))}",
            )
        return found

    @property
    def dialect(self) -> Dialect:
        """How CSV files of this table are written."""
        delimiter = self.delimiter or ("\t" if self.kind == "tsv" else ",")
        return Dialect(
            delimiter=delimiter,
            quote=self.quote,
            header=self.header,
            encoding=self.encoding,
            null_values=tuple(self.null_values),
            timestamp_format=self.timestamp_format,
            date_format=self.date_format,
        )


class Files(Source):
    """Files of rows, and files as they are.

    Emits: the declared columns, `_file`, `_line` (NULL unless the order of rows decides something) and, for JSON,
    `_raw`. Of objects, a row for each file that the store has copied (`OBJECT_COLUMNS`).
    Units and time zone: times without a zone stay without one; with one they become instants in UTC. `epoch_s` and
    `epoch_ms` are numbers since 1970-01-01 UTC.
    State: `files`: path to [size in bytes, time of last change in ns], of the files of this load only. A full load says
    `complete`. A file that vanished keeps its entry and its rows.
    Delivery: every row of a file once, as a row or as a reject. A changed file comes whole: its old rows have to be
    replaced. A file that changes while it is read fails the read, retryably.
    Raises: ConnectorError for files that are not what they are declared to be or cannot be read, and for a path without
    wildcards that names no file; ChangedFileError (retryable) for files that change or vanish.
    Source: the folder below `path` of the connection, or the project's.
    """

    kind: ClassVar[str] = "files"
    family: ClassVar[Family] = Family.FILES
    connection_spec: ClassVar[type[Spec]] = FilesConnection
    table_spec: ClassVar[type[Spec]] = FilesTable
    lists_keys: ClassVar[bool] = False

    def __init__(self, spec: FilesConnection, root: str) -> None:
        self._root = root
        self._base = os.path.abspath(os.path.join(root, spec.path))

    def lineage_name(self, table: str, options: FilesTable) -> tuple[str, str]:
        """Return the path, as for every file."""
        return "file", str(Path(self._base, options.path))

    def describe(self, tables: Mapping[str, FilesTable]) -> dict[str, TableDescription]:
        """Describe tables: exact columns for Parquet and objects, a proposal from a sample for CSV and JSON."""
        return describe_tables(self._base, self._root, tables)

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: the list of files, with sizes and times of last change, is its bound."""
        options: FilesTable = request.options
        manifest = request.manifest
        if options.kind == "objects":
            check_keeper(table, request)
        if manifest is None:
            ledger = request.position.get("files", {}) if request.incremental else {}
            files = list_to_read(self._base, options.path)
            manifest = make_manifest(files, ledger, incremental=request.incremental)
        if options.kind == "objects":
            return ObjectRead(self._base, options.path, table, request, dict(manifest)).begin()
        unpacked = Unpacked.of(self._root, self._base, manifest_files(manifest), options.max_unpacked)
        return _FileRead(self._base, table, request, dict(manifest), unpacked).begin()


@dataclass(frozen=True, slots=True)
class _FileRead:
    """One read of one table."""

    base: str
    table: str
    request: ReadRequest
    manifest: dict[str, Any]
    unpacked: Unpacked

    def begin(self) -> Reading:
        options: FilesTable = self.request.options
        files = manifest_files(self.manifest)
        with ExitStack() as undo:
            undo.callback(self.unpacked.close)
            columns = self._columns(options, self.unpacked.members(files))
            undo.pop_all()
        kept = self._kept(columns)
        locate = partial(find_lines, self.unpacked.base) if options.kind == "jsonl" else None
        return Reading(self.manifest, self._chunks(files, columns), _EXTRA[options.kind], columns=kept, locate=locate)

    def _kept(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The columns that the chunks yield: the policies that discard have no place for one that is not declared."""
        policy = self.request.ingest.schema_policy
        return self.request.columns if policy in (SchemaPolicy.DISCARD_ROW, SchemaPolicy.DISCARD_VALUE) else columns

    def _columns(self, options: FilesTable, files: Sequence[File]) -> tuple[Column, ...]:
        """The declared columns, and those that only the files have: as text, or with the type Parquet gives."""
        declared = self.request.columns
        if not declared:
            raise ProjectError(
                f"table {self.table!r} has no columns, and nothing is inferred unattended",
                fix="declare columns, or run once in a terminal to have them proposed",
            )
        if options.kind == "parquet":
            layouts = read_layouts(self.unpacked.base, files, self.request.connection)
            for layout, alike in layouts.items():
                self._check_given(alike[0], [field.name for field in layout])
            found = parquet_columns(layouts, self.request.connection)
        elif options.kind in ("csv", "tsv") and options.header:
            found = self._headers(options, files)
        else:
            return declared
        known = {column.name.lower() for column in declared}
        new = [column for column in found if column.name.lower() not in known]
        if self.request.ingest.schema_policy == SchemaPolicy.FREEZE:
            self._refuse(declared, found, new, files)
        return (*declared, *new)

    def _headers(self, options: FilesTable, files: Sequence[File]) -> list[Column]:
        names: dict[str, Column] = {}
        declared = [column.name for column in self.request.columns]
        for file in files:
            with explain_errors(self.unpacked.base, [file]):
                layout = read_layout(self.unpacked.base, file.path, options.dialect, declared)
            if layout is None:
                continue
            self._check_given(file, layout.names)
            for name in layout.names:
                names.setdefault(name.lower(), Column(name, "VARCHAR"))
        return list(names.values())

    def _check_given(self, file: File, names: Sequence[str]) -> None:
        """Refuse a file that lacks a declared column: its rows would be NULL there, and nobody told."""
        missing = missing_columns(self.request.ingest, names)
        if missing and self.request.ingest.schema_policy != SchemaPolicy.FREEZE:  # freeze tells of everything at once
            what = ", ".join(missing)
            raise FileFormatError(
                f"{file.path} has no column {what}, which is declared (it has {', '.join(names)[:200]})",
                fix=f"mend one of them; where files may lack it, declare {missing[0]}: {{type: …, optional: true}}",
                path=file.path,
            )

    def _refuse(
        self, declared: Sequence[Column], found: Sequence[Column], new: Sequence[Column], files: Sequence[File]
    ) -> None:
        """Refuse columns that are new or missing: the policy is freeze."""
        there = {column.name.lower() for column in found}
        missing = [column.name for column in declared if files and column.name.lower() not in there]
        if new or missing:
            what = [f"new: {', '.join(column.name for column in new)}"] if new else []
            what += [f"missing: {', '.join(missing)}"] if missing else []
            raise ProjectError(
                f"the columns of {self.table!r} are not those declared ({'; '.join(what)}) and schema is freeze",
                fix="declare the columns, or allow schema: evolve",
            )

    def _chunks(self, files: Sequence[File], columns: tuple[Column, ...]) -> Iterator[Chunk]:
        with closing(self.unpacked):
            yield from self._groups(files, columns)

    def _groups(self, files: Sequence[File], columns: tuple[Column, ...]) -> Iterator[Chunk]:
        complete = not self.request.incremental
        if complete and not files:
            if "empty" not in self.request.finished:
                yield Chunk(
                    "empty", self._empty(self._kept(columns)), lambda: ChunkEnd({"complete": True, "files": {}})
                )
            return
        token = uuid.uuid4().hex[:12]
        for number, name, group in list_groups(self.manifest, self.request.finished):
            check_unchanged(self.base, group)
            chunk = self._chunk(name, f"{token}_{number}", group, columns, complete=complete and number == 0)
            with explain_errors(self.unpacked.base, self.unpacked.members(group), self._find_damaged, foreign=True):
                yield chunk

    def _find_damaged(self, base: str, files: Sequence[File]) -> Iterator[File]:
        """Yield the files that cannot be read to their end: a chunk's query runs elsewhere, with more than them."""
        kind = self.request.options.kind
        if kind == "parquet":
            return find_damaged_parquet(base, files)
        packed = find_damaged_packed(base, files)
        return chain(packed, find_damaged_json(base, files, lines=kind == "jsonl")) if "json" in kind else packed

    def _empty(self, columns: Sequence[Column]) -> SelectSql:
        options: FilesTable = self.request.options
        more = "".join(f", NULL::VARCHAR AS {name}" for name in _EXTRA[options.kind][2:])
        return SelectSql(f"SELECT *{more} FROM ({empty_query(columns)})")

    def _chunk(
        self, name: str, token: str, group: Sequence[File], columns: tuple[Column, ...], *, complete: bool
    ) -> Chunk:
        options: FilesTable = self.request.options
        absolute = os.path.isabs(options.path)
        ordered = needs_order(self.request)
        position: dict[str, Any] = {"files": {file.path: file.entry for file in group}}
        if complete:
            position["complete"] = True
        connection, base, members = self.request.connection, self.unpacked.base, self.unpacked.members(group)
        lenient = self.request.ingest.schema_policy == SchemaPolicy.DISCARD_VALUE
        with explain_errors(base, members, self._find_damaged):
            check_unpacked(base, members, options.max_unpacked, whole="json" in options.kind)
        kept = self._kept(columns)
        unknown = () if lenient else tuple(column.name for column in columns if column not in kept)
        if options.kind == "parquet":
            with explain_errors(base, members, self._find_damaged):
                layouts = read_layouts(base, members, connection)
                query = parquet_query(
                    base, layouts, kept, unknown, token, connection,
                    absolute=absolute, lenient=lenient, shown=not self.request.ingest.hides_values,
                )  # fmt: skip
            return Chunk(name, query, lambda: self._end(group, position, NO_SELECT, 0))
        if options.kind in ("json", "jsonl"):
            members = [member for member in members if member.size_bytes]  # of a packed file, nothing is no document
            if not members:
                return Chunk(name, self._empty(kept), lambda: self._end(group, position, NO_SELECT, 0))
            ingest = self.request.ingest
            reader = JsonReader(connection, base, columns, ingest, ordered, options.kind == "jsonl", token, absolute)
            with explain_errors(base, members, self._find_damaged):
                query = reader.query(members, "j")

            def end() -> ChunkEnd:
                with explain_errors(base, members, self._find_damaged):
                    found, broken = reader.rejects(members, "j")
                return self._end(group, position, found, broken)

            return Chunk(name, query, end)
        scan = CsvScan(
            connection, base, options.dialect, kept if lenient else columns, ordered, token, absolute, lenient
        )
        loaded = CsvReader(scan, unknown)
        with explain_errors(base, members, self._find_damaged):
            query, rejects, rejected, lines = loaded.read_group(members)
        return Chunk(name, query, lambda: self._end(group, position, rejects, rejected, lines), loaded.drop_rows)

    def _end(
        self, group: Sequence[File], position: dict[str, Any], rejects: SelectSql, rejected: int, swallowed: int = 0
    ) -> ChunkEnd:
        check_unchanged(self.base, group)
        return ChunkEnd(position, rejects, rejected, swallowed=swallowed)


def needs_order(request: ReadRequest) -> bool:
    """Whether the order of rows in a file decides which one stays: a key without cursor, or a `dedupe`."""
    ingest = request.ingest
    return bool(ingest.key and not ingest.cursor) or any(rule.dedupe for rule in ingest.prepare)
