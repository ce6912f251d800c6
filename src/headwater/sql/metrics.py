"""Metrics become one SELECT over the project's datasets: every row counted once, or it is refused.

Each aggregate is computed over its own dataset, joined only to datasets of which each of its rows has at most one;
where a number is made of aggregates of several datasets, each is computed alone and they meet on what they are grouped
by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_dataset, quote_identifier
from headwater.core.metrics import Grain, MetricRequest
from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.sql.metric_joins import Joins
from headwater.sql.metric_trees import (
    AGGREGATES,
    Tree,
    called,
    field_tree,
    find_named,
    name_tree,
    put_values,
    read_tree,
    refuse_unreadable,
    replace_nodes,
)
from headwater.sql.parse import fold_name, parse_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headwater.core.graph import Location
    from headwater.core.metrics import MetricDataset, MetricField, SemanticModel

_COUNTS = frozenset({"count", "count_if", "count_star"})
"""Aggregates that are 0 where there is no row."""

_WIDTHS = {Grain.WEEK: "7 days", Grain.QUARTER: "3 months"}


@dataclass(frozen=True, slots=True)
class _Aggregate:
    """An aggregate of a metric: the dataset whose rows it counts, its name in the query, and its expression."""

    base: str
    alias: str
    sql: str
    is_count: bool


@dataclass(frozen=True, slots=True)
class _Number:
    """A metric, taken apart: its expression with names in the place of its aggregates."""

    name: str
    tree: Tree
    aggregates: tuple[_Aggregate, ...]


@dataclass(frozen=True, slots=True)
class _Dimension:
    """What is grouped by: an expression, its dataset, and whether it is the time of whatever is counted."""

    name: str
    dataset: str
    sql: str
    is_own_time: bool = False


def compile_metrics(models: Sequence[SemanticModel], request: MetricRequest) -> SelectSql:
    """Return the query that answers a request; its columns are what is grouped by, then the metrics.

    Raises:
        ProjectError: A name is not known, or the answer would count rows twice.
    """
    model = _model_of(models, request.metrics)
    return _Compiler(model, request, Joins(model)).compile()


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """What is to be bound of a semantic model: what it is, where it stands, and the query, or why there is none."""

    what: str
    location: Location
    query: SelectSql | ProjectError


def check_queries(model: SemanticModel) -> list[MetricCheck]:
    """Return a query for each metric, field and key of a semantic model, to be bound."""
    found: list[MetricCheck] = []
    for dataset in model.datasets.values():
        for one in dataset.fields.values():
            query = _or_error(partial(_field_query, dataset, one))
            found.append(MetricCheck(f"the field {dataset.name}.{one.name}", one.location, query))
        ends = [[(r.many, left), (r.one, right)] for r in model.relationships for left, right in r.columns]
        used = {column for key in dataset.keys for column in key}
        used |= {column for pair in ends for name, column in pair if name == dataset.name}
        for column in sorted(used):
            sql = SelectSql(f"SELECT {quote_identifier(column)} {_source(dataset)}")
            found.append(MetricCheck(f"the key {dataset.name}.{column}", dataset.location, sql))
    for metric in model.metrics.values():
        query = _or_error(partial(compile_metrics, [model], MetricRequest((metric.name,))))
        found.append(MetricCheck(f"the metric {metric.name}", metric.location, query))
    return found


def _field_query(dataset: MetricDataset, one: MetricField) -> SelectSql:
    value = write_tree(field_tree(dataset, one))
    return SelectSql(f"SELECT {value} AS value {_source(dataset)}")


def _source(dataset: MetricDataset) -> str:
    return f"FROM {quote_dataset(dataset.source)} AS {quote_identifier(dataset.name)}"


def _spelled(node: Tree) -> str:
    return "count(*)" if called(node) == "count_star" else f"{called(node)}()"


def _or_error(make: Callable[[], SelectSql]) -> SelectSql | ProjectError:
    try:
        return make()
    except ProjectError as error:
        return error


def _model_of(models: Sequence[SemanticModel], wanted: Sequence[str]) -> SemanticModel:
    owners = {fold_name(name): model for model in models for name in model.metrics}
    for name in wanted:
        if fold_name(name) not in owners:
            known = [name for model in models for name in model.metrics]
            fix = suggest(name, known) if known else "declare it in metrics/"
            raise ProjectError(f"no metric is named {name}", fix=fix)
    found = {owners[fold_name(name)].name: owners[fold_name(name)] for name in wanted}
    if len(found) != 1:
        what = f"{', '.join(wanted)} are of the semantic models {', '.join(found)}"
        raise ProjectError(what, fix="ask them one by one" if found else "name a metric")
    return next(iter(found.values()))


@dataclass(slots=True)
class _Compiler:
    """One request to one semantic model."""

    model: SemanticModel
    request: MetricRequest
    _joins: Joins
    _aliases: dict[tuple[str, str], _Aggregate] = field(default_factory=dict)

    def compile(self) -> SelectSql:
        numbers = [self._number(name) for name in self.request.metrics]
        bases = list(dict.fromkeys(one.base for number in numbers for one in number.aggregates))
        dimensions = {base: [self._dimension(term, base) for term in self.request.by] for base in bases}
        shown = dimensions[bases[0]]
        names = [fold_name(name) for name in (*(one.name for one in shown), *(one.name for one in numbers))]
        if twin := next((name for at, name in enumerate(names) if name in names[:at]), None):
            raise ProjectError(f"{twin} is asked twice", fix="ask it once, or by other fields")
        groups = ", ".join(str(place) for place in range(1, len(shown) + 1))
        group = f"\nGROUP BY {groups}" if groups else ""
        order = f"\nORDER BY {groups}" if groups else ""
        if len(bases) == 1:
            inner = {one.alias: parse_tree(one.sql) for number in numbers for one in number.aggregates}
            values = [(number.name, write_tree(put_values(number.tree, inner))) for number in numbers]
            return SelectSql(self._select(bases[0], shown, values) + group + order)
        aggregates = list(dict.fromkeys(one for number in numbers for one in number.aggregates))
        parts = []
        for base in bases:
            self._same_meaning(shown, dimensions[base])
            values = [(one.alias, one.sql) for one in aggregates if one.base == base]
            parts.append(self._select(base, dimensions[base], values) + group)
        return SelectSql(self._meet(parts, shown, numbers) + group + order)

    def _same_meaning(self, shown: Sequence[_Dimension], found: Sequence[_Dimension]) -> None:
        """Refuse to let numbers meet on fields that only have the same name."""
        for one, other in zip(shown, found, strict=True):
            if one.dataset != other.dataset and not (one.is_own_time and other.is_own_time):
                what = f"{one.name} is a field of {one.dataset} for one number and of {other.dataset} for another"
                raise ProjectError(what, fix="group by a field that both reach, or by a grain of time, such as month")

    def _meet(self, parts: Sequence[str], shown: Sequence[_Dimension], numbers: Sequence[_Number]) -> str:
        """Return the query over parts that were computed alone: they meet on the dimensions."""
        inner: dict[str, Tree] = {}
        for one in (one for number in numbers for one in number.aggregates):
            value = f"any_value({quote_identifier(one.alias)})"
            inner[one.alias] = parse_tree(f"coalesce({value}, 0)" if one.is_count else value)
        columns = [str(quote_identifier(one.name)) for one in shown]
        columns += [f"{write_tree(put_values(one.tree, inner))} AS {quote_identifier(one.name)}" for one in numbers]
        together = "\nUNION ALL BY NAME\n".join(f"({part})" for part in parts)
        return f"SELECT {', '.join(columns)}\nFROM (\n{together}\n)"

    def _select(self, base: str, dimensions: Sequence[_Dimension], values: Sequence[tuple[str, str]]) -> str:
        """Return the query over one dataset and those it is joined to, but for its groups."""
        where = self._condition(base)
        used = {one.dataset for one in dimensions}
        for _, sql in values:
            used |= self._datasets_in(parse_tree(sql))
        if where:
            used |= self._datasets_in(parse_tree(where))
        parts = [f"{one.sql} AS {quote_identifier(one.name)}" for one in dimensions]
        parts += [f"{sql} AS {quote_identifier(name)}" for name, sql in values]
        filtered = f"\nWHERE {where}" if where else ""
        return f"SELECT {', '.join(parts)}\n{self._joins.from_clause(base, used)}{filtered}"

    # ----------------------------------------------------------------------------------------------------- metrics

    def _number(self, name: str) -> _Number:
        metric = find_named(self.model.metrics, name)
        aggregates: list[_Aggregate] = []

        def take(node: Tree) -> Tree | None:
            what = f"the metric {metric.name}"
            refuse_unreadable(node, what)
            if called(node) in AGGREGATES:
                aggregates.append(found := self._aggregate(node, what))
                return name_tree(found.alias)
            if node["class"] == "COLUMN_REF":
                column = ".".join(map(str, node["column_names"]))
                raise ProjectError(
                    f"{what}: {column} stands outside of an aggregate", fix="put it into sum(), count(), avg(), …"
                )
            if called(node) == "/" and len(node["children"]) == 2:
                over, under = (replace_nodes(child, take) for child in node["children"])
                unless_zero = parse_tree("nullif(0, 0)")
                unless_zero["children"][0] = under
                return {**node, "children": [over, unless_zero]}
            return None

        tree = replace_nodes(read_tree(metric.sql, f"the metric {metric.name}"), take)
        if not aggregates:
            raise ProjectError(f"the metric {metric.name} aggregates nothing", fix="write sum(), count(), avg(), …")
        return _Number(metric.name, tree, tuple(aggregates))

    def _aggregate(self, node: Tree, what: str) -> _Aggregate:
        inside = {key: self._resolved(node[key], what) for key in ("children", "filter", "order_bys")}
        used = set().union(*(self._datasets_in(part) for part in inside.values()))
        if not used and len(self.model.datasets) == 1:
            used = set(self.model.datasets)
        if not used:
            fix = "count a field, as in count(orders.id)"
            raise ProjectError(f"{what}: {_spelled(node)} does not say of which dataset", fix=fix)
        base = next((one for one in sorted(used) if all(self._joins.reaches(one, other) for other in used)), None)
        if base is None:
            raise ProjectError(
                f"{what}: an aggregate is over {' and '.join(sorted(used))}, of which none has one row of the others",
                fix="declare a relationship, many to one, or aggregate each alone",
            )
        sql, is_count = write_tree({**node, **inside}), called(node) in _COUNTS
        return self._aliases.setdefault((base, sql), _Aggregate(base, f"__a{len(self._aliases)}", sql, is_count))

    def _resolved(self, tree: Any, what: str) -> Any:
        """Return a tree with expressions in the place of fields, `dataset.field` each."""

        def resolve(node: Tree) -> Tree | None:
            refuse_unreadable(node, what)
            return self._column(node, what) if node["class"] == "COLUMN_REF" else None

        return replace_nodes(tree, resolve)

    def _column(self, node: Tree, what: str) -> Tree:
        names = [str(name) for name in node["column_names"]]
        if len(names) == 1 and len(self.model.datasets) == 1:
            names = [*self.model.datasets, *names]
        dataset = find_named(self.model.datasets, names[0]) if len(names) > 1 else None
        if dataset is None:
            known = list(self.model.datasets)
            fix = suggest(names[0], known) if len(names) > 1 else f"write dataset.field, of {', '.join(known)}"
            raise ProjectError(f"{what}: {'.'.join(names)} is of no dataset of the semantic model", fix=fix)
        one = find_named(dataset.fields, names[1])
        return field_tree(dataset, one) if one is not None else name_tree(dataset.name, *names[1:])

    # -------------------------------------------------------------------------------------------------- dimensions

    def _dimension(self, term: str, base: str) -> _Dimension:
        """Return what a term of `by` means: a field, with a grain behind `__`, or a grain of the only time."""
        written, _, grain = term.partition("__")
        if grain and grain not in list(Grain):
            raise ProjectError(f"{term}: {grain} is no grain", fix=suggest(grain, list(Grain)))
        owner, _, name = written.rpartition(".")
        found = self._fields_named(owner, name, base)
        is_own_time = not found and not owner and not grain and name in list(Grain)
        if is_own_time:
            found, grain = self._times(name, base), name
        if not found:
            known = [
                f"{d.name}.{one}" if d.name != base else one for d in self._joins.reached(base) for one in d.fields
            ]
            raise ProjectError(f"no field is named {written}", fix=suggest(written, known))
        if len(found) > 1:
            raise ProjectError(
                f"{written} is a field of {' and of '.join(sorted(dataset.name for dataset, _ in found))}",
                fix=f"write {found[0][0].name}.{name}",
            )
        dataset, one = found[0]
        sql = write_tree(field_tree(dataset, one))
        if grain:
            if not one.is_time:
                raise ProjectError(f"{dataset.name}.{one.name} is no time", fix="say dimension: {is_time: true}")
            sql = f"time_bucket(INTERVAL '{_WIDTHS.get(Grain(grain), f'1 {grain}')}', {sql})"
        is_own_time |= not owner and one.is_time and dataset.name == base and name in list(Grain)
        return _Dimension(term.rpartition(".")[2], dataset.name, sql, is_own_time)

    def _fields_named(self, owner: str, name: str, base: str) -> list[tuple[MetricDataset, MetricField]]:
        """Return the fields of a name: the base's own, or else those of all that it reaches."""
        if owner:
            dataset = find_named(self.model.datasets, owner)
            if dataset is None:
                raise ProjectError(f"no dataset is named {owner}", fix=suggest(owner, list(self.model.datasets)))
            self._joins.way(base, dataset.name)
            return [(dataset, one)] if (one := find_named(dataset.fields, name)) else []
        found = [(dataset, one) for dataset in self._joins.reached(base) if (one := find_named(dataset.fields, name))]
        return [pair for pair in found if pair[0].name == base] or found

    def _times(self, grain: str, base: str) -> list[tuple[MetricDataset, MetricField]]:
        times = [one for one in self.model.datasets[base].fields.values() if one.is_time]
        if len(times) > 1:
            fix = f"write {times[0].name}__{grain}"
            raise ProjectError(f"{base} has several times: {', '.join(one.name for one in times)}", fix=fix)
        return [(self.model.datasets[base], one) for one in times]

    def _condition(self, base: str) -> str:
        if not self.request.where.strip():
            return ""

        def resolve(node: Tree) -> Tree | None:
            refuse_unreadable(node, "where")
            if called(node) in AGGREGATES:
                raise ProjectError("where holds an aggregate", fix="filter rows, or query the numbers in a model")
            if node["class"] != "COLUMN_REF":
                return None
            names = [str(name) for name in node["column_names"]]
            if len(names) > 1 and find_named(self.model.datasets, names[0]):
                return self._column(node, "where")
            one = self._dimension(names[0], base) if len(names) == 1 else None
            if one is None:
                raise ProjectError(f"where: no field is named {'.'.join(names)}", fix="write dataset.field")
            return parse_tree(one.sql)

        return write_tree(replace_nodes(read_tree(self.request.where, "where"), resolve))

    def _datasets_in(self, tree: Any) -> set[str]:
        """Return the datasets whose columns an expression reads."""
        found: set[str] = set()

        def note(node: Tree) -> Tree | None:
            if node["class"] == "COLUMN_REF" and len(node["column_names"]) > 1:
                found.add(str(node["column_names"][0]))
            return None

        replace_nodes(tree, note)
        return found & set(self.model.datasets)
