"""Ask sources and stores, in parallel, what they hold."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from headwater.core.commit import PINNED, Column, TableState
from headwater.core.plan import Orphan
from headwater.core.policies import Materialization
from headwater.core.project import Model, SourceTable
from headwater.core.secrets import redact
from headwater.core.specs import missing_columns
from headwater.errors import ConnectorError, ProjectError, ProjectErrors, StateError, Terminal
from headwater.plan.planning import Observed
from headwater.plugins import load_source, load_store
from headwater.sql.timecolumn import find_time_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.contracts import Session, Source, Store, TableDescription
    from headwater.core.project import Project

PATIENCE_S = 30.0
"""How long who only looks waits for a source that neither answers nor gives up: what it has not said is then told as
unknown. A run waits for as long as the source itself does."""


@runtime_checkable
class HeldStore(Protocol):
    """A store that one process at a time may write to."""

    @property
    def lost(self) -> str:
        """That it was there and was gone when it was opened, for people; "" when it is not so."""
        ...

    def hold(self, *, create: bool) -> None:
        """Have the store from now on, waiting for another process as long as the session says (`wait_s`, `tell`).

        With `create` also a store that is not there yet.

        Raises:
            BusyError: Another process has it for longer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Connectors:
    """The open connectors of a project: the stores in use by name, one source per source file."""

    stores: Mapping[str, Store]
    sources: Mapping[str, Source] = field(default_factory=dict)


Held = tuple[dict[str, TableState], tuple[Orphan, ...]]
"""What the stores hold: the state of every table, and the orphans."""


def _tell_pinned(project: Project, states: Mapping[str, TableState]) -> Iterator[str]:
    """Say of which version artefacts are that somebody asked to be of one: they are not made again."""
    for name in project.consumers:
        if name in states and PINNED in states[name].position:
            version, way = states[name].position[PINNED], f"`headwater run --use {name}` ends that"
            yield f"{name} is of version {version}, as asked, and not made again: {way}"


def open_stores(project: Project, session: Session) -> dict[str, Store]:
    """Return the stores that datasets live in, or once did, by name; nothing is created yet.

    A store that the chosen environment does not state is another environment's, and left alone.
    """
    used = {dataset.store for dataset in project.everything.values() if dataset.is_stored}
    return {
        name: load_store(store.kind)(store.path, session)
        for name, store in project.stores.items()
        if name in project.stated_stores and (name in used or Path(store.path).exists())
    }


def open_sources(project: Project) -> dict[str, Source]:
    """Return one connector per source, by the source's name."""
    found: dict[str, Source] = {}
    for table in project.declared(SourceTable).values():
        if table.source not in found:
            found[table.source] = source = load_source(table.kind)(table.connection, project.root)
            source.belongs_to(table.source, project.environment)
    return found


def read_states(project: Project, stores: Mapping[str, Store]) -> Held:
    """Ask the stores, the truth: the state of every table, and which tables are orphans.

    An orphan is a table that nothing declares, or not in this store: its state is there too, unless the dataset now
    lives elsewhere.
    """
    with ThreadPoolExecutor(max_workers=max(len(stores), 1)) as pool:
        answers = list(pool.map(lambda kind: _describe_store(project, kind, stores[kind]), stores))
    states: dict[str, TableState] = {}
    orphans: dict[Orphan, TableState] = {}
    for store, answer in zip(stores, answers, strict=True):
        for name, state in answer.items():
            if project.stores_in(name, store):
                states[name] = state
            elif state.commit is not None:
                orphans[Orphan(name, store, state.commit.rows)] = state
    for orphan, state in orphans.items():
        if project.find(orphan.dataset) is None:
            states.setdefault(orphan.dataset, state)
    return states, tuple(sorted(orphans))


def _describe_store(project: Project, kind: str, store: Store) -> dict[str, TableState]:
    """Describe what a store holds; of one that cannot be read, every declared table is damaged, and no other one."""
    try:
        return store.describe()
    except StateError as error:
        told = f"{error.what}; {error.fix}" if error.fix else error.what
        declared = [name for name, dataset in project.everything.items() if dataset.store == kind]
        return {name: TableState(name, foreign=f"{name}: {told}", mend=error.fix) for name in declared}


