"""The header Link: which address is the next page.

Source: RFC 8288, section 3 and the parser of appendix B.2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r"""\s*;\s*(?:([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,]*)))?)?""", re.DOTALL)
_NEXT_LINK = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|[^,"])*(?:,|\Z)""", re.DOTALL)


def next_link(headers: Iterable[str], url: str) -> str:
    """Return the target of the first link whose relations have `next`, as it is written; "" when there is none.

    Links whose anchor is something else than the answer itself say nothing of its next page.

    Args:
        headers: The values of the headers Link, in order.
        url: Where the answer is from.
    """
    for target, parameters in _links(", ".join(headers)):
        anchor = parameters.get("anchor")
        if anchor is not None and urljoin(url, anchor) != url:
            continue
        if "next" in parameters.get("rel", "").lower().split():
            return target
    return ""


def _links(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (target, parameters by their names in small letters) of every link; a parameter counts once."""
    at = 0
    while match := _TARGET.match(text, at):
        at = match.end()
        parameters: dict[str, str] = {}
        while found := _PARAMETER.match(text, at):
            at = found.end()
            name, quoted, token = found.groups()
            if name:
                value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else token or ""
                parameters.setdefault(name.lower(), value)
        yield match[1].strip(), parameters
        rest = _NEXT_LINK.match(text, at)
        at = rest.end() if rest else len(text)
