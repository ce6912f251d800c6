"""`headwater show`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say
from headwater.core.commit import PINNED
from headwater.core.graph import Role, node_name
from headwater.core.texts import visible
from headwater.errors import ProjectError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.api import LoadedProject
    from headwater.core.commit import KeptVersion
    from headwater.plan.describe import ColumnDescription
    from headwater.sql.lineage import Leaf


@click.command()
@click.argument("dataset")
@click.option("--rejected", is_flag=True, help="Its rejects, those of a failed load too.")
@json_option
@click.pass_context
def command(ctx: click.Context, dataset: str, rejected: bool, as_json: bool) -> None:
    """Show one dataset: where it is, schema, what it reads, checks, last runs."""

    def body() -> int:
        loaded = load(ctx)
        about = describe_rejects(loaded, dataset) if rejected else tell_dataset(loaded, dataset)
        print_json(about) if as_json else _print(about)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def tell_dataset(loaded: LoadedProject, name: str) -> dict[str, Any]:
    """Return what is known of a dataset, as plain values."""
    from headwater.core.near import suggest
    from headwater.plan.describe import describe_dataset

    project = loaded.project
    if project.find(name) is None:
        raise ProjectError(f"no dataset is named {name}", fix=suggest(name, project.everything))
    state = loaded.states().get(name)
    about = describe_dataset(project, name, state, lineage=loaded.lineage())
    dataset, commit = about.dataset, about.commit
    return {
        "dataset": name,
        "kind": dataset.kind,
        "declared": str(dataset.location),
        "description": dataset.spec.description,
        "owner": dataset.spec.owner,
        "store": dataset.store,
        "location": state.location if state else "",
        "reads": [dataset.origin] if dataset.origin else list(dataset.inputs),
        "read_by": list(project.readers_of(name)),
        "columns": [tell_column(column) for column in about.columns],
        "decided_by": {kind: leaf_names(leaves) for kind, leaves in about.traced.indirect.items()},
        "rows": about.rows,
        "version": about.version,
        "sequence": commit.sequence if commit else None,
        "inputs": commit.inputs if commit else {},
        "position": state.position if state else {},
        "versions": [tell_version(kept) for kept in state.kept] if state else [],
        "foreign": state.foreign if state else "",
        "checks": [check.model_dump(exclude_defaults=True) for check in dataset.checks],
        "runs": describe_runs(loaded, dataset.writer, node_name(name, Role.EXTRACT)),
    }


def tell_version(kept: KeptVersion) -> dict[str, Any]:
    """Return a version of an artefact as plain values: when it was made, of what, and what is known of it."""
    commit, details = kept.commit, dict(kept.commit.position.get("details", {}))
    told = {key: details[key] for key in ("model_version", "metrics", "baseline") if key in details}
    made_of = {PINNED: commit.position[PINNED]} if PINNED in commit.position else {}
    return {"version": commit.version, "at": commit.now, **made_of, **told, "inputs": commit.inputs}


def describe_runs(loaded: LoadedProject, step: str, before: str) -> list[dict[str, Any]]:
    """Return the last results of a step, newest first; one that was blocked with the error of the step before it."""
    try:
        before_it, results = loaded.history(before, 10), loaded.history(step, 5)
    except StateError as error:  # the journal is damaged: what is there is shown without its history
        say(f"warning: {error}", err=True)
        return []
    failed = {run_id: result.error for run_id, result in before_it}
    return [
        {"run_id": run_id, **asdict(result), "error": result.error or failed.get(run_id, "")}
        for run_id, result in results
    ]


def tell_column(column: ColumnDescription) -> dict[str, Any]:
    """Return a column with the columns it is made of, as plain values."""
    return {
        "name": column.name,
        "type": column.type,
        "source_type": column.source_type,
        "from": leaf_names(column.made_of),
        "unknown": column.unknown,
    }


def leaf_names(leaves: Iterable[Leaf]) -> list[str]:
    """Return `namespace.dataset.column` of each, of a source's own column with `/source` after its table."""
    return [f"{dataset}.{column}" for dataset, column in leaves]


def describe_rejects(loaded: LoadedProject, name: str) -> dict[str, Any]:
    """Return the rejects of a source's table: counts by file and rule, and the first rows."""
    rejects, failed = loaded.rejects(name)
    counts = (
        rejects.group_by(["_file", "rule"]).aggregate([([], "count_all")]).rename_columns(["_file", "rule", "rows"])
    )
    order = [("_file", "ascending"), ("rule", "ascending")]
    rows = rejects.sort_by([("_file", "ascending"), ("_line", "ascending")]).slice(0, 20)
    return {
        "dataset": name,
        "of": "a load that failed: nothing of it was kept" if failed else "what is loaded",
        "rejects": counts.sort_by(order).to_pylist(),
        "rows": rows.select(["_file", "_line", "rule", "reason", "raw"]).to_pylist(),
    }


def _print(about: dict[str, Any]) -> None:
    for key, value in about.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            say(f"{key}:")
            for item in value:
                say("  " + ", ".join(f"{k}={_words(v)}" for k, v in item.items() if v not in (None, "", [], ())))
        elif key == "decided_by":
            for kind, names in value.items():
                say(f"decided by {kind}: {', '.join(names)}")
        elif value not in (None, "", [], {}):
            text = ", ".join(str(item) for item in value) if isinstance(value, list) else value
            say(f"{key}: {text}")


def _words(value: Any) -> str:
    """Write a list of words without brackets."""
    plain = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return visible(" ".join(value) if plain else str(value), one_line=True)
