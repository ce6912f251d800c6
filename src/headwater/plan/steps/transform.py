"""Planning the transform of a model: whether it is due, and which intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from headwater.core.fingerprint import Fingerprint
from headwater.core.graph import Role, node_name
from headwater.core.plan import Cause, Decision, Interval, TransformStep
from headwater.core.policies import Materialization
from headwater.plan.intervals import clip_span, find_due, rebuilt_span, subtract_spans, whole_span
from headwater.plan.planning import RunRequest, tell_gone, tell_waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from headwater.core.commit import Commit, TableState
    from headwater.core.project import Model, Project
    from headwater.plan.planning import Planning

TransformT = TypeVar("TransformT", bound=TransformStep)


def model_fingerprints(project: Project) -> dict[str, Fingerprint]:
    """Return the fingerprint of each model and consumer; the SQL of the views it reads is part of it."""
    prints: dict[str, Fingerprint] = {}
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.role not in (Role.TRANSFORM, Role.PUBLISH, Role.CONSUMER, Role.SCORE):
            continue
        declared = project.everything[node.dataset]
        views = [prints[name].rows for name in declared.inputs if project.view(name)]
        own = declared.fingerprint
        prints[node.dataset] = Fingerprint.of("+".join([own.rows, *views]), own.checks)
    return prints


def plan_transform(model: Model, planning: Planning) -> TransformStep:
    """Plan the transform of a stored model."""
    project, observed, prints, steps = planning.project, planning.observed, planning.prints, planning.steps
    now, request = planning.now, planning.request
    inputs = project.physical_inputs(model.name)
    writers = (project.datasets[name].writer for name in inputs)
    upstream = tuple(node for node in writers if node in steps)
    full = model.name in request.full or _rebuilds(model, observed.states.get(model.name), prints[model.name], request)
    step = TransformStep(
        node=node_name(model.name, Role.TRANSFORM),
        decision=Decision.RUN,
        cause=Cause.NOTHING,
        reason="",
        upstream=upstream,
        fingerprint=prints[model.name],
        inputs=inputs,
        model=with_views(project, model),
        full=full,
        looked_into=looked_into(project, model.name),
    )
    settled = settle_transform(step, observed.states, now, observed.time_sources.get(model.name), request)
    if settled.decision is Decision.SKIP:
        return tell_waits(settled, steps)
    return settled


def with_views(project: Project, model: Model) -> Model:
    """Return a model that is as volatile as the views it reads."""
    views = read_views(project, model.inputs)
    uses = dict.fromkeys([*model.uses, *(word for view in views for word in view.uses)])
    volatile = dict.fromkeys(model.volatile)
    if model.spec.volatile != "ignore":
        volatile.update(dict.fromkeys(function for view in views for function in view.volatile))
    return replace(model, volatile=tuple(volatile), uses=tuple(uses))


def read_views(project: Project, names: Iterable[str]) -> list[Model]:
    """Return the views among datasets, and those that they read."""
    found: dict[str, Model] = {}
    queue = list(names)
    while queue:
        if (view := project.view(queue.pop())) is not None and view.name not in found:
            found[view.name] = view
            queue.extend(view.inputs)
    return list(found.values())


def looked_into(project: Project, name: str) -> tuple[str, ...]:
    """Return the stored datasets that a dataset's checks look into, beside itself."""
    targets = [check.relationship.to for check in project.everything[name].checks if check.relationship is not None]
    stored = (one for to in targets for one in (project.physical_inputs(to) if project.view(to) else (to,)))
    return tuple(dict.fromkeys(one for one in stored if one != name))


