"""The loads of a lake's table: what they hold, and which of them readers see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.storage.common.claims import Record, read_chain
from headwater.storage.common.numbered import load_folder
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
