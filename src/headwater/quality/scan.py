"""Checks compiled to one SELECT over a table: all of a table's checks in one scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import NO_SELECT, PredicateSql, SelectSql, quote_dataset, quote_identifier, quote_text
from headwater.core.policies import Severity
from headwater.core.run import CheckResult
from headwater.core.values import format_duration, resolve_scalar
from headwater.sql.placeholders import interval_literal, timestamp_literal
from headwater.sql.tokens import drop_semicolons, split_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headwater.core.specs import CheckSpec, RangeArgs


@dataclass(frozen=True, slots=True)
class Measure:
    """One check as SQL.

    Attributes:
        name: What people call it: `not_null(order_id)`.
        severity: `error` or `warning`.
        count: SQL aggregate: how many rows are wrong (or 1 when a check of the whole table fails).
        sample: SELECT of some wrong rows, or "".
        shown: SQL aggregate whose value belongs in the message, or "NULL".
        columns: The columns it is about, in lower case.
        kind: Which of the kinds of checks it is.
        column: The one column that it is about; "" for several or the table.
    """

    name: str
    severity: Severity
    count: str
    sample: str = ""
    shown: str = "NULL"
    columns: frozenset[str] = frozenset()
    kind: str = ""
    column: str = ""

    def choose(self, names: Sequence[str], limit: int) -> list[int]:
        """Return the places of so many of a sample's columns, among them those that the check is about."""
        return sorted(sorted(range(len(names)), key=lambda at: names[at].lower() not in self.columns)[:limit])


@dataclass(frozen=True, slots=True)
class Scan:
    """One query that answers every check of a table; its row is read by `read_scan`."""

    query: str
    measures: tuple[Measure, ...]


def compile_scan(checks: Sequence[CheckSpec], this: SelectSql, now: datetime) -> Scan:
    """Compile checks over `this`, a SELECT of the table, to one query.

    Range, accepted values and pattern say nothing about NULL; that is `not_null`. `unique` passes over rows in which a
    key column is NULL. `pattern` must match the whole value.
    """
    probes: list[str] = []
    measures = tuple(
        replace(_measure(check, probes, now), kind=check.kind, column=_one_column(check)) for check in checks
    )
    probed = f"SELECT *, {', '.join(probes)} FROM this" if probes else "SELECT * FROM this"
    parts = ["count(*)", *(part for measure in measures for part in (measure.count, measure.shown))]
    query = f"WITH this AS NOT MATERIALIZED ({this}) SELECT {', '.join(parts)} FROM ({probed}) AS this"
    return Scan(query, measures)


def read_scan(scan: Scan, row: Sequence[Any]) -> tuple[CheckResult, ...]:
    """Turn the query's one row into results; `rows` is the size of the table."""
    results = []
    for index, measure in enumerate(scan.measures):
        failing, shown = int(row[1 + 2 * index] or 0), row[2 + 2 * index]
        detail = f"{shown}" if shown is not None and failing else ""
        counted = (failing == 0, failing, int(row[0]), detail, measure.kind, measure.column)
        results.append(CheckResult(measure.name, measure.severity, *counted))
    return tuple(results)


def sample_query(measure: Measure, this: SelectSql, limit: int = 5) -> SelectSql:
    """Return a SELECT, as text, of a few rows that a failed check found wrong; "" for a check of the whole table."""
    if not measure.sample:
        return NO_SELECT
    rows = f"SELECT * FROM ({measure.sample}) LIMIT {limit}"
    return SelectSql(f"WITH this AS NOT MATERIALIZED ({this}) SELECT COLUMNS(*)::VARCHAR FROM ({rows})")


def _one_column(check: CheckSpec) -> str:
    if check.kind in ("sql", "row_count"):
        return ""
    listed = check.not_null or check.unique or ()
    return listed[0] if len(listed) == 1 else "" if listed else check.column or ""


def _measure(check: CheckSpec, probes: list[str], now: datetime) -> Measure:
    kind = check.kind
    if kind in ("not_null", "unique"):
        return _key_measure(check, check.not_null if kind == "not_null" else check.unique)
    if kind == "sql":
        name = check.name or f"sql({' '.join(str(check.sql).split())[:60]})"
        sample = f"SELECT * FROM (\n{drop_semicolons(str(check.sql))}\n)"
        words = frozenset(token.strip().strip('"').lower() for _, token in split_tokens(str(check.sql)))
        return Measure(name, check.severity, f"(SELECT count(*) FROM ({sample}))", sample, columns=words)
    if kind == "row_count" and check.row_count:
        wrong = _outside("count(*)", check.row_count)
        name = check.name or f"row_count({_bounds(check.row_count)})"
        return Measure(name, check.severity, f"(CASE WHEN {wrong} THEN 1 ELSE 0 END)", shown="count(*) || ' rows'")
    if kind == "freshness":
        return _freshness(check, now)
    return _value_measure(check, probes)


