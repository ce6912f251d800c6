"""Maintenance of a lake's table: loads that were replaced, objects that no load names, whole tables.

It may be stopped at any moment, for any time, while others commit: see `is_written`.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

from headwater.contracts import MaintainResult
from headwater.contracts.commits import WEEK_S
from headwater.storage.common.disk import DamagedFileError, remove_tree
from headwater.storage.common.folders import is_used, is_written, own_folder
from headwater.storage.common.numbered import drop_damaged, list_numbers, load_folder, note_dropped
from headwater.storage.common.parquet import find_damaged
from headwater.storage.common.staging import remove_staging
from headwater.storage.lake.objects import list_objects, named_objects, remove_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.storage.common.claims import Record
    from headwater.storage.lake.loads import Loads


def drop_table(folder: Path, read: Callable[[], Loads]) -> MaintainResult:
    """Remove a table, damaged or not: its loads stop being read with one rename, then go; the count of loads goes on.

    What is removed was there before that rename: whoever makes the table anew meanwhile keeps all of it.
    """
    affected = [path for path in own_folder(folder).glob("*/*/") if not is_used(path)]
    objects = list_objects(folder, before_s=math.inf)
    existed = False
    try:
        loads = read()
    except DamagedFileError:
        drop_damaged(folder)
        existed, loads = True, read()
    while loads.last:
        existed = True
        note_dropped(folder, loads.last.commit.sequence)
        loads = read()
        if loads.last and loads.records[0].commit.previous is None:
            break  # somebody has made it anew
    files, size_bytes = remove_objects(folder, objects, frozenset())
    old = [load_folder(folder, number) for number in list_numbers(folder) if number <= loads.dropped]
    for place in [*old, *affected]:
        counted = remove_tree(place)
        files, size_bytes = files + counted[0], size_bytes + counted[1]
    return MaintainResult(files, size_bytes, dropped=existed)


def clean_table(
    folder: Path, read: Callable[[], Loads], keep: Mapping[str, Any], connection: DuckDBPyConnection
) -> MaintainResult:
    """Remove the data files of loads that were replaced, but for the newest `versions` and what is young.

    Then the objects that none of the loads that stay names: they are listed before it is read what is named, and none
    is removed while some writer lives that might name one. Where it is not certain what is named nothing is removed.

    Raises:
        DamagedFileError: A load, or a file of a load that stays, is gone or damaged.
    """
    age_s, now_s = float(keep.get("age_s", WEEK_S)), time.time()
    objects = list_objects(folder, before_s=now_s - age_s)
    written = is_written(folder)
    loads = read()
    replaced = _find_replaced(loads, max(int(keep.get("versions", 1)) - 1, 0), now_s - age_s)
    left = _files_left(loads, {record.commit.sequence for record in replaced})
    sweeps = bool(objects) and not written
    named = _read_named(connection, folder, left) if sweeps else set[str]()
    staged, files, size_bytes = remove_staging(
        folder, sequence=loads.last.commit.sequence if loads.last else None, age_s=age_s, now_s=now_s
    )
    for record in replaced:
        for path in load_folder(folder, record.commit.sequence).glob("*.parquet"):
            counted = remove_tree(path)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    if sweeps:
        removed = remove_objects(folder, objects, named)
        files, size_bytes = files + removed[0], size_bytes + removed[1]
    return MaintainResult(files, size_bytes, staging_removed=staged)


def _find_replaced(loads: Loads, spare: int, before_s: float) -> list[Record]:
    """Return the loads that readers do not see any more, made before a time; `spare` versions of the table are kept."""
    shown = {record.commit.sequence for record in loads.live}
    replaced = [record for record in loads.records if record.commit.sequence not in shown]
    snapshots = [record.commit.sequence for record in replaced if record.commit.replaces_all]
    oldest_kept = snapshots[-spare] if 0 < spare <= len(snapshots) else (0 if spare else math.inf)
    return [
        record
        for record in replaced
        if record.commit.sequence < oldest_kept
        and (load_folder(loads.folder, record.commit.sequence) / "_commit.json").stat().st_mtime <= before_s
    ]


def _files_left(loads: Loads, affected: Collection[int]) -> list[str]:
    """Return the data files of the loads that stay; those of a replaced one may have been removed before."""
    if loads.foreign:
        raise DamagedFileError(f"{loads.foreign}: nothing was removed")
    if loads.noted > max(loads.dropped, loads.last.commit.sequence if loads.last else 0):
        raise DamagedFileError(f"{load_folder(loads.folder, loads.noted)} is gone: nothing was removed")
    live = {file.path for file in loads.files()}
    staying = [record for record in loads.records if record.commit.sequence not in affected]
    files = [file for file in loads.files(staying) if file.path in live or os.path.lexists(file.path)]
    if wrong := find_damaged((file.path, file.size_bytes) for file in files):
        raise DamagedFileError(f"{wrong}: nothing was removed")
    return [file.path for file in files]


def _read_named(connection: DuckDBPyConnection, folder: Path, files: Sequence[str]) -> set[str]:
    import duckdb

    try:
        return named_objects(connection, folder, files)
    except duckdb.Error as error:
        told = str(error).partition("\n")[0]
        raise DamagedFileError(f"its data cannot be read, and nothing was removed: {told}") from None
