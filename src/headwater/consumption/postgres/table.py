"""One table in a publish: what has to change about it, and the statements that change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_identifier, quote_identifiers
from headwater.errors import StateError, StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from headwater.consumption.postgres.columns import PublishedColumn
    from headwater.consumption.postgres.staging import StagedTable

_BLOCK_BYTES = 2**18
_WAITING = "headwater_new_"
"""Names of the temporary tables."""

_COLUMNS = """
SELECT c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %s AND c.relname = %s
"""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a publish does to a table.

    Attributes:
        place: Schema and table, quoted.
        table: Its columns and rows.
        number: Its number in the publish.
        is_new: Whether it is made.
        added: The columns that it gets.
        dropped: The columns that it loses; one of another type is dropped and added.
    """

    place: str
    table: StagedTable
    number: int
    is_new: bool
    added: tuple[PublishedColumn, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def locks_readers(self) -> bool:
        """Whether its columns change: nobody may read it meanwhile."""
        return not self.is_new and bool(self.added or self.dropped)

    @property
    def _waits(self) -> bool:
        """Whether its rows are copied into a temporary table first."""
        return self.locks_readers or (bool(self.table.key) and not self.is_new)

    @property
    def _waiting(self) -> str:
        return f"pg_temp.{_WAITING}{self.number}"

    def prepare(self, session: psycopg.Connection[Any]) -> None:
        """Do what no reader has to wait for: make the table, or copy its rows into a temporary one."""
        columns = ", ".join(f"{quote_identifier(column.name)} {column.type}" for column in self.table.columns)
        if self.is_new:
            session.execute(f"CREATE TABLE {self.place} ({columns})")
        if self._waits:
            session.execute(f"CREATE TEMPORARY TABLE {_WAITING}{self.number} ({columns}) ON COMMIT DROP")
            _copy(session, self._waiting, self.table)
            session.execute(f"ANALYZE {self._waiting}")

    def apply(self, session: psycopg.Connection[Any]) -> None:
        """Change columns and rows."""
        changes = [f"DROP COLUMN {quote_identifier(name)}" for name in self.dropped]
        changes += [f"ADD COLUMN {quote_identifier(column.name)} {column.type}" for column in self.added]
        if changes and not self.is_new:
            session.execute(f"ALTER TABLE {self.place} {', '.join(changes)}")
        if not self._waits:
            if not self.is_new:
                session.execute(f"DELETE FROM {self.place}")
            _copy(session, self.place, self.table)
            return
        if self.table.key:
            self._merge(session)
        if not self.table.key or _count(session, self.place) != self.table.rows:
            session.execute(f"DELETE FROM {self.place}")
            self._insert(session)

    def _merge(self, session: psycopg.Connection[Any]) -> None:
        """Write the rows that differ, to the last bit (`*=`): -0.0 is not 0.0, and 24 hours are not a day."""
        names = [column.name for column in self.table.columns]
        same_key = " AND ".join(f"n.{quote_identifier(name)} = o.{quote_identifier(name)}" for name in self.table.key)
        old, new = quote_identifiers(names, "o."), quote_identifiers(names, "n.")
        session.execute(
            f"DELETE FROM {self.place} o WHERE NOT EXISTS (SELECT FROM {self._waiting} n WHERE {same_key} "
            f"AND ROW({new})::record OPERATOR(pg_catalog.*=) ROW({old})::record)"
        )
        self._insert(session, f"WHERE NOT EXISTS (SELECT FROM {self.place} o WHERE {same_key})")

    def _insert(self, session: psycopg.Connection[Any], where: str = "") -> None:
        names = quote_identifiers(column.name for column in self.table.columns)
        session.execute(f"INSERT INTO {self.place} ({names}) SELECT {names} FROM {self._waiting} n {where}")


def plan_change(
    session: psycopg.Connection[Any], schema: str, table: StagedTable, number: int, *, known: bool
) -> TableChange:
    """Compare a table with the one in the database; `known` says that this consumer has made that one.

    Raises:
        StateError: What is there is somebody else's, or no table.
    """
    place = f"{quote_identifier(schema)}.{quote_identifier(table.name)}"
    found = session.execute(_COLUMNS, (schema, table.name)).fetchall()
    if not found:
        return TableChange(place, table, number, is_new=True)
    if not known or any(kind != "r" for kind, *_ in found):
        what = f"{schema}.{table.name} is there already, and is not a table that this declaration has made"
        raise StateError(what, fix="drop or rename it, or publish under another name")
    there = {name: type_text for _, name, type_text in found if name is not None}
    wanted = {column.name: column.type for column in table.columns}
    dropped = tuple(name for name, type_text in there.items() if wanted.get(name) != type_text)
    added = tuple(column for column in table.columns if there.get(column.name) != column.type)
    return TableChange(place, table, number, is_new=False, added=added, dropped=dropped)


def name_refused(tables: Sequence[StagedTable], error: psycopg.Error) -> str:
    """Say of which column the server refused a value, "" when it did not say; the value itself is not told."""
    told = error.diag.context or ""
    for number, table in enumerate(tables):
        if not told.startswith((f"COPY {table.name}, ", f"COPY {_WAITING}{number}, ")):
            continue
        places = [(told.find(f", column {column.name}:"), column) for column in table.columns]
        named = [(place, column) for place, column in places if place >= 0]
        if named:
            _, column = min(named, key=lambda found: found[0])
            return f"{table.name}.{column.name} has a value that PostgreSQL's type {column.type} does not have"
    return ""


def _copy(session: psycopg.Connection[Any], place: str, table: StagedTable) -> None:
    names = quote_identifiers(column.name for column in table.columns)
    form = "FORMAT binary" if table.binary else "FORMAT csv"
    statement = f"COPY {place} ({names}) FROM STDIN ({form}, ENCODING 'UTF8')"
    with session.cursor() as cursor:
        with table.file.open("rb") as file, cursor.copy(statement) as copy:
            while block := file.read(_BLOCK_BYTES):
                copy.write(block)
        if cursor.rowcount != table.rows:
            raise StepError(f"{table.name}: {cursor.rowcount:,} of {table.rows:,} rows arrived; nothing was changed")


def _count(session: psycopg.Connection[Any], place: str) -> int:
    row = session.execute(f"SELECT count(*) FROM {place}").fetchone()
    assert row is not None
    return int(row[0])