def settle_transform(
    step: TransformT,
    states: Mapping[str, TableState],
    now: datetime,
    time_source: tuple[str, str] | None,
    request: RunRequest | None = None,
) -> TransformT:
    """Decide whether a transform runs, from the states of its own table and its inputs as they are now.

    The plan uses it, and so does the run when the inputs of an `if_inputs_changed` step are done.
    """
    model, own = step.model, states.get(step.dataset)
    commit = own.commit if own else None
    cause, reason = _why_transform(step, states, now, request or RunRequest())
    if model.is_timed:
        if request is not None and request.span is not None and (own is None or commit is None):
            return _settle_span(step, request.span, now, (), first=True)
        if step.full or own is None or commit is None:
            asked = request is not None and step.dataset in request.full
            whole = whole_span(model.spec, now) if asked else rebuilt_span(model.spec, own, now)
            return replace(step, decision=Decision.RUN, cause=cause, reason=reason, intervals=(whole,), full=True)
        inputs = {name: states[name] for name in step.inputs if name in states}
        volatile = _why_volatile(model, commit, now)
        due = find_due(model.spec, own, inputs, commit.inputs, time_source, now, volatile)
        if request is not None and request.span is not None:
            return _settle_span(step, request.span, now, due.spans, first=False)
        if due.spans:
            text = "; ".join(part for part in (due.reason, due.note) if part)
            return replace(step, decision=Decision.RUN, cause=Cause.DUE, reason=text, intervals=due.spans)
    if cause is not Cause.NOTHING:
        return replace(step, decision=Decision.RUN, cause=cause, reason=reason, intervals=())
    return replace(step, decision=Decision.SKIP, cause=cause, reason="nothing it reads has changed", intervals=())


def _settle_span(
    step: TransformT, span: Interval, now: datetime, due: tuple[Interval, ...], *, first: bool
) -> TransformT:
    """Compute the intervals of a span; what is due outside of it stays due."""
    chosen = clip_span(step.model.spec, span, now)
    if chosen is None:
        told = f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}"
        why = f"it has no interval from {told}"
        return replace(step, decision=Decision.SKIP, cause=Cause.ASKED, reason=why, intervals=())
    left = tuple(part for other in due for part in subtract_spans(other, (chosen,)))
    why = "first build, of the span that was asked for" if first else "asked for with --from and --to"
    cause = Cause.FIRST if first else Cause.ASKED
    return replace(
        step, decision=Decision.RUN, cause=cause, reason=why, intervals=(chosen,), pending=left,
        full=first or step.full,
    )  # fmt: skip


def _why_transform(
    step: TransformStep, states: Mapping[str, TableState], now: datetime, request: RunRequest
) -> tuple[Cause, str]:
    own = states.get(step.dataset)
    if step.dataset in request.full:
        forgets = step.model.spec.materialize == Materialization.SNAPSHOT and own is not None and own.commit is not None
        return Cause.ASKED, f"asked for with --full{': its history is forgotten' if forgets else ''}"
    if own is not None and own.foreign:
        return Cause.DAMAGED, own.foreign
    if own is None or own.commit is None:
        return Cause.FIRST, f"first build{tell_gone(own)}"
    commit = own.commit
    old, new = Fingerprint(commit.fingerprint), step.fingerprint
    if new.rows != old.rows:
        kept = request.keep_history and step.model.spec.materialize == Materialization.INCREMENTAL
        return Cause.DECLARATION, f"its SQL or header changed{'; what is there is kept' if kept else ''}"
    if volatile := _why_volatile(step.model, commit, now):
        return Cause.VOLATILE, volatile
    changed = [name for name in step.inputs if name in states and commit.inputs.get(name) != states[name].version]
    if changed:
        return Cause.INPUTS, f"{', '.join(changed)} changed"
    if new.checks != old.checks:
        return Cause.CHECKS, "its checks changed"
    looked = [n for n in step.looked_into if n in states and commit.inputs.get(n) != states[n].version]
    return (Cause.CHECKS, f"its checks look into {', '.join(looked)}, which changed") if looked else (Cause.NOTHING, "")


def _why_volatile(model: Model, commit: Commit, now: datetime) -> str:
    """Say why the same query over the same inputs may give other rows; "" when it may not."""
    if model.volatile:
        return f"calls {', '.join(f'{name}()' for name in model.volatile)}"
    return "uses $now" if "now" in model.uses and commit.now != now.isoformat() else ""


def only_checks_changed(step: TransformStep, state: TableState | None) -> bool:
    """Whether the checks are all that differs from the last commit, so that the rows may stay."""
    return step.cause is Cause.CHECKS and state is not None and state.commit is not None


def _rebuilds(model: Model, state: TableState | None, fingerprint: Fingerprint, request: RunRequest) -> bool:
    """Whether changed SQL makes every finished row invalid."""
    if (
        state is None
        or state.commit is None
        or request.keep_history
        or model.spec.materialize == Materialization.SNAPSHOT
    ):
        return False
    return Fingerprint(state.commit.fingerprint).rows != fingerprint.rows
