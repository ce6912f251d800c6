"""Paths into a JSON body, and conditions on them, with every value kept as the text it came as.

The subset of JSONPath that paging needs: `$`, `.name`, `['name']`, `[n]`, `[-n]`, and `[*]`, which goes through a list.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = re.compile(r"""\.([\w$@:-]+)|\[(-?\d+)\]|\['([^']*)'\]|\["([^"]*)"\]|(\[\*\])""")
_CONDITION = re.compile(r"^\s*(\$.*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?))?\s*$", re.DOTALL)
_COMPARE = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

EACH = None
"""The step that goes through a list."""

PathStep = str | int | None


def parse_path(text: str) -> tuple[PathStep, ...]:
    """Read a path into its steps.

    Raises:
        ValueError: It is not of the subset.
    """
    stripped = text.strip()
    steps: list[PathStep] = []
    at = 1
    while stripped.startswith("$") and at < len(stripped):
        match = _STEP.match(stripped, at)
        if not match:
            break
        if match[5]:
            steps.append(EACH)
        elif match[2]:
            steps.append(int(match[2]))
        else:
            steps.append(next(name for name in (match[1], match[3], match[4]) if name is not None))
        at = match.end()
    if not stripped.startswith("$") or at < len(stripped):
        raise ValueError(f"{text!r} is not a path; write it like $.data, $.meta.next, $.data[-1].id or $['a key']")
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Condition:
    """A path alone, or compared with a literal."""

    path: tuple[PathStep, ...]
    compare: str
    literal: Any

    def holds(self, body: bytes) -> bool:
        """Whether it is true of a body; what is not there is null."""
        value = find_value(body, self.path)
        if not self.compare:
            return bool(value)
        if self.compare in ("==", "!="):
            same = value == self.literal and isinstance(value, bool) == isinstance(self.literal, bool)
            return same == (self.compare == "==")
        numbers = all(isinstance(side, int | Decimal) and not isinstance(side, bool) for side in (value, self.literal))
        texts = isinstance(value, str) and isinstance(self.literal, str)
        return bool(_COMPARE[self.compare](value, self.literal)) if numbers or texts else False


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: It is none.
    """
    match = _CONDITION.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a condition; write it like $.has_more == false, or a path alone")
    literal: Any = None
    if match[2]:
        try:
            text = match[3].replace("'", '"') if match[3].startswith("'") else match[3]
            literal = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
        except ValueError:
            raise ValueError(f"{match[3]!r} is not a literal; write a number, true, false, null or 'text'") from None
    return Condition(parse_path(match[1]), match[2] or "", literal)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def find_all(body: bytes, path: tuple[PathStep, ...]) -> Iterator[bytes]:
    """Yield the text of every value that a path leads to."""
    import msgspec

    if not path:
        yield body
        return
    step, rest = path[0], path[1:]
    first = body.lstrip()[:1]
    if isinstance(step, str):
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get(step) if first == b"{" else None
        if found is not None:
            yield from find_all(bytes(found), rest)
    elif first == b"[":
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
        if step is EACH:
            for item in items:
                yield from find_all(bytes(item), rest)
        elif -len(items) <= step < len(items):
            yield from find_all(bytes(items[step]), rest)


def find_text(body: bytes, path: tuple[PathStep, ...]) -> str | None:
    """Return the one value of a path as it is to be sent: text without quotes, a number with the digits it came with.

    None when it is not there, null, or empty text.
    """
    import msgspec

    for found in find_all(body, path):
        text = found.strip()
        value = msgspec.json.decode(text, type=str) if text.startswith(b'"') else text.decode()
        return None if value in ("null", "") and (not value or text == b"null") else value
    return None


def find_value(body: bytes, path: tuple[PathStep, ...]) -> Any:
    """Return the one value of a path as Python has it, numbers with every digit, or None."""
    return next((json.loads(found, parse_float=Decimal) for found in find_all(body, path)), None)


def find_records(body: bytes, path: tuple[PathStep, ...]) -> list[bytes] | None:
    """Return the text of every record at a path: the items of a list, or one object; None when nothing is there."""
    import msgspec

    records: list[bytes] = []
    there = False
    for found in find_all(body, path):
        there = True
        text = found.strip()
        if text.startswith(b"["):
            records.extend(map(bytes, msgspec.json.decode(text, type=list[msgspec.Raw])))
        elif text != b"null":
            records.append(text)
    return records if there else None
