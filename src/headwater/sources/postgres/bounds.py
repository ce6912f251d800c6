"""Where a read begins, ends and is cut: fixed before its first row, as texts of the server."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headwater.core.cursor import effective_lag
from headwater.core.fragments import quote_identifier, quote_text
from headwater.core.types import is_time_type
from headwater.errors import ProjectError
from headwater.sources.postgres.holders import list_holders, list_writers, open_sql, tell_holders
from headwater.sources.postgres.types import landed_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from headwater.contracts import ReadRequest
    from headwater.sources.postgres.catalogue import ServerTable
    from headwater.sources.postgres.holders import Holder
    from headwater.sources.postgres.types import ServerColumn

WRITERS_WAIT_S = 2.0
"""How long a read waits for transactions that write to its table, when their rows' cursor values cannot be known."""

_STAYS = "the position stays, and the next run reads its rows again"
_UNSEEN = "transactions are open whose start cannot be seen (grant pg_read_all_stats, set track_activities on)"
_WAITS = "the newest rows are left to the next run"
_TICK = timedelta(microseconds=1)
_SAMPLE_ROWS = 200_000
_ENDLESS = ("float4", "float8", "numeric", "date", "timestamp", "timestamptz")
"""Types with infinity (and NaN, which is above it)."""

_TEXTS = ("text", "varchar", "bpchar", "name")
"""Types that the server may sort by a language; where they land, text is in the order of its code points."""

_WRITERS = """
FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND {relations}
"""


def fix_bounds(
    session: psycopg.Connection[Any], table: ServerTable, cursor: ServerColumn | None, request: ReadRequest
) -> dict[str, Any]:
    """Fix the bounds of a new read as plain JSON: lower, upper, whether the position stays, the cuts, and who holds it.

    Raises:
        ProjectError: A lag is declared for a cursor that is no date or timestamp.
        psycopg.Error: The server fails.
    """
    bounds: dict[str, Any] = {"lower": None, "upper": None, "unordered": False, "held": False, "cuts": [], "note": ""}
    if cursor is not None:
        _fix_cursor(session, table, cursor, request, bounds)
        if bounds["upper"] is None:
            return bounds
    if table.key and table.sampled:
        bounds["cuts"] = _cut(session, table, cursor, range_sql(cursor, bounds), request.chunk_rows)
    return bounds


def _fix_cursor(
    session: psycopg.Connection[Any],
    table: ServerTable,
    cursor: ServerColumn,
    request: ReadRequest,
    bounds: dict[str, Any],
) -> None:
    name, ordered = quote_identifier(cursor.name), ordered_sql(cursor)
    place = _in_order(name, cursor)
    highest = f"(SELECT {name} FROM {table.sql} WHERE {ordered} ORDER BY {place} DESC LIMIT 1)"
    row = _row(
        session, f"SELECT {highest}::text, EXISTS (SELECT 1 FROM {table.sql} WHERE NOT coalesce({ordered}, false))"
    )
    bounds["upper"], bounds["unordered"] = row
    bounds["lower"] = lower = _lower(session, cursor, request)
    if bounds["upper"] is None:
        return
    bounds["upper"], bounds["held"], bounds["note"] = _hold_back(session, table, cursor, bounds["upper"])
    if bounds["held"] and not request.ingest.key:
        bounds["upper"] = request.position.get("cursor")
    elif lower is not None and bounds["upper"] is not None:
        above = f"{_in_order(literal(lower, cursor), cursor)} > {literal(bounds['upper'], cursor)}"
        if _row(session, f"SELECT {above}")[0]:
            bounds["upper"] = None


