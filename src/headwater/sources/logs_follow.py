"""Following logs through rotation: a log is known by how it begins, not by its name.

A position holds, for each log, what it began with and how far it was read. A file that begins like a known log is that
log, whatever it is called now and however it is packed.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headwater.sources.files_layout import PACKED, open_bytes
from headwater.sources.files_listing import ChangedFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.sources.files_listing import File

HEAD_BYTES = 1024
KEPT_LOGS = 1_000
"""Logs that are no longer there are forgotten when there are more of them: the oldest first."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log and how far it was read.

    Attributes:
        head_bytes: How many bytes `head` was taken of.
        head: Hash of the bytes it begins with.
        offset: Bytes read, of the unpacked text.
        lines: Lines read.
        path: Its path when it was last read.
        inode: Its inode then; 0 for a packed file.
        size_bytes: Size of the file then.
        mtime_ns: Time of its last change then.
    """

    head_bytes: int
    head: str
    offset: int
    lines: int
    path: str
    inode: int
    size_bytes: int
    mtime_ns: int

    def to_json(self) -> list[Any]:
        """Return the log as a position holds it."""
        return [
            self.head_bytes, self.head, self.offset, self.lines, self.path, self.inode, self.size_bytes, self.mtime_ns,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be read of a file: from `log.offset` to `end` (None: to its end, for a packed file).

    `before` is the log as it was known, or None.
    """

    file: File
    log: Log
    end: int | None
    before: Log | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """What is to be read, oldest file first, and the known logs whose file now holds another log.

    What was written to a lost log after it was last read is not known: it was truncated, or its file was moved to where
    the table does not look.
    """

    parts: tuple[Part, ...]
    lost: tuple[Log, ...]


def read_logs(position: Sequence[Any]) -> list[Log]:
    """Read the logs of a position."""
    return [Log(*entry) for entry in position]


def is_packed(path: str) -> bool:
    """Whether a file is packed: it is then complete, and its size says nothing of its text."""
    return path.endswith(PACKED)


def follow(base: str, files: Sequence[File], known: Sequence[Log]) -> Following:
    """Decide what is to be read.

    Two files that begin alike are one log (a copy, or the packed one beside the plain one): what one has given is not
    read from the other. A file without a whole line is not looked at yet.

    Raises:
        ChangedFileError: A file vanished meanwhile.
    """
    logs, found, parts = list(known), set[Log](), []
    for file in sorted(files, key=lambda f: (is_packed(f.path), f.mtime_ns, f.path)):
        head = _read_head(base, file.path)
        if b"\n" not in head and len(head) < HEAD_BYTES:
            continue
        inode = 0 if is_packed(file.path) else _inode(base, file.path)
        before = next((log for log in logs if _is_same(log, file.path, inode, head)), None)
        part = _part(file, before, head, inode, again=before in found)
        read = replace(part.log, offset=max(part.log.offset, part.end or 0))
        if before is not None:
            logs.remove(before)
        logs.append(read)
        found.add(read)
        if _has_news(part):
            parts.append(part)
    paths = {file.path for file in files}
    return Following(tuple(parts), tuple(log for log in logs if log not in found and log.path in paths))


def _is_same(log: Log, path: str, inode: int, head: bytes) -> bool:
    if len(head) < log.head_bytes or _hash(head[: log.head_bytes]) != log.head:
        return False
    return _kin(log, path, inode)


def _kin(log: Log, path: str, inode: int) -> bool:
    """Whether a file that begins like a log may be it: a short beginning alone says little."""
    return log.head_bytes == HEAD_BYTES or inode == log.inode > 0 or _stem(log.path) == _stem(path)


def _stem(path: str) -> str:
    """Return a path without what rotation adds: access.log for access.log.2.gz and access.log-20260101."""
    for ending in PACKED:
        path = path.removesuffix(ending)
    return re.sub(r"([.-]\d+)+$", "", path)


def _part(file: File, before: Log | None, head: bytes, inode: int, *, again: bool) -> Part:
    offset, lines = (before.offset, before.lines) if before else (0, 0)
    if inode and not again and file.size_bytes < offset:
        offset = lines = 0  # cut short, and written anew with the same beginning
    log = Log(len(head), _hash(head), offset, lines, file.path, inode, file.size_bytes, file.mtime_ns)
    return Part(file, log, file.size_bytes if inode else None, before)


def _has_news(part: Part) -> bool:
    if part.end is not None:
        return part.end > part.log.offset
    before = part.before
    return before is None or (part.file.size_bytes, part.file.mtime_ns) != (before.size_bytes, before.mtime_ns)


def _inode(base: str, path: str) -> int:
    try:
        return os.stat(os.path.join(base, path)).st_ino
    except FileNotFoundError:
        raise _gone(path) from None


def _read_head(base: str, path: str) -> bytes:
    try:
        with open_bytes(base, path) as data:
            return data.read(HEAD_BYTES)
    except FileNotFoundError:
        raise _gone(path) from None


def _gone(path: str) -> ChangedFileError:
    return ChangedFileError(f"{path} was listed and is gone", fix="run again", path=path)


def _hash(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:32]


def next_logs(known: Sequence[Log], lost: Sequence[Log], read: Sequence[tuple[Log | None, Log]]) -> list[Log]:
    """Return what the next position holds: of the known logs those not lost, each as far as it was read now."""
    logs = [log for log in known if log not in lost]
    for before, log in read:
        logs = [old for old in logs if old != before and not (old.head == log.head and _kin(old, log.path, log.inode))]
        logs.append(log)
    return sorted(logs, key=lambda log: log.mtime_ns)[-KEPT_LOGS:]
