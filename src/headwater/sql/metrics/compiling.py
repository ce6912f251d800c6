"""Metrics become one SELECT over the project's datasets: every row counted once, or it is refused.

Each aggregate is computed over its own dataset, joined only to datasets of which each of its rows has at most one;
where a number is made of aggregates of several datasets, each is computed alone and they meet on what they are grouped
by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_dataset, quote_identifier
from headwater.core.metrics import Grain, MetricRequest
from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.sql.metrics.joins import INTEGERS, Joins, joins_exactly
from headwater.sql.metrics.numbers import Numbers
from headwater.sql.metrics.trees import (
    Tree,
    called,
    field_tree,
    find_named,
    put_values,
    read_tree,
    refuse_unreadable,
    replace_nodes,
)
from headwater.sql.parse import aggregate_functions, fold_name, parse_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headwater.core.graph import Location
    from headwater.core.metrics import MetricDataset, MetricField, SemanticModel
    from headwater.sql.metrics.numbers import MetricNumber

_WIDTHS = {Grain.WEEK: "7 days", Grain.QUARTER: "3 months"}


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
    joins = Joins(model)
    return _Compiler(model, request, joins, Numbers(model, joins)).compile()


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """What is to be bound of a semantic model.

    Attributes:
        what: What it is, for people.
        location: Where it stands.
        query: The query, or why there is none.
        is_pair: It gives two columns that are joined.
        datatype: The type of Ossie that its column is said to have.
    """

    what: str
    location: Location
    query: SelectSql | ProjectError
    is_pair: bool = False
    datatype: str = ""

    def problem(self, types: Sequence[str]) -> tuple[str, str] | None:
        """Say what is wrong with the types of the bound query, and how to mend it."""
        if self.is_pair and not joins_exactly(*types):
            told = " and ".join(types)
            return f"{self.what} are of other types, {told}, and would be cast", "cast one of them in a model or a view"
        if self.datatype and not is_datatype(types[0], self.datatype):
            return f"{self.what} is {types[0]}, and declared as {self.datatype}", "cast it, or change its datatype"
        return None


_DATATYPES = {
    "String": ("VARCHAR", "UUID", "JSON", "ENUM"),
    "Integer": (*INTEGERS, "UHUGEINT"),
    "Decimal": ("DECIMAL", *INTEGERS, "UHUGEINT"),
    "Float": ("FLOAT", "DOUBLE"),
    "Boolean": ("BOOLEAN",),
    "Date": ("DATE",),
    "Time": ("TIME", "TIME_NS", "TIME WITH TIME ZONE"),
    "DateTime": ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"),
    "DateTimeTz": ("TIMESTAMP WITH TIME ZONE",),
}
"""The types of DuckDB that a data type of Ossie stands for."""


def is_datatype(type_text: str, datatype: str) -> bool:
    """Whether a type of DuckDB is one that a data type of Ossie stands for; `Opaque` is any."""
    bare = type_text.partition("(")[0] if type_text.endswith(")") else type_text
    return datatype not in _DATATYPES or bare in _DATATYPES[datatype]


def check_queries(model: SemanticModel) -> list[MetricCheck]:
    """Return a query for each metric, field and key of a semantic model, to be bound."""
    found: list[MetricCheck] = []
    for dataset in model.datasets.values():
        for one in dataset.fields.values():
            query = _or_error(partial(_field_query, dataset, one))
            what = f"the field {dataset.name}.{one.name}"
            found.append(MetricCheck(what, one.location, query, datatype=one.datatype))
            if one.is_time and not isinstance(query, ProjectError):
                taken = SelectSql(f"SELECT time_bucket(INTERVAL '1 day', value) FROM ({query})")
                found.append(MetricCheck(f"{what} is a time, and cannot be taken by day", one.location, taken))
        for column in dict.fromkeys(column for key in dataset.keys for column in key):
            sql = SelectSql(f"SELECT {quote_identifier(column)} {_source(dataset)}")
            found.append(MetricCheck(f"the key {dataset.name}.{column}", dataset.location, sql))
    for step in model.relationships:
        for left, right in step.columns:
            ends = {"l": (left, model.datasets[step.many]), "r": (right, model.datasets[step.one])}
            values = [
                f"(SELECT {quote_identifier(column)} {_source(end)}) AS {name}" for name, (column, end) in ends.items()
            ]
            what = f"the relationship {step.name}: {step.many}.{left} = {step.one}.{right}"
            found.append(MetricCheck(what, step.location, SelectSql(f"SELECT {', '.join(values)}"), is_pair=True))
    for metric in model.metrics.values():
        query = _or_error(partial(compile_metrics, [model], MetricRequest((metric.name,))))
        found.append(MetricCheck(f"the metric {metric.name}", metric.location, query, datatype=metric.datatype))
    return found


def _field_query(dataset: MetricDataset, one: MetricField) -> SelectSql:
    value = write_tree(field_tree(dataset, one))
    return SelectSql(f"SELECT {value} AS value {_source(dataset)}")


def _source(dataset: MetricDataset) -> str:
    return f"FROM {quote_dataset(dataset.source)} AS {quote_identifier(dataset.name)}"


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
    _numbers: Numbers
    _mentioned: dict[str, _Dimension] = field(default_factory=dict)

    def compile(self) -> SelectSql:
        numbers = [self._numbers.read(name) for name in self.request.metrics]
        bases = list(dict.fromkeys(one.base for number in numbers for one in number.aggregates))
        named = list(zip(self.request.groups, self.request.by, strict=True))
        dimensions = {base: [self._dimension(term, base, name) for name, term in named] for base in bases}
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
                name = one.name.partition("__")[0]
                taken = f": rename the field {name}" if name in list(Grain) else ""
                fix = f"use a field that both reach, dataset.field, or a grain of time alone{taken}"
                raise ProjectError(what, fix=fix)

    def _meet(self, parts: Sequence[str], shown: Sequence[_Dimension], numbers: Sequence[MetricNumber]) -> str:
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
            used |= self._numbers.datasets_in(parse_tree(sql))
        if where:
            used |= self._numbers.datasets_in(parse_tree(where))
        parts = [f"{one.sql} AS {quote_identifier(one.name)}" for one in dimensions]
        parts += [f"{sql} AS {quote_identifier(name)}" for name, sql in values]
        filtered = f"\nWHERE {where}" if where else ""
        return f"SELECT {', '.join(parts)}\n{self._joins.from_clause(base, used)}{filtered}"

    # -------------------------------------------------------------------------------------------------- dimensions

    def _dimension(self, term: str, base: str, shown: str) -> _Dimension:
        """Return what a term of `by` means: a field, with a grain behind `__`, or a grain of the dataset's time."""
        written, _, grain = term.partition("__")
        grain = grain.lower()
        if grain and grain not in list(Grain):
            raise ProjectError(f"{term}: {grain} is no grain", fix=suggest(grain, list(Grain)))
        owner, _, name = written.rpartition(".")
        found = self._fields_named(owner, name, base)
        is_own_time = not owner and not grain and name.lower() in list(Grain) and self._is_grain(found, base)
        if is_own_time:
            found, grain = found or self._times(name, base), name.lower()
        if not found:
            raise self._unknown(written, name, base, grain)
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
        return _Dimension(shown, dataset.name, sql, is_own_time)

    def _is_grain(self, found: Sequence[tuple[MetricDataset, MetricField]], base: str) -> bool:
        """Whether a grain's name is that grain: it is no field, or that of the dataset's own time."""
        return not found or [one for _, one in found] == self._own_times(base)

    def _own_times(self, base: str) -> list[MetricField]:
        """Return the time that a dataset says is its own, or else all that it has."""
        dataset = self.model.datasets[base]
        return [one for one in dataset.fields.values() if one.is_time and dataset.time in ("", one.name)]

    def _unknown(self, written: str, name: str, base: str, grain: str) -> ProjectError:
        """Say why a name means nothing to a dataset: nothing has it, or only what its rows have several of."""
        far = [one for one in self.model.datasets.values() if find_named(one.fields, name)]
        if far and "." not in written:
            try:
                self._joins.way(base, far[0].name)
            except ProjectError as error:
                return ProjectError(f"{written} is a field of {far[0].name}, and {error.what}", fix=error.fix)
        reached = [(one, field) for one in self._joins.reached(base) for field in one.fields.values()]
        known = [field.name if one.name == base else f"{one.name}.{field.name}" for one, field in reached]
        if grain and grain == written.lower():
            times = [f"{one.name}.{field.name}__{grain}" for one, field in reached if field.is_time]
            fix = f"write {' or '.join(times)}" if times else f"declare a field of {base} that is a time"
            return ProjectError(f"{base} has no time of its own to take by {grain}", fix=fix)
        return ProjectError(f"no field is named {written}", fix=suggest(written, known))

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
        times = self._own_times(base)
        if len(times) > 1:
            fix = f"write {times[0].name}__{grain}, or say which is the time of {base}"
            raise ProjectError(f"{base} has several times: {', '.join(one.name for one in times)}", fix=fix)
        return [(self.model.datasets[base], one) for one in times]

    def _condition(self, base: str) -> str:
        if not self.request.where.strip():
            return ""

        def resolve(node: Tree) -> Tree | None:
            refuse_unreadable(node, "where")
            if called(node) in aggregate_functions():
                raise ProjectError("where holds an aggregate", fix="filter rows, or query the numbers in a model")
            if node["class"] != "COLUMN_REF":
                return None
            names = [str(name) for name in node["column_names"]]
            if len(names) > 1 and find_named(self.model.datasets, names[0]) and "__" not in names[-1]:
                return self._numbers.column(node, "where")
            if len(names) > 2 or (len(names) == 2 and not find_named(self.model.datasets, names[0])):
                raise ProjectError(f"where: no field is named {'.'.join(names)}", fix="write dataset.field")
            found = self._dimension(".".join(names), base, names[-1])
            self._same_meaning([self._mentioned.setdefault(".".join(names), found)], [found])
            return parse_tree(found.sql)

        return write_tree(replace_nodes(read_tree(self.request.where, "where"), resolve))
