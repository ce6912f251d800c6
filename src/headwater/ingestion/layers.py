"""Layers of a projection: SELECTs around each other, one per step, with the reject of a row carried along.

Every layer passes on what it does not change with `*`, so a step is written without knowing the others. Beside the
row's own columns a layer carries `_rule` and `_reason` (NULL while the row is good) and the internal `_hw_…` columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import CHANGE_COLUMNS
from headwater.core.fragments import SelectSql, quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERNAL = "_hw_"
"""Prefix of the columns that only live inside a projection."""

DEDUPED = "(dedupe)"
"""`_rule` of a row that a `dedupe` rule leaves out: counted, neither loaded nor a reject."""


def replace_layer(inner: SelectSql, replaced: Mapping[str, str], added: Mapping[str, str] | None = None) -> SelectSql:
    """Replace columns of `inner` by expressions over them, and add new ones."""
    new = "".join(f", {sql} AS {quote_identifier(name)}" for name, sql in (added or {}).items())
    old = ", ".join(f"{sql} AS {quote_identifier(name)}" for name, sql in replaced.items())
    return SelectSql(f"SELECT *{f' REPLACE ({old})' if old else ''}{new} FROM ({inner})")


def cast_layer(
    inner: SelectSql, casts: Mapping[str, tuple[str, str]], rule: str, *, lenient: bool = False
) -> SelectSql:
    """Replace columns by what may be NULL on failure; a value that fails makes the row a reject, unless `lenient`.

    Args:
        inner: The layer below.
        casts: Column name to (expression that is NULL when it fails, name of the type for the reason).
        rule: The reject's rule.
        lenient: A value that fails is NULL, and its row is good (`schema: discard_value`).
    """
    if not casts:
        return inner
    if lenient:
        return replace_layer(inner, {name: sql for name, (sql, _) in casts.items()})
    fresh = {f"{INTERNAL}new_{index}": sql for index, (sql, _) in enumerate(casts.values())}
    tried = replace_layer(inner, {}, fresh)
    failed = []
    replaced = {}
    for new, (name, (_, type_name)) in zip(fresh, casts.items(), strict=True):
        column = quote_identifier(name)
        failed.append((f"{column} IS NOT NULL AND {new} IS NULL", f"column {column} is not a {type_name}"))
        replaced[name] = new
    any_failed = " OR ".join(f"({test})" for test, _ in failed)
    reasons = ", ".join(f"CASE WHEN {test} THEN {quote_text(reason)} END" for test, reason in failed)
    fires = f"_rule IS NULL AND ({any_failed})"
    replaced["_reason"] = f"CASE WHEN {fires} THEN concat_ws('; ', {reasons}) ELSE _reason END"
    replaced["_rule"] = f"CASE WHEN {fires} THEN {quote_text(rule)} ELSE _rule END"
    kept = ", ".join(f"{sql} AS {quote_identifier(name)}" for name, sql in replaced.items())
    return SelectSql(f"SELECT * EXCLUDE ({', '.join(fresh)}) REPLACE ({kept}) FROM ({tried})")


def reject_layer(inner: SelectSql, tests: Sequence[tuple[str, str, str]]) -> SelectSql:
    """Make rows rejects: `tests` are (rule, reason, predicate), the first that is true counts.

    A NULL predicate does not reject, and a row that is a reject already is not tested.
    """
    if not tests:
        return inner
    branches = " ".join(f"WHEN {sql} THEN {index}" for index, (_, _, sql) in enumerate(tests))
    fired = f"{INTERNAL}fired"
    tested = replace_layer(inner, {}, {fired: f"CASE WHEN _rule IS NOT NULL THEN NULL {branches} END"})
    rules = " ".join(f"WHEN {index} THEN {quote_text(rule)}" for index, (rule, _, _) in enumerate(tests))
    reasons = " ".join(f"WHEN {index} THEN {quote_text(reason)}" for index, (_, reason, _) in enumerate(tests))
    return SelectSql(
        f"SELECT * EXCLUDE ({fired}) REPLACE (coalesce(_rule, CASE {fired} {rules} END) AS _rule, "
        f"coalesce(_reason, CASE {fired} {reasons} END) AS _reason) FROM ({tested})"
    )


def spare_deletes(inner: SelectSql) -> SelectSql:
    """Leave deletes and truncates alone: only the key of a delete counts, and it has to reach the table."""
    judged = f"CASE WHEN {CHANGE_COLUMNS[0]} = 'upsert' THEN {{0}} END AS {{0}}"
    return SelectSql(f"SELECT * REPLACE ({judged.format('_rule')}, {judged.format('_reason')}) FROM ({inner})")
