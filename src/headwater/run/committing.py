"""The one way from a change to a commit: audited, committed, noted, told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headwater.contracts import Change
from headwater.core.commit import PINNED, Commit
from headwater.core.fingerprint import NO_FINGERPRINT
from headwater.core.run import EventName, Status, StepResult
from headwater.errors import CheckFailedError
from headwater.quality import Audit, failing_rows
from headwater.run.rejected import KEPT_ROWS, as_rejects, forget_failure, keep_failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Load, Store
    from headwater.core.commit import KeptVersion, Receipt, TableState
    from headwater.core.fragments import SelectSql
    from headwater.core.plan import Step
    from headwater.run.context import RunContext


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a step has come to and wants to be committed.

    Attributes:
        step: The step.
        state: The table as it was when the step began.
        load: The store's view of it, on the connection on which the change can be read.
        change: The change.
        position: Where the step stands after it.
        digest: Of all rows, where the step has one; a change that only records keeps the last one otherwise.
        rejected: Rows that go to the quarantine, for the result.
        superseded: Rows left out, for the result.
        rows: How many rows went into it, where the store does not count them.
        audits: Whether the checks look at the table as it is, when the change only records.
    """

    step: Step
    state: TableState | None
    load: Load
    change: Change
    position: Mapping[str, Any]
    digest: str = ""
    rejected: int = 0
    superseded: int = 0
    audits: bool = True
    rows: int | None = None


@dataclass(slots=True)
class Shared:
    """A transaction that several steps share.

    Attributes:
        connection: The connection it is on.
        catalog: Where its tables are read, see `GroupingStore`.
        fresh: The datasets that were written in it.
    """

    connection: DuckDBPyConnection
    catalog: str
    fresh: set[str] = field(default_factory=set)


def commit_proposal(proposal: Proposal, context: RunContext) -> StepResult:
    """Check a change, commit it, and make its rows visible by name.

    Raises:
        CheckFailedError: A check of severity `error` failed: nothing is committed.
        StateError: Somebody else has written the table since.
    """
    receipt, result = write_proposal(proposal, context)
    context.catalogue.note_commit(proposal.step.dataset, receipt)
    return result


def write_proposal(proposal: Proposal, context: RunContext) -> tuple[Receipt, StepResult]:
    """Check a change and commit it; return the receipt, which is to be noted, and the result.

    Raises:
        CheckFailedError: As above.
        StateError: As above.
    """
    step, change, load = proposal.step, proposal.change, proposal.load
    checks = context.project.everything[step.dataset].checks
    for check in checks:
        if check.relationship is not None:  # before the store's transaction: a view made later is not seen in it
            context.catalogue.show(check.relationship.to)
    audit = Audit(
        checks, load.connection, context.now, lambda text: context.emit(EventName.WARNING, step.node, text=text),
        step.hidden_columns,
    )  # fmt: skip
    if change.mode != "record":
        load = replace(load, audit=lambda this: _audit(audit, this, proposal, context))
    elif proposal.audits and proposal.state is not None:
        _audit(audit, proposal.state.scan, proposal, context)
    receipt = context.catalogue.store_of(step.dataset).commit(load, change, _propose_commit(proposal, context))
    return receipt, StepResult(
        step=step.node,
        status=Status.DONE if receipt.changed else Status.UNCHANGED,
        rows=receipt.commit.rows,
        rows_inserted=receipt.rows_inserted,
        rows_deleted=receipt.rows_deleted,
        rejected=proposal.rejected,
        superseded=proposal.superseded,
        version=receipt.commit.version,
        reason=step.reason,
        checks=audit.results,
    )


def commit_kept(
    store: Store, state: TableState, kept: KeptVersion | None, load: Load, now: datetime, *, folder: str, pin: bool
) -> Receipt:
    """Make a version of an artefact the last one again, from a folder with its files.

    With `pin` it is not made again before that is ended. Without a version the last one stays, and is due.

    Raises:
        StateError: Somebody else has made another one since.
    """
    last = state.commit
    assert last is not None
    source = kept.commit if kept else replace(last, fingerprint=NO_FINGERPRINT)
    position = {key: value for key, value in source.position.items() if key != PINNED}
    commit = replace(
        source,
        sequence=last.sequence + 1,
        previous=last.sequence,
        run_id=load.load_id,
        now=now.isoformat(),
        version=last.sequence + 1 if kept else last.version,
        position={**position, PINNED: kept.commit.version} if kept and pin else position,
        recent=last.history(),
    )
    return store.commit(load, Change("replace", files=folder) if kept else Change("record"), commit)


def _audit(audit: Audit, this: SelectSql, proposal: Proposal, context: RunContext) -> None:
    """Check the rows as they will be; those of a table that nobody delivers are kept when a check refuses them."""
    step = proposal.step
    if context.project.everything[step.dataset].is_loaded:
        audit(this)
        return
    try:
        audit(this)
    except CheckFailedError:
        rows = failing_rows(audit.failed, this, KEPT_ROWS)
        rejects = as_rejects(rows, audit.hidden, context.run_id, context.now)
        keep_failure(context.project, step.dataset, context.run_id, proposal.load.connection, lambda: rejects)
        raise
    if audit.checks:
        forget_failure(context.project, step.dataset)


def _propose_commit(proposal: Proposal, context: RunContext) -> Commit:
    """Return the commit that follows a table's last one."""
    step, last = proposal.step, proposal.state.commit if proposal.state else None
    kept = last if proposal.change.mode == "record" else None
    sequence = last.sequence + 1 if last else context.catalogue.seen_version(step.dataset) + 1
    versions = {
        name: context.catalogue.states[name].version
        for name in (*step.inputs, *step.looked_into)
        if name in context.catalogue.states
    }
    return Commit(
        producer=step.node,
        sequence=sequence,
        previous=last.sequence if last else None,
        run_id=context.run_id,
        fingerprint=step.fingerprint,
        now=context.now.isoformat(),
        version=kept.version if kept else sequence,
        position=dict(proposal.position),
        inputs={name: version for name, version in versions.items() if version is not None},
        rows=kept.rows if kept else proposal.rows,
        recent=last.history() if last else [],
        digest=proposal.digest or (kept.digest if kept else ""),
    )
