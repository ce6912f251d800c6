"""The drawing in pixels: our own SVG through vl-convert, which brings its own fonts and needs no browser."""

from __future__ import annotations

from headwater.errors import HeadwaterError

_SCALE = 2.0
"""Pixels per unit of length: sharp on screens of high density."""


def write_png(svg: str) -> bytes:
    """Turn an SVG document into a PNG.

    Raises:
        HeadwaterError: The extra `charts` is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise HeadwaterError(
            "drawing a png needs the package vl-convert-python", fix="pip install 'headwater[charts]'"
        ) from error
    return bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
