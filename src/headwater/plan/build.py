"""The only place where steps are planned: pure, no input or output, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.core.graph import Role, node_name
from headwater.core.plan import Decision, ExtractStep, Interval, LoadStep, Plan, Step, TransformStep
from headwater.errors import PlanError
from headwater.plan.clocks import tell_clocks
from headwater.plan.intervals import clip_span, find_due, rebuilt_span, subtract_spans, whole_span
from headwater.plan.select import select_datasets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from headwater.contracts import TableDescription
    from headwater.core.commit import Commit, TableState
    from headwater.core.project import Model, Project, SourceTable


@dataclass(frozen=True, slots=True)
class Observed:
    """What sources and stores said of themselves.

    Attributes:
        states: State of every table the stores hold, by dataset.
        sources: Description of every source table that answered, or as it was last observed (see `stale`).
        time_sources: Per incremental model, (dataset, column) its `time` comes from, None when unknown.
        notes: Remarks for people.
        orphans: Tables in the stores that nothing declares there, as `name (store)`.
        stale: Tables whose source says nothing now: their description is an earlier one, and their version not known.
        unchecked: Which sources and tables said nothing, and why, for people.
        lost: Which stores are gone that were there, for people.
    """

    states: Mapping[str, TableState] = field(default_factory=dict)
    sources: Mapping[str, TableDescription] = field(default_factory=dict)
    time_sources: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    stale: frozenset[str] = frozenset()
    unchecked: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for beyond the plain plan.

    Attributes:
        select: Selection terms; empty means everything.
        exclude: Selection terms taken away.
        full: Datasets to rebuild from nothing.
        keep_history: Changed SQL does not rebuild finished intervals.
        span: Of models with `time`, the intervals that lie in it are computed, done or not, and no others.
    """

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    full: frozenset[str] = frozenset()
    keep_history: bool = False
    span: Interval | None = None


def build_plan(project: Project, observed: Observed, now: datetime, wish: Wish | None = None) -> Plan:
    """Plan a run.

    Raises:
        PlanError: A selection is not understood, or a span of time is asked for where it cannot be given.
    """
    wish = wish or Wish()
    prints = model_fingerprints(project)
    chosen = _choose(project, observed, prints, wish)
    steps: dict[str, Step] = {}
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.dataset not in chosen:
            continue
        if node.role is Role.EXTRACT:
            steps[name] = _plan_extract(node.spec, observed, wish)
        elif node.role is Role.LOAD:
            steps[name] = _plan_load(node.spec, steps)
        elif node.role is Role.TRANSFORM and project.datasets[node.dataset].is_stored:
            steps[name] = _plan_transform(project, node.spec, observed, prints, now, wish, steps)
    _wait_for_checked(project, steps)
    if wish.span is not None:
        _check_span(steps, wish)
    notes = (
        *observed.notes,
        *observed.lost,
        *tell_clocks(steps.values(), observed.states, now),
    )
    if not chosen and (wish.select or wish.exclude):
        asked = " ".join([*wish.select, *(f"--exclude {term}" for term in wish.exclude)])
        why = ": nothing is modified" if "state:modified" in asked else ""
        notes = (*notes, f"{asked}: nothing is selected{why}")
    return Plan(tuple(steps.values()), now, dict(observed.states), observed.orphans, notes, selected=bool(wish.select))


def _check_span(steps: Mapping[str, Step], wish: Wish) -> None:
    """Refuse a span of time where nothing has one, or where the other intervals would be lost."""
    timed = [step for step in steps.values() if isinstance(step, TransformStep) and step.model.is_timed]
    if not timed:
        raise PlanError(
            "no model with `time` is among those to run, so there is no interval to choose",
            fix="select a model with materialize: incremental and time, or leave --from and --to out",
        )
    for step in timed:
        if step.dataset in wish.full:
            raise PlanError(
                f"{step.dataset}: --full rebuilds every interval", fix="leave --full, or --from and --to out"
            )
        if step.full and step.intervals and not step.reason.startswith("first build"):
            raise PlanError(
                f"{step.dataset}: {step.reason}, which rebuilds every interval",
                fix="run without --from and --to, or add --keep-history: the other intervals then stay as they are",
            )


def _wait_for_checked(project: Project, steps: dict[str, Step]) -> None:
    """Have a step wait for the datasets its relationship checks look into, unless those wait for it."""
    for name, step in list(steps.items()):
        checks = project.datasets[step.dataset].checks
        targets = [check.relationship.to for check in checks if check.relationship is not None]
        if isinstance(step, ExtractStep) or not targets:
            continue
        views = [name for target in targets if project.view(target) for name in project.physical_inputs(target)]
        writers = [node for target in (*targets, *views) for node in _writers(target) if node in steps]
        free = [node for node in writers if node != name and not _waits_for(steps, node, name)]
        steps[name] = replace(steps[name], upstream=tuple(dict.fromkeys([*step.upstream, *free])))


def _waits_for(steps: Mapping[str, Step], name: str, other: str) -> bool:
    """Whether a step waits for another, directly or not."""
    seen, queue = set(), [name]
    while queue:
        step = queue.pop()
        if step == other:
            return True
        if step not in seen and step in steps:
            seen.add(step)
            queue.extend(steps[step].upstream)
    return False


