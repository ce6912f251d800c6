"""Bind every model against the known schemas: what would not run is an error before anything does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.contracts import SYSTEM_COLUMNS, ColumnChecking, TypeChecking
from headwater.core.commit import SNAPSHOT_COLUMNS, Column
from headwater.core.fragments import SelectSql, quote_dataset
from headwater.core.graph import Role
from headwater.core.near import suggest
from headwater.core.policies import LoadMode, Materialization
from headwater.core.project import Model
from headwater.core.types import Fidelity, landed, wider_type
from headwater.errors import ProjectError, ProjectErrors
from headwater.plan.cached_binder import CachedBinder
from headwater.plan.ports import tell_unkept
from headwater.plugins import load_consumer
from headwater.project.cache import ParseCache
from headwater.quality import compile_scan
from headwater.sql.catalogs import Catalogs
from headwater.sql.metrics.compiling import check_queries
from headwater.sql.placeholders import column_before

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from headwater.core.consumer import ConsumerQuery, DeclaredConsumer, DeclaredScores
    from headwater.core.graph import Location
    from headwater.core.metrics import SemanticModel
    from headwater.core.port import Port
    from headwater.core.project import Project, SourceTable
    from headwater.core.specs import CheckSpec
    from headwater.core.stores import DeclaredStore
    from headwater.plan.planning import Observed

Columns = tuple[Column, ...]

_KEEP = "cast or leave out the column in the dataset, or change the contract"


@dataclass(slots=True)
class Bound:
    """Schemas found by binding.

    Attributes:
        schemas: Columns as they land, by dataset; None: unknown until the run.
        queries: Columns of each bound model's query before they land, and the columns of the inputs it was bound on.
        consumed: Columns of each bound query of a consumer, by the consumer's name and the query's.
        errors: Models, and queries of consumers, that do not bind.
        notes: Remarks for people.
        unchecked: What could not be checked, and why: sources that say nothing, models below unknown schemas.
    """

    schemas: dict[str, Columns | None] = field(default_factory=dict)
    queries: dict[str, tuple[Columns, dict[str, Columns]]] = field(default_factory=dict)
    consumed: dict[tuple[str, str], Columns] = field(default_factory=dict)
    errors: list[ProjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def bind_project(project: Project, observed: Observed, cache: ParseCache) -> Bound:
    """Bind all models in the order of the graph.

    A model that does not bind is an error; what reads it is bound against its last commit's schema, if there is one.
    A model below an unknown schema is noted as bound at run.
    """
    bound = Bound(unchecked=list(observed.unchecked))
    binder = CachedBinder(Catalogs(project.domains, project.root_ports), cache)
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.role is Role.LOAD:
            table: SourceTable = node.spec
            try:
                bound.schemas[table.name] = source_schema(table, observed)
            except ProjectError as error:
                bound.errors.append(ProjectError.at(table.location, error.what, error.fix))
                bound.schemas[table.name] = None
            if table.ingest.load != LoadMode.FULL:
                columns = bound.schemas[table.name] or ()
                bound.errors += _check_rowid(table.location, table.name, columns, table.store)
        elif node.role in _BOUND:
            _BOUND[node.role](node.spec, project, observed, bound, binder)
    for dataset in project.datasets.values():
        _bind_checks(dataset.location, dataset.checks, dataset.name, bound, binder)
    for model in project.semantic_models:
        _bind_metrics(model, bound, binder)
    binder.close()
    return bound


def sure_times(project: Project, observed: Observed, bound: Bound) -> dict[str, tuple[str, str] | None]:
    """Return where the `time` of incremental models comes from; unknown where two columns of a query have its name."""
    found, models = dict(observed.time_sources), project.declared(Model)
    for name in found:
        columns = bound.queries[name][0] if name in bound.queries else ()
        twin = re.compile(rf"{re.escape(str(models[name].spec.time))}_\d+", re.IGNORECASE)
        if any(twin.fullmatch(column.name) for column in columns):
            found[name] = None
    return found


def source_schema(table: SourceTable, observed: Observed) -> Columns | None:
    """Return the columns readers of a source's table see, or None when they are not known yet.

    The last commit knows best; before the first load it is what is declared or described, prepared.
    """
    state = observed.states.get(table.name)
    commit = state.commit if state is not None and not state.foreign else None
    if state is not None and commit is not None and commit.fingerprint == table.fingerprint:
        return visible_columns(state.columns)
    columns = declared_columns(table) or _described(table, observed)
    if columns is None:
        return visible_columns(state.columns) if state is not None and state.columns else None
    from headwater.ingestion import compile_prepare

    return visible_columns(compile_prepare(table.ingest, columns, store=table.store, table=table.name).columns)


def declared_columns(table: SourceTable) -> Columns:
    """Return the columns declared for a source's table; empty unless every one has a type."""
    declared = table.ingest.columns
    if not declared or any(column.type is None for column in declared.values()):
        return ()
    return tuple(Column(name, str(column.type)) for name, column in declared.items())


