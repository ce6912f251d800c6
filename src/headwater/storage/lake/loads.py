"""The loads of a lake's table: what they hold, and which of them readers see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.storage.common.claims import Record, read_chain
from headwater.storage.common.numbered import Numbered, load_folder
from headwater.storage.common.parquet import DataFile

if TYPE_CHECKING:
    from collections.abc import Sequence


class Loads(Numbered):
    """The visible loads of a table, oldest first."""

    __slots__ = ()

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
