"""`headwater status`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.options import errors_as_json, json_option, load, tell_problems
from headwater.cli.out import print_json, say
from headwater.core.graph import Role, node_name
from headwater.errors import StateError

if TYPE_CHECKING:
    from headwater.api import LoadedProject
    from headwater.core.run import StepResult


_WRITERS = (Role.EXTRACT, Role.LOAD, Role.TRANSFORM, Role.PUBLISH, Role.CONSUMER, Role.SCORE)


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show how every dataset stands: rows, version, age, rows in quarantine, failures; and the last runs."""

    def body() -> int:
        loaded = load(ctx)
        project, now = loaded.project, datetime.now(UTC)
        statuses, late = loaded.node_statuses(now), loaded.late_promises(now)
        results, runs = _history(loaded)
        rows = []
        for name, dataset in project.everything.items():
            if not dataset.is_stored:
                continue
            steps = [results.get(node_name(name, role)) for role in _WRITERS]
            status = statuses[name]
            rows.append(
                {
                    "dataset": name,
                    "store": dataset.store,
                    "status": str(status.status),
                    "rows": status.rows,
                    "version": status.version,
                    "age": status.freshness,
                    "rejected": status.rejected,
                    "error": status.error or next((step.error for step in steps if step and step.error), ""),
                    "warnings": [*status.warnings, *late.get(name, ())],
                    "notes": [note for step in steps if step for note in step.notes],
                }
            )
        print_json({"datasets": rows, "runs": runs}) if as_json else _print(rows, runs)
        tell_problems(loaded)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def _history(loaded: LoadedProject) -> tuple[dict[str, StepResult], list[dict[str, Any]]]:
    """Return the last results and runs; none when the journal is damaged, which `problems` tells."""
    try:
        results, runs = loaded.last_results(), loaded.runs(5)
    except StateError:
        return {}, []
    return results, [
        {"run_id": r.run_id, "status": r.status.value, "started": r.started, "duration_s": r.duration_s} for r in runs
    ]


def _print(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    heads = ("dataset", "store", "status", "rows", "version", "age", "rejected")
    table = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max([len(head), *(len(row[i]) for row in table)]) for i, head in enumerate(heads)]
    say("  ".join(f"{head:<{width}}" for head, width in zip(heads, widths, strict=True)).rstrip())
    for row, cells in zip(rows, table, strict=True):
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
        if row["error"]:
            say(f"  {row['error']}")
        for warning in row["warnings"]:
            say(f"  warning: {warning}")
        for note in row["notes"]:
            say(f"  ! {note}")
    for run in runs:
        say(f"run {run['run_id']}: {run['status']}, {run['duration_s']:.1f} s, {run['started'][:19]} UTC")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
