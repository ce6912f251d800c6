"""Bodies that come packed: unpacked piece by piece, once, and never to more than their size can explain."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ACCEPTED = "gzip, deflate"
"""What is asked for."""

SMALL_BYTES = 32 * 1024 * 1024
"""So much may any packed body hold."""

MAX_RATIO = 50
"""So much more than its own size may a larger one hold: JSON of rows that are alike comes to a tenth of it."""

_PIECE_BYTES = 1 << 20
_ANY_HEADER = zlib.MAX_WBITS | 32
_NO_HEADER = -zlib.MAX_WBITS


class PackedError(Exception):
    """A body is packed in a way that nobody asked for, or holds more than it should; the text says how."""


class CutOffError(Exception):
    """A packed body ends too early, or is damaged."""


def unpack(encoding: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a body unpacked, in pieces.

    Args:
        encoding: The header Content-Encoding.
        blocks: The body as it came.

    Raises:
        PackedError: It is packed twice or by other means, or unpacks to far more than it is.
        CutOffError: It is not what the header says.
    """
    named = [word.strip().lower() for word in encoding.split(",")]
    kinds = [word for word in named if word not in ("", "identity")]
    if not kinds:
        yield from blocks
        return
    if len(kinds) > 1 or kinds[0] not in ("gzip", "x-gzip", "deflate"):
        raise PackedError(f"the answer is packed as {encoding}, and {ACCEPTED} was asked for")
    packed = unpacked = 0
    pieces = _Pieces()
    for block in blocks:
        packed += len(block)
        for piece in pieces.of(block):
            unpacked += len(piece)
            if unpacked > max(SMALL_BYTES, MAX_RATIO * packed):
                raise PackedError(f"{packed:,} bytes of the answer unpack to more than {unpacked:,}")
            yield piece
    if packed and not pieces.whole:
        raise CutOffError("a packed body that was cut off")


class _Pieces:
    """What blocks of a packed body hold, in pieces of a bounded size."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(_ANY_HEADER)
        self._begun = False

    @property
    def whole(self) -> bool:
        """Whether the end of what was packed has come."""
        return self._unpacker.eof

    def of(self, block: bytes) -> Iterator[bytes]:
        """Yield what a block holds."""
        more = bool(block)
        while more:
            if self._unpacker.eof:  # gzip may be several, one behind the other
                self._unpacker = zlib.decompressobj(_ANY_HEADER)
            piece = self._next(block)
            block = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            more = bool(block) or len(piece) == _PIECE_BYTES  # what has no input left may still hold output
            yield piece

    def _next(self, block: bytes) -> bytes:
        try:
            piece = self._unpacker.decompress(block, _PIECE_BYTES)
        except zlib.error as error:
            if self._begun:
                raise CutOffError(f"a packed body that is damaged: {error}") from None
            self._unpacker, self._begun = zlib.decompressobj(_NO_HEADER), True  # some send deflate bare
            return self._next(block)
        self._begun = True
        return piece
