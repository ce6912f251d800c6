"""Many small steps in one transaction of their store: each commit has a price of its own, which they share."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.core.plan import Decision
from headwater.core.run import EventName, Status, StepResult
from headwater.run.committing import Shared, write_proposal
from headwater.run.context import utc_now
from headwater.run.steps.registry import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.contracts import GroupingStore
    from headwater.core.commit import Receipt
    from headwater.core.plan import Step
    from headwater.run.context import RunContext

MOST_STEPS = 64
"""How many steps share a transaction, at the most."""

MOST_SECONDS = 0.25
"""No step is begun in a transaction that is older."""


def grouping_store(step: Step, context: RunContext) -> GroupingStore | None:
    """Return the store in which a step may share a transaction with others."""
    together = HANDLERS[type(step)].together
    if step.decision is Decision.SKIP or together is None or not together.joins(step):
        return None
    return context.catalogue.grouping_store_of(step.dataset)


def is_small(step: Step, context: RunContext) -> bool:
    """Whether a step is done in a moment."""
    together = HANDLERS[type(step)].together
    return together is not None and together.is_small(step, context)


def run_together(
    store: GroupingStore, steps: Sequence[Step], context: RunContext, begun: set[str]
) -> list[tuple[Step, StepResult]]:
    """Run steps and commit them in one transaction; return the results of those that were done, in their order.

    A step may read what another one before it writes; nobody else sees that before it is committed. What is left is
    begun by nobody.

    Args:
        store: Their store.
        steps: The steps, each after those it waits for.
        context: The run.
        begun: The names of those that were begun are added here.

    Raises:
        Exception: One of them failed, and so none is committed; run alone, each says what is wrong with it.
    """
    steps, own = _show_inputs(steps, context), context.apart()
    done: list[tuple[Step, StepResult]] = []
    receipts: dict[str, Receipt] = {}
    with context.catalogue.cursor() as connection:
        shared, end = Shared(connection, store.catalog), time.perf_counter() + MOST_SECONDS
        with store.together(connection, [step.dataset for step in steps]):
            for step in steps:
                began = time.perf_counter()
                if began > end or not is_small(step, own):
                    break
                written = _write(HANDLERS[type(step)].settle(step, own), own, shared, begun)
                if written is None:
                    break
                settled, receipt, result = written
                if receipt is not None:
                    shared.fresh.add(step.dataset)
                    receipts[step.dataset] = receipt
                    if receipt.state is not None:
                        own.catalogue.note_written(step.dataset, receipt)
                done.append((settled, replace(result, duration_s=time.perf_counter() - began)))
    for dataset, receipt in receipts.items():
        context.catalogue.note_commit(dataset, receipt)
    return done


def _show_inputs(steps: Sequence[Step], context: RunContext) -> list[Step]:
    """Make what steps read by a view visible before the transaction, which does not see views that are made later.

    Returns:
        The steps up to the first one that reads another one of them through a view.
    """
    found: list[Step] = []
    together: set[str] = set()
    for step in steps:
        handler = HANDLERS[type(step)].together
        assert handler is not None
        names = handler.names(step, context)
        if not together.intersection(step.inputs) <= names:
            break
        for name in context.project.everything[step.dataset].inputs:
            if name not in names:
                context.catalogue.show(name)
        found.append(step)
        together.add(step.dataset)
    return found


def _write(
    step: Step, context: RunContext, shared: Shared, begun: set[str]
) -> tuple[Step, Receipt | None, StepResult] | None:
    """Do one step; without a receipt when there is nothing to do, None when it cannot be done there."""
    started, handler = utc_now(), HANDLERS[type(step)]
    assert handler.together is not None
    if step.decision is Decision.SKIP:
        return step, None, StepResult(step.node, Status.SKIPPED, started=started)
    proposal = handler.together.propose(step, context, shared)
    if proposal is None:
        return None
    begun.add(step.node)
    context.emit(EventName.STEP_STARTED, step.node, reason=step.reason)
    receipt, result = write_proposal(proposal, context)
    return step, receipt, replace(result, started=started)
