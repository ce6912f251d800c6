"""Five tiers from top to bottom, labelled arrows: the layout of the architecture, as in the reference picture."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from headwater.core.layers import Layer
from headwater.diagram.geometry import (
    HEADING_SIZE,
    MARGIN,
    SMALL_SIZE,
    Band,
    Curve,
    Line,
    PictureLayout,
    PlacedBox,
    Point,
    Rect,
    Route,
    box_height,
    box_width,
    place_box,
)
from headwater.diagram.legend import TITLE_HEIGHT, place_legend, place_title
from headwater.diagram.metrics import text_width

if TYPE_CHECKING:
    from headwater.diagram.picture import Arrow, Picture

_LAYERS = tuple(Layer)
_GAP = 44.0
_PITCH = 232.0
_TIER_PADDING, _TIER_GAP = 14.0, 80.0
_HEADING_ROOM = 136.0
_LABEL_MARGIN = 4.0
_SHARES = (0.5, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6, 0.12, 0.88)
"""Places along an arrow that are tried for its label."""


def place_in_tiers(picture: Picture) -> PictureLayout:
    """Lay a picture out in five tiers; a tier without boxes is left out."""
    height = box_height(with_status=picture.with_status)
    layers = [layer for layer in _LAYERS if picture.in_layer(layer)]
    widths = {layer: _tier_width(picture, layer, height) for layer in layers}
    width = 2 * MARGIN + _HEADING_ROOM + max(widths.values(), default=_PITCH) + 2 * _TIER_PADDING
    y = MARGIN + (TITLE_HEIGHT if picture.title else 0.0)
    boxes: dict[str, PlacedBox] = {}
    bands = []
    for layer in layers:
        rect = Rect(MARGIN, y, width - 2 * MARGIN, height + 2 * _TIER_PADDING)
        heading = Line(layer.heading, MARGIN + 16, rect.centre[1] + 4, HEADING_SIZE, "heading")
        bands.append(Band(layer, rect, heading))
        boxes |= _place_tier(picture, layer, (MARGIN + _HEADING_ROOM + width - MARGIN) / 2, y + _TIER_PADDING, height)
        y = rect.bottom + _TIER_GAP
    bottom = y - _TIER_GAP if layers else y
    legend, end = place_legend(picture, width, bottom + 10)
    return PictureLayout(
        picture=picture,
        width=width,
        height=end + MARGIN / 2,
        heading=place_title(picture, width),
        bands=tuple(bands),
        rules=(),
        boxes=tuple(boxes.values()),
        routes=_route_all(picture, boxes, [band.rect for band in bands]),
        legend=legend,
    )


def _tier_width(picture: Picture, layer: Layer, height: float) -> float:
    widths = [box_width([box], layer, height) for box in picture.in_layer(layer)]
    return sum(max(width + _GAP, _PITCH) for width in widths)


def _place_tier(picture: Picture, layer: Layer, middle: float, y: float, height: float) -> dict[str, PlacedBox]:
    x = middle - _tier_width(picture, layer, height) / 2
    placed = {}
    for box in picture.in_layer(layer):
        width = box_width([box], layer, height)
        room = max(width + _GAP, _PITCH)
        placed[box.id] = place_box(box, x + (room - width) / 2, y, width, height)
        x += room
    return placed


def _route_all(picture: Picture, boxes: dict[str, PlacedBox], taken: list[Rect]) -> tuple[Route, ...]:
    """Route the arrows; their labels avoid each other and the rectangles that are `taken`."""
    curves = [_curve(arrow, boxes) for arrow in picture.drawn]
    routes = []
    for arrow, curve in zip(picture.drawn, curves, strict=True):
        label = _place_label(picture, arrow, curve, taken)
        taken.append(label.rect)
        routes.append(Route(arrow, curve, label))
    return tuple(routes)


def _curve(arrow: Arrow, boxes: dict[str, PlacedBox]) -> Curve:
    """From a lower border to an upper one; a tier between is passed where it is free, nearest to the straight way."""
    up, down = boxes[arrow.upstream], boxes[arrow.downstream]
    first = (up.rect.centre[0], up.rect.bottom)
    last = (down.rect.centre[0], down.rect.y)
    points: list[Point] = [first]
    for layer in _LAYERS[_LAYERS.index(up.box.layer) + 1 : _LAYERS.index(down.box.layer)]:
        tier = [placed.rect for placed in boxes.values() if placed.box.layer is layer]
        if tier:
            x = _free_x(tier, (first[0] + last[0]) / 2)
            points += [(x, tier[0].y), (x, tier[0].bottom)]
    return Curve.through([*points, last], vertical=True)


def _free_x(tier: list[Rect], wanted: float) -> float:
    places = [tier[0].x - _GAP / 2, tier[-1].right + _GAP / 2]
    places += [(one.right + other.x) / 2 for one, other in pairwise(tier)]
    return min(places, key=lambda x: abs(x - wanted))


def _place_label(picture: Picture, arrow: Arrow, curve: Curve, taken: list[Rect]) -> Line:
    """Put a label where its arrow is alone: near the end that it does not share, else where nothing is in the way."""
    into = sum(other.downstream == arrow.downstream for other in picture.drawn)
    out_of = sum(other.upstream == arrow.upstream for other in picture.drawn)
    first = 0.25 if into > 1 and out_of == 1 else 0.75 if out_of > 1 and into == 1 else 0.5
    places = [_label_at(arrow.label, curve.at(share)) for share in (first, *_SHARES)]
    return next((line for line in places if not any(_roomy(line.rect).overlaps(rect) for rect in taken)), places[0])


def _label_at(text: str, point: Point) -> Line:
    width = text_width(text, SMALL_SIZE)
    return Line(text, point[0] - width / 2, point[1] + SMALL_SIZE * 0.35, SMALL_SIZE, "label")


def _roomy(rect: Rect) -> Rect:
    margin = _LABEL_MARGIN
    return Rect(rect.x - margin, rect.y - margin, rect.width + 2 * margin, rect.height + 2 * margin)
