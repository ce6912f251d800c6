"""The neutral copy of a graph that every format is drawn from: boxes and arrows of one level, no positions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from headwater.core.graph import Edge, Graph, Mode, Node, Role
from headwater.core.layers import Family, Layer, arrow_label
from headwater.diagram.metrics import clean
from headwater.diagram.status import Badge, NodeStatus, badge_of, count_of, describe_status, summary_badge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


LEVELS = ("architecture", "domains", "datasets")
"""What a box stands for: a family, a family of a domain, a node."""


def node_id(name: str) -> str:
    """Return the id of a node's element: another for every name, safe in XML, in a URL and in Graphviz.

    Letters, digits, dots and underscores stay, `/` becomes `--`, any other character its code between dashes.
    """
    return "n-" + re.sub(r"[^A-Za-z0-9._]", lambda m: "--" if m[0] == "/" else f"-{ord(m[0]):x}-", name)


class Direction(StrEnum):
    """Where an arrow leads, seen from the layers."""

    FORWARD = "forward"
    WITHIN = "within"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a picture.

    Attributes:
        id: Unique in the picture: a node's name, a family's id, or both of a domain and a family.
        name: What it is called in a sentence.
        label: First line.
        detail: Second line.
        layer: The layer it stands in.
        dataset: What it is about: boxes of the same dataset stand side by side.
        order: Sort key of the dataset within its domain; depends on nothing but the dataset itself.
        rank: Place among the boxes of the same dataset.
        domain: The domain that owns it.
        badge: Its status, or None when no results were given for it.
        title: Everything about it in one line.
    """

    id: str
    name: str
    label: str
    detail: str
    layer: Layer
    dataset: str
    order: tuple[bool, str, str]
    rank: int
    domain: str
    badge: Badge | None
    title: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow between two boxes, by their ids."""

    upstream: str
    downstream: str
    label: str
    direction: Direction
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: boxes by layer in the order of layers, arrows in a stable order.

    `with_status` tells whether results were given, so that every box leaves room for them.
    """

    level: str
    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    with_status: bool

    def in_layer(self, layer: Layer) -> list[Box]:
        """Return the boxes of one layer."""
        return [box for box in self.boxes if box.layer is layer]

    def pointing(self, direction: Direction) -> list[Arrow]:
        """Return the arrows of one direction."""
        return [arrow for arrow in self.arrows if arrow.direction is direction]

    @property
    def drawn(self) -> list[Arrow]:
        """The arrows that are drawn; at the top level only forward ones, the others are listed in the text form."""
        forward_only = self.level == "architecture"
        return [
            arrow
            for arrow in self.arrows
            if arrow.upstream != arrow.downstream and (arrow.direction is Direction.FORWARD or not forward_only)
        ]

    @property
    def summary(self) -> str:
        """The picture in one sentence: how many boxes and arrows, and how many boxes have which status."""
        words = [count_of(len(self.boxes), "node"), count_of(len(self.drawn), "arrow")]
        counts: dict[str, int] = {}
        for box in self.boxes:
            if box.badge:
                counts[box.badge.word] = counts.get(box.badge.word, 0) + 1
        return ", ".join([*words, *(f"{number:,} {word}" for word, number in sorted(counts.items()))])


_LAYERS = tuple(Layer)
_ROLES = tuple(Role)
_FAMILIES = tuple(Family)
_INGESTED = frozenset({Role.SOURCE, Role.EXTRACT, Role.LOAD})


def copy_graph(graph: Graph, level: str, results: Mapping[str, NodeStatus] | None, title: str) -> Picture:
    """Copy what one level shows of a graph.

    Args:
        graph: The graph.
        level: "architecture" (a box per family), "domains" (per family and domain) or "datasets" (per node).
        results: Status by node name; None when nothing is known of any run.
        title: Heading of the picture.
    """
    if level == "datasets":
        boxes, box_of = _node_boxes(graph, results or {}), {name: name for name in graph.nodes}
    else:
        box_of = {node.name: group_id(node, level) for node in graph.nodes.values()}
        boxes = _group_boxes(graph, level, box_of, results or {})
    boxes.sort(key=sort_key)
    place = {box.id: index for index, box in enumerate(boxes)}
    arrows = _arrows(graph, box_of, datasets=level == "datasets")
    arrows.sort(key=lambda arrow: (place[arrow.upstream], place[arrow.downstream]))
    return Picture(level, clean(title), tuple(boxes), tuple(arrows), results is not None)


