"""Executing a consumer: all it reads is of one set of versions, and the files it makes are committed as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.contracts import Change, Consumption, Load
from headwater.core.plan import Decision
from headwater.core.run import EventName, Status
from headwater.core.secrets import redact, redact_all
from headwater.errors import HeadwaterError, StateError, StepError
from headwater.plan.steps.consume import PROBLEMS
from headwater.plan.steps.consume import settle_consume as plan_again
from headwater.plugins import load_consumer
from headwater.run.committing import Proposal, commit_proposal
from headwater.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Collection

    from headwater.contracts import Made
    from headwater.core.commit import TableState
    from headwater.core.plan import ConsumeStep, Step
    from headwater.core.run import StepResult
    from headwater.plan.steps.consume import MadeT
    from headwater.run.context import RunContext


def settle_consume(step: MadeT, context: RunContext) -> MadeT:
    """Decide again when the inputs are done."""
    if step.decision is not Decision.IF_INPUTS_CHANGED:
        return step
    return plan_again(step, context.catalogue.states, context.now)


def run_consume(step: ConsumeStep, context: RunContext) -> StepResult:
    """Have a consumer make its files from one set of versions, and commit them.

    Raises:
        StateError: What it reads, or its last artefact, is damaged.
        StepError: It refuses to publish what it has made, or a part of it went wrong: then the rest is committed.
    """
    state = _readable(step, context)
    catalogue, consumer = context.catalogue, step.consumer
    catalogue.show_inputs(step.dataset)
    versions = {name: version for name in step.inputs if (version := catalogue.states[name].version) is not None}
    with catalogue.cursor(consumer.domain) as connection, temporary_folder(context.project.root) as temporary:
        made_in, scratch = temporary / "made", temporary / "scratch"
        made_in.mkdir()
        scratch.mkdir()
        last = state if state is not None and state.commit is not None else None
        connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            made = load_consumer(consumer.kind)(consumer).make(
                Consumption(
                    connection,
                    {query.name: query.sql for query in consumer.queries},
                    versions,
                    made_in,
                    context.now,
                    scratch,
                    Path(last.location) if last else None,
                    dict(last.position.get("details", {})) if last else {},
                )
            )
        finally:
            connection.execute("ROLLBACK")
        if made.refused:
            raise StepError(made.refused, fix="nothing was published: the last version stays")
        load = Load(
            table=step.dataset,
            producer=step.node,
            load_id=context.run_id,
            connection=connection,
            notify=lambda name: context.emit(EventName(name), step.node),
        )
        position = _position(made, context.project.secrets)
        change = Change("replace", files=str(made_in))
        result = commit_proposal(Proposal(step, state, load, change, position, rows=made.rows), context)
    return _tell_problems(result, made, context)


def _readable(step: ConsumeStep, context: RunContext) -> TableState | None:
    """Return the state of the last artefact; neither it nor what is read is damaged."""
    states = context.catalogue.states
    for name in (step.dataset, *step.inputs):
        if (found := states.get(name)) is not None and found.foreign:
            raise StateError(found.foreign, fix=found.way_out)
    return states.get(step.dataset)


def _position(made: Made, secrets: Collection[str]) -> dict[str, Any]:
    details = {"details": redact_all(dict(made.details), secrets)} if made.details else {}
    return {**details, PROBLEMS: len(made.problems)} if made.problems else details


def _tell_problems(result: StepResult, made: Made, context: RunContext) -> StepResult:
    if not made.problems:
        return result
    first, *more = [redact(problem, context.project.secrets) for problem in made.problems]
    for problem in more:
        context.emit(EventName.WARNING, result.step, text=problem)
    error = f"{first}{f'; and {len(more)} more' if more else ''}\n  fix: the rest is published; mend this and run again"
    return replace(result, status=Status.FAILED, error=error)


def explain_consumer(error: Exception, step: Step) -> HeadwaterError:
    """Return what a consumer failed with."""
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, OSError):
        return StepError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), fix="see the file system")
    return StepError(f"{type(error).__name__}: {error}", fix=f"mend {step.location}")
