"""The page: one HTML file that holds all it needs and asks for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.render import seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may do, as browsers keep it: show itself."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is said about a page.

    Attributes:
        title: Its title.
        description: What it is about; may be empty.
        owner: Who answers for it; may be empty.
        params: Its parameters as people read them.
        versions: The version of each dataset it reads.
        now: When it was made.
        has_heading: Whether its text begins with a heading of its own.
    """

    title: str
    description: str
    owner: str
    params: Mapping[str, str]
    versions: Mapping[str, int]
    now: datetime
    has_heading: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class PagePart:
    """A part of the page as HTML; numbers that follow each other stand side by side."""

    html: str = field(repr=False)
    is_number: bool = False


def write_page(head: Head, parts: Sequence[PagePart]) -> str:
    """Return the whole page."""
    description = f'<meta name="description" content="{seen(head.description)}">\n' if head.description else ""
    heading = "" if head.has_heading else f"<h1>{seen(head.title)}</h1>\n"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY, quote=False)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"{description}<title>{seen(head.title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f"<main>\n{heading}{_join(parts)}</main>\n{_foot(head)}</body>\n</html>\n"
    )


def _join(parts: Sequence[PagePart]) -> str:
    written: list[str] = []
    in_row = False
    for part in parts:
        if part.is_number != in_row:
            written.append('<div class="numbers">\n' if part.is_number else "</div>\n")
            in_row = part.is_number
        written.append(f"{part.html.rstrip()}\n")
    return "".join([*written, "</div>\n" if in_row else ""])


def _foot(head: Head) -> str:
    made = head.now.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    lines = [f"{seen(head.title)}, made {made}" + (f" for {seen(head.owner)}" if head.owner else "")]
    if head.description:
        lines.insert(0, seen(head.description))
    if head.params:
        lines.append("With " + ", ".join(f"{seen(name)} = {seen(text)}" for name, text in head.params.items()))
    if head.versions:
        read = (f"{seen(name)} version {version}" for name, version in sorted(head.versions.items()))
        lines.append("Data: " + ", ".join(read))
    return "<footer>\n" + "".join(f"<p>{line}</p>\n" for line in lines) + "</footer>\n"


@cache
def _style() -> str:
    return (files("headwater.consumption.dashboards") / "page.css").read_text(encoding="utf-8")
