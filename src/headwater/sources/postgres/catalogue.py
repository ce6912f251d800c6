"""PostgreSQL's catalogue: columns with exact types, keys and sizes of all tables by one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.contracts import TableDescription
from headwater.core.fragments import quote_identifier
from headwater.core.near import list_near, suggest
from headwater.postgres import PostgresError
from headwater.sources.postgres.types import ServerColumn, ServerType, unfit_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

_BASE = """
WITH RECURSIVE base(start, type, typmod) AS (
  SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t
  UNION ALL
  SELECT b.start, t.typbasetype, CASE WHEN b.typmod = -1 THEN t.typtypmod ELSE b.typmod END
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
"""
_RESOLVED = """
  CASE WHEN coalesce(e.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace
       THEN coalesce(e.typname, t.typname) ELSE '' END,
  CASE WHEN a.typmod = -1 THEN b.typmod ELSE a.typmod END, e.oid IS NOT NULL, a.dims,
  coalesce(e.typtype, t.typtype) = 'c', pg_catalog.format_type(a.type, a.typmod)
"""
_JOINS = """
  JOIN base b ON b.start = a.type
  JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'
  LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
    AND t.typname NOT IN ('int2vector', 'oidvector')
"""
_COLUMNS = f"""{_BASE}
SELECT a.relation, a.name, {_RESOLVED}
FROM (SELECT attrelid AS relation, attnum AS place, attname AS name, atttypid AS type, atttypmod AS typmod,
             greatest(attndims, 1)::int AS dims
      FROM pg_catalog.pg_attribute WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped) a
{_JOINS} ORDER BY a.relation, a.place
"""
_TYPES = f"""{_BASE}
SELECT {_RESOLVED}, a.place
FROM unnest(%s::oid[], %s::int[], %s::int[]) AS a(type, typmod, place)
CROSS JOIN LATERAL (SELECT 1 AS dims) AS d
{_JOINS} ORDER BY a.place
""".replace("a.dims", "d.dims")
_RELATIONS = """
SELECT c.relname, c.oid::bigint, c.relkind::text,
  CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0))::bigint
         FROM pg_catalog.pg_partition_tree(c.oid) p
         JOIN pg_catalog.pg_class l ON l.oid = p.relid WHERE p.isleaf)
       WHEN c.relkind IN ('r', 'm') AND c.reltuples >= 0 THEN c.reltuples::bigint END,
  CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) END,
  coalesce((SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE i.indrelid = c.oid AND i.indisprimary), '{}'),
  pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_COUNTED_BYTES = 16 * 2**20
_ROW_BYTES = 100
"""A guess at a row's size in a table that was never analyzed and is too large to be counted."""


@dataclass(frozen=True, slots=True)
class ServerTable:
    """A table, a view or a query.

    Attributes:
        sql: What stands after FROM.
        columns: Its columns.
        key: Primary key.
        oid: Of the relation; 0 for a query.
        sampled: TABLESAMPLE works on it.
        estimated_rows: None when unknown.
        heap: It is one ordinary table, whose pages can be read in parallel.
    """

    sql: str
    columns: tuple[ServerColumn, ...]
    key: tuple[str, ...] = ()
    oid: int = 0
    sampled: bool = False
    estimated_rows: int | None = None
    heap: bool = False

    def describe(self) -> TableDescription:
        """Return what the contract says of a table; whether rows changed cannot be known cheaply."""
        notes = tuple(column.note for column in self.columns if column.note)
        columns = tuple(column.column for column in self.columns)
        unfit = {c.name: ", ".join(what for _, what in unfit_sql(c.type)) for c in self.columns}
        rejects = {name: what for name, what in unfit.items() if what}
        return TableDescription(columns, self.key, self.estimated_rows, notes=notes, rejects=rejects)

    def find(self, name: str) -> ServerColumn | None:
        """Return the column of a name, whatever its case."""
        same = [column for column in self.columns if column.name == name]
        near = [column for column in self.columns if column.name.lower() == name.lower()]
        return next(iter(same + near), None)


