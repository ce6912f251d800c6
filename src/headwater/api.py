"""The facade that the command line, the server and notebooks use: load, check, plan, run, query, draw."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headwater.contracts import MaintainResult
from headwater.core.run import Run, StepResult
from headwater.core.secrets import redact
from headwater.errors import BusyError, HeadwaterError, ProjectErrors
from headwater.plan.ages import tell_late
from headwater.plan.bind import Bound
from headwater.plan.breaks import raise_errors
from headwater.plan.build import build_plan
from headwater.plan.intervals import parse_span
from headwater.plan.lineage import Lineage
from headwater.plan.observe import Connectors, open_sources, read_states, refuse_missing
from headwater.plan.planning import Observed, RunRequest
from headwater.plan.select import select_stored
from headwater.project.loader import load_project, read_project
from headwater.project.schema_files import find_unconfirmed, refuse_unconfirmed, write_proposals
from headwater.run.catalogue import Catalogue
from headwater.run.compaction import maintain_stores
from headwater.run.context import RunContext, aware_clock, utc_now
from headwater.run.execute import execute
from headwater.run.listeners.journal_writer import JournalWriter
from headwater.state import Journal, Lease
from headwater.workspace.access import Access
from headwater.workspace.live_query import answer_questions
from headwater.workspace.metrics import answer_metrics
from headwater.workspace.pinning import use_versions
from headwater.workspace.query import count_rejects, find_rejects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from headwater.core.commit import TableState
    from headwater.core.graph import Graph
    from headwater.core.plan import Plan
    from headwater.core.project import Project
    from headwater.diagram import NodeStatus
    from headwater.run.context import Listener
    from headwater.workspace.query import Answer
    from headwater.workspace.unit_tests import UnitTestResult


def load(folder: str | os.PathLike[str] = ".", environment: str | None = None) -> LoadedProject:
    """Load the project in a folder (or the nearest one above it).

    Raises:
        ProjectErrors: Everything that is wrong with it, each with file, line, column and a way to mend it.
    """
    return LoadedProject(load_project(folder, environment))


def find_problems(
    folder: str | os.PathLike[str] = ".", environment: str | None = None, *, offline: bool = False,
    attended: bool = False,
) -> ProjectErrors:  # fmt: skip
    """Return everything that is wrong with a project: what is broken, and what the rest of it would be refused for."""
    project, errors = read_project(folder, environment)
    found: list[HeadwaterError] = list(errors)
    if project is not None:
        try:
            LoadedProject(project).check(offline=offline, attended=attended)
        except HeadwaterError as more:
            found += more.errors if isinstance(more, ProjectErrors) else [more]
    return ProjectErrors(sorted(found, key=lambda error: (error.path, error.line, error.column)))


class LoadedProject:
    """A loaded project and what can be done with it.

    Args:
        project: The declaration, as `load_project` gives it.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._access = Access(project)

    def __repr__(self) -> str:
        return f"<Headwater project {self.project.name}: {len(self.project.graph.nodes)} nodes>"

    def _repr_svg_(self) -> str:
        """The diagram with the last run's status; notebooks show it."""
        return str(self.draw())

    @property
    def graph(self) -> Graph:
        """The one graph."""
        return self.project.graph

    @property
    def problems(self) -> Sequence[str]:
        """What is damaged and was done without."""
        return tuple(self._access.problems)

    # ---------------------------------------------------------------------------------------------- before a run

    def check(self, *, offline: bool = False, attended: bool = False) -> Bound:
        """Bind every model on empty tables.

        Args:
            offline: Ask no source; use what it last said.
            attended: Somebody watches the runs: schemas that nobody declared are proposed then, and only noted here.

        Raises:
            ProjectErrors: What a run would refuse, each with file and line.
        """
        with self._access.reading() as (_, connectors):
            observed, bound = self._access.observe_and_bind(connectors, offline)
        self._refuse(observed, bound, attended)
        bound.errors += refuse_missing(self.project, observed.sources)
        raise_errors(bound)
        return bound

    def plan(
        self, *, select: Sequence[str] = (), exclude: Sequence[str] = (), full: Sequence[str] = (),
        keep_history: bool = False, begin: str | None = None, end: str | None = None, now: datetime | None = None,
        offline: bool = False, attended: bool = False, retire: Sequence[str] = (),
    ) -> Plan:  # fmt: skip
        """Plan a run without changing anything; arguments as for `run` and `check`; the ports in `retire` may go.

        Raises:
            ProjectErrors: Models that would not run.
            PlanError: A selection is not understood, or a port breaks what it promised.
            BusyError: Another process holds the warehouse's file.
        """
        request = self._request(select, exclude, full, keep_history, (begin, end))
        with self._access.reading() as (_, connectors):
            observed, bound = self._access.observe_and_bind(connectors, offline)
        breaks = self._access.breaks(observed, bound, retire)
        self._refuse(observed, bound, attended)
        raise_errors(bound, breaks)
        plan = build_plan(self.project, self._with_notes(observed, bound), aware_clock(now), request)
        return replace(plan, breaks=breaks)

    def test(self, names: Sequence[str] = ()) -> list[UnitTestResult]:
        """Run the unit tests of tests/*.yaml (those named, or all); no store is touched."""
        from headwater.workspace.unit_tests import run_unit_tests

        return run_unit_tests(self.project, names)

    # ------------------------------------------------------------------------------------------------------- run

    def run(
        self, *, select: Sequence[str] = (), exclude: Sequence[str] = (), full: Sequence[str] = (),
        keep_history: bool = False, begin: str | None = None, end: str | None = None, now: datetime | None = None,
        listeners: Sequence[Listener] = (),
        wait: bool = False, workers: int | None = None, propose: Callable[[str], None] | None = None,
        on_start: Callable[[Plan, RunContext], None] | None = None, tell: Callable[[str], None] | None = None,
    ) -> Run:  # fmt: skip
        """Plan and run.

        Args:
            select: Selection terms; empty means everything.
            exclude: Selection terms taken away.
            full: Selection terms: rebuild these from nothing.
            keep_history: Changed SQL does not rebuild finished intervals.
            begin: Of models with `time`, compute the intervals since this ISO time, done or not, and no earlier ones.
            end: And those before this one, and no later ones.
            now: The run's clock; the wall clock by default.
            listeners: Called with every event.
            wait: Wait for another run, or whoever else holds the warehouse's file, to end instead of raising.
            workers: Steps at a time; the machine's cores by default.
            propose: Called with a line per schema file that is written for a source whose schema nobody declared;
                None: nobody watches, and such a source is an error.
            on_start: Called with the plan before its first step.
            tell: Called with a line about a process that is waited for.

        Raises:
            ProjectErrors: Models that would not run; nothing has run.
            BusyError: Another run holds the project, or another process the warehouse's file.
        """
        clock = aware_clock(now)
        with (
            Lease(self._access.folder, self.project.environment, wait=wait) as lease,
            self._access.journal() as journal,
            self._access.writing(wait=wait, tell=tell, create=True) as (session, connectors),
            ExitStack() as stack,
        ):
            held = read_states(self.project, connectors.stores)
            before = self._access.catalogue(session, connectors, held[0])
            questions = stack.enter_context(answer_questions(before, held[1], lease))
            observed, bound = self._access.observe_and_bind(connectors, False, patience_s=None, held=held)
            unconfirmed = find_unconfirmed(self.project, observed.sources)
            if unconfirmed and propose is not None:
                observed, bound = self._propose(unconfirmed, connectors, propose)
            bound.errors += refuse_unconfirmed(self.project, observed.sources)
            raise_errors(bound, self._access.breaks(observed, bound, promises_only=True))
            request = self._request(select, exclude, full, keep_history, (begin, end))
            plan = build_plan(self.project, self._with_notes(observed, bound), clock, request)
            run_id = f"{clock.strftime('%Y%m%dT%H%M%S')}-{os.urandom(4).hex()}"
            catalogue = Catalogue(self.project, session, connectors, dict(observed.states), clock, bound)
            context = RunContext(catalogue, observed, request, run_id)
            writer = JournalWriter(journal, context)
            context.listeners = [writer, *listeners]
            writer.write(lambda: journal.start_run(run_id, utc_now(), clock.isoformat()))
            if on_start is not None:
                on_start(plan, context)
            questions.catalogue = catalogue
            run = execute(plan, context, workers)
            stack.close()
            writer.write(lambda: journal.end_run(run))
            return run

    def reset(
        self, names: Iterable[str], *, retire: Sequence[str] = (), use: Sequence[str] = (), wait: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> list[str]:  # fmt: skip
        """Drop tables and forget their positions, the way out when somebody else changed them; and ports that retire.

        `use` makes earlier versions of artefacts the ones that are read: `ml.late@3`; `ml.late` ends that.

        Raises:
            PlanError: A name is not a stored dataset, not a port that is declared no longer, or no version.
        """
        chosen = select_stored(self.project, names) if names else []
        if use:
            use_versions(self._access, use, wait=wait, tell=tell)
        if retire:
            self._access.retire(retire, wait=wait, tell=tell)
        with self._access.alone(wait, tell) as connectors:
            for name in chosen:
                connectors.stores[self.project.store_of(name)].maintain([name], {"drop": True})
        return chosen

    def maintain(
        self, *, versions: int | None = None, age_s: float | None = None, drop_orphans: bool = False,
        compact: bool = True, wait: bool = False, tell: Callable[[str], None] | None = None,
    ) -> dict[str, MaintainResult]:  # fmt: skip
        """Remove what nobody can read any more (old versions, unreferenced files, staging), and join small files.

        Results are keyed by dataset; those of orphans by `name (store)`, as in the plan. What processes that are gone
        had left is "temporary data".
        """
        keep = {k: v for k, v in {"versions": versions, "age_s": age_s, "compact": compact}.items() if v is not None}
        left = MaintainResult(*self._access.left)
        with self._access.alone(wait, tell) as connectors:
            results = maintain_stores(self.project, connectors, keep, drop_orphans)
        return {"temporary data": left, **results} if left.files_removed else results

    # --------------------------------------------------------------------------------------------------- looking

    def query(
        self, sql: str = "", *, metrics: str | Sequence[str] = (), by: str | Sequence[str] = (), where: str = "",
        form: str = "arrow",
    ) -> Any:  # fmt: skip
        """Run one SELECT over the datasets by name, or ask for metrics, read-only; gives an Arrow table.

        Metrics are grouped by fields (`field`, `dataset.field`, `field__month`, a grain such as `month`), of the rows
        that keep the condition `where`; a metric of a domain is `domain.metric`.

        Of columns with one name the second is `a_1`. What Arrow does not have (bit strings, times with an offset,
        integers of 128 bits without sign) is text. Other forms: "parquet" (intervals and unions are text, too), "text"
        and "json", as the command line writes them. `system.<source>__<table>` shows a loaded table with its system
        columns, `quarantine.<source>__<table>` its rejects.

        Raises:
            ProjectError: The text is not one SELECT, reads what is not declared, or asks what no metric answers.
            BusyError: Another process holds the warehouse's file.
        """
        asked = answer_metrics(self.project, metrics, by, where, sql) if metrics or by or where else sql
        return self._access.table(asked, form)

    def stream(self, sql: str, *, form: str = "arrow") -> AbstractContextManager[Answer]:
        """Give the rows of `query` as they come: an Arrow schema and batches, in bounded memory.

        The warehouse is open until the context ends; a run waits for that.

        Raises:
            ProjectError: As for `query`.
            BusyError: As for `query`; or the run that answered has ended before all rows were taken.
        """
        return self._access.answer(sql, form)

    def rejects(self, dataset: str) -> tuple[Any, bool]:
        """Return the rejects of a dataset (Arrow) and whether they are those of a load, or a check, that failed.

        While the last load has failed its rejects are returned, else what the quarantine holds. Of a model or a port
        they are rows that broke a check the last time.

        Raises:
            ProjectError: No source's table has that name, or it was never loaded.
        """
        return find_rejects(self.project, dataset, self.query)

    def states(self) -> dict[str, TableState]:
        """Return the state of every table, as the stores say."""
        return self._access.held()[0]

    def lineage(self) -> Lineage:
        """Return the column lineage of every dataset, by what sources were last observed to hold.

        A model that does not bind is traced as far as it goes: what is not known is said to be unknown.
        """
        return self._access.trace()[2]

    def last_results(self) -> dict[str, StepResult]:
        """Return the newest result of every step that did something, from the journal."""
        with self._access.journal() as journal:
            return journal.last_results()

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the newest runs, from the journal."""
        with self._access.journal() as journal:
            return journal.list_runs(limit)

    def history(self, step: str, limit: int = 10) -> list[tuple[str, StepResult]]:
        """Return (run id, result) of one step, newest first."""
        with self._access.journal() as journal:
            return journal.step_history(step, limit)

    def draw(self, *, level: str = "datasets", format: str = "svg", now: datetime | None = None) -> str | bytes:
        """Draw the graph with the status of the last run.

        Args:
            level: architecture, domains or datasets.
            format: svg, dot, mermaid, text, png (which needs the extra `charts`) or html (a page with every level).
            now: The clock that freshness is told by.
        """
        from headwater.diagram import draw

        datasets = self._describe_datasets() if format == "html" else None
        results, title = self.node_statuses(now), self.project.name
        return draw(self.graph, level=level, format=format, results=results, title=title, datasets=datasets)

    def node_statuses(self, now: datetime | None = None) -> dict[str, NodeStatus]:
        """Return the status of every node, for the diagram; from the journal and, when it can be had, the stores."""
        from headwater.diagram.overlay import describe_nodes

        held, rejects = None, dict[str, int]()
        with suppress(HeadwaterError):
            held = self._access.held()
            rejects = self._count_rejects(held[0])
        states, orphans = held or (None, ())
        results, clock = self._access.history(Journal.last_results) or {}, aware_clock(now)
        return describe_nodes(self.project, results, states, rejects, clock, orphans)

    def late_promises(self, now: datetime | None = None) -> dict[str, list[str]]:
        """Return, by port, what it promises of time and does not keep now; nothing while the stores cannot be asked."""
        try:
            return tell_late(self.project, self.states(), aware_clock(now))
        except BusyError:
            return {}

    def write_schemas(self) -> list[str]:
        """Write JSON Schemas of the project's YAML files for editors; return their paths."""
        from headwater.project.json_schemas import write_json_schemas

        return write_json_schemas(self._access.folder / "schemas")

    def _count_rejects(self, states: Mapping[str, TableState]) -> dict[str, int]:
        """Count the rows in the quarantine of every source's table that has one."""
        counts = count_rejects(self.project, states)
        return {row["name"]: row["held"] for row in (self.query(counts).to_pylist() if counts else ())}

    def _describe_datasets(self) -> dict[str, Any]:
        """Return what the page of `draw` says of every dataset."""
        from headwater.diagram.html_data import KEPT_RUNS, describe_datasets

        runs = {name: self._access.results_of(name, KEPT_RUNS) for name in self.graph.nodes}
        observed, bound, lineage = self._access.trace()
        return describe_datasets(self.project, observed.states, bound.schemas, lineage, runs)

    def _refuse(self, observed: Observed, bound: Bound, attended: bool) -> None:
        """Add the schemas that nobody declared: to the notes when a run would propose them, else to the errors."""
        if not attended:
            bound.errors += refuse_unconfirmed(self.project, observed.sources)
            return
        for name in find_unconfirmed(self.project, observed.sources):
            told = f"{name}: its schema is not declared: a run proposes it when somebody watches"
            bound.notes.append(f"{self.project.datasets[name].location}: {told}")

    def _propose(
        self, unconfirmed: Mapping[str, Any], connectors: Connectors, propose: Callable[[str], None]
    ) -> tuple[Observed, Bound]:
        """Write proposed schemas beside their sources, and load the project again with them."""
        for line in write_proposals(self.project, unconfirmed):
            propose(line)
        self.project = load_project(self.project.root, self.project.environment)
        self._access = Access(self.project)
        return self._access.observe_and_bind(Connectors(connectors.stores, open_sources(self.project)), offline=False)

    def _with_notes(self, observed: Observed, bound: Bound) -> Observed:
        notes = tuple(redact(note, self.project.secrets) for note in (*observed.notes, *bound.notes))
        return replace(observed, notes=notes)

    def _request(
        self, select: Sequence[str], exclude: Sequence[str], full: Sequence[str], keep_history: bool,
        span: tuple[str | None, str | None],
    ) -> RunRequest:  # fmt: skip
        chosen = frozenset(select_stored(self.project, full)) if full else frozenset()
        return RunRequest(tuple(select), tuple(exclude), chosen, keep_history, parse_span(*span))
