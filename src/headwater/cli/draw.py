"""`headwater draw`."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from pathlib import Path

import click

from headwater.cli.options import load

_FORMATS = ("svg", "dot", "mermaid", "text", "png")
_SUFFIXES = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".txt": "text", ".png": "png"}


@click.command()
@click.option("--level", type=click.Choice(["architecture", "domains", "datasets"]), default="datasets")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: by the file's ending, else svg.")
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
@click.option("--open", "show", is_flag=True, help="Open it; without a browser the path is printed.")
@click.pass_context
def command(ctx: click.Context, level: str, form: str | None, output: str | None, show: bool) -> None:
    """Draw the project, with the status, rows and freshness of the last run."""
    form = form or _SUFFIXES.get(Path(output or "").suffix, "svg")
    loaded = load(ctx)
    drawn = loaded.draw(level=level, format=form)
    if show and output is None:
        output = str(Path(loaded.project.root) / ".headwater" / f"diagram.{'txt' if form == 'text' else form}")
        Path(output).parent.mkdir(parents=True, exist_ok=True)
    if output is None:
        sys.stdout.buffer.write(drawn if isinstance(drawn, bytes) else drawn.encode())
        return
    Path(output).write_bytes(drawn if isinstance(drawn, bytes) else drawn.encode())
    if show and _has_browser():
        webbrowser.open(Path(output).resolve().as_uri())
    click.echo(output)


def _has_browser() -> bool:
    if os.environ.get("BROWSER") or shutil.which("open"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
