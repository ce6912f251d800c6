"""What a log holds up to a place, as a digest that can be gone on with later and checked without reading all of it.

A place is told by two digests: `tail` of the last one or two blocks before it, `chain` of all blocks before those.
Where a log goes on in the same file, `tail` is compared; where the file is another one, both are.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

BLOCK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 22


class Prefix:
    """The running digest of a log's bytes, from its beginning or from where a tail begins (`tail_begins`)."""

    __slots__ = ("_filled", "_last", "_open", "chain")

    def __init__(self, chain: str = "") -> None:
        self.chain = chain
        """Digest of the blocks before the last whole one."""
        self._last = b""
        self._open = hashlib.sha256()
        self._filled = 0

    @property
    def tail(self) -> str:
        """Digest of the last whole block and of what follows it."""
        return _short(hashlib.sha256(self._last + self._open.digest()))

    def update(self, data: bytes) -> None:
        """Add the bytes that follow."""
        view, at = memoryview(data), 0
        while at < len(view):
            taken = min(BLOCK_BYTES - self._filled, len(view) - at)
            self._open.update(view[at : at + taken])
            self._filled += taken
            at += taken
            if self._filled == BLOCK_BYTES:
                if self._last:
                    self.chain = _short(hashlib.sha256(self.chain.encode() + self._last))
                self._last, self._open, self._filled = self._open.digest(), hashlib.sha256(), 0

    def read(self, file: BinaryIO, size_bytes: int) -> bool:
        """Add the next bytes of a file; return whether it had as many."""
        while size_bytes > 0:
            data = file.read(min(size_bytes, _PIECE_BYTES))
            if not data:
                return False
            self.update(data)
            size_bytes -= len(data)
        return True


def tail_begins(offset: int) -> int:
    """Return where the tail of a place begins."""
    return max(0, (offset // BLOCK_BYTES - 1) * BLOCK_BYTES)


def digest_of(data: bytes) -> str:
    """Return the digest of a beginning."""
    return _short(hashlib.sha256(data))


def _short(found: hashlib._Hash) -> str:
    return found.hexdigest()[:32]
