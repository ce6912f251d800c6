"""Which files a table is made of: listing, manifest, groups that make a chunk, and whether a file has changed since."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import ConnectorError, Retryable, Terminal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

GROUP_BYTES = 64 * 1024 * 1024
"""Small files are read together up to this size: a query per file is what makes many tiny files slow."""

GROUP_FILES = 2_000


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


def list_files(base: str, pattern: str) -> list[File]:
    """List the regular files that match, in the order of their paths; none at all is not an error.

    `**` matches any depth; hidden files are left out.

    Raises:
        ChangedFileError: A file vanished or cannot be looked at.
    """
    found = []
    for path in glob.glob(pattern, root_dir=base, recursive=True):
        try:
            status = os.stat(os.path.join(base, path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ChangedFileError(f"{path} cannot be read: {error.strerror}", path=path) from error
        if stat.S_ISREG(status.st_mode):
            _check_name(path)
            found.append(File(Path(path).as_posix(), status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda file: file.path)


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise FileFormatError(f"{shown}: the name is not UTF-8, so no row can say that it came from there") from None


def missing_folder(base: str, pattern: str) -> str:
    """Return the folder before the first wildcard when it does not exist, else ""."""
    fixed = fixed_folder(pattern)
    return "" if os.path.isdir(os.path.join(base, fixed)) else fixed or base


def missing_files(base: str, pattern: str) -> str:
    """Say why no file matches."""
    if folder := missing_folder(base, pattern):
        return f"the folder {folder} does not exist"
    if os.path.isdir(os.path.join(base, pattern)):
        return f"{pattern} is a folder, not a file: write {pattern}/* for what is in it"
    return f"no file matches {pattern}"


def fixed_folder(pattern: str) -> str:
    """Return the folder before the first wildcard, "" when there is none."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return os.path.join(*fixed) if fixed else ""


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


@contextmanager
def explain_errors(base: str, files: Sequence[File]) -> Iterator[None]:
    """Turn errors of reading files into errors that name the file and say whether to try again.

    Raises:
        ChangedFileError: A file changed or vanished meanwhile, which explains whatever went wrong.
        FileFormatError: A file is damaged as a whole, or cannot be read.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, EOFError, zlib.error) as error:
        check_unchanged(base, files)
        text = str(error).partition("\n")[0].replace(base.rstrip(os.sep) + os.sep, "")
        names = ", ".join(file.path for file in files[:3]) + (" …" if len(files) > 3 else "")
        raise FileFormatError(
            f"{names}: {text}", fix="mend the file or take it out of the folder", path=files[0].path if files else ""
        ) from None


def duckdb_path(base: str, path: str) -> str:
    """Return the path as DuckDB's readers take it: absolute, with its wildcards made literal."""
    whole = os.path.join(base, path)
    return "".join(f"[{character}]" if character in "[*?" else character for character in whole)
