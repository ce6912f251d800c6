"""From what the readers have found to the one graph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from headwater.core.graph import Edge, Graph, Role, dataset_of
from headwater.core.layers import arrow_label
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.core.dataset import Dataset
    from headwater.project.readers import Declared


def build_graph(found: Sequence[Declared], datasets: Mapping[str, Dataset], errors: list[ProjectError]) -> Graph:
    """Connect datasets; inputs that hold no rows and cycles are added to `errors` and left out of the graph."""
    nodes = {node.name: node for one in found for node in one.nodes}
    last = {one.dataset.name: one.nodes[-1].name for one in found}
    pairs = [(up.name, down.name) for one in found for up, down in pairwise(one.nodes)]
    for one in found:
        for reference in one.references:
            if reference.name not in last:
                continue  # told where names are resolved
            if reference.name in datasets or one.dataset.role is Role.SCORE:
                pairs.append((last[reference.name], one.nodes[0].name))
            else:
                what = f"{one.dataset.name} reads {reference.name}, which makes files and holds no rows"
                errors.append(ProjectError.at(reference.location, what, "read what it reads"))
    edges = [Edge(up, down, arrow_label(nodes[up].family, nodes[down].family)) for up, down in pairs]
    graph = Graph(nodes.values(), edges)
    if cycle := graph.find_cycle():
        names = list(dict.fromkeys(dataset_of(name) for name in reversed(cycle)))
        what = f"a cycle: {' reads '.join([*names, names[0]])}"
        errors.append(ProjectError.at(datasets[names[0]].location, what, "one of these models must not read the next"))
        return Graph(nodes.values(), [])
    return graph
