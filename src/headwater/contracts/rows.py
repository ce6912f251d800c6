"""How rows travel, and the columns that are Headwater's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifiers, quote_text

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column

CHANGE_COLUMNS = ("_hw_op", "_hw_seq", "_hw_unchanged")
"""What the rows of `load: cdc` carry until they land; see `Reading.extra`."""

DELETED_AT = "_deleted_at"
"""Column of a table with `deletes: soft_flag`: when the row was first found deleted, NULL while the source has it."""

RAW_COLUMN = "_raw"
"""Column of a loaded table with the text of a row as it was delivered; JSON, logs and APIs have it."""

SYSTEM_COLUMNS = ("_batch", "_loaded_at", "_file", RAW_COLUMN)
"""Columns of loaded tables that queries do not see; `system.<source>__<table>` shows them."""

REJECT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_reject_key", "VARCHAR"), ("_batch", "VARCHAR"), ("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
    ("_file", "VARCHAR"), ("_line", "BIGINT"), ("rule", "VARCHAR"), ("reason", "VARCHAR"), ("raw", "VARCHAR"),
)  # fmt: skip
"""Columns of every quarantine, in order. `_reject_key`: hash of the raw row, so that a re-read does not count twice.
`rule`: one word (too_few_fields, cast, duplicate_key, the name of a `reject_if`, …); `reason`: for people; `raw`: the
row as it came, without any value that `mask` or `drop` hides."""

NO_REJECTS = SelectSql(
    f"SELECT {', '.join(f'CAST(NULL AS {type_text}) AS {name}' for name, type_text in REJECT_COLUMNS)} WHERE FALSE"
)
"""SELECT of a quarantine without a row."""


class Session(Protocol):
    """The engine's DuckDB session: one database instance, many connections.

    `read_only` is true when nothing may be written: a warehouse file is then attached read-only.
    """

    read_only: bool

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection of its own to the shared instance; the caller closes it. Sessions run in UTC."""


@dataclass(frozen=True, slots=True)
class Select:
    """Rows that a SELECT yields on the load's connection; running it twice may not be possible."""

    query: SelectSql

    def on(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of the rows on a connection."""
        return self.query


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that were staged: a SELECT reads them, and a store of files may take those of the parts as they are."""

    query: SelectSql
    parts: tuple[str, ...]

    def on(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of the rows on a connection."""
        return self.query


@dataclass(frozen=True, slots=True)
class Batches:
    """Rows as Arrow: anything with an Arrow stream; it is read once."""

    stream: Any
    name: str = "_hw_batches"

    def on(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of the rows on a connection, on which the stream is registered."""
        connection.register(self.name, self.stream)
        return SelectSql(f"SELECT * FROM {self.name}")


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """Rows in Parquet files that an engine has written, of the columns in their order."""

    paths: tuple[str, ...]
    columns: tuple[Column, ...]

    def on(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of the rows on a connection."""
        names = quote_identifiers(column.name for column in self.columns)
        listed = ", ".join(quote_text(path) for path in self.paths)
        return SelectSql(f"SELECT {names} FROM read_parquet([{listed}])")


Rows = Select | Staged | Batches | WrittenFiles
"""How rows are handed to a store. `on(connection)` reads any of them; a store may know better what to do with one."""

NO_ROWS = Select(NO_SELECT)


def stream_rows(rows: Rows, connection: DuckDBPyConnection, batch_rows: int = 100_000) -> pa.RecordBatchReader:
    """Return rows as a stream of Arrow batches, for a store that reads no SQL."""
    return connection.sql(rows.on(connection)).to_arrow_reader(batch_rows)
