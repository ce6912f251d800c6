"""SQLite's catalogue: a table's columns, key and size, what its cells really hold, and whether the file changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import quote_identifier
from headwater.sources.sqlite.types import expected_storage, landed_type

if TYPE_CHECKING:
    import sqlite3

_SAMPLE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class DbTable:
    """A table, a view or a query.

    Attributes:
        sql: What stands after FROM.
        columns: Columns with DuckDB types; `source_type` is what the catalogue declares.
        key: Primary key.
        unique: SQL of what tells rows apart and is never NULL: the rowid, or the key of a table without one. Empty
            for views and queries, which cannot be cut into chunks.
    """

    sql: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[str, ...]


def find_table(database: sqlite3.Connection, name: str, query: str | None) -> DbTable | None:
    """Look a table, view or query up; None when there is none of that name."""
    if query is not None:
        database.execute("DROP VIEW IF EXISTS temp._hw_query")
        database.execute(f"CREATE TEMP VIEW _hw_query AS {query}")
        return DbTable(f"({query}\n)", _columns(database, "_hw_query"), (), ())
    found = database.execute(
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?)", [name]
    ).fetchone()
    if found is None:
        return None
    kind, name = found
    rows = database.execute(f"PRAGMA table_xinfo({quote_identifier(name)})").fetchall()
    key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
    unique = _unique(database, name, [row[1] for row in rows], key) if kind == "table" else ()
    return DbTable(f"main.{quote_identifier(name)}", _columns(database, name), key, unique)


def _columns(database: sqlite3.Connection, name: str) -> tuple[Column, ...]:
    rows = database.execute(f"PRAGMA table_xinfo({quote_identifier(name)})").fetchall()
    return tuple(Column(row[1], landed_type(row[2] or ""), row[2] or "") for row in rows if row[6] != 1)


def _unique(database: sqlite3.Connection, name: str, names: list[str], key: tuple[str, ...]) -> tuple[str, ...]:
    """A column may be called rowid, and then the rowid goes by another of its three names, if one is left."""
    listed = database.execute("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", [name]).fetchone()
    if listed and listed[0]:
        return tuple(quote_identifier(column) for column in key)
    taken = {column.lower() for column in names}
    free = [word for word in ("rowid", "_rowid_", "oid") if word not in taken]
    return (free[0],) if free else ()


def describe_table(database: sqlite3.Connection, table: DbTable, version: str | None) -> TableDescription:
    """Describe a table; rows are estimated by the span of rowids, or counted where there are none."""
    if table.unique and len(table.unique) == 1 and not table.unique[0].startswith('"'):
        row = database.execute(
            f"SELECT max({table.unique[0]}) - min({table.unique[0]}) + 1 FROM {table.sql}"
        ).fetchone()
    else:
        row = database.execute(f"SELECT count(*) FROM {table.sql}").fetchone()
    return TableDescription(table.columns, table.key, row[0] or 0, version, notes=tuple(_notes(database, table)))


def _notes(database: sqlite3.Connection, table: DbTable) -> list[str]:
    """Say which columns hold what their declared type does not promise, in a sample."""
    counted = ", ".join(
        f"sum(typeof({quote_identifier(c.name)}) = '{storage}')"
        for c in table.columns
        for storage in ("integer", "real", "text", "blob")
    )
    row = database.execute(f"SELECT {counted} FROM (SELECT * FROM {table.sql} LIMIT {_SAMPLE_ROWS})").fetchone()
    notes = []
    for number, column in enumerate(table.columns):
        held = dict(zip(("integer", "real", "text", "blob"), row[4 * number : 4 * number + 4], strict=True))
        odd = {storage: rows for storage, rows in held.items() if rows and storage not in expected_storage(column.type)}
        if odd and column.source_type:
            found = ", ".join(f"{rows} cells of {storage}" for storage, rows in odd.items())
            notes.append(f"column {column.name!r} is declared {column.source_type} and holds {found} in a sample")
    return notes


def file_version(path: str) -> str | None:
    """Return what changes with every commit to the file, or None when that cannot be seen from outside.

    In rollback mode each transaction counts up the file change counter (bytes 24 to 27). In WAL mode a commit may
    leave the file as it is, and a journal means that a transaction is on its way.
    """
    if os.path.exists(path + "-journal") and os.path.getsize(path + "-journal"):
        return None
    with open(path, "rb") as file:
        header = file.read(100)
    status = os.stat(path)
    if header[18:20] == b"\x02\x02" or len(header) < 100:
        return None
    counter = int.from_bytes(header[24:28], "big")
    return f"{counter}-{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"
