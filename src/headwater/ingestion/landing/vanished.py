"""Columns of JSON that came with every load and come no longer: JSON has no header that would say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.errors import CheckFailedError

if TYPE_CHECKING:
    from headwater.ingestion.landing.facts import LoadFacts


def check_vanished(facts: LoadFacts) -> CheckFailedError | None:
    """Find a declared key that no row of the load has, though the table's rows have it.

    A full load would empty the column: that it had any value is enough. In an incremental load a key may be rare: it
    counts as vanished when no row of the table is without it.
    """
    candidates = _candidates(facts)
    if not candidates:
        return None
    counts = ", ".join(f"count({quote_identifier(landed)})" for landed in candidates)
    found = facts.connection.execute(f"SELECT {counts} FROM ({facts.rows})").fetchone() or ()
    for (landed, key), number in zip(candidates.items(), found, strict=True):
        named = SelectSql(f"SELECT 1 FROM ({facts.rows}) WHERE list_contains(json_keys(_raw), {key})")
        if number or facts.count(named):
            continue
        name = quote_identifier(landed)
        rows, there = facts.connection.execute(f"SELECT count(*), count({name}) FROM ({facts.current})").fetchone() or (
            0,
            0,
        )
        if there and (facts.replaces or there == rows):
            return CheckFailedError(
                f"{facts.table}: no row of the load has the key {key}, which {there} of the table's {rows} rows have",
                fix=f"mend the source or the declaration; where it may be missing, declare {key[1:-1]}: "
                "{type: …, optional: true}",
            )
    return None


def _candidates(facts: LoadFacts) -> dict[str, str]:
    """Return the landed columns that are one declared key each, with the key as a literal."""
    system = {column.name for column in facts.preparation.system_columns}
    if not (facts.exists and facts.rows and facts.good and "_raw" in system):
        return {}
    declared = {name.lower(): (name, column) for name, column in facts.ingest.columns.items()}
    found = {}
    for column in facts.preparation.columns:
        origins = facts.preparation.origins.get(column.name, frozenset())
        key, spec = declared.get(next(iter(origins)), ("", None)) if len(origins) == 1 else ("", None)
        if spec is not None and not spec.optional and facts.has_column(column.name):
            found[column.name] = quote_text(key)
    return found
