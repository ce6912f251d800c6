"""The one way out of the command line: nothing is written to a terminal or a log that it would obey or hide."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from headwater.core.texts import visible, visible_json


def say(text: str, *, err: bool = False) -> None:
    """Print a text for people, whatever characters are in it."""
    _echo(visible(text), err)


def say_json(text: str) -> None:
    """Print a JSON text; the characters that a terminal would obey are escaped, so its values stay exact."""
    _echo(visible_json(text))


def _echo(text: str, err: bool = False) -> None:
    """Print; that who reads has left (`| head`) changes nothing of what a command does, nor of its exit code."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2 if err else 1)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    say_json(json.dumps(value, indent=2, default=str, ensure_ascii=False))
