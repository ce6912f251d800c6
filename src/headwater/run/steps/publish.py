"""Executing the publish of a port: its rows are audited by its contract, or the last version stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import Change
from headwater.errors import CheckFailedError
from headwater.plan.ports import tell_unkept
from headwater.plan.steps.transform import only_checks_changed
from headwater.run.steps.transform import Work, read_own_state

if TYPE_CHECKING:
    from headwater.core.plan import PublishStep
    from headwater.core.run import StepResult
    from headwater.run.context import RunContext


def run_publish(step: PublishStep, context: RunContext) -> StepResult:
    """Publish the rows of a port, or only its contract when nothing else has changed.

    Raises:
        CheckFailedError: The contract is not kept: nothing is published, the last version stays.
        StateError: A table is damaged.
    """
    state = read_own_state(step, context)
    context.catalogue.show_inputs(step.dataset)
    with context.catalogue.cursor(step.model.domain) as connection:
        work = Work(step, context, connection)
        change = Change("record") if only_checks_changed(step, state) else work.change()
        states = context.catalogue.states
        given = [column for name in step.model.inputs if name in states for column in states[name].columns]
        if unkept := tell_unkept(step.contract, change.columns, given) if change.columns else []:
            raise CheckFailedError(
                "\n  ".join([f"{step.dataset}: the contract is not kept; the last version stays", *unkept]),
                fix="mend the dataset, or the contract with a new major",
            )
        return work.commit(change, ())