def model_fingerprints(project: Project) -> dict[str, str]:
    """Return each model's fingerprint; the SQL of the views it reads is part of it."""
    prints: dict[str, str] = {}
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.role is not Role.TRANSFORM:
            continue
        model: Model = node.spec
        views = [prints[name].partition(".")[0] for name in model.inputs if project.view(name)]
        rows, _, checks = model.fingerprint.partition(".")
        prints[node.dataset] = f"{'+'.join([rows, *views])}.{checks}"
    return prints


def _choose(project: Project, observed: Observed, prints: Mapping[str, str], wish: Wish) -> set[str]:
    def modified(dataset: str) -> bool:
        """A view has no commit of its own: its change shows in the fingerprints of its readers."""
        declared = project.datasets[dataset]
        if not declared.is_stored:
            return False
        state = observed.states.get(dataset)
        wanted = prints.get(dataset) or declared.fingerprint
        return state is None or state.commit is None or state.commit.fingerprint != wanted

    chosen = select_datasets(project.graph, wish.select, modified) if wish.select else set(project.datasets)
    return chosen - (select_datasets(project.graph, wish.exclude, modified) if wish.exclude else set())


# ------------------------------------------------------------------------------------------------- extract and load


def _plan_extract(table: SourceTable, observed: Observed, wish: Wish) -> ExtractStep:
    decision, reason = _why_extract(table, observed, wish)
    described = observed.sources.get(table.name)
    state = observed.states.get(table.name)
    reads_all = table.ingest.load == "full" or table.name in wish.full or state is None or state.commit is None
    return ExtractStep(
        node=node_name(table.name, Role.EXTRACT),
        decision=decision,
        reason=reason,
        fingerprint=table.fingerprint,
        table=table,
        full=table.name in wish.full,
        source_rows=described.estimated_rows if described and reads_all else None,
    )


def settle_extract(step: ExtractStep, observed: Observed, wish: Wish) -> ExtractStep:
    """Decide again about a table whose source was not reached at plan, and is by now."""
    return _plan_extract(step.table, observed, wish)


def _why_extract(table: SourceTable, observed: Observed, wish: Wish) -> tuple[Decision, str]:
    state = observed.states.get(table.name)
    described = observed.sources.get(table.name)
    if table.name in wish.full:
        return Decision.RUN, "asked for with --full"
    if state is not None and state.foreign:
        return Decision.RUN, state.foreign
    if state is None or state.commit is None:
        return Decision.RUN, f"first load{_tell_gone(state)}"
    if state.commit.fingerprint != table.fingerprint:
        return Decision.RUN, "its declaration changed"
    if described is None or table.name in observed.stale:
        return Decision.RUN, "not reached at plan: asked at run"
    if described.version is None:
        return Decision.RUN, "asked at run"
    if described.version == state.commit.position.get("version"):
        return Decision.SKIP, "the source has not changed"
    return Decision.RUN, "the source changed"


def _plan_load(table: SourceTable, steps: Mapping[str, Step]) -> LoadStep:
    extract = steps[node_name(table.name, Role.EXTRACT)]
    assert isinstance(extract, ExtractStep)
    waits = extract.decision is Decision.RUN
    return LoadStep(
        node=node_name(table.name, Role.LOAD),
        decision=Decision.IF_INPUTS_CHANGED if waits else Decision.SKIP,
        reason="if the extract finds rows" if waits else extract.reason,
        upstream=(extract.node,),
        fingerprint=table.fingerprint,
        table=table,
        full=extract.full,
    )


# -------------------------------------------------------------------------------------------------------- transform


def _plan_transform(
    project: Project, model: Model, observed: Observed, prints: Mapping[str, str], now: datetime, wish: Wish,
    steps: Mapping[str, Step],
) -> TransformStep:  # fmt: skip
    inputs = project.physical_inputs(model.name)
    upstream = tuple(node for name in inputs for node in _writers(name) if node in steps)
    full = model.name in wish.full or _rebuilds(model, observed.states.get(model.name), prints[model.name], wish)
    step = TransformStep(
        node=node_name(model.name, Role.TRANSFORM),
        decision=Decision.RUN,
        reason="",
        upstream=upstream,
        fingerprint=prints[model.name],
        inputs=inputs,
        model=_with_views(project, model),
        full=full,
    )
    settled = settle_transform(step, observed.states, now, observed.time_sources.get(model.name), wish)
    if settled.decision is Decision.SKIP:
        waits = [name for name in upstream if steps[name].decision is not Decision.SKIP]
        if waits:
            return replace(settled, decision=Decision.IF_INPUTS_CHANGED, reason=f"if {_datasets(waits)} changes")
    return settled


