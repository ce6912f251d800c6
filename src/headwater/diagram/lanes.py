"""Five columns, one per layer: the layout of datasets and of domains.

The layer gives the column. Within a column the order is that of the boxes' own keys, so that adding a node never
reorders the others; the places are rows of one grid through all columns, so that what belongs to one dataset stands
side by side. Consumers keep their order too, and are moved down to the rows of what they read. Between two rows of the
grid there is free space through all columns: an arrow that passes a column goes there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from headwater.core.layers import Layer
from headwater.diagram.geometry import (
    HEADING_SIZE,
    MARGIN,
    SMALL_SIZE,
    Band,
    BoxColumn,
    Line,
    PictureLayout,
    Rect,
    Rule,
    box_height,
    box_width,
    place_box,
)
from headwater.diagram.legend import TITLE_HEIGHT, place_legend, place_title
from headwater.diagram.metrics import clean, fit_end, text_width
from headwater.diagram.picture import Box, Direction, Picture, dataset_key, sort_key
from headwater.diagram.routes import route_in_lanes

_LAYERS = tuple(Layer)
_ROW_GAP = 16.0
_LANE_PADDING, _LANE_GAP, _WIDE_GAP, _WIDEST_GAP = 16.0, 40.0, 84.0, 200.0
_LOOP_MARGIN = 60.0
_HEAD = 38.0
_RULE_HEIGHT = 30.0


def place_in_lanes(picture: Picture) -> PictureLayout:
    """Lay a picture out in five lanes."""
    height = box_height(with_status=picture.with_status)
    columns = _place_columns(picture, height)
    width = columns[-1].x + columns[-1].width + (_LOOP_MARGIN if _loops_at_the_end(picture) else MARGIN)
    top = MARGIN + (TITLE_HEIGHT if picture.title else 0.0)
    blocks, row_of = _assign_rows(picture)
    y_of_row, rules, bottom = _place_rows(blocks, top + _HEAD, height, columns[-1].x + columns[-1].width)
    boxes = {
        box.id: place_box(box, column.left, y_of_row[row_of[box.id]], column.right - column.left, height)
        for column in columns
        for box in picture.in_layer(column.layer)
    }
    legend, end = place_legend(picture, width, bottom + 10)
    return PictureLayout(
        picture=picture,
        width=width,
        height=end + MARGIN / 2,
        heading=place_title(picture, width),
        bands=tuple(_band(picture, column, top, bottom) for column in columns),
        rules=rules,
        boxes=tuple(boxes.values()),
        routes=route_in_lanes(picture, boxes, columns, _ROW_GAP),
        legend=legend,
    )


def _place_columns(picture: Picture, height: float) -> list[BoxColumn]:
    layer_of = {box.id: box.layer for box in picture.boxes}
    busy = Counter(layer_of[a.downstream] for a in picture.drawn if a.direction is not Direction.FORWARD)
    readers = sum(layer_of[a.downstream] is Layer.CONSUMPTION for a in picture.drawn)
    columns: list[BoxColumn] = []
    x = MARGIN
    for layer in _LAYERS:
        wanted = box_width(picture.in_layer(layer), layer, height) + 2 * _LANE_PADDING
        width = max(wanted, text_width(layer.heading, HEADING_SIZE) * 1.2 + 2 * _LANE_PADDING)
        columns.append(BoxColumn(layer, x, width, _LANE_PADDING))
        gap = _WIDE_GAP + busy[layer] if busy[layer] else _LANE_GAP
        x += width + min(gap + (readers if layer is Layer.STORAGE else 0), _WIDEST_GAP)
    return columns


def _loops_at_the_end(picture: Picture) -> bool:
    consumers = {box.id for box in picture.in_layer(Layer.CONSUMPTION)}
    return any(arrow.downstream in consumers for arrow in picture.drawn if arrow.direction is Direction.WITHIN)


def _band(picture: Picture, column: BoxColumn, top: float, bottom: float) -> Band:
    heading = Line(column.layer.heading, column.left, top + 24, HEADING_SIZE, "heading")
    empty = Line("none", column.left, top + _HEAD + 14, SMALL_SIZE, "muted")
    rect = Rect(column.x, top, column.width, bottom - top)
    return Band(column.layer, rect, heading, None if picture.in_layer(column.layer) else empty)


# ----------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class _Block:
    """The rows of one domain."""

    domain: str
    start: int
    end: int


def _assign_rows(picture: Picture) -> tuple[list[_Block], dict[str, int]]:
    row_of: dict[str, int] = {}
    blocks: list[_Block] = []
    by_domain = sorted(picture.boxes, key=lambda box: (box.domain != "main", box.domain))
    upstream = _upstream(picture)
    waiting: list[tuple[_Block, list[Box]]] = []
    start = 0
    for domain, group in groupby(by_domain, key=lambda box: box.domain):
        boxes = list(group)
        consumers = sorted((box for box in boxes if box.layer is Layer.CONSUMPTION), key=sort_key)
        end = _fill_rows([box for box in boxes if box.layer is not Layer.CONSUMPTION], start, row_of)
        blocks.append(_Block(domain, start, max(end, start + len(consumers), start + 1)))
        waiting.append((blocks[-1], consumers))
        start = blocks[-1].end
    for block, consumers in waiting:
        _fill_consumers(consumers, block, upstream, row_of)
    return blocks or [_Block("main", 0, 1)], row_of


def _fill_rows(boxes: list[Box], start: int, row_of: dict[str, int]) -> int:
    """Give every dataset a row of its own, or more when it has several boxes in a lane; return the row after."""
    for _, group in groupby(sorted(boxes, key=dataset_key), key=dataset_key):
        used = dict.fromkeys(_LAYERS, 0)
        for box in sorted(group, key=sort_key):
            row_of[box.id] = start + used[box.layer]
            used[box.layer] += 1
        start += max(used.values())
    return start


def _fill_consumers(
    consumers: list[Box], block: _Block, upstream: dict[str, list[str]], row_of: dict[str, int]
) -> None:
    """Place consumers in their order, each at the mean row of what it reads or below, all inside the block."""
    row = block.start - 1
    for index, box in enumerate(consumers):
        rows = [row_of[name] for name in upstream.get(box.id, ()) if name in row_of]
        wanted = round(sum(rows) / len(rows)) if rows else row + 1
        row = max(row + 1, min(wanted, block.end - (len(consumers) - index)))
        row_of[box.id] = row


def _upstream(picture: Picture) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for arrow in picture.drawn:
        found.setdefault(arrow.downstream, []).append(arrow.upstream)
    return found


def _place_rows(
    blocks: list[_Block], top: float, height: float, right: float
) -> tuple[list[float], tuple[Rule, ...], float]:
    """Return the y of every row, the rule of every domain when there are several, and the y below all."""
    ys: list[float] = []
    rules = []
    y = top
    for block in blocks:
        if len(blocks) > 1:
            text = fit_end(f"domain {clean(block.domain)}", SMALL_SIZE, right - 4 * MARGIN)
            rules.append(Rule(MARGIN, right, y, Line(text, MARGIN + _LANE_PADDING, y + 16, SMALL_SIZE, "domain")))
            y += _RULE_HEIGHT
        for _ in range(block.start, block.end):
            ys.append(y)
            y += height + _ROW_GAP
    return ys, tuple(rules), y
