"""Which rows of a feature have the same key and time: the only ones among which one has to be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.fragments import IdentifierSql, quote_dataset, quote_identifier, quote_identifiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
MOST_HASHES = 1000
"""More of them are not listed: then the choice is made among all rows."""

_ROWS_AT_ONCE = 32_000_000
"""So many hashes are sorted at once, of 8 bytes each; twice that while they are put together."""

_BATCH_ROWS = 1_000_000


def hash_of(columns: Sequence[str]) -> IdentifierSql:
    """Return the SQL of the hash that rows alike in some columns share."""
    return IdentifierSql(f"hash({quote_identifiers(columns)})")


def find_ties(
    connection: DuckDBPyConnection, dataset: str, columns: Sequence[str], rows_at_once: int = _ROWS_AT_ONCE
) -> tuple[int, ...] | None:
    """Return the hashes that more than one row of a dataset has; None when they are more than `MOST_HASHES`.

    Rows with a NULL in the columns are left out. Sorting hashes takes a fifth of what grouping the rows does.
    """
    import numpy as np

    hashed = hash_of(columns)
    known = " AND ".join(f"{quote_identifier(column)} IS NOT NULL" for column in columns)
    rows = f"FROM {quote_dataset(dataset)} WHERE {known}"
    counted = connection.execute(f"SELECT count(*) FROM {quote_dataset(dataset)}").fetchone()
    assert counted is not None
    parts = counted[0] // rows_at_once + 1
    found: list[int] = []
    for part in range(parts):
        of_part = f" AND {hashed} % {parts} = {part}" if parts > 1 else ""
        batches = connection.execute(f"SELECT {hashed} AS hash {rows}{of_part}").to_arrow_reader(_BATCH_ROWS)
        hashes = np.concatenate([np.empty(0, np.uint64), *(batch.column(0).to_numpy() for batch in batches)])
        hashes.sort()
        found += np.unique(hashes[1:][hashes[1:] == hashes[:-1]]).tolist()
        if len(found) > MOST_HASHES:
            return None
    return tuple(found)
