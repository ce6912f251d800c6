"""States of tables as stores would describe them, written in one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from headwater.contracts import TableDescription
from headwater.core.commit import Column, Commit, TableState
from headwater.core.plan import Plan
from headwater.core.project import Model, Project, SourceTable
from headwater.plan.build import build_plan
from headwater.plan.planning import Observed
from headwater.plan.steps.transform import model_fingerprints

NOW = datetime(2024, 1, 10, 12, tzinfo=UTC)


def made(
    name: str,
    fingerprint: str = "",
    version: int = 1,
    *,
    inputs: dict[str, int] | None = None,
    position: dict[str, Any] | None = None,
    columns: tuple[Column, ...] = (),
    **commit: Any,
) -> TableState:
    """A table at its last commit."""
    sequence = commit.pop("sequence", version)
    done = Commit(
        producer=f"{name}/any", sequence=sequence, previous=None, run_id="r", fingerprint=fingerprint,
        now=commit.pop("now", NOW.isoformat()), version=version, position=position or {}, inputs=inputs or {}, **commit,
    )  # fmt: skip
    return TableState(name, columns=columns, commit=done, position=position or {}, scan="SELECT 1")


def all_made(project: Project, **changes: TableState) -> dict[str, TableState]:
    """Every table as a run has just left it: version 1, from version 1 of its inputs."""
    states = {}
    for name, table in project.declared(SourceTable).items():
        states[name] = made(name, table.fingerprint, position={"version": "v1"})
    prints = model_fingerprints(project)
    for name, model in project.declared(Model).items():
        if not model.is_view:
            inputs = dict.fromkeys(project.physical_inputs(name), 1)
            spans = {"intervals": [["2024-01-01T00:00:00", "2024-01-11T00:00:00"]]} if model.spec.time else {}
            states[name] = made(name, prints[name], inputs=inputs, position=spans)
    return {**states, **changes}


def described(project: Project, version: str | None = "v1") -> dict[str, TableDescription]:
    """Every source answers, with one version."""
    return {name: TableDescription(version=version) for name in project.declared(SourceTable)}


def committed(state: TableState, **changes: Any) -> TableState:
    """The state with its commit changed."""
    assert state.commit is not None
    return replace(state, commit=replace(state.commit, **changes))


def plan_of(project: Project, states: dict[str, TableState] | None = None, **more: Any) -> Plan:
    """Plan with every source answering v1 unless told otherwise."""
    observed = Observed(
        states if states is not None else {},
        more.pop("sources", described(project)),
        more.pop("time_sources", {}),
        more.pop("notes", ()),
        more.pop("orphans", ()),
    )
    return build_plan(project, observed, more.pop("now", NOW), more.pop("request", None))


def decisions(plan: Plan) -> dict[str, str]:
    """Node to "decision: reason"."""
    return {step.node: f"{step.decision.value}: {step.reason}" for step in plan.steps}
