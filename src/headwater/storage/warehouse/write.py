"""The rows of a change, written inside a transaction of the warehouse.

New rows are inserted before old ones are deleted: a SELECT of the change may read the table it changes. Inserted rows
are told from old ones by their row id, which only grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import RAW_COLUMN, REJECT_COLUMNS
from headwater.contracts.commits import Effect, evolve_columns
from headwater.contracts.ranges import Ranges, list_time_columns, read_ranges, read_ranges_and
from headwater.core.commit import Column
from headwater.core.fragments import quote_identifier, quote_identifiers, quote_text
from headwater.errors import ConnectorError, StateError
from headwater.storage.common.sql import match_keys
from headwater.storage.warehouse.content import hash_of, hash_rows, pack_content, unpack_total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Change


def read_columns(connection: DuckDBPyConnection, table: str) -> tuple[Column, ...]:
    """Return the columns of a table or query; empty when the table does not exist."""
    import duckdb

    try:
        found = connection.execute(f"DESCRIBE {table}").fetchall()
    except (duckdb.CatalogException, duckdb.InvalidInputException):  # the latter: a Python variable of that name
        return ()
    return tuple(Column(row[0], row[1]) for row in found)


def apply_change(
    connection: DuckDBPyConnection, table: str, change: Change, *, exists: bool, content: str = ""
) -> Effect:
    """Write the rows of a change into a table inside the open transaction; `content` is the table's before."""
    if change.mode == "record":
        if not exists:
            raise StateError("there is no table to record a commit on", fix="write the table first")
        return Effect()
    if change.mode == "replace" or not exists:
        return _create(connection, table, change, exists=exists)
    return _update(connection, table, change, content)


def _create(connection: DuckDBPyConnection, table: str, change: Change, *, exists: bool) -> Effect:
    ranges: list[Ranges] = []
    deleted: int | None = None if exists else 0
    timed = bool(list_time_columns(change.columns))
    if timed and exists:
        deleted, old = read_ranges(connection, read_columns(connection, table), table)
        ranges.append(old)
    rows = change.rows.on(connection)
    if not exists and any(column.name == RAW_COLUMN for column in change.columns):
        inserted = _fill_new(connection, table, rows)
    else:
        inserted = _count(connection, f"CREATE {'OR REPLACE ' if exists else ''}TABLE {table} AS {rows}")
    made = read_columns(connection, table)
    _, new, total = read_ranges_and(connection, made, table, hash_of(made))
    ranges += [new] if timed else []
    _comment_columns(connection, table, change.columns)
    return Effect(
        inserted, deleted, rows=inserted, replaced=True, columns=change.columns, ranges=ranges,
        content=pack_content(made, total),
    )  # fmt: skip


def _fill_new(connection: DuckDBPyConnection, table: str, rows: str) -> int:
    """Make a table of rows with their delivered text: it differs in every row, so DuckDB need not try others.

    Told the compression that it would choose itself, it writes such a table with a sixth less time. Not for a table
    that is replaced: its rows may be read from the old one.
    """
    columns = ", ".join(
        f"{quote_identifier(column.name)} {column.type}{' USING COMPRESSION fsst' if column.name == RAW_COLUMN else ''}"
        for column in read_columns(connection, rows)
    )
    connection.execute(f"CREATE TABLE {table} ({columns})")
    return _count(connection, f"INSERT INTO {table} {rows}")


