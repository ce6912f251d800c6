"""Files that survive a crash: written, flushed to the disk, then made visible by one rename or link."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.files import read_regular
from headwater.errors import ConnectorError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_FULL_WORDS = re.compile(r"No space left on device|File too large|Disk quota exceeded|os error (28|27|122)\b")


_SUM = re.compile(r'\{"crc32":"([0-9a-f]{8})",?')


class DamagedFileError(StateError):
    """A file of Headwater's own in a store is not what was written there."""


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush a file that another library wrote."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file by JSON, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(aside, "w", encoding="utf-8") as file:
        file.write(_pack(content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync_folder(path.parent)


def _pack(content: Mapping[str, Any]) -> str:
    """Write JSON with a checksum of its text as the first key: a changed digit would be as good a number."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return f'{{"crc32":"{zlib.crc32(text.encode()):08x}"{"," if content else ""}{text[1:]}'


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what `write_json` or `create_json` wrote, or None when there is no such file.

    Raises:
        DamagedFileError: It is something else. A file of an earlier version has no checksum, and is taken as it is.
    """
    try:
        text = read_regular(path).decode()
        content = json.loads(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DamagedFileError(f"{path} is damaged: it is not the JSON that was written") from None
    summed = _SUM.match(text)
    if not isinstance(content, dict) or (summed and int(summed[1], 16) != _sum_of(text, summed)):
        raise DamagedFileError(f"{path} is damaged: it is not what was written")
    content.pop("crc32", None)
    return content


def _sum_of(text: str, summed: re.Match[str]) -> int:
    return zlib.crc32(f"{{{text[summed.end() :]}".encode())


def create_json(path: Path, content: Mapping[str, Any]) -> bool:
    """Create a file with JSON; False when it exists already. A kill leaves it absent, cut short, or whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(_pack(content))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _FULL or isinstance(error, FileNotFoundError):
            raise
        shutil.copyfile(source, target)
        sync_file(target)


@contextmanager
def report_full_disk(folder: str | Path, *kinds: type[Exception]) -> Iterator[None]:
    """Raise a `ConnectorError` that names the folder when the disk is full; `kinds` are other libraries' errors."""
    import duckdb

    known: tuple[type[Exception], ...] = (OSError, duckdb.Error, *kinds)
    try:
        yield
    except known as error:
        full = explain_full_disk(folder, error)
        if full is None:
            raise
        raise full from error


def explain_full_disk(folder: str | Path, error: Exception) -> ConnectorError | None:
    """Return the error to raise when `error` says that the disk is full, else None."""
    found = _FULL_WORDS.search(str(error))
    if found is None and not (isinstance(error, OSError) and error.errno in _FULL):
        return None
    why = found[0] if found else str(error)
    return ConnectorError(f"cannot write to {folder}: {why}", fix="free space there; nothing visible was changed")


def remove_tree(folder: Path) -> tuple[int, int]:
    """Remove a file or folder; return how many files and bytes that were."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        size_bytes = folder.lstat().st_size
        folder.unlink()
        return 1, size_bytes
    files = [entry for entry in folder.rglob("*") if entry.is_file()] if folder.exists() else []
    size_bytes = sum(entry.stat().st_size for entry in files)
    shutil.rmtree(folder, ignore_errors=True)
    return len(files), size_bytes
