"""How a model's query becomes a change of its table: table, incremental, snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.contracts import Change, Select
from headwater.core.commit import SNAPSHOT_COLUMNS, Column
from headwater.core.fragments import NO_SELECT, PredicateSql, SelectSql, quote_identifier
from headwater.core.types import Fidelity, landed, wider_type
from headwater.errors import ProjectError, UserCodeError
from headwater.sql.binding import may_be_doubled
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Target
    from headwater.core.plan import Interval
    from headwater.core.specs import ModelSpec
    from headwater.core.stores import DeclaredStore

VALID_FROM, VALID_TO = (column.name for column in SNAPSHOT_COLUMNS)


def land_query(
    query: SelectSql, columns: Sequence[Column], store: DeclaredStore, model: str
) -> tuple[SelectSql, tuple[Column, ...]]:
    """Cast a query's columns to the types its store holds, under the names that `describe_query` gives them.

    Raises:
        ProjectError: A type the store refuses, or that would lose values; the message says which column to cast.
    """
    parts, after = [], []
    for column in columns:
        landing = landed(column.type, store.capabilities.types)
        if landing.fidelity in (Fidelity.REFUSED, Fidelity.LOSSY):
            verb = "cannot hold" if landing.fidelity is Fidelity.REFUSED else "would lose part of"
            raise ProjectError(
                f"{model}: the {store} {verb} {column.type} (column {column.name})",
                fix=f"cast it in the query, for instance to {landing.type or 'VARCHAR'}",
            )
        name = quote_identifier(column.name)
        parts.append(name if landing.type == column.type else f"CAST({name} AS {landing.type}) AS {name}")
        after.append(Column(column.name, landing.type, column.type if landing.type != column.type else ""))
    if all(column.source_type == "" for column in after) and not may_be_doubled(columns):
        return query, tuple(after)
    return SelectSql(f"SELECT {', '.join(parts)} FROM (\n{query}\n)"), tuple(after)


def replace_change(query: SelectSql, columns: tuple[Column, ...]) -> Change:
    """The query is the whole table."""
    return Change("replace", Select(query), columns)


def first_change(
    connection: DuckDBPyConnection, spec: ModelSpec, query: SelectSql, columns: tuple[Column, ...], span: Interval
) -> Change:
    """All intervals at once: the rows of the whole query with `start <= time < end` are the whole table."""
    rows = _within(str(spec.time), query, columns, span)
    if spec.key:
        _materialize(connection, rows, spec.key)
        rows = SelectSql("SELECT * FROM temp._hw_new")
    return Change("replace", Select(rows), columns)


def interval_change(
    connection: DuckDBPyConnection, spec: ModelSpec, target: Target, query: SelectSql, columns: tuple[Column, ...],
    interval: Interval,
) -> Change:  # fmt: skip
    """The rows of an interval: those of the whole query with `start <= time < end`; with a key, merged within it."""
    assert spec.time is not None
    inside = interval_predicate(spec.time, interval)
    columns = _columns_after(target, columns)
    rows = _within(spec.time, query, columns, interval)
    if not spec.key:
        return Change("overwrite_where", Select(rows), columns, where=inside)
    current = SelectSql(f"SELECT * FROM ({target.scan}) WHERE {inside}")
    return _merge_difference(connection, spec.key, rows, current, target, columns)


def key_change(
    connection: DuckDBPyConnection, spec: ModelSpec, target: Target, query: SelectSql, columns: tuple[Column, ...]
) -> Change:
    """The whole query compared with the table: only changed, new and vanished keys are written."""
    columns = _columns_after(target, columns)
    if not target.scan:
        _materialize(connection, query, spec.key)
        return Change("replace", Select(SelectSql("SELECT * FROM temp._hw_new")), columns)
    return _merge_difference(connection, spec.key, query, target.scan, target, columns)


def snapshot_change(
    connection: DuckDBPyConnection, spec: ModelSpec, target: Target, query: SelectSql, columns: tuple[Column, ...],
    now: datetime,
) -> Change:  # fmt: skip
    """SCD type 2: a changed row closes the one before it and opens its own; NULL-safe; vanished keys stay open.

    A change is never lost: where its time, or the clock, is not after the open row's, it holds a microsecond later.
    """
    if taken := {VALID_FROM, VALID_TO} & {column.name.lower() for column in columns}:
        raise UserCodeError(f"a snapshot adds {', '.join(sorted(taken))} itself", fix="give the column another name")
    _materialize(connection, query, [*spec.key, *([spec.time] if spec.time else [])], unique=spec.key)
    columns = _typed_nulls(connection, target, columns)
    names = [quote_identifier(column.name) for column in columns]
    start = f"CAST({quote_identifier(spec.time)} AS TIMESTAMPTZ)" if spec.time else timestamp_literal(now)
    opened = f"SELECT {', '.join(names)}, {start} AS {VALID_FROM}, CAST(NULL AS TIMESTAMPTZ) AS {VALID_TO}"
    after = (*columns, *SNAPSHOT_COLUMNS)
    if not target.scan:
        return Change("replace", Select(SelectSql(f"{opened} FROM temp._hw_new")), after)
    if VALID_TO not in {column.name for column in target.columns}:
        raise UserCodeError("the table is no snapshot yet", fix="rebuild it with `headwater run --full <model>`")
    after = _columns_after(target, after, keeps_history=True)
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM o.{name}" for name in names)
    known = {column.name for column in target.columns}
    current = ", ".join(
        quote_identifier(c.name) if c.name in known else f"CAST(NULL AS {c.type}) AS {quote_identifier(c.name)}"
        for c in after
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _hw_open AS SELECT {current} FROM ({target.scan}) WHERE {VALID_TO} IS NULL"
    )
    keys = ", ".join(quote_identifier(key) for key in spec.key)
    fresh = f"({opened} FROM temp._hw_new)"
    news = f"SELECT n.* FROM {fresh} n ANTI JOIN temp._hw_open USING ({keys})"
    changed = f"{fresh} n JOIN temp._hw_open o USING ({keys}) WHERE NOT ({same})"
    since = f"greatest(n.{VALID_FROM}, o.{VALID_FROM} + INTERVAL 1 MICROSECOND)"
    listed = [quote_identifier(column.name) for column in after]
    opened_at, closed_at = quote_identifier(VALID_FROM), quote_identifier(VALID_TO)
    opening = [f"{since} AS {name}" if name == opened_at else f"n.{name}" for name in listed]
    closing = [f"{since} AS {name}" if name == closed_at else f"o.{name}" for name in listed]
    openings = f"SELECT {', '.join(opening)} FROM {changed}"
    closings = f"SELECT {', '.join(closing)} FROM {changed}"
    rows = SelectSql(f"SELECT {', '.join(listed)} FROM ({news}) UNION ALL {openings} UNION ALL {closings}")
    return _settle(connection, Change("merge", Select(rows), after, key=(*spec.key, VALID_FROM)))


def _typed_nulls(connection: DuckDBPyConnection, target: Target, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Give the table's type to a column that is `null` without one, which the engine takes for an integer."""
    known, typed = {column.name: column.type for column in target.columns}, []
    for column in columns:
        kept, name = known.get(column.name, column.type), quote_identifier(column.name)
        if column.type in ("INTEGER", "BIGINT") and wider_type(kept, column.type) is None:
            held = connection.execute(f"SELECT count({name}) FROM temp._hw_new").fetchone()
            if held == (0,):
                connection.execute(f"ALTER TABLE temp._hw_new ALTER {name} TYPE {kept}")
                column = replace(column, type=kept)
        typed.append(column)
    return tuple(typed)


