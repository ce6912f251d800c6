"""By what the warehouse knows its tables again: a sum of the hashes of all rows, kept in the commit.

The sum follows a change from the rows that it adds and removes; only a replaced table is read as a whole. It is
compared when somebody else may have written to the file. DuckDB's hash may change between its versions: a content that
another version has written is not compared.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from headwater.core.fragments import quote_identifiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column

_MODULUS = 2**64


def hash_of(columns: Sequence[Column]) -> str:
    """Return the aggregate that sums the hashes of rows: their order does not matter, how often each stands does."""
    return f"coalesce(sum(hash({quote_identifiers(column.name for column in columns)})), 0)"


def hash_rows(connection: DuckDBPyConnection, columns: Sequence[Column], source: str) -> int:
    """Sum the hashes of the rows of `source`, which is what may follow FROM."""
    return int(connection.execute(f"SELECT {hash_of(columns)} FROM {source}").fetchall()[0][0])


def pack_content(columns: Sequence[Column], total: int) -> str:
    """Return a table's content: what hashed it, its columns, its rows."""
    return f"{_by()} {_shape(columns)} {total % _MODULUS:016x}"


def unpack_total(content: str, columns: Sequence[Column]) -> int | None:
    """Return the sum in a content; None when it is of other columns, or hashed in another way."""
    by, _, rest = content.partition(" ")
    shape, _, total = rest.partition(" ")
    return int(total, 16) if by == _by() and shape == _shape(columns) else None


def tell_difference(
    connection: DuckDBPyConnection, table: str, columns: Sequence[Column], content: str, rows: int | None
) -> str:
    """Say how a table differs from its content; "" when it does not, or when that cannot be told.

    Args:
        connection: A connection to the file.
        table: Quoted name of the table.
        columns: The columns it has now.
        content: What its last commit says.
        rows: How many rows that commit says there are, None when it does not.
    """
    if content.partition(" ")[0] != _by():
        return ""
    total = unpack_total(content, columns)
    if total is None:
        return f"its columns are other ones, now {', '.join(f'{column.name} {column.type}' for column in columns)}"
    found = connection.execute(f"SELECT count(*), {hash_of(columns)} FROM {table}").fetchall()[0]
    if found[1] % _MODULUS == total:
        return ""
    if rows is not None and rows != found[0]:
        return f"it has {found[0]:,} rows instead of {rows:,}"
    return f"it has {found[0]:,} rows as before, with other values"


def _by() -> str:
    import duckdb

    return f"duckdb-{duckdb.__version__}"


def _shape(columns: Sequence[Column]) -> str:
    text = "\n".join(f"{column.name} {column.type}" for column in columns)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
