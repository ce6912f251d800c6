"""The drawing for Graphviz. At the top level it is the reference picture itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.layers import LOOKS, Layer
from headwater.diagram.picture import Box, Direction, node_id
from headwater.diagram.status import SYMBOLS

if TYPE_CHECKING:
    from headwater.diagram.picture import Arrow, Picture


def write_dot(picture: Picture) -> str:
    """Write a picture in Graphviz's language.

    The architecture goes from top to bottom, its nodes have the families' ids and nothing but what the reference
    picture has. Every other level goes from left to right with a cluster per layer.
    """
    from graphviz import Digraph  # type: ignore[import-untyped]  # the package has no type hints

    if picture.level == "architecture":
        graph = Digraph(graph_attr={"rankdir": "TB"})
        for box in picture.boxes:
            graph.node(box.id, **_node(box))
        for arrow in picture.drawn:
            graph.edge(arrow.upstream, arrow.downstream, label=_plain(_escape(arrow.label)))
        return str(graph.source)
    title = {"label": _plain(_escape(picture.title)), "labelloc": "t"} if picture.title else {}
    graph = Digraph(graph_attr={"rankdir": "LR", **title})
    for layer in Layer:
        if boxes := picture.in_layer(layer):
            with graph.subgraph(name=f"cluster_{layer}", graph_attr={"label": layer.heading}) as cluster:
                _fill(cluster, boxes)
    for arrow in picture.drawn:
        graph.edge(node_id(arrow.upstream), node_id(arrow.downstream), **_edge(arrow))
    return str(graph.source)


def _fill(cluster: Any, boxes: list[Box]) -> None:
    for box in boxes:
        attributes = _node(box)
        lines = [box.label, box.detail, *([_status(box)] if box.badge else [])]
        attributes["label"] = _plain(r"\n".join(_escape(line) for line in lines if line))
        if box.badge and box.badge.word == "failed":
            attributes["style"] = "filled,dashed"
        cluster.node(node_id(box.id), tooltip=_plain(_escape(box.title)), **attributes)


def _node(box: Box) -> dict[str, str]:
    look = LOOKS[box.layer]
    return {"label": _plain(_escape(box.label)), "shape": look.shape, "style": "filled", "fillcolor": look.fill}


def _status(box: Box) -> str:
    return f"{SYMBOLS[box.badge.word]} {box.badge.text}" if box.badge else ""


def _edge(arrow: Arrow) -> dict[str, Any]:
    attributes: dict[str, Any] = {"tooltip": _plain(_escape(arrow.label))} if arrow.label else {}
    if arrow.direction is not Direction.FORWARD:
        attributes |= {"style": "dashed" if arrow.direction is Direction.RETURN else "dotted", "constraint": "false"}
    if arrow.stream:
        attributes["penwidth"] = "3"
    return attributes


def _escape(text: str) -> str:
    """Let a text stand for itself: a backslash begins no escape sequence."""
    return text.replace("\\", "\\\\")


def _plain(text: str) -> str:
    """Keep a text between `<` and `>` from being read as HTML."""
    from graphviz import nohtml

    plain: str = nohtml(text)
    return plain