def interval_predicate(time: str, interval: Interval) -> PredicateSql:
    """Return `start <= time < end` for a DATE or TIMESTAMP column."""
    column = f"CAST({quote_identifier(time)} AS TIMESTAMP)"
    return PredicateSql(
        f"{column} >= {timestamp_literal(interval.start)} AND {column} < {timestamp_literal(interval.end)}"
    )


def _within(time: str, query: SelectSql, columns: Sequence[Column], interval: Interval) -> SelectSql:
    names = ", ".join(quote_identifier(column.name) for column in columns)
    return SelectSql(f"SELECT {names} FROM (\n{query}\n) WHERE {interval_predicate(time, interval)}")


def _merge_difference(
    connection: DuckDBPyConnection, key: Sequence[str], query: SelectSql, current: SelectSql, target: Target,
    columns: tuple[Column, ...],
) -> Change:  # fmt: skip
    _materialize(connection, query, key)
    names = ", ".join(quote_identifier(column.name) for column in columns)
    known = {column.name for column in target.columns}
    present = ", ".join(
        quote_identifier(c.name) if c.name in known else f"CAST(NULL AS {c.type}) AS {quote_identifier(c.name)}"
        for c in columns
    )
    keys = ", ".join(quote_identifier(part) for part in key)
    rows = SelectSql(f"SELECT {names} FROM temp._hw_new EXCEPT SELECT {present} FROM ({current})")
    deletes = SelectSql(f"SELECT {keys} FROM ({current}) ANTI JOIN temp._hw_new USING ({keys})")
    return _settle(connection, Change("merge", Select(rows), columns, key=tuple(key), deletes=deletes))


