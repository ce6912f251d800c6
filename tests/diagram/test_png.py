"""The drawing in pixels."""

from __future__ import annotations

import re
import struct
import sys

import pytest

from headwater.diagram import draw
from headwater.errors import HeadwaterError

from .graphs import shop_graph, shop_results


def test_a_png_has_twice_the_size_of_the_svg() -> None:
    png = draw(shop_graph(), format="png", results=shop_results(), title="shop")
    assert isinstance(png, bytes)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    svg = draw(shop_graph(), results=shop_results(), title="shop")
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    assert size
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == pytest.approx((2 * float(size[1]), 2 * float(size[2])), abs=2)
    assert len(png) > 20_000  # an empty sheet of this size is a few kilobytes


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(HeadwaterError) as caught:
        draw(shop_graph(), format="png")
    assert caught.value.fix == "pip install 'headwater[charts]'"
    assert "vl-convert-python" in caught.value.what
