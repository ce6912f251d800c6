"""Planning the extract and the load of a source's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.graph import Role, node_name
from headwater.core.plan import Cause, Decision, ExtractStep, LoadStep
from headwater.core.policies import LoadMode
from headwater.plan.planning import tell_gone

if TYPE_CHECKING:
    from headwater.core.project import SourceTable
    from headwater.plan.planning import Observed, Planning, RunRequest


def plan_extract(table: SourceTable, planning: Planning) -> ExtractStep:
    """Plan the extract of a source's table."""
    return settle_extract(table, planning.observed, planning.request)


def settle_extract(table: SourceTable, observed: Observed, request: RunRequest) -> ExtractStep:
    """Decide about a table; the run does so again when its source was not reached at plan, and is by now."""
    decision, cause, reason = _why_extract(table, observed, request)
    described = observed.sources.get(table.name)
    state = observed.states.get(table.name)
    reads_all = (
        table.ingest.load == LoadMode.FULL or table.name in request.full or state is None or state.commit is None
    )
    return ExtractStep(
        node=node_name(table.name, Role.EXTRACT),
        decision=decision,
        cause=cause,
        reason=reason,
        fingerprint=table.fingerprint,
        table=table,
        full=table.name in request.full,
        source_rows=described.estimated_rows if described and reads_all else None,
    )


def _why_extract(table: SourceTable, observed: Observed, request: RunRequest) -> tuple[Decision, Cause, str]:
    state = observed.states.get(table.name)
    described = observed.sources.get(table.name)
    if table.name in request.full:
        return Decision.RUN, Cause.ASKED, "asked for with --full"
    if state is not None and state.foreign:
        return Decision.RUN, Cause.DAMAGED, state.foreign
    if state is None or state.commit is None:
        return Decision.RUN, Cause.FIRST, f"first load{tell_gone(state)}"
    if state.commit.fingerprint != table.fingerprint:
        return Decision.RUN, Cause.DECLARATION, "its declaration changed"
    if described is None or table.name in observed.stale:
        return Decision.RUN, Cause.UNKNOWN, "not reached at plan: asked at run"
    if described.version is None:
        return Decision.RUN, Cause.UNKNOWN, "asked at run"
    if described.version == state.commit.position.get("version"):
        return Decision.SKIP, Cause.NOTHING, "the source has not changed"
    return Decision.RUN, Cause.INPUTS, "the source changed"


def plan_load(table: SourceTable, planning: Planning) -> LoadStep:
    """Plan the load of a source's table."""
    extract = planning.steps[node_name(table.name, Role.EXTRACT)]
    waits = extract.decision is Decision.RUN
    return LoadStep(
        node=node_name(table.name, Role.LOAD),
        decision=Decision.IF_INPUTS_CHANGED if waits else Decision.SKIP,
        cause=Cause.INPUTS if waits else extract.cause,
        reason="if the extract finds rows" if waits else extract.reason,
        upstream=(extract.node,),
        fingerprint=table.fingerprint,
        table=table,
        full=extract.full,
    )
