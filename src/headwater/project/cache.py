"""What parsing gave, by content hash, kept in `.headwater/cache`; deleting it costs time only."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

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
        try:
            data = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(data["entries"]) if isinstance(data, dict) and data.get("stamp") == self._stamp else {}

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the entry of a key, made and kept when it is not there; values are plain JSON."""
        if key not in self._used:
            self._used[key] = self._stored[key] if key in self._stored else make()
        return self._used[key]

    def save(self) -> None:
        """Write the entries that were used, if they changed; a folder that cannot be written is passed over."""
        if self._used == self._stored:
            return
        aside = self.file.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"stamp": self._stamp, "entries": self._used}), encoding="utf-8")
            aside.replace(self.file)
        except OSError:
            with suppress(OSError):
                aside.unlink()
