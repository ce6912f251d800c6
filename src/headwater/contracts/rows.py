"""How rows travel, and the columns that are Headwater's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

CHANGE_COLUMNS = ("_hw_op", "_hw_seq", "_hw_unchanged")
"""What the rows of `load: cdc` carry until they land; see `Reading.extra`."""

DELETED_AT = "_deleted_at"
"""Column of a table with `deletes: soft_flag`: when the row was first found deleted, NULL while the source has it."""

SYSTEM_COLUMNS = ("_batch", "_loaded_at", "_file", "_raw")
"""Columns of loaded tables that queries do not see; `system.<source>__<table>` shows them."""

REJECT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_reject_key", "VARCHAR"), ("_batch", "VARCHAR"), ("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
    ("_file", "VARCHAR"), ("_line", "BIGINT"), ("rule", "VARCHAR"), ("reason", "VARCHAR"), ("raw", "VARCHAR"),
)  # fmt: skip
"""Columns of every quarantine, in order. `_reject_key`: hash of the raw row, so that a re-read does not count twice.
`rule`: one word (too_few_fields, cast, duplicate_key, the name of a `reject_if`, …); `reason`: for people; `raw`: the
row as it came, without any value that `mask` or `drop` hides."""


class Session(Protocol):
    """The engine's DuckDB session: one database instance, many connections.

    `read_only` is true when nothing may be written: a warehouse file is then attached read-only.
    """

    read_only: bool

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection of its own to the shared instance; the caller closes it. Sessions run in UTC."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a SELECT that runs on `connection`; running it twice may not be possible."""

    connection: DuckDBPyConnection
    query: str

    def reader(self, batch_rows: int = 100_000) -> pa.RecordBatchReader:
        """Return the rows as a stream of Arrow batches."""
        return self.connection.sql(self.query).to_arrow_reader(batch_rows)
