"""The one entrance."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headwater.diagram import FORMATS, LEVELS, draw
from headwater.errors import HeadwaterError

from .graphs import shop_graph, shop_results


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_level_in_every_format(level: str, format: str) -> None:
    drawing = draw(shop_graph(), level=level, format=format, results=shop_results(), title="shop")
    assert isinstance(drawing, bytes if format == "png" else str)
    assert drawing
    assert drawing == draw(shop_graph(), level=level, format=format, results=shop_results(), title="shop")


def test_the_default_is_datasets_as_svg() -> None:
    assert draw(shop_graph()) == draw(shop_graph(), level="datasets", format="svg")


@pytest.mark.parametrize(
    ("level", "format", "what", "fix"),
    [
        ("dataset", "svg", "unknown level of a drawing: 'dataset'", "did you mean 'datasets'?"),
        ("rows", "svg", "unknown level of a drawing: 'rows'", "known: architecture, datasets, domains"),
        ("datasets", "pgn", "unknown format of a drawing: 'pgn'", "did you mean 'png'?"),
    ],
)
def test_an_unknown_word_is_an_error_with_the_way_out(level: str, format: str, what: str, fix: str) -> None:
    with pytest.raises(HeadwaterError) as caught:
        draw(shop_graph(), level=level, format=format)
    assert (caught.value.what, caught.value.fix) == (what, fix)


def test_importing_the_diagram_imports_nothing_heavy() -> None:
    heavy = "duckdb pyarrow deltalake sqlglot graphviz vl_convert pydantic"
    code = f"import sys, headwater.diagram; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
