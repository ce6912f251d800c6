"""Files that are taken as they are: images, documents, text, anything. The rows are their catalogue."""

from __future__ import annotations

import codecs
import mimetypes
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from headwater.contracts import Chunk, ChunkEnd, Reading, TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import SelectSql, quote_text
from headwater.errors import ProjectError
from headwater.sources.common.listing import (
    FileFormatError,
    check_unchanged,
    list_groups,
    listing_version,
)
from headwater.sources.common.walk import fixed_folder, list_files, missing_folder
from headwater.sources.files.scan import empty_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.contracts import ObjectCopy, ReadRequest
    from headwater.core.specs import IngestSpec, PrepareRule
    from headwater.core.stores import DeclaredStore
    from headwater.sources.common.listing import File

OBJECT_COLUMNS = (
    Column("path", "VARCHAR"),
    Column("size_bytes", "BIGINT"),
    Column("sha256", "VARCHAR"),
    Column("media_type", "VARCHAR"),
    Column("modified_at", "TIMESTAMP WITH TIME ZONE"),
    Column("object", "VARCHAR"),
)
"""The catalogue: `path` as `_file`, `sha256` in small hexadecimal, `object` the copy's place below the store."""

_AT_ONCE = 8
"""Files copied at the same time: a copy waits for the disk most of the time."""

_BEGIN_BYTES = 1 << 16

_TYPES = mimetypes.MimeTypes()
"""Python's own table of extensions, not the machine's: the same file is the same everywhere."""

_PACKED = {
    "gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz",
    "compress": "application/x-compress", "br": "application/x-brotli",
}  # fmt: skip

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"), (b"%PDF-", "application/pdf"), (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"), (b"\x1f\x8b", "application/gzip"),
)  # fmt: skip


def check_objects(table: IngestSpec, stores: Mapping[str, DeclaredStore]) -> None:
    """Check what a table of objects says of itself.

    Raises:
        ValueError: Its store keeps no objects, it types its columns, or changes what names the copies.
    """
    if table.into in stores and not stores[table.into].capabilities.keeps_objects:
        others = " or ".join(name for name, store in stores.items() if store.capabilities.keeps_objects)
        raise ValueError(
            f"format: objects keeps files as they are, which the {table.into} cannot; write into: {others}"
        )
    typed = [name for name, column in table.columns.items() if column.type is not None]
    if typed:
        known = ", ".join(f"{column.name} {column.type.lower()}" for column in OBJECT_COLUMNS)
        raise ValueError(f"the columns of objects are known; leave the type of {typed[0]} out ({known})")
    if any("object" in _columns_of(rule) for rule in table.prepare):
        raise ValueError("prepare cannot change the column object, which names the copies; leave it as it is")


def _columns_of(rule: PrepareRule) -> set[str]:
    """Return the columns whose name or values a rule may change, in small letters."""
    given = getattr(rule, rule.kind)
    if rule.mask:
        given = rule.mask.columns
    names = [*given, *given.values()] if rule.rename else () if rule.dedupe or rule.trim else given
    return {str(name).lower() for name in names}


def describe_objects(base: str, pattern: str) -> TableDescription:
    """Describe a table of objects: the version changes when any file does."""
    files, folder = list_files(base, pattern), missing_folder(base, pattern)
    notes = (f"the folder {folder} does not exist",) if folder else () if files else (f"no file matches {pattern}",)
    return TableDescription(OBJECT_COLUMNS, (), len(files), listing_version(files), notes=notes)


