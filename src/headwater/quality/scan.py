"""Checks compiled to one SELECT over a table: all of a table's checks in one scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.core.fragments import (
    NO_PREDICATE,
    NO_SELECT,
    PredicateSql,
    SelectSql,
    quote_dataset,
    quote_identifier,
    quote_text,
)
from headwater.core.patterns import search_within
from headwater.core.policies import Severity
from headwater.core.run import CheckResult
from headwater.core.specs.base import OF_THE_TABLE
from headwater.core.thresholds import describe_must, passes, passes_share
from headwater.core.values import exact_scalar, format_duration, resolve_scalar
from headwater.sql.placeholders import interval_literal, timestamp_literal
from headwater.sql.tokens import drop_semicolons, split_tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from headwater.core.specs import CheckSpec, CountArgs, LengthArgs, MustArgs, RangeArgs, RelationshipArgs


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
        wrong: Condition on a row of `this` that holds for those that are wrong; "" for a check of the whole table and
            for SQL, whose own rows say it.
        must: How many rows may be wrong, or what the value of a query has to be; None for no row.
    """

    name: str
    severity: Severity
    count: str
    sample: str = ""
    shown: str = "NULL"
    columns: frozenset[str] = frozenset()
    kind: str = ""
    column: str = ""
    wrong: PredicateSql = NO_PREDICATE
    must: MustArgs | None = None

    def choose(self, names: Sequence[str], limit: int) -> list[int]:
        """Return the places of so many of a sample's columns, among them those that the check is about."""
        return sorted(sorted(range(len(names)), key=lambda at: names[at].lower() not in self.columns)[:limit])


class ValidParts(NamedTuple):
    """The conditions on one value."""

    values: list[Any] | None
    pattern: str | None
    range: RangeArgs | None
    length: LengthArgs | None


@dataclass(frozen=True, slots=True)
class Scan:
    """One query that answers every check of a table; its row is read by `read_scan`."""

    query: str
    measures: tuple[Measure, ...]


def compile_scan(checks: Sequence[CheckSpec], this: SelectSql, now: datetime) -> Scan:
    """Compile checks over `this`, a SELECT of the table, to one query.

    Range, length, accepted values and pattern say nothing about NULL; that is `not_null`. `unique` passes over rows in
    which a key column is NULL, and counts those beyond the first of a key. `pattern` must match the whole value.
    """
    probes: list[str] = []
    measures = tuple(_finished(_measure(check, probes, now), check) for check in checks)
    probed = f"SELECT *, {', '.join(probes)} FROM this" if probes else "SELECT * FROM this"
    parts = ["count(*)", *(part for measure in measures for part in (measure.count, measure.shown))]
    query = f"WITH this AS NOT MATERIALIZED ({this}) SELECT {', '.join(parts)} FROM ({probed}) AS this"
    return Scan(query, measures)


def read_scan(scan: Scan, row: Sequence[Any]) -> tuple[CheckResult, ...]:
    """Turn the query's one row into results; `rows` is the size of the table."""
    rows = int(row[0])
    return tuple(_result(one, row[1 + 2 * at], row[2 + 2 * at], rows) for at, one in enumerate(scan.measures))


def _result(measure: Measure, counted: Any, shown: Any, rows: int) -> CheckResult:
    about = (measure.kind, measure.column)
    if measure.kind == "query":
        passed = _is_number(counted) and passes(measure.must, counted)
        detail = "" if passed else f"the value is {'NULL' if counted is None else counted}"
        return CheckResult(measure.name, measure.severity, passed, int(not passed), rows, detail, *about)
    failing = int(counted or 0)
    passed = passes_share(measure.must, failing, rows)
    detail = f"{shown}" if shown is not None and failing else ""
    return CheckResult(measure.name, measure.severity, passed, failing, rows, detail, *about)


def _is_number(value: Any) -> bool:
    """Whether the value of a query is a number that another one can be compared with."""
    return isinstance(value, int | Decimal) or (isinstance(value, float) and isfinite(value))


