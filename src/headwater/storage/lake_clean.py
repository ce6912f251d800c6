"""Maintenance of a lake's table: loads that were replaced, objects that no load names, whole tables.

It may be stopped at any moment, for any time, while others commit: see `is_written`.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from headwater.contracts import MaintainResult
from headwater.storage.commits import WEEK_S
from headwater.storage.disk import DamagedFileError, remove_tree
from headwater.storage.folders import is_used, is_written, own_folder
from headwater.storage.lake_loads import drop_damaged, list_numbers, load_folder, note_dropped
from headwater.storage.lake_objects import list_objects, named_objects, remove_objects
from headwater.storage.staging import remove_staging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.storage.lake_loads import Loads


def drop_table(folder: Path, read: Callable[[], Loads]) -> MaintainResult:
    """Remove a table, damaged or not: its loads stop being read with one rename, then go; the count of loads goes on.

    What is removed was there before that rename: whoever makes the table anew meanwhile keeps all of it.
    """
    doomed = [path for path in own_folder(folder).glob("*/*/") if not is_used(path)]
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
    for place in [*old, *doomed]:
        counted = remove_tree(place)
        files, size_bytes = files + counted[0], size_bytes + counted[1]
    return MaintainResult(files, size_bytes, dropped=existed)


def clean_table(
    folder: Path, read: Callable[[], Loads], keep: Mapping[str, Any], connection: DuckDBPyConnection
) -> MaintainResult:
    """Remove the data files of loads that were replaced, but for the newest `versions` and what is young.

    Then the objects that none of the loads that stay names: they are listed before it is read what is named, and none
    is removed while some writer lives that might name one.
    """
    age_s, now_s = float(keep.get("age_s", WEEK_S)), time.time()
    objects = list_objects(folder, before_s=now_s - age_s)
    written = is_written(folder)
    loads = read()
    staged, files, size_bytes = remove_staging(
        folder, sequence=loads.last.commit.sequence if loads.last else None, age_s=age_s, now_s=now_s
    )
    shown = {record.commit.sequence for record in loads.live}
    replaced = [record for record in loads.records if record.commit.sequence not in shown]
    snapshots = [record.commit.sequence for record in replaced if record.commit.replaces_all]
    spare = max(int(keep.get("versions", 1)) - 1, 0)
    oldest_kept = snapshots[-spare] if 0 < spare <= len(snapshots) else (0 if spare else None)
    for record in replaced:
        place = load_folder(folder, record.commit.sequence)
        kept = oldest_kept is not None and record.commit.sequence >= oldest_kept
        if kept or (place / "_commit.json").stat().st_mtime > now_s - age_s:
            continue
        for path in place.glob("*.parquet"):
            counted = remove_tree(path)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    if objects and not written:
        left = [file.path for file in loads.files(loads.records) if not file.is_damaged()]
        removed = remove_objects(folder, objects, named_objects(connection, folder, left))
        files, size_bytes = files + removed[0], size_bytes + removed[1]
    return MaintainResult(files, size_bytes, staging_removed=staged)
