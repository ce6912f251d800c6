"""What is known of a project's datasets while somebody works with them: a run, a query, a process that lives."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from headwater.contracts import GroupingStore, ObjectStore
from headwater.core.commit import merge_positions
from headwater.core.graph import Role, node_name
from headwater.core.names import ROOT
from headwater.errors import StateError, StepError
from headwater.plan.bind import Bound, visible_columns
from headwater.sql.placeholders import fill_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.contracts import ObjectCopy, Store
    from headwater.core.commit import Receipt, TableState
    from headwater.core.project import Project
    from headwater.plan.bind import Columns
    from headwater.plan.observe import Connectors
    from headwater.processing.duckdb.session import DuckDBSession


@dataclass(slots=True)
class Catalogue:
    """The datasets of a project by name, as they are now.

    Attributes:
        project: The declaration.
        session: DuckDB, in which datasets are shown by name.
        connectors: Open stores and sources.
        states: State of every table, kept up to date by `note_commit`.
        now: The clock by which views with `$now` are shown.
        bound: What binding found.
    """

    project: Project
    session: DuckDBSession
    connectors: Connectors
    states: dict[str, TableState]
    now: datetime
    bound: Bound = field(default_factory=Bound)
    _seen: dict[str, int] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _grouping: dict[str, GroupingStore] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Take note of the versions that readers have seen, and of the stores that take several tables at once."""
        self._grouping = {n: store for n, store in self.connectors.stores.items() if isinstance(store, GroupingStore)}
        for state in self.states.values():
            for name, version in state.commit.inputs.items() if state.commit else ():
                self._seen[name] = max(version, self._seen.get(name, 0))

    def store_of(self, dataset: str) -> Store:
        """Return the store that holds a dataset."""
        return self.connectors.stores[self.project.store_of(dataset)]

    def grouping_store_of(self, dataset: str) -> GroupingStore | None:
        """Return the store that holds a dataset, when it commits several tables in one transaction."""
        return self._grouping.get(self.project.store_of(dataset))

    def object_keeper(self, dataset: str) -> Callable[[str], ObjectCopy] | None:
        """Return what copies a file into the store that holds a dataset; None when it keeps no objects."""
        store = self.store_of(dataset)
        return partial(store.keep_object, dataset) if isinstance(store, ObjectStore) else None

    def apart(self, session: DuckDBSession | None = None) -> Catalogue:
        """Return a copy that learns nothing of what this one learns from now on, nor the other way round.

        Args:
            session: Its own session; without one it shares this one's, and the views in it.
        """
        own = copy(self)
        with self._lock:
            own.states = dict(self.states)
        own.session = session or self.session
        return own

    @contextmanager
    def cursor(self, domain: str = ROOT) -> Iterator[DuckDBPyConnection]:
        """Lend a DuckDB connection for one step of a domain; its temporary tables go with it."""
        connection = self.session.cursor(domain)
        try:
            yield connection
        finally:
            connection.close()

    def seen_version(self, dataset: str) -> int:
        """Return the highest version of a dataset that a reader had seen when this was made; 0 when none had.

        A table that is made anew must not look like the one before it.
        """
        return self._seen.get(dataset, 0)

    def note_commit(self, dataset: str, receipt: Receipt) -> TableState:
        """Keep the table's new state and make its new rows visible by name."""
        state = self.note_written(dataset, receipt)
        self.session.forget(dataset)
        return state

    def note_written(self, dataset: str, receipt: Receipt) -> TableState:
        """Keep the table's new state, though nobody sees its rows by name yet."""
        state = receipt.state or self.store_of(dataset).describe([dataset])[dataset]
        with self._lock:
            old = self.states.get(dataset)
            if old is not None and old.rejects and not state.rejects:
                state = replace(state, rejects=old.rejects)
            if receipt.state is not None:
                known = old.position if old is not None and receipt.commit.previous is not None else {}
                state = replace(state, position=merge_positions([known, receipt.commit.position]))
            self.states[dataset] = state
        return state

    def note_staging(self, dataset: str) -> None:
        """See what is staged of a dataset by now."""
        found = self.store_of(dataset).describe([dataset]).get(dataset)
        if found is not None:
            with self._lock:
                old = self.states.get(dataset)
                self.states[dataset] = replace(old, staging=found.staging) if old else found

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
        for name in self.project.everything[dataset].inputs:
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
