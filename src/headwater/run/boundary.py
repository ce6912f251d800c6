"""The one boundary at which the errors of connectors and of user code become ours."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from headwater.core.plan import TransformStep
from headwater.errors import HeadwaterError, StepError, UserCodeError
from headwater.project.references import redact
from headwater.sql.binding import explain_error

if TYPE_CHECKING:
    from headwater.core.plan import Step
    from headwater.core.project import Project


def explain_failure(error: Exception, step: Step, project: Project) -> HeadwaterError:
    """Return a step's failure with file and line where they are known, free of secrets."""
    explained = _explain(error, step)
    explained.what = redact(explained.what, project.secrets)
    explained.fix = redact(explained.fix, project.secrets)
    return explained


def _explain(error: Exception, step: Step) -> HeadwaterError:
    if isinstance(error, HeadwaterError):
        if not error.path and isinstance(step, TransformStep):
            error.path, error.line = step.model.location.path, step.model.location.line
        return error
    if isinstance(step, TransformStep):
        location = step.model.location
        if step.model.language == "python" and (line := _line_in(error, location.path)):
            what = f"{type(error).__name__}: {error}"
            return UserCodeError(what, fix="mend the model's Python", path=location.path, line=line)
        if type(error).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
            found = explain_error(str(error))
            return UserCodeError(found.what, fix=found.fix, path=location.path, line=found.line or location.line)
    if isinstance(error, OSError):
        return StepError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), fix="see the file system")
    return StepError(f"{type(error).__name__}: {error}")


def _line_in(error: Exception, path: str) -> int:
    """Return the last line of the user's file in a traceback, or 0."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(path)]
    return frames[-1].lineno or 0 if frames else 0
