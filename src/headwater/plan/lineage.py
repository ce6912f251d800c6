"""Column lineage of a whole project: from the columns of its sources to those of every dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from headwater.core.commit import SNAPSHOT_COLUMNS, Column
from headwater.core.graph import Role, node_name
from headwater.core.policies import Materialization
from headwater.plan.bind import declared_columns, typed_as_declared
from headwater.plan.lineage_prepare import trace_prepare
from headwater.project.cache import digest
from headwater.sql.lineage import ColumnLineage, Leaf, TracedColumn, unknown_lineage
from headwater.sql.lineage_walk import trace_columns
from headwater.sql.placeholders import CLOCK_PROBE, replace_placeholders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.core.consumer import DeclaredConsumer
    from headwater.core.project import Model, Project, SourceTable
    from headwater.plan.bind import Bound, Columns
    from headwater.plan.planning import Observed
    from headwater.project.cache import ParseCache

_GONE = "the source does not give it any more"
_UNDECLARED = "it is not declared, and the source does not say that it has it"
_SCORES = "a learned model gives it: only its inputs are known"
_PYTHON = "a Python model: only its inputs are known"


@dataclass(frozen=True, slots=True)
class DatasetLineage:
    """The lineage of one dataset.

    Attributes:
        name: The dataset.
        inputs: The stored datasets it is made of, or its source's node; known even when the columns are not.
        traced: Its columns, and what decides its rows.
        is_view: Whether it is a view: what reads it is traced through to what the view reads.
    """

    name: str
    inputs: tuple[str, ...]
    traced: ColumnLineage
    is_view: bool = False

    @property
    def columns(self) -> tuple[TracedColumn, ...]:
        """Its columns, in their order."""
        return self.traced.columns

    def column(self, name: str) -> TracedColumn | None:
        """Return one column, whatever the case of its name."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class Lineage:
    """The lineage of a project, by dataset, in the order of the graph.

    A leaf is (dataset, column); a source's own column is (name of the source's node, column), for instance
    `("faa.flights/source", "carrier")`.
    """

    datasets: Mapping[str, DatasetLineage] = field(default_factory=dict)

    @cached_property
    def _readers(self) -> dict[Leaf, list[Leaf]]:
        found: dict[Leaf, list[Leaf]] = {}
        for name, dataset in self.datasets.items():
            for column in dataset.columns:
                for leaf in column.leaves:
                    found.setdefault(leaf, []).append((name, column.name))
        return found

    def upstream(self, dataset: str, column: str) -> tuple[Leaf, ...]:
        """Return the columns that a column's value is made of, one step up; views are passed through."""
        known = self.datasets.get(dataset)
        traced = known.column(column) if known else None
        return traced.leaves if traced else ()

    def downstream(self, dataset: str, column: str) -> tuple[Leaf, ...]:
        """Return the columns whose values are made of a column, one step down."""
        return tuple(self._readers.get((dataset, column), ()))

    def roots(self, dataset: str, column: str) -> tuple[Leaf, ...]:
        """Return the columns at the very top that a column's value comes from."""
        found: set[Leaf] = set()
        queue, seen = [(dataset, column)], {(dataset, column)}
        while queue:
            leaf = queue.pop()
            above = self.upstream(*leaf)
            if not above and leaf != (dataset, column):
                found.add(leaf)
            new = [one for one in above if one not in seen]
            seen.update(new)
            queue += new
        return tuple(sorted(found))


