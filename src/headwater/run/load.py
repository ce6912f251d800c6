"""Executing a load: what was extracted is decided as a whole, checked and committed, or nothing of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.run import Status, StepResult
from headwater.errors import CheckFailedError, ConnectorError
from headwater.project.references import redact
from headwater.run.audit import Audit
from headwater.run.facts import LoadFacts
from headwater.run.landing import decide_load
from headwater.run.rejected import forget_failure, keep_failure
from headwater.run.transform import make_commit
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from headwater.core.commit import TableState
    from headwater.core.plan import LoadStep
    from headwater.run.context import RunContext
    from headwater.run.extract import Ingestion


def run_load(step: LoadStep, context: RunContext, ingestion: Ingestion) -> StepResult:
    """Decide over the whole load, then commit it, or nothing."""
    try:
        return _load(step, context, ingestion)
    finally:
        ingestion.connection.close()


def _load(step: LoadStep, context: RunContext, ingestion: Ingestion) -> StepResult:
    state, table = ingestion.state, ingestion.table
    last = state.commit if state else None
    facts = LoadFacts(
        table=table.name,
        ingest=table.ingest,
        connection=ingestion.connection,
        preparation=ingestion.preparation,
        state=state,
        full=ingestion.full,
        rows=" UNION ALL BY NAME ".join(ingestion.good),
        rejects=" UNION ALL ".join(ingestion.rejects) if ingestion.count("rejected") else "",
        good=ingestion.count("good"),
        rejected=ingestion.count("rejected"),
        swallowed=ingestion.count("swallowed"),
        position=ingestion.position(),
        parts=tuple(ingestion.parts),
        keys=ingestion.reading.keys,
        now_sql=timestamp_literal(context.now),
        restated=last is not None and last.fingerprint != step.fingerprint,
        catalogue=ingestion.reading.catalogue,
    )
    try:
        result = _decide_and_commit(step, context, ingestion, facts)
    except CheckFailedError:
        keep_failure(context.project, table.name, context.run_id, facts.connection, facts.rejects)
        raise
    forget_failure(context.project, table.name)
    return result


def _decide_and_commit(step: LoadStep, context: RunContext, ingestion: Ingestion, facts: LoadFacts) -> StepResult:
    table, state = ingestion.table, ingestion.state
    last = state.commit if state else None
    landing = decide_load(facts)
    if landing is None:
        _report(step, context, ingestion, facts.position)
        return _unchanged(step, state)
    records = landing.change.mode == "record"
    audit = Audit(context, step.node, table.ingest.all_checks(), ingestion.connection)
    load = ingestion.load
    if not records:
        load = replace(load, audit=audit)
    elif facts.restated:
        audit(facts.current)
    digest = landing.digest or (last.digest if records and last else "")
    commit = make_commit(context, step, state, landing.change, landing.position).with_digest(digest)
    receipt = context.store_of(table.name).commit(load, landing.change, commit)
    context.note_commit(table.name, receipt)
    _report(step, context, ingestion, landing.position)
    return StepResult(
        step=step.node,
        status=Status.DONE if receipt.changed else Status.UNCHANGED,
        rows=receipt.commit.rows,
        rows_inserted=receipt.rows_inserted,
        rows_deleted=receipt.rows_deleted,
        rejected=landing.rejected,
        superseded=landing.superseded + ingestion.count("deduped"),
        version=receipt.commit.version,
        reason=step.reason,
        checks=audit.results,
    )


def _report(step: LoadStep, context: RunContext, ingestion: Ingestion, position: dict[str, Any]) -> None:
    """Tell the source what is committed; that it could not be told is no harm to the load."""
    if ingestion.reading.report is None:
        return
    try:
        ingestion.reading.report(position)
    except ConnectorError as error:
        context.emit("warning", step.node, text=redact(error.what, context.project.secrets))


def _unchanged(step: LoadStep, state: TableState | None) -> StepResult:
    commit, why = state.commit if state else None, "the source gave nothing new"
    if commit is None:
        return StepResult(step.node, Status.UNCHANGED, reason=why)
    return StepResult(step.node, Status.UNCHANGED, rows=commit.rows, version=commit.version, reason=why)
