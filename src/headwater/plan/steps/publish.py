"""Planning the publish of a port: as a model's transform, with a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.graph import Role, node_name
from headwater.core.plan import Cause, Decision, PublishStep
from headwater.plan.planning import tell_waits
from headwater.plan.steps.transform import settle_transform, with_views

if TYPE_CHECKING:
    from headwater.core.port import Port
    from headwater.plan.planning import Planning


def plan_publish(port: Port, planning: Planning) -> PublishStep:
    """Plan the publish of a port."""
    project, steps, request = planning.project, planning.steps, planning.request
    made_of, looked = project.physical_inputs(port.name), _looked_into(port, planning)
    inputs = tuple(dict.fromkeys([*made_of, *looked]))
    below = project.graph.descendants([node_name(port.name, Role.PUBLISH)])
    step = PublishStep(
        node=node_name(port.name, Role.PUBLISH),
        decision=Decision.RUN,
        cause=Cause.NOTHING,
        reason="",
        upstream=tuple(
            node for name in inputs if (node := project.datasets[name].writer) in steps and node not in below
        ),
        fingerprint=planning.prints[port.name],
        inputs=inputs,
        model=with_views(project, port.model),
        full=port.name in request.full,
        contract=port.contract,
    )
    settled = settle_transform(step, planning.observed.states, planning.now, None, request)
    return tell_waits(settled, steps) if settled.decision is Decision.SKIP else settled


def _looked_into(port: Port, planning: Planning) -> list[str]:
    """Return the tables that the contract's checks look into: when those change, it may not be kept any more."""
    project, found = planning.project, list[str]()
    for check in port.spec.all_checks():
        to = check.relationship.to if check.relationship else port.name
        if to != port.name:
            found += project.physical_inputs(to) if project.view(to) else [to]
    return found
