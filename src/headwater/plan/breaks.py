"""Columns that a changed declaration takes away or retypes, and what that hits downstream."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from headwater.core.breaks import Break, Hit
from headwater.core.commit import Column
from headwater.core.graph import Role
from headwater.errors import PlanError, ProjectError, ProjectErrors
from headwater.plan.bind import visible_columns
from headwater.plan.lineage import Lineage, Tracer
from headwater.plan.observe import find_missing
from headwater.plan.ports import find_broken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from headwater.core.project import Model, Project
    from headwater.plan.bind import Bound, Columns
    from headwater.plan.planning import Observed
    from headwater.project.cache import ParseCache


def find_breaks(
    project: Project, observed: Observed, bound: Bound, cache: ParseCache, retired: Collection[str] = (),
    *, promises_only: bool = False,
) -> tuple[Break, ...]:  # fmt: skip
    """Compare every table's last commit with the columns it is about to get, and every port's with what it promises.

    What reads a changed column is found by tracing the readers, as they are declared now, over the columns as they
    were. When no column changed nothing is traced. `retired` are ports that may go. With `promises_only` other columns
    may change as they like: a run asks for no more, and traces nothing while they are kept.
    """
    promised = find_broken(project, observed.states, retired)
    if promises_only and not promised:
        return ()
    before = _columns_before(project, observed)
    ports = {name for name, one in project.datasets.items() if one.role is Role.PUBLISH}
    changes = [
        change
        for name, old in before.items()
        if name not in ports and not promises_only
        for change in _compare(name, old, bound.schemas.get(name))
    ]
    for name, missing in () if promises_only else find_missing(project, observed.sources).items():
        changes += [(name, column, "is declared and gone from the source: its load will fail") for column in missing]
    if not changes and not promised:
        return ()
    changed = {name for name, _, _ in changes} | {one.port for one in promised if one.port in project.datasets}
    lineage = _trace_before(project, bound, before, changed, cache)
    broken = tuple(
        Break(one.port, one.column, one.text, _hits(project, lineage, one.port, one.column), is_promise=True)
        for one in promised
    )
    found = (Break(name, column, change, _hits(project, lineage, name, column)) for name, column, change in changes)
    return (*broken, *found)


def _columns_before(project: Project, observed: Observed) -> dict[str, Columns]:
    names = [node.dataset for node in map(project.graph.nodes.__getitem__, project.graph.order)]
    found = {}
    for name in dict.fromkeys(names):
        state = observed.states.get(name)
        if state is not None and state.commit is not None and not state.foreign and state.columns:
            found[name] = visible_columns(state.columns)
    return found


def _compare(name: str, old: Columns, new: Columns | None) -> Iterator[tuple[str, str, str]]:
    """Yield (dataset, column, what became of it) of columns that are gone or have another type."""
    if new is None or new == old:
        return
    types = {column.name.lower(): column.type for column in new}
    for column in old:
        type_ = types.get(column.name.lower())
        if type_ is None:
            yield name, column.name, "is gone"
        elif type_ != column.type:
            yield name, column.name, f"changes from {column.type} to {type_}"


def _trace_before(
    project: Project, bound: Bound, before: Mapping[str, Columns], changed: set[str], cache: ParseCache
) -> Lineage:
    """Trace what lies below the changed datasets, over the columns as they were."""
    below = {name for dataset in changed for name in project.graph.descendants([dataset])}
    schemas: dict[str, Columns | None] = {**bound.schemas, **before}
    tracer = Tracer(project, cache)
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.role is Role.CONSUMER and name in below:
            tracer.add_consumer(node.spec, schemas, {})
        if node.role is Role.PUBLISH and name in below:
            port = node.spec.model
            tracer.add_model(port, {i: schemas.get(i) for i in port.inputs}, None, schemas.get(port.name) or ())
        if node.role is not Role.TRANSFORM or (name not in below and project.datasets[node.dataset].is_stored):
            continue
        model: Model = node.spec
        tracer.add_model(model, {i: schemas.get(i) for i in model.inputs}, None, schemas.get(model.name) or ())
        if model.name not in before and name in below:
            schemas[model.name] = _unbuilt_before(model, tracer, schemas.get(model.name))
    traced = ((name, found) for name, found in tracer.datasets.items() if project.everything[name].writer in below)
    return Lineage(dict(traced))


def _unbuilt_before(model: Model, tracer: Tracer, now: Columns | None) -> Columns | None:
    """Return the columns that a view, or a table not built yet, had before: `select *` passed on what is gone now."""
    types = {column.name.lower(): column.type for column in now or ()}
    traced = tracer.datasets[model.name].columns
    return tuple(Column(c.name, types.get(c.name.lower(), "INTEGER")) for c in traced) if traced else now


def _hits(project: Project, lineage: Lineage, dataset: str, column: str) -> tuple[Hit, ...]:
    """Walk down: values carry on from column to column, an influence on rows ends at the dataset it decides.

    Without a column it is all of them.
    """
    traces = [below.traced for below in lineage.datasets.values()]
    every = {leaf for traced in traces for one in traced.columns for leaf in one.leaves}
    every |= {leaf for traced in traces for leaves in traced.indirect.values() for leaf in leaves}
    hit = {(dataset, column.lower())} if column else {(one, name.lower()) for one, name in every if one == dataset}
    found: list[Hit] = []
    for name, below in lineage.datasets.items():
        if name == dataset:
            continue
        about = project.everything[name]
        add = partial(Hit, name, kind=about.kind, domain=about.domain, owner=about.spec.owner)
        reads_hit = bool({one for one, _ in hit} & set(below.inputs))
        for traced in below.columns:
            if any((one, leaf.lower()) in hit for one, leaf in traced.leaves):
                hit.add((name, traced.name.lower()))
                found.append(add(traced.name, "value"))
        for kind, leaves in below.traced.indirect.items():
            if any((one, leaf.lower()) in hit for one, leaf in leaves):
                found.append(add("", kind))
        if reads_hit and (below.traced.unknown or any(traced.unknown for traced in below.columns)):
            found.append(add("", "unknown"))
    return tuple(found)


def raise_errors(bound: Bound, breaks: Sequence[Break] = ()) -> None:
    """Raise the promises that are broken, or what does not bind and with it what else the columns that are gone hit.

    Raises:
        PlanError: A port no longer keeps what it promised when it was last published.
        ProjectErrors: A model, or a check, does not bind.
    """
    if broken := [str(one) for one in breaks if one.is_promise]:
        raise PlanError(
            "\n  ".join(["promises are broken:", *broken]),
            fix="keep them, publish a new major beside this one (`<port>_v<major>`), or `--retire` a port that may go",
        )
    if bound.errors:
        told = [ProjectError(str(one), fix="keep the column, or change what reads it as well") for one in breaks]
        hits = [error for error, one in zip(told, breaks, strict=True) if one.hits]
        raise ProjectErrors([*sorted(bound.errors, key=lambda error: (error.path, error.line, error.column)), *hits])