def observe(
    project: Project, connectors: Connectors, *, offline: Mapping[str, Any] | None = None, held: Held | None = None,
    last: Mapping[str, Any] | None = None, problems: list[ProjectError] | None = None, patience_s: float | None = None,
) -> Observed:  # fmt: skip
    """Ask stores (unless what they hold is known, `held`) and sources.

    A source that cannot be reached, or says nothing for `patience_s`, is noted and asked again at run; until then its
    tables are what they were when they were `last` observed. With `offline` no source is asked. Both are observations
    by dataset, as `pack_description` writes them.

    Raises:
        ProjectErrors: A source finds its declaration wrong; with `problems`, they are added there instead.
    """
    states, orphans = held or read_states(project, connectors.stores)
    tables, answers = project.declared(SourceTable), _Answers()
    if offline is not None:
        answers.found = {name: unpack_description(offline[name]) for name in tables if name in offline}
        answers.notes = ["offline: sources as they were last observed"]
    else:
        answers = _ask_sources(project, connectors.sources, patience_s)
    if answers.errors and problems is None:
        raise ProjectErrors(answers.errors)
    if problems is not None:
        problems += answers.errors
    last = last or {}
    stale = {name: unpack_description(last[name]) for name in tables if name in last and name not in answers.found}
    times = {
        model.name: find_time_source(_probe(model.text), str(model.spec.time), str(model.spec.every))
        for model in project.declared(Model).values()
        if model.spec.materialize == Materialization.INCREMENTAL and model.spec.time and model.language == "sql"
    }
    return Observed(
        states, {**stale, **answers.found}, times, (*answers.notes, *_tell_pinned(project, states)), orphans,
        frozenset(stale), tuple(answers.unchecked),
        tuple(filter(None, (_lost(store) for store in connectors.stores.values()))),
    )  # fmt: skip


def _lost(store: Store) -> str:
    return store.lost if isinstance(store, HeldStore) else ""


def _probe(text: str) -> str:
    from headwater.sql.placeholders import CLOCK_PROBE, replace_placeholders

    return replace_placeholders(text, CLOCK_PROBE.get)


@dataclass(slots=True)
class _Answers:
    """What sources said, and of which tables nothing could be learned."""

    found: dict[str, TableDescription] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    errors: list[ProjectError] = field(default_factory=list)

    def add_unchecked(self, note: str) -> None:
        self.notes.append(note)
        self.unchecked.append(note)


def _ask_sources(project: Project, sources: Mapping[str, Source], patience_s: float | None) -> _Answers:
    tables: dict[str, dict[str, Any]] = {}
    for table in project.declared(SourceTable).values():
        tables.setdefault(table.source, {})[table.table] = table.options
    answers = _Answers()
    asked = [_Question(name, sources[name], wanted) for name, wanted in tables.items()]
    for question in asked:
        question.start()
    end = None if patience_s is None else time.monotonic() + patience_s
    for question in asked:
        name = question.source_name
        question.join(None if end is None else max(0.0, end - time.monotonic()))
        if question.is_alive():
            answers.add_unchecked(f"source {name} did not answer within {patience_s:g} s: asked at run")
            continue
        try:
            described, wrong = question.result()
        except ConnectorError as error:
            answers.add_unchecked(f"source {name} cannot be reached ({error.what}): asked at run")
            continue
        answers.found.update({f"{name}.{table}": description for table, description in described.items()})
        for one, about in described.items():
            answers.notes += [f"{name}.{one}: {note}" for note in about.notes]
            if not about.columns and not tables[name][one].columns:
                answers.unchecked += [f"{name}.{one}: {note}" for note in about.notes]
        for one, problem in wrong.items():
            told = _place_problem(project, name, one, problem)
            if isinstance(told, ProjectError):
                answers.errors.append(told)
            else:
                answers.add_unchecked(_note(told))
    return answers


Described = tuple[dict[str, "TableDescription"], dict[str, "Problem"]]


