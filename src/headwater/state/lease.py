"""The lease: one run per environment and machine, by an flock that the system gives back when the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from headwater.errors import BusyError

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
    """

    def __init__(self, folder: Path, environment: str = "", *, wait: bool = False) -> None:
        self.file = folder / f"lease{f'-{environment}' if environment else ''}"
        self.wait = wait
        self._descriptor = -1

    def __enter__(self) -> Self:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
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
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"process_id": os.getpid(), "since": time.time()}).encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _holder(self) -> int:
        try:
            return int(json.loads(os.pread(self._descriptor, 4096, 0)).get("process_id", 0))
        except ValueError:
            return 0
