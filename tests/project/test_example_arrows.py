"""The example draws the reference picture without streams and applications; what is not declared is not drawn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from headwater.core.graph import Graph
from headwater.diagram import draw
from headwater.errors import ProjectErrors
from headwater.project.loader import load_project

EXAMPLE = Path(__file__).parents[2] / "examples" / "nycflights"
ARROWS = {
    "A1-B", "A2-B", "A4-B", "B-C", "C-D1", "C-D2", "C-D3", "C-D4", "D1-E2", "D2-E1", "D3-E1",
}  # fmt: skip


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WEATHER_URL", "REGISTRY_DSN"):
        monkeypatch.setenv(name, "http://127.0.0.1:1" if name == "WEATHER_URL" else "postgresql://u@127.0.0.1:1/d")
    ignored = shutil.ignore_patterns("data", ".headwater", "__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored))


def arrows(graph: Graph) -> set[str]:
    found = re.findall(
        r"^\t(\w+) -> (\w+) \[label=", str(draw(graph, level="architecture", format="dot")), re.MULTILINE
    )
    return {f"{tail}-{head}" for tail, head in found}


def without(folder: Path, *removed: str) -> Graph:
    """Remove files, and then what cannot be without them, until the project loads."""
    for pattern in removed:
        files = [*folder.glob(pattern)]
        assert files, pattern
        for file in files:
            file.unlink()
    while True:
        try:
            return load_project(folder, "").graph
        except ProjectErrors as broken:
            for path in {error.path for error in broken.errors}:
                (folder / path).unlink()


def test_the_example_has_exactly_these_arrows(example: Path) -> None:
    assert arrows(load_project(example, "").graph) == ARROWS


@pytest.mark.parametrize(
    ("removed", "gone"),
    [
        (("sources/registry.yaml", "sources/reference.yaml"), {"A1-B", "D2-E1", "D3-E1"}),  # the page names airlines
        (("sources/weather.yaml",), {"A2-B", "C-D4"}),  # the port's rows have the weather in them
        (("products/*.yaml",), {"C-D4"}),
        (("ml/*.yaml",), {"D1-E2", "D2-E1", "D3-E1"}),  # the page shows its scores
        (("dashboards/*.md",), {"D2-E1", "D3-E1"}),
    ],
)
def test_a_declaration_that_is_removed_takes_its_arrow_with_it(
    example: Path, removed: tuple[str, ...], gone: set[str]
) -> None:
    assert ARROWS - arrows(without(example, *removed)) == gone
