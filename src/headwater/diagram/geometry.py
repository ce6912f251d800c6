"""Where things are: lines of text, boxes and their borders, curves. Lengths are in pixels, y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

from headwater.core.layers import LOOKS, Layer
from headwater.diagram.metrics import fit_end, fit_middle, text_width

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.diagram.picture import Arrow, Box, Picture

Point = tuple[float, float]

NAME_SIZE, SMALL_SIZE, HEADING_SIZE, TITLE_SIZE = 13.0, 11.0, 13.0, 18.0
MARGIN = 24.0
ICON_ROOM = 15.0
SKEW = 14.0
CAP = 7.0
_NAME_HEIGHT, _SMALL_HEIGHT, _PADDING = 17.0, 15.0, 11.0
_TOLERANCE = 0.01
_MIN_TEXT, _MAX_TEXT = 84.0, 260.0


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle by its top left corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """X of the right border."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Y of the lower border."""
        return self.y + self.height

    @property
    def centre(self) -> Point:
        """The point in the middle."""
        return (self.x + self.width / 2, self.y + self.height / 2)

    def overlaps(self, other: Rect) -> bool:
        """Whether the two share an area."""
        across = self.x < other.right and other.x < self.right
        return across and self.y < other.bottom and other.y < self.bottom

    def contains(self, point: Point) -> bool:
        """Whether a point lies inside, borders not counted."""
        return self.x < point[0] < self.right and self.y < point[1] < self.bottom


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text: its left end and base line, size, and `style` ("name", "detail", "status", …)."""

    text: str
    x: float
    y: float
    size: float
    style: str

    @property
    def rect(self) -> Rect:
        """The rectangle the text takes."""
        return Rect(self.x, self.y - self.size * 0.8, text_width(self.text, self.size), self.size)


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box with its place, its shape (a Graphviz name) and its lines of text."""

    box: Box
    shape: str
    rect: Rect
    lines: tuple[Line, ...]

    def side(self, *, right: bool, offset: float) -> Point:
        """Return the point of the left or right border that lies `offset` below the middle."""
        x, y = self.rect.centre
        half = self._half_width(offset)
        lean = -SKEW * offset / self.rect.height if self.shape == "parallelogram" else 0.0
        return (x + lean + (half if right else -half), y + offset)

    def _half_width(self, offset: float) -> float:
        half = self.rect.width / 2
        if self.shape == "parallelogram":
            return half - SKEW / 2
        if self.shape == "ellipse":
            return half * sqrt(1 - (2 * offset / self.rect.height) ** 2)
        return half


@dataclass(frozen=True, slots=True)
class Curve:
    """A chain of cubic Bezier curves: a start, then control, control, end of each piece."""

    start: Point
    pieces: tuple[tuple[Point, Point, Point], ...]

    @classmethod
    def through(cls, points: list[Point], *, vertical: bool = False, bend: float = 0.5) -> Curve:
        """Return a curve that passes the points, level at each (upright when `vertical`).

        `bend` is the share of the way between two points at which the curve turns.
        """
        pieces = []
        for (x1, y1), (x2, y2) in pairwise(points):
            x, y = x1 + (x2 - x1) * bend, y1 + (y2 - y1) * bend
            pieces.append(((x1, y), (x2, y), (x2, y2)) if vertical else ((x, y1), (x, y2), (x2, y2)))
        return cls(points[0], tuple(pieces))

    def at(self, share: float) -> Point:
        """Return the point at a share (0 to 1) of the curve."""
        index = min(int(share * len(self.pieces)), len(self.pieces) - 1)
        start = self.pieces[index - 1][2] if index else self.start
        t = share * len(self.pieces) - index
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        points = (start, *self.pieces[index])
        return (
            sum(weight * point[0] for weight, point in zip(weights, points, strict=True)),
            sum(weight * point[1] for weight, point in zip(weights, points, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow's way, and its label where labels are drawn."""

    arrow: Arrow
    curve: Curve
    label: Line | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """The ground of a layer and its heading; `empty` when no box stands in it."""

    layer: Layer
    rect: Rect
    heading: Line
    empty: Line | None = None


@dataclass(frozen=True, slots=True)
class BoxColumn:
    """A lane from top to bottom: its ground, and within a padding the borders of its boxes."""

    layer: Layer
    x: float
    width: float
    padding: float

    @property
    def left(self) -> float:
        """X of its boxes' left border."""
        return self.x + self.padding

    @property
    def right(self) -> float:
        """X of its boxes' right border."""
        return self.x + self.width - self.padding


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the picture that begins the boxes of a domain."""

    x: float
    right: float
    y: float
    heading: Line


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry of the legend: `kind` is an arrow's direction, "stream" or a status word; x, y of its left middle."""

    kind: str
    is_status: bool
    x: float
    y: float
    text: Line


@dataclass(frozen=True, slots=True)
class PictureLayout:
    """A picture with every place decided."""

    picture: Picture
    width: float
    height: float
    heading: Line | None
    bands: tuple[Band, ...]
    rules: tuple[Rule, ...]
    boxes: tuple[PlacedBox, ...]
    routes: tuple[Route, ...]
    legend: tuple[Sample, ...]


def box_height(*, with_status: bool) -> float:
    """Return the height of every box of a picture."""
    return 2 * _PADDING + _NAME_HEIGHT + _SMALL_HEIGHT * (2 if with_status else 1)


def box_width(boxes: Iterable[Box], layer: Layer, height: float) -> float:
    """Return the width that holds the text of every one of some boxes of a layer, within limits."""
    left, right = _insets(LOOKS[layer].shape)
    wanted = max((_text_width(box) for box in boxes), default=_MIN_TEXT)
    width = min(max(wanted, _MIN_TEXT), _MAX_TEXT)
    if LOOKS[layer].shape == "ellipse":
        return width / _ellipse_share(height)
    return left + width + right


def place_box(box: Box, x: float, y: float, width: float, height: float) -> PlacedBox:
    """Place a box and the lines of its text; a line that does not fit is shortened."""
    shape = LOOKS[box.layer].shape
    left, right = _insets(shape)
    if shape == "ellipse":
        block = min(_text_width(box), width * _ellipse_share(height))
        left = right = (width - block) / 2
    room = width - left - right + _TOLERANCE
    top = y + _PADDING + (CAP - 3 if shape == "cylinder" else 0)
    lines = [Line(fit_middle(box.label, NAME_SIZE, room), x + left, top + 12, NAME_SIZE, "name")]
    detail = fit_end(box.detail, SMALL_SIZE, room)
    lines.append(Line(detail, x + left, top + _NAME_HEIGHT + 11, SMALL_SIZE, "detail"))
    if box.badge:
        text = fit_end(box.badge.text, SMALL_SIZE, room - ICON_ROOM)
        below = top + _NAME_HEIGHT + _SMALL_HEIGHT + 11
        lines.append(Line(text, x + left + ICON_ROOM, below, SMALL_SIZE, "status"))
    return PlacedBox(box, shape, Rect(x, y, width, height), tuple(lines))


def _insets(shape: str) -> tuple[float, float]:
    return (SKEW + 8, SKEW + 4) if shape == "parallelogram" else (13.0, 11.0)


def _ellipse_share(height: float) -> float:
    """Share of an ellipse's width that a block of text as high as the box's may take."""
    return sqrt(1 - ((height - 2 * _PADDING - 4) / height) ** 2)


def _text_width(box: Box) -> float:
    status = ICON_ROOM + text_width(box.badge.text, SMALL_SIZE) if box.badge else 0.0
    return max(text_width(box.label, NAME_SIZE), text_width(box.detail, SMALL_SIZE), status)
