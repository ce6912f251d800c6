"""What the map's panel says of every dataset, as plain JSON values: declared, stored, traced and run.

Values of rows are never in it, nor is a secret: every text is freed of the secrets that the project knows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.contracts import SYSTEM_COLUMNS
from headwater.core.graph import Role, node_name
from headwater.core.secrets import redact_all
from headwater.core.texts import visible
from headwater.quality import compile_scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.core.commit import Column, TableState
    from headwater.core.project import Model, Project, SourceTable
    from headwater.core.run import CheckResult, StepResult
    from headwater.core.specs import DescribedSpec, IngestSpec, PrepareRule
    from headwater.plan.lineage import Lineage
    from headwater.sql.lineage import ColumnLineage

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)

KEPT_RUNS = 5
"""Runs of a dataset's step that the panel lists."""


def describe_datasets(
    project: Project,
    states: Mapping[str, TableState],
    schemas: Mapping[str, Sequence[Column] | None],
    lineage: Lineage,
    history: Mapping[str, Sequence[StepResult]],
) -> dict[str, Any]:
    """Describe every dataset of a project.

    Args:
        project: The project.
        states: What the stores say.
        schemas: Columns of every dataset as they are declared now; None: not known.
        lineage: Column lineage.
        history: Results by step, newest first.
    """
    found = {}
    for name in (*project.sources, *project.models):
        table, model = project.sources.get(name), project.models.get(name)
        spec: Any = table.ingest if table else project.models[name].spec
        step = node_name(name, Role.LOAD if table else Role.TRANSFORM)
        state = states.get(name)
        commit = state.commit if state else None
        traced = lineage.datasets[name].traced
        columns = state.columns if state and state.columns else schemas.get(name) or ()
        about = {
            "description": spec.description,
            "owner": spec.owner,
            "tags": list(spec.tags),
            "kind": table.kind if table else spec.materialize,
            "store": project.store_of(name),
            "rows": commit.rows if commit else None,
            "version": commit.version if commit else None,
            "declared": str((table or project.models[name]).location),
            "reads": list(model.inputs) if model else [],
            "read_by": _readers(project, name),
            "columns": _columns(spec, columns, traced),
            "unknown": traced.unknown,
            "decided": {kind: [list(leaf) for leaf in leaves] for kind, leaves in traced.indirect.items()},
            "checks": _checks(spec, history.get(step, ())),
            "runs": [_run(result) for result in history.get(step, ())[:KEPT_RUNS]],
            **_code(model, table),
        }
        found[name] = redact_all(about, project.secrets, visible)
    return found


def _readers(project: Project, name: str) -> list[str]:
    return sorted(model.name for model in project.models.values() if name in model.inputs)


def _columns(spec: DescribedSpec, columns: Iterable[Column], traced: ColumnLineage) -> list[dict[str, Any]]:
    made_of = {column.name.lower(): column for column in traced.columns}
    described = {name.lower(): column.description for name, column in spec.columns.items()}
    found = []
    for column in columns:
        if column.name not in SYSTEM_COLUMNS:
            known = made_of.get(column.name.lower())
            found.append(
                {
                    "name": column.name,
                    "type": column.type,
                    "description": described.get(column.name.lower(), ""),
                    "from": [list(leaf) for leaf in known.leaves] if known else [],
                    "unknown": known.unknown if known else "it is not declared any more",
                }
            )
    return found


def _checks(spec: DescribedSpec, results: Sequence[StepResult]) -> list[dict[str, Any]]:
    last: dict[str, CheckResult] = {}
    for result in results:
        for check in result.checks:
            last.setdefault(check.check, check)
    found = []
    declared_checks = spec.all_checks()
    measures = compile_scan(declared_checks, "SELECT 1", _ANY_TIME).measures
    for declared, name in zip(declared_checks, [measure.name for measure in measures], strict=True):
        outcome = last.get(name)
        found.append(
            {
                "name": name,
                "severity": declared.severity,
                "passed": outcome.passed if outcome else None,
                "failing": outcome.failing if outcome else 0,
                "rows": outcome.rows if outcome else 0,
            }
        )
    return found


def _run(result: StepResult) -> dict[str, Any]:
    moved = [(result.rows_inserted, "+"), (result.rows_deleted, "−")]
    return {
        "started": result.started,
        "status": result.status.value,
        "duration_s": round(result.duration_s, 3),
        "reason": result.reason,
        "error": result.error.partition("\n")[0],
        "changed": " ".join(f"{sign}{number:,}" for number, sign in moved if number),
    }


def _code(model: Model | None, table: SourceTable | None) -> dict[str, Any]:
    if model is not None:
        return {"code": model.text.strip(), "language": model.language, "rules": []}
    return {"code": "", "language": "", "rules": _rules(table.ingest) if table else []}


def _rules(ingest: IngestSpec) -> list[str]:
    """Say the preparation in one line per rule; the key of a mask is never shown."""
    said = [_say_rule(rule) for rule in ingest.prepare]
    return [*said, *(f"reject {name}: {sql}" for name, sql in ingest.reject_if.items())]


def _say_rule(rule: PrepareRule) -> str:
    value: Any = getattr(rule, rule.kind)
    if rule.mask is not None:
        value = rule.mask.columns
    elif rule.dedupe is not None:
        value = [*rule.dedupe.by, *([f"order {rule.dedupe.order}"] if rule.dedupe.order else [])]
    if isinstance(value, dict):
        return f"{rule.kind} " + ", ".join(f"{name}: {given}" for name, given in value.items())
    return f"{rule.kind} {', '.join(map(str, value))}"
