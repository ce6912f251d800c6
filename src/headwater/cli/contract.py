"""`headwater contract`."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.options import load
from headwater.cli.out import say


@click.group()
def command() -> None:
    """Contracts of ports."""


@command.command()
@click.argument("port")
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
@click.pass_context
def export(ctx: click.Context, port: str, output: str | None) -> None:
    """Write a port's contract as a file of the Open Data Contract Standard 3.1."""
    from headwater.core.near import suggest
    from headwater.core.odcs import contract_text
    from headwater.core.port import Port
    from headwater.errors import ProjectError

    ports = load(ctx).project.declared(Port)
    if port not in ports:
        raise ProjectError(f"no port is named {port}", fix=suggest(port, ports, "declare it in products/"))
    text = contract_text(ports[port].contract)
    if output is None:
        say(text.rstrip("\n"))
    else:
        Path(output).write_text(text, encoding="utf-8")
