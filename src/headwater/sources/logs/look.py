"""A log as a position holds it, and a file as it is looked at: whether the file holds what was read of the log."""

from __future__ import annotations

import os
import re
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from headwater.sources.common.layout import PACKED, open_bytes
from headwater.sources.common.listing import ChangedFileError, FileFormatError
from headwater.sources.logs.digest import Prefix, digest_of, tail_begins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.sources.common.listing import File

HEAD_BYTES = 1024
_COMPARED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Log:
    """A log and how far it was read.

    Attributes:
        head_bytes: How many bytes `head` was taken of.
        head: Digest of the bytes it begins with.
        offset: Bytes read, of the unpacked text.
        lines: Lines read.
        path: Its path when it was last read.
        inode: Its inode then; 0 for a packed file of an earlier version.
        size_bytes: Size of the file then.
        mtime_ns: Time of its last change then.
        device: The device that `inode` is of; 0 where an earlier version read it.
        chain: With `tail`, the digest of all that was read (see `logs_digest`).
        tail: Empty where an earlier version read it, which knew a log by its head alone.
        told: It was reported as lost; it is known still, for a copy of it may turn up.
    """

    head_bytes: int
    head: str
    offset: int
    lines: int
    path: str
    inode: int
    size_bytes: int
    mtime_ns: int
    device: int = 0
    chain: str = ""
    tail: str = ""
    told: bool = False

    def to_json(self) -> list[Any]:
        """Return the log as a position holds it."""
        return [
            self.head_bytes, self.head, self.offset, self.lines, self.path, self.inode, self.size_bytes, self.mtime_ns,
            self.device, self.chain, self.tail, self.told,
        ]  # fmt: skip

    @property
    def is_told_by_head(self) -> bool:
        """Whether nothing but its beginning is known of what was read."""
        return not self.tail and self.offset > self.head_bytes


COMPLETE_AFTER_S = 60.0
"""A last line without a line end is taken once its file has not been written for so long."""


def is_at_rest(file: File) -> bool:
    """Whether a plain file has not been written to for a while: what it ends with is then all there will be."""
    return time.time() - file.mtime_ns / 1e9 > COMPLETE_AFTER_S


def read_logs(position: Sequence[Any]) -> list[Log]:
    """Read the logs of a position; an earlier version's have fewer entries."""
    return [Log(*entry) for entry in position]


def is_packed(path: str) -> bool:
    """Whether a file is packed: it is then complete, and its size says nothing of its text."""
    return path.endswith(PACKED)


def unpacked_path(path: str) -> str:
    """Return a path without the ending of a packed file."""
    for ending in PACKED:
        path = path.removesuffix(ending)
    return path


def stem(path: str) -> str:
    """Return a path without what rotation adds: access.log for access.log.2.gz and access.log-20260101."""
    return re.sub(r"([.-]\d+)+$", "", unpacked_path(path))


@dataclass(slots=True)
class Looked:
    """A file as it was looked at."""

    base: str
    file: File
    device: int
    inode: int
    head: bytes
    _prefixes: dict[int, tuple[str, str] | None] = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether it is packed."""
        return is_packed(self.file.path)

    @property
    def has_a_line(self) -> bool:
        """Whether it holds a whole line, or as good as one."""
        if b"\n" in self.head or len(self.head) >= HEAD_BYTES:
            return True
        return bool(self.head) and (self.packed or is_at_rest(self.file))

    def is_file_of(self, log: Log) -> bool:
        """Whether it is the very file that the log was last read from, were inodes never used again."""
        return self.inode == log.inode > 0 and log.device in (0, self.device)

    def is_unchanged(self, log: Log) -> bool:
        """Whether it is the file that the log was last read from, and was not written to since."""
        same = self.is_file_of(log) or (log.inode == 0 and self.file.path == log.path)
        return same and (self.file.size_bytes, self.file.mtime_ns) == (log.size_bytes, log.mtime_ns)

    def begins(self, log: Log) -> bool:
        """Whether it begins as the log did."""
        return len(self.head) >= log.head_bytes and digest_of(self.head[: log.head_bytes]) == log.head

    def holds(self, log: Log, places: Sequence[int]) -> bool:
        """Whether it begins with all that was read of a log.

        Of the very file that was read, still at its path, what was read last is compared, of others everything:
        `places` are the offsets that are asked for, so that one pass answers for all of them.
        """
        if not self.begins(log):
            return False
        if log.offset <= log.head_bytes:
            return True
        if not self.packed and (self.file.size_bytes < log.offset or not self.ends_as(log)):
            return False
        if not self.packed and self.is_file_of(log) and self.file.path == log.path:
            return True
        if log.offset not in self._prefixes:
            self._digest(sorted({log.offset, *places}))
        return self._prefixes[log.offset] == (log.chain, log.tail)

    def could_be(self, log: Log) -> bool:
        """Whether it is long enough for what was read of a log."""
        if not self.packed:
            return self.file.size_bytes >= log.offset
        self._digest([log.offset])
        return self._prefixes[log.offset] is not None

    def ends_as(self, log: Log) -> bool:
        """Whether a plain file holds, before the place where the log was read up to, what was read last."""
        if log.offset <= log.head_bytes:
            return self.begins(log)
        begin = tail_begins(log.offset)
        with reading(self.base, self.file.path) as data:
            data.seek(begin)
            found = Prefix()
            return found.read(data, log.offset - begin) and found.tail == log.tail

    def _digest(self, places: Sequence[int]) -> None:
        """Take the digests of the text up to each of some places, in one pass; None where it is shorter."""
        prefix, at, there = Prefix(), 0, True
        with reading(self.base, self.file.path) as data:
            for place in places:
                there = there and prefix.read(data, place - at)
                at = place
                self._prefixes[place] = (prefix.chain, prefix.tail) if there else None

    def is_beginning_of(self, other: Looked) -> bool:
        """Whether all it holds is what the other file begins with."""
        if not other.head.startswith(self.head):
            return False
        with reading(self.base, self.file.path) as mine, reading(self.base, other.file.path) as theirs:
            while piece := mine.read(_COMPARED_BYTES):
                if read_up_to(theirs, len(piece)) != piece:
                    return False
        return True


def read_up_to(data: BinaryIO, size_bytes: int) -> bytes:
    """Read so many bytes, fewer only at the end: a packed stream may give them in pieces."""
    pieces = []
    while size_bytes > 0 and (piece := data.read(size_bytes)):
        pieces.append(piece)
        size_bytes -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def look(base: str, file: File) -> Looked:
    """Look at a file.

    Raises:
        ChangedFileError: It vanished meanwhile.
        FileFormatError: It cannot be read, or unpacked.
    """
    with reading(base, file.path) as data:
        head = read_up_to(data, HEAD_BYTES)
    try:
        status = os.stat(os.path.join(base, file.path))
    except FileNotFoundError:
        raise ChangedFileError(f"{file.path} was listed and is gone", fix="run again", path=file.path) from None
    return Looked(base, file, status.st_dev, status.st_ino, head)


@contextmanager
def reading(base: str, path: str) -> Iterator[BinaryIO]:
    """Open a file, unpacked.

    Raises:
        ChangedFileError: It vanished meanwhile.
        FileFormatError: It cannot be read, or unpacked.
    """
    try:
        with open_bytes(base, path) as data:
            yield data
    except FileNotFoundError:
        raise ChangedFileError(f"{path} was listed and is gone", fix="run again", path=path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: {error}", fix="mend the file or take it out of the folder", path=path) from None
