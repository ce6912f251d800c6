"""What parsing gave, by content hash, kept in `.headwater/cache`; deleting it costs time only."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from headwater.caches import read_cache, write_cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def digest(*parts: str) -> str:
    """Return a short hash of texts, for cache keys and fingerprints."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.encode())
        hasher.update(b"\0")
    return hasher.hexdigest()[:32]


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
