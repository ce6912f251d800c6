"""The loads of a lake's table: where they lie, their numbers, and which of them readers see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.storage.common.claims import Record, read_chain
from headwater.storage.common.disk import DamagedFileError, read_json, remove_tree, write_json
from headwater.storage.common.folders import own_folder
from headwater.storage.common.parquet import DataFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Loads:
    """The visible loads of a table, oldest first.

    Attributes:
        folder: Where they lie.
        records: Their commits.
        foreign: Why they are not as we left them.
        dropped: The last number of a table of that name that was dropped.
        noted: The number of the last load there was, read before the loads were.
        numbers: The numbers of all loads that had a folder, read or not.
    """

    folder: Path
    records: tuple[Record, ...] = ()
    foreign: str = ""
    dropped: int = 0
    noted: int = 0
    numbers: tuple[int, ...] = ()

    @property
    def last(self) -> Record | None:
        """The newest load."""
        return self.records[-1] if self.records else None

    @property
    def live(self) -> tuple[Record, ...]:
        """The loads that readers see: from the last one that replaced everything."""
        replacing = [index for index, record in enumerate(self.records) if record.commit.replaces_all]
        return self.records[replacing[-1] :] if replacing else self.records

    def files(self, records: Sequence[Record] | None = None) -> list[DataFile]:
        """Return the data files of some loads; of those that readers see when they are left out."""
        return [
            DataFile.from_dict(load_folder(self.folder, record.commit.sequence), file)
            for record in (self.live if records is None else records)
            for file in record.kept["files"]
        ]

    def columns(self) -> tuple[Column, ...]:
        """Return the columns the table has now."""
        return tuple(Column(*column) for column in self.last.kept["columns"]) if self.last else ()

    def chain(self) -> list[Record]:
        """Return the loads whose positions together are the table's."""
        by_sequence = {record.commit.sequence: record for record in self.records}
        return read_chain(self.last, lambda _, previous: by_sequence.get(previous))

    def next_number(self, previous: int | None) -> int:
        """Return the number of a load after `previous`, or of a first one: none that is or was there has it.

        Nothing is read again: who came in between has taken the same number.
        """
        if previous is not None:
            return max(previous, self.noted) + 1
        return max(self.noted, self.dropped, *self.numbers) + 1


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
