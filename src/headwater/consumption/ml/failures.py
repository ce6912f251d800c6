"""What a user's Python failed with: its line, what it said, and no value of a row."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HIDDEN = "…"
_TRAINING = ("learn", "train")
_MOST_CHARACTERS = 2000
_QUOTED = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")
_WORD = re.compile(r"[^\s'\",;:=()\[\]{}]+")


def explain_failure(error: BaseException, request: Mapping[str, Any], values: Collection[str]) -> dict[str, Any]:
    """Return what, fix, path and line of what was raised, as JSON.

    Args:
        error: What was raised.
        request: With the project's `root`, the `file` of the function below it and the `function`.
        values: The texts of the rows; none of them is told.
    """
    if isinstance(error, HeadwaterError):
        what = hide_values(error.what, values) if error.__cause__ else error.what
        return {"what": what, "fix": error.fix, "path": error.path or request["file"], "line": error.line}
    path, line = _place(error, request)
    said = ". ".join([*getattr(error, "__notes__", ()), hide_values(str(error), values)[:_MOST_CHARACTERS]])
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"it ended Python (exit {error.code if isinstance(error.code, int) else 1})"
    doing = f"{request['function']}()" if request["task"] in _TRAINING else f"the model of {request['function']}()"
    return {"what": f"{doing}: {what}", "fix": _fix(error), "path": path, "line": line}


def hide_values(text: str, values: Collection[str]) -> str:
    """Take values of rows out of a text: in quotes, or as words of their own."""
    if not values:
        return text

    def hide(match: re.Match[str]) -> str:
        inner = match[1] if match[1] is not None else match[2]
        return match[0].replace(inner, HIDDEN) if inner and inner in values else match[0]

    return _WORD.sub(lambda match: HIDDEN if match[0] in values else match[0], _QUOTED.sub(hide, text))


def _fix(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "return the fitted estimator instead"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"pip install what gives {error.name}, or put the module into the project"
    return ""


def _place(error: BaseException, request: Mapping[str, Any]) -> tuple[str, int]:
    """Return the innermost line of the project's own; the file alone when there is none."""
    root = Path(request["root"])
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return Path(error.filename).relative_to(root).as_posix(), error.lineno or 0
    found = (request["file"], 0)
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(root) and "site-packages" not in file.parts:
            found = (file.relative_to(root).as_posix(), line)
    return found
