"""What is done for the stores beside the steps: many small files are joined, what nobody can read is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.contracts import MaintainResult
from headwater.core.run import EventName, Status
from headwater.core.secrets import redact
from headwater.errors import ConnectorError, HeadwaterError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.contracts import Store
    from headwater.core.plan import Plan
    from headwater.core.project import Project
    from headwater.core.run import StepResult
    from headwater.plan.observe import Connectors
    from headwater.run.context import RunContext

MANY_SMALL_FILES = 32
"""A table with more small files than this is compacted by the run that wrote it."""


def _maintain(store: Store, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
    """Maintain tables; when that fails each by itself, so that one which is damaged says so and the others go on."""
    try:
        return store.maintain(tables, keep)
    except (ConnectorError, StateError) as error:
        if len(tables) < 2:
            return {name: MaintainResult(problem=str(error)) for name in tables}
    return {name: result for table in tables for name, result in _maintain(store, [table], keep).items()}


def compact_tables(plan: Plan, results: Mapping[str, StepResult], context: RunContext) -> None:
    """Compact what this run wrote, by what its commits said; a failure is a warning, the rows are as they were."""
    for step in plan.steps:
        result, state = results.get(step.node), context.catalogue.states.get(step.dataset)
        written = result is not None and result.status is Status.DONE and step.commits
        if not written or state is None or state.small_files <= MANY_SMALL_FILES or context.stopping.is_set():
            continue
        try:
            context.catalogue.store_of(step.dataset).maintain([step.dataset], {"compact": "only"})
        except (HeadwaterError, OSError) as error:
            text = redact(f"{step.dataset} was not compacted: {error}", context.project.secrets)
            context.emit(EventName.WARNING, step.node, text=text)


def maintain_stores(
    project: Project, connectors: Connectors, keep: Mapping[str, Any], drop_orphans: bool
) -> dict[str, MaintainResult]:
    """Have every store remove what nobody can read any more; results by dataset, those of orphans by `name (store)`."""
    results: dict[str, MaintainResult] = {}
    for kind, store in connectors.stores.items():
        try:
            held = store.describe()
        except StateError as error:
            results[f"({kind})"] = MaintainResult(problem=str(error))
            continue
        declared = [name for name in held if project.stores_in(name, kind)]
        results.update(_maintain(store, declared, keep))
        if drop_orphans:
            orphans = [name for name in held if name not in declared]
            dropped = store.maintain(orphans, {"drop": True})
            results.update({f"{name} ({kind})": result for name, result in dropped.items()})
    return results
