"""From declarations to datasets and the one graph: four nodes for a source's table, two for a model, one for a view."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from headwater.core.dataset import Dataset
from headwater.core.graph import Edge, Graph, Node, Role, node_name
from headwater.core.layers import Family, arrow_label
from headwater.errors import ProjectError
from headwater.plugins import load_source, load_store
from headwater.project.validate import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headwater.core.project import Model, SourceTable
    from headwater.core.stores import DeclaredStore


def table_dataset(table: SourceTable) -> Dataset:
    """Return the dataset of a source's table."""
    return Dataset(table, table.kind, Role.LOAD, table.ingest.into, origin=f"{table.source} ({table.kind})")


def model_dataset(model: Model, default_store: str) -> Dataset:
    """Return the dataset of a model; a view is stored nowhere."""
    store = "" if model.is_view else (model.spec.store or default_store)
    return Dataset(model, model.spec.materialize, Role.TRANSFORM, store, model.inputs)


def build_graph(
    tables: Iterable[SourceTable], models: Iterable[Model], datasets: Mapping[str, Dataset],
    stores: Mapping[str, DeclaredStore], errors: list[ProjectError], broken: Collection[str] = (),
) -> Graph:  # fmt: skip
    """Connect datasets; unknown inputs and cycles are added to `errors` and left out of the graph.

    A dataset whose name or namespace is among `broken` is declared, only not rightly: its readers are not to blame.
    """
    nodes: dict[str, Node] = {}
    pairs: list[tuple[str, str]] = []
    for table in tables:
        nodes |= {node.name: node for node in _table_nodes(table)}
        chain = [node_name(table.name, role) for role in (Role.SOURCE, Role.EXTRACT, Role.LOAD, Role.DATASET)]
        pairs += pairwise(chain)
    models = list(models)
    for model in models:
        nodes |= {node.name: node for node in _model_nodes(model, stores.get(datasets[model.name].store))}
    for model in models:
        pairs += _model_pairs(model, datasets, nodes, errors, broken)
    edges = [Edge(up, down, arrow_label(nodes[up].family, nodes[down].family)) for up, down in pairs]
    graph = Graph(nodes.values(), edges)
    if cycle := graph.find_cycle():
        names = list(dict.fromkeys(name.partition("/")[0] for name in reversed(cycle)))
        errors.append(
            ProjectError.at(
                datasets[names[0]].location,
                f"a cycle: {' reads '.join([*names, names[0]])}",
                "one of these models must not read the next",
            )
        )
        return Graph(nodes.values(), [])
    return graph


def _table_nodes(table: SourceTable) -> list[Node]:
    at, store = table.location, table.store
    return [
        Node(node_name(table.name, Role.SOURCE), load_source(table.kind).family, table.kind, Role.SOURCE, table, at),
        Node(node_name(table.name, Role.EXTRACT), Family.INGESTION, table.kind, Role.EXTRACT, table, at),
        Node(node_name(table.name, Role.LOAD), Family.PROCESSING, table.ingest.load, Role.LOAD, table, at),
        Node(table.name, load_store(store.kind).family, store.name, Role.DATASET, table, at),
    ]


def _model_nodes(model: Model, store: DeclaredStore | None) -> list[Node]:
    name = node_name(model.name, Role.TRANSFORM)
    transform = Node(name, Family.PROCESSING, model.spec.materialize, Role.TRANSFORM, model, model.location)
    if store is None:
        return [transform]
    family = load_store(store.kind).family
    return [transform, Node(model.name, family, store.name, Role.DATASET, model, model.location)]


def _model_pairs(
    model: Model,
    datasets: Mapping[str, Dataset],
    nodes: Mapping[str, Node],
    errors: list[ProjectError],
    broken: Collection[str],
) -> list[tuple[str, str]]:
    transform = node_name(model.name, Role.TRANSFORM)
    pairs = [] if model.is_view else [(transform, model.name)]
    for reference in model.references:
        upstream = datasets.get(reference.name)
        if upstream is not None:
            pairs.append((upstream.name if upstream.is_stored else upstream.writer, transform))
            continue
        if reference.name in broken or reference.name.partition(".")[0] in broken:
            continue
        at = reference.location
        errors.append(
            ProjectError(
                f"{model.name} reads {reference.name}, which nothing declares",
                fix=suggest(reference.name, datasets), path=at.path, line=at.line, column=at.column,
            )
        )  # fmt: skip
    return pairs