class _Question(threading.Thread):
    """One source that is asked; the process can end without it."""

    def __init__(self, name: str, source: Source, wanted: Mapping[str, Any]) -> None:
        super().__init__(name=f"describe {name}", daemon=True)
        self.source_name = name
        self._source = source
        self._wanted = wanted
        self._said: Described = {}, {}
        self._error: BaseException | None = None

    def run(self) -> None:
        """Ask, and keep the answer or what went wrong."""
        with self:
            self._said = _describe(self._source, self._wanted)

    def __enter__(self) -> None:
        """Begin to listen for what goes wrong."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Keep what went wrong, for the thread that asks."""
        self._error = error
        return True

    def result(self) -> Described:
        """Return the answer, or raise what went wrong."""
        if self._error is not None:
            raise self._error
        return self._said


def find_missing(project: Project, described: Mapping[str, TableDescription]) -> dict[str, tuple[str, ...]]:
    """Return, by source table, the declared columns that its source no longer gives, though they are not optional."""
    found = {}
    for name, table in project.declared(SourceTable).items():
        if (about := described.get(name)) is None:
            continue
        known = about.columns and not about.proposed
        gone = missing_columns(table.ingest, [c.name for c in about.columns]) if known else []
        if missing := tuple(dict.fromkeys((*about.missing, *gone))):
            found[name] = missing
    return found


def refuse_missing(project: Project, described: Mapping[str, TableDescription]) -> list[ProjectError]:
    """Say which tables a run would not load because the source no longer gives a declared column."""
    return [
        ProjectError.at(
            project.datasets[name].location,
            f"{name}: the source has no column {', '.join(missing)}, which is declared",
            f"mend the source or the declaration; where it may be missing, declare {missing[0]}: "
            "{type: …, optional: true}",
        )
        for name, missing in find_missing(project, described).items()
    ]


Problem = ConnectorError | ProjectError


def _place_problem(project: Project, source: str, table: str, problem: Problem) -> Problem:
    """Return what is wrong with a table, or without one with the whole source, at its place and free of secrets."""
    tables = project.declared(SourceTable).values()
    place = next(one.location for one in tables if one.source == source and table in ("", one.table))
    kind = ProjectError if isinstance(problem, ProjectError) else ConnectorError
    told = kind(
        redact(f"{f'{source}.{table}' if table else f'source {source}'}: {problem.what}", project.secrets),
        fix=redact(problem.fix, project.secrets),
    )
    told.path, told.line, told.column = place.path, place.line if table else 0, place.column if table else 0
    return told


def _note(problem: Problem) -> str:
    fix = f"; {problem.fix}" if problem.fix else ""
    return f"{problem.where}: {problem.what}{fix}: asked at run"


def _describe(source: Source, wanted: Mapping[str, Any]) -> Described:
    """Describe tables; what is wrong with one of them for good is no word about the others.

    What the first two tables are refused for in the same words is the source's, told once under "": a wrong password
    is not tried once per table.

    Raises:
        ConnectorError: The source cannot be reached.
    """
    try:
        return source.describe(wanted), {}
    except (ConnectorError, ProjectError) as error:
        if not isinstance(error, Terminal):
            raise
        if len(wanted) == 1:
            return {}, dict.fromkeys(wanted, error)
    found: dict[str, TableDescription] = {}
    wrong: dict[str, Problem] = {}
    for name, options in wanted.items():
        described, problems = _describe(source, {name: options})
        if not found and any(problem.what == known.what for problem in problems.values() for known in wrong.values()):
            return found, {"": problems[name]}
        found.update(described)
        wrong.update(problems)
    return found, wrong


def pack_description(description: TableDescription) -> dict[str, Any]:
    """Write a description as plain JSON, for `plan --offline`."""
    return {
        "columns": [[column.name, column.type, column.source_type] for column in description.columns],
        "key": list(description.key),
        "estimated_rows": description.estimated_rows,
        "version": description.version,
        "proposed": description.proposed,
    }


def unpack_description(data: Mapping[str, Any]) -> TableDescription:
    """Read what `pack_description` wrote."""
    from headwater.contracts import TableDescription

    return TableDescription(
        columns=tuple(Column(*column) for column in data["columns"]),
        key=tuple(data["key"]),
        estimated_rows=data["estimated_rows"],
        version=data["version"],
        proposed=bool(data["proposed"]),
    )
