"""Files that live no longer than their process: one place per project, which only the user can enter.

A folder is `.headwater/tmp/<process id>-<random>`, and its process holds a lock beside it. The system gives the lock
back when the process dies, however it dies: the next command then removes what was left.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
_LOCK = ".lock"


@contextmanager
def temporary_folder(root: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new folder of this process in a project, with mode 0700, and remove it in the end.

    Raises:
        OSError: It cannot be made: nothing may be written below the project.
    """
    folder, lock = _make(place_of(root))
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def place_of(root: str | os.PathLike[str]) -> Path:
    """Return where the processes of a project have their folders."""
    return Path(root, ".headwater", "tmp")


def folder_named(root: str | os.PathLike[str], name: str) -> Path | None:
    """Return the folder of a living process by its name, or None: there is none of that name that is ours."""
    folder = place_of(root) / name
    if not _NAME.fullmatch(name) or place_of(root).is_symlink():
        return None
    with suppress(OSError):
        about = os.lstat(folder)
        if about.st_uid == os.geteuid() and about.st_mode & 0o170777 == 0o040700:
            return folder
    return None


def remove_left(root: str | os.PathLike[str]) -> tuple[int, int]:
    """Remove the folders of processes that are gone; return how many files and bytes there were."""
    place, files, size_bytes = place_of(root), 0, 0
    names: list[str] = []
    with suppress(OSError):
        names = [] if place.is_symlink() else os.listdir(place)
    for name in (found.removesuffix(_LOCK) for found in names if found.endswith(_LOCK)):
        with suppress(OSError):  # another process removes it at the same time
            counted = _remove_if_left(place, name) if _NAME.fullmatch(name) else (0, 0)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    return files, size_bytes


def _make(place: Path) -> tuple[Path, int]:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink():
        raise NotADirectoryError(20, "a link stands where temporary files go", str(place))
    while True:
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        lock = os.open(place / f"{name}{_LOCK}", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:  # else another process saw it before it was locked, and removed it
            break
        os.close(lock)
    folder = place / name
    folder.mkdir(mode=0o700)
    return folder, lock


def _remove_if_left(place: Path, name: str) -> tuple[int, int]:
    lock = os.open(place / f"{name}{_LOCK}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _remove(place / name)
    except BlockingIOError:
        return 0, 0
    finally:
        os.close(lock)


def _remove(folder: Path) -> tuple[int, int]:
    """Remove a folder, then its lock; return files and bytes. A link is removed, never followed."""
    if folder.is_symlink():
        folder.unlink()
    sizes = [os.lstat(os.path.join(base, file)).st_size for base, _, names in os.walk(folder) for file in names]
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        folder.with_name(f"{folder.name}{_LOCK}").unlink(missing_ok=True)
    return len(sizes), sum(sizes)
