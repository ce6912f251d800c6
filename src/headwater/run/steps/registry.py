"""Who executes a step: one line for every type of step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.plan import ConsumeStep, ExtractStep, LoadStep, PublishStep, ScoreStep, Step, TransformStep
from headwater.run.boundary import explain_publish, explain_rules, explain_user_code
from headwater.run.rejected import forget_failure
from headwater.run.steps.consume import explain_consumer, run_consume, settle_consume
from headwater.run.steps.extract import extract_and_retry, settle_extract
from headwater.run.steps.load import run_load, settle_load
from headwater.run.steps.publish import run_publish
from headwater.run.steps.score import run_score
from headwater.run.steps.transform import (
    is_small,
    joins,
    propose_transform,
    run_transform,
    settle_transform,
    table_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.core.run import StepResult
    from headwater.errors import HeadwaterError
    from headwater.run.committing import Proposal, Shared
    from headwater.run.context import RunContext


@dataclass(frozen=True, slots=True)
class Together:
    """How a type of step shares a transaction.

    Attributes:
        joins: Whether a step ever may.
        is_small: Whether it may now, since it is done in a moment.
        names: Returns the datasets of its store that it can read as tables there: it needs no view of them.
        propose: Returns what it comes to; None when it cannot be done there.
    """

    joins: Callable[[Any], bool]
    is_small: Callable[[Any, RunContext], bool]
    names: Callable[[Any, RunContext], set[str]]
    propose: Callable[[Any, RunContext, Shared], Proposal | None]


@dataclass(frozen=True, slots=True)
class Handler:
    """What there is to know of a type of step when it is executed.

    Attributes:
        settle: Decides again, when all it waits for is done.
        run: Does it.
        skip: Is called instead when there is nothing to do.
        explain: Turns what it raised into an error of ours.
        together: How it is committed together with others; None when it never is.
    """

    settle: Callable[[Any, RunContext], Step]
    run: Callable[[Any, RunContext], StepResult]
    skip: Callable[[Step, RunContext], None]
    explain: Callable[[Exception, Any], HeadwaterError]
    together: Together | None = None


def _nothing(_: Step, __: RunContext) -> None:
    """Do nothing."""


def _forget_failure(step: Step, context: RunContext) -> None:
    forget_failure(context.project, step.dataset)


HANDLERS: Mapping[type[Step], Handler] = {
    ExtractStep: Handler(settle_extract, extract_and_retry, _nothing, explain_rules),
    LoadStep: Handler(settle_load, run_load, _forget_failure, explain_rules),
    TransformStep: Handler(
        settle_transform,
        run_transform,
        _nothing,
        explain_user_code,
        Together(joins, is_small, table_names, propose_transform),
    ),
    PublishStep: Handler(settle_transform, run_publish, _nothing, explain_publish),
    ConsumeStep: Handler(settle_consume, run_consume, _nothing, explain_consumer),
    ScoreStep: Handler(settle_consume, run_score, _nothing, explain_consumer),
}
