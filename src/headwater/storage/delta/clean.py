"""Maintenance of a Delta table: files that no commit names, staging of killed loads, whole tables.

It may be stopped at any moment, for any time, while others commit: what it removes was listed before it read what is
named, and it removes nothing that a writer which was alive in between might name.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.contracts import MaintainResult
from headwater.contracts.commits import WEEK_S
from headwater.storage.common.claims import list_claims, retire_claims
from headwater.storage.common.disk import DamagedFileError, remove_tree
from headwater.storage.common.folders import decode_name, is_used, is_written, own_folder
from headwater.storage.common.staging import remove_staging
from headwater.storage.delta.log import list_live_files, open_delta

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deltalake import DeltaTable


@dataclass(frozen=True, slots=True)
class Names:
    """What a table's log and its last commit name; `rejects` are None when the table is not as Headwater left it."""

    table: DeltaTable
    sequence: int | None
    rejects: Sequence[str] | None


def clean_table(folder: Path, keep: Mapping[str, Any], read: Callable[[], Names | None]) -> MaintainResult:
    """Remove staging that nobody goes on with, and the files that no version of the log needs for `age_s` seconds.

    Nothing is removed from a table that somebody else changed: it may be brought back as it was.
    """
    age_s, now_s = float(keep.get("age_s", WEEK_S)), time.time()
    old = _list_files(folder, now_s - age_s)
    rejects = [path for path in (own_folder(folder) / "rejects").glob("*.parquet") if _is_older(path, now_s - age_s)]
    written = is_written(folder)
    names = read()
    sequence = names.sequence if names else None
    loads, files, size_bytes = remove_staging(folder, sequence=sequence, age_s=age_s, now_s=now_s)
    if names is not None and names.rejects is not None and not written:
        hours = math.ceil(age_s / 3600)
        unnamed = names.table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        affected = [old[name] for name in unnamed if name in old]
        affected += [path for path in rejects if path.name not in names.rejects]
        for path in affected:
            with suppress(FileNotFoundError):
                size_bytes += path.stat().st_size
                path.unlink()
                files += 1
    return MaintainResult(files, size_bytes, staging_removed=loads)


_DATA_FILES = (".parquet", ".bin")
"""Endings of what a Delta table is made of beside its log: rows, and the rows that are deleted of them."""


def _list_files(folder: Path, before_s: float) -> dict[str, Path]:
    """Return the data files that were written before a time, by their names in the log; no other table's below it."""
    found = {}
    for place, folders, names in os.walk(folder):
        if Path(place) != folder and "_delta_log" in folders:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]
        for name in names:
            path = folder / place / name
            if path.suffix in _DATA_FILES and _is_older(path, before_s):
                found[path.relative_to(folder).as_posix()] = path
    return found


def _is_older(path: Path, before_s: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < before_s
    return False


def drop_table(folder: Path) -> MaintainResult:
    """Remove a table; the last sequence stays claimed, so that a later table of that name goes on counting.

    What is removed was there before the log went: whoever makes the table anew meanwhile keeps all of it. A writer
    that began before finds another log, or none, or that his claim is gone; the log that he made before that goes too.
    """
    kept = (own_folder(folder) / "commits", folder / "_delta_log")
    affected = [
        path for path in folder.rglob("*") if not path.is_dir() and not any(path.is_relative_to(k) for k in kept)
    ]
    claims = list_claims(folder)  # after the files: whoever has placed one has claimed his commit before
    existed = _move_log(folder)
    retire_claims(folder, claims)
    for live in iter(lambda: _list_claimed(folder, claims), None):
        existed = _move_log(folder) or existed
        affected += live
    files = size_bytes = 0
    for path in [*affected, *own_folder(folder).glob("dropped-*")]:
        with suppress(FileNotFoundError):
            counted = remove_tree(path)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path not in kept and not is_used(path):
            with suppress(OSError):
                path.rmdir()
    return MaintainResult(files, size_bytes, dropped=existed)


def _move_log(folder: Path) -> bool:
    """Move a table's log away, so that the table is gone; False when there is none."""
    try:
        os.rename(folder / "_delta_log", own_folder(folder) / f"dropped-{uuid.uuid4().hex}")
    except FileNotFoundError:
        return False
    return True


def _list_claimed(folder: Path, claims: Sequence[Path]) -> list[Path] | None:
    """Return the files of a table that one of some claims has made since its log was moved; None: there is none."""
    with suppress(DamagedFileError):
        table = open_delta(folder)
        if table is None:
            return None
        for claim in claims:
            if claim.suffix == ".json" and table.transaction_version(decode_name(claim.parent.name)) == int(claim.stem):
                return [folder / file.name for file in list_live_files(table)]
    return None
