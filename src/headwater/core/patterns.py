"""Regular expressions of the standards and those of checks: the first are searched for, the second match the whole.

Source: a `pattern` of the Open Data Contract Standard is one of ECMA-262, which is found anywhere in the text.
"""

from __future__ import annotations

import re

_BEFORE, _AFTER = "(?s:.*)(?:", ")(?s:.*)"
_HEX = "[0-9A-Fa-f]{1,4}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _ipv6() -> str:
    whole = f"(?:{_HEX}:){{7}}{_HEX}"
    shortened = [f"(?:{_HEX}:){{{before}}}(?::{_HEX}){{1,{7 - before}}}" for before in range(1, 7)]
    ends = [f"(?:{_HEX}:){{1,7}}:", f":(?::{_HEX}){{1,7}}", "::"]
    return f"(?:{'|'.join([whole, *shortened, *ends])})"


FORMATS = {
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:\S+",
    "hostname": rf"{_LABEL}(?:\.{_LABEL})*",
    "ipv4": rf"{_OCTET}(?:\.{_OCTET}){{3}}",
    "ipv6": _ipv6(),
    "byte": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}
"""The formats of a text that are checked, as patterns of the whole text."""


def pattern_of_search(search: str) -> str:
    """Return the pattern of the whole text by which the same texts pass as are found by a search.

    What is no expression, for a parenthesis of it is not closed, stays as it is.
    """
    if not _is_closed(search):
        return search
    if (inner := _anchored_group(search)) is not None:
        return inner
    return search if _is_anchored(search) else f"{_BEFORE}{search}{_AFTER}"


def search_of_pattern(pattern: str) -> str:
    """Return the search of a pattern of the whole text; `pattern_of_search` gives the pattern again."""
    if not _is_closed(pattern):
        return pattern
    if pattern.startswith(_BEFORE) and pattern.endswith(_AFTER):
        search = pattern[len(_BEFORE) : -len(_AFTER)]
        if pattern_of_search(search) == pattern:
            return search
    if _is_anchored(pattern) and _anchored_group(pattern) is None:
        return pattern
    return f"^(?:{pattern})$"


def search_within(pattern: str) -> str | None:
    """Return the search that a pattern of the whole text was made of by `pattern_of_search`; None for another one."""
    if pattern.startswith(_BEFORE) and pattern.endswith(_AFTER):
        search = pattern[len(_BEFORE) : -len(_AFTER)]
        return search if _is_closed(search) else None
    return None


def _is_anchored(search: str) -> bool:
    """Whether a search can find nothing but the whole text, as can be seen at once."""
    return search.startswith("^") and bool(re.search(r"(?<!\\)(?:\\\\)*\$\Z", search)) and "|" not in search


def _anchored_group(search: str) -> str | None:
    """Return what stands in `^(?:…)$` when that is one group; None for everything else."""
    if not (search.startswith("^(?:") and search.endswith(")$")):
        return None
    inner = search[4:-2]
    return inner if _is_closed(inner) else None


def _is_closed(pattern: str) -> bool:
    """Whether every parenthesis of a pattern is closed within it."""
    depth, in_class, at = 0, False, 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 2
            continue
        if in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            at += 1 if pattern[at + 1 : at + 2] == "]" else 2 if pattern[at + 1 : at + 3] == "^]" else 0
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                return False
        at += 1
    return depth == 0 and not in_class and at == len(pattern)
