"""What the map's panel says of every dataset, as plain JSON values: declared, stored, traced and run.

Values of rows are never in it, nor is a secret: every text is freed of the secrets that the project knows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.core.project import Model
from headwater.core.secrets import redact_all
from headwater.core.specs import IngestSpec
from headwater.core.texts import visible
from headwater.plan.describe import describe_dataset
from headwater.quality import compile_scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.core.commit import Column, TableState
    from headwater.core.dataset import Dataset
    from headwater.core.project import Project
    from headwater.core.run import CheckResult, StepResult
    from headwater.core.specs import DescribedSpec, PrepareRule
    from headwater.plan.describe import ColumnDescription
    from headwater.plan.lineage import Lineage

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
    for name, dataset in project.everything.items():
        about = describe_dataset(project, name, states.get(name), schemas.get(name), lineage)
        results = history.get(dataset.writer, ())
        told = {
            "description": dataset.spec.description,
            "owner": dataset.spec.owner,
            "tags": list(dataset.spec.tags),
            "kind": dataset.kind,
            "store": dataset.store,
            "rows": about.rows,
            "version": about.version,
            "declared": str(dataset.location),
            "reads": list(dataset.inputs),
            "read_by": list(project.readers_of(name)),
            "columns": [_column(column) for column in about.columns if not column.is_system],
            "unknown": about.traced.unknown,
            "decided": {kind: [list(leaf) for leaf in leaves] for kind, leaves in about.traced.indirect.items()},
            "checks": _checks(dataset.spec, results),
            "runs": [_run(result) for result in results[:KEPT_RUNS]],
            **_code(dataset),
        }
        found[name] = redact_all(told, project.secrets, visible)
    return found


def _column(column: ColumnDescription) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "from": [list(leaf) for leaf in column.made_of],
        "unknown": column.unknown,
    }


def _checks(spec: DescribedSpec, results: Sequence[StepResult]) -> list[dict[str, Any]]:
    last: dict[str, CheckResult] = {}
    for result in results:
        for check in result.checks:
            last.setdefault(check.check, check)
    found = []
    declared_checks = spec.all_checks()
    measures = compile_scan(declared_checks, SelectSql("SELECT 1"), _ANY_TIME).measures
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


def _code(dataset: Dataset) -> dict[str, Any]:
    declared = dataset.declaration
    if isinstance(declared, Model):
        return {"code": declared.text.strip(), "language": declared.language, "rules": []}
    return {"code": "", "language": "", "rules": _rules(declared.spec) if isinstance(declared.spec, IngestSpec) else []}


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
