"""After a run: tables that it left in many small files are compacted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.plan import ExtractStep
from headwater.core.run import Status
from headwater.errors import HeadwaterError
from headwater.project.references import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.plan import Plan
    from headwater.core.run import StepResult
    from headwater.run.context import RunContext

MANY_SMALL_FILES = 32
"""A table with more small files than this is compacted by the run that wrote it."""


def compact_tables(plan: Plan, results: Mapping[str, StepResult], context: RunContext) -> None:
    """Compact what this run wrote, by what its commits said; a failure is a warning, the rows are as they were."""
    for step in plan.steps:
        result, state = results.get(step.node), context.states.get(step.dataset)
        written = result is not None and result.status is Status.DONE and not isinstance(step, ExtractStep)
        if not written or state is None or state.small_files <= MANY_SMALL_FILES or context.stopping.is_set():
            continue
        try:
            context.store_of(step.dataset).maintain([step.dataset], {"compact": "only"})
        except (HeadwaterError, OSError) as error:
            text = redact(f"{step.dataset} was not compacted: {error}", context.project.secrets)
            context.emit("warning", step.node, text=text)
