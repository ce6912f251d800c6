"""Damage, drawn by a seeded generator: any byte of any file may be another, gone, zero, or elsewhere."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


def flip(data: bytes, draw: Random) -> bytes:
    """Change some single bits."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 5))):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def overwrite(data: bytes, draw: Random) -> bytes:
    """Write random bytes over a part."""
    at, size = draw.randrange(len(data)), draw.choice((1, 4, 64, 4096))
    return data[:at] + draw.randbytes(min(size, len(data) - at)) + data[at + size :]


def digit(data: bytes, draw: Random) -> bytes:
    """Change a digit into another: JSON and CSV stay what they are."""
    places = [at for at, byte in enumerate(data) if byte in b"0123456789"]
    if not places:
        return flip(data, draw)
    at = draw.choice(places)
    return data[:at] + bytes([48 + (data[at] - 48 + draw.randrange(1, 10)) % 10]) + data[at + 1 :]


def cut(data: bytes, draw: Random) -> bytes:
    """Cut the end off, anywhere."""
    return data[: draw.randrange(len(data))]


def zero(data: bytes, draw: Random) -> bytes:
    """Fill a part with zeros, as a crash of the machine leaves blocks."""
    at, size = draw.randrange(len(data)), draw.choice((8, 512, 4096, len(data)))
    return data[:at] + bytes(min(size, len(data) - at)) + data[at + size :]


def swap(data: bytes, draw: Random) -> bytes:
    """Exchange two parts."""
    size = draw.choice((1, 16, 512))
    if len(data) < 2 * size + 1:
        return flip(data, draw)
    one = draw.randrange(len(data) - 2 * size)
    two = draw.randrange(one + size, len(data) - size)
    return data[:one] + data[two : two + size] + data[one + size : two] + data[one : one + size] + data[two + size :]


def leave_out(data: bytes, draw: Random) -> bytes:
    """Lose a part in the middle."""
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.choice((1, 2, 100, 4096)) :]


DAMAGES = (flip, flip, overwrite, digit, cut, zero, swap, leave_out)


def damage_file(file: Path, draw: Random) -> str:
    """Damage a file; return how."""
    data = file.read_bytes()
    how = draw.choice(DAMAGES)
    if not data:
        data, how = b"\0", overwrite
    file.write_bytes(how(data, draw))
    return how.__name__


def remove(file: Path) -> None:
    """Remove whatever lies there."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink()


def replace_file(file: Path, what: str) -> str:
    """Put something else in the place of a file: nothing, a folder, a pipe; or it is gone."""
    file.unlink()
    if what == "nothing":
        file.touch()
    elif what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)
    return what
