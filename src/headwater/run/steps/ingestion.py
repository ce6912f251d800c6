"""One table's rows between extract and load."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.ingestion.ends import PreparedEnd, add_up

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.contracts import Load, Reading
    from headwater.core.commit import TableState
    from headwater.core.project import SourceTable
    from headwater.ingestion import Preparation


@dataclass(slots=True)
class Ingestion:
    """One table's rows between extract and load: staged parts, or one chunk in a temporary table of `connection`."""

    table: SourceTable
    connection: DuckDBPyConnection
    load: Load
    state: TableState | None
    full: bool
    preparation: Preparation
    reading: Reading
    ends: list[PreparedEnd] = field(default_factory=list)
    good: list[SelectSql] = field(default_factory=list)
    rejects: list[SelectSql] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> PreparedEnd:
        """Where the reader stands after all chunks, and the counts of all."""
        end = add_up(self.ends)
        if self.manifest.get("version") is not None:
            end.position["version"] = self.manifest["version"]
        return end