def typed_as_declared(table: SourceTable, described: Columns) -> Columns:
    """Return a catalogue's columns, those of them whose type is declared with that type."""
    types = {name.lower(): str(column.type) for name, column in (table.ingest.columns or {}).items() if column.type}
    return tuple(replace(column, type=types.get(column.name.lower(), column.type)) for column in described)


def _described(table: SourceTable, observed: Observed) -> Columns | None:
    described = observed.sources.get(table.name)
    return typed_as_declared(table, described.columns) if described is not None and described.columns else None


def visible_columns(columns: Sequence[Column]) -> Columns:
    """Return the columns that readers see: system columns left out, where they landed from forgotten."""
    return tuple(Column(column.name, column.type) for column in columns if column.name not in SYSTEM_COLUMNS)


def _bind_port(port: Port, project: Project, observed: Observed, bound: Bound, binder: CachedBinder) -> None:
    """Bind a port: its columns are those that its contract promises, and the dataset has to give them."""
    known = len(bound.errors)
    landing = _bind_model(port.model, project, observed, bound, binder)
    bound.errors[known:] = [ProjectError.at(port.location, one.what, one.fix) for one in bound.errors[known:]]
    given = bound.schemas.get(port.model.inputs[0]) or ()
    unkept = tell_unkept(port.contract, landing, given) if port.name in bound.queries and landing else ()
    bound.errors += [ProjectError.at(port.location, f"{port.name}: {one}", _KEEP) for one in unkept]
    bound.schemas[port.name] = tuple(Column(column.name, column.type) for column in port.contract.columns)


def _bind_stored_model(model: Model, project: Project, observed: Observed, bound: Bound, binder: CachedBinder) -> None:
    bound.schemas[model.name] = _bind_model(model, project, observed, bound, binder)


def _bind_consumer(
    consumer: DeclaredConsumer, project: Project, _: Observed, bound: Bound, binder: CachedBinder
) -> None:
    made_by = load_consumer(consumer.kind)
    if issubclass(made_by, TypeChecking):
        names = {**{one: one for query in consumer.queries for one in query.reads}}
        names |= {one: written for query in consumer.queries for written, one in query.names.items()}
        known = {names[one]: schema for one in names if (schema := bound.schemas.get(one)) is not None}
        try:
            made_by(consumer).check_types({n: {c.name: c.type for c in columns} for n, columns in known.items()})
        except ProjectError as error:
            bound.errors.append(error)
            return
    for query in consumer.queries:
        _bind_query(consumer, query, bound, binder, project.secrets)
    if issubclass(made_by, ColumnChecking):
        given = {
            name: [c.name for c in columns] for (one, name), columns in bound.consumed.items() if one == consumer.name
        }
        try:
            made_by(consumer).check_columns(given)
        except ProjectError as error:
            several = error.errors if isinstance(error, ProjectErrors) else (error,)
            bound.errors += [one for one in several if isinstance(one, ProjectError)]


def _bind_scores(
    scores: DeclaredScores, project: Project, observed: Observed, bound: Bound, binder: CachedBinder
) -> None:
    """Bind the rows that get scores; the columns of the scores are known when there are some."""
    if not any(error.path == scores.location.path for error in bound.errors):  # told of the consumer itself
        _bind_query(scores.consumer, scores.query, bound, binder, project.secrets)
    state = observed.states.get(scores.name)
    bound.schemas[scores.name] = visible_columns(state.columns) if state is not None and state.columns else None