def _update(connection: DuckDBPyConnection, table: str, change: Change, content: str) -> Effect:
    before = read_columns(connection, table)
    _refuse_rowid(table, before)
    affected_keys = _hold_deletes(connection, change)
    columns = evolve_columns(before, change)
    effect = Effect(schema_changed=_evolve(connection, table, before, columns), columns=columns)
    total = None if effect.schema_changed else unpack_total(content, before)
    timed = bool(list_time_columns(columns))
    last = connection.execute(f"SELECT coalesce(max(rowid), -1) FROM {table}").fetchall()[0][0]
    effect.inserted = _count(connection, f"INSERT INTO {table} BY NAME {change.rows.on(connection)}")
    effect.ranges, effect.deleted = [], 0
    parts = [(f"{table} WHERE rowid > {last}", False)] if effect.inserted else []
    parts += [
        (f"{table} AS _old WHERE {d}", True) for d in _affected(table, change, last, affected_keys, effect.inserted)
    ]
    for part, gone in parts:
        if timed or total is not None:
            hashed = "0" if total is None else hash_of(before)
            _, ranges, amount = read_ranges_and(connection, columns, part, hashed)
            effect.ranges += [ranges] if timed else []
            total = None if total is None else total + (-amount if gone else amount)
        if gone:
            effect.deleted += _count(connection, f"DELETE FROM {part}")
    if affected_keys:
        connection.execute(f"DROP TABLE {affected_keys}")
    if total is None:
        after = read_columns(connection, table)
        effect.content = pack_content(after, hash_rows(connection, after, table))
    else:
        effect.content = pack_content(before, total)
    return effect


def _refuse_rowid(table: str, columns: Sequence[Column]) -> None:
    if any(column.name.casefold() == "rowid" for column in columns):
        raise ConnectorError(
            f"{table}: a column named rowid hides DuckDB's own, so the table can only be replaced as a whole",
            fix="rename the column, or load the table in full",
        )


def _affected(table: str, change: Change, last: int, affected_keys: str, inserted: int) -> list[str]:
    """Return the predicates that select the old rows to remove."""
    if change.mode == "overwrite_where":
        return [f"_old.rowid <= {last} AND ({change.where})"]
    if change.mode != "merge":
        return []
    key = quote_identifiers(change.key)
    of_old = quote_identifiers(change.key, "_old.")
    affected = []
    if inserted:
        affected.append(f"_old.rowid <= {last} AND ({of_old}) IN (SELECT ({key}) FROM {table} WHERE rowid > {last})")
    if affected_keys:
        affected.append(f"_old.rowid <= {last} AND ({of_old}) IN (SELECT ({key}) FROM {affected_keys})")
    return affected


def _hold_deletes(connection: DuckDBPyConnection, change: Change) -> str:
    """Keep the keys to delete in a temporary table: their SELECT must see the table before the change."""
    if change.mode != "merge" or not change.deletes:
        return ""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _headwater_deletes AS {change.deletes}")
    return "temp._headwater_deletes"


def _evolve(connection: DuckDBPyConnection, table: str, old: Sequence[Column], new: Sequence[Column]) -> bool:
    changed = False
    for index, column in enumerate(new):
        name = quote_identifier(column.name)
        if index >= len(old):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {column.type}")
        elif column.type != old[index].type and _spell(connection, column.type) != old[index].type:
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {column.type}")
        else:
            continue
        changed = True
    if changed:
        _comment_columns(connection, table, new)
    return changed


def _spell(connection: DuckDBPyConnection, type_text: str) -> str:
    """Return a type the way the catalog spells it."""
    return str(connection.execute(f"SELECT typeof(CAST(NULL AS {type_text}))").fetchall()[0][0])


def _comment_columns(connection: DuckDBPyConnection, table: str, columns: Sequence[Column]) -> None:
    for column in columns:
        if column.source_type:
            name = f"{table}.{quote_identifier(column.name)}"
            connection.execute(f"COMMENT ON COLUMN {name} IS {quote_text(column.source_type)}")


def _count(connection: DuckDBPyConnection, statement: str) -> int:
    return int(connection.execute(statement).fetchall()[0][0])


def write_rejects(connection: DuckDBPyConnection, table: str, rejects: str) -> None:
    """Add quarantine rows whose key is not there yet to a quarantine, inside the open transaction."""
    columns = ", ".join(f"{name} {type_text}" for name, type_text in REJECT_COLUMNS)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    same = match_keys(["_reject_key"], "known", "fresh")
    names = ", ".join(name for name, _ in REJECT_COLUMNS)
    connection.execute(
        f"INSERT INTO {table} SELECT * FROM ({rejects}) AS fresh({names}) "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table} AS known WHERE {same})"
    )
