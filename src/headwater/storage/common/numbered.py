"""Folders numbered by their commits, one per load: where they lie, and which numbers are taken."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts.commits import foreign_table, stale_commit
from headwater.storage.common.disk import DamagedFileError, read_json, remove_tree, sync_folder, write_json
from headwater.storage.common.folders import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headwater.contracts import Load
    from headwater.core.commit import Commit
    from headwater.storage.common.claims import Record


@dataclass(frozen=True, slots=True)
class Numbered:
    """The visible commits of a dataset whose folders are numbered, oldest first.

    Attributes:
        folder: Where they lie.
        records: Their commits.
        foreign: Why they are not as we left them.
        dropped: The last number of a dataset of that name that was dropped.
        noted: The number of the last commit there was, read before the commits were.
        numbers: The numbers of all that had a folder, read or not.
    """

    folder: Path
    records: tuple[Record, ...] = ()
    foreign: str = ""
    dropped: int = 0
    noted: int = 0
    numbers: tuple[int, ...] = ()

    @property
    def last(self) -> Record | None:
        """The newest commit."""
        return self.records[-1] if self.records else None

    def next_number(self, previous: int | None) -> int:
        """Return the number of a commit after `previous`, or of a first one: none that is or was there has it.

        Nothing is read again: who came in between has taken the same number.
        """
        if previous is not None:
            return max(previous, self.noted) + 1
        return max(self.noted, self.dropped, *self.numbers, 0) + 1

    def compare(self, load: Load, commit: Commit) -> None:
        """See that a commit follows the last one.

        Raises:
            StateError: It does not, or somebody else has changed the folders.
        """
        if self.foreign:
            raise foreign_table(load.table, self.foreign)
        last = self.last
        found = (last.commit.producer, last.commit.sequence) if last else None
        if found != (None if commit.previous is None else (commit.producer, commit.previous)):
            raise stale_commit(load.table, commit, last.commit.sequence if last else None)


def read_numbered(folder: Path, read: Callable[[Path], Record | None]) -> Numbered:
    """Read the commits that are visible; `read` reads the one of a folder, None where there is none.

    Raises:
        DamagedFileError: One of them has lost its commit.
    """
    noted, dropped = read_number(folder), read_dropped(folder)
    records: list[Record] = []
    foreign, expected = "", None
    numbers = list_numbers(folder)
    for number in (number for number in numbers if number > dropped):
        record = read(load_folder(folder, number))
        if record is None and number <= noted:  # else a folder that nobody committed
            raise DamagedFileError(f"{load_folder(folder, number)} has lost its _commit.json")
        if record is None or 0 < (record.commit.previous or 0) <= dropped:  # or of a writer that a drop came upon
            continue
        if record.commit.previous != expected:
            foreign = f"{load_folder(folder, record.commit.previous or 0)} is gone"
        records.append(record)
        expected = number
    return Numbered(folder, tuple(records), foreign, dropped, noted, tuple(numbers))


def make_visible(folder: Path, aside: Path, load: Load, commit: Commit) -> None:
    """Rename a commit's folder; one of that number made by somebody else is not empty, so that fails.

    Raises:
        StateError: Somebody else has made it.
    """
    sync_folder(aside)
    try:
        os.rename(aside, load_folder(folder, commit.sequence))
    except OSError as error:
        if not load_folder(folder, commit.sequence).exists():
            raise
        raise stale_commit(load.table, commit, commit.sequence) from error
    sync_folder(folder)


def refuse_dropped(before: Numbered, load: Load, commit: Commit) -> None:
    """Take a commit back that was made visible while its dataset was dropped; its number is not given again.

    Raises:
        StateError: It was.
    """
    dropped = read_dropped(before.folder)
    if dropped > before.dropped and min(commit.sequence, commit.previous or commit.sequence) <= dropped:
        if commit.sequence > dropped:
            note_dropped(before.folder, commit.sequence)
        remove_tree(load_folder(before.folder, commit.sequence))
        raise stale_commit(load.table, commit, None)


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

    Only a drop writes it, or a commit that a drop came upon and that has a later number: no writer which slept
    meanwhile can take a drop back.
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
