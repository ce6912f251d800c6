"""Progress of a run, from its events: a live line per running step in a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from headwater.cli.out import say, say_json
from headwater.core.run import Event, EventName, Run, Status, StepResult
from headwater.core.secrets import redact
from headwater.core.texts import visible

if TYPE_CHECKING:
    from typing import Self

    from headwater.core.plan import Plan

_MARKS = {
    Status.DONE: "✓",
    Status.UNCHANGED: "=",
    Status.SKIPPED: ".",
    Status.FAILED: "✕",
    Status.BLOCKED: "⏸",
    Status.STOPPED: "■",
}


class Progress:
    """Shows nothing; the base of the others.

    Args:
        secrets: Values that never leave the process.
    """

    def __init__(self, secrets: frozenset[str]) -> None:
        self.secrets = secrets
        self.total = 0
        self._committing: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def begin(self, plan: Plan) -> None:
        """Take note of how many steps there are, and of those that commit."""
        self.total = len(plan.steps)
        self._committing = frozenset(step.node for step in plan.steps if step.commits)

    def __call__(self, event: Event) -> None:
        """Read an event."""

    def print_summary(self, run: Run) -> None:
        """Print how the run ended."""
        counts: dict[Status, int] = {}
        for result in run.results:
            counts[result.status] = counts.get(result.status, 0) + 1
        parts = ", ".join(f"{number} {status.value}" for status, number in counts.items())
        rejected = sum(result.rejected for result in run.results if result.step in self._committing)
        more = f"; {rejected:,} row{'s' if rejected != 1 else ''} to quarantine" if rejected else ""
        say(f"{run.status.value} in {run.duration_s:.1f} s: {parts or 'nothing to do'}{more}")


def _tell_warning(event: Event) -> str:
    return f"! {event.step}{': ' if event.step else ''}{event.data.get('text', '')}"


class PlainProgress(Progress):
    """One line per step that did something."""

    def __call__(self, event: Event) -> None:
        """Print finished steps and warnings."""
        result = event.data.get("result")
        if isinstance(result, StepResult) and result.status is not Status.SKIPPED:
            say(redact(format_result(result), self.secrets))
        elif event.name == EventName.WARNING:
            say(redact(_tell_warning(event), self.secrets))


class JsonProgress(Progress):
    """One JSON object per event, on standard output."""

    def __call__(self, event: Event) -> None:
        """Print the event."""
        data = {k: asdict(v) if isinstance(v, StepResult) else v for k, v in event.data.items()}
        line = json.dumps({"event": event.name, "at": event.at, "step": event.step, **data}, default=str)
        say_json(redact(line, self.secrets))

    def print_summary(self, run: Run) -> None:
        """The last event says it."""


class LiveProgress(PlainProgress):
    """Finished steps scroll by; below them a line tells what is running: rows, rows per second, time left."""

    def __init__(self, secrets: frozenset[str]) -> None:
        super().__init__(secrets)
        from rich.console import Console
        from rich.live import Live

        self._running: dict[str, tuple[float, int]] = {}
        self._finished = 0
        self._begun = time.monotonic()
        self._console = Console(stderr=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Keep the running steps, print the finished ones."""
        if event.name == EventName.STEP_STARTED:
            self._running[event.step] = (time.monotonic(), 0)
        elif event.name == EventName.CHUNK_READ and event.step in self._running:
            begun, rows = self._running[event.step]
            self._running[event.step] = (begun, rows + int(event.data.get("rows", 0)))
        elif event.name == EventName.STEP_FINISHED:
            self._finished += 1
            self._running.pop(event.step, None)
        result = event.data.get("result")
        if isinstance(result, StepResult) and result.status is not Status.SKIPPED:
            self._print(format_result(result))
        elif event.name == EventName.WARNING:
            self._print(_tell_warning(event))

    def _print(self, text: str) -> None:
        self._console.print(visible(redact(text, self.secrets)), highlight=False, markup=False)

    def _render(self) -> Any:
        from rich.text import Text

        now = time.monotonic()
        lines = [f"{self._finished} of {self.total} steps{self._left(now)}"]
        for step, (begun, rows) in list(self._running.items()):
            spent = now - begun
            rate = f", {rows:,} rows, {rows / spent:,.0f} rows/s" if rows and spent > 0 else ""
            lines.append(f"  … {step} {spent:.0f} s{rate}")
        return Text("\n".join(lines))

    def _left(self, now: float) -> str:
        if not self._finished or self._finished >= self.total:
            return ""
        spent = now - self._begun
        left = spent / self._finished * (self.total - self._finished)
        return f", about {left:.0f} s left" if spent > 2 else ""


def format_result(result: StepResult) -> str:
    """Return a step's result as one line (an error as more)."""
    parts = []
    if result.rows is not None and result.status in (Status.DONE, Status.UNCHANGED):
        parts.append("1 row" if result.rows == 1 else f"{result.rows:,} rows")
    if result.rows_inserted and result.status is Status.DONE:
        parts.append(f"+{result.rows_inserted:,}")
    if result.rows_deleted:
        parts.append(f"-{result.rows_deleted:,}")
    if result.rejected:
        parts.append(f"{result.rejected:,} rejected")
    if result.superseded:
        parts.append(f"{result.superseded:,} superseded")
    text = f"{_MARKS[result.status]} {result.step}  {', '.join(parts)}".rstrip()
    if result.status is Status.FAILED:
        return f"{text}\n  {result.error}"
    if result.status in (Status.BLOCKED, Status.STOPPED):
        return f"{text}  {result.status.value}: {result.reason}"
    return f"{text}  ({result.duration_s:.2f} s)"


def make_progress(kind: str, secrets: frozenset[str]) -> Progress:
    """Return the reader of events for --log: auto, plain, json or quiet."""
    if kind == "quiet":
        return Progress(secrets)
    if kind == "json":
        return JsonProgress(secrets)
    if kind == "auto" and sys.stdout.isatty():
        return LiveProgress(secrets)
    return PlainProgress(secrets)
