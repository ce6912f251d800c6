"""`headwater check`."""

from __future__ import annotations

import click

from headwater.cli.options import attended, errors_as_json, json_option, load, offline_option
from headwater.cli.out import print_json, say
from headwater.core.project import Model, SourceTable


@click.command()
@click.option("--write-schemas", is_flag=True, help="Write JSON Schemas for editors to .headwater/schemas.")
@click.option("--strict", is_flag=True, help="Exit 2 when anything could not be checked.")
@offline_option
@json_option
@click.pass_context
def command(ctx: click.Context, write_schemas: bool, strict: bool, offline: bool, as_json: bool) -> None:
    """Bind every model on empty tables; report every problem at once."""
    ctx.exit(errors_as_json(lambda: _check(ctx, write_schemas, strict, offline, as_json), as_json))


def _check(ctx: click.Context, write_schemas: bool, strict: bool, offline: bool, as_json: bool) -> int:
    loaded = load(ctx, whole=True, offline=offline)
    written = loaded.write_schemas() if write_schemas else []
    bound = loaded.check(offline=offline, attended=attended())
    project = loaded.project
    code = 2 if strict and bound.unchecked else 0
    if as_json:
        schemas = {name: [[c.name, c.type] for c in columns] for name, columns in bound.schemas.items() if columns}
        print_json(
            {"errors": [], "notes": bound.notes, "unchecked": bound.unchecked, "schemas": schemas,
             "warnings": list(project.warnings)}
        )  # fmt: skip
        return code
    for note in dict.fromkeys((*bound.unchecked, *bound.notes)):
        say(f"note: {note}")
    for file in written:
        say(f"wrote {file}")
    known = sum(columns is not None for columns in bound.schemas.values())
    verdict = "no problems" if not bound.unchecked else f"no problems in what was checked, {len(bound.unchecked)} not"
    say(
        f"{project.name}: {len(project.declared(SourceTable))} source tables, {len(project.declared(Model))} models, "
        f"{len(project.tests)} unit tests; {known} of {len(bound.schemas)} schemas known; {verdict}"
    )
    return code
