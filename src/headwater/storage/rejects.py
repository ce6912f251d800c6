"""The quarantine of a file store's table: Parquet files beside it, visible once a commit lists them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from headwater.contracts import REJECT_COLUMNS
from headwater.model.commit import Column
from headwater.storage.disk import link_file, sync_folder
from headwater.storage.folders import own_folder
from headwater.storage.parquet import cast_rows, scan_files, write_parquet
from headwater.storage.sql import match_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_COLUMNS = tuple(Column(name, type_text) for name, type_text in REJECT_COLUMNS)
_MOST_FILES = 50
"""More files than this are written into one."""


def scan_rejects(folder: Path, names: Sequence[str]) -> str:
    """Return a SELECT over the listed files, or "" when there is none."""
    place = own_folder(folder) / "rejects"
    return scan_files(_COLUMNS, [str(place / name) for name in names]) if names else ""


def add_rejects(
    connection: DuckDBPyConnection, folder: Path, rejects: str, names: Sequence[str], scratch: Path
) -> list[str]:
    """Write the rows of `rejects` whose key is not there yet; return the names to list from now on."""
    if not rejects:
        return list(names)
    fresh = cast_rows(rejects, _COLUMNS, _COLUMNS)
    known = scan_rejects(folder, names)
    if known:
        same = match_keys(["_reject_key"], "_known", "_fresh")
        fresh = f"SELECT * FROM ({fresh}) AS _fresh WHERE NOT EXISTS (SELECT 1 FROM ({known}) AS _known WHERE {same})"
    merge = len(names) >= _MOST_FILES
    files = write_parquet(connection, f"({fresh}) UNION ALL ({known})" if merge else fresh, scratch)
    place = own_folder(folder) / "rejects"
    place.mkdir(parents=True, exist_ok=True)
    added = []
    for file in files:
        name = f"{uuid.uuid4().hex}.parquet"
        link_file(scratch / file.path.rpartition("/")[2], place / name)
        added.append(name)
    sync_folder(place)
    return added if merge else [*names, *added]


def remove_rejects(folder: Path, names: Sequence[str], *, age_s: float, now_s: float) -> tuple[int, int]:
    """Remove files that no commit lists any more and that are older than `age_s`; return files and bytes removed."""
    files = size_bytes = 0
    for path in (own_folder(folder) / "rejects").glob("*.parquet"):
        if path.name not in names and path.stat().st_mtime < now_s - age_s:
            files, size_bytes = files + 1, size_bytes + path.stat().st_size
            path.unlink()
    return files, size_bytes
