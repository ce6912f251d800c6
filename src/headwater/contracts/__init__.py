"""The contracts: all a connector needs to know.

A connector is one class, registered by one entry point (group `headwater.sources`, `headwater.stores`,
`headwater.engines` or `headwater.consumers`). Built-ins come through the same door. Class attributes are the
registration: they must be readable without importing a driver, so heavy imports belong inside methods.

Rows travel as one of a few kinds (`Rows`), each of which a DuckDB connection of the session reads: a store that can
read SQL writes `rows.on(connection)` natively, any other store takes `stream_rows`.

What every store does alike with a commit is here as well: `evolve_columns`, `read_ranges`, `seal_commit` and
`make_receipt`.
"""

from headwater.contracts.commits import Effect, evolve_columns, make_receipt, seal_commit
from headwater.contracts.consumer import (
    ColumnChecking,
    Consumer,
    Consumption,
    Made,
    ScoredRows,
    Scoring,
    TypeChecking,
)
from headwater.contracts.engine import Computation, Computed, Engine, Target
from headwater.contracts.ranges import list_time_columns, read_ranges
from headwater.contracts.rows import (
    CHANGE_COLUMNS,
    DELETED_AT,
    NO_REJECTS,
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
from headwater.core.consumer import ConsumerQuery

__all__ = [
    "CHANGE_COLUMNS",
    "DELETED_AT",
    "NO_REJECTS",
    "NO_ROWS",
    "RAW_COLUMN",
    "REJECT_COLUMNS",
    "SYSTEM_COLUMNS",
    "Batches",
    "Change",
    "Chunk",
    "ChunkEnd",
    "ColumnChecking",
    "Computation",
    "Computed",
    "Consumer",
    "ConsumerQuery",
    "Consumption",
    "Effect",
    "Engine",
    "FileStore",
    "GroupingStore",
    "Load",
    "Made",
    "MaintainResult",
    "ObjectCopy",
    "ObjectStore",
    "ReadRequest",
    "Reading",
    "Rows",
    "ScoredRows",
    "Scoring",
    "Select",
    "Session",
    "Source",
    "StageResult",
    "Staged",
    "Store",
    "TableDescription",
    "Target",
    "TypeChecking",
    "ViewStore",
    "WrittenFiles",
    "evolve_columns",
    "list_time_columns",
    "make_receipt",
    "read_ranges",
    "seal_commit",
    "stream_rows",
]
