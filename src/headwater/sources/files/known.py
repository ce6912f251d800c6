"""What is known of files by their paths, sizes and times of last change; losing it costs time only."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.caches import read_cache, write_cache
from headwater.core.commit import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

Known = tuple[tuple[Column, ...], int | None]
"""Columns and rows."""

_READER = "2"
"""Counts up when the same files are described otherwise."""


class KnownTables:
    """Columns and rows of lists of files, in `.headwater/cache` of the project.

    A file that cannot be read, or holds something else, counts as empty; one that cannot be written is passed over.
    """

    def __init__(self, root: str, base: str) -> None:
        name = hashlib.sha256(base.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._file = Path(root, ".headwater", "cache", f"files-{name}.json")
        self._stamp = f"{_READER} {version('headwater')} {version('duckdb')}"
        self._stored = self._read()
        self._used: dict[str, Known] = {}

    def _read(self) -> dict[str, Known]:
        try:
            return {key: _unpack(entry) for key, entry in read_cache(self._file, self._stamp).items()}
        except (ValueError, TypeError):
            return {}

    def find(self, key: Sequence[Any]) -> Known | None:
        """Return what is known of a list of files, or None."""
        found = self._stored.get(_name(key))
        if found is not None:
            self._used[_name(key)] = found
        return found

    def keep(self, key: Sequence[Any], columns: Sequence[Column], rows: int | None) -> None:
        """Remember what was found out."""
        self._used[_name(key)] = tuple(columns), rows

    def save(self) -> None:
        """Write what is known; what was not asked for is dropped when most was."""
        if all(self._stored.get(name) == found for name, found in self._used.items()):
            return
        kept = self._used if 2 * len(self._used) >= len(self._stored) else {**self._stored, **self._used}
        entries = {
            name: [[[c.name, c.type, c.source_type] for c in columns], rows] for name, (columns, rows) in kept.items()
        }
        write_cache(self._file, self._stamp, entries)


def _name(key: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def _unpack(entry: Any) -> Known:
    columns, rows = entry
    if not (rows is None or isinstance(rows, int)):
        raise ValueError("rows are a number")
    return tuple(Column(str(name), str(kind), str(source)) for name, kind, source in columns), rows
