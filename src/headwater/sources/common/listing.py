"""Which files a table is made of: listing, manifest, groups that make a chunk, and whether a file has changed since."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from headwater.errors import ConnectorError, Retryable, Terminal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

GROUP_BYTES = 64 * 1024 * 1024
"""Small files are read together up to this size: a query per file is what makes many tiny files slow."""

GROUP_FILES = 2_000

_NAMED = 3
"""How many damaged files an error names."""


class FileFormatError(ConnectorError, Terminal):
    """A file cannot be read as what it is declared to be."""


class ChangedFileError(ConnectorError, Retryable):
    """A file was written to, or vanished, while it was read: nothing of it is loaded."""


@dataclass(frozen=True, slots=True)
class File:
    """One file as it was listed; `path` is relative to the base folder, with forward slashes, and is its `_file`."""

    path: str
    size_bytes: int
    mtime_ns: int

    @property
    def entry(self) -> list[int]:
        """What a position remembers of the file."""
        return [self.size_bytes, self.mtime_ns]


def listing_version(files: Sequence[File]) -> str:
    """Return what changes when any file of the list does."""
    text = json.dumps([[file.path, *file.entry] for file in files], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def make_manifest(files: Sequence[File], ledger: Mapping[str, Any], *, incremental: bool) -> dict[str, Any]:
    """Fix what a read covers.

    Keys: `files` ([path, size, mtime_ns] in order), `chunks` ([first, end) into `files`), `changed` (files of `files`
    that were loaded before and differ now: their old rows have to go) and `vanished` (loaded before, no longer there:
    their rows stay).
    """
    known = {file.path: file for file in files}
    wanted = [f for f in files if not incremental or list(ledger.get(f.path) or []) != f.entry]
    return {
        "files": [[file.path, *file.entry] for file in wanted],
        "chunks": group_files(wanted),
        "changed": [file.path for file in wanted if incremental and ledger.get(file.path)],
        "vanished": sorted(path for path in ledger if path not in known),
    }


def group_files(files: Sequence[File]) -> list[list[int]]:
    """Cut a list of files into chunks: one per large file, small ones together."""
    chunks: list[list[int]] = []
    size_bytes = 0
    for index, file in enumerate(files):
        full = size_bytes + file.size_bytes > GROUP_BYTES
        if not chunks or full or index - chunks[-1][0] >= GROUP_FILES:
            chunks.append([index, index])
            size_bytes = 0
        chunks[-1][1] = index + 1
        size_bytes += file.size_bytes
    return chunks


def list_groups(manifest: Mapping[str, Any], finished: Collection[str]) -> Iterator[tuple[int, str, list[File]]]:
    """Yield number, id and files of every chunk that is not finished."""
    files = manifest_files(manifest)
    for number, (first, end) in enumerate(manifest["chunks"]):
        name = f"files-{number:05d}"
        if name not in finished:
            yield number, name, files[first:end]


def manifest_files(manifest: Mapping[str, Any]) -> list[File]:
    """Read the files back from a manifest."""
    return [File(path, size, mtime) for path, size, mtime in manifest["files"]]


def check_unchanged(base: str, files: Sequence[File]) -> None:
    """Compare files with their listing, before and after they are read.

    Raises:
        ChangedFileError: Size or time of last change differ, or the file is gone: it may be half-written.
    """
    for file in files:
        try:
            status = os.stat(os.path.join(base, file.path))
        except OSError as error:
            raise ChangedFileError(
                f"{file.path} was listed and cannot be read any more: {error.strerror}",
                fix="run again when the files are complete",
                path=file.path,
            ) from error
        if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            raise ChangedFileError(
                f"{file.path} changed while it was read ({file.size_bytes} bytes listed, {status.st_size} now)",
                fix="run again when its writer is done; writers do best to rename finished files into place",
                path=file.path,
            )


Probe = Callable[[str, "Sequence[File]"], "Iterator[File]"]
"""Yields the files that cannot be read to their end."""


@contextmanager
def explain_errors(
    base: str, files: Sequence[File], probe: Probe | None = None, *, foreign: bool = False
) -> Iterator[None]:
    """Turn errors of reading files into errors that name the file and say whether to try again.

    Of several files `probe` yields those that cannot be read by themselves. An error may be `foreign`: when there is no
    such file nothing is known of it here, and it is raised as it is.

    Raises:
        ChangedFileError: A file changed or vanished meanwhile, which explains whatever went wrong.
        FileFormatError: A file is damaged as a whole, or cannot be read.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, EOFError, zlib.error, csv.Error, UnicodeError, _arrow_error()) as error:
        check_unchanged(base, files)
        guilty = list(islice(probe(base, files), _NAMED + 1)) if probe and (foreign or len(files) > 1) else []
        if foreign and not guilty:
            raise
        guilty = guilty or list(files)
        text = str(error).partition("\n")[0].replace(base.rstrip(os.sep) + os.sep, "")
        names = ", ".join(file.path for file in guilty[:_NAMED]) + (" …" if len(guilty) > _NAMED else "")
        raise FileFormatError(
            f"{names}: {text}", fix="mend the file or take it out of the folder", path=guilty[0].path if guilty else ""
        ) from None


def _arrow_error() -> type[Exception]:
    """Return what Arrow raises, where it was used at all; another thread may be importing it right now."""
    return cast("type[Exception]", getattr(sys.modules.get("pyarrow"), "ArrowException", OSError))


def duckdb_path(base: str, path: str) -> str:
    """Return the path as DuckDB's readers take it: absolute, with its wildcards made literal."""
    whole = os.path.join(base, path)
    return "".join(f"[{character}]" if character in "[*?" else character for character in whole)
