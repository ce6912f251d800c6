"""The whole error tree.

HeadwaterError
├── ProjectError      the declaration is wrong: file:line, what, how to fix it        (exit 2)
│   └── ProjectErrors every problem of a project at once                              (exit 2)
├── PlanError         a plan cannot be made from the project and the state            (exit 2)
├── BusyError         somebody else holds the project or a file; names the process    (exit 3)
└── RunError          something failed while running                                  (exit 1)
    ├── StepError     one step failed; what is below it is blocked
    │   ├── CheckFailedError  an error-check failed; the last good version stays
    │   └── UserCodeError  the user's own Python or SQL failed
    ├── ConnectorError     a source or a store failed
    └── StateError         a table is not as Headwater left it, or somebody wrote in between

`Retryable` and `Terminal` are marks beside the tree: a retryable error may pass when tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


class Place(Protocol):
    """A place in the project's files; line and column are counted from 1, 0 when unknown."""

    @property
    def path(self) -> str:
        """File, relative to the project."""
        ...

    @property
    def line(self) -> int:
        """Line in the file."""
        ...

    @property
    def column(self) -> int:
        """Column in the line."""
        ...


class HeadwaterError(Exception):
    """Root of every error that Headwater raises on purpose.

    Args:
        what: One sentence: what is wrong.
        fix: One sentence: how to mend it, or empty.
        path: File the error is about, relative to the project, or empty.
        line: Line in that file, counted from 1, or 0 when unknown.
        column: Column in that line, counted from 1, or 0 when unknown.
    """

    exit_code = 1

    def __init__(self, what: str, *, fix: str = "", path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.path = path
        self.line = line
        self.column = column

    @classmethod
    def at(cls, place: Place, what: str, fix: str = "") -> Self:
        """Return an error about a place in the project's files."""
        return cls(what, fix=fix, path=place.path, line=place.line, column=place.column)

    @property
    def where(self) -> str:
        """`file:line:column`, as far as it is known; empty when it is not."""
        parts = [self.path, *(str(n) for n in (self.line, self.column) if n)]
        return ":".join(parts) if self.path else ""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.path else ""
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{where}{self.what}{fix}"


class Retryable:
    """Mark: the same call may succeed when it is tried again."""


class Terminal:
    """Mark: trying again without a change is useless."""


class ProjectError(HeadwaterError, Terminal):
    """The declaration is wrong."""

    exit_code = 2


class ProjectErrors(ProjectError):  # noqa: N818 - it holds several
    """Every problem found in a project, in the order of files and lines."""

    def __init__(self, errors: Sequence[HeadwaterError]) -> None:
        super().__init__(f"{len(errors)} problem{'s' if len(errors) != 1 else ''} in the project")
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class PlanError(HeadwaterError, Terminal):
    """A plan cannot be made."""

    exit_code = 2


class BusyError(HeadwaterError, Retryable):
    """Somebody else holds the project or a file.

    Args:
        what: What is held.
        process_id: The holder's process id, or 0 when it cannot be known.
        fix: How to go on.
    """

    exit_code = 3

    def __init__(self, what: str, *, process_id: int = 0, fix: str = "") -> None:
        super().__init__(what, fix=fix)
        self.process_id = process_id


class RunError(HeadwaterError):
    """Something failed while running."""


class StepError(RunError):
    """One step failed; what is below it is blocked."""


class CheckFailedError(StepError, Terminal):
    """An error-check failed: nothing was committed and the last good version stays."""


class UserCodeError(StepError, Terminal):
    """The user's own Python or SQL failed."""


class ConnectorError(RunError):
    """A source or a store failed."""


class StateError(RunError, Terminal):
    """A table is not as Headwater left it, or another writer committed in between; nothing was written."""
