"""Opening files that may have been replaced: a pipe in a file's place would be waited at for ever."""

from __future__ import annotations

import errno
import os
import stat


def open_regular(path: str | os.PathLike[str], flags: int, folder: int | None = None) -> int:
    """Open a file, never a pipe or a device, without waiting; an `opener` for `open`.

    Args:
        path: The file.
        flags: As of `os.open`.
        folder: A descriptor of the folder from which a relative path is taken.

    Raises:
        OSError: It cannot be opened, or it is not a file.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=folder)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        raise OSError(number, os.strerror(number) if number == errno.EISDIR else "it is not a file", os.fspath(path))
    return descriptor


def read_regular(path: str | os.PathLike[str], folder: int | None = None) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: It cannot be read, or it is not a file.
    """
    with open(open_regular(path, os.O_RDONLY, folder), "rb") as file:
        return file.read()
