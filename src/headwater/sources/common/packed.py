"""How much packed files may hold: a few kilobytes can unpack to more than any disk has."""

from __future__ import annotations

import os
import zlib
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from headwater.sources.common.layout import PACKED, unpacking
from headwater.sources.common.listing import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.sources.common.listing import File

SMALL_BYTES = 100_000_000
"""So much may any packed file hold."""

MAX_RATIO = 200
"""And for every byte of a larger one so many: texts come to a fifth or a twentieth of their size."""

_MAX_DEFLATE = 1032
"""No byte of gzip unpacks to more."""

_PIECE_BYTES = 1 << 20


def allowed_bytes(packed_bytes: int, max_unpacked: int | None) -> int:
    """Return how much so many packed bytes may hold."""
    return SMALL_BYTES + MAX_RATIO * packed_bytes if max_unpacked is None else max_unpacked


def too_large(path: str, max_unpacked: int | None) -> FileFormatError:
    """Return the error of a file that holds more than it may."""
    what = "far more than its size can explain" if max_unpacked is None else f"more than {max_unpacked:,} bytes"
    fix = "if the file is what it should be, say how much it may hold: max_unpacked: 20 GB"
    return FileFormatError(f"{path} unpacks to {what}", fix=fix, path=path)


def check_unpacked(base: str, files: Iterable[File], max_unpacked: int | None, *, whole: bool = False) -> None:
    """Unpack the packed ones of some files, without keeping anything, where they might hold more than they may.

    Args:
        base: The folder that paths are relative to.
        files: The files.
        max_unpacked: The declared limit.
        whole: To their ends, for their checksums: DuckDB compares none of a packed JSON file (measured with 1.5.5).

    Raises:
        FileFormatError: A file holds more than it may.
        OSError: Its checksum is another one, when `whole`.
        EOFError: It is cut short, when `whole`.
    """
    for file in files:
        if not file.path.endswith(PACKED):
            continue
        most = _MAX_DEFLATE * file.size_bytes if file.path.endswith(".gz") else None
        if whole or most is None or most > allowed_bytes(0, max_unpacked):
            _check(base, file, max_unpacked, whole)


def _check(base: str, file: File, max_unpacked: int | None, whole: bool) -> None:
    """Judge a file by what has been read of it so far: a bomb is told long before its end."""
    unpacked = 0
    with (
        nullcontext() if whole else suppress(OSError, EOFError, zlib.error),
        open(os.path.join(base, file.path), "rb") as packed,
        unpacking(packed, file.path) as data,
    ):
        while piece := data.read(_PIECE_BYTES):
            unpacked += len(piece)
            if unpacked > allowed_bytes(packed.tell(), max_unpacked):
                raise too_large(file.path, max_unpacked)