def _key_measure(check: CheckSpec, columns: list[str] | None) -> Measure:
    columns = columns or [str(check.column)]
    quoted = [quote_identifier(column) for column in columns]
    name = check.name or f"{check.kind}({', '.join(columns)})"
    if check.kind == "not_null":
        wrong = " OR ".join(f"{column} IS NULL" for column in quoted)
        return _row_measure(name, check, wrong)
    key = quoted[0] if len(quoted) == 1 else f"({', '.join(quoted)})"
    whole = " AND ".join(f"{column} IS NOT NULL" for column in quoted)
    count = f"count(*) FILTER (WHERE {whole}) - count(DISTINCT {key}) FILTER (WHERE {whole})"
    grouped = ", ".join(quoted)
    sample = f"SELECT {grouped}, count(*) AS rows FROM this WHERE {whole} GROUP BY {grouped} HAVING count(*) > 1"
    return Measure(name, check.severity, count, sample)


def _value_measure(check: CheckSpec, probes: list[str]) -> Measure:
    column = quote_identifier(str(check.column))
    if check.kind == "accepted_values":
        values = ", ".join(_value(value) for value in check.accepted_values or [] if value is not None)
        wrong = f"{column} IS NOT NULL" + (f" AND {column} NOT IN ({values})" if values else "")
        return _row_measure(check.name or f"accepted_values({check.column})", check, wrong)
    if check.kind == "range" and check.range:
        name = f"range({check.column}, {_bounds(check.range)})"
        return _row_measure(check.name or name, check, _outside(column, check.range))
    if check.kind == "pattern":
        name = f"pattern({check.column})"
        wrong = f"NOT regexp_full_match(CAST({column} AS VARCHAR), {quote_text(str(check.pattern))})"
        return _row_measure(check.name or name, check, wrong)
    assert check.relationship is not None
    to, field = check.relationship.to, quote_identifier(check.relationship.field)
    name = check.name or f"relationship({check.column} -> {to}.{check.relationship.field})"
    found = f"{column} IN (SELECT _to.{field} FROM {quote_dataset(to)} AS _to WHERE _to.{field} IS NOT NULL)"
    probe = f"_found_{len(probes)}"
    probes.append(f"({column} IS NULL OR {found}) AS {probe}")
    sample = f"SELECT {column} FROM this WHERE {column} IS NOT NULL AND NOT {found}"
    return Measure(name, check.severity, f"count(*) FILTER (WHERE NOT {probe})", sample)


def _freshness(check: CheckSpec, now: datetime) -> Measure:
    column = quote_identifier(str(check.column))
    age = check.freshness or timedelta()
    newest = f"CAST(max({column}) AS TIMESTAMPTZ)"
    limit = f"{timestamp_literal(now)} - {interval_literal(age)}"
    count = f"(CASE WHEN coalesce({newest} < {limit}, TRUE) THEN 1 ELSE 0 END)"
    name = check.name or f"freshness({check.column}, {format_duration(age)})"
    return Measure(name, check.severity, count, shown=f"coalesce('newest is ' || max({column}), 'no rows')")


def _row_measure(name: str, check: CheckSpec, wrong: str) -> Measure:
    count = f"count(*) FILTER (WHERE {wrong})"
    about = frozenset(name.lower() for name in (check.column, *(check.not_null or ())) if name)
    return Measure(name, check.severity, count, f"SELECT * FROM this WHERE {wrong}", columns=about)


def _outside(expression: str, bounds: RangeArgs) -> PredicateSql:
    parts = []
    if bounds.min is not None:
        parts.append(f"{expression} < {_value(bounds.min)}")
    if bounds.max is not None:
        parts.append(f"{expression} > {_value(bounds.max)}")
    return PredicateSql(" OR ".join(parts))


def _bounds(bounds: RangeArgs) -> str:
    low = "" if bounds.min is None else str(bounds.min)
    high = "" if bounds.max is None else str(bounds.max)
    return f"{low}..{high}"


def _value(value: Any) -> str:
    """Write a value so that it takes the column's type: numbers bare, everything else as an untyped text literal."""
    resolved = resolve_scalar(value)
    is_number = isinstance(resolved, int | float) and not isinstance(resolved, bool)
    return str(value) if is_number else quote_text(str(value))