def _bind_model(
    model: Model, project: Project, observed: Observed, bound: Bound, binder: CachedBinder
) -> Columns | None:
    state = observed.states.get(model.name)
    last = visible_columns(state.columns) if state is not None and state.columns else None
    store = project.place_of(model.name)
    added = SNAPSHOT_COLUMNS if model.spec.materialize == Materialization.SNAPSHOT else ()
    if model.language == "python":
        declared = tuple(Column(n, str(c.type)) for n, c in model.spec.columns.items() if c.type)
        known = declared and len(declared) == len(model.spec.columns)
        return (*_landed(declared, store), *added) if known else last
    inputs: dict[str, Columns] = {}
    for name in model.inputs:
        schema = bound.schemas.get(name)
        if schema is None:
            note = f"{model.location}: {model.name} is bound at run: the schema of {name} is not known yet"
            bound.notes.append(note)
            bound.unchecked.append(note)
            return last
        inputs[name] = schema
    entry = binder.entry(model.text, inputs, project.secrets, model.domain)
    if "error" in entry:
        bound.errors.append(_binding_error(model, entry))
        return last
    columns = tuple(Column(*column) for column in entry["columns"])
    bound.errors += [*_check_declared(model, columns), *_check_landing(model, columns, store)]
    bound.queries[model.name] = (columns, inputs)
    if added and state is not None and state.commit is not None:
        bound.notes += _check_history(model, columns, state.columns)
        kept = {column.name: column.type for column in state.columns}
        columns = tuple(replace(c, type=_untyped_as(c.type, kept.get(c.name, c.type))) for c in columns)
    return (*_landed(columns, store), *added)


def _bind_query(
    consumer: DeclaredConsumer, query: ConsumerQuery, bound: Bound, binder: CachedBinder,
    secrets: Collection[str],
) -> None:  # fmt: skip
    """Bind a query of a consumer; one over a schema that is not known yet is bound at run."""
    schemas = {name: bound.schemas.get(name) for name in query.reads}
    unknown = next((name for name, schema in schemas.items() if schema is None), None)
    if unknown is not None:
        note = f"{query.location}: {consumer.name} is bound at run: the schema of {unknown} is not known yet"
        bound.notes.append(note)
        bound.unchecked.append(note)
        return
    inputs = {name: schema for name, schema in schemas.items() if schema is not None}
    entry = binder.entry(query.sql, inputs, secrets, consumer.domain)
    if "error" in entry:
        what, fix, line, column = entry["error"]
        place = query.place(line, column)
        bound.errors.append(ProjectError.at(place, f"{consumer.name}, {query.name}: {what}", fix))
        return
    bound.consumed[consumer.name, query.name] = tuple(Column(*column) for column in entry["columns"])


def _bind_metrics(model: SemanticModel, bound: Bound, binder: CachedBinder) -> None:
    """Bind the metrics, fields and keys of a semantic model; over a schema that is not known yet they are noted."""
    schemas = {one.source: bound.schemas.get(one.source) for one in model.datasets.values()}
    unknown = next((name for name, schema in schemas.items() if schema is None), None)
    if unknown is not None:
        note = (
            f"{model.location}: the metrics of {model.name} are bound later: the schema of {unknown} is not known yet"
        )
        bound.notes.append(note)
        bound.unchecked.append(note)
        return
    inputs = {name: schema for name, schema in schemas.items() if schema is not None}
    for check in check_queries(model):
        if isinstance(check.query, ProjectError):
            bound.errors.append(ProjectError.at(check.location, check.query.what, check.query.fix))
            continue
        entry = binder.entry(check.query, inputs)
        if "error" in entry:
            what, fix, _, _ = entry["error"]
            bound.errors.append(ProjectError.at(check.location, f"{check.what}: {what}", fix))
        elif problem := check.problem([type_text for _, type_text in entry["columns"]]):
            bound.errors.append(ProjectError.at(check.location, *problem))


def _untyped_as(type_text: str, kept: str) -> str:
    """Return the type of a snapshot's column after the run: `null` without a type takes the table's."""
    return kept if type_text == "INTEGER" and wider_type(kept, type_text) is None else type_text


def _check_history(model: Model, columns: Columns, kept: Sequence[Column]) -> list[str]:
    """Say which columns of a snapshot the query no longer gives: a run refuses, for their history would go."""
    given = {column.name for column in (*columns, *SNAPSHOT_COLUMNS)}
    return [
        f"{model.location}: {model.name}: the query no longer gives {column.name}, which its history has: "
        f"a run refuses; add `null as {column.name}`; --full forgets the history"
        for column in kept
        if column.name not in given
    ]


def _binding_error(model: Model, entry: dict[str, Any]) -> ProjectError:
    what, fix, line, column = entry["error"]
    path, what = model.location.path, f"{model.name}: {what}"
    if not line:
        return ProjectError.at(model.location, what, fix)
    return ProjectError(what, fix=fix, path=path, line=line, column=column_before(model.shifts, line, column))


