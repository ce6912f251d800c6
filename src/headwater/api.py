"""The facade that the command line, the server and notebooks use: load, check, plan, run, query, draw."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError, ProjectErrors
from headwater.model.run import Event, Run, StepResult
from headwater.plan.bind import Bound, bind_project, source_schema
from headwater.plan.build import Observed, Wish, build_plan
from headwater.plan.observe import Connectors, observe, open_sources, open_stores, pack_description, read_states
from headwater.project.cache import ParseCache
from headwater.project.loader import load_project
from headwater.project.references import redact
from headwater.run.context import RunContext, utc_now
from headwater.run.execute import execute
from headwater.state import Journal, Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headwater.model.plan import Plan
    from headwater.model.project import Project
    from headwater.processing.batch.session import DuckDBSession
    from headwater.run.context import Listener


def state_folder(project: Project) -> Path:
    """Return `.headwater` of a project: journal and caches, nothing that cannot be made again."""
    return Path(project.root) / ".headwater"


@contextmanager
def open_session(project: Project, *, read_only: bool = False) -> Iterator[tuple[DuckDBSession, Connectors]]:
    """Open DuckDB and the project's stores and sources for as long as the block lasts."""
    from headwater.processing.batch.session import DuckDBSession

    spill = state_folder(project) / "spill"
    with DuckDBSession(project.engine, spill, read_only=read_only) as session:
        yield session, Connectors(open_stores(project, session), open_sources(project))


def open_journal(project: Project) -> Journal:
    """Return the project's journal."""
    return Journal(state_folder(project), project.environment)


def look_around(project: Project, connectors: Connectors, *, offline: bool = False) -> tuple[Observed, Bound]:
    """Ask stores and sources, then bind every model; what the sources said is kept for `plan --offline`."""
    with open_journal(project) as journal:
        kept = journal.read_observations() if offline else None
        observed = observe(project, connectors, offline=kept)
        if not offline:
            for name, description in observed.sources.items():
                journal.write_observation(name, utc_now(), pack_description(description))
    cache = ParseCache(state_folder(project) / "cache" / "bound.json")
    bound = bind_project(project, observed, cache)
    cache.save()
    return observed, bound


def check_project(project: Project, *, offline: bool = False) -> Bound:
    """Bind every model on empty tables.

    Raises:
        ProjectErrors: Models that would not run, each with file and line.
    """
    with open_session(project, read_only=True) as (_, connectors):
        _, bound = look_around(project, connectors, offline=offline)
    _raise_errors(bound)
    return bound


def plan_project(
    project: Project, *, wish: Wish | None = None, now: datetime | None = None, offline: bool = False
) -> Plan:
    """Plan a run without changing anything.

    Raises:
        ProjectErrors: Models that would not run.
        BusyError: Another process holds the warehouse's file.
    """
    with open_session(project, read_only=True) as (_, connectors):
        observed, bound = look_around(project, connectors, offline=offline)
    _raise_errors(bound)
    return build_plan(project, _with_notes(observed, bound), now or datetime.now(UTC), wish)


def run_project(
    project: Project,
    *,
    wish: Wish | None = None,
    now: datetime | None = None,
    listeners: Sequence[Listener] = (),
    wait: bool = False,
    workers: int | None = None,
    on_start: Callable[[Plan, RunContext], None] | None = None,
) -> Run:
    """Plan and run.

    Args:
        project: The project.
        wish: Selection and rebuilds.
        now: The run's clock; the wall clock by default.
        listeners: Called with every event.
        wait: Wait for another run to end instead of raising.
        workers: Steps at a time.
        on_start: Called with the plan before its first step.

    Raises:
        ProjectErrors: Models that would not run; nothing has run.
        BusyError: Another run holds the project, or another process the warehouse's file.
    """
    clock = now or datetime.now(UTC)
    with Lease(state_folder(project), project.environment, wait=wait), open_journal(project) as journal:
        with open_session(project) as (session, connectors):
            observed, bound = look_around(project, connectors)
            _raise_errors(bound)
            plan = build_plan(project, _with_notes(observed, bound), clock, wish)
            run_id = f"{clock.strftime('%Y%m%dT%H%M%S')}-{os.urandom(4).hex()}"
            context = RunContext(
                project=project,
                session=session,
                connectors=connectors,
                observed=observed,
                wish=wish or Wish(),
                run_id=run_id,
                now=clock,
                states=dict(observed.states),
            )
            context.listeners = [_Journalist(journal, project, context), *listeners]
            journal.start_run(run_id, utc_now(), clock.isoformat())
            if on_start is not None:
                on_start(plan, context)
            run = execute(plan, context, workers)
            journal.end_run(run)
            return run


