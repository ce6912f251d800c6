"""`headwater test`."""

from __future__ import annotations

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say


@click.command()
@click.argument("names", nargs=-1)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Run the unit tests of tests/*.yaml: all, or those of the named files or models."""

    def body() -> int:
        from dataclasses import asdict

        results = load(ctx).test(names)
        failed = [result for result in results if not result.passed]
        if as_json:
            print_json([asdict(result) for result in results])
            return 1 if failed else 0
        for result in results:
            say(f"{'✓' if result.passed else '✕'} {result.name}")
            for row in result.missing:
                say(f"  missing:    {row}")
            for row in result.unexpected:
                say(f"  unexpected: {row}")
            if result.error:
                say(f"  {result.location}: {result.error}")
        say(f"{len(results) - len(failed)} passed, {len(failed)} failed")
        return 1 if failed else 0

    ctx.exit(errors_as_json(body, as_json))
