"""Staged chunks of a load as Parquet files that readers do not see, with a manifest; they survive a kill."""

from __future__ import annotations

import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.contracts import Staged, StageResult
from headwater.core.commit import Column, StagedPart, Staging
from headwater.core.fragments import SelectSql
from headwater.errors import ConnectorError
from headwater.storage.common.disk import DamagedFileError, read_json, remove_tree, sync_folder, write_json
from headwater.storage.common.folders import decode_name, encode_name, is_used, own_folder, report_removed
from headwater.storage.common.parquet import DataFile, cast_rows, scan_files, write_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from headwater.contracts import Load, Rows


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """The files of a finished chunk and the columns they hold."""

    columns: tuple[Column, ...]
    files: tuple[DataFile, ...]


_COUNTED: dict[Path, int] = {}
"""By folder of a load, when its last chunk was finished."""


def _next_count(place: Path) -> int:
    """Return when a chunk is finished: later than every chunk before it, though the clock was set back."""
    if place not in _COUNTED:
        _COUNTED[place] = max((count for count, *_ in _read_chunks(place)), default=0)
    _COUNTED[place] = max(time.time_ns(), _COUNTED[place] + 1)
    return _COUNTED[place]


def _scan(found: StagedFiles) -> SelectSql:
    return scan_files(found.columns, [file.path for file in found.files], rows=sum(file.rows for file in found.files))


def staging_folder(folder: Path, load_id: str) -> Path:
    """Return the folder of a load's staged files."""
    return own_folder(folder) / "staging" / encode_name(load_id)


def stage_chunk(
    folder: Path, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql, *, sequence: int | None
) -> StageResult:
    """Write a chunk on top of the commit `sequence`; the manifest is written before the load's first chunk."""
    place = staging_folder(folder, load.load_id)
    known = _read_staged(place / "manifest.json")
    if known is None or known["sequence"] != sequence:
        remove_tree(place)
        with report_removed(load.table):
            write_json(place / "manifest.json", {"sequence": sequence, "manifest": dict(manifest)})
    target = place / f"{encode_name(chunk)}-{uuid.uuid4().hex}"
    found = load.connection.execute(f"DESCRIBE {rows}").fetchall()
    columns = tuple(Column(row[0], row[1]) for row in found)
    with report_removed(load.table):
        files = write_parquet(load.connection, cast_rows(rows, columns, columns), target)
        sync_folder(place)

    def finish_chunk(end: dict[str, Any]) -> None:
        content = {
            "staged_ns": _next_count(place),
            "end": end,
            "folder": target.name,
            "columns": [[column.name, column.type] for column in columns],
            "files": [file.to_dict() for file in files],
        }
        with report_removed(load.table):
            write_json(place / f"{encode_name(chunk)}.chunk.json", content)

    query = scan_files(columns, [file.path for file in files], rows=sum(file.rows for file in files))
    return StageResult(query, sum(file.rows for file in files), finish_chunk)


def read_staging(folder: Path, sequence: int | None) -> Staging | None:
    """Return the newest load that has staged rows on top of the commit `sequence`."""
    newest: tuple[int, Staging] | None = None
    for place in (own_folder(folder) / "staging").glob("*/"):
        manifest = _read_staged(place / "manifest.json")
        if manifest is None or manifest["sequence"] != sequence:
            continue
        written_ns = (place / "manifest.json").stat().st_mtime_ns
        if newest is None or written_ns > newest[0]:
            parts = tuple(
                StagedPart(name, _scan(found), end)
                for name, end, found in list_chunks(place)
                if not any(file.is_damaged() for file in found.files)
            )
            newest = written_ns, Staging(decode_name(place.name), manifest["manifest"], parts)
    return newest[1] if newest else None


def list_chunks(place: Path) -> list[tuple[str, dict[str, Any], StagedFiles]]:
    """Return id, end and files of every finished chunk in the order they were finished."""
    return [(name, data["end"], _files_of(place, data)) for _, name, data in _read_chunks(place)]


def _read_chunks(place: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Return when each chunk was finished, its id, and what is kept of it; in order."""
    suffix = ".chunk.json"
    read = [(decode_name(path.name.removesuffix(suffix)), _read_staged(path)) for path in place.glob(f"*{suffix}")]
    chunks = [(int(data["staged_ns"]), name, data) for name, data in read if data is not None]
    return sorted(chunks, key=lambda chunk: chunk[:2])


def _read_staged(path: Path) -> dict[str, Any] | None:
    """Read a file of a staged load; a damaged one was never written: its rows are read again from the source."""
    try:
        return read_json(path)
    except DamagedFileError:
        return None


def _files_of(place: Path, data: dict[str, Any]) -> StagedFiles:
    columns = tuple(Column(name, type_text) for name, type_text in data["columns"])
    files = tuple(DataFile.from_dict(place / data["folder"], file) for file in data["files"])
    return StagedFiles(columns, files)


def take_parts(folder: Path, load_id: str, rows: Rows, columns: Sequence[Column]) -> list[DataFile] | None:
    """Return the staged files of rows when they can be taken as they are: exactly these columns and types.

    Raises:
        ConnectorError: A part was not staged or a file of it is damaged.
    """
    if not isinstance(rows, Staged) or not rows.parts:
        return None
    found = {name: staged for name, _, staged in list_chunks(staging_folder(folder, load_id))}
    for part in rows.parts:
        damaged = [file.path for file in found[part].files if file.is_damaged()] if part in found else [part]
        if damaged:
            raise ConnectorError(
                f"staged chunk {part!r} is missing or cut short: {damaged[0]}",
                fix=f"remove {staging_folder(folder, load_id)} and run again: the load is read anew",
            )
    wanted = {(column.name, column.type) for column in columns}
    if any({(column.name, column.type) for column in found[part].columns} != wanted for part in rows.parts):
        return None
    return [file for part in rows.parts for file in found[part].files]


def remove_staging(folder: Path, *, sequence: int | None, age_s: float, now_s: float) -> tuple[int, int, int]:
    """Remove what killed loads left: staged on top of another commit, or older than `age_s`.

    Returns:
        Loads, files and bytes removed.
    """
    loads = files = size_bytes = 0
    for place in [*own_folder(folder).glob("staging/*/"), *own_folder(folder).glob("scratch/*/")]:
        if is_used(place):
            continue
        with suppress(FileNotFoundError):  # its own writer removes it, too
            manifest = _read_staged(place / "manifest.json")
            stale = manifest is not None and manifest["sequence"] != sequence
            if stale or place.stat().st_mtime < now_s - age_s:
                counted = remove_tree(place)
                loads, files, size_bytes = loads + 1, files + counted[0], size_bytes + counted[1]
    return loads, files, size_bytes


def drop_staging(folder: Path, load_id: str) -> None:
    """Remove a load's staged files."""
    _COUNTED.pop(staging_folder(folder, load_id), None)
    shutil.rmtree(staging_folder(folder, load_id), ignore_errors=True)
