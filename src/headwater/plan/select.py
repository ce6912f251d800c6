"""Selecting nodes the way dbt does: `2+name+1`, space is or, comma is and, `tag:`, `source:`, `path:` and others."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from headwater.core.near import find_near, suggest
from headwater.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headwater.core.graph import Graph, Node
    from headwater.core.project import Project

METHODS = ("tag", "source", "layer", "domain", "path", "state")
_TERM = re.compile(r"^(?P<up>(?P<up_hops>\d*)\+)?(?P<body>[^+]+?)(?P<down>\+(?P<down_hops>\d*))?$")


def select_datasets(graph: Graph, terms: Iterable[str], modified: Callable[[str], bool]) -> set[str]:
    """Return the datasets that selection terms name.

    Args:
        graph: The graph.
        terms: Terms as given on the command line; each may hold several separated by spaces (or) and commas (and).
        modified: Tells whether a dataset's declaration differs from what its last commit was made from.

    Returns:
        The datasets; none when there is nothing of the state that a term asks for (`state:modified`).

    Raises:
        PlanError: A term is empty or not understood, or there is nothing of that name.
    """
    chosen: set[str] = set()
    for text in terms:
        if not text.strip():
            raise PlanError("an empty selection", fix="name something, or leave the option out")
        for term in text.split():
            pieces = term.split(",")
            chosen |= set.intersection(*(_select_one(graph, piece, modified) for piece in pieces))
            named = [_select_one(graph, piece, _any) for piece in pieces]
            for piece, found in zip(pieces, named, strict=True):
                if not found:
                    raise PlanError(f"{piece!r} selects nothing", fix=_hint(graph, piece))
            if not set.intersection(*named):
                raise PlanError(f"{term!r} selects nothing", fix="a comma is and: nothing is all of it; a space is or")
    return chosen


def select_stored(project: Project, terms: Iterable[str]) -> list[str]:
    """Return the datasets that terms name and some store holds, sorted.

    Raises:
        PlanError: There is none.
    """
    found = select_datasets(project.graph, terms, lambda _: False)
    stored = sorted(name for name in found if project.store_of(name))
    if not found:
        raise PlanError(f"{' '.join(terms)} names no table", fix="name tables; a state cannot be asked for here")
    if not stored:
        raise PlanError(f"{' '.join(terms)} names no stored dataset", fix="a view holds no rows of its own")
    return stored


def _any(_: str) -> bool:
    return True


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
        return any(fnmatch.fnmatchcase(name, body) for name in _endings(node.dataset))
    if method == "tag":
        return value in _tags(node)
    if method == "source":
        return bool(node.spec.source) and value in (node.dataset, node.spec.source)
    if method == "layer":
        return node.layer.value == value
    if method == "domain":
        return node.domain == value
    if method == "path":
        return node.location.path == value or node.location.path.startswith(f"{value.rstrip('/')}/")
    if method == "state" and value == "modified":
        return modified(node.dataset)
    known = ", ".join(f"{name}:" for name in METHODS)
    near = find_near(method, METHODS)
    fix = "the one state is state:modified" if method == "state" else f"did you mean '{near}:'?" if near else ""
    raise PlanError(f"{body!r} is not a selection", fix=fix or f"known: {known}")


def _endings(dataset: str) -> list[str]:
    """Return a dataset's name, and what is left of it without its first parts."""
    parts = dataset.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _hint(graph: Graph, piece: str) -> str:
    """Return the nearest names of what a piece asks for: datasets, tags, sources and so on."""
    match = _TERM.match(piece)
    method, _, value = (match["body"] if match else piece).partition(":")
    if not value:
        datasets = sorted({node.dataset for node in graph.nodes.values()})
        names = [ending for name in datasets for ending in _endings(name)]
        return suggest(method, names, "`headwater status` lists the names")
    known = sorted({word for node in graph.nodes.values() for word in _words(node, method)})
    if near := find_near(value, known):
        return f"did you mean '{method}:{near}'?"
    listed = f"{', '.join(known[:20])}{', …' if len(known) > 20 else ''}"
    return f"known: {listed}" if known else f"no {method} is declared"


def _words(node: Node, method: str) -> Iterable[str]:
    if method == "tag":
        return _tags(node)
    if method == "source":
        return (node.spec.source,) if node.spec.source else ()
    if method == "path":
        parts = node.location.path.split("/")
        return ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
    return (node.layer.value,) if method == "layer" else (node.domain,)


def _tags(node: Node) -> Iterable[str]:
    return tuple(node.spec.spec.tags) if node.spec is not None else ()
