"""What happened: events, the result of each step, the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a step, or a whole run, ended."""

    DONE = "done"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BLOCKED = "blocked"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a boundary of a run.

    Attributes:
        name: run_started, step_started, chunk_read, staged, before_commit, claimed, after_commit, after_journal,
            step_finished, run_finished, progress, warning.
        at: When, ISO text, UTC.
        step: The step it belongs to, or "".
        data: Counts and texts; plain JSON values, never a secret.
    """

    name: str
    at: str
    step: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's outcome: `failing` rows (or 1 for a whole-table check) of `rows`."""

    check: str
    severity: str
    passed: bool
    failing: int = 0
    rows: int = 0
    detail: str = ""

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
        return tuple(check for check in self.checks if not check.passed and check.severity == "warning")


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
