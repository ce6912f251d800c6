"""A contract's checks as options, relationships and rules of quality of the Open Data Contract Standard."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from headwater.core.odcs.kept import KEPT_PROPERTY
from headwater.core.odcs.quality import CHECK_PROPERTY, ROWS_AFTER, ROWS_BEFORE, VALUE_AFTER, VALUE_BEFORE
from headwater.core.odcs.types import logical_type_of
from headwater.core.patterns import search_of_pattern
from headwater.core.policies import Severity, Unit
from headwater.core.product import check_to_json
from headwater.core.promises import columns_of, describe_check
from headwater.core.specs.standards import QUALITY_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.core.product import PortColumn, PortContract
    from headwater.core.specs.base import CheckSpec, CountArgs

_ENDS = {"min": "minimum", "max": "maximum", "above": "exclusiveMinimum", "below": "exclusiveMaximum"}
_NUMERIC = ("integer", "number")
_TEMPORAL = ("date", "timestamp", "time")
_OPERATORS = {"min": "mustBeGreaterOrEqualTo", "above": "mustBeGreaterThan", "max": "mustBeLessOrEqualTo",
              "below": "mustBeLessThan"}  # fmt: skip


class Rules:
    """Writes the checks of one contract.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: PortContract) -> None:
        self.contract = contract
        self.names = {column.name: str(column.carried.get("name", column.name)) for column in contract.columns}
        self.said = [(key, words) for key, words in contract.carried.get("said", ()) if "sla" not in key]

    def of_column(self, column: PortColumn) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the options, relationships and rules of quality of a column."""
        options: dict[str, Any] = {}
        relationships, quality = [], []
        logical = "" if "logicalType" in column.carried else logical_type_of(column.type)
        for check in self.contract.checks:
            if [name.lower() for name in columns_of(check)] != [column.name.lower()]:
                continue
            found = None if self._words(check) else _options(check, logical)
            if found and not _ends_of(check, options):
                options |= found
            elif check.relationship is not None and _is_plain(check) and not self._words(check):
                relationships.append(_relationship(check))
            else:
                quality.append(self._rule(check))
        return options, relationships, quality

    def of_table(self) -> list[dict[str, Any]]:
        """Return the rules of quality of the table: those of no column, and those of several."""
        return [self._rule(check) for check in self.contract.checks if len(columns_of(check)) != 1]

    def texts(self, kept: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rules of quality that are only words."""
        return [_conform(rule) for rule in kept]

    def _rule(self, check: CheckSpec) -> dict[str, Any]:
        written = self._metric(check)
        if written is None:
            written = {
                "type": "text",
                "description": describe_check(check),
                "customProperties": [{"property": CHECK_PROPERTY, "value": check_to_json(check)}],
            }
        else:
            written |= {"name": check.name} if check.name else {}
            written |= {"severity": str(check.severity)} if check.severity is not Severity.ERROR else {}
        words = dict(self._words(check))
        properties = [*written.pop("customProperties", ()), *words.pop("customProperties", ())]
        return _conform({**written, **words, **({"customProperties": properties} if properties else {})})

    def _words(self, check: CheckSpec) -> dict[str, Any]:
        """Return what the contract's file said beside a check."""
        if not self.said:
            return {}
        written = check_to_json(check)
        return next((words for key, words in self.said if key == written), {})

    def _metric(self, check: CheckSpec) -> dict[str, Any] | None:
        """Return a check in the standard's words; None when it has none."""
        if check.row_count is not None:
            operator = _count_operator(check.row_count)
            return None if operator is None else {"metric": "rowCount", **operator}
        if check.sql is not None and (check.must is None or check.must.unit is Unit.ROWS):
            return {"type": "sql", "query": f"{ROWS_BEFORE}{check.sql}{ROWS_AFTER}", **_operator(check)}
        if check.query is not None:
            return {"type": "sql", "query": f"{VALUE_BEFORE}{check.query}{VALUE_AFTER}", **_operator(check)}
        if check.unique is not None and len(check.unique) > 1:
            arguments = {"properties": [self.names.get(name, name) for name in check.unique]}
            return {"metric": "duplicateValues", "arguments": arguments, **_operator(check)}
        found = _column_metric(check)
        return None if found is None else {**found, **_operator(check)}


