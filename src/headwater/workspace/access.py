"""How a project is looked at from outside of a run: its stores, sources, journal and caches."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.core.near import suggest
from headwater.errors import BusyError, PlanError, ProjectError, StateError
from headwater.plan.bind import Bound, bind_project, sure_times
from headwater.plan.breaks import find_breaks
from headwater.plan.lineage import Lineage, trace_project
from headwater.plan.observe import (
    PATIENCE_S,
    Connectors,
    Held,
    HeldStore,
    observe,
    open_sources,
    open_stores,
    pack_description,
    read_states,
)
from headwater.plan.planning import Observed
from headwater.project.cache import ParseCache
from headwater.run.catalogue import Catalogue
from headwater.run.context import utc_now
from headwater.sql.catalogs import Catalogs
from headwater.state import Journal, Lease, find_holder
from headwater.temporary import place_of, remove_left, temporary_folder
from headwater.workspace.live_query import ask_query, ask_states
from headwater.workspace.query import AnswerEndedError, run_query

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from headwater.core.breaks import Break
    from headwater.core.commit import TableState
    from headwater.core.project import Project
    from headwater.core.run import StepResult
    from headwater.processing.duckdb.session import DuckDBSession
    from headwater.workspace.query import Answer


T = TypeVar("T")

_ANSWER_S = 10.0
"""How long a run of this project that holds the warehouse may take until it can be asked."""

_PASSING_S = 0.5
"""How long another process may hold it: a run that ends gives up the file a moment before the lease."""

_PAUSE_S = 0.05


HELD_S = 10.0
"""How long who writes waits for another process that holds a store, such as a query that is being answered."""


class Access:
    """The ways from a declared project to what there is of it.

    Args:
        project: The declaration.

    Attributes:
        folder: `.headwater` of the project.
        left: Files and bytes that processes which are gone had left, and which were removed.
        problems: What is damaged and could be done without.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = Path(project.root) / ".headwater"
        self.left = remove_left(project.root)
        self.problems: dict[str, None] = {}

    @contextmanager
    def reading(self) -> Iterator[tuple[DuckDBSession, Connectors]]:
        """Open the engine, the stores and the sources to read; all are closed at the end."""
        with self._engine(read_only=True) as session:
            yield session, Connectors(open_stores(self.project, session), open_sources(self.project))

    @contextmanager
    def looking(self) -> Iterator[DuckDBSession]:
        """Open the engine for who leaves everything as it is, notes of what was found out included."""
        with self._engine(read_only=True, leaves_notes=False) as session:
            yield session

    @contextmanager
    def writing(
        self, *, wait: bool, tell: Callable[[str], None] | None = None, create: bool = False
    ) -> Iterator[tuple[DuckDBSession, Connectors]]:
        """Open the same to write: whoever holds a store is waited for, `HELD_S`, or with `wait` until it ends.

        Args:
            wait: Wait without end.
            tell: Called with a line about who is waited for.
            create: With `wait`, hold also a store that is not there yet: two first runs come one after the other.

        Raises:
            BusyError: Another process holds a store's file for longer.
        """
        with self._engine(wait_s=math.inf if wait else HELD_S, tell=tell or (lambda _: None)) as session:
            stores = open_stores(self.project, session)
            for store in stores.values():
                if isinstance(store, HeldStore):
                    with suppress(StateError):  # a damaged file: told for its tables, and no other ones
                        store.hold(create=create and wait)
            yield session, Connectors(stores, open_sources(self.project))

    @contextmanager
    def _engine(self, **options: Any) -> Iterator[DuckDBSession]:
        from headwater.processing.duckdb.session import DuckDBSession

        with ExitStack() as stack:
            spill = place_of(self.project.root)
            with suppress(OSError):  # nothing may be written here: then only what fits in memory can be looked at
                spill = stack.enter_context(temporary_folder(self.project.root))
            catalogs = Catalogs(self.project.domains, self.project.root_ports)
            yield stack.enter_context(DuckDBSession(self.project.engine, spill, catalogs=catalogs, **options))

    @contextmanager
    def alone(self, wait: bool, tell: Callable[[str], None] | None) -> Iterator[Connectors]:
        """Hold the project and open everything to write, outside of a run."""
        with (
            Lease(self.folder, self.project.environment, wait=wait),
            self.writing(wait=wait, tell=tell) as (_, connectors),
        ):
            yield connectors

    def journal(self) -> Journal:
        """Open the journal of the environment."""
        return Journal(self.folder, self.project.environment)

    def history(self, read: Callable[[Journal], T]) -> T | None:
        """Read the journal; one that is damaged has nothing to tell (None), which `problems` says."""
        try:
            with self.journal() as journal:
                return read(journal)
        except StateError as error:
            self.problems.setdefault(str(error))
            return None

    def results_of(self, step: str, limit: int) -> list[StepResult]:
        """Return the newest results of a step, none when the journal is damaged."""
        return [result for _, result in self.history(lambda journal: journal.step_history(step, limit)) or ()]

    def held(self) -> Held:
        """Open the stores to read, and say what they hold."""
        with self.reading() as (_, connectors):
            return self.read_stored(connectors)

    def read_stored(self, connectors: Connectors) -> Held:
        """Read what the stores hold; while a run holds the warehouse, ask the run.

        Raises:
            BusyError: Another process holds the warehouse's file, and cannot be asked.
        """
        return self._or_ask(
            lambda: read_states(self.project, connectors.stores), lambda folder: ask_states(self.project.root, folder)
        )

    @contextmanager
    def answer(self, sql: str, form: str) -> Iterator[Answer]:
        """Give the rows of one SELECT as they come; while a run holds the warehouse, ask the run.

        Raises:
            BusyError: Another process holds the warehouse's file, and cannot be asked.
        """
        with ExitStack() as stack:

            def read() -> Answer:
                with ExitStack() as opened:
                    session, connectors = opened.enter_context(self.reading())
                    catalogue = self.catalogue(session, connectors, read_states(self.project, connectors.stores)[0])
                    session.seal([*self._store_places(), place_of(self.project.root)])
                    connection = opened.enter_context(catalogue.cursor())
                    answer = run_query(catalogue, connection, sql, form)
                    stack.push(opened.pop_all())
                    return answer

            yield self._or_ask(read, lambda folder: ask_query(self.project.root, folder, sql, form, stack))

    def _store_places(self) -> list[Path]:
        stated = self.project.stated_stores
        return [Path(store.path) for name, store in self.project.stores.items() if name in stated]

    def table(self, sql: str, form: str) -> Any:
        """Return all rows of one SELECT as an Arrow table; when the run that answers ends, they are read anew."""
        while True:
            try:
                with self.answer(sql, form) as answer:
                    return answer.table()
            except AnswerEndedError:
                time.sleep(_PAUSE_S)

    def catalogue(self, session: DuckDBSession, connectors: Connectors, states: dict[str, TableState]) -> Catalogue:
        """Return what a question is answered from."""
        return Catalogue(self.project, session, connectors, states, datetime.now(UTC))

    def _or_ask(self, read: Callable[[], T], ask: Callable[[str], T | None]) -> T:
        """Read; while a run of this project is in the way, ask it: it may be about to listen, or about to end."""
        begun_s = time.monotonic()
        while True:
            try:
                return read()
            except BusyError as busy:
                process_id, folder = find_holder(self.folder, self.project.environment)
                ours = process_id == busy.process_id
                answer = ask(folder) if ours and folder else None
                if answer is not None:
                    return answer
                if time.monotonic() - begun_s > (_ANSWER_S if ours else _PASSING_S):
                    raise
            time.sleep(_PAUSE_S)

    def observe_and_bind(
        self, connectors: Connectors, offline: bool, patience_s: float | None = PATIENCE_S, held: Held | None = None
    ) -> tuple[Observed, Bound]:
        """Ask stores (unless what they hold is known) and sources, then bind every model.

        What sources said is kept for `plan --offline`. A source that neither answers nor gives up within `patience_s`
        is taken as it was last observed.
        """
        kept = self.history(Journal.read_observations) or {}
        wrong: list[ProjectError] = []
        held = held or self.read_stored(connectors)
        observed = observe(
            self.project, connectors, offline=kept if offline else None, held=held, last=kept, problems=wrong,
            patience_s=patience_s,
        )  # fmt: skip
        said = {name: pack_description(about) for name, about in observed.sources.items() if name not in observed.stale}
        new = {name: about for name, about in said.items() if kept.get(name) != about} if not offline else {}
        if new:
            with suppress(StateError), self.journal() as journal:
                for name, about in new.items():
                    journal.write_observation(name, utc_now(), about)
        cache = ParseCache(self.folder / "cache" / "bound.json")
        bound = bind_project(self.project, observed, cache)
        bound.errors[:0] = wrong
        cache.save()
        return replace(observed, time_sources=sure_times(self.project, observed, bound)), bound

    def retire(self, names: Iterable[str], *, wait: bool, tell: Callable[[str], None] | None) -> None:
        """Drop the tables of ports that are published and not declared any more.

        Raises:
            PlanError: A name is not that of such a port.
        """
        with self.alone(wait, tell) as connectors:
            orphans = {orphan.dataset: orphan.store for orphan in read_states(self.project, connectors.stores)[1]}
            for name in names:
                if name in self.project.datasets:
                    raise PlanError(f"{name} is declared: it cannot be retired", fix="remove it from its product first")
                if name not in orphans:
                    raise PlanError(f"no port that is declared no longer is named {name}", fix=suggest(name, orphans))
            for name in names:
                connectors.stores[orphans[name]].maintain([name], {"drop": True})

    def breaks(
        self, observed: Observed, bound: Bound, retired: Collection[str] = (), *, promises_only: bool = False
    ) -> tuple[Break, ...]:
        """Return the columns that changed below, the promises that are broken, and what they hit."""
        cache = ParseCache(self.folder / "cache" / "breaks.json")
        breaks = find_breaks(self.project, observed, bound, cache, retired, promises_only=promises_only)
        if breaks:
            cache.save()
        return breaks

    def trace(self) -> tuple[Observed, Bound, Lineage]:
        """Look at the stores, and trace every column by what sources were last observed to hold."""
        with self.reading() as (_, connectors):
            observed, bound = self.observe_and_bind(connectors, offline=True)
        cache = ParseCache(self.folder / "cache" / "lineage.json")
        lineage = trace_project(self.project, observed, bound, cache)
        cache.save()
        return observed, bound, lineage
