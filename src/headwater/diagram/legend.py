"""The title above a picture and the legend below it: what the arrows and the icons that occur in it mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.diagram.geometry import ICON_ROOM, MARGIN, SMALL_SIZE, TITLE_SIZE, Line, Sample
from headwater.diagram.metrics import fit_end, text_width
from headwater.diagram.picture import Direction
from headwater.diagram.status import SYMBOLS

if TYPE_CHECKING:
    from headwater.diagram.picture import Picture

TITLE_HEIGHT = 40.0
_ROW, _ARROW_ROOM, _SPACING = 20.0, 38.0, 22.0
_MEANINGS = {
    Direction.FORWARD: "data flows forward",
    Direction.WITHIN: "within a layer",
    Direction.RETURN: "a stored table is read again",
}
_STREAM = "stream"


def place_title(picture: Picture, width: float) -> Line | None:
    """Return the title's line, or None when there is no title."""
    if not picture.title:
        return None
    text = fit_end(picture.title, TITLE_SIZE, width - 2 * MARGIN)
    return Line(text, MARGIN, MARGIN + 16, TITLE_SIZE, "title")


def place_legend(picture: Picture, width: float, top: float) -> tuple[tuple[Sample, ...], float]:
    """Place the legend below `top`; return its entries and the y where it ends."""
    x, y = MARGIN, top + _ROW / 2
    samples = []
    for kind, text, is_status in _entries(picture):
        room = ICON_ROOM if is_status else _ARROW_ROOM
        end = x + room + text_width(text, SMALL_SIZE)
        if end > width - MARGIN and x > MARGIN:
            x, y = MARGIN, y + _ROW
            end = x + room + text_width(text, SMALL_SIZE)
        samples.append(Sample(kind, is_status, x, y, Line(text, x + room, y + 4, SMALL_SIZE, "legend")))
        x = end + _SPACING
    return tuple(samples), y + _ROW / 2


def _entries(picture: Picture) -> list[tuple[str, str, bool]]:
    directions = {arrow.direction for arrow in picture.drawn}
    entries = [(kind.value, _MEANINGS[kind], False) for kind in Direction if kind in directions]
    if any(arrow.stream for arrow in picture.drawn):
        entries.append((_STREAM, _STREAM, False))
    words = {box.badge.word for box in picture.boxes if box.badge}
    return entries + [(word, "never run" if word == "never" else word, True) for word in SYMBOLS if word in words]