def trace_project(project: Project, observed: Observed, bound: Bound, cache: ParseCache) -> Lineage:
    """Trace every dataset of a project; unknown where a schema is unknown or a query cannot be followed.

    Args:
        project: The project.
        observed: What sources said of themselves: their own columns.
        bound: Schemas and bound queries.
        cache: Where the lineage of each query is kept, by its text and the columns of its inputs.
    """
    tracer = Tracer(project, cache)
    for name in project.graph.order:
        node = project.graph.nodes[name]
        if node.role is Role.LOAD:
            table: SourceTable = node.spec
            tracer.add_table(table, _source_columns(table, observed), bound.schemas.get(table.name) or ())
        elif node.role is Role.TRANSFORM:
            model: Model = node.spec
            outputs = bound.queries[model.name][0] if model.name in bound.queries else None
            inputs = {name: bound.schemas.get(name) for name in model.inputs}
            names = [column.name for column in outputs] if outputs is not None else None
            tracer.add_model(model, inputs, names, bound.schemas.get(model.name) or ())
        elif node.role is Role.PUBLISH:
            inputs = {name: bound.schemas.get(name) for name in node.spec.model.inputs}
            tracer.add_model(node.spec.model, inputs, None, bound.schemas.get(node.dataset) or ())
        elif node.role is Role.CONSUMER:
            tracer.add_consumer(node.spec, bound.schemas, {q: c for (n, q), c in bound.consumed.items() if n == name})
        elif node.role is Role.SCORE:
            names = [column.name for column in bound.schemas.get(node.dataset) or ()]
            stored = project.physical_inputs(node.dataset)
            tracer.datasets[node.dataset] = DatasetLineage(node.dataset, stored, unknown_lineage(names, _SCORES))
    return Lineage(tracer.datasets)


def _source_columns(table: SourceTable, observed: Observed) -> Columns:
    """What a source gives: the declared columns, and what it says of others; `schema: evolve` takes those as well."""
    declared, described = declared_columns(table), observed.sources.get(table.name)
    named = {column.name.lower() for column in declared}
    found = typed_as_declared(table, described.columns) if described is not None else ()
    return (*declared, *(column for column in found if column.name.lower() not in named))


