"""Files that the lake keeps as they are, beside the table that lists them: once per content, named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from headwater.contracts import ObjectCopy
from headwater.core.commit import Column
from headwater.core.files import open_regular
from headwater.storage.common.disk import DamagedFileError, link_file, read_json, sync_folder, write_json
from headwater.storage.common.folders import own_folder, scratch_folder
from headwater.storage.common.parquet import scan_files
from headwater.storage.common.staging import list_chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.storage.common.parquet import DataFile

_COLUMN = Column("object", "VARCHAR")
"""The column of a table that names its objects."""

_BLOCK_BYTES = 1 << 20
_SMALL_BYTES = 16 << 20
"""Up to this size a file is hashed before it is copied: its bytes are then still in the system's cache."""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,16}")


def objects_folder(folder: Path) -> Path:
    """Return the folder of a table's objects."""
    return folder / "_objects"


class Objects:
    """The objects of a lake's tables.

    A file is read once, and hashed while it is copied; but where its bytes may be there already, because it is small or
    as long as another object, they are hashed first, so that nothing is written twice.

    Args:
        lake: The lake's folder.
    """

    def __init__(self, lake: str) -> None:
        self._lake = Path(lake)
        self._sizes: dict[Path, set[int]] = {}

    def keep(self, folder: Path, path: str) -> ObjectCopy:
        """Keep a file in the folder of a table.

        Raises:
            OSError: The file cannot be read, or the copy not be written.
        """
        suffix = Path(path).suffix.lower()
        suffix = suffix if _SUFFIX.fullmatch(suffix) else ""
        with open(path, "rb", buffering=0) as source:
            size_bytes = os.fstat(source.fileno()).st_size
            if size_bytes <= _SMALL_BYTES or size_bytes in self._known_sizes(folder):
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
                found = _place(folder, sha256, suffix)
                if _is_whole(found, source.tell()) and _touch(found):
                    return ObjectCopy(self._name(found), sha256, source.tell())
                source.seek(0)
            return self._copy(folder, source, suffix)

    def _copy(self, folder: Path, source: BinaryIO, suffix: str) -> ObjectCopy:
        """Copy what is left of a file aside, flush it, then give it its name."""
        digest, size_bytes = hashlib.sha256(), 0
        with scratch_folder(folder) as scratch:
            with open(scratch / "object", "xb", buffering=0) as target:
                while block := source.read(_BLOCK_BYTES):
                    digest.update(block)
                    size_bytes += len(block)
                    _write_all(target, block)
                os.fsync(target.fileno())
            place = _place(folder, digest.hexdigest(), suffix)
            _make_folder(place.parent)
            os.replace(scratch / "object", place)
        sync_folder(place.parent)
        if folder in self._sizes:
            self._sizes[folder].add(size_bytes)
        return ObjectCopy(self._name(place), digest.hexdigest(), size_bytes)

    def _known_sizes(self, folder: Path) -> set[int]:
        """Return the sizes of a table's objects, looked at when they are first asked for."""
        if folder not in self._sizes:
            self._sizes[folder] = {entry.stat().st_size for entry in objects_folder(folder).glob("*/*")}
        return self._sizes[folder]

    def _name(self, place: Path) -> str:
        return place.relative_to(self._lake).as_posix()


def find_damaged_objects(folder: Path, lake: Path) -> list[str]:
    """Return the places below the lake of a table's objects whose bytes are not those that their names tell."""
    damaged = []
    for place in sorted(objects_folder(folder).glob("*/*")):
        try:
            with open(place, "rb", buffering=0, opener=open_regular) as held:
                whole = hashlib.file_digest(held, "sha256").hexdigest() == place.name[:64]
        except FileNotFoundError:
            continue  # maintenance has just removed it
        except OSError:
            whole = False
        if not whole:
            damaged.append(place.relative_to(lake).as_posix())
    return damaged


def _touch(place: Path) -> bool:
    """Make a file young: what is about to be named again is not old. False when it has just been removed."""
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


def _place(folder: Path, sha256: str, suffix: str) -> Path:
    return objects_folder(folder) / sha256[:2] / (sha256 + suffix)


def _is_whole(place: Path, size_bytes: int) -> bool:
    try:
        return place.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _write_all(target: BinaryIO, block: bytes) -> None:
    """Write a block that an unbuffered file may take in parts."""
    left = memoryview(block)
    while left:
        left = left[target.write(left) :]


