"""The command line: one file per command, imported when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

_COMMANDS = {
    "check": "Bind every model on empty tables; report every problem at once.",
    "contract": "Export the contract of a port.",
    "doctor": "Look everything over: what is damaged, and the command that mends it.",
    "draw": "Draw the project as SVG, PNG, dot, Mermaid, text or HTML.",
    "init": "Make a small project that runs.",
    "maintain": "Remove what nobody can read any more.",
    "plan": "Show what a run would do, and why.",
    "query": "Run one SELECT over the datasets, read-only.",
    "run": "Execute the project.",
    "show": "Show one dataset: schema, last runs, checks, rejects.",
    "status": "Show how every dataset stands.",
    "test": "Run the unit tests of tests/*.yaml.",
    "types": "Show how the types of a source land: exact, widened or lossy.",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"headwater.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; that its reader leaves (`| head`) is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be written goes nowhere
            raise click.exceptions.Exit(0) from None
        except RuntimeError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # how DuckDB tells of a Ctrl-C in a query
                raise KeyboardInterrupt from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from headwater.core.near import find_near

            if near := find_near(args[0], _COMMANDS):
                raise click.UsageError(f"{error.message} Did you mean {near!r}?", ctx) from None
            raise


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-p", "--project", "folder", default=".", metavar="FOLDER", help="The project's folder; default: here.")
@click.option("--env", "environment", default=None, metavar="NAME", help="A named environment (or HEADWATER_ENV).")
@click.version_option(package_name="headwater")
@click.pass_context
def group(ctx: click.Context, folder: str, environment: str | None) -> None:
    """Headwater: the data architecture diagram that runs."""
    ctx.obj = {"folder": folder, "environment": environment}


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 a step failed, 2 the project is wrong, 3 somebody else holds it, 130 stopped by Ctrl-C.
    """
    from headwater.cli.interrupt import watching

    with watching():
        _call()


def _call() -> None:
    from headwater.cli.out import say
    from headwater.errors import HeadwaterError

    try:
        sys.exit(group.main(prog_name="headwater", standalone_mode=False))
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        say("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"), err=True)
        sys.exit(error.exit_code)
    except HeadwaterError as error:
        say(f"{error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        say(f"{error.filename or 'the file system'}: {error.strerror or error}{_mend(error)}", err=True)
        sys.exit(1)


def _mend(error: OSError) -> str:
    from pathlib import Path

    if not error.filename:
        return ""
    folder = Path(str(error.filename)).absolute().parent
    if not folder.is_dir():
        return f"\n  fix: make the folder {folder.name} first, or name a file elsewhere"
    return "\n  fix: name another file, or mend the rights on this one"
