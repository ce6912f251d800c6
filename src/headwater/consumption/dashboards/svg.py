"""A drawn chart as it stands in the page: known elements and attributes only, nothing that loads, runs or links."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.vega import VARIABLES
from headwater.core.texts import visible
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_MAX_DEPTH = 100

_ELEMENTS = frozenset({
    "svg", "g", "path", "text", "tspan", "rect", "line", "circle", "ellipse", "polygon", "polyline", "defs",
    "clipPath", "linearGradient", "radialGradient", "stop",
})  # fmt: skip

_ATTRIBUTES = frozenset({
    "transform", "d",
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray",
    "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity", "x", "y", "x1", "x2",
    "y1", "y2", "dx", "dy", "cx", "cy", "r", "rx", "ry", "fx", "fy", "fr", "width", "height", "points", "text-anchor",
    "dominant-baseline", "font-size", "font-weight", "font-style", "clip-path", "id", "offset", "stop-color",
    "stop-opacity", "gradientUnits", "gradientTransform", "viewBox",
})  # fmt: skip
"""What is kept; names of classes, fonts and what screen readers are told inside a drawing are left out."""

_NOTHING = frozenset({("opacity", "1"), ("transform", "translate(0,0)"), ("x2", "0"), ("y2", "0")})
"""What says what is so anyway."""

_FINE = re.compile(r"(\.[0-9]{2})[0-9]+")
"""Digits of places beyond a hundredth of a pixel."""

_DANGEROUS = re.compile(r"on|.*href$|.*src$|style$", re.IGNORECASE)
_OWN = re.compile(r"url\((['\"]?)#([\w-]+)\1\)")
_ACTIVE = re.compile(r"url\s*\(|script:|data:|@import|expression\s*\(|[\\<]", re.IGNORECASE)


def clean_svg(text: str, prefix: str, label: str) -> str:
    """Return a drawing as an element of the page.

    Args:
        text: The SVG document.
        prefix: What its ids begin with, unique in the page.
        label: What it shows, for those who do not see it.

    Raises:
        HeadwaterError: It is no SVG, or it holds what no drawing of ours does.
    """
    from xml.etree import ElementTree

    if re.search(r"<[!?]", re.sub(r"\A\s*<\?xml [^<>]*\?>", "", text)):
        raise HeadwaterError("the drawing holds a declaration, a comment or an instruction")
    try:
        root = ElementTree.fromstring(text)  # without declarations there are no entities to unfold
    except ElementTree.ParseError as error:
        raise HeadwaterError(f"the drawing is no SVG: {error}") from None
    if root.tag != f"{_NAMESPACE}svg" or not re.fullmatch(r"[-0-9. ]+", root.get("viewBox", "")):
        raise HeadwaterError("the drawing is no SVG with a viewBox")
    _, _, width, height = (root.get("viewBox", "").split() + ["0"] * 4)[:4]
    inner = "".join(piece for child in root for piece in _write(child, prefix, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(visible(label, one_line=True))}" '
        f'width="{width}" height="{height}" viewBox="{root.get("viewBox", "")}">{inner}</svg>'
    )


def _write(element: Element, prefix: str, depth: int) -> Iterator[str]:
    name = str(element.tag).removeprefix(_NAMESPACE)
    if name not in _ELEMENTS:
        raise HeadwaterError(f"the drawing holds <{visible(name, one_line=True)[:40]}>, which no page of ours has")
    if depth > _MAX_DEPTH:
        raise HeadwaterError("the drawing is nested too deeply")
    if name == "path" and element.get("d", "") in ("", "M0,0h0v0h0Z"):
        return
    attributes = _attributes(element, prefix)
    if element.text and name in ("text", "tspan"):
        inner = [escape(visible(element.text, one_line=True), quote=False)]
    else:
        inner = []
    for child in element:
        inner += _write(child, prefix, depth + 1)
        if name in ("text", "tspan") and child.tail:
            inner.append(escape(visible(child.tail, one_line=True), quote=False))
    if name == "g" and not (attributes and inner):
        yield from inner
    elif inner:
        yield f"<{name}{attributes}>{''.join(inner)}</{name}>"
    elif name not in ("text", "tspan", "defs"):
        yield f"<{name}{attributes}/>"


def _attributes(element: Element, prefix: str) -> str:
    written = []
    for name, value in element.attrib.items():
        if _DANGEROUS.match(name.rpartition("}")[2]) and name != "style":
            raise HeadwaterError(
                f"the drawing has an attribute {visible(name, one_line=True)[:40]}, which runs or loads"
            )
        if name not in _ATTRIBUTES or (name, value) in _NOTHING:
            continue
        if name == "id":
            value = prefix + re.sub(r"[^\w-]", "-", value)
        elif own := _OWN.fullmatch(value.strip()):
            value = f"url(#{prefix}{own[2]})"
        elif _ACTIVE.search(value):
            raise HeadwaterError(f"the drawing's {name} reaches outside of it")
        value = _FINE.sub(r"\1", value) if name == "d" or value.startswith("translate") else VARIABLES.get(value, value)
        written.append(f' {name}="{escape(value)}"')
    return "".join(written)
