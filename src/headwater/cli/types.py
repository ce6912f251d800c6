"""`headwater types`."""

from __future__ import annotations

from dataclasses import asdict

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say

_HEADINGS = ("column", "source type", "read as", "landed as", "fidelity", "")


@click.command()
@click.argument("source")
@json_option
@click.pass_context
def command(ctx: click.Context, source: str, as_json: bool) -> None:
    """Show how the types of a source (or of one table, source.table) land: exact, widened, lossy or refused.

    Exits with 1 when a column would be lossy or refused.
    """
    ctx.exit(errors_as_json(lambda: _types(ctx, source, as_json), as_json))


def _types(ctx: click.Context, source: str, as_json: bool) -> int:
    from headwater.plan.fidelity import describe_types, is_lossless

    found, notes = describe_types(load(ctx).project, source)
    if as_json:
        print_json({"columns": [asdict(column) for column in found], "notes": notes})
        return 0 if is_lossless(found) else 1
    tables = dict.fromkeys((column.table, column.store) for column in found)
    for table, store in tables:
        rows = [(c.column, c.source, c.read, c.landed, c.fidelity, c.remark) for c in found if c.table == table]
        say(f"{table} into the {store}")
        widths = [max(len(row[i]) for row in (_HEADINGS, *rows)) for i in range(len(_HEADINGS))]
        for row in (_HEADINGS, *rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            say(f"  {line.rstrip()}")
    for note in notes:
        say(f"note: {note}")
    return 0 if is_lossless(found) else 1
