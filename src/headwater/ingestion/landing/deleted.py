"""Rows that the source has deleted: found by comparing keys, then removed from the table or flagged in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import DELETED_AT
from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifier
from headwater.core.policies import DeletePolicy, LoadMode
from headwater.errors import ConnectorError
from headwater.ingestion import check_deleted, check_keys, compile_deletes, compile_flags

if TYPE_CHECKING:
    from headwater.ingestion.landing.facts import LoadFacts

_GONE = SelectSql("SELECT * FROM temp._hw_deleted")


def find_deleted(facts: LoadFacts) -> SelectSql:
    """Return a SELECT of the keys that the source has deleted since the last load, or "".

    Raises:
        CheckFailedError: More are gone than `max_deleted` allows, or the source gave no keys at all.
        ConnectorError: The source cannot give its keys.
    """
    if facts.ingest.deletes == DeletePolicy.IGNORE or facts.ingest.load == LoadMode.CDC or not facts.exists:
        return NO_SELECT
    assert facts.state is not None
    assert facts.state.commit is not None
    there = facts.state.commit.rows or 0
    current = facts.current
    if facts.ingest.flags_deletes and facts.has_column(DELETED_AT):
        current = SelectSql(f"SELECT * FROM ({current}) WHERE {DELETED_AT} IS NULL")
        there = facts.count(current)
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_keys AS {_keys(facts)}")
    keys = facts.count(SelectSql("SELECT * FROM temp._hw_keys"))
    gone = compile_deletes(SelectSql("SELECT * FROM temp._hw_keys"), current, facts.ingest.key)
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_deleted AS {gone}")
    deleted = facts.count(_GONE)
    for error in (
        check_keys(facts.table, facts.ingest.allow_empty, keys=keys, current_rows=there),
        check_deleted(facts.table, facts.ingest.max_deleted, deleted=deleted, current_rows=there),
    ):
        if error is not None:
            raise error
    return _GONE if deleted else NO_SELECT


def _keys(facts: LoadFacts) -> SelectSql:
    """Return the keys the source has: those of the load itself when it is the whole table."""
    names = ", ".join(quote_identifier(name) for name in facts.ingest.key)
    if facts.ingest.load == LoadMode.FULL:
        return SelectSql(f"SELECT {names} FROM ({facts.rows or facts.no_rows})")
    if facts.keys is None:
        raise ConnectorError(f"{facts.table}: this source cannot give its keys", fix="use deletes: ignore")
    return facts.preparation.keys(facts.keys(facts.preparation.key_origins))


def flag_deleted(facts: LoadFacts, gone: SelectSql, written: str) -> SelectSql:
    """Return the table's rows that are to be flagged, and those that are back again and no longer are.

    Args:
        facts: The load.
        gone: SELECT of the keys that are gone, or "".
        written: SELECT of the rows that the load writes anyway.
    """
    names = ", ".join(quote_identifier(name) for name in facts.ingest.key)
    columns = [column.name for column in facts.columns]
    there = [column.name for column in facts.state.columns] if facts.state else []
    other = f"ANTI JOIN ({written}) AS w USING ({names})"
    flagged = []
    if gone:
        picked = f"SEMI JOIN ({gone}) AS g USING ({names}) {other}"
        flagged.append(compile_flags(facts.current, columns, there, picked, facts.now_sql))
    if facts.exists and facts.has_column(DELETED_AT) and facts.ingest.load != LoadMode.CDC:
        picked = f"SEMI JOIN temp._hw_keys AS k USING ({names}) {other} WHERE c.{DELETED_AT} IS NOT NULL"
        flagged.append(compile_flags(facts.current, columns, there, picked, "NULL"))
    return SelectSql(" UNION ALL ".join(flagged))
