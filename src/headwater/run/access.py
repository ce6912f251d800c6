"""How a project is looked at from outside of a run: its stores, sources, journal and caches."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import BusyError, ProjectError, StateError
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
from headwater.project.cache import ParseCache
from headwater.run.beside import ask_states
from headwater.run.context import utc_now
from headwater.state import Journal, Lease, find_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headwater.core.plan import Break
    from headwater.core.project import Project
    from headwater.plan.build import Observed
    from headwater.processing.batch.session import DuckDBSession


HELD_S = 10.0
"""How long who writes waits for another process that holds a store, such as a query that is being answered."""


class Access:
    """The ways from a declared project to what there is of it.

    Args:
        project: The declaration.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = Path(project.root) / ".headwater"

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[tuple[DuckDBSession, Connectors]]:
        """Open the engine, the stores and the sources; all are closed at the end."""
        from headwater.processing.batch.session import DuckDBSession

        with DuckDBSession(self.project.engine, self.folder / "spill", read_only=read_only) as session:
            yield session, Connectors(open_stores(self.project, session), open_sources(self.project))

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
        from headwater.processing.batch.session import DuckDBSession

        with DuckDBSession(
            self.project.engine, self.folder / "spill", wait_s=math.inf if wait else HELD_S,
            tell=tell or (lambda _: None),
        ) as session:  # fmt: skip
            stores = open_stores(self.project, session)
            for store in stores.values():
                if isinstance(store, HeldStore):
                    store.hold(create=create and wait)
            yield session, Connectors(stores, open_sources(self.project))

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

    def held(self, connectors: Connectors) -> Held:
        """Read what the stores hold; while a run holds the warehouse, ask the run.

        Raises:
            BusyError: Another process holds the warehouse's file, and cannot be asked.
        """
        try:
            return read_states(self.project, connectors.stores)
        except BusyError as busy:
            held = ask_states(self.socket(busy))
            if held is None:
                raise
            return held

    def socket(self, busy: BusyError) -> str:
        """Return where the run that is in the way can be asked, or ""."""
        process_id, socket = find_holder(self.folder, self.project.environment)
        return socket if process_id == busy.process_id else ""

    def look(
        self, connectors: Connectors, offline: bool, patience_s: float | None = PATIENCE_S
    ) -> tuple[Observed, Bound]:
        """Ask stores and sources, then bind every model; what sources said is kept for `plan --offline`.

        A source that neither answers nor gives up within `patience_s` is taken as it was last observed.
        """
        with self.journal() as journal:
            kept: dict[str, dict[str, Any]] = {}
            with nullcontext() if offline else suppress(StateError):
                kept = journal.read_observations()
            wrong: list[ProjectError] = []
            observed = observe(
                self.project, connectors, offline=kept if offline else None, held=self.held(connectors), last=kept,
                problems=wrong, patience_s=patience_s,
            )  # fmt: skip
            with suppress(StateError):
                for name, description in observed.sources.items() if not offline else ():
                    if name not in observed.stale and kept.get(name) != (said := pack_description(description)):
                        journal.write_observation(name, utc_now(), said)
        cache = ParseCache(self.folder / "cache" / "bound.json")
        bound = bind_project(self.project, observed, cache)
        bound.errors[:0] = wrong
        cache.save()
        return replace(observed, time_sources=sure_times(self.project, observed, bound)), bound

    def breaks(self, observed: Observed, bound: Bound) -> tuple[Break, ...]:
        """Return the columns that changed below, and what they hit."""
        cache = ParseCache(self.folder / "cache" / "breaks.json")
        breaks = find_breaks(self.project, observed, bound, cache)
        if breaks:
            cache.save()
        return breaks

    def trace(self) -> tuple[Observed, Bound, Lineage]:
        """Look at the stores, and trace every column by what sources were last observed to hold."""
        with self.session(read_only=True) as (_, connectors):
            observed, bound = self.look(connectors, offline=True)
        cache = ParseCache(self.folder / "cache" / "lineage.json")
        lineage = trace_project(self.project, observed, bound, cache)
        cache.save()
        return observed, bound, lineage
