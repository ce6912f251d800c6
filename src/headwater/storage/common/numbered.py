"""Folders numbered by their commits, one per load: where they lie, and which numbers are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.storage.common.disk import DamagedFileError, read_json, remove_tree, write_json
from headwater.storage.common.folders import own_folder

if TYPE_CHECKING:
    from pathlib import Path


def load_folder(folder: Path, sequence: int) -> Path:
    """Return the folder of a load."""
    return folder / f"load={sequence:08d}"


def list_numbers(folder: Path) -> list[int]:
    """Return the numbers of all loads that have a folder, in order."""
    return sorted(int(entry.name[5:]) for entry in folder.glob("load=*") if entry.name[5:].isdigit())


def _number_path(folder: Path) -> Path:
    """Return the file that remembers the last number when the loads are gone."""
    return own_folder(folder) / "last.json"


def _dropped_path(folder: Path) -> Path:
    """Return the file that holds the last number of a table that was dropped: loads up to it are not read.

    Only a drop writes it, so that no writer which slept meanwhile can take a drop back.
    """
    return own_folder(folder) / "dropped.json"


def read_number(folder: Path) -> int:
    """Return the number of the last load there was, or 0."""
    return int((read_json(_number_path(folder)) or {}).get("sequence", 0))


def note_number(folder: Path, sequence: int) -> None:
    """Remember the number of a load, unless a later one is remembered."""
    known = read_json(_number_path(folder)) or {}
    if int(known.get("sequence", 0)) < sequence:
        write_json(_number_path(folder), {**known, "sequence": sequence})


def read_dropped(folder: Path) -> int:
    """Return the last number of a table that was dropped, or 0; tables of before kept it with the last number."""
    kept = (read_json(_dropped_path(folder)) or {}).get("sequence", 0)
    before = (read_json(_number_path(folder)) or {}).get("dropped", 0)
    return max(int(kept), int(before))


def drop_damaged(folder: Path) -> None:
    """Drop a table of which it cannot be read what it holds: no load that is there is read any more."""
    for path in (_number_path(folder), _dropped_path(folder)):
        try:
            read_json(path)
        except DamagedFileError:
            remove_tree(path)
    note_dropped(folder, max(read_number(folder), read_dropped(folder), *list_numbers(folder), 0))


def note_dropped(folder: Path, sequence: int) -> None:
    """Drop a table: its loads up to this number are not read any more."""
    write_json(_dropped_path(folder), {"sequence": sequence})
