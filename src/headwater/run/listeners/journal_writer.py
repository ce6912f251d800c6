"""What a run tells its journal, and that the journal has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.run import Event, EventName, StepResult
from headwater.errors import StateError
from headwater.run.context import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.run.context import RunContext
    from headwater.state import Journal


class JournalWriter:
    """Writes events and results to the journal; when a step's result is durable, it says so to the others.

    The journal is history, never the truth: when it cannot be written (a full disk), the run goes on without it.
    """

    def __init__(self, journal: Journal, context: RunContext) -> None:
        self.journal, self.context = journal, context
        self.broken = False

    def write(self, action: Callable[[], None]) -> None:
        """Write to the journal; the first failure is told as a warning, and nothing more is written."""
        if self.broken:
            return
        try:
            action()
        except StateError as error:
            self.broken = True
            self._tell(
                Event(EventName.WARNING, utc_now(), "", {"text": f"{error.what}; the run goes on without its history"})
            )

    def _tell(self, event: Event) -> None:
        for listener in self.context.listeners[1:]:
            listener(event)

    def __call__(self, event: Event) -> None:
        """Write an event, or the result of a step that it tells of."""
        run_id, result = self.context.run_id, event.data.get("result")
        if isinstance(result, StepResult):
            self.write(lambda: self._write_result(result))
            self._tell(Event(EventName.AFTER_JOURNAL, utc_now(), event.step, {"status": result.status.value}))
        elif event.name not in (EventName.RUN_STARTED, EventName.RUN_FINISHED):
            self.write(lambda: self.journal.write_event(run_id, event))

    def _write_result(self, result: StepResult) -> None:
        self.journal.write_result(self.context.run_id, result)
        self.journal.flush()
