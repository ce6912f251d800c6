"""The drawing as SVG: no scripts, no links, no fonts from elsewhere; readable without colours and by screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from headwater.core.layers import Layer
from headwater.diagram.metrics import clean
from headwater.diagram.picture import node_id
from headwater.diagram.shapes import draw_icon, draw_shape, number
from headwater.diagram.theme import style_sheet

if TYPE_CHECKING:
    from headwater.diagram.geometry import Band, Curve, Line, PictureLayout, PlacedBox, Route, Rule, Sample

_ICON_SIZE = 10.0
_HEAD = "M0 0.6 L7.4 4 L0 7.4 Z"


def write_svg(layout: PictureLayout, *, dark: bool = True) -> str:
    """Write a layout as one SVG document; with `dark`, its colours follow the reader's preference."""
    width, height = number(layout.width), number(layout.height)
    title = layout.picture.title or f"Data architecture, {layout.picture.level}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="headwater" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" aria-labelledby="headwater-title headwater-desc">',
        f'<title id="headwater-title">{escape(title)}</title>',
        f'<desc id="headwater-desc">{escape(layout.picture.summary)}</desc>',
        f"<style>\n{style_sheet(dark=dark)}\n</style>",
        '<defs><marker id="headwater-head" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="{_HEAD}"/></marker></defs>',
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *draw_inside(layout),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_inside(layout: PictureLayout, *, walkable: bool = False) -> list[str]:
    """Draw all that stands on the ground of a layout.

    With `walkable`, as in a page, boxes are buttons that a key can reach, and arrows name the boxes at their ends.
    """
    names = {placed.box.id: placed.box.name for placed in layout.boxes}
    return [
        *([_text(layout.heading)] if layout.heading else []),
        *(_band(band) for band in layout.bands),
        *(_rule(rule) for rule in layout.rules),
        *(_route(route, names, walkable=walkable) for route in layout.routes),
        *(_text(route.label) for route in layout.routes if route.label),
        *(part for layer in Layer for part in _layer(layout, layer, walkable=walkable)),
        '<g class="legend-line">',
        *(_sample(sample) for sample in layout.legend),
        "</g>",
    ]


def _text(line: Line) -> str:
    place = f'x="{number(line.x)}" y="{number(line.y)}" font-size="{number(line.size)}"'
    return f'<text class="{line.style}" {place}>{escape(line.text)}</text>'


def _band(band: Band) -> str:
    rect = band.rect
    place = f'x="{number(rect.x)}" y="{number(rect.y)}" width="{number(rect.width)}" height="{number(rect.height)}"'
    empty = _text(band.empty) if band.empty else ""
    return f'<g class="band"><rect {place} rx="10"/>{_text(band.heading)}{empty}</g>'


def _rule(rule: Rule) -> str:
    place = f'x1="{number(rule.x)}" x2="{number(rule.right)}" y1="{number(rule.y)}" y2="{number(rule.y)}"'
    return f'<g class="rule"><line {place}/>{_text(rule.heading)}</g>'


def _path(curve: Curve) -> str:
    pieces = (" ".join(f"{number(x)} {number(y)}" for x, y in piece) for piece in curve.pieces)
    return f"M{number(curve.start[0])} {number(curve.start[1])} " + " ".join(f"C{piece}" for piece in pieces)


def _route(route: Route, names: dict[str, str], *, walkable: bool) -> str:
    arrow = route.arrow
    kind = f"arrow {arrow.direction}" + (" stream" if arrow.stream else "")
    said = f"{names[arrow.upstream]} to {names[arrow.downstream]}" + (f": {arrow.label}" if arrow.label else "")
    ends = f" data-from={quoteattr(clean(arrow.upstream))} data-to={quoteattr(clean(arrow.downstream))}"
    path = f'<path class="{kind}" d="{_path(route.curve)}" marker-end="url(#headwater-head)"{ends if walkable else ""}>'
    return f"{path}<title>{escape(said)}</title></path>"


def _layer(layout: PictureLayout, layer: Layer, *, walkable: bool) -> list[str]:
    placed = [box for box in layout.boxes if box.box.layer is layer]
    if not placed:
        return []
    role = "group" if walkable else "list"
    nodes = [_node(box, walkable=walkable) for box in placed]
    return [f'<g class="layer-{layer}" role="{role}" aria-label="{layer.heading}">', *nodes, "</g>"]


def _node(placed: PlacedBox, *, walkable: bool) -> str:
    box = placed.box
    status = f" status-{box.badge.word}" if box.badge else ""
    said = f"<title>{escape(box.title)}</title>"
    icon = ""
    if box.badge:
        line = placed.lines[-1]
        icon = draw_icon(box.badge.word, line.x - _ICON_SIZE - 4, line.y - _ICON_SIZE + 1)
    texts = "".join(map(_text, placed.lines))
    role = 'role="listitem"'
    if walkable:
        role = f'role="button" tabindex="-1" aria-pressed="false" aria-label={quoteattr(box.title)}'
    opening = f'<g id="{node_id(box.id)}" data-node={quoteattr(clean(box.id))} class="node{status}" {role}>'
    return f"{opening}{said}{draw_shape(placed.shape, placed.rect)}{icon}{texts}</g>"


def _sample(sample: Sample) -> str:
    if sample.is_status:
        return draw_icon(sample.kind, sample.x, sample.y - _ICON_SIZE / 2) + _text(sample.text)
    y = number(sample.y)
    line = f'd="M{number(sample.x)} {y} H{number(sample.x + 30)}" marker-end="url(#headwater-head)"'
    return f'<path class="arrow {sample.kind}" {line}/>{_text(sample.text)}'
