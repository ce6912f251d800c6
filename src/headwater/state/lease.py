"""The lease: one run per environment and machine, by an flock that the system gives back when the process dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any

from headwater.core.files import open_regular
from headwater.errors import BusyError, StateError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class Lease:
    """Holds the project for one run.

    Args:
        folder: `.headwater` of the project.
        environment: Name of the environment, "" for the default one.
        wait: Wait until the other run ends instead of raising.

    Raises:
        BusyError: On entering, when another process holds it and `wait` is false; it names the process.
        StateError: On entering, when something else stands in its place.
    """

    def __init__(self, folder: Path, environment: str = "", *, wait: bool = False) -> None:
        self.file = folder / f"lease{f'-{environment}' if environment else ''}"
        self.wait = wait
        self._descriptor = -1

    def __enter__(self) -> Self:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._descriptor = _open(self.file, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            told = f"the lease {self.file} cannot be used: {error.strerror}"
            odd = error.errno in (errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO)
            fix = "remove it: nothing is kept in it" if odd else "see its rights; the run of another user may hold it"
            raise StateError(told, fix=fix) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = self._holder()
            os.close(self._descriptor)
            raise BusyError(
                f"another run holds the project (process {holder})",
                process_id=holder,
                fix="wait for it (--wait waits), or stop that process",
            ) from None
        self._write({"process_id": os.getpid(), "since": time.time()})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def announce(self, folder: str) -> None:
        """Say in which temporary folder of the project the holder can be asked."""
        self._write({**_read(self._descriptor), "folder": folder})

    def _write(self, said: dict[str, Any]) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(said).encode(), 0)

    def _holder(self) -> int:
        return _process_id(_read(self._descriptor))


def find_holder(folder: Path, environment: str = "") -> tuple[int, str]:
    """Return the process that holds a project's lease, by its own word, and its folder where it can be asked."""
    try:
        descriptor = _open(Lease(folder, environment).file, os.O_RDONLY)
    except OSError:
        return 0, ""
    try:
        said = _read(descriptor)
    finally:
        os.close(descriptor)
    return _process_id(said), str(said.get("folder", ""))


def _open(file: Path, flags: int) -> int:
    """Open the lease itself: never what a link in its place leads to, and nothing that is no file."""
    return open_regular(file, flags | os.O_NOFOLLOW)


def _process_id(said: dict[str, Any]) -> int:
    found = said.get("process_id")
    return found if isinstance(found, int) else 0


def _read(descriptor: int) -> dict[str, Any]:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