def _raise_errors(bound: Bound) -> None:
    if bound.errors:
        raise ProjectErrors(bound.errors)


def _with_notes(observed: Observed, bound: Bound) -> Observed:
    from dataclasses import replace

    return replace(observed, notes=(*observed.notes, *bound.notes))


class _Journalist:
    """Writes events and results to the journal; after a step's result is durable it says so."""

    def __init__(self, journal: Journal, project: Project, context: RunContext) -> None:
        self.journal, self.project, self.context = journal, project, context

    def __call__(self, event: Event) -> None:
        result = event.data.get("result")
        if isinstance(result, StepResult):
            self.journal.write_result(self.context.run_id, result)
            self.journal.flush()
            after = Event("after_journal", utc_now(), event.step, {"status": result.status.value})
            for listener in self.context.listeners[1:]:
                listener(after)
        elif event.name not in ("run_started", "run_finished"):
            self.journal.write_event(self.context.run_id, event)


def read_only_states(project: Project) -> dict[str, Any]:
    """Return the state of every table, from the stores."""
    with open_session(project, read_only=True) as (_, connectors):
        return read_states(connectors.stores)


def query_project(project: Project, sql: str) -> Any:
    """Run one SELECT over the project's datasets by name, read-only; gives an Arrow table.

    Raises:
        ProjectError: The text is not one SELECT, or reads what is not declared.
        BusyError: Another process holds the warehouse's file.
    """
    import duckdb

    from headwater.errors import ProjectError
    from headwater.sql.binding import explain_error
    from headwater.sql.parse import parse_query

    parsed = parse_query(sql)
    if parsed.readers:
        raise ProjectError(f"{parsed.readers[0].name}() reads outside the project", fix="query datasets by their names")
    with open_session(project, read_only=True) as (session, connectors):
        states = read_states(connectors.stores)
        context = RunContext(project, session, connectors, Observed(), Wish(), "query", datetime.now(UTC), states)
        for place in parsed.tables:
            _show_for_query(context, place.name)
        connection = session.cursor()
        try:
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise explain_error(redact(str(error), project.secrets)) from None


def _show_for_query(context: RunContext, name: str) -> None:
    """Make a dataset, `system.<source>__<table>` or `quarantine.<source>__<table>` visible."""
    namespace, _, table = name.partition(".")
    if namespace in ("system", "quarantine"):
        name = table.replace("__", ".", 1)
    state = context.states.get(name)
    declared = name in context.project.models or name in context.project.sources
    if namespace == "quarantine" and state is not None and not state.rejects:
        from dataclasses import replace

        from headwater.contracts import REJECT_COLUMNS

        empty = ", ".join(f"CAST(NULL AS {type_text}) AS {column}" for column, type_text in REJECT_COLUMNS)
        context.states[name] = replace(state, rejects=f"SELECT {empty} WHERE FALSE")
    if declared:
        model = context.project.models.get(name)
        if state is None and not (model and model.is_view):
            raise HeadwaterError(f"{name} holds nothing yet", fix="headwater run")
        context.show(name)
    elif state is not None:
        context.session.show_table(state)


__all__ = [
    "Wish",
    "check_project",
    "load_project",
    "open_journal",
    "open_session",
    "plan_project",
    "query_project",
    "read_only_states",
    "run_project",
    "source_schema",
    "state_folder",
]
