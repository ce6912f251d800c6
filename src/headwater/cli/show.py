"""`headwater show`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say
from headwater.core.graph import Role, node_name
from headwater.core.texts import visible
from headwater.errors import ProjectError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.api import LoadedProject
    from headwater.core.commit import Column
    from headwater.sql.lineage import ColumnLineage, Leaf


@click.command()
@click.argument("dataset")
@click.option("--rejected", is_flag=True, help="Its rejects, those of a failed load too.")
@json_option
@click.pass_context
def command(ctx: click.Context, dataset: str, rejected: bool, as_json: bool) -> None:
    """Show one dataset: where it is, schema, what it reads, checks, last runs."""

    def body() -> int:
        loaded = load(ctx)
        about = describe_rejects(loaded, dataset) if rejected else describe_dataset(loaded, dataset)
        print_json(about) if as_json else _print(about)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def describe_dataset(loaded: LoadedProject, name: str) -> dict[str, Any]:
    """Return what is known of a dataset, as plain values."""
    from headwater.project.validate import suggest

    project = loaded.project
    if name not in project.sources and name not in project.models:
        raise ProjectError(f"no dataset is named {name}", fix=suggest(name, [*project.sources, *project.models]))
    state = loaded.states().get(name)
    table, model = project.sources.get(name), project.models.get(name)
    spec: Any = table.ingest if table else model.spec if model else None
    step = node_name(name, Role.LOAD if table else Role.TRANSFORM)
    commit = state.commit if state else None
    traced = loaded.lineage().datasets[name].traced
    checks = [check.model_dump(exclude_defaults=True) for check in spec.all_checks()]
    return {
        "dataset": name,
        "kind": table.kind if table else model.spec.materialize if model else "",
        "declared": str(table.location if table else model.location if model else ""),
        "description": spec.description,
        "owner": spec.owner,
        "store": project.store_of(name),
        "location": state.location if state else "",
        "reads": list(model.inputs) if model else [f"{table.source} ({table.kind})"] if table else [],
        "read_by": sorted({project.graph.nodes[n].dataset for n in project.graph.downstream(name)})
        if name in project.graph.nodes
        else [],
        "columns": describe_columns(state.columns if state else (), traced),
        "decided_by": {kind: leaf_names(leaves) for kind, leaves in traced.indirect.items()},
        "rows": commit.rows if commit else None,
        "version": commit.version if commit else None,
        "sequence": commit.sequence if commit else None,
        "inputs": commit.inputs if commit else {},
        "position": state.position if state else {},
        "foreign": state.foreign if state else "",
        "checks": checks,
        "runs": describe_runs(loaded, step, node_name(name, Role.EXTRACT)),
    }


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


def describe_columns(columns: Sequence[Column], traced: ColumnLineage) -> list[dict[str, Any]]:
    """Return the columns of a table, or of a view, each with the columns it is made of, as plain values."""
    types = {column.name: column for column in columns}
    by_name = {column.name.lower(): column for column in traced.columns}
    found = []
    for name in dict.fromkeys([*types, *(() if columns else (column.name for column in traced.columns))]):
        column, made_of = types.get(name), by_name.get(name.lower())
        found.append(
            {
                "name": name,
                "type": column.type if column else "",
                "source_type": column.source_type if column else "",
                "from": leaf_names(made_of.leaves) if made_of else [],
                "unknown": made_of.unknown if made_of else "",
            }
        )
    return found


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
