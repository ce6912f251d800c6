"""What parsing gave, by content hash, kept in `.headwater/cache`; deleting it costs time only."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def digest(*parts: str) -> str:
    """Return a short hash of texts, for cache keys and fingerprints."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.encode())
        hasher.update(b"\0")
    return hasher.hexdigest()[:32]


def read_cache(file: Path, stamp: str) -> dict[str, Any]:
    """Return the entries of a cache; a file that cannot be read, is damaged or bears another stamp has none."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stored:  # which does not wait at a pipe
            text = stored.read()
        body = text[len(_head(stamp, b"")) : -1]
        entries = json.loads(body) if text == _head(stamp, body) + body + b"}" else {}
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def write_cache(file: Path, stamp: str, entries: Mapping[str, Any]) -> None:
    """Write a cache, the checksum of its entries before them; a folder that cannot be written is passed over."""
    body = json.dumps(entries).encode()
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(_head(stamp, body) + body + b"}")
        aside.replace(file)
    except OSError:
        with suppress(OSError):
            aside.unlink()


def _head(stamp: str, body: bytes) -> bytes:
    """Return what stands before the entries: who wrote them, and their checksum."""
    return f'{{"stamp": {json.dumps(f"{stamp} {zlib.crc32(body):08x}")}, "entries": '.encode()


class ParseCache:
    """A JSON file of results by key; entries that a load does not ask for are dropped when it is saved.

    Args:
        file: Where it is kept; it need not exist. A file that cannot be read counts as empty.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp = f"{version('headwater')} {version('duckdb')}"
        self._used: dict[str, Any] = {}
        self._stored = self._read()

    def _read(self) -> dict[str, Any]:
        return read_cache(self.file, self._stamp)

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the entry of a key, made and kept when it is not there; values are plain JSON."""
        if key not in self._used:
            self._used[key] = self._stored[key] if key in self._stored else make()
        return self._used[key]

    def save(self) -> None:
        """Write the entries that were used, if they changed; a folder that cannot be written is passed over."""
        if self._used == self._stored:
            return
        write_cache(self.file, self._stamp, self._used)
