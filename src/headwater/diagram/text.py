"""The drawing in words: every node by layer, then every arrow. For terminals, diffs and screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.layers import Layer
from headwater.diagram.picture import Direction

if TYPE_CHECKING:
    from headwater.diagram.picture import Arrow, Picture

_HEADINGS = {
    Direction.FORWARD: "Forward",
    Direction.WITHIN: "Within a layer",
    Direction.RETURN: "Returns",
}


def write_text(picture: Picture) -> str:
    """Write a picture as text; arrows that the drawing leaves out are listed too."""
    names = {box.id: box.name for box in picture.boxes}
    lines = [picture.title or f"Data architecture, {picture.level}", picture.summary]
    for layer in Layer:
        lines += ["", layer.heading, *([f"  {box.title}" for box in picture.in_layer(layer)] or ["  none"])]
    for direction, heading in _HEADINGS.items():
        arrows = picture.pointing(direction)
        if arrows:
            lines += ["", heading, *(f"  {_arrow(arrow, names)}" for arrow in arrows)]
    return "\n".join(lines) + "\n"


def _arrow(arrow: Arrow, names: dict[str, str]) -> str:
    label = f": {arrow.label}" if arrow.label else ""
    return f"{names[arrow.upstream]} → {names[arrow.downstream]}{label}{' (stream)' if arrow.stream else ''}"
