"""The contracts: all a connector needs to know.

A connector is one class, registered by one entry point (group `headwater.sources`, `headwater.stores` or
`headwater.engines`). Built-ins come through the same door. Class attributes are the registration: they must be readable
without importing a driver, so heavy imports belong inside methods.

Rows travel as one of a few kinds (`Rows`), each of which a DuckDB connection of the session reads: a store that can
read SQL writes `rows.on(connection)` natively, any other store takes `stream_rows`.
"""

from headwater.contracts.engine import Computation, Computed, Engine, Target
from headwater.contracts.rows import (
    CHANGE_COLUMNS,
    DELETED_AT,
    NO_ROWS,
    RAW_COLUMN,
    REJECT_COLUMNS,
    SYSTEM_COLUMNS,
    Batches,
    Rows,
    Select,
    Session,
    Staged,
    WrittenFiles,
    stream_rows,
)
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
    ViewStore,
)

__all__ = [
    "CHANGE_COLUMNS",
    "DELETED_AT",
    "NO_ROWS",
    "RAW_COLUMN",
    "REJECT_COLUMNS",
    "SYSTEM_COLUMNS",
    "Batches",
    "Change",
    "Chunk",
    "ChunkEnd",
    "Computation",
    "Computed",
    "Engine",
    "FileStore",
    "GroupingStore",
    "Load",
    "MaintainResult",
    "ObjectCopy",
    "ObjectStore",
    "ReadRequest",
    "Reading",
    "Rows",
    "Select",
    "Session",
    "Source",
    "StageResult",
    "Staged",
    "Store",
    "TableDescription",
    "Target",
    "ViewStore",
    "WrittenFiles",
    "stream_rows",
]
