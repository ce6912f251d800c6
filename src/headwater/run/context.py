"""What the steps of one run share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from headwater.contracts import ObjectStore
from headwater.core.graph import Role, node_name
from headwater.core.run import Event
from headwater.errors import HeadwaterError, StateError, StepError
from headwater.plan.bind import Bound, visible_columns
from headwater.plugins import load_engine
from headwater.sql.placeholders import fill_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Engine, ObjectCopy, Store
    from headwater.core.commit import Receipt, TableState
    from headwater.core.project import Project
    from headwater.plan.bind import Columns
    from headwater.plan.observe import Connectors
    from headwater.plan.planning import Observed, Wish
    from headwater.processing.duckdb.session import DuckDBSession
    from headwater.run.steps.ingestion import Ingestion

Listener = Callable[[Event], None]


class StopRunError(HeadwaterError):
    """The user asked the run to stop; raised at the next boundary."""


@dataclass(slots=True)
class RunContext:
    """Everything a step needs.

    Attributes:
        project: The declaration.
        session: DuckDB.
        connectors: Open stores and sources.
        observed: What was asked at plan.
        wish: What the user asked for.
        run_id: This run.
        now: The run's clock.
        states: State of every table, kept up to date as steps commit.
        bound: What binding found before the run.
        listeners: Readers of events.
        ingestions: What is extracted and waits for its load, by dataset.
        terminal: A person watches: schema files may be proposed.
        stopping: Set when the run is to stop at the next boundary.
        engine: What runs models.
    """

    project: Project
    session: DuckDBSession
    connectors: Connectors
    observed: Observed
    wish: Wish
    run_id: str
    now: datetime
    states: dict[str, TableState]
    bound: Bound = field(default_factory=Bound)
    listeners: list[Listener] = field(default_factory=list)
    ingestions: dict[str, Ingestion] = field(default_factory=dict)
    terminal: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    _emitting: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine = field(init=False)
    _seen: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Have the engine, and take note of the versions that readers have seen."""
        self.engine = load_engine(self.project.engine.kind)()
        for state in self.states.values():
            for name, version in state.commit.inputs.items() if state.commit else ():
                self._seen[name] = max(version, self._seen.get(name, 0))

    def store_of(self, dataset: str) -> Store:
        """Return the store that holds a dataset."""
        return self.connectors.stores[self.project.store_of(dataset)]

    def object_keeper(self, dataset: str) -> Callable[[str], ObjectCopy] | None:
        """Return what copies a file into the store that holds a dataset; None when it keeps no objects."""
        store = self.store_of(dataset)
        return partial(store.keep_object, dataset) if isinstance(store, ObjectStore) else None

    def emit(self, name: str, step: str = "", **data: Any) -> None:
        """Tell every listener, one at a time.

        Raises:
            StopRunError: The run is to stop and this is a boundary where it may.
        """
        event = Event(name, utc_now(), step, data)
        with self._emitting:
            for listener in tuple(self.listeners):
                listener(event)
        if self.stopping.is_set() and name in ("chunk_read", "staged", "before_commit"):
            raise StopRunError("stopped on request")

    @contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """Lend a DuckDB connection for one step; its temporary tables go with it."""
        connection = self.session.cursor()
        try:
            yield connection
        finally:
            connection.close()

    def seen_version(self, dataset: str) -> int:
        """Return the highest version of a dataset that a reader had seen when the run began; 0 when none had.

        A table that is made anew must not look like the one before it.
        """
        return self._seen.get(dataset, 0)

    def note_commit(self, dataset: str, receipt: Receipt) -> TableState:
        """Keep the table's new state and make its new rows visible by name."""
        from dataclasses import replace

        old = self.states.get(dataset)
        state = receipt.state or self.store_of(dataset).describe([dataset])[dataset]
        if old is not None and old.rejects and not state.rejects:
            state = replace(state, rejects=old.rejects)
        self.states[dataset] = state
        self.session.forget(dataset)
        return state

    def bound_columns(self, dataset: str) -> Columns | None:
        """Return the columns of a model's query as bound before the run, unless an input has other columns by now."""
        columns, inputs = self.bound.queries.get(dataset, (None, {}))
        for name, bound_on in inputs.items():
            state = self.states.get(name)
            if state is None or visible_columns(state.columns) != bound_on:
                return None
        return columns

    def show_inputs(self, dataset: str) -> None:
        """Make what a model reads visible by name, views and all."""
        for name in self.project.datasets[dataset].inputs:
            self.show(name)

    def show(self, dataset: str) -> None:
        """Make one dataset visible by name: a table as it is now, a view as its query.

        Raises:
            StepError: There is no such table yet.
            StateError: It is damaged: what it holds is not known.
        """
        view, state = self.project.view(dataset), self.states.get(dataset)
        if view is not None:
            self.show_inputs(dataset)
            self.session.show_query(dataset, fill_clock(view.text, self.now))
        elif state is not None and state.is_lost:
            raise StateError(state.foreign, fix=state.way_out)
        elif state is None or state.commit is None:
            raise StepError(f"{dataset} holds nothing yet", fix=f"run it as well: headwater run -s {dataset}")
        else:
            self.session.show_table(state, loaded=state.commit.producer == node_name(dataset, Role.LOAD))


def utc_now() -> str:
    """Return the wall clock as ISO text, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def aware_clock(now: datetime | None) -> datetime:
    """Return a run's clock: the wall clock unless one is given, which is in UTC where it says nothing else."""
    if now is None:
        return datetime.now(UTC)
    return now if now.tzinfo else now.replace(tzinfo=UTC)