def _settle(connection: DuckDBPyConnection, change: Change) -> Change:
    """Compute a merge's rows and deletes once, before the table they were compared with changes."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_rows AS {change.rows.on(connection)}")
    deletes = NO_SELECT
    if change.deletes:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_gone AS {change.deletes}")
        deletes = SelectSql("SELECT * FROM temp._hw_gone")
    return replace(change, rows=Select(SelectSql("SELECT * FROM temp._hw_rows")), deletes=deletes)


def _materialize(
    connection: DuckDBPyConnection, query: SelectSql, filled: Sequence[str], unique: Sequence[str] | None = None
) -> None:
    """Compute the query once, into a temporary table; see that columns hold no NULL and that its key is one."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_new AS {query}")
    key = filled if unique is None else unique
    nulls = " OR ".join(f"{quote_identifier(name)} IS NULL" for name in filled)
    listed = ", ".join(quote_identifier(name) for name in key)
    row = connection.execute(
        f"SELECT count(*) FILTER (WHERE {nulls}), count(*) - count(DISTINCT ({listed})) FROM temp._hw_new"
    ).fetchone()
    empty, double = row or (0, 0)
    if empty:
        raise UserCodeError(f"{empty} rows with NULL in {', '.join(filled)}", fix="filter them in the query")
    if double:
        what = f"{double} rows with a key that stands twice ({', '.join(key)})"
        raise UserCodeError(what, fix="filter them in the query, or choose another key")


def _columns_after(target: Target, columns: tuple[Column, ...], *, keeps_history: bool = False) -> tuple[Column, ...]:
    """Columns of the table after a change of some of its rows: types widen, a vanished column is an error."""
    if not target.columns:
        return columns
    rebuild = "rebuild the table with `headwater run --full <model>`"
    if keeps_history:
        rebuild = "keep a copy of the table: `headwater run --full <model>` rebuilds it and forgets its history"
    now = {column.name: column for column in columns}
    gone = [column for column in target.columns if column.name not in now]
    if gone:
        names = ", ".join(column.name for column in gone)
        kept = ", ".join(f"null as {column.name}" for column in gone)
        fix = f"add `{kept}` to the query; or {rebuild}" if keeps_history else rebuild
        raise UserCodeError(f"the query no longer gives {names}", fix=fix)
    after = []
    for column in target.columns:
        wide = wider_type(column.type, now.pop(column.name).type)
        if wide is None:
            raise UserCodeError(
                f"column {column.name} changed its type from {column.type}",
                fix=f"cast it to {column.type}, or {rebuild}",
            )
        after.append(replace(column, type=wide))
    return (*after, *now.values())
