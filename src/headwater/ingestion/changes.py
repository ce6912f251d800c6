"""What a log of changes does to a table: the last change of each key, with the values that it does not repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts import CHANGE_COLUMNS, DELETED_AT
from headwater.core.fragments import SelectSql, quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headwater.core.commit import Column

_OP, _SEQ, _UNCHANGED = CHANGE_COLUMNS


@dataclass(frozen=True, slots=True)
class ChangeQueries:
    """The queries of a load of changes. Materialize `last` once (a temporary table), then ask the others of it.

    Attributes:
        last: The last change of every key, its missing values filled in from earlier changes and the table.
    """

    last: SelectSql
    _names: tuple[str, ...]
    _keys: tuple[str, ...]

    def upserts(self, table: str) -> SelectSql:
        """Return the rows to write: one per key that the source has."""
        return SelectSql(f"SELECT {', '.join(self._names)} FROM {table} WHERE {_OP} = 'upsert'")

    def deletes(self, table: str) -> SelectSql:
        """Return the keys that the source no longer has."""
        return SelectSql(f"SELECT {', '.join(self._keys)} FROM {table} WHERE {_OP} = 'delete'")


def compile_changes(
    rows: SelectSql,
    current: SelectSql | None,
    columns: Sequence[Column],
    key: Sequence[str],
    *,
    system_columns: Sequence[Column],
    current_columns: Collection[str],
    unchanged: Mapping[str, str],
    since: int | None = None,
    upserts_only: bool = False,
) -> ChangeQueries:
    """Compile a load of changes (`CHANGE_COLUMNS`) to what it leaves of each key.

    A value that an upsert does not repeat is that of the change before it in the load, else that of the table's row.

    Args:
        rows: SELECT of the changes: `columns`, `system_columns`, `CHANGE_COLUMNS`.
        current: SELECT of the table as it is, or None when there is none or it is emptied.
        columns: The table's columns without system columns.
        key: Key columns.
        system_columns: System columns to pass on.
        current_columns: Names of the columns `current` has.
        unchanged: Columns that some upsert does not repeat, with the name under which `_hw_unchanged` lists them.
        since: Only changes after this one count: a truncate.
        upserts_only: Deletes do not count.
    """
    keys = [quote_identifier(name) for name in key]
    names = tuple(quote_identifier(column.name) for column in (*columns, *system_columns))
    counted = f"{_OP} = 'upsert'" if upserts_only else f"{_OP} <> 'truncate'"
    counted += f" AND {_SEQ} > {since}" if since is not None else ""
    window = f"(PARTITION BY {', '.join(keys)} ORDER BY {_SEQ}"
    known = [
        f"last_value(CASE WHEN {_repeats(said)} THEN struct_pack(v := {quote_identifier(name)}) END IGNORE NULLS) "
        f"OVER {window} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS _hw_known_{index}"
        for index, (name, said) in enumerate(unchanged.items())
    ]
    rank = f"row_number() OVER {window} DESC) AS _hw_rank"
    ranked = f"SELECT {', '.join(['*', *known, rank])} FROM ({rows}) WHERE {counted}"
    last = SelectSql(f"SELECT * FROM ({ranked}) WHERE _hw_rank = 1")
    if unchanged:
        last = _filled(last, current, names, keys, unchanged, {name.lower() for name in current_columns})
    else:
        last = SelectSql(f"SELECT {', '.join(names)}, {_OP} FROM ({last})")
    return ChangeQueries(last, names, tuple(keys))


def _filled(
    last: SelectSql,
    current: SelectSql | None,
    names: Sequence[str],
    keys: Sequence[str],
    unchanged: Mapping[str, str],
    there: Collection[str],
) -> SelectSql:
    """Fill in the values that an upsert does not repeat."""
    filled: dict[str, str] = {}
    for index, (name, said) in enumerate(unchanged.items()):
        column = quote_identifier(name)
        kept = f"c.{column}" if current and name.lower() in there else "NULL"
        earlier = f"CASE WHEN n._hw_known_{index} IS NOT NULL THEN n._hw_known_{index}.v ELSE {kept} END"
        filled[column] = f"CASE WHEN {_repeats(said, 'n.')} THEN n.{column} ELSE {earlier} END AS {column}"
    selected = ", ".join(filled.get(name, f"n.{name}") for name in names)
    joined = " AND ".join(f"n.{name} = c.{name}" for name in keys)
    table = f" LEFT JOIN ({current}) AS c ON {joined}" if current else ""
    return SelectSql(f"SELECT {selected}, n.{_OP} FROM ({last}) AS n{table}")


def _repeats(said: str, prefix: str = "") -> str:
    return f"list_contains({prefix}{_UNCHANGED}, {quote_text(said)}) IS NOT TRUE"


def compile_flags(
    current: SelectSql, columns: Sequence[str], there: Collection[str], where: str, deleted_at_sql: str
) -> SelectSql:
    """Return rows of the table with `_deleted_at` set: flagged as deleted, or (NULL) as back again.

    Args:
        current: SELECT of the table as it is.
        columns: Names of all columns of the table after the load.
        there: Names of those that `current` has.
        where: What follows `FROM (current) AS c` to pick the rows.
        deleted_at_sql: SQL of the time, or NULL.
    """
    known = {name.lower() for name in there}
    values = [
        f"CAST({deleted_at_sql} AS TIMESTAMP WITH TIME ZONE) AS {DELETED_AT}"
        if name == DELETED_AT
        else f"{f'c.{quote_identifier(name)}' if name.lower() in known else 'NULL'} AS {quote_identifier(name)}"
        for name in columns
    ]
    return SelectSql(f"SELECT {', '.join(values)} FROM ({current}) AS c {where}")