def _lower(session: psycopg.Connection[Any], cursor: ServerColumn, request: ReadRequest) -> str | None:
    """Return the cursor value from which to read: the last one, less the lag."""
    last = request.position.get("cursor")
    if last is None:
        return None
    target = landed_type(cursor.type)
    lag = effective_lag(target, request.ingest.lag, has_key=bool(request.ingest.key))
    if not lag:
        return str(last)
    if not is_time_type(target):
        raise ProjectError(f"lag is a length of time and the cursor is {cursor.declared}", fix="leave lag out")
    days = -(-lag // timedelta(days=1))
    back = str(days) if target == "DATE" else f"interval '{lag.total_seconds():f} seconds'"
    return str(_row(session, f"SELECT ({literal(last, cursor)} - {back})::text")[0])


def _hold_back(
    session: psycopg.Connection[Any], table: ServerTable, cursor: ServerColumn, upper: str
) -> tuple[str | None, bool, str]:
    """Stay below what a running transaction may still commit: (upper bound, whether the position has to stay, why).

    A time cursor is at least the start of its row's transaction. With any other cursor, and when a prepared transaction
    has written to the table, those that write to it are waited for; so are transactions whose start cannot be seen
    (those of others without the role pg_read_all_stats; of sessions with track_activities off) and ones that begin. A
    standby knows the transactions of its primary by their numbers alone, and those only that have written.
    """
    if _row(session, "SELECT pg_is_in_recovery()")[0]:
        beyond = _row(session, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0]
        if _wait(session, f"SELECT pg_snapshot_xmin(pg_current_snapshot()) < '{beyond}'::xid8"):
            return upper, False, ""
        return upper, True, f"{_STAYS}: transactions of the primary that had written are still open"
    if not is_time_type(landed_type(cursor.type)):
        return _wait_for_writers(session, table, upper)
    holders = list_holders(session)
    passing = [holder for holder in holders if holder.is_passing]
    if _wait(session, open_sql(passing)):
        holders = [holder for holder in holders if holder not in passing]
    elif unknown := [holder for holder in holders if holder.start is None]:
        return upper, True, f"{_STAYS}: {_UNSEEN}: {tell_holders(unknown)}"
    if _row(session, _writers_sql(table))[1]:  # asked last: a transaction is open, then prepared, then ended
        bound, held, note = _wait_for_writers(session, table, upper)
        if held:
            return bound, held, note
    return _below(session, cursor, upper, holders) if holders else (upper, False, "")


def _wait_for_writers(session: psycopg.Connection[Any], table: ServerTable, upper: str) -> tuple[str, bool, str]:
    """Wait until nobody writes to the table; the position has to stay when somebody still does."""
    if _wait(session, _writers_sql(table)):
        return upper, False, ""
    writers = list_writers(session, f"SELECT pid {_writers_from(table)}")
    return upper, True, f"{_STAYS}: somebody writes to the table: {tell_holders(writers)}"


def _below(
    session: psycopg.Connection[Any], cursor: ServerColumn, upper: str, holders: Sequence[Holder]
) -> tuple[str, bool, str]:
    """Stay below the oldest of the transactions that are open."""
    start, age = holders[0].start, holders[0].age
    assert start is not None
    assert age is not None
    start, age = start - _TICK, age + _TICK
    value = literal(upper, cursor)
    if cursor.type.name == "timestamptz":
        bound = f"least({value}, {quote_text(start.isoformat())}::timestamptz)"
    else:
        bound = f"({value} - interval '{age.total_seconds():f} seconds')::{cursor.type.name}"
    below, lower = _row(session, f"SELECT ({bound})::text, ({bound}) < {value}")
    note = f"{_WAITS}, open transactions may still add some below them: {tell_holders(holders)}" if lower else ""
    return str(below), False, note


def _wait(session: psycopg.Connection[Any], still: str) -> bool:
    """Wait while a query's first value is true, as long as some transaction is open; False when that is too long."""
    until = time.monotonic() + WRITERS_WAIT_S
    while _row(session, still)[0]:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _writers_sql(table: ServerTable) -> str:
    return f"SELECT count(*), count(*) FILTER (WHERE pid IS NULL) {_writers_from(table)}"


def _writers_from(table: ServerTable) -> str:
    relations = "relation >= 16384"
    if table.oid and table.sampled:
        tree = f"SELECT relid FROM pg_catalog.pg_partition_tree({table.oid})"
        relations = f"(relation = {table.oid} OR relation IN ({tree}))"
    return _WRITERS.format(relations=relations)


def ordered_sql(cursor: ServerColumn) -> str:
    """Return SQL that is true for a cursor value that has a place in the order: neither NULL, NaN nor infinite."""
    name = quote_identifier(cursor.name)
    if cursor.type.name in _ENDLESS and not cursor.type.array:
        kind = cursor.type.name
        return f"({name} > '-Infinity'::{kind} AND {name} < 'Infinity'::{kind})"
    return f"{name} IS NOT NULL"


def check_order(cursor: ServerColumn, landed: str) -> None:
    """Refuse a cursor whose values have another order where they land.

    Raises:
        ProjectError: It lands as text, and the server does not sort it as text.
    """
    if landed == "VARCHAR" and cursor.type.name not in (*_TEXTS, "uuid"):
        raise ProjectError(
            f"the cursor {cursor.name!r} is {cursor.declared}, which lands as text and then has another order",
            fix=f"declare its type, as in columns: {{{cursor.name}: decimal(38,9)}}"
            if cursor.type.name == "numeric"
            else "take another column, or a query that casts it to a number or a time",
        )


def _in_order(value: str, cursor: ServerColumn) -> str:
    """Return SQL of a cursor value that the server sorts as the landed one is sorted."""
    return f'({value})::text COLLATE "C"' if cursor.type.name in _TEXTS else value


def _places(order: Sequence[ServerColumn], cursor: ServerColumn | None) -> list[str]:
    names = [(column, quote_identifier(column.name)) for column in order]
    return [_in_order(name, column) if column == cursor else name for column, name in names]


def literal(value: Any, column: ServerColumn) -> str:
    """Write a value that the server gave as text as a literal of a column's type."""
    return f"{quote_text(str(value))}::{column.declared}"


def range_sql(cursor: ServerColumn | None, bounds: Mapping[str, Any]) -> list[str]:
    """Return the tests of a row that lies between the bounds."""
    if cursor is None:
        return []
    name = _in_order(quote_identifier(cursor.name), cursor)
    tests = [ordered_sql(cursor), f"{name} <= {literal(bounds['upper'], cursor)}"]
    if bounds["lower"] is not None:
        tests.append(f"{name} >= {literal(bounds['lower'], cursor)}")
    return tests


def _order(table: ServerTable, cursor: ServerColumn | None) -> list[ServerColumn]:
    """What cuts a table: never NULL between the bounds, and unique together."""
    found = [column for name in table.key if (column := table.find(name)) is not None]
    return [*([cursor] if cursor else []), *(column for column in found if column != cursor)]


def _cut(
    session: psycopg.Connection[Any], table: ServerTable, cursor: ServerColumn | None, tests: list[str], chunk_rows: int
) -> list[list[str]]:
    """Return the last row (cursor, key) of each chunk but the last, from a sample when there are many rows."""
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    rows = table.estimated_rows or 0
    if cursor is not None:
        capped = f"SELECT count(*) FROM (SELECT 1 FROM {table.sql}{where} LIMIT {chunk_rows + 1}) AS capped"
        if int(_row(session, capped)[0]) <= chunk_rows:
            return []
    elif rows <= chunk_rows:
        return []
    percent = min(100.0, 100.0 * _SAMPLE_ROWS / rows) if rows else 100.0
    step = max(1, int(chunk_rows * percent / 100))
    names = _places(_order(table, cursor), cursor)
    order = ", ".join(names)
    sample = f"{table.sql} AS s TABLESAMPLE SYSTEM ({percent:f}) REPEATABLE (0)"
    numbered = f"SELECT {order}, row_number() OVER (ORDER BY {order}), count(*) OVER () FROM {sample}{where}"
    places = [f"k{number}" for number in range(len(names))]
    texts = ", ".join(f"{place}::text" for place in places)
    found = session.execute(
        f"SELECT {texts} FROM ({numbered}) AS n({', '.join(places)}, _n, _all) "
        f"WHERE _n % {step} = 0 AND _n < _all ORDER BY _n".encode()
    )
    return [list(row) for row in found.fetchall()]


def list_parts(
    table: ServerTable, cursor: ServerColumn | None, bounds: Mapping[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (id, WHERE, position) of each chunk."""
    if cursor is not None and bounds["unordered"]:
        yield "unordered", f"NOT coalesce({ordered_sql(cursor)}, false)", {}
    if cursor is not None and bounds["upper"] is None:
        return
    order = _order(table, cursor)
    places = _places(order, cursor)
    for number, (after, upto) in enumerate(pairwise([None, *bounds["cuts"], None])):
        tests = range_sql(cursor, bounds)
        tests += [_beyond(places, order, after, ">")] if after is not None else []
        tests += [_beyond(places, order, upto, "<=")] if upto is not None else []
        position: dict[str, Any] = {}
        if cursor is not None and not bounds["held"]:
            position = {"cursor": upto[0] if upto is not None else bounds["upper"]}
        yield f"rows-{number:05d}", " AND ".join(tests), position


def _beyond(places: Sequence[str], order: Sequence[ServerColumn], values: Sequence[str], operator: str) -> str:
    """Compare a row with a cut; its first part alone as well, for which there may be an index."""
    marks = ", ".join(literal(value, column) for value, column in zip(values, order, strict=True))
    first = f"{places[0]} {operator.rstrip('=')}= {literal(values[0], order[0])}"
    return f"({', '.join(places)}) {operator} ({marks}) AND {first}"


def _row(session: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    found = session.execute(query.encode()).fetchone()
    assert found is not None
    return tuple(found)