def sample_query(measure: Measure, this: SelectSql, limit: int = 5) -> SelectSql:
    """Return a SELECT, as text, of a few rows that a failed check found wrong; "" for a check of the whole table."""
    if not measure.sample:
        return NO_SELECT
    rows = f"SELECT * FROM ({measure.sample}) LIMIT {limit}"
    return SelectSql(f"WITH this AS NOT MATERIALIZED ({this}) SELECT COLUMNS(*)::VARCHAR FROM ({rows})")


def failing_rows(measures: Sequence[Measure], this: SelectSql, limit: int, hidden: Collection[str] = ()) -> SelectSql:
    """Return a SELECT of rows that failed checks found wrong, with the names of those checks in `_rule`.

    A row that several found wrong comes once. "" when the failed checks are all of the whole table, or SQL.

    Args:
        measures: The checks that failed.
        this: A SELECT of the table.
        limit: The most rows.
        hidden: Columns whose values are not shown: each is `(hidden)`, or NULL.
    """
    found = [measure for measure in measures if measure.wrong]
    if not found:
        return NO_SELECT
    names = ", ".join(f"CASE WHEN {one.wrong} THEN {quote_text(one.name)} END" for one in found)
    wrong = " OR ".join(f"({one.wrong})" for one in found)
    masks = [f"CASE WHEN {name} IS NOT NULL THEN '(hidden)' END AS {name}" for name in map(quote_identifier, hidden)]
    shown = f"* REPLACE ({', '.join(masks)})" if masks else "*"
    rows = f"SELECT concat_ws('; ', {names}) AS _rule, {shown} FROM this WHERE {wrong} LIMIT {limit}"
    return SelectSql(f"WITH this AS NOT MATERIALIZED ({this}) {rows}")


def _finished(measure: Measure, check: CheckSpec) -> Measure:
    """Return a measure with what every kind has."""
    name = measure.name
    if check.must is not None and not check.name:
        name = f"{name}, {describe_must(check.must, counts=check.query is None)}"
    return replace(measure, name=name, kind=check.kind, column=_one_column(check), must=check.must)


def _one_column(check: CheckSpec) -> str:
    if check.kind in OF_THE_TABLE:
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
        counted = f"(SELECT count(*) FROM ({sample}))"
        return Measure(name, check.severity, counted, sample, columns=_words(str(check.sql)))
    if kind == "query":
        query = drop_semicolons(str(check.query))
        name = check.name or f"query({' '.join(query.split())[:60]})"
        return Measure(name, check.severity, f"(\n{query}\n)", columns=_words(query))
    if kind == "row_count" and check.row_count:
        return _row_count(check, check.row_count)
    if kind == "freshness":
        return _freshness(check, now)
    return _value_measure(check, probes)


def _words(sql: str) -> frozenset[str]:
    return frozenset(token.strip().strip('"').lower() for _, token in split_tokens(sql))


def _row_count(check: CheckSpec, count: CountArgs) -> Measure:
    wrong, bounds = [_outside("count(*)", count)] if _bounds(count) != ".." else [], [_bounds(count)]
    if count.not_between is not None:
        low, high = map(str, count.not_between)
        wrong.append(PredicateSql(f"count(*) BETWEEN {low} AND {high}"))
        bounds.append(f"not {low}..{high}")
    name = check.name or f"row_count({', '.join(one for one in bounds if one != '..')})"
    failed = f"(CASE WHEN {' OR '.join(wrong)} THEN 1 ELSE 0 END)"
    return Measure(name, check.severity, failed, shown="count(*) || ' rows'")


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
    doubled = f"FROM this WHERE {whole} GROUP BY {grouped} HAVING count(*) > 1"
    wrong = PredicateSql(f"({grouped}) IN (SELECT {key} {doubled})")
    return Measure(name, check.severity, count, f"SELECT {grouped}, count(*) AS rows {doubled}", wrong=wrong)


def _value_measure(check: CheckSpec, probes: list[str]) -> Measure:
    if check.relationship is not None:
        return _relationship(check, check.relationship, probes)
    about = str(check.column)
    bounds = check.range or check.length
    name = f"{check.kind}({about}, {_bounds(bounds)})" if bounds is not None else f"{check.kind}({about})"
    return _row_measure(check.name or name, check, _wrong_value(check, quote_identifier(about)))


