"""Planning what a consumer makes: whether it is due."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.core.fingerprint import Fingerprint
from headwater.core.plan import Cause, ConsumeStep, Decision
from headwater.plan.planning import tell_gone, tell_waits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.commit import TableState
    from headwater.core.consumer import DeclaredConsumer
    from headwater.plan.planning import Planning

PROBLEMS = "problems"
"""Key of an artefact's position: how many of its parts went wrong when it was made."""


def plan_consume(consumer: DeclaredConsumer, planning: Planning) -> ConsumeStep:
    """Plan what a consumer makes."""
    project, steps = planning.project, planning.steps
    inputs = project.physical_inputs(consumer.name)
    upstream = tuple(node for name in inputs if (node := project.datasets[name].writer) in steps)
    step = ConsumeStep(
        node=consumer.name,
        decision=Decision.RUN,
        cause=Cause.NOTHING,
        reason="",
        upstream=upstream,
        fingerprint=planning.prints[consumer.name],
        inputs=inputs,
        consumer=consumer,
        full=consumer.name in planning.request.full,
    )
    settled = settle_consume(step, planning.observed.states)
    if settled.decision is Decision.SKIP:
        return tell_waits(settled, steps)
    return settled


def settle_consume(step: ConsumeStep, states: Mapping[str, TableState]) -> ConsumeStep:
    """Decide whether a consumer makes its files, from its own state and its inputs as they are now."""
    cause, reason = _why(step, states)
    decision = Decision.SKIP if cause is Cause.NOTHING else Decision.RUN
    return replace(step, decision=decision, cause=cause, reason=reason or "nothing it reads has changed")


def _why(step: ConsumeStep, states: Mapping[str, TableState]) -> tuple[Cause, str]:
    own = states.get(step.node)
    if step.full:
        return Cause.ASKED, "asked for with --full"
    if own is not None and own.foreign:
        return Cause.DAMAGED, own.foreign
    if own is None or own.commit is None:
        return Cause.FIRST, f"made for the first time{tell_gone(own)}"
    if Fingerprint(own.commit.fingerprint).rows != step.fingerprint.rows:
        return Cause.DECLARATION, "its declaration changed"
    if own.position.get(PROBLEMS):
        return Cause.INCOMPLETE, "a part of the last one went wrong"
    changed = [name for name in step.inputs if name in states and own.commit.inputs.get(name) != states[name].version]
    return (Cause.INPUTS, f"{', '.join(changed)} changed") if changed else (Cause.NOTHING, "")
