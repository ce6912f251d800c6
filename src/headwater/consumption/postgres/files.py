"""Files beside the tables: a connection for Power BI Desktop, and a workbook for Excel."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from headwater.consumption.postgres.workbook import write_workbook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.consumption.postgres.staging import StagedTable
    from headwater.contracts.consumer import Consumption
    from headwater.postgres import Server


CONNECTION = "connection.pbids"
WORKBOOK = "tables.xlsx"


class FileKind(StrEnum):
    """What is written beside the tables."""

    PBIDS = "pbids"
    XLSX = "xlsx"


def write_files(
    kinds: Sequence[FileKind], server: Server, tables: Sequence[StagedTable], consumption: Consumption
) -> None:
    """Write the files into the artefact's folder.

    Raises:
        StepError: A file cannot be written: a workbook has no place for so many rows.
    """
    if FileKind.PBIDS in kinds:
        _write_connection(server, consumption)
    if FileKind.XLSX in kinds:
        write_workbook(
            consumption.folder / WORKBOOK, tables, consumption.connection, consumption.queries, consumption.now
        )


def _write_connection(server: Server, consumption: Consumption) -> None:
    """Write `connection.pbids`, which opens Power BI Desktop at the database; it asks for user and password itself.

    Source: https://learn.microsoft.com/power-bi/connect-data/desktop-data-sources, "Using PBIDS files".
    """
    address = {"server": server.server, "database": server.database}
    connection = {"details": {"protocol": "postgresql", "address": address}, "options": {}, "mode": "Import"}
    text = json.dumps({"version": "0.1", "connections": [connection]}, indent=2) + "\n"
    (consumption.folder / CONNECTION).write_text(text, encoding="utf-8")
