"""The ways of arrows between lanes.

An arrow leaves a box on the side where its end lies and turns in the free space between two lanes: it never crosses a
box. A lane between its ends is passed between two rows; an arrow within a lane goes around on the right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.layers import Layer
from headwater.diagram.geometry import Curve, Point, Route

if TYPE_CHECKING:
    from headwater.diagram.geometry import BoxColumn, PlacedBox
    from headwater.diagram.picture import Arrow, Picture

_LAYERS = tuple(Layer)
_PORT = 0.22
_FIRST_BEND, _LAST_BEND = 0.3, 0.7
_LOOP, _WIDEST_LOOP = 24.0, 84.0


def route_in_lanes(
    picture: Picture, boxes: dict[str, PlacedBox], columns: list[BoxColumn], row_gap: float
) -> tuple[Route, ...]:
    """Route every drawn arrow; `row_gap` is the free height below each row."""
    ends = {arrow: _ends(boxes[arrow.upstream], boxes[arrow.downstream]) for arrow in picture.drawn}
    bends = _bends(ends)
    routes = []
    for arrow, (first, last) in ends.items():
        start, end = (_LAYERS.index(boxes[name].box.layer) for name in (arrow.upstream, arrow.downstream))
        if start == end:
            routes.append(Route(arrow, _loop(first, last)))
            continue
        passed = columns[start + 1 : end] if start < end else columns[end + 1 : start][::-1]
        row = boxes[arrow.downstream].rect
        channel = row.y - row_gap / 2 if first[1] <= last[1] else row.bottom + row_gap / 2
        points = [first]
        for column in passed:
            sides = [(column.left, channel), (column.right, channel)]
            points += sides if start < end else sides[::-1]
        routes.append(Route(arrow, Curve.through([*points, last], bend=0.5 if passed else bends[arrow])))
    return tuple(routes)


def _ends(up: PlacedBox, down: PlacedBox) -> tuple[Point, Point]:
    """Forward arrows meet a border in its middle, returns below it, arrows within a lane above it."""
    start, end = _LAYERS.index(up.box.layer), _LAYERS.index(down.box.layer)
    port = up.rect.height * _PORT
    if start == end:
        return up.side(right=True, offset=-port), down.side(right=True, offset=-port)
    forward = start < end
    offset = 0.0 if forward else port
    return up.side(right=forward, offset=offset), down.side(right=not forward, offset=offset)


def _bends(ends: dict[Arrow, tuple[Point, Point]]) -> dict[Arrow, float]:
    """Spread the turns of arrows over the space between two lanes, so that they run side by side.

    Of arrows that lead down, the one that begins highest turns last; of those that lead up, the one that begins lowest.
    """
    groups: dict[tuple[int, int, bool], list[Arrow]] = {}
    for arrow, (first, last) in ends.items():
        if first[1] != last[1]:
            groups.setdefault((round(first[0]), round(last[0]), first[1] < last[1]), []).append(arrow)
    bends = dict.fromkeys(ends, 0.5)
    for (_, _, down), arrows in groups.items():
        starts = sorted({ends[arrow][0][1] for arrow in arrows}, reverse=down)
        for arrow in arrows:
            if len(starts) > 1:
                share = starts.index(ends[arrow][0][1]) / (len(starts) - 1)
                bends[arrow] = _FIRST_BEND + (_LAST_BEND - _FIRST_BEND) * share
    return bends


def _loop(start: Point, end: Point) -> Curve:
    """Out of a right border and back into another of the same lane; the further apart, the wider."""
    reach = max(start[0], end[0]) + min(_LOOP + abs(start[1] - end[1]) * 0.12, _WIDEST_LOOP)
    return Curve(start, (((reach, start[1]), (reach, end[1]), end),))
