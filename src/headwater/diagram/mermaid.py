"""The drawing for Mermaid: for README files, where GitHub renders it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headwater.core.layers import LOOKS, Layer
from headwater.diagram.picture import Box, Direction
from headwater.diagram.status import SYMBOLS

if TYPE_CHECKING:
    from headwater.diagram.picture import Arrow, Picture

MAX_ARROWS = 500
MAX_CHARACTERS = 50_000
_SHAPES = {
    "parallelogram": ("[/", "/]"),
    "box": ("[", "]"),
    "cylinder": ("[(", ")]"),
    "ellipse": ("([", "])"),
}


def write_mermaid(picture: Picture) -> str:
    """Write a picture in Mermaid's language; a drawing above Mermaid's default limits says so in a comment."""
    ids = {box.id: f"n{index}" for index, box in enumerate(picture.boxes, 1)}
    lines = [f"flowchart {'TB' if picture.level == 'architecture' else 'LR'}"]
    for layer in Layer:
        if boxes := picture.in_layer(layer):
            lines.append(f'  subgraph {layer} ["{layer.heading}"]')
            lines += [f"    {ids[box.id]}{_node(box)}" for box in boxes]
            lines.append("  end")
    lines += [f"  {ids[arrow.upstream]} {_link(arrow, picture)} {ids[arrow.downstream]}" for arrow in picture.drawn]
    for layer in Layer:
        members = ",".join(ids[box.id] for box in picture.in_layer(layer))
        if members:
            lines.append(f"  classDef {layer} fill:{LOOKS[layer].fill},stroke:#555,color:#111")
            lines.append(f"  class {members} {layer}")
    failed = ",".join(ids[box.id] for box in picture.boxes if box.badge and box.badge.word == "failed")
    if failed:
        lines += ["  classDef failed stroke:#9f1212,stroke-width:2px,stroke-dasharray:6 4", f"  class {failed} failed"]
    body = "\n".join([*lines[1:], ""])
    return "\n".join([lines[0], *_warnings(len(picture.drawn), len(body)), body])


def _warnings(arrows: int, characters: int) -> list[str]:
    found = []
    if arrows > MAX_ARROWS:
        found.append(f"  %% {arrows:,} arrows: Mermaid draws {MAX_ARROWS} unless its setting maxEdges is raised")
    if characters > MAX_CHARACTERS:
        found.append(f"  %% {characters:,} characters: Mermaid reads {MAX_CHARACTERS:,} unless maxTextSize is raised")
    return found


def _node(box: Box) -> str:
    opening, closing = _SHAPES[LOOKS[box.layer].shape]
    status = f"{SYMBOLS[box.badge.word]} {box.badge.text}" if box.badge else ""
    text = "<br/>".join(_escape(line) for line in (box.label, box.detail, status) if line)
    return f'{opening}"{text}"{closing}'


def _link(arrow: Arrow, picture: Picture) -> str:
    line = "==>" if arrow.stream else "-->" if arrow.direction is Direction.FORWARD else "-.->"
    return f'{line}|"{_escape(arrow.label)}"|' if picture.level == "architecture" else line


def _escape(text: str) -> str:
    """Write what Mermaid or Markdown could read as syntax as character codes."""
    return re.sub(r"[^\w .,:;/=()+·…–✕⏸■◷✓○%'-]", lambda match: f"#{ord(match[0])};", text)
