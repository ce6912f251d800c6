"""`headwater maintain`."""

from __future__ import annotations

from typing import Any

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say
from headwater.core.values import parse_duration


@click.command()
@click.option("--keep", default="7d", metavar="AGE", help="Keep old versions and staging this long; default 7d.")
@click.option("--versions", type=int, help="Keep at least this many loads in the lake.")
@click.option("--drop-orphans", is_flag=True, help="Drop datasets that are no longer declared.")
@click.option("--compact/--no-compact", default=True, help="Join the small files of the lakehouse; default on.")
@click.option("--wait", is_flag=True, help="Wait for a run to end.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, keep: str, as_json: bool, **options: Any) -> None:
    """Remove what nobody can read any more (old versions, unreferenced files, staging), and join small files."""

    def body() -> int:
        from dataclasses import asdict

        try:
            age_s = parse_duration(keep).total_seconds()
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--keep") from None
        results = load(ctx).maintain(age_s=age_s, tell=lambda text: say(text, err=True), **options)
        broken = {name: result.problem for name, result in results.items() if result.problem}
        if as_json:
            print_json({name: asdict(result) for name, result in results.items()})
            return 1 if broken else 0
        for problem in broken.values():
            say(problem, err=True)
        for name, result in results.items():
            if result.dropped or result.files_removed or result.staging_removed:
                what = "dropped" if result.dropped else f"{result.files_removed} files, {result.bytes_removed:,} bytes"
                say(f"{name}: {what}, staging of {result.staging_removed} loads")
            if result.files_compacted:
                say(f"{name}: {result.files_compacted} small files joined")
        say(f"{len(results) - len(broken) - ('temporary data' in results)} tables looked at")
        return 1 if broken else 0

    ctx.exit(errors_as_json(body, as_json))