def _bind_checks(
    place: Location, checks: tuple[CheckSpec, ...], dataset: str, bound: Bound, binder: CachedBinder
) -> None:
    """Bind a dataset's checks against its columns: a check of a column that is not there would fail every run."""
    columns = bound.schemas.get(dataset)
    for check in checks if columns else ():
        inputs = {dataset: columns or ()}
        if check.relationship is not None:
            other = bound.schemas.get(check.relationship.to)
            if other is None:
                continue
            if check.relationship.field not in (names := [column.name for column in other]):
                what = f"{dataset}: a relationship to {check.relationship.to}.{check.relationship.field}"
                bound.errors.append(ProjectError.at(place, what, suggest(check.relationship.field, names)))
                continue
            inputs[check.relationship.to] = other
        scan = compile_scan(
            [check], SelectSql(f"SELECT * FROM {quote_dataset(dataset)}"), datetime(2000, 1, 1, tzinfo=UTC)
        )
        entry = binder.entry(scan.query, inputs)
        if "error" in entry:
            what, fix, _, _ = entry["error"]
            bound.errors.append(ProjectError.at(place, f"{dataset}: the check {scan.measures[0].name}: {what}", fix))


def _check_declared(model: Model, columns: Columns) -> list[ProjectError]:
    """Compare the header's columns, key and time with what the query gives."""
    names = [column.name for column in columns]
    given = {column.name: column.type for column in columns}
    errors = []
    own = (
        {column.name for column in SNAPSHOT_COLUMNS}
        if model.spec.materialize == Materialization.SNAPSHOT
        else set[str]()
    )
    for name in (name for name in names if name.lower() in own):
        what = f"{model.name}: a snapshot adds {name.lower()} itself, and the query gives it as well"
        errors.append(ProjectError.at(model.location, what, "give the query's column another name"))
    wanted = [*model.spec.columns, *model.spec.key, *([model.spec.time] if model.spec.time else [])]
    for name in dict.fromkeys(wanted):
        if name not in given:
            what = f"{model.name}: the query gives no column {name!r}"
            errors.append(ProjectError.at(model.location, what, suggest(name, names)))
    for name, column in model.spec.columns.items():
        if column.type and given.get(name, column.type) != column.type:
            what = f"{model.name}: column {name} is {given[name]}, declared as {column.type}"
            errors.append(ProjectError.at(model.location, what, f"cast it: {name}::{column.type}"))
    return errors


def _check_landing(model: Model, columns: Columns, store: DeclaredStore | None) -> list[ProjectError]:
    """Refuse types that the store cannot hold, or only in part, before anything runs."""
    errors = []
    for column in columns if store else ():
        landing = landed(column.type, store.capabilities.types if store else {})
        if landing.fidelity in (Fidelity.REFUSED, Fidelity.LOSSY):
            verb = "cannot hold" if landing.fidelity is Fidelity.REFUSED else "would lose part of"
            what = f"{model.name}: the {store} {verb} {column.type} (column {column.name})"
            fix = f"cast it in the query, for instance to {landing.type or 'VARCHAR'}"
            errors.append(ProjectError.at(model.location, what, fix))
    if model.spec.materialize in (Materialization.INCREMENTAL, Materialization.SNAPSHOT):
        errors += _check_rowid(model.location, model.name, columns, store)
    return errors


def _check_rowid(place: Location, dataset: str, columns: Columns, store: DeclaredStore | None) -> list[ProjectError]:
    """Refuse a name that hides DuckDB's own, by which the warehouse tells new rows from old ones."""
    if store is None or not store.capabilities.has_row_ids or all(column.name.lower() != "rowid" for column in columns):
        return []
    what = f"{dataset}: a column named rowid hides DuckDB's own, so the table can only be replaced as a whole"
    return [ProjectError.at(place, what, "rename the column, or keep the table in the lakehouse")]


def _landed(columns: Columns, store: DeclaredStore | None) -> Columns:
    if store is None:
        return tuple(Column(c.name, c.type) for c in columns)
    return tuple(Column(c.name, landed(c.type, store.capabilities.types).type or c.type) for c in columns)


_BOUND: Mapping[Role, Callable[[Any, Project, Observed, Bound, CachedBinder], None]] = {
    Role.TRANSFORM: _bind_stored_model,
    Role.PUBLISH: _bind_port,
    Role.CONSUMER: _bind_consumer,
    Role.SCORE: _bind_scores,
}
"""What binds what declares a node that plays a role."""
