"""Executing a load: what was extracted is decided as a whole, checked and committed, or nothing of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.core.plan import Cause, Decision
from headwater.core.run import EventName, Status, StepResult
from headwater.core.secrets import redact
from headwater.errors import CheckFailedError, ConnectorError
from headwater.ingestion.landing import LoadFacts, decide_load, judged_rejects
from headwater.run.committing import Proposal, commit_proposal
from headwater.run.rejected import forget_failure, keep_failure
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from headwater.core.commit import TableState
    from headwater.core.plan import LoadStep
    from headwater.run.context import RunContext
    from headwater.run.steps.ingestion import Ingestion


def settle_load(step: LoadStep, context: RunContext) -> LoadStep:
    """Skip what no extract has found rows for."""
    if step.dataset in context.ingestions:
        return step
    return replace(step, decision=Decision.SKIP, cause=Cause.NOTHING, reason="the source has not changed")


def run_load(step: LoadStep, context: RunContext) -> StepResult:
    """Decide over the whole load, then commit it, or nothing."""
    ingestion = context.take_ingestion(step.dataset)
    try:
        return _load(step, context, ingestion)
    finally:
        ingestion.connection.close()


def _load(step: LoadStep, context: RunContext, ingestion: Ingestion) -> StepResult:
    state, table = ingestion.state, ingestion.table
    last, end = state.commit if state else None, ingestion.end
    facts = LoadFacts(
        table=table.name,
        ingest=table.ingest,
        capabilities=table.store.capabilities,
        connection=ingestion.connection,
        preparation=ingestion.preparation,
        state=state,
        full=ingestion.full,
        rows=SelectSql(" UNION ALL BY NAME ".join(ingestion.good)),
        rejects=SelectSql(" UNION ALL ".join(ingestion.rejects) if end.rejected else ""),
        good=end.good,
        rejected=end.rejected,
        swallowed=end.swallowed,
        position=end.position,
        parts=tuple(ingestion.parts),
        keys=ingestion.reading.keys,
        now_sql=timestamp_literal(context.now),
        restated=last is not None and last.fingerprint != step.fingerprint,
        catalogue=ingestion.reading.catalogue,
    )
    try:
        result = _decide_and_commit(step, context, ingestion, facts)
    except CheckFailedError:
        keep_failure(context.project, table.name, context.run_id, facts.connection, lambda: judged_rejects(facts))
        raise
    forget_failure(context.project, table.name)
    return result


def _decide_and_commit(step: LoadStep, context: RunContext, ingestion: Ingestion, facts: LoadFacts) -> StepResult:
    state = ingestion.state
    landing = decide_load(facts)
    if landing is None:
        _report(step, context, ingestion, facts.position)
        return _unchanged(step, state)
    proposal = Proposal(
        step, state, ingestion.load, landing.change, landing.position, digest=landing.digest,
        rejected=landing.rejected, superseded=landing.superseded + ingestion.end.deduped, audits=facts.restated,
    )  # fmt: skip
    result = commit_proposal(proposal, context)
    _report(step, context, ingestion, landing.position)
    return result


def _report(step: LoadStep, context: RunContext, ingestion: Ingestion, position: dict[str, Any]) -> None:
    """Tell the source what is committed; that it could not be told is no harm to the load."""
    if ingestion.reading.report is None:
        return
    try:
        ingestion.reading.report(position)
    except ConnectorError as error:
        context.emit(EventName.WARNING, step.node, text=redact(error.what, context.project.secrets))


def _unchanged(step: LoadStep, state: TableState | None) -> StepResult:
    commit, why = state.commit if state else None, "the source gave nothing new"
    if commit is None:
        return StepResult(step.node, Status.UNCHANGED, reason=why)
    return StepResult(step.node, Status.UNCHANGED, rows=commit.rows, version=commit.version, reason=why)
