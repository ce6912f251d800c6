"""`headwater contract`."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import print_json, say


@click.command()
@click.argument("action", type=click.Choice(["export"]))
@click.argument("port")
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
@json_option
@click.pass_context
def command(ctx: click.Context, action: str, port: str, output: str | None, as_json: bool) -> None:
    """Export the contract of a port as a file of the Open Data Contract Standard 3.1."""

    def body() -> int:
        from headwater.core.near import suggest
        from headwater.core.odcs.write import contract_text, write_contract
        from headwater.core.port import Port
        from headwater.errors import ProjectError

        ports = load(ctx).project.declared(Port)
        if port not in ports:
            raise ProjectError(f"no port is named {port}", fix=suggest(port, ports, "declare it in products/"))
        contract = ports[port].contract
        if output is not None:
            Path(output).write_text(contract_text(contract), encoding="utf-8")
        elif as_json:
            print_json(write_contract(contract))
        else:
            say(contract_text(contract).rstrip("\n"))
        return 0

    ctx.exit(errors_as_json(body, as_json))