def _make_folder(place: Path) -> None:
    if not place.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        sync_folder(place.parent)
        sync_folder(place.parent.parent)


def has_objects(columns: Iterable[Column]) -> bool:
    """Whether a table may name objects."""
    return any(column.name == _COLUMN.name for column in columns)


def find_lost(connection: DuckDBPyConnection, folder: Path, files: Sequence[str], sequence: int, *, note: bool) -> str:
    """Say which object that the rows of some files, the table at a commit, name is gone, or "".

    The rows are read only when the commit or a folder of objects is another than when all objects were there last.
    """
    seen, places = own_folder(folder) / "objects.json", sorted(objects_folder(folder).glob("*/"))
    stamp = {"sequence": sequence, "folders": [[place.name, place.stat().st_mtime_ns] for place in places]}
    with suppress(DamagedFileError):  # only a cache
        if read_json(seen) == stamp:
            return ""
    prefix = f"{folder.parent.name}/{folder.name}/{objects_folder(folder).name}/"
    there = {entry.name for place in places for entry in place.iterdir()}
    rows = connection.execute(f"SELECT DISTINCT object FROM ({scan_files([_COLUMN], files)})").fetchall()
    for (name,) in rows:
        if str(name).startswith(prefix) and str(name).rpartition("/")[2] not in there:
            return f"its object {folder.parent.parent / name} is gone"
    if note:
        with suppress(OSError):  # only a cache
            write_json(seen, stamp)
    return ""


def name_objects(
    connection: DuckDBPyConnection, folder: Path, columns: Sequence[Column], files: Sequence[DataFile]
) -> list[str]:
    """Return the objects that the rows of some files name; each is there, and none of them is old from now on.

    Raises:
        FileNotFoundError: An object is gone.
    """
    if not files or not objects_folder(folder).is_dir() or not has_objects(columns):
        return []
    found = []
    for name in sorted(_read_names(connection, [file.path for file in files])):
        place = objects_folder(folder) / name[:2] / name
        os.utime(place)
        found.append(str(place))
    return found


def list_objects(folder: Path, *, before_s: float) -> dict[Path, int]:
    """Return the objects that were kept, or named last, before a time, and when that was."""
    found = {}
    for place in objects_folder(folder).glob("*/*"):
        with suppress(FileNotFoundError):
            at_ns = place.stat().st_mtime_ns
            if at_ns / 1e9 < before_s:
                found[place] = at_ns
    return found


def remove_objects(folder: Path, objects: Mapping[Path, int], named: Collection[str]) -> tuple[int, int]:
    """Remove those of the listed objects that nobody names; count files and bytes.

    An object is moved aside before it is removed: who keeps the same bytes from then on copies them, and one that was
    named again since it was listed is put back.
    """
    aside = own_folder(folder) / "objects"
    if not objects and not aside.is_dir():
        return 0, 0
    aside.mkdir(exist_ok=True)
    for left in aside.iterdir():  # of a process that was killed
        _put_back(left, objects_folder(folder) / left.name[:2] / left.name)
    files = size_bytes = 0
    for place, at_ns in objects.items():
        if place.name in named:
            continue
        with suppress(FileNotFoundError):
            os.rename(place, aside / place.name)
            about = (aside / place.name).stat()
            if about.st_mtime_ns != at_ns:
                _put_back(aside / place.name, place)
                continue
            (aside / place.name).unlink()
            files, size_bytes = files + 1, size_bytes + about.st_size
    with suppress(OSError):
        aside.rmdir()
    return files, size_bytes


def _put_back(aside: Path, place: Path) -> None:
    with suppress(FileExistsError):
        link_file(aside, place)
    aside.unlink(missing_ok=True)


def named_objects(connection: DuckDBPyConnection, folder: Path, files_of_loads: Sequence[str]) -> set[str]:
    """Return the names of all objects that a load's files or a staged chunk name."""
    paths = list(files_of_loads)
    for place in own_folder(folder).glob("staging/*/"):
        for _, _, staged in list_chunks(place):
            if any(column.name == _COLUMN.name for column in staged.columns):
                paths += [file.path for file in staged.files if not file.is_damaged()]
    return _read_names(connection, paths)


def _read_names(connection: DuckDBPyConnection, paths: Sequence[str]) -> set[str]:
    rows = connection.execute(f"SELECT DISTINCT object FROM ({scan_files([_COLUMN], paths)})").fetchall()
    return {str(name).rpartition("/")[2] for (name,) in rows if name is not None}
