"""What several commands share: loading the project, selections, the clock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from headwater.cli.out import print_json, say
from headwater.errors import HeadwaterError, ProjectErrors

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headwater.api import LoadedProject

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
select_option = click.option(
    "-s", "--select", multiple=True, metavar="TERM", help="Only these: name, +name, name+, tag:x …"
)
exclude_option = click.option("--exclude", multiple=True, metavar="TERM", help="All but these.")
from_option = click.option(
    "--from", "begin", default=None, metavar="TIME", help="Of models with `time`: compute the intervals since then."
)
to_option = click.option("--to", "end", default=None, metavar="TIME", help="… and before then; done or not, no others.")
now_option = click.option("--now", default=None, metavar="TIME", help="The run's clock, ISO; default: the wall clock.")
offline_option = click.option("--offline", is_flag=True, help="Ask no source; use what it last said.")


def load(ctx: click.Context, *, whole: bool = False, offline: bool = False) -> LoadedProject:
    """Load the project that -p and --env name; warnings go to standard error.

    Raises:
        ProjectErrors: It is broken; with `whole`, the rest of it is checked as well, so that all problems are told.
    """
    from headwater.api import find_problems
    from headwater.api import load as load_folder

    place = ctx.obj["folder"], ctx.obj["environment"]
    try:
        loaded = load_folder(*place)
    except ProjectErrors:
        if not whole:
            raise
        raise find_problems(*place, offline=offline, attended=attended()) from None
    for warning in loaded.project.warnings:
        say(f"warning: {warning}", err=True)
    return loaded


def tell_problems(loaded: LoadedProject) -> None:
    """Say on standard error what is damaged and was done without."""
    for problem in loaded.problems:
        say(f"warning: {problem}", err=True)


def attended() -> bool:
    """Whether a person watches: only then a run proposes schemas that nobody declared."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def parse_clock(text: str | None) -> datetime | None:
    """Read --now.

    Raises:
        click.BadParameter: It is not an ISO date or timestamp.
    """
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an ISO date or timestamp", param_hint="--now") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def errors_as_json(run: Callable[[], int], as_json: bool) -> int:
    """Run a command's body; with --json an error is printed as JSON on standard output."""
    try:
        return run()
    except HeadwaterError as error:
        if not as_json:
            raise
        problems = getattr(error, "errors", (error,))
        print_json(
            {
                "errors": [
                    {"what": e.what, "fix": e.fix, "path": e.path, "line": e.line, "column": e.column} for e in problems
                ],
                "exit_code": error.exit_code,
            }
        )
        return error.exit_code