class Tracer:
    """Traces datasets in the order of the graph, each with the lineage of those above it at hand."""

    def __init__(self, project: Project, cache: ParseCache) -> None:
        self.project, self.cache = project, cache
        self.datasets: dict[str, DatasetLineage] = {}
        self._parser = version("sqlglot")

    def add_table(self, table: SourceTable, given: Sequence[Column], landed: Sequence[Column]) -> None:
        """Trace a source's table from the columns the source gives to those that landed."""
        node = node_name(table.name, Role.SOURCE)
        names = [column.name for column in landed]
        if given:
            rules = table.ingest.model_dump_json(
                include={"prepare", "reject_if", "key"}, exclude={"prepare": {"__all__": {"mask"}}}
            )
            gone = _GONE if not declared_columns(table) else _UNDECLARED
            lineage = self._cached(
                ["prepare", node, rules, gone, *names, "", *(column.name for column in given)],
                lambda: trace_prepare(table.ingest, node, given, names, gone),
            )
        else:
            lineage = unknown_lineage(names, "the columns of the source are not known yet")
        self.datasets[table.name] = DatasetLineage(table.name, (node,), lineage)

    def add_model(
        self,
        model: Model,
        inputs: Mapping[str, Sequence[Column] | None],
        names: Sequence[str] | None,
        columns: Sequence[Column],
    ) -> None:
        """Trace a model.

        Args:
            model: The model.
            inputs: Columns of every dataset it reads; None: not known.
            names: The names the binder gives its columns, when it was bound.
            columns: Its columns, as far as they are known in another way.
        """
        lineage = self._trace_model(model, inputs, names, [column.name for column in columns])
        if model.spec.materialize == Materialization.SNAPSHOT and lineage.columns:
            lineage = _with_validity(model, lineage)
        stored = self.project.physical_inputs(model.name)
        self.datasets[model.name] = DatasetLineage(model.name, stored, self._through_views(lineage), model.is_view)

    def add_consumer(
        self,
        consumer: DeclaredConsumer,
        schemas: Mapping[str, Sequence[Column] | None],
        bound: Mapping[str, Sequence[Column]],
    ) -> None:
        """Trace a consumer: its columns are those of its queries, as `query.column`.

        Args:
            consumer: The consumer.
            schemas: Columns of every dataset; None: not known.
            bound: Columns of each of its queries that was bound, by the query's name.
        """
        columns: list[TracedColumn] = []
        indirect: dict[str, set[Leaf]] = {}
        unknown = ""
        for query in consumer.queries:
            outputs = bound.get(query.name)
            names = [column.name for column in outputs] if outputs is not None else None
            inputs = {name: schemas.get(name) for name in query.reads}
            lineage = self._through_views(self._trace_query(query.sql, inputs, names, names or [], query.names))
            columns += [replace(one, name=f"{query.name}.{one.name}") for one in lineage.columns]
            unknown = unknown or lineage.unknown
            for kind, leaves in lineage.indirect.items():
                indirect.setdefault(kind, set()).update(leaves)
        merged = ColumnLineage(tuple(columns), {k: tuple(sorted(v)) for k, v in sorted(indirect.items())}, unknown)
        stored = self.project.physical_inputs(consumer.name)
        self.datasets[consumer.name] = DatasetLineage(consumer.name, stored, merged)

    def _trace_model(
        self, model: Model, inputs: Mapping[str, Sequence[Column] | None], names: Sequence[str] | None, own: list[str]
    ) -> ColumnLineage:
        if model.language == "python":
            return unknown_lineage(own, _PYTHON)
        return self._trace_query(model.text, inputs, names, own, model.names)

    def _trace_query(
        self, text: str, inputs: Mapping[str, Sequence[Column] | None], names: Sequence[str] | None, own: list[str],
        written: Mapping[str, str],
    ) -> ColumnLineage:  # fmt: skip
        missing = next((name for name, columns in inputs.items() if columns is None), None)
        if missing is not None:
            return unknown_lineage(own, f"the schema of {missing} is not known yet")
        known = {name: tuple(columns) for name, columns in inputs.items() if columns is not None}
        shapes = {name: [[c.name, c.type] for c in columns] for name, columns in sorted(known.items())}
        query = replace_placeholders(text, CLOCK_PROBE.get)
        return self._cached(
            ["query", query, json.dumps([shapes, names, dict(written)])],
            lambda: trace_columns(query, known, names, written),
        )

    def _cached(self, parts: Iterable[str], make: Any) -> ColumnLineage:
        return ColumnLineage.from_json(
            self.cache.get(digest("lineage with pivots", self._parser, *parts), lambda: make().to_json())
        )

    def _through_views(self, lineage: ColumnLineage) -> ColumnLineage:
        """Replace columns of views by what they are made of, and take over what decides the views' rows."""
        read = {leaf[0] for column in lineage.columns for leaf in column.leaves}
        read |= {leaf[0] for leaves in lineage.indirect.values() for leaf in leaves}
        views = {name: self.datasets[name] for name in read if name in self.datasets and self.datasets[name].is_view}
        if not views:
            return lineage
        columns = []
        for column in lineage.columns:
            leaves, unknown = _expand(column.leaves, views)
            columns.append(TracedColumn(column.name, () if unknown else leaves, column.unknown or unknown))
        indirect: dict[str, set[Leaf]] = {}
        reasons = [lineage.unknown, *(view.traced.unknown for view in views.values())]
        for kind, leaves in lineage.indirect.items():
            expanded, unknown = _expand(leaves, views)
            indirect.setdefault(kind, set()).update(expanded)
            reasons.append(unknown)
        for view in views.values():
            for kind, leaves in view.traced.indirect.items():
                indirect.setdefault(kind, set()).update(leaves)
        ordered = {kind: tuple(sorted(leaves)) for kind, leaves in sorted(indirect.items()) if leaves}
        return ColumnLineage(tuple(columns), ordered, next(filter(None, reasons), ""))


def _expand(leaves: Iterable[Leaf], views: Mapping[str, DatasetLineage]) -> tuple[tuple[Leaf, ...], str]:
    found: set[Leaf] = set()
    for dataset, column in leaves:
        view = views.get(dataset)
        traced = view.column(column) if view else None
        if view is None:
            found.add((dataset, column))
        elif traced is None or traced.unknown:
            return (), traced.unknown if traced else f"{dataset}.{column} is not known"
        else:
            found.update(traced.leaves)
    return tuple(sorted(found)), ""


def _with_validity(model: Model, lineage: ColumnLineage) -> ColumnLineage:
    """Add the columns of a snapshot: they come from its `time`, or from the clock."""
    wanted = (model.spec.time or "").lower()
    time = next((column for column in lineage.columns if column.name.lower() == wanted), TracedColumn(""))
    added = tuple(TracedColumn(column.name, time.leaves, time.unknown) for column in SNAPSHOT_COLUMNS)
    have = {column.name for column in lineage.columns}
    extra = tuple(column for column in added if column.name not in have)
    return ColumnLineage((*lineage.columns, *extra), lineage.indirect, lineage.unknown)
