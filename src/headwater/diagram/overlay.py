"""How every node stands: from the last result of its step and the state of its table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from headwater.core.graph import Node, Role, node_name
from headwater.core.run import Status
from headwater.diagram.status import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headwater.core.commit import TableState
    from headwater.core.plan import Orphan
    from headwater.core.project import Project
    from headwater.core.run import StepResult

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def describe_nodes(
    project: Project,
    results: Mapping[str, StepResult],
    states: Mapping[str, TableState] | None,
    rejects: Mapping[str, int],
    now: datetime,
    orphans: Iterable[Orphan] = (),
) -> dict[str, NodeStatus]:
    """Return the status of every node that has one: a view is never run.

    Args:
        project: The project.
        results: Newest result of each step.
        states: State of each table; None when the stores cannot be asked.
        rejects: Rows in the quarantine of each table that has one.
        now: The clock that freshness is told by, with zone.
        orphans: Tables that nothing declares in the store that holds them.
    """
    elsewhere = {orphan.dataset: orphan.store for orphan in orphans} if states is not None else None
    known = states or {}
    return {
        node.name: _describe(
            node, project, results, known.get(node.dataset), rejects.get(node.dataset, 0), now, elsewhere
        )
        for node in project.graph.nodes.values()
        if project.everything[node.dataset].is_stored
    }


def _describe(
    node: Node,
    project: Project,
    results: Mapping[str, StepResult],
    state: TableState | None,
    rejects: int,
    now: datetime,
    elsewhere: Mapping[str, str] | None,
) -> NodeStatus:
    result = results.get(_step_of(node, project))
    if node.role is Role.DATASET:
        extract = results.get(node_name(node.dataset, Role.EXTRACT))
        result = extract if extract is not None and extract.status is Status.FAILED else result
    commit = state.commit if state else None
    if result is None and commit is None:
        return NodeStatus("never")
    at = (result.started if result else "") or (commit.now if commit else "")
    status = result.status if result else Status.DONE
    warned = tuple(str(check) for check in result.warnings) if result else ()
    if node.role in (Role.DATASET, Role.CONSUMER):
        rows = commit.rows if commit else (result.rows if result else None)
        version = commit.version if commit else (result.version if result else None)
        error = state.foreign if state else ""
        if elsewhere is not None and commit is None and result is not None and result.version is not None:
            error = error or _tell_gone(node.dataset, project, elsewhere)
        kept = _kept(status, rows)
        fresh = tell_age(commit.now if commit and kept != Status.DONE else at, now)
        return NodeStatus(Status.FAILED if error else kept, rows, rejects, fresh, error, version, warned)
    error = result.error if result else ""
    rejected = result.rejected if result and node.role is not Role.SOURCE else 0
    rows = result.rows_inserted if result and node.role is Role.EXTRACT else None
    return NodeStatus(status, rows, rejected, tell_age(at, now), error, warnings=warned)


def _tell_gone(dataset: str, project: Project, elsewhere: Mapping[str, str]) -> str:
    if dataset in elsewhere:
        place = project.store_of(dataset)
        return f"{dataset} is in {elsewhere[dataset]}, and not yet in {place}: the next run makes it anew there"
    return f"{dataset} was made and is gone from its store: the next run makes it anew"


def _kept(status: Status, rows: int | None) -> Status | Literal["stale"]:
    """A dataset keeps its last good version when its step failed: it is stale, not failed."""
    if status in (Status.DONE, Status.UNCHANGED, Status.SKIPPED):
        return Status.DONE
    return "stale" if rows is not None else status


def _step_of(node: Node, project: Project) -> str:
    if node.role is Role.SOURCE:
        return node_name(node.dataset, Role.EXTRACT)
    if node.role is Role.DATASET:
        return project.everything[node.dataset].writer
    return node.name


def tell_age(at: str, now: datetime) -> str:
    """Say how long ago a moment (ISO text) was: "3 min ago", "3 d ahead"; "" when it cannot be read."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return ""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (now - moment).total_seconds()
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            return f"{int(abs(seconds) // size)} {unit} {'ago' if seconds > 0 else 'ahead'}"
    return "just now"
