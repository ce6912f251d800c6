"""`headwater doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from headwater.cli.options import errors_as_json, json_option
from headwater.cli.out import print_json, say

_MARKS = {"ok": "✓", "note": "·", "damaged": "✕"}


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Look over versions, extras, project, journal, lease and every table to its last row; changes none of it.

    Exits with 1 when something is damaged, and says the command that mends it.
    """

    def body() -> int:
        from headwater.workspace.doctor import diagnose

        found = diagnose(ctx.obj["folder"], ctx.obj["environment"])
        code = 1 if any(finding.state == "damaged" for finding in found) else 0
        if as_json:
            print_json({"findings": [asdict(finding) for finding in found], "exit_code": code})
            return code
        for finding in found:
            what = f": {finding.what}" if finding.what else ""
            say(f"{_MARKS[finding.state]} {finding.about} {finding.name}{what}")
            if finding.fix:
                say(f"    {finding.fix}")
        damaged = sum(finding.state == "damaged" for finding in found)
        say(f"{damaged} damaged" if damaged else "all is well")
        return code

    ctx.exit(errors_as_json(body, as_json))
