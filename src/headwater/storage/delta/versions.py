"""One version of a table's log: that it is ours is what the version itself says, never what is newest."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.caches import read_cache, write_cache
from headwater.core.files import read_regular
from headwater.errors import ConnectorError, StateError
from headwater.storage.common.disk import DamagedFileError
from headwater.storage.common.folders import own_folder
from headwater.storage.common.parquet import find_damaged
from headwater.storage.delta.log import list_live_files, log_entry, open_delta, read_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from deltalake import DeltaTable

    from headwater.storage.common.parquet import DataFile


_NOTED = "newest version of the log"
"""What the note says of itself, see `note_version`."""


@dataclass(frozen=True, slots=True)
class HeldLog:
    """The log of a table in `folder` as it was before it was read: `descriptor` is open, -1 when there was none."""

    folder: Path
    descriptor: int

    def is_replaced(self) -> bool:
        """Whether the table was dropped since: the log that is there now, if any, is another one."""
        if self.descriptor < 0:
            return False
        try:
            there = os.stat(self.folder / "_delta_log")
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self.descriptor))


@contextmanager
def hold_log(folder: Path) -> Iterator[HeldLog]:
    """Remember which log a table has; call it before the log is read."""
    try:
        descriptor = os.open(folder / "_delta_log", os.O_RDONLY)
    except FileNotFoundError:
        descriptor = -1
    try:
        yield HeldLog(folder, descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


class LostVersionError(Exception):
    """A version was not written: somebody else wrote it, or the table was dropped; nothing is left of ours."""


def write_version(
    log: HeldLog,
    version: int,
    files: Sequence[DataFile],
    write: Callable[[str], None],
    stands: Callable[[], bool] = lambda: True,
) -> None:
    """Write one version of the log that names new files, and see that it is there, whatever came after it.

    The files are removed again only where no version can name them: where the version is somebody else's, or there is
    none. Where that cannot be told they stay until maintenance finds that nobody names them.

    Args:
        log: The table's log, held since before it was read.
        version: The version after the one that was read.
        files: What it adds.
        write: Writes the version, with the mark that it is given.
        stands: Whether the commit that the version makes visible still stands; a drop of the table revokes it.

    Raises:
        LostVersionError: Somebody else was first, or the table was dropped.
        ConnectorError: A file to be named is not there, nothing was written.
        Exception: What `write` raised, when nothing was written.
    """
    from deltalake.exceptions import DeltaError

    if not stands():
        raise LostVersionError
    wrong = find_damaged((file.path, file.size_bytes) for file in files)
    if wrong:
        raise ConnectorError(f"a file is missing or cut short, and nothing was changed: {wrong}", fix="run again")
    if log.is_replaced():
        raise LostVersionError
    failed: Exception | None = None
    mark = uuid.uuid4().hex
    try:
        write(mark)
    except (DeltaError, OSError) as error:
        failed = error
    said, replaced = read_mark(log.folder, version), log.is_replaced()
    if said == mark and (replaced or not stands()):
        _take_back(log.folder, version, mark)
        raise LostVersionError
    if said == mark or failed is None:  # the latter: cleaned away with the log since, or dropped with the table
        return
    unwritten = said is None and not replaced and not _is_beyond(log.folder, version)
    if unwritten or (said is not None and not replaced):
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(file.path)
    if unwritten:
        raise failed
    raise LostVersionError from failed


def _take_back(folder: Path, version: int, mark: str) -> None:
    """Remove a version of ours that was written into the log of a table made later, or of none: it is no version of it.

    What lies in the log at that moment is asked and removed, wherever a drop moves the log meanwhile.
    """
    with suppress(FileNotFoundError):
        descriptor = os.open(folder / "_delta_log", os.O_RDONLY)
        try:
            there = os.listdir(descriptor)
            name = log_entry(folder, version).name
            ours = name in there and mark.encode() in read_regular(name, descriptor)
            if ours and log_entry(folder, version + 1).name not in there:
                os.unlink(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)
    with suppress(OSError):
        (folder / "_delta_log").rmdir()


def _is_beyond(folder: Path, version: int) -> bool:
    """Whether the log has come to a version or passed it: that it is not there then says nothing."""
    table = open_delta(folder)
    return table is not None and table.version() >= version


def log_mark(folder: Path) -> tuple[Any, ...] | None:
    """Return what changes whenever the log grows or is replaced."""
    log = folder / "_delta_log"
    try:
        newest = max(entry for entry in os.listdir(log) if entry.endswith(".json"))
        found = os.stat(log / newest)
        return os.stat(log).st_ino, newest, found.st_ino, found.st_mtime_ns, found.st_size
    except (OSError, ValueError):
        return None


def note_version(table: DeltaTable, folder: Path, version: int) -> None:
    """Remember that a version was written after the handle's own: a log that loses its newest entry looks whole.

    The version is there whether or not this can be written down.
    """
    write_cache(_noted_path(folder), _NOTED, {"log": table.metadata().id, "version": version})


def open_noted(folder: Path) -> DeltaTable | None:
    """Open the table in a folder, if its log holds every version that was noted; None when there is none.

    Raises:
        DamagedFileError: The log cannot be read, or has lost its newest versions.
    """
    noted = read_cache(_noted_path(folder), _NOTED)  # before the log, which grows meanwhile
    table = open_delta(folder)
    if table is not None and noted.get("log") == table.metadata().id and noted["version"] > table.version():
        raise DamagedFileError(
            f"its log {folder / '_delta_log'} has lost what came after version {table.version()} "
            f"(without {_noted_path(folder)} it is taken as it is)"
        )
    return table


def _noted_path(folder: Path) -> Path:
    return own_folder(folder) / "version.json"


def check_written(dataset: str, folder: Path, version: int, files: Sequence[tuple[str, int | None]]) -> None:
    """See that every file of the table, each with its size, is there after a version that names them was written.

    What a later version names no more may be gone.

    Raises:
        StateError: The version is there, and a file that it names is not.
    """
    wrong = find_damaged(files)
    if not wrong:
        return
    table = open_delta(folder)
    live = {str(folder / file.name) for file in list_live_files(table)} if table is not None else set[str]()
    wrong = find_damaged(file for file in files if file[0] in live)
    if wrong:
        raise StateError(
            f"{dataset}: version {version} of its log was written, but {wrong}: somebody removed it meanwhile",
            fix=f"bring the file back; or `headwater run --reset {dataset}` drops the table and makes it anew",
        )