def _column_metric(check: CheckSpec) -> dict[str, Any] | None:
    if check.not_null is not None:
        return {"metric": "nullValues"} if len(check.not_null) == 1 else None
    if check.unique is not None:
        return {"metric": "duplicateValues"}
    if check.missing_values is not None:
        return {"metric": "missingValues", "arguments": {"missingValues": check.missing_values}}
    valid: dict[str, Any] | None = None
    if check.accepted_values is not None:
        valid = {"validValues": check.accepted_values}
    elif check.pattern is not None:
        valid = {"pattern": search_of_pattern(check.pattern)}
    elif check.valid is not None and check.valid.range is None and check.valid.length is None:
        valid = {"validValues": check.valid.values, "pattern": search_of_pattern(str(check.valid.pattern))}
    return None if valid is None else {"metric": "invalidValues", "arguments": valid}


def _is_plain(check: CheckSpec) -> bool:
    return check.must is None and check.name is None and check.severity is Severity.ERROR


def _options(check: CheckSpec, logical: str) -> dict[str, Any] | None:
    """Return a check as options of the column's logical type; None when it is none of them."""
    if not _is_plain(check):
        return None
    if check.length is not None and logical == "string":
        ends = {"minLength": check.length.min, "maxLength": check.length.max}
        return {name: value for name, value in ends.items() if value is not None}
    if check.range is None:
        return None
    given = {_ENDS[end]: value for end, value in check.range.model_dump().items() if value is not None}
    are_numbers = all(isinstance(value, int | Decimal) for value in given.values())
    are_texts = all(isinstance(value, str) for value in given.values())
    fits = (logical in _NUMERIC and are_numbers) or (logical in _TEMPORAL and are_texts)
    return given if fits else None


def _ends_of(check: CheckSpec, options: dict[str, Any]) -> bool:
    """Whether the options already hold another check of the kind."""
    known = ("minLength", "maxLength") if check.length is not None else tuple(_ENDS.values())
    return any(name in options for name in known)


def _relationship(check: CheckSpec) -> dict[str, Any]:
    assert check.relationship is not None
    to, field = check.relationship.to, check.relationship.field
    return {
        "type": "foreignKey",
        "to": f"{to.rpartition('.')[2]}.{field}",
        "customProperties": [{"property": "headwater.to", "value": {"dataset": to, "field": field}}],
    }


def _operator(check: CheckSpec) -> dict[str, Any]:
    must = check.must
    if must is None:
        return {"mustBe": 0}
    value = getattr(must, must.operator)
    written = [_plainest(one) for one in value] if isinstance(value, list) else _plainest(value)
    unit = {"unit": str(must.unit)} if must.unit is not Unit.ROWS else {}
    return {to_camel(f"must_{must.operator}"): written, **unit}


def _plainest(number: Decimal) -> int | Decimal:
    return int(number) if number == number.to_integral_value() else number


def _count_operator(count: CountArgs) -> dict[str, Any] | None:
    """Return the operator of the number of rows; None when there is none, or it is no number."""
    given = {end: value for end, value in count.model_dump().items() if value is not None}
    values = [one for value in given.values() for one in (value if isinstance(value, list) else [value])]
    if not all(isinstance(one, int | Decimal) for one in values):
        return None
    if given.keys() == {"min", "max"}:
        low, high = given["min"], given["max"]
        return {"mustBe": low} if low == high else {"mustBeBetween": [low, high]} if low < high else None
    if len(given) != 1:
        return None
    ((end, value),) = given.items()
    if end == "not_between":
        low, high = value
        return {"mustNotBe": low} if low == high else {"mustNotBeBetween": value} if low < high else None
    return {_OPERATORS[end]: value}


def _conform(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule with the keys that version 3.1 does not have among its custom properties."""
    others = {key: value for key, value in rule.items() if key not in QUALITY_KEYS and not key.startswith("must")}
    if not others:
        return rule
    kept = {key: value for key, value in rule.items() if key not in others}
    properties = [*kept.pop("customProperties", ()), {"property": KEPT_PROPERTY, "value": others}]
    return {**kept, "customProperties": properties}
