"""From declarations to the one graph: four nodes for a source's table, two for a model, one for a view."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from headwater.core.graph import Edge, Graph, Node, Role, node_name
from headwater.core.layers import Family, arrow_label
from headwater.errors import ProjectError
from headwater.plugins import load_source, load_store
from headwater.project.validate import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from headwater.core.project import Model, SourceTable


def build_graph(
    sources: Mapping[str, SourceTable], models: Mapping[str, Model], store_of: Callable[[str], str],
    errors: list[ProjectError], broken: Collection[str] = (),
) -> Graph:  # fmt: skip
    """Connect sources and models; unknown inputs and cycles are added to `errors` and left out of the graph.

    A dataset whose name or namespace is among `broken` is declared, only not rightly: its readers are not to blame.
    """
    nodes: dict[str, Node] = {}
    for table in sources.values():
        for node in _source_nodes(table, store_of(table.name)):
            nodes[node.name] = node
    for model in models.values():
        for node in _model_nodes(model, store_of(model.name)):
            nodes[node.name] = node
    pairs: list[tuple[str, str]] = []
    for table in sources.values():
        chain = [node_name(table.name, role) for role in (Role.SOURCE, Role.EXTRACT, Role.LOAD, Role.DATASET)]
        pairs += pairwise(chain)
    for model in models.values():
        pairs += _model_pairs(model, models, nodes, errors, broken)
    edges = [Edge(up, down, arrow_label(nodes[up].family, nodes[down].family)) for up, down in pairs]
    graph = Graph(nodes.values(), edges)
    if cycle := graph.find_cycle():
        datasets = list(dict.fromkeys(name.partition("/")[0] for name in reversed(cycle)))
        model = models[datasets[0]]
        errors.append(
            ProjectError(
                f"a cycle: {' reads '.join([*datasets, datasets[0]])}",
                fix="one of these models must not read the next",
                path=model.location.path,
                line=model.location.line,
            )
        )
        return Graph(nodes.values(), [])
    return graph


def _source_nodes(table: SourceTable, store: str) -> list[Node]:
    at = table.location
    return [
        Node(node_name(table.name, Role.SOURCE), load_source(table.kind).family, table.kind, Role.SOURCE, table, at),
        Node(node_name(table.name, Role.EXTRACT), Family.INGESTION, table.kind, Role.EXTRACT, table, at),
        Node(node_name(table.name, Role.LOAD), Family.PROCESSING, table.ingest.load, Role.LOAD, table, at),
        Node(table.name, load_store(store).family, store, Role.DATASET, table, at),
    ]


def _model_nodes(model: Model, store: str) -> list[Node]:
    name = node_name(model.name, Role.TRANSFORM)
    transform = Node(name, Family.PROCESSING, model.spec.materialize, Role.TRANSFORM, model, model.location)
    if model.is_view:
        return [transform]
    return [transform, Node(model.name, load_store(store).family, store, Role.DATASET, model, model.location)]


def _model_pairs(
    model: Model,
    models: Mapping[str, Model],
    nodes: Mapping[str, Node],
    errors: list[ProjectError],
    broken: Collection[str],
) -> list[tuple[str, str]]:
    transform = node_name(model.name, Role.TRANSFORM)
    pairs = [] if model.is_view else [(transform, model.name)]
    for reference in model.references:
        upstream = models.get(reference.name)
        source = node_name(reference.name, Role.TRANSFORM) if upstream and upstream.is_view else reference.name
        if source in nodes:
            pairs.append((source, transform))
            continue
        if reference.name in broken or reference.name.partition(".")[0] in broken:
            continue
        datasets = [name.partition("/")[0] for name in nodes]
        at = reference.location
        errors.append(
            ProjectError(
                f"{model.name} reads {reference.name}, which nothing declares",
                fix=suggest(reference.name, datasets), path=at.path, line=at.line, column=at.column,
            )
        )  # fmt: skip
    return pairs
