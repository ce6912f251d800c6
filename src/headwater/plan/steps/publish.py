"""Planning the publish of a port: as a model's transform, with a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.graph import Role, node_name
from headwater.core.plan import Cause, Decision, PublishStep
from headwater.plan.planning import tell_waits
from headwater.plan.steps.transform import looked_into, settle_transform, with_views

if TYPE_CHECKING:
    from headwater.core.port import Port
    from headwater.plan.planning import Planning


def plan_publish(port: Port, planning: Planning) -> PublishStep:
    """Plan the publish of a port."""
    project, steps, request = planning.project, planning.steps, planning.request
    inputs = project.physical_inputs(port.name)
    step = PublishStep(
        node=node_name(port.name, Role.PUBLISH),
        decision=Decision.RUN,
        cause=Cause.NOTHING,
        reason="",
        upstream=tuple(node for name in inputs if (node := project.datasets[name].writer) in steps),
        fingerprint=planning.prints[port.name],
        inputs=inputs,
        model=with_views(project, port.model),
        full=port.name in request.full,
        contract=port.contract,
        looked_into=looked_into(project, port.name),
    )
    settled = settle_transform(step, planning.observed.states, planning.now, None, request)
    return tell_waits(settled, steps) if settled.decision is Decision.SKIP else settled
