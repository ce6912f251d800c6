"""The contracts: all a connector needs to know.

A connector is one file with one class, registered by one entry point (group `headwater.sources` or
`headwater.stores`). Built-ins come through the same door. Class attributes are the registration: they must be
readable without importing a driver, so heavy imports belong inside methods.

Rows travel as a DuckDB SELECT on a connection of the session (`Rows`), which any Arrow stream can be registered on:
a store that can read SQL writes it natively, any other store takes `Rows.reader()`.
"""

from headwater.contracts.rows import CHANGE_COLUMNS, DELETED_AT, REJECT_COLUMNS, SYSTEM_COLUMNS, Rows, Session
from headwater.contracts.source import Chunk, ChunkEnd, Reading, ReadRequest, Source, TableDescription
from headwater.contracts.store import (
    Change,
    FileStore,
    GroupingStore,
    Load,
    MaintainResult,
    ObjectCopy,
    ObjectStore,
    StageResult,
    Store,
)

__all__ = [
    "CHANGE_COLUMNS",
    "DELETED_AT",
    "REJECT_COLUMNS",
    "SYSTEM_COLUMNS",
    "Change",
    "Chunk",
    "ChunkEnd",
    "FileStore",
    "GroupingStore",
    "Load",
    "MaintainResult",
    "ObjectCopy",
    "ObjectStore",
    "ReadRequest",
    "Reading",
    "Rows",
    "Session",
    "Source",
    "StageResult",
    "Store",
    "TableDescription",
]