def _with_views(project: Project, model: Model) -> Model:
    """Return a model that is as unsteady as the views it reads."""
    volatile, uses = dict.fromkeys(model.volatile), dict.fromkeys(model.uses)
    queue = list(model.inputs)
    while queue:
        if (view := project.view(queue.pop())) is not None:
            queue.extend(view.inputs)
            uses.update(dict.fromkeys(view.uses))
            if model.spec.volatile != "ignore":
                volatile.update(dict.fromkeys(view.volatile))
    return replace(model, volatile=tuple(volatile), uses=tuple(uses))


def settle_transform(
    step: TransformStep,
    states: Mapping[str, TableState],
    now: datetime,
    time_source: tuple[str, str] | None,
    wish: Wish | None = None,
) -> TransformStep:
    """Decide whether a transform runs, from the states of its own table and its inputs as they are now.

    The plan uses it, and so does the run when the inputs of an `if_inputs_changed` step are done.
    """
    model, own = step.model, states.get(step.dataset)
    commit = own.commit if own else None
    reason = _why_transform(step, states, now, wish or Wish())
    if model.is_timed:
        if wish is not None and wish.span is not None and (own is None or commit is None):
            return _settle_span(step, wish.span, now, (), first=True)
        if step.full or own is None or commit is None:
            asked = wish is not None and step.dataset in wish.full
            whole = whole_span(model.spec, now) if asked else rebuilt_span(model.spec, own, now)
            return replace(step, decision=Decision.RUN, reason=reason, intervals=(whole,), full=True)
        inputs = {name: states[name] for name in step.inputs if name in states}
        unsteady = _why_unsteady(model, commit, now)
        due = find_due(model.spec, own, inputs, commit.inputs, time_source, now, unsteady)
        if wish is not None and wish.span is not None:
            return _settle_span(step, wish.span, now, due.spans, first=False)
        if due.spans:
            text = "; ".join(part for part in (due.reason, due.note) if part)
            return replace(step, decision=Decision.RUN, reason=text, intervals=due.spans)
    if reason:
        return replace(step, decision=Decision.RUN, reason=reason, intervals=())
    return replace(step, decision=Decision.SKIP, reason="nothing it reads has changed", intervals=())


def _settle_span(
    step: TransformStep, span: Interval, now: datetime, due: tuple[Interval, ...], *, first: bool
) -> TransformStep:
    """Compute the intervals of a span; what is due outside of it stays due."""
    chosen = clip_span(step.model.spec, span, now)
    if chosen is None:
        told = f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}"
        return replace(step, decision=Decision.SKIP, reason=f"it has no interval from {told}", intervals=())
    left = tuple(part for other in due for part in subtract_spans(other, (chosen,)))
    why = "first build, of the span that was asked for" if first else "asked for with --from and --to"
    return replace(step, decision=Decision.RUN, reason=why, intervals=(chosen,), pending=left, full=first or step.full)


def _why_transform(step: TransformStep, states: Mapping[str, TableState], now: datetime, wish: Wish) -> str:
    own = states.get(step.dataset)
    if step.dataset in wish.full:
        forgets = step.model.spec.materialize == "snapshot" and own is not None and own.commit is not None
        return f"asked for with --full{': its history is forgotten' if forgets else ''}"
    if own is not None and own.foreign:
        return own.foreign
    if own is None or own.commit is None:
        return f"first build{_tell_gone(own)}"
    commit = own.commit
    rows, _, checks = step.fingerprint.partition(".")
    old_rows, _, old_checks = commit.fingerprint.partition(".")
    if rows != old_rows:
        kept = wish.keep_history and step.model.spec.materialize == "incremental"
        return f"its SQL or header changed{'; what is there is kept' if kept else ''}"
    if unsteady := _why_unsteady(step.model, commit, now):
        return unsteady
    changed = [name for name in step.inputs if name in states and commit.inputs.get(name) != states[name].version]
    if changed:
        return f"{', '.join(changed)} changed"
    return "its checks changed" if checks != old_checks else ""


def _tell_gone(state: TableState | None) -> str:
    """Say of a table that its store knows, and that holds nothing, not even of a load on its way, that it is gone."""
    return ": the table that was there is gone" if state is not None and state.staging is None else ""


def _why_unsteady(model: Model, commit: Commit, now: datetime) -> str:
    """Say why the same query over the same inputs may give other rows; "" when it may not."""
    if model.volatile:
        return f"calls {', '.join(f'{name}()' for name in model.volatile)}"
    return "uses $now" if "now" in model.uses and commit.now != now.isoformat() else ""


def only_checks_changed(step: TransformStep, state: TableState | None) -> bool:
    """Whether the checks are all that differs from the last commit, so that the rows may stay."""
    return step.reason == "its checks changed" and state is not None and state.commit is not None


def _rebuilds(model: Model, state: TableState | None, fingerprint: str, wish: Wish) -> bool:
    """Whether changed SQL makes every finished row invalid."""
    if state is None or state.commit is None or wish.keep_history or model.spec.materialize == "snapshot":
        return False
    return state.commit.fingerprint.partition(".")[0] != fingerprint.partition(".")[0]


def _writers(dataset: str) -> tuple[str, str]:
    return node_name(dataset, Role.LOAD), node_name(dataset, Role.TRANSFORM)


def _datasets(nodes: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(node.partition("/")[0] for node in nodes))
