"""`headwater run`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.interrupt import leave
from headwater.cli.options import (
    attended,
    errors_as_json,
    exclude_option,
    from_option,
    json_option,
    load,
    now_option,
    parse_clock,
    select_option,
    to_option,
)
from headwater.cli.out import print_json, say

if TYPE_CHECKING:
    from typing import TextIO

    from headwater.core.plan import Plan
    from headwater.core.run import Run
    from headwater.run.context import RunContext


@click.command()
@select_option
@exclude_option
@click.option("--full", multiple=True, metavar="TERM", help="Rebuild these from nothing.")
@click.option(
    "--reset", multiple=True, metavar="NAME", help="Drop this table first: the way out when others changed it."
)
@click.option("--retire", multiple=True, metavar="PORT", help="Drop this port, which no product declares any more.")
@click.option(
    "--use", multiple=True, metavar="NAME[@VERSION]", help="Read this version of an artefact; without one, the newest."
)
@click.option("--keep-history", is_flag=True, help="Changed SQL does not rebuild finished intervals.")
@from_option
@to_option
@click.option("--frozen", is_flag=True, help="Write no schema file; an unknown schema is an error.")
@click.option("--wait", is_flag=True, help="Wait for another run, or who holds the warehouse.")
@click.option("--log", type=click.Choice(["auto", "plain", "json"]), default="auto", help="How progress is shown.")
@click.option(
    "--openlineage", type=click.File("a", "utf-8"), metavar="FILE", help="Append OpenLineage events, one a line."
)
@now_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], full: tuple[str, ...],
    reset: tuple[str, ...], retire: tuple[str, ...], use: tuple[str, ...],
    keep_history: bool, begin: str | None, end: str | None, frozen: bool, wait: bool, log: str,
    openlineage: TextIO | None, now: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Execute the project: what has changed, and what reads it. Ctrl-C stops at the next boundary, or after 1.5 s."""

    def body() -> int:
        from headwater.cli.progress import make_progress
        from headwater.plan.select import select_datasets

        loaded = load(ctx, whole=True)
        for terms in (select, exclude, full):  # before anything is dropped
            select_datasets(loaded.graph, terms, lambda _: True)
        if reset or retire or use:
            loaded.reset(reset, retire=retire, use=use, wait=wait, tell=_tell)
            for term in use:
                name, at, version = term.partition("@")
                _tell(f"{name}: of version {version}, as asked" if at else f"{name}: the newest version is read again")
            for name in retire:
                _tell(f"{name}: retired, its table is dropped")
        progress = make_progress("quiet" if as_json else log, loaded.project.secrets)
        with progress:
            run = loaded.run(
                select=select,
                exclude=exclude,
                full=full,
                keep_history=keep_history,
                begin=begin,
                end=end,
                now=parse_clock(now),
                listeners=[progress],
                wait=wait,
                tell=_tell,
                propose=None if frozen else _proposer(),
                on_start=lambda plan, context: _begin(plan, context, progress, openlineage),
            )
        print_json(run_as_json(run)) if as_json else progress.print_summary(run)
        return exit_code(run)

    ctx.exit(errors_as_json(body, as_json))


def _tell(text: str) -> None:
    say(text, err=True)


def _proposer() -> Any:
    """Return what announces a proposed schema file when a person watches, else None: nothing is inferred unattended."""
    return (lambda text: say(text, err=True)) if attended() else None


def _begin(plan: Plan, context: RunContext, progress: Any, openlineage: TextIO | None = None) -> None:
    """Show the plan's size, and let the first Ctrl-C stop at the next boundary, the second at once."""
    progress.begin(plan)
    for note in plan.notes if not plan.steps else ():
        say(f"note: {note}", err=True)
    if openlineage is not None:
        from headwater.run.listeners.openlineage import OpenLineage

        context.listeners.append(OpenLineage(plan, context, openlineage))

    def stop(*_: object) -> None:
        if context.stopping.is_set():
            leave()
        context.stopping.set()
        say("stopping at the next boundary; once more stops at once", err=True)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def exit_code(run: Run) -> int:
    """Return 0 when every step went well, 130 when the run was stopped, else 1."""
    return {"done": 0, "stopped": 130}.get(run.status, 1)


def run_as_json(run: Run) -> dict[str, Any]:
    """Return a run as plain JSON values."""
    from dataclasses import asdict

    return asdict(run)
