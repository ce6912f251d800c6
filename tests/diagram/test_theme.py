"""Colours can be told apart: WCAG 2.2, 4.5 for text and 3 for lines and icons."""

from __future__ import annotations

import pytest

from headwater.core.layers import Layer
from headwater.diagram.status import SYMBOLS
from headwater.diagram.theme import DARK, LIGHT, Theme

NAMED = {"lightblue": "#add8e6", "lightgray": "#d3d3d3", "lightyellow": "#ffffe0", "lightgreen": "#90ee90"}
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def _luminance(colour: str) -> float:
    text = NAMED.get(colour, colour)
    parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_black_and_white() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)


@THEMES
@pytest.mark.parametrize("layer", list(Layer))
def test_text_and_icons_on_boxes(theme: Theme, layer: Layer) -> None:
    fill = theme.fills[layer]
    assert _contrast(theme.text, fill) >= 7
    assert _contrast(theme.quiet, fill) >= 4.5
    assert set(theme.statuses) == set(SYMBOLS)
    assert {word: colour for word, colour in theme.statuses.items() if _contrast(colour, fill) < 4.5} == {}


@THEMES
def test_text_borders_and_arrows_on_the_ground(theme: Theme) -> None:
    for ground in (theme.ground, theme.band):
        assert _contrast(theme.text, ground) >= 7
        assert _contrast(theme.quiet, ground) >= 4.5
        assert _contrast(theme.arrow, ground) >= 3
        assert all(_contrast(theme.strokes[layer], ground) >= 3 for layer in Layer)
        assert all(_contrast(colour, ground) >= 3 for colour in theme.statuses.values())
