"""Selecting nodes the way dbt does: `2+name+1`, space is or, comma is and, `tag:`, `source:`, `path:` and others."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from headwater.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headwater.core.graph import Graph, Node

METHODS = ("tag", "source", "layer", "domain", "path", "state")
_TERM = re.compile(r"^(?P<up>(?P<up_hops>\d*)\+)?(?P<body>[^+]+?)(?P<down>\+(?P<down_hops>\d*))?$")


def select_datasets(graph: Graph, terms: Iterable[str], modified: Callable[[str], bool]) -> set[str]:
    """Return the datasets that selection terms name.

    Args:
        graph: The graph.
        terms: Terms as given on the command line; each may hold several separated by spaces (or) and commas (and).
        modified: Tells whether a dataset's declaration differs from what its last commit was made from.

    Raises:
        PlanError: A term is not understood or selects nothing.
    """
    chosen: set[str] = set()
    for term in (part for text in terms for part in text.split()):
        sets = [_select_one(graph, piece, modified) for piece in term.split(",")]
        found = set.intersection(*sets)
        if not found:
            raise PlanError(f"{term!r} selects nothing", fix=_hint(graph, term))
        chosen |= found
    return chosen


def _select_one(graph: Graph, term: str, modified: Callable[[str], bool]) -> set[str]:
    match = _TERM.match(term)
    if not match:
        raise PlanError(
            f"{term!r} is not a selection", fix="write a name, +name, name+, 2+name, tag:x, source:x, path:x"
        )
    start = {node.name for node in graph.nodes.values() if _matches(node, match["body"], modified)}
    found = set(start)
    if match["up"]:
        found |= _datasets_away(graph, start, match["up_hops"], up=True)
    if match["down"]:
        found |= _datasets_away(graph, start, match["down_hops"], up=False)
    return {graph.nodes[name].dataset for name in found}


def _datasets_away(graph: Graph, start: set[str], hops: str, *, up: bool) -> set[str]:
    """Walk the graph in whole datasets: one hop is one dataset, however many nodes it has."""
    neighbours = graph.upstream if up else graph.downstream
    seen = {graph.nodes[name].dataset for name in start}
    members: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        members.setdefault(node.dataset, []).append(node.name)
    edge, result = set(seen), set(seen)
    left = int(hops) if hops else -1
    while edge and left != 0:
        left -= 1
        reached = {graph.nodes[n].dataset for dataset in edge for name in members[dataset] for n in neighbours(name)}
        edge = reached - result
        result |= edge
    return {name for dataset in result for name in members[dataset]}


def _matches(node: Node, body: str, modified: Callable[[str], bool]) -> bool:
    method, _, value = body.partition(":")
    if not value:
        return fnmatch.fnmatchcase(node.dataset, body) or fnmatch.fnmatchcase(node.dataset.partition(".")[2], body)
    if method == "tag":
        return value in getattr(getattr(node.spec, "ingest", getattr(node.spec, "spec", None)), "tags", ())
    if method == "source":
        return value in (node.dataset, node.dataset.partition(".")[0]) and hasattr(node.spec, "ingest")
    if method == "layer":
        return node.layer.value == value
    if method == "domain":
        return node.domain == value
    if method == "path":
        return node.location.path == value or node.location.path.startswith(f"{value.rstrip('/')}/")
    if method == "state" and value == "modified":
        return modified(node.dataset)
    raise PlanError(f"{body!r} is not a selection", fix=f"known: {', '.join(f'{name}:' for name in METHODS)}")


def _hint(graph: Graph, term: str) -> str:
    import difflib

    datasets = sorted({node.dataset for node in graph.nodes.values()})
    near = difflib.get_close_matches(term.strip("+0123456789"), datasets, 1)
    return f"did you mean {near[0]!r}?" if near else "`headwater plan` lists the names"
