"""What is known of a load before it is decided: its rows, its rejects, and the table as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifier
from headwater.core.policies import LoadMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column, TableState
    from headwater.core.specs import IngestSpec
    from headwater.core.stores import Capabilities
    from headwater.ingestion import Preparation


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """All that is known of a load when its chunks have been read.

    Attributes:
        capabilities: What the table's store can do.
        rows: SELECT of the good rows; "" when no chunk came.
        rejects: SELECT of the quarantine rows (`REJECT_COLUMNS`), or "".
        swallowed: Lines of files that rejects took beside their first ones.
        position: Position of this load, its source's version included.
        parts: Staged chunks that `rows` is made of; empty for a load of one chunk.
        keys: Gives a SELECT of the keys that the source still has.
        now_sql: SQL of the run's clock.
        restated: The declaration is not that of the last commit: this one records it, whatever the rows.
        catalogue: The rows only name the objects that hold the data (`Reading.catalogue`).
    """

    table: str
    ingest: IngestSpec
    capabilities: Capabilities
    connection: DuckDBPyConnection
    preparation: Preparation
    state: TableState | None
    full: bool
    rows: SelectSql
    rejects: SelectSql
    good: int
    rejected: int
    swallowed: int
    position: dict[str, Any]
    parts: tuple[str, ...]
    keys: Callable[[Sequence[str]], SelectSql] | None
    now_sql: str
    restated: bool = False
    catalogue: bool = False

    @property
    def exists(self) -> bool:
        """Whether there is a table to add to."""
        return self.state is not None and self.state.commit is not None

    @property
    def replaces(self) -> bool:
        """Whether the load is the whole table."""
        return self.full or self.ingest.load == LoadMode.FULL or not self.exists

    @property
    def flags_whole_load(self) -> bool:
        """Whether a full load keeps the rows that it does not hold, flagged."""
        return self.ingest.flags_deletes and self.ingest.load == LoadMode.FULL and self.exists and not self.full

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns after the load, system columns last."""
        return (*self.preparation.columns, *self.preparation.system_columns)

    @property
    def rewrites(self) -> bool:
        """Whether the store can take rows of a file away and put others in their place."""
        return "overwrite_where" in self.capabilities.modes

    @property
    def current(self) -> SelectSql:
        """SELECT of the table as it is."""
        return self.state.scan if self.state else NO_SELECT

    @property
    def no_rows(self) -> SelectSql:
        """SELECT of no row with the columns of the table after the load."""
        parts = ", ".join(f"CAST(NULL AS {column.type}) AS {quote_identifier(column.name)}" for column in self.columns)
        return SelectSql(f"SELECT {parts} WHERE FALSE")

    def has_column(self, name: str) -> bool:
        """Whether the table as it is has a column."""
        return self.state is not None and any(column.name == name for column in self.state.columns)

    def count(self, rows: SelectSql) -> int:
        """Return how many rows a SELECT has."""
        row = self.connection.execute(f"SELECT count(*) FROM ({rows})").fetchone()
        return int(row[0]) if row else 0
