"""Two checks of a contract compared: whether rows that keep the one keep the other."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from headwater.core.policies import Severity
from headwater.core.promises import columns_of
from headwater.core.thresholds import has_no_least, is_loosened
from headwater.core.types import is_time_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headwater.core.specs.base import CheckSpec, LengthArgs, RangeArgs, ValidArgs

    Types = Mapping[str, str]
    """The types of a port's columns by their names in lower case."""


class BreakKind(StrEnum):
    """What became of a promise."""

    PORT_GONE = "port_gone"
    MAJOR_GONE = "major_gone"
    COLUMN_GONE = "column_gone"
    TYPE_CHANGED = "type_changed"
    REQUIRED_DROPPED = "required_dropped"
    UNIQUE_DROPPED = "unique_dropped"
    VALUES_WIDENED = "values_widened"
    BOUND_LOOSENED = "bound_loosened"
    PATTERN_CHANGED = "pattern_changed"
    THRESHOLD_LOOSENED = "threshold_loosened"
    CHECK_CHANGED = "check_changed"
    CHECK_REMOVED = "check_removed"
    SEVERITY_LOWERED = "severity_lowered"
    SLA_LOOSENED = "sla_loosened"
    SLA_REMOVED = "sla_removed"


_BY_KIND = {
    "accepted_values": BreakKind.VALUES_WIDENED,
    "missing_values": BreakKind.VALUES_WIDENED,
    "range": BreakKind.BOUND_LOOSENED,
    "length": BreakKind.BOUND_LOOSENED,
    "row_count": BreakKind.BOUND_LOOSENED,
    "freshness": BreakKind.BOUND_LOOSENED,
    "pattern": BreakKind.PATTERN_CHANGED,
}

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")


def singled(checks: Iterable[CheckSpec]) -> Iterator[CheckSpec]:
    """Yield the checks; no NULL in several columns is a check of each, where none may be wrong."""
    for check in checks:
        if check.not_null and len(check.not_null) > 1 and check.must is None:
            for name in check.not_null:
                yield check.model_copy(update={"not_null": [name], "column": name})
        else:
            yield check


def is_implied(check: CheckSpec, others: Iterable[CheckSpec], types: Types) -> bool:
    """Whether one of the other checks promises at least as much as this one."""
    return any(not loosened(check, other, types) for other in others if _same_place(check, other, types))


def loosened(before: CheckSpec, after: CheckSpec, types: Types) -> list[BreakKind]:
    """Return in what a check promises less than another one of its kind did; nothing when it promises as much."""
    found = []
    if before.severity is Severity.ERROR and after.severity is not Severity.ERROR:
        found.append(BreakKind.SEVERITY_LOWERED)
    counts = before.query is None
    if is_loosened(before.must, after.must, counts=counts):
        found.append(BreakKind.THRESHOLD_LOOSENED)
    same = _arguments(before) == _arguments(after)
    if not same and not ((before.must is None or has_no_least(before.must)) and _is_stricter(before, after, types)):
        found.append(_BY_KIND.get(before.kind, BreakKind.CHECK_CHANGED))
    return found


def _same_place(before: CheckSpec, after: CheckSpec, types: Types) -> bool:
    """Whether the other check is about the same values: its kind, and its columns, or those that say more."""
    if before.kind != after.kind:
        return False
    ours, others = _folded(columns_of(before)), _folded(columns_of(after))
    if before.must is None and after.must is None and before.kind in ("unique", "not_null"):
        return others <= ours if before.kind == "unique" else others >= ours
    return ours == others


def _folded(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def _arguments(check: CheckSpec) -> dict[str, Any]:
    kept = check.model_dump(include={check.kind}, exclude_defaults=True)
    return {key: sorted(map(str.lower, one)) if key in ("not_null", "unique") else one for key, one in kept.items()}


def _is_stricter(before: CheckSpec, after: CheckSpec, types: Types) -> bool:
    """Whether what is wrong by `before` is wrong by `after`: their places are the same."""
    type_text = types.get((before.column or "").lower(), "")
    if before.kind in ("not_null", "unique"):
        return True
    if before.row_count is not None and after.row_count is not None:
        widened = before.row_count.not_between not in (None, after.row_count.not_between)
        return not widened and _is_narrower(before.row_count, after.row_count, "BIGINT")
    if before.freshness is not None and after.freshness is not None:
        return after.freshness <= before.freshness
    return _values_stricter(_parts(before), _parts(after), type_text)


def _parts(check: CheckSpec) -> dict[str, Any]:
    """Return the conditions on one value."""
    if check.valid is not None:
        return _valid_parts(check.valid)
    return {check.kind: getattr(check, check.kind)}


def _valid_parts(valid: ValidArgs) -> dict[str, Any]:
    named = {"accepted_values": valid.values, "pattern": valid.pattern, "range": valid.range, "length": valid.length}
    return {name: value for name, value in named.items() if value is not None}


def _values_stricter(before: Mapping[str, Any], after: Mapping[str, Any], type_text: str) -> bool:
    return all(name in after and _part_stricter(name, value, after[name], type_text) for name, value in before.items())


def _part_stricter(name: str, before: Any, after: Any, type_text: str) -> bool:
    if name == "accepted_values":
        return _keys(after, type_text) <= _keys(before, type_text)
    if name == "missing_values":
        nulls = (None in before) <= (None in after)
        return nulls and _keys(before, type_text) <= _keys(after, type_text)
    if name == "range":
        return _is_narrower(before, after, type_text)
    if name == "length":
        return _is_shorter(before, after)
    return bool(before == after)


def _is_shorter(before: LengthArgs, after: LengthArgs) -> bool:
    shortest = before.min is None or (after.min is not None and after.min >= before.min)
    return shortest and (before.max is None or (after.max is not None and after.max <= before.max))


def _is_narrower(before: RangeArgs, after: RangeArgs, type_text: str) -> bool:
    return _end_within((before.min, before.above), (after.min, after.above), type_text, upper=False) and _end_within(
        (before.max, before.below), (after.max, after.below), type_text, upper=True
    )


def _end_within(before: Sequence[Any], after: Sequence[Any], type_text: str, *, upper: bool) -> bool:
    """Whether one end of a range, (inclusive, exclusive), lies where it was or further in."""
    if before == after or before == (None, None):
        return True
    old = next(one for one in before if one is not None)
    new = next((one for one in after if one is not None), None)
    if new is None:
        return False
    keys = value_key(old, type_text), value_key(new, type_text)
    if type(keys[0]) is not type(keys[1]):
        return False
    if keys[0] == keys[1]:
        return before[1] is None or after[1] is not None
    return bool(keys[1] < keys[0] if upper else keys[1] > keys[0])


def _keys(values: Iterable[Any], type_text: str) -> set[Any]:
    return {value_key(value, type_text) for value in values if value is not None}


def value_key(value: Any, type_text: str) -> Any:
    """Return a value of a contract as its column's type orders it; text where it is none of the type."""
    if type_text.startswith(_NUMBERS) and not type_text.endswith("]"):
        with suppress(InvalidOperation):
            number = Decimal(str(value).strip())
            return number if number.is_finite() else str(value)
    if is_time_type(type_text):
        with suppress(ValueError):
            moment = datetime.fromisoformat(str(value).strip())
            return moment.isoformat() if moment.tzinfo is None else moment
    return str(value)
