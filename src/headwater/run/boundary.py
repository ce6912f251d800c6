"""The one boundary at which the errors of connectors and of user code become ours."""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.core.secrets import redact
from headwater.errors import HeadwaterError, StepError, UserCodeError
from headwater.processing.duckdb.python_models import call_model
from headwater.sql.binding import explain_error

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.plan import PublishStep, Step, TransformStep
    from headwater.core.project import Model, Project

_DOCTOR = "`headwater doctor` says whether something is damaged; else mend the table's rules"

_LINE = re.compile(r"^LINE \d+: (.*)$", re.MULTILINE)


def place_failure(explained: HeadwaterError, step: Step, project: Project) -> HeadwaterError:
    """Return a step's failure with file and line where they are known, free of secrets."""
    if not explained.path:
        explained.path, explained.line = step.location.path, step.location.line
    explained.what = redact(explained.what, project.secrets)
    explained.fix = redact(explained.fix, project.secrets)
    return explained


def call_user_model(model: Model, project: Project, connection: DuckDBPyConnection) -> tuple[SelectSql, Any]:
    """Call a Python model outside a run.

    Raises:
        HeadwaterError: Whatever the user's function raised, with file and line.
    """
    try:
        return call_model(model, project.root, connection, project.object_folders)
    except Exception as error:
        raise _explain_model(error, model) from error


def explain_rules(error: Exception, step: Step) -> HeadwaterError:
    """Return what a table's rules, or the machine, failed with, free of hidden values."""
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, OSError):
        return StepError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), fix="see the file system")
    if _is_duckdb(error) and step.hides_values:
        return _withhold(error, "rules of the table", "use try_cast and the like in sql and reject_if")
    return StepError(f"{type(error).__name__}: {error}", fix=_DOCTOR if _is_duckdb(error) else "")


def explain_publish(error: Exception, step: PublishStep) -> HeadwaterError:
    """Return what the publish of a port failed with, free of hidden values."""
    if _is_duckdb(error) and step.hides_values:
        return _withhold(error, "checks of the port", "use try_cast and the like in checks")
    return _explain_model(error, step.model)


def _withhold(error: Exception, where: str, fix: str) -> HeadwaterError:
    return StepError(
        f"{type(error).__name__} in the {where}; its text is withheld, it may show a hidden value",
        fix=f"{fix}, so that no value can fail",
    )


def explain_user_code(error: Exception, step: TransformStep) -> HeadwaterError:
    """Return what a model failed with, at its line."""
    return _explain_model(error, step.model)


def _explain_model(error: Exception, model: Model) -> HeadwaterError:
    if isinstance(error, HeadwaterError):
        return error
    path = model.location.path
    if model.language == "python" and (line := _line_in(error, path)):
        return UserCodeError(f"{type(error).__name__}: {error}", fix="mend the model's Python", path=path, line=line)
    if _is_duckdb(error):
        found, line = explain_error(str(error)), _line_of(str(error), model.text)
        return UserCodeError(found.what, fix=found.fix, path=path, line=line or model.location.line)
    return StepError(f"{type(error).__name__}: {error}")


def _is_duckdb(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("duckdb", "_duckdb")


def _line_in(error: Exception, path: str) -> int:
    """Return the last line of the user's file in a traceback, or 0."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(path)]
    return frames[-1].lineno or 0 if frames else 0


def _line_of(message: str, text: str) -> int:
    """Return the line of the file that DuckDB quotes in a message, or 0: it counts lines of a statement around it."""
    match = _LINE.search(message)
    quoted = match[1].strip().strip(".").strip() if match else ""
    lines = [number for number, line in enumerate(text.splitlines(), 1) if quoted and quoted in line]
    return lines[0] if len(lines) == 1 else 0
