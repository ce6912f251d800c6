"""What is in a warehouse's file, by its names in the session."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.sql.quoting import quote_identifier
from headwater.storage.sql import split_dataset


@dataclass(frozen=True, slots=True)
class Catalog:
    """A warehouse's file as it is attached to a session.

    Attributes:
        name: The name it has there.
    """

    name: str = "_hw"

    @property
    def commits(self) -> str:
        """The table of commits: one row per producer."""
        return f"{self.name}._headwater.commits"

    @property
    def history(self) -> str:
        """The table of positions."""
        return f"{self.name}._headwater.history"

    @property
    def staging(self) -> str:
        """The table of loads that were not committed."""
        return f"{self.name}._headwater.staging"

    @property
    def staged_chunks(self) -> str:
        """The table of their chunks."""
        return f"{self.name}._headwater.staged_chunks"

    def table(self, dataset: str) -> str:
        """Return the quoted name of a dataset's table."""
        schema, name = split_dataset(dataset)
        return f"{self.name}.{quote_identifier(schema)}.{quote_identifier(name)}"

    def quarantine(self, dataset: str) -> str:
        """Return the quoted name of the table that holds a dataset's rejects."""
        return f"{self.name}._headwater_quarantine.{quote_identifier(dataset.replace('.', '__'))}"

    def staged(self, name: str) -> str:
        """Return the quoted name of a chunk's table."""
        return f"{self.name}._headwater_staging.{quote_identifier(name)}"

    def here(self, table: str) -> str:
        """Return a name that was written down in another session, in which the file may have had another name."""
        return f"{self.name}.{table.partition('.')[2]}"
