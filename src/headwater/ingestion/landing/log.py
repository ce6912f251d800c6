"""What a load of changes (`load: cdc`) does to a table, decided over all of its staged rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import CHANGE_COLUMNS, DELETED_AT, Change, Select
from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifier
from headwater.errors import ConnectorError
from headwater.ingestion import compile_changes
from headwater.ingestion.landing.deleted import flag_deleted

if TYPE_CHECKING:
    from headwater.ingestion.landing.facts import LoadFacts

_LAST = "temp._hw_changes"


def change_by_log(facts: LoadFacts) -> Change:
    """Return the change of the table: the first load replaces it, later ones merge, truncates empty it."""
    op, seq, _ = CHANGE_COLUMNS
    since = None
    if not facts.ingest.ignores_deletes:
        row = facts.connection.execute(f"SELECT max({seq}) FROM ({facts.rows}) WHERE {op} = 'truncate'").fetchone()
        since = row[0] if row else None
    keeps = facts.exists and not facts.replaces
    queries = compile_changes(
        facts.rows,
        facts.current if keeps and since is None else None,
        facts.preparation.columns,
        facts.ingest.key,
        system_columns=facts.preparation.system_columns,
        current_columns=[column.name for column in facts.state.columns] if facts.state else [],
        unchanged=_unchanged_columns(facts),
        since=since,
        upserts_only=facts.ingest.ignores_deletes,
    )
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_changes AS {queries.last}")
    rows = queries.upserts(_LAST)
    if not keeps:
        return Change("replace", Select(rows), facts.columns)
    gone = queries.deletes(_LAST)
    if since is not None:
        names = ", ".join(quote_identifier(name) for name in facts.ingest.key)
        left = f" WHERE {DELETED_AT} IS NULL" if facts.ingest.flags_deletes and facts.has_column(DELETED_AT) else ""
        gone = SelectSql(
            f"SELECT {names} FROM (SELECT * FROM ({facts.current}){left}) ANTI JOIN ({rows}) AS w USING ({names})"
        )
    if facts.ingest.flags_deletes:
        rows, gone = SelectSql(f"{rows} UNION ALL {flag_deleted(facts, gone, rows)}"), NO_SELECT
    elif not facts.count(gone):
        gone = NO_SELECT
    if not gone and not facts.count(rows):
        return Change("record")
    return Change("merge", Select(rows), facts.columns, key=tuple(facts.ingest.key), deletes=gone)


def _unchanged_columns(facts: LoadFacts) -> dict[str, str]:
    """Return the landed columns that some upsert does not repeat, with the source's name of each.

    Raises:
        ConnectorError: A column is computed from such a one and others.
    """
    said = facts.connection.execute(
        f"SELECT DISTINCT unnest({CHANGE_COLUMNS[2]}) FROM ({facts.rows}) WHERE {CHANGE_COLUMNS[0]} = 'upsert'"
    ).fetchall()
    missing = {str(row[0]).lower(): str(row[0]) for row in said}
    found = {}
    for column in facts.preparation.columns if missing else ():
        origins = facts.preparation.origins.get(column.name, frozenset())
        hit = origins & missing.keys()
        if hit and len(origins) > 1:
            raise ConnectorError(
                f"{facts.table}: column {column.name!r} is computed from {sorted(hit)[0]!r}, which the source does not "
                "repeat when it has not changed",
                fix="compute it in a model, or have the source send whole rows (PostgreSQL: REPLICA IDENTITY FULL)",
            )
        if hit:
            found[column.name] = missing[next(iter(hit))]
    return found