def find_tables(session: psycopg.Connection[Any], schema: str, wanted: Mapping[str, Any]) -> dict[str, ServerTable]:
    """Look tables and queries up: by the name within the source; options have `table` and `query`.

    Raises:
        PostgresError: A table is not there, or must not be read.
        psycopg.Error: The server fails.
    """
    names = {name: options.table or name for name, options in wanted.items() if not options.query}
    found = {row[0]: row for row in session.execute(_RELATIONS, [schema, list(names.values())]).fetchall()}
    for relation in names.values():
        if relation not in found:
            raise _missing(session, schema, relation)
        if not found[relation][6]:
            raise PostgresError(
                f"the user of the connection must not read {schema}.{relation}",
                fix=f"grant usage on schema {schema}, and select on {schema}.{relation}",
            )
    columns = _read_columns(session, [row[1] for row in found.values()])
    tables = {name: _table(session, schema, found[relation], columns) for name, relation in names.items()}
    for name, options in wanted.items():
        if options.query:
            tables[name] = _query(session, options.query)
    return tables


def search_path(session: psycopg.Connection[Any], schema: str) -> str:
    """Return the path on which a query's tables are found: a schema, then where the user's sessions look.

    Raises:
        PostgresError: There is no such schema: the server would pass over it, and find other tables.
        psycopg.Error: The server fails.
    """
    rows = session.execute("SELECT nspname, current_setting('search_path') FROM pg_catalog.pg_namespace").fetchall()
    names = [str(name) for name, _ in rows]
    if schema not in names:
        raise PostgresError(f"there is no schema {schema!r}", fix=suggest(schema, names, "check database_schema"))
    return ", ".join([quote_identifier(schema), *([str(rows[0][1])] if rows[0][1] else [])])


def _table(
    session: psycopg.Connection[Any], schema: str, row: Sequence[Any], columns: Mapping[int, list[ServerColumn]]
) -> ServerTable:
    relation, oid, kind, rows, size_bytes, key, _ = row
    sql = f"{quote_identifier(schema)}.{quote_identifier(relation)}"
    if rows is None and size_bytes is not None:
        rows = size_bytes // _ROW_BYTES if size_bytes > _COUNTED_BYTES else _count(session, sql)
    return ServerTable(sql, tuple(columns.get(oid, [])), tuple(key), oid, kind in "rpm", rows, kind == "r")


def _count(session: psycopg.Connection[Any], sql: str) -> int | None:
    row = session.execute(f"SELECT count(*) FROM {sql}".encode()).fetchone()
    return int(row[0]) if row else None


def _missing(session: psycopg.Connection[Any], schema: str, name: str) -> PostgresError:
    rows = session.execute(
        "SELECT c.relname, n.nspname "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    elsewhere = [other for found, other in rows if found == name]
    if elsewhere:
        fix = f"it is in the schema {elsewhere[0]}: set database_schema"
    else:
        there = sorted(found for found, other in rows if other == schema)
        near = list_near(name, there) or there[:10]
        fix = f"set table to one of: {', '.join(near) or 'none there'}"
    return PostgresError(f"schema {schema!r} has no table {name!r}", fix=fix)


def _read_columns(session: psycopg.Connection[Any], oids: list[int]) -> dict[int, list[ServerColumn]]:
    columns: dict[int, list[ServerColumn]] = {}
    for oid, name, *resolved in session.execute(_COLUMNS, [oids]).fetchall():
        columns.setdefault(int(oid), []).append(_column(name, resolved))
    return columns


def _column(name: str, resolved: Sequence[Any]) -> ServerColumn:
    typname, typmod, array, dimensions, nested, declared = resolved
    found = ServerType.of_typmod(typname, typmod, array=array, dimensions=dimensions, nested=nested)
    return ServerColumn(name, found, declared)


def _query(session: psycopg.Connection[Any], query: str) -> ServerTable:
    """Describe a query by its empty result."""
    sql = f"({query}\n) AS q"
    result = session.execute(f"SELECT * FROM {sql} LIMIT 0".encode()).pgresult
    if result is None:
        return ServerTable(sql, ())
    places = range(result.nfields)
    found = [((result.fname(place) or b"").decode(), result.ftype(place), result.fmod(place)) for place in places]
    return ServerTable(sql, resolve_columns(session, found))


def resolve_columns(
    session: psycopg.Connection[Any], columns: Sequence[tuple[str, int, int]]
) -> tuple[ServerColumn, ...]:
    """Resolve columns of a result or a log: name, oid and modifier of the type. A type that is gone is text.

    Raises:
        psycopg.Error: The server fails.
    """
    rows = session.execute(
        _TYPES,
        [[kind for _, kind, _ in columns], [typmod for _, _, typmod in columns], list(range(len(columns)))],
    ).fetchall()
    found = {int(place): resolved for *resolved, place in rows}
    gone = ("", -1, False, 1, False, "")
    return tuple(_column(name, found.get(place, gone)) for place, (name, _, _) in enumerate(columns))
