"""What the steps of one run share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.core.run import Event, EventName
from headwater.errors import HeadwaterError
from headwater.plugins import load_engine

if TYPE_CHECKING:
    from headwater.contracts import Engine, TableDescription
    from headwater.core.project import Project
    from headwater.plan.planning import Observed, RunRequest
    from headwater.run.catalogue import Catalogue
    from headwater.run.steps.ingestion import Ingestion

Listener = Callable[[Event], None]

_STOPS = (EventName.CHUNK_READ, EventName.STAGED, EventName.BEFORE_COMMIT)
"""Where a run may stop."""


class StopRunError(HeadwaterError):
    """The user asked the run to stop; raised at the next boundary."""


@dataclass(slots=True)
class RunContext:
    """One run: everything a step needs.

    Attributes:
        catalogue: The datasets.
        observed: What was asked at plan.
        request: What the user asked for.
        run_id: This run.
        listeners: Readers of events.
        ingestions: What is extracted and waits for its load, by dataset.
        stopping: Set when the run is to stop at the next boundary.
        engine: What runs models.
    """

    catalogue: Catalogue
    observed: Observed
    request: RunRequest
    run_id: str
    listeners: list[Listener] = field(default_factory=list)
    ingestions: dict[str, Ingestion] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    _emitting: threading.Lock = field(default_factory=threading.Lock)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        """Have the engine."""
        self.engine = load_engine(self.project.engine.kind)()

    @property
    def project(self) -> Project:
        """The declaration."""
        return self.catalogue.project

    @property
    def now(self) -> datetime:
        """The run's clock."""
        return self.catalogue.now

    def apart(self) -> RunContext:
        """Return this run with a catalogue of its own, for what others must not see yet."""
        own = copy(self)
        own.catalogue = self.catalogue.apart()
        return own

    def learn(self, dataset: str, description: TableDescription) -> None:
        """Take note of what a source says of a table that it had not said at plan."""
        with self._lock:
            sources = {**self.observed.sources, dataset: description}
            self.observed = replace(self.observed, sources=sources, stale=self.observed.stale - {dataset})

    def keep_ingestion(self, dataset: str, ingestion: Ingestion) -> None:
        """Keep what was extracted for the load that follows."""
        with self._lock:
            self.ingestions[dataset] = ingestion

    def take_ingestion(self, dataset: str) -> Ingestion:
        """Hand over what was extracted; whoever takes it closes its connection."""
        with self._lock:
            return self.ingestions.pop(dataset)

    def emit(self, name: EventName, step: str = "", **data: Any) -> None:
        """Tell every listener, one at a time.

        Raises:
            StopRunError: The run is to stop and this is a boundary where it may.
        """
        event = Event(name, utc_now(), step, data)
        with self._emitting:
            for listener in tuple(self.listeners):
                listener(event)
        if self.stopping.is_set() and name in _STOPS:
            raise StopRunError("stopped on request")


def utc_now() -> str:
    """Return the wall clock as ISO text, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def aware_clock(now: datetime | None) -> datetime:
    """Return a run's clock: the wall clock unless one is given, which is in UTC where it says nothing else."""
    if now is None:
        return datetime.now(UTC)
    return now if now.tzinfo else now.replace(tzinfo=UTC)
