"""The reference picture's shapes and the icons of the statuses, as SVG elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.diagram.geometry import CAP, SKEW

if TYPE_CHECKING:
    from headwater.diagram.geometry import Rect

ICONS = {
    "done": "M1.5 5.5 L4 8 L8.5 2.2",
    "unchanged": "M1.5 3.4 H8.5 M1.5 6.6 H8.5",
    "skipped": "M1.5 5 H8.5",
    "failed": "M2 2 L8 8 M8 2 L2 8",
    "blocked": "M3.2 1.8 V8.2 M6.8 1.8 V8.2",
    "stopped": "M2.2 2.2 H7.8 V7.8 H2.2 Z",
    "stale": "M5 1 A4 4 0 1 1 4.99 1 Z M5 2.8 V5.2 L6.6 6.2",
    "never": "M5 1.6 A3.4 3.4 0 1 1 4.99 1.6 Z",
}
"""Icons by status word, drawn in a square of ten: shapes that differ without any colour."""


def number(value: float) -> str:
    """Write a length with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def draw_icon(word: str, x: float, y: float) -> str:
    """Return a status's icon, its square's top left corner at x, y."""
    return f'<path class="icon icon-{word}" transform="translate({number(x)} {number(y)})" d="{ICONS[word]}"/>'


def draw_shape(shape: str, rect: Rect) -> str:
    """Return a shape (a Graphviz name) that fills a rectangle."""
    if shape == "parallelogram":
        corners = [
            (rect.x + SKEW, rect.y),
            (rect.right, rect.y),
            (rect.right - SKEW, rect.bottom),
            (rect.x, rect.bottom),
        ]
        return f'<polygon class="shape" points="{" ".join(f"{number(x)},{number(y)}" for x, y in corners)}"/>'
    if shape == "ellipse":
        x, y = rect.centre
        radii = f'rx="{number(rect.width / 2)}" ry="{number(rect.height / 2)}"'
        return f'<ellipse class="shape" cx="{number(x)}" cy="{number(y)}" {radii}/>'
    if shape == "cylinder":
        return _draw_cylinder(rect)
    place = f'x="{number(rect.x)}" y="{number(rect.y)}"'
    return f'<rect class="shape" {place} width="{number(rect.width)}" height="{number(rect.height)}" rx="3"/>'


def _draw_cylinder(rect: Rect) -> str:
    half = number(rect.width / 2)
    left, right = number(rect.x), number(rect.right)
    top, bottom = number(rect.y + CAP), number(rect.bottom - CAP)
    lid = f"A{half} {number(CAP)} 0 0"
    body = f"M{left} {top} {lid} 1 {right} {top} V{bottom} {lid} 1 {left} {bottom} Z"
    return f'<path class="shape" d="{body}"/><path class="shape rim" d="M{left} {top} {lid} 0 {right} {top}"/>'