def _wrong_value(check: CheckSpec, column: str) -> str:
    """Return the condition under which a value is wrong by a check of single values."""
    if check.missing_values is not None:
        return _is_missing(column, check.missing_values)
    valid = check.valid or ValidParts(check.accepted_values, check.pattern, check.range, check.length)
    parts = []
    if valid.values is not None:
        values = ", ".join(_value(value) for value in valid.values if value is not None)
        parts.append(f"{column} IS NOT NULL" + (f" AND {column} NOT IN ({values})" if values else ""))
    if valid.pattern is not None:
        parts.append(_mismatch(column, valid.pattern))
    if valid.range is not None:
        parts.append(_outside(column, valid.range))
    if valid.length is not None:
        parts.append(_outside(f"length(CAST({column} AS VARCHAR))", valid.length))
    return parts[0] if len(parts) == 1 else " OR ".join(f"({part})" for part in parts)


def _is_missing(column: str, values: Sequence[Any]) -> str:
    """Return the condition under which a value is one that stands for none; texts are compared with its text."""
    resolved = [exact_scalar(value) for value in values]
    numbers = ", ".join(str(value) for value in resolved if isinstance(value, int | Decimal))
    texts = ", ".join(quote_text(value) for value in resolved if isinstance(value, str))
    parts = [f"{column} IS NULL"] if None in resolved else []
    parts += [f"{column} IN ({numbers})"] if numbers else []
    parts += [f"CAST({column} AS VARCHAR) IN ({texts})"] if texts else []
    return " OR ".join(parts)


def _mismatch(column: str, pattern: str) -> str:
    if (search := search_within(pattern)) is not None:
        return f"NOT regexp_matches(CAST({column} AS VARCHAR), {quote_text(search)})"
    return f"NOT regexp_full_match(CAST({column} AS VARCHAR), {quote_text(pattern)})"


def _relationship(check: CheckSpec, relationship: RelationshipArgs, probes: list[str]) -> Measure:
    column, to, field = quote_identifier(str(check.column)), relationship.to, quote_identifier(relationship.field)
    name = check.name or f"relationship({check.column} -> {to}.{relationship.field})"
    found = f"{column} IN (SELECT _to.{field} FROM {quote_dataset(to)} AS _to WHERE _to.{field} IS NOT NULL)"
    probe = f"_found_{len(probes)}"
    probes.append(f"({column} IS NULL OR {found}) AS {probe}")
    wrong = PredicateSql(f"{column} IS NOT NULL AND NOT {found}")
    sample = f"SELECT {column} FROM this WHERE {wrong}"
    return Measure(name, check.severity, f"count(*) FILTER (WHERE NOT {probe})", sample, wrong=wrong)


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
    sample = f"SELECT * FROM this WHERE {wrong}"
    return Measure(name, check.severity, count, sample, columns=about, wrong=PredicateSql(wrong))


_BEYOND = {"min": "<", "above": "<=", "max": ">", "below": ">="}


def _outside(expression: str, bounds: RangeArgs | LengthArgs) -> PredicateSql:
    ends = [(getattr(bounds, end, None), sign) for end, sign in _BEYOND.items()]
    return PredicateSql(" OR ".join(f"{expression} {sign} {_value(end)}" for end, sign in ends if end is not None))


def _bounds(bounds: RangeArgs | LengthArgs) -> str:
    shown = {end: getattr(bounds, end, None) for end in _BEYOND}
    text = {end: "" if value is None else str(value) for end, value in shown.items()}
    low = text["min"] or (text["above"] and f">{text['above']}")
    return f"{low}..{text['max'] or (text['below'] and '<' + text['below'])}"


def _value(value: Any) -> str:
    """Write a value so that it takes the column's type: numbers bare, everything else as an untyped text literal."""
    resolved = resolve_scalar(value)
    is_number = isinstance(resolved, int | float | Decimal) and not isinstance(resolved, bool)
    return str(value) if is_number else quote_text(str(value))
