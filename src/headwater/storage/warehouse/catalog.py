"""What is in a warehouse's file, by its names in the session."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.fragments import IdentifierSql, quote_identifier
from headwater.storage.common.sql import split_dataset


@dataclass(frozen=True, slots=True)
class Catalog:
    """A warehouse's file as it is attached to a session.

    Attributes:
        name: The name it has there.
    """

    name: str = "_hw"

    @property
    def commits(self) -> IdentifierSql:
        """The table of commits: one row per producer."""
        return IdentifierSql(f"{self.name}._headwater.commits")

    @property
    def history(self) -> IdentifierSql:
        """The table of positions."""
        return IdentifierSql(f"{self.name}._headwater.history")

    @property
    def staging(self) -> IdentifierSql:
        """The table of loads that were not committed."""
        return IdentifierSql(f"{self.name}._headwater.staging")

    @property
    def staged_chunks(self) -> IdentifierSql:
        """The table of their chunks."""
        return IdentifierSql(f"{self.name}._headwater.staged_chunks")

    def table(self, dataset: str) -> IdentifierSql:
        """Return the quoted name of a dataset's table."""
        schema, name = split_dataset(dataset)
        return IdentifierSql(f"{self.name}.{quote_identifier(schema)}.{quote_identifier(name)}")

    def quarantine(self, dataset: str) -> IdentifierSql:
        """Return the quoted name of the table that holds a dataset's rejects."""
        return IdentifierSql(f"{self.name}._headwater_quarantine.{quote_identifier(dataset.replace('.', '__'))}")

    def staged(self, name: str) -> IdentifierSql:
        """Return the quoted name of a chunk's table."""
        return IdentifierSql(f"{self.name}._headwater_staging.{quote_identifier(name)}")

    def here(self, table: str) -> IdentifierSql:
        """Return a name that was written down in another session, in which the file may have had another name."""
        return IdentifierSql(f"{self.name}.{table.partition('.')[2]}")
