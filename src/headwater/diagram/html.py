"""The map as one HTML file that loads nothing: every level as SVG, what is known of every dataset, and our own script.

The data stands in the page as JSON; the script sets text as text only. The page's policy forbids every request.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from headwater.core.texts import visible
from headwater.diagram.lanes import place_in_lanes
from headwater.diagram.metrics import clean
from headwater.diagram.picture import LEVELS, copy_graph, group_id
from headwater.diagram.shapes import ICONS
from headwater.diagram.status import SYMBOLS
from headwater.diagram.svg import draw_inside
from headwater.diagram.theme import page_style
from headwater.diagram.tiers import place_in_tiers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.graph import Graph
    from headwater.diagram.geometry import PictureLayout, PlacedBox
    from headwater.diagram.picture import Picture
    from headwater.diagram.status import NodeStatus

_SCRIPTS = ("view", "walk", "panel", "columns", "search", "main")


def write_html(
    graph: Graph,
    *,
    level: str = "datasets",
    results: Mapping[str, NodeStatus] | None = None,
    title: str = "",
    datasets: Mapping[str, Any] | None = None,
) -> str:
    """Write the page.

    Args:
        graph: The graph.
        level: The level that is shown first.
        results: Status by node name.
        title: Heading of the page.
        datasets: What is known of each dataset, as `describe_datasets` gives it; empty: boxes and arrows only.
    """
    layouts = {name: _place(copy_graph(graph, name, results, "")) for name in LEVELS}
    data = {
        "level": level,
        "levels": {name: _level_data(graph, layout, results or {}) for name, layout in layouts.items()},
        "datasets": {**dict.fromkeys({n.dataset for n in graph.nodes.values()}, NOTHING), **(datasets or {})},
        "icons": ICONS,
    }
    shown = layouts[level].picture
    parts = {
        "title": escape(f"{clean(title)} · Headwater" if title else "Headwater"),
        "heading": escape(clean(title) or "Headwater"),
        "style": _asset("map.css").replace("/*dark*/", page_style()),
        "levels": "".join(_switch(name, checked=name == level) for name in LEVELS),
        "counts": _counts(layouts["datasets"].picture),
        "summary": escape(shown.summary),
        "drawings": "\n".join(_drawing(layout, hidden=name != level) for name, layout in layouts.items()),
        "data": _embed(data),
        "script": '"use strict";\n{\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "}",
    }
    head, *rest = _asset("map.html").split("{{")
    return head + "".join(parts[word] + text for word, text in (part.split("}}", 1) for part in rest))


NOTHING: dict[str, Any] = {
    "description": "", "owner": "", "tags": [], "kind": "", "store": "", "rows": None, "version": None, "declared": "",
    "reads": [], "read_by": [], "columns": [], "unknown": "", "decided": {}, "checks": [], "rules": [], "runs": [],
    "code": "", "language": "",
}  # fmt: skip
"""What the page says of a dataset of which nothing is known."""


@cache
def _asset(name: str) -> str:
    return (files("headwater.diagram") / "page" / name).read_text(encoding="utf-8")


def _place(picture: Picture) -> PictureLayout:
    return place_in_tiers(picture) if picture.level == "architecture" else place_in_lanes(picture)


def _drawing(layout: PictureLayout, *, hidden: bool) -> str:
    name = layout.picture.level
    inside = "\n".join(draw_inside(layout, walkable=True))
    return f'<g id="level-{name}"{" hidden" if hidden else ""}>\n{inside}\n</g>'


def _switch(name: str, *, checked: bool) -> str:
    state = " checked" if checked else ""
    return f'<label><input type="radio" name="level" value="{name}"{state}>{name.capitalize()}</label>'


def _counts(picture: Picture) -> str:
    counts: dict[str, int] = {}
    for box in picture.boxes:
        if box.badge:
            counts[box.badge.word] = counts.get(box.badge.word, 0) + 1
    said = [(word, counts[word]) for word in SYMBOLS if word in counts]
    return "".join(
        f'<span class="state state-{word}"><svg class="icon icon-{word}" viewBox="0 0 10 10" aria-hidden="true">'
        f'<path d="{ICONS[word]}"/></svg> {number:,} {"never run" if word == "never" else word}</span>'
        for word, number in said
    )


def _embed(data: Any) -> str:
    """Write JSON that cannot end its script element, whatever a text holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _level_data(graph: Graph, layout: PictureLayout, results: Mapping[str, NodeStatus]) -> dict[str, Any]:
    level = layout.picture.level
    members: dict[str, list[str]] = {}
    for node in graph.nodes.values() if level != "datasets" else ():
        members.setdefault(group_id(node, level), []).append(node.name)
    boxes = [_box_data(graph, placed, members, results) for placed in layout.boxes]
    return {"size": [round(layout.width), round(layout.height)], "boxes": boxes}


def _box_data(
    graph: Graph, placed: PlacedBox, members: Mapping[str, list[str]], results: Mapping[str, NodeStatus]
) -> dict[str, Any]:
    box, rect, node = placed.box, placed.rect, graph.nodes.get(placed.box.id)
    grouped = box.id in members
    result = results.get(box.id)
    return {
        "id": box.id,
        "label": box.label,
        "detail": box.detail,
        "title": box.title,
        "layer": box.layer.value,
        "heading": box.layer.heading,
        "domain": box.domain,
        "place": [round(value) for value in (rect.x, rect.y, rect.width, rect.height)],
        "dataset": node.dataset if node and not grouped else "",
        "role": node.role.value if node and not grouped else "",
        "status": box.badge.word if box.badge else "",
        "said": box.badge.text if box.badge else "",
        "error": visible(result.error) if result and not grouped else "",
        **({"members": members[box.id]} if grouped else {}),
    }
