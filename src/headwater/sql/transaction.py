"""One transaction of a DuckDB connection: whatever is raised in it, nothing of it stays."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


@contextmanager
def in_transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """Run a block in a transaction, and commit it in the end.

    Raises:
        duckdb.Error: It cannot be begun or committed.
    """
    connection.execute("BEGIN")
    with ExitStack() as undo:
        undo.callback(_roll_back, connection)
        yield
        connection.execute("COMMIT")
        undo.pop_all()


def _roll_back(connection: DuckDBPyConnection) -> None:
    import duckdb

    with suppress(duckdb.Error):  # the engine may have ended it itself
        connection.execute("ROLLBACK")