def check_keeper(table: str, request: ReadRequest) -> None:
    """Check that a table's store keeps objects.

    Raises:
        ProjectError: It does not.
    """
    if request.keep_object is None:
        raise ProjectError(f"the store of {table!r} keeps no objects", fix="write into: lake")


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """One read of a table of objects: the files of a chunk are copied before the chunk is given out."""

    base: str
    pattern: str
    table: str
    request: ReadRequest
    manifest: dict[str, Any]

    def begin(self) -> Reading:
        """Begin the read."""
        return Reading(self.manifest, self._chunks(), ("_file", "_line"), columns=OBJECT_COLUMNS, catalogue=True)

    def _chunks(self) -> Iterator[Chunk]:
        complete = not self.request.incremental
        if complete and not self.manifest["files"] and "empty" not in self.request.finished:
            yield Chunk("empty", empty_query(OBJECT_COLUMNS), lambda: ChunkEnd({"complete": True, "files": {}}))
        for number, name, group in list_groups(self.manifest, self.request.finished):
            check_unchanged(self.base, group)
            query = self._copy(group)
            check_unchanged(self.base, group)
            position: dict[str, Any] = {"files": {file.path: file.entry for file in group}}
            if complete and number == 0:
                position["complete"] = True
            yield Chunk(name, query, partial(ChunkEnd, position))

    def _copy(self, group: Sequence[File]) -> SelectSql:
        """Copy the files of a chunk; return a SELECT of their rows, in literals: there are few, and they are short."""
        with ThreadPoolExecutor(min(_AT_ONCE, len(group))) as pool:
            found = list(pool.map(self._keep, group))
        rows = [
            f"({quote_text(file.path)}, {copy.size_bytes}, {quote_text(copy.sha256)}, {quote_text(media_type)}, "
            f"{file.mtime_ns // 1000}, {quote_text(copy.place)})"
            for file, (copy, media_type) in zip(group, found, strict=True)
        ]
        return SelectSql(
            "SELECT path, CAST(size_bytes AS BIGINT) AS size_bytes, sha256, media_type, "
            "make_timestamptz(CAST(modified_us AS BIGINT)) AS modified_at, object, path AS _file, "
            f"CAST(NULL AS BIGINT) AS _line FROM (VALUES {', '.join(rows)}) "
            "AS files(path, size_bytes, sha256, media_type, modified_us, object)"
        )

    def _keep(self, file: File) -> tuple[ObjectCopy, str]:
        """Copy one file; return the copy and its media type."""
        assert self.request.keep_object is not None
        self._check_place(file)
        source = os.path.join(self.base, file.path)
        try:
            return self.request.keep_object(source), find_media_type(source)
        except OSError as error:
            check_unchanged(self.base, [file])
            if error.filename not in (None, source):
                raise
            raise FileFormatError(
                f"{file.path} cannot be copied: {error.strerror}",
                fix="let the user of the run read it, or take it out of the folder",
                path=file.path,
            ) from None

    def _check_place(self, file: File) -> None:
        """Check where a file really lies, links followed.

        Raises:
            FileFormatError: Outside of the folder that the table's path names.
        """
        folder = fixed_folder(self.pattern)
        place = os.path.realpath(os.path.join(self.base, file.path))
        if not Path(place).is_relative_to(os.path.realpath(os.path.join(self.base, folder))):
            raise FileFormatError(
                f"{file.path} is a link that leads out of the folder {folder or self.base}",
                fix="put the file itself there, or name the folder it lies in",
                path=file.path,
            )


def find_media_type(path: str) -> str:
    """Return the media type of a file: by its extension, else by its first bytes."""
    known, packed = _TYPES.guess_type("x" + PurePosixPath(path).suffix.lower(), strict=False)
    if packed or known:
        return _PACKED.get(packed, "application/octet-stream") if packed else str(known)
    with open(path, "rb") as file:
        begin = file.read(_BEGIN_BYTES)
    for start, media_type in _BEGINNINGS:
        if begin.startswith(start):
            return media_type
    if begin.startswith(b"RIFF") and begin[8:12] == b"WEBP":
        return "image/webp"
    return "text/plain" if _is_text(begin) else "application/octet-stream"


def _is_text(begin: bytes) -> bool:
    """Whether the beginning of a file is UTF-8; a character may be cut off where a long file's beginning ends."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin, final=len(begin) < _BEGIN_BYTES)
    except UnicodeDecodeError:
        return False
    return b"\0" not in begin
