"""What happened: events, the result of each step, the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headwater.core.policies import Severity


class Status(StrEnum):
    """How a step, or a whole run, ended."""

    DONE = "done"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BLOCKED = "blocked"
    STOPPED = "stopped"


class EventName(StrEnum):
    """What happened."""

    RUN_STARTED = "run_started"
    STEP_STARTED = "step_started"
    CHUNK_READ = "chunk_read"
    STAGED = "staged"
    BEFORE_COMMIT = "before_commit"
    CLAIMED = "claimed"
    """The commit's sequence is taken, and nobody sees it yet."""
    AFTER_COMMIT = "after_commit"
    AFTER_JOURNAL = "after_journal"
    STEP_FINISHED = "step_finished"
    RUN_FINISHED = "run_finished"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a boundary of a run.

    Attributes:
        name: What.
        at: When, ISO text, UTC.
        step: The step it belongs to, or "".
        data: Counts and texts; plain JSON values, never a secret.
    """

    name: EventName
    at: str
    step: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's outcome: `failing` rows (or 1 for a whole-table check) of `rows`.

    `kind` is which of the kinds of checks it is, `column` the one column that it is about, "" for several or the table.
    """

    check: str
    severity: Severity
    passed: bool
    failing: int = 0
    rows: int = 0
    detail: str = ""
    kind: str = ""
    column: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.detail or f'{self.failing:,} of {self.rows:,} rows'}"


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended.

    Attributes:
        step: The step's name.
        status: How it ended.
        started: ISO text, UTC.
        duration_s: Seconds it took.
        rows: Rows in the table afterwards, or None.
        rows_inserted: Rows the commit added, or None.
        rows_deleted: Rows the commit removed, or None.
        rejected: Rows sent to quarantine.
        version: The dataset's version afterwards.
        reason: Why it ran, was skipped or is blocked.
        error: The error's text when it failed.
        checks: Its checks' outcomes.
        superseded: Rows left out because another one of the same key won, by the cursor or by `dedupe`.
        notes: What people should know of it though it ended well.
        settled: It was skipped because the table is as it should be: what failed before is over.
    """

    step: str
    status: Status
    started: str = ""
    duration_s: float = 0.0
    rows: int | None = None
    rows_inserted: int | None = None
    rows_deleted: int | None = None
    rejected: int = 0
    version: int | None = None
    reason: str = ""
    error: str = ""
    checks: tuple[CheckResult, ...] = ()
    superseded: int = 0
    notes: tuple[str, ...] = ()
    settled: bool = False

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """Its checks that failed and do not stop anything."""
        return tuple(check for check in self.checks if not check.passed and check.severity == Severity.WARNING)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its id, clock and the results of its steps."""

    run_id: str
    status: Status
    started: str
    duration_s: float
    now: str
    results: tuple[StepResult, ...] = ()

    def result(self, step: str) -> StepResult:
        """Return the result of one step.

        Raises:
            KeyError: The run had no such step.
        """
        for result in self.results:
            if result.step == step:
                return result
        raise KeyError(step)
