"""Planning what a consumer makes: whether it is due."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.core.commit import PINNED
from headwater.core.fingerprint import Fingerprint
from headwater.core.graph import Role, node_name
from headwater.core.plan import Cause, ConsumeStep, Decision, ScoreStep
from headwater.plan.planning import tell_gone, tell_waits
from headwater.plan.steps.transform import read_views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from headwater.core.commit import TableState
    from headwater.core.consumer import ConsumerQuery, DeclaredConsumer, DeclaredScores
    from headwater.plan.planning import Planning

MadeT = TypeVar("MadeT", ConsumeStep, ScoreStep)

PROBLEMS = "problems"
"""Key of an artefact's position: how many of its parts went wrong when it was made."""


def plan_consume(consumer: DeclaredConsumer, planning: Planning) -> ConsumeStep:
    """Plan what a consumer makes."""
    common = _common(consumer.name, consumer.queries, planning)
    step = ConsumeStep(node=consumer.name, consumer=consumer, **common)
    return _waiting(settle_consume(step, planning.observed.states, planning.now), planning)


def plan_score(scores: DeclaredScores, planning: Planning) -> ScoreStep:
    """Plan the scores that a consumer's artefact gives."""
    common = _common(scores.name, (scores.query,), planning)
    step = ScoreStep(node=node_name(scores.name, Role.SCORE), scores=scores, **common)
    return _waiting(settle_consume(step, planning.observed.states, planning.now), planning)


def _common(name: str, queries: Sequence[ConsumerQuery], planning: Planning) -> dict[str, Any]:
    project, steps = planning.project, planning.steps
    inputs = project.physical_inputs(name)
    views = read_views(project, project.everything[name].inputs)
    volatile = [function for query in queries for function in query.volatile]
    volatile += [function for view in views if view.spec.volatile != "ignore" for function in view.volatile]
    return {
        "decision": Decision.RUN,
        "cause": Cause.NOTHING,
        "reason": "",
        "upstream": tuple(node for one in inputs if (node := project.everything[one].writer) in steps),
        "fingerprint": planning.prints[name],
        "inputs": inputs,
        "full": name in planning.request.full,
        "volatile": tuple(dict.fromkeys(volatile)),
        "uses_clock": any("now" in view.uses for view in views),
    }


def _waiting(step: MadeT, planning: Planning) -> MadeT:
    return tell_waits(step, planning.steps) if step.decision is Decision.SKIP else step


def settle_consume(step: MadeT, states: Mapping[str, TableState], now: datetime) -> MadeT:
    """Decide whether a consumer makes its files, or its scores, from their own state and their inputs as they are."""
    cause, reason = _why(step, states, now)
    decision = Decision.SKIP if cause is Cause.NOTHING else Decision.RUN
    return replace(step, decision=decision, cause=cause, reason=reason or "nothing it reads has changed")


def _why(step: ConsumeStep | ScoreStep, states: Mapping[str, TableState], now: datetime) -> tuple[Cause, str]:
    own = states.get(step.dataset)
    if step.full:
        return Cause.ASKED, "asked for with --full"
    if own is not None and own.foreign:
        return Cause.DAMAGED, own.foreign
    if own is None or own.commit is None:
        return Cause.FIRST, f"made for the first time{tell_gone(own)}"
    if PINNED in own.position:
        return Cause.NOTHING, f"it is of version {own.position[PINNED]}, as asked; `run --use {step.dataset}` ends that"
    if Fingerprint(own.commit.fingerprint).rows != step.fingerprint.rows:
        return Cause.DECLARATION, "its declaration changed"
    if own.position.get(PROBLEMS):
        return Cause.INCOMPLETE, "a part of the last one went wrong"
    if step.volatile:
        return Cause.VOLATILE, f"calls {', '.join(f'{name}()' for name in step.volatile)}"
    if step.uses_clock and own.commit.now != now.isoformat():
        return Cause.VOLATILE, "uses $now"
    changed = [name for name in step.inputs if name in states and own.commit.inputs.get(name) != states[name].version]
    return (Cause.INPUTS, f"{', '.join(changed)} changed") if changed else (Cause.NOTHING, "")
