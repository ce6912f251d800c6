"""Ties: without a key, a position remembers the rows at its last cursor value, so none is lost and none repeated.

A source reads `cursor >= last`, the last value included, because more rows with it may have come. `compile_fresh`
leaves out as many copies of each remembered row as were loaded; `compile_ties` and `merge_ties` make the next memory.
A row is remembered by the hash of its prepared, landed values, NULLs left out, so that a new column does not matter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.ingestion.merge import raw_row_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.core.commit import Column


def tie_hash_sql(columns: Sequence[Column]) -> str:
    """Return SQL of a row's hash: 32 hexadecimal digits."""
    ordered = sorted(columns, key=lambda column: column.name.lower())
    patched = f"json_merge_patch('{{}}', {raw_row_sql(ordered)})"
    return f"left(sha256(CAST({patched} AS VARCHAR)), 32)"


def compile_fresh(rows: SelectSql, columns: Sequence[Column], cursor: str, ties: Mapping[str, Any]) -> SelectSql:
    """Return `rows` without those that `ties` (from the position's key `ties`) remembers."""
    if not ties.get("rows"):
        return rows
    seen = quote_text(json.dumps(ties["rows"]))
    at_tie = f"CAST({quote_identifier(cursor)} AS VARCHAR) = {quote_text(str(ties['cursor']))}"
    hashed = f"SELECT *, {tie_hash_sql(columns)} AS _tie FROM ({rows}) WHERE {at_tie}"
    known = f"coalesce(CAST(json_extract({seen}, '$.\"' || _tie || '\"') AS BIGINT), 0)"
    fresh = f"SELECT * EXCLUDE (_tie) FROM ({hashed}) QUALIFY row_number() OVER (PARTITION BY _tie) > {known}"
    return SelectSql(f"SELECT * FROM ({rows}) WHERE NOT {at_tie} UNION ALL SELECT * FROM ({fresh})")


def compile_ties(rows: SelectSql, columns: Sequence[Column], cursor: str) -> SelectSql:
    """Return a SELECT of (cursor value as text, hash, copies) of the fresh rows at the highest cursor."""
    name = quote_identifier(cursor)
    return SelectSql(
        f"SELECT CAST({name} AS VARCHAR), {tie_hash_sql(columns)}, count(*) FROM ({rows}) "
        f"WHERE {name} = (SELECT max({name}) FROM ({rows})) GROUP BY ALL"
    )


def merge_ties(old: Mapping[str, Any], found: Iterable[tuple[str, str, int]]) -> dict[str, Any]:
    """Return the position's next `ties`: at the same cursor value copies add up, a higher one starts afresh.

    Args:
        old: The position's `ties` so far, or empty.
        found: The rows of `compile_ties`.
    """
    fresh = list(found)
    if not fresh:
        return dict(old)
    cursor = fresh[0][0]
    rows: dict[str, int] = dict(old.get("rows", {})) if old.get("cursor") == cursor else {}
    for _, key, copies in fresh:
        rows[key] = rows.get(key, 0) + copies
    return {"cursor": cursor, "rows": rows}


def compile_new_rejects(rejects: SelectSql, quarantine: str) -> SelectSql:
    """Return the rejects that the table's quarantine does not hold yet: a re-read row does not count twice."""
    if not quarantine:
        return rejects
    return SelectSql(
        f"SELECT * FROM ({rejects}) ANTI JOIN (SELECT _reject_key FROM ({quarantine})) USING (_reject_key)"
    )
