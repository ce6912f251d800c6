"""The text of one log, read on from where it stands, with the digest of what was read."""

from __future__ import annotations

import os
from dataclasses import replace
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO

from headwater.sources.common.encodings import codec_of
from headwater.sources.common.listing import ChangedFileError
from headwater.sources.common.walk import list_files
from headwater.sources.logs.digest import Prefix, tail_begins
from headwater.sources.logs.look import is_at_rest, is_packed, read_up_to, reading

if TYPE_CHECKING:
    from headwater.sources.logs.follow import Part
    from headwater.sources.logs.look import Log


class LogText:
    """The text of a part from `log.offset` on; `log` moves on with what is accepted.

    The file is found by its inode: one that was renamed since it was listed is read under its new name.
    """

    def __init__(self, base: str, pattern: str, encoding: str, part: Part, log: Log) -> None:
        self._base = base
        self._pattern = pattern
        self._encoding = encoding
        self.part = part
        self.log = log
        self.codec = encoding
        self._prefix: Prefix | None = None

    @property
    def is_complete(self) -> bool:
        """Whether a last line without a line end is all there will be of it."""
        return self.part.end is None or is_at_rest(self.part.file)

    def read(self, wanted: int) -> bytes:
        """Read the next bytes, fewer only at the end.

        Raises:
            ChangedFileError: The file was truncated, written anew or rotated away while it was read.
            FileFormatError: It cannot be read, or unpacked.
        """
        part, offset = self.part, self.log.offset
        with reading(self._base, self._find()) as file:
            at = 0
            if self._encoding == "utf-16":
                mark = file.read(2)
                self.codec, at = codec_of(self._encoding, mark), len(mark)
            begin = offset if self._prefix else tail_begins(offset) if self.log.tail else 0
            if begin < at:
                file.seek(0)
                at = 0
            _skip(file, begin - at)
            self._go_on(file, offset - begin)
            data = read_up_to(file, wanted)
        if part.end is not None and len(data) < wanted:
            raise self._changed("was truncated while it was read")
        return data

    def _go_on(self, file: BinaryIO, size_bytes: int) -> None:
        """Bring the digest to where the text stands."""
        if self._prefix is not None:
            return
        prefix = Prefix(self.log.chain)
        if not prefix.read(file, size_bytes):
            raise self._changed("was truncated while it was read")
        if self.log.tail and prefix.tail != self.log.tail:
            raise self._changed("was written anew while it was read")
        self._prefix = prefix

    def accept(self, data: bytes, lines: int) -> None:
        """Move on by bytes that were read, so many lines."""
        assert self._prefix is not None
        self._prefix.update(data)
        self.log = replace(
            self.log, offset=self.log.offset + len(data), lines=self.log.lines + lines,
            chain=self._prefix.chain, tail=self._prefix.tail,
        )  # fmt: skip

    def settle(self) -> None:
        """See to it that the log has its digests, when an earlier version left it without."""
        if self.log.offset and not self.log.tail:
            self.read(0)
            self.accept(b"", 0)

    def _find(self) -> str:
        """Return where the file is now.

        Raises:
            ChangedFileError: It is nowhere to be seen.
        """
        file, log = self.part.file, self.part.log
        if not log.device or self._is_it(file.path):
            return file.path
        for other in list_files(self._base, self._pattern):
            if is_packed(other.path) == is_packed(file.path) and self._is_it(other.path):
                return other.path
        raise self._changed("was rotated away while it was read")

    def _is_it(self, path: str) -> bool:
        try:
            status = os.stat(os.path.join(self._base, path))
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == (self.part.log.device, self.part.log.inode)

    def _changed(self, how: str) -> ChangedFileError:
        path = self.part.file.path
        return ChangedFileError(f"{path} {how}", fix="run again", path=path)


def _skip(file: BinaryIO, offset: int) -> None:
    """Go on by so many bytes in a file; a packed one is read up to there."""
    if offset and isinstance(file, BufferedReader):
        file.seek(offset, os.SEEK_CUR)
        return
    while offset > 0:
        block = file.read(min(offset, 1 << 22))
        if not block:
            return
        offset -= len(block)
