"""One graph, drawn at a level in a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from headwater.core.near import suggest
from headwater.diagram.dot import write_dot
from headwater.diagram.html import write_html
from headwater.diagram.lanes import place_in_lanes
from headwater.diagram.mermaid import write_mermaid
from headwater.diagram.picture import LEVELS, Picture, copy_graph
from headwater.diagram.png import write_png
from headwater.diagram.svg import write_svg
from headwater.diagram.text import write_text
from headwater.diagram.tiers import place_in_tiers
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.core.graph import Graph
    from headwater.diagram.geometry import PictureLayout
    from headwater.diagram.status import NodeStatus

_WRITERS: dict[str, Callable[[Picture], str | bytes]] = {
    "svg": lambda picture: write_svg(_place(picture)),
    "dot": write_dot,
    "mermaid": write_mermaid,
    "text": write_text,
    "png": lambda picture: write_png(write_svg(_place(picture), dark=False)),
}

FORMATS = (*_WRITERS, "html")
"""The formats: an SVG document, Graphviz, Mermaid, plain text, a picture in pixels, and a page to walk through."""


@overload
def draw(
    graph: Graph,
    *,
    level: str = "datasets",
    format: Literal["svg", "dot", "mermaid", "text", "html"] = "svg",
    results: Mapping[str, NodeStatus] | None = None,
    title: str = "",
    datasets: Mapping[str, Any] | None = None,
) -> str: ...


@overload
def draw(
    graph: Graph,
    *,
    level: str = "datasets",
    format: Literal["png"],
    results: Mapping[str, NodeStatus] | None = None,
    title: str = "",
    datasets: Mapping[str, Any] | None = None,
) -> bytes: ...


@overload
def draw(
    graph: Graph,
    *,
    level: str = "datasets",
    format: str,
    results: Mapping[str, NodeStatus] | None = None,
    title: str = "",
    datasets: Mapping[str, Any] | None = None,
) -> str | bytes: ...


def draw(
    graph: Graph,
    *,
    level: str = "datasets",
    format: str = "svg",
    results: Mapping[str, NodeStatus] | None = None,
    title: str = "",
    datasets: Mapping[str, Any] | None = None,
) -> str | bytes:
    """Draw a graph.

    Args:
        graph: The graph that is also planned and run.
        level: One of `LEVELS`; a page has all, and shows this one first.
        format: One of `FORMATS`.
        results: What is known of nodes, by node name. A node that is not in it is drawn without a status: a dataset
            does not take the status of the node that writes it, for after a failure it still holds its last version.
        title: Heading of the drawing.
        datasets: For html: what is known of each dataset, as `html_data.describe_datasets` gives it.

    Returns:
        The drawing: bytes for png, else text.

    Raises:
        HeadwaterError: No such level or format; or the format is png and the extra `charts` is not installed.
    """
    _expect("level", level, LEVELS)
    _expect("format", format, FORMATS)
    if format == "html":
        return write_html(graph, level=level, results=results, title=title, datasets=datasets)
    return _WRITERS[format](copy_graph(graph, level, results, title))


def _place(picture: Picture) -> PictureLayout:
    return place_in_tiers(picture) if picture.level == "architecture" else place_in_lanes(picture)


def _expect(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise HeadwaterError(f"unknown {what} of a drawing: {word!r}", fix=suggest(word, known))
