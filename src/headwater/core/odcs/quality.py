"""Rules of quality of the Open Data Contract Standard as checks, and what cannot be evaluated of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from headwater.core.fragments import quote_identifier
from headwater.core.near import suggest
from headwater.core.patterns import pattern_of_search
from headwater.core.policies import Severity, Unit
from headwater.core.product import check_from_json
from headwater.core.promises import settle_check
from headwater.core.specs.base import CheckSpec, MustArgs
from headwater.core.values import exact_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.core.odcs.types import Fault
    from headwater.core.specs.standards import CustomProperty, OdcsQuality

CHECK_PROPERTY = "headwater.check"
"""The custom property of a rule that holds a check for which the standard has no words."""

ROWS_BEFORE = "WITH this AS (SELECT * FROM {object})\nSELECT count(*) FROM (\n"
ROWS_AFTER = "\n) AS wrong"
VALUE_BEFORE = "WITH this AS (SELECT * FROM {object})\nSELECT (\n"
VALUE_AFTER = "\n)"
"""What stands around a check's SQL in a contract, so that others can run it."""

METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
"""The metrics of the standard's library."""

_OBJECT = re.compile(r"[\"']?\$?\{(?:object|table|model)\}[\"']?")
_PROPERTY = re.compile(r"[\"']?\$?\{(?:property|column|field)\}[\"']?")
_SEVERITIES = {
    "": Severity.ERROR, "error": Severity.ERROR, "critical": Severity.ERROR, "high": Severity.ERROR,
    "blocker": Severity.ERROR, "warning": Severity.WARNING, "warn": Severity.WARNING, "medium": Severity.WARNING,
    "low": Severity.WARNING, "info": Severity.WARNING,
}  # fmt: skip
_UNITS = {"": Unit.ROWS, "rows": Unit.ROWS, "percent": Unit.PERCENT, "percentage": Unit.PERCENT, "%": Unit.PERCENT}


@dataclass(slots=True)
class RuleReading:
    """What a rule of quality comes to: a check, or words that are only kept, or what is wrong with it."""

    check: CheckSpec | None = None
    is_text: bool = False
    problems: list[Fault] = field(default_factory=list)


def read_rule(rule: OdcsQuality, column: str, names: Mapping[str, str]) -> RuleReading:
    """Read a rule of quality.

    Args:
        rule: The rule.
        column: The column it stands at; "" for the table.
        names: The columns by the names of their properties.
    """
    try:
        return _read(rule, column, names)
    except ValidationError as error:
        told = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        return RuleReading(problems=[(f"a rule of quality: {told}", "see the operators of the standard")])


def custom_value(properties: Sequence[CustomProperty], name: str) -> Any:
    """Return the value of a custom property, None where there is none."""
    return next((one.value for one in properties if one.property == name), None)


def _read(rule: OdcsQuality, column: str, names: Mapping[str, str]) -> RuleReading:
    kept = custom_value(rule.custom_properties, CHECK_PROPERTY)
    if isinstance(kept, dict):
        return RuleReading(settle_check(check_from_json(_plain(kept))))
    kind = (rule.type or ("sql" if rule.query and not rule.metric else "library")).lower()
    if kind == "text":
        return RuleReading(is_text=True)
    if kind == "custom":
        what = f"a rule of the engine {rule.engine or '?'} cannot be evaluated"
        return RuleReading(
            problems=[(what, "write it as a metric or as type: sql, or as type: text to keep the words")]
        )
    if kind not in ("library", "sql"):
        return RuleReading(problems=[(f"a rule of the type {rule.type!r}", suggest(kind, ["library", "sql", "text"]))])
    severity = _SEVERITIES.get(rule.severity.strip().lower())
    if severity is None:
        return RuleReading(problems=[(f"the severity {rule.severity!r} is not known", "write error or warning")])
    common = {"severity": severity, "name": rule.name or None}
    reading = RuleReading()
    operator = _operator(rule, reading.problems)
    if operator is None:
        return reading
    if kind == "sql":
        reading.check = _sql(rule, column, operator, common, reading.problems)
    else:
        reading.check = _metric(rule, column, names, operator, common, reading.problems)
    if reading.check is not None:
        reading.check = settle_check(reading.check)
    return reading