def sort_key(box: Box) -> tuple[object, ...]:
    """Key that orders the boxes of a picture: the root domain first, then each by what is its own."""
    return (_LAYERS.index(box.layer), *dataset_key(box), box.rank, box.id)


def dataset_key(box: Box) -> tuple[bool, str, tuple[bool, str, str], str]:
    """Key that orders the datasets of a picture: the root domain first, then each by what is its own."""
    return (box.domain != "main", box.domain, box.order, box.dataset)


# ---------------------------------------------------------------------------------------------------------- boxes


def _node_boxes(graph: Graph, results: Mapping[str, NodeStatus]) -> list[Box]:
    """One box per node; datasets that come from a source stand above those that a model makes."""
    ingested = {node.dataset for node in graph.nodes.values() if node.role in _INGESTED}
    boxes = []
    for node in graph.nodes.values():
        namespace, _, rest = node.dataset.partition(".")
        status = results.get(node.name)
        boxes.append(
            Box(
                id=node.name,
                name=clean(node.name),
                label=clean(node.dataset),
                detail=_detail(node),
                layer=node.layer,
                dataset=node.dataset,
                order=(node.dataset not in ingested, namespace, rest),
                rank=_ROLES.index(node.role),
                domain=node.domain,
                badge=badge_of(status) if status else None,
                title=_title(node, status),
            )
        )
    return boxes


def _detail(node: Node) -> str:
    kind = clean(node.kind)
    if node.role in (Role.SOURCE, Role.DATASET, Role.CONSUMER):
        return kind
    return node.role.value if kind in ("", node.role.value) else f"{node.role.value} · {kind}"


def _title(node: Node, status: NodeStatus | None) -> str:
    domain = f"domain {node.domain}" if node.domain != "main" else ""
    parts = [clean(node.name), clean(node.kind), node.family.label, clean(domain)]
    said = ", ".join(part for part in parts if part)
    return f"{said}: {describe_status(status)}" if status else said


def group_id(node: Node, level: str) -> str:
    """Return the id of the box that stands for a node at a level above datasets."""
    return node.family.value if level == "architecture" else f"{node.domain}/{node.family.value}"


def _group_boxes(graph: Graph, level: str, box_of: Mapping[str, str], results: Mapping[str, NodeStatus]) -> list[Box]:
    members: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        members.setdefault(box_of[node.name], []).append(node)
    return [_group_box(group, level, nodes, results) for group, nodes in members.items()]


def _group_box(group: str, level: str, nodes: list[Node], results: Mapping[str, NodeStatus]) -> Box:
    first = nodes[0]
    badge = summary_badge(results[node.name] for node in nodes if node.name in results)
    domain = "main" if level == "architecture" else first.domain
    detail = count_of(len(nodes), "node")
    owner = [] if domain == "main" else [f"domain {clean(domain)}"]
    name = ", ".join([first.family.label, *owner])
    said = f"{name}, {detail}"
    return Box(
        id=group,
        name=name,
        label=first.family.label,
        detail=detail,
        layer=first.layer,
        dataset=domain,
        order=(False, "", ""),
        rank=_FAMILIES.index(first.family),
        domain=domain,
        badge=badge,
        title=f"{said}: {badge.text}" if badge else said,
    )


# --------------------------------------------------------------------------------------------------------- arrows


def _arrows(graph: Graph, box_of: Mapping[str, str], *, datasets: bool) -> list[Arrow]:
    """One arrow per pair of boxes; what a box passes on to itself is no arrow, but for a family at the top level."""
    found: dict[tuple[str, str], Arrow] = {}
    label_of: Callable[[Edge], str] = (lambda edge: clean(edge.label)) if datasets else (lambda e: _label(graph, e))
    for edge in sorted(graph.edges, key=lambda e: (e.upstream, e.downstream, e.label, e.mode)):
        pair = (box_of[edge.upstream], box_of[edge.downstream])
        before = found.get(pair)
        stream = edge.mode is Mode.STREAM or (before is not None and before.stream)
        label = before.label if before else label_of(edge)
        found[pair] = Arrow(*pair, label, _direction(graph, edge), stream)
    return list(found.values())


def _label(graph: Graph, edge: Edge) -> str:
    return arrow_label(_family(graph, edge.upstream), _family(graph, edge.downstream))


def _family(graph: Graph, name: str) -> Family:
    return graph.nodes[name].family


def _direction(graph: Graph, edge: Edge) -> Direction:
    up, down = (_LAYERS.index(graph.nodes[name].layer) for name in (edge.upstream, edge.downstream))
    if up == down:
        return Direction.WITHIN
    return Direction.FORWARD if up < down else Direction.RETURN
