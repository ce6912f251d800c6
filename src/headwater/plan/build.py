"""The only place where steps are planned: pure, no input or output, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.graph import Role
from headwater.core.plan import Cause, Decision, Plan
from headwater.errors import PlanError
from headwater.plan.clocks import tell_clocks
from headwater.plan.moves import tell_moves
from headwater.plan.planning import Observed, Planning, RunRequest, tell_waits
from headwater.plan.select import select_datasets
from headwater.plan.steps.consume import plan_consume, plan_score
from headwater.plan.steps.ingest import plan_extract, plan_load
from headwater.plan.steps.publish import plan_publish
from headwater.plan.steps.transform import model_fingerprints, plan_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from headwater.core.plan import Step
    from headwater.core.project import Project

PLANNERS: Mapping[Role, Callable[[Any, Planning], Step]] = {
    Role.EXTRACT: plan_extract,
    Role.LOAD: plan_load,
    Role.TRANSFORM: plan_transform,
    Role.PUBLISH: plan_publish,
    Role.CONSUMER: plan_consume,
    Role.SCORE: plan_score,
}
"""What plans the node that plays a role, from what declares it; a node of another role is no step."""


def build_plan(project: Project, observed: Observed, now: datetime, request: RunRequest | None = None) -> Plan:
    """Plan a run.

    Raises:
        PlanError: A selection is not understood, or a span of time is asked for where it cannot be given.
    """
    request = request or RunRequest()
    planning = Planning(project, observed, model_fingerprints(project), now, request)
    chosen, steps = _choose(planning), planning.steps
    for name in project.graph.order:
        node = project.graph.nodes[name]
        planner = PLANNERS.get(node.role)
        if planner is not None and node.dataset in chosen and project.store_of(node.dataset):
            steps[name] = planner(node.spec, planning)
    _wait_for_checked(project, steps)
    if request.span is not None:
        _check_span(steps, request)
    notes = (
        *observed.notes,
        *observed.lost,
        *tell_moves(project, steps.values(), observed.states, observed.orphans),
        *tell_clocks(steps.values(), observed.states, now),
    )
    if not chosen and (request.select or request.exclude):
        asked = " ".join([*request.select, *(f"--exclude {term}" for term in request.exclude)])
        why = ": nothing is modified" if "state:modified" in asked else ""
        notes = (*notes, f"{asked}: nothing is selected{why}")
    return Plan(
        tuple(steps.values()), now, dict(observed.states), observed.orphans, notes, selected=bool(request.select)
    )


def _check_span(steps: Mapping[str, Step], request: RunRequest) -> None:
    """Refuse a span of time where nothing has one, or where the other intervals would be lost."""
    timed = [step for step in steps.values() if step.is_timed]
    if not timed:
        raise PlanError(
            "no model with `time` is among those to run, so there is no interval to choose",
            fix="select a model with materialize: incremental and time, or leave --from and --to out",
        )
    for step in timed:
        if step.dataset in request.full:
            raise PlanError(
                f"{step.dataset}: --full rebuilds every interval", fix="leave --full, or --from and --to out"
            )
        if step.full and step.spans and step.cause is not Cause.FIRST:
            raise PlanError(
                f"{step.dataset}: {step.reason}, which rebuilds every interval",
                fix="run without --from and --to, or add --keep-history: the other intervals then stay as they are",
            )


def _wait_for_checked(project: Project, steps: dict[str, Step]) -> None:
    """Have a step wait for the datasets its relationship checks look into, unless those wait for it."""
    for name, step in list(steps.items()):
        checks = project.everything[step.dataset].checks
        targets = [check.relationship.to for check in checks if check.relationship is not None]
        if not step.commits or not targets:
            continue
        views = [name for target in targets if project.view(target) for name in project.physical_inputs(target)]
        writers = [project.datasets[target].writer for target in (*targets, *views)]
        free = [node for node in writers if node in steps and node != name and not _waits_for(steps, node, name)]
        waiting = replace(steps[name], upstream=tuple(dict.fromkeys([*step.upstream, *free])))
        steps[name] = tell_waits(waiting, steps) if waiting.decision is Decision.SKIP and step.looked_into else waiting


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


def _choose(planning: Planning) -> set[str]:
    project, observed, request = planning.project, planning.observed, planning.request

    def modified(dataset: str) -> bool:
        """A view has no commit of its own: its change shows in the fingerprints of its readers."""
        declared = project.everything[dataset]
        if not declared.is_stored:
            return False
        state = observed.states.get(dataset)
        wanted = planning.prints.get(dataset) or declared.fingerprint
        return state is None or state.commit is None or state.commit.fingerprint != wanted

    chosen = select_datasets(project.graph, request.select, modified) if request.select else set(project.everything)
    return chosen - (select_datasets(project.graph, request.exclude, modified) if request.exclude else set())