def _plain(value: Any) -> Any:
    """Return what a file says as JSON values, its numbers as numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else exact_scalar(value)


def _operator(rule: OdcsQuality, problems: list[Fault]) -> dict[str, Any] | None:
    """Return what the number must be, in the words of `must`; None with a problem where that is not said."""
    found = rule.operators
    if len(found) != 1:
        what = f"a rule of quality has {len(found)} operators" if found else "a rule of quality without an operator"
        problems.append((what, "write one, like mustBe: 0"))
        return None
    ((name, value),) = found.items()
    unit = _UNITS.get(rule.unit.strip().lower())
    if unit is None:
        problems.append((f"the unit {rule.unit!r} is not known", "write rows or percent"))
        return None
    value = {"true": 1, "false": 0}.get(str(value).lower(), value)
    return {name: value, "unit": unit}


def _sql(
    rule: OdcsQuality, column: str, operator: dict[str, Any], common: dict[str, Any], problems: list[Fault]
) -> CheckSpec | None:
    query = rule.query.strip("\n")
    if not query.strip():
        problems.append(("a rule of SQL without a query", "add query: select …"))
        return None
    if (rows := _between(query, ROWS_BEFORE, ROWS_AFTER)) is not None:
        return CheckSpec(sql=rows, must=operator, **common)
    if (value := _between(query, VALUE_BEFORE, VALUE_AFTER)) is not None:
        query = value
    else:
        query = _OBJECT.sub("this", query)
        query = _PROPERTY.sub(lambda _: quote_identifier(column), query) if column else query
        query = query.rstrip().rstrip(";")
    if operator["unit"] is Unit.PERCENT:
        problems.append(("the value of a query is no share of rows", "leave the unit out"))
        return None
    return CheckSpec(query=query, must=operator, **common)


def _between(text: str, before: str, after: str) -> str | None:
    """Return what stands between a beginning and an end of a text; None when it has other ones."""
    has_both = text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after)
    return text[len(before) : -len(after)] if has_both else None


def _metric(
    rule: OdcsQuality,
    column: str,
    names: Mapping[str, str],
    operator: dict[str, Any],
    common: dict[str, Any],
    problems: list[Fault],
) -> CheckSpec | None:
    metric = rule.metric or rule.rule
    if metric not in METRICS:
        what = f"the metric {metric!r} cannot be evaluated" if metric else "a rule of the library without a metric"
        problems.append((what, suggest(metric, METRICS)))
        return None
    if metric == "rowCount":
        return _row_count(operator, common, problems)
    listed = rule.arguments.get("properties")
    if metric == "duplicateValues" and listed is not None:
        columns = [str(one) for one in listed] if isinstance(listed, list) else [str(listed)]
        given = {"unique": [names.get(name, name) for name in columns]}
        return CheckSpec(must=operator, **given, **common)
    if not column:
        fix = "add arguments: {properties: […]}" if metric == "duplicateValues" else "write it at a property"
        problems.append((f"the metric {metric} of no property", fix))
        return None
    arguments = _arguments(metric, column, rule.arguments, problems)
    return None if arguments is None else CheckSpec(must=operator, column=column, **arguments, **common)


def _arguments(metric: str, column: str, given: Mapping[str, Any], problems: list[Fault]) -> dict[str, Any] | None:
    """Return the arguments of a check by those of a metric."""
    if metric in ("nullValues", "duplicateValues"):
        return {"not_null" if metric == "nullValues" else "unique": [column]}
    if metric == "missingValues":
        values = given.get("missingValues")
        if not isinstance(values, list) or not values:
            problems.append(("missingValues without values", "add arguments: {missingValues: [null, '']}"))
            return None
        return {"missing_values": values}
    values, pattern = given.get("validValues"), given.get("pattern")
    unknown = [key for key in given if key not in ("validValues", "pattern")]
    if unknown or (values is None and pattern is None) or not isinstance(values, list | None):
        what = (
            f"invalidValues: the argument {unknown[0]} cannot be evaluated" if unknown else "what is valid is not said"
        )
        problems.append((what, "write arguments: {validValues: […]} or {pattern: …}"))
        return None
    if pattern is None:
        return {"accepted_values": values}
    searched = pattern_of_search(str(pattern))
    return {"pattern": searched} if values is None else {"valid": {"values": values, "pattern": searched}}


def _row_count(operator: dict[str, Any], common: dict[str, Any], problems: list[Fault]) -> CheckSpec | None:
    unit = operator.pop("unit")
    if unit is Unit.PERCENT:
        problems.append(("rowCount in percent is always 100", "write unit: rows, or leave it out"))
        return None
    MustArgs.model_validate(operator)
    ((name, value),) = operator.items()
    pair = value if isinstance(value, list) else [value, value]
    ends: dict[str, dict[str, Any]] = {
        "be": {"min": pair[0], "max": pair[1]},
        "be_between": {"min": pair[0], "max": pair[1]},
        "not_be": {"not_between": pair},
        "not_be_between": {"not_between": pair},
        "be_greater_than": {"above": value},
        "be_greater_or_equal_to": {"min": value},
        "be_less_than": {"below": value},
        "be_less_or_equal_to": {"max": value},
    }
    return CheckSpec(row_count=ends[name], **common)
