"""`headwater draw`."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.options import errors_as_json, json_option, load, tell_problems
from headwater.cli.out import print_json, say

if TYPE_CHECKING:
    from headwater.api import LoadedProject

_FORMATS = ("svg", "dot", "mermaid", "text", "png", "html")
_SUFFIXES = {
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".txt": "text",
    ".png": "png",
    ".html": "html",
}


@click.command()
@click.option("--level", type=click.Choice(["architecture", "domains", "datasets"]), default="datasets")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: by the file's ending, else svg.")
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
@click.option("--open", "show", is_flag=True, help="Open it; without a browser the path is printed.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, level: str, form: str | None, output: str | None, show: bool, as_json: bool
) -> None:  # fmt: skip
    """Draw the project, with the status, rows and freshness of the last run. JSON: its nodes and edges."""

    def body() -> int:
        loaded = load(ctx)
        print_json(graph_as_json(loaded)) if as_json else _draw(loaded, level, form, output, show)
        tell_problems(loaded)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def graph_as_json(loaded: LoadedProject) -> dict[str, Any]:
    """Return the graph and the status of its nodes as plain JSON values; a view is never run and has none."""
    statuses = loaded.node_statuses()
    nodes = [
        {
            "name": node.name,
            "layer": node.layer.value,
            "family": node.family.value,
            "kind": node.kind,
            "role": node.role.value,
            "domain": node.domain,
            "declared": str(node.location),
            "status": str(statuses[node.name].status) if node.name in statuses else "",
            "rows": statuses[node.name].rows if node.name in statuses else None,
            "warnings": list(statuses[node.name].warnings) if node.name in statuses else [],
        }
        for node in loaded.graph.nodes.values()
    ]
    return {"nodes": nodes, "edges": [asdict(edge) for edge in loaded.graph.edges]}


def _draw(loaded: LoadedProject, level: str, form: str | None, output: str | None, show: bool) -> None:
    form = form or _form_of(output)
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
    say(output)


def _form_of(output: str | None) -> str:
    suffix = Path(output or "").suffix
    if suffix and suffix not in _SUFFIXES:
        raise click.BadParameter(f"{output}: what is {suffix}? Known endings: {', '.join(_SUFFIXES)}; or say --format")
    return _SUFFIXES.get(suffix, "svg")


def _has_browser() -> bool:
    if os.environ.get("BROWSER") or shutil.which("open"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
