"""The one graph that is loaded, planned, executed and drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headwater.core.layers import Family, Layer, arrow_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in the project's files: path relative to the project, line and column counted from 1 (0: unknown)."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.path, *(str(n) for n in (self.line, self.column) if n)])


class Role(StrEnum):
    """What a node does to the dataset it is named after."""

    SOURCE = "source"
    EXTRACT = "extract"
    LOAD = "load"
    TRANSFORM = "transform"
    PUBLISH = "publish"
    DATASET = "dataset"
    CONSUMER = "consumer"
    SCORE = "score"


class Mode(StrEnum):
    """How data flows along an edge."""

    BATCH = "batch"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph.

    Attributes:
        name: Unique in the graph: `namespace.dataset` for a dataset or consumer, `namespace.dataset/role` otherwise.
        family: Which of the 13 boxes it belongs to; given by the connector's registration.
        kind: The connector or materialization: "files", "lakehouse", "table", "view", …
        role: What it does.
        spec: The declaration behind it (a `SourceTable`, a `Model`, …); None in tests of the drawing.
        location: Where it is declared.
        domain: The domain that owns it; "main" is the root.
    """

    name: str
    family: Family
    kind: str
    role: Role
    spec: Any = field(default=None, compare=False, repr=False)
    location: Location = Location("")
    domain: str = "main"

    @property
    def layer(self) -> Layer:
        """The layer the node stands in."""
        return self.family.layer

    @property
    def dataset(self) -> str:
        """The dataset the node is about: its name without the role."""
        return dataset_of(self.name)


@dataclass(frozen=True, slots=True)
class Edge:
    """Data flowing from one node to another; `upstream` and `downstream` are node names."""

    upstream: str
    downstream: str
    label: str
    mode: Mode = Mode.BATCH


def node_name(dataset: str, role: Role) -> str:
    """Return the name of the node that plays `role` for a dataset."""
    return dataset if role in (Role.DATASET, Role.CONSUMER) else f"{dataset}/{role.value}"


def dataset_of(node: str) -> str:
    """Return the dataset that a node belongs to, by the node's name."""
    return node.partition("/")[0]


class Graph:
    """Nodes by name and the edges between them; immutable and free of cycles.

    Args:
        nodes: Nodes with unique names.
        edges: Edges whose ends are among the nodes.

    Raises:
        ValueError: Two nodes share a name, or an edge's end is not a node.
    """

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self.nodes:
                raise ValueError(f"two nodes are named {node.name}")
            self.nodes[node.name] = node
        self.edges: tuple[Edge, ...] = tuple(dict.fromkeys(edges))
        for edge in self.edges:
            for end in (edge.upstream, edge.downstream):
                if end not in self.nodes:
                    raise ValueError(f"edge {edge.upstream} -> {edge.downstream}: no node named {end}")

    @cached_property
    def _neighbours(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        up: dict[str, list[str]] = {name: [] for name in self.nodes}
        down: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            up[edge.downstream].append(edge.upstream)
            down[edge.upstream].append(edge.downstream)
        return up, down

    def upstream(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that `name` reads directly."""
        return tuple(self._neighbours[0][name])

    def downstream(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that read `name` directly."""
        return tuple(self._neighbours[1][name])

    def ancestors(self, names: Iterable[str], hops: int | None = None) -> set[str]:
        """All nodes above `names`, at most `hops` edges away; `names` themselves not included."""
        return self._walk(names, self._neighbours[0], hops)

    def descendants(self, names: Iterable[str], hops: int | None = None) -> set[str]:
        """All nodes below `names`, at most `hops` edges away; `names` themselves not included."""
        return self._walk(names, self._neighbours[1], hops)

    @staticmethod
    def _walk(names: Iterable[str], neighbours: dict[str, list[str]], hops: int | None) -> set[str]:
        start = set(names)
        seen = set(start)
        queue = deque((name, 0) for name in sorted(start))
        while queue:
            name, depth = queue.popleft()
            if hops is not None and depth >= hops:
                continue
            for other in neighbours[name]:
                if other not in seen:
                    seen.add(other)
                    queue.append((other, depth + 1))
        return seen - start

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names so that every node comes after all it reads; stable against the order of declaration.

        Raises:
            ValueError: The graph has a cycle; the message names it.
        """
        up, down = self._neighbours
        waiting = {name: len(set(ups)) for name, ups in up.items()}
        ready = deque(name for name in self.nodes if waiting[name] == 0)
        done: list[str] = []
        while ready:
            name = ready.popleft()
            done.append(name)
            for other in dict.fromkeys(down[name]):
                waiting[other] -= 1
                if waiting[other] == 0:
                    ready.append(other)
        if len(done) < len(self.nodes):
            raise ValueError("cycle: " + " -> ".join(self.find_cycle()))
        return tuple(done)

    def find_cycle(self) -> list[str]:
        """Return the names along one cycle, first name repeated at the end; empty when there is none."""
        up = self._neighbours[0]
        state: dict[str, int] = {}
        for start in self.nodes:
            path: list[str] = []
            stack: list[tuple[str, Iterator[str]]] = [(start, iter(up[start]))] if start not in state else []
            while stack:
                name, rest = stack[-1]
                if state.get(name) is None:
                    state[name] = 1
                    path.append(name)
                step = next((n for n in rest if state.get(n) != 2), None)
                if step is None:
                    state[name] = 2
                    path.pop()
                    stack.pop()
                elif state.get(step) == 1:
                    return [*reversed(path[path.index(step) :]), path[-1]]
                else:
                    stack.append((step, iter(up[step])))
        return []

    def family_edges(self) -> dict[tuple[Family, Family], str]:
        """Edges between boxes: every pair of families with an edge between their nodes, and the arrow's label."""
        pairs = {(self.nodes[e.upstream].family, self.nodes[e.downstream].family): None for e in self.edges}
        return {pair: arrow_label(*pair) for pair in pairs if pair[0] is not pair[1]}

    def families(self) -> tuple[Family, ...]:
        """The boxes that have at least one node, in the reference picture's order."""
        used = {node.family for node in self.nodes.values()}
        return tuple(family for family in Family if family in used)
