"""Metrics taken apart: aggregates, each over the dataset whose rows it counts, and what is computed of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.sql.metrics.trees import (
    AGGREGATES,
    Tree,
    called,
    field_tree,
    find_named,
    name_tree,
    read_tree,
    refuse_unreadable,
    replace_nodes,
)
from headwater.sql.parse import aggregate_functions, write_tree

if TYPE_CHECKING:
    from headwater.core.metrics import Metric, SemanticModel
    from headwater.sql.metrics.joins import Joins

_COUNTS = frozenset({"count", "count_if", "count_star"})
"""Aggregates that are 0 where there is no row."""

_NEVER_DOUBLED = frozenset({"min", "max", "bool_and", "bool_or"})
"""Aggregates that are the same however often a row is counted."""

_CONDITIONS = frozenset({
    "COMPARISON", "CONJUNCTION", "BETWEEN", "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", "OPERATOR_IS_NULL",
    "OPERATOR_IS_NOT_NULL",
})  # fmt: skip
"""Nodes of a parse tree that decide, and are no value to be counted."""


@dataclass(frozen=True, slots=True)
class MetricAggregate:
    """An aggregate of a metric: the dataset whose rows it counts, its name in the query, and its expression."""

    base: str
    alias: str
    sql: str
    is_count: bool


@dataclass(frozen=True, slots=True)
class MetricNumber:
    """A metric, taken apart: its expression with names in the place of its aggregates."""

    name: str
    tree: Tree
    aggregates: tuple[MetricAggregate, ...]


@dataclass(slots=True)
class Numbers:
    """Takes metrics of a semantic model apart; an aggregate that two of them have is one."""

    model: SemanticModel
    joins: Joins
    _aliases: dict[tuple[str, str], MetricAggregate] = field(default_factory=dict)

    def read(self, name: str) -> MetricNumber:
        """Take a metric apart.

        Raises:
            ProjectError: It is no expression over aggregates, or one of them would count rows twice.
        """
        metric: Metric = find_named(self.model.metrics, name)
        aggregates: list[MetricAggregate] = []
        tree = self._read(metric, aggregates, ())
        if not aggregates:
            raise ProjectError(f"the metric {metric.name} aggregates nothing", fix="write sum(), count(), avg(), …")
        return MetricNumber(metric.name, tree, tuple(aggregates))

    def _read(self, metric: Metric, aggregates: list[MetricAggregate], within: tuple[str, ...]) -> Tree:
        what = f"the metric {metric.name}"
        if metric.name in within:
            raise ProjectError(f"{what} is made of itself: {' of '.join((*within, metric.name))}", fix="end the circle")

        def take(node: Tree) -> Tree | None:
            refuse_unreadable(node, what)
            name = called(node)
            if name in AGGREGATES:
                aggregates.append(found := self._aggregate(node, what))
                return name_tree(found.alias)
            if name in aggregate_functions():
                fix = f"these are: {', '.join(sorted(AGGREGATES - {'count_star'}))}; or compute it in a model"
                raise ProjectError(f"{what}: {name}() is no aggregate of metrics", fix=fix)
            if node["class"] == "COLUMN_REF":
                names = [str(part) for part in node["column_names"]]
                other = find_named(self.model.metrics, names[0]) if len(names) == 1 else None
                if other is not None:
                    return self._read(other, aggregates, (*within, metric.name))
                fix = "put it into sum(), count(), avg(), …"
                raise ProjectError(f"{what}: {'.'.join(names)} stands outside of an aggregate", fix=fix)
            return None

        found: Tree = replace_nodes(read_tree(metric.sql, what), take)
        return found

    def _aggregate(self, node: Tree, what: str) -> MetricAggregate:
        if called(node) in ("min", "max") and len(node["children"]) > 1:
            raise ProjectError(f"{what}: {called(node)}() of several arguments is a list", fix="write one argument")
        inside = {key: self.resolved(node[key], what) for key in ("children", "filter", "order_bys")}
        used = self.datasets_in([*inside.values()])
        if not used and len(self.model.datasets) == 1:
            used = set(self.model.datasets)
        if not used:
            fix = "count a field, as in count(orders.id)"
            raise ProjectError(f"{what}: {_spelled(node)} does not say of which dataset", fix=fix)
        base = self._base(node, inside["children"], used, what)
        sql, is_count = write_tree({**node, **inside}), called(node) in _COUNTS
        return self._aliases.setdefault((base, sql), MetricAggregate(base, f"__a{len(self._aliases)}", sql, is_count))

    def _base(self, node: Tree, counted: Any, used: set[str], what: str) -> str:
        """Return the dataset whose rows are counted: that of the values, never a finer one that a condition names."""
        is_safe = called(node) in _NEVER_DOUBLED or bool(node.get("distinct"))
        values = used if is_safe else self.datasets_in(_without_conditions(counted)) or used
        base = next((one for one in sorted(values) if all(self.joins.reaches(one, other) for other in values)), None)
        if base is None:
            raise ProjectError(
                f"{what}: an aggregate is over {' and '.join(sorted(values))}, of which none has one row of the others",
                fix="declare a relationship, many to one, or aggregate each alone",
            )
        for other in sorted(used):
            try:
                self.joins.way(base, other)
            except ProjectError as error:
                raise ProjectError(f"{what}: {error.what}", fix=error.fix) from None
        return base

    def resolved(self, tree: Any, what: str) -> Any:
        """Return a tree with expressions in the place of fields, `dataset.field` each."""

        def resolve(node: Tree) -> Tree | None:
            refuse_unreadable(node, what)
            return self.column(node, what) if node["class"] == "COLUMN_REF" else None

        return replace_nodes(tree, resolve)

    def column(self, node: Tree, what: str) -> Tree:
        """Return what `dataset.field`, or `dataset.column`, means."""
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

    def datasets_in(self, tree: Any) -> set[str]:
        """Return the datasets whose columns an expression reads."""
        found: set[str] = set()

        def note(node: Tree) -> Tree | None:
            if node["class"] == "COLUMN_REF" and len(node["column_names"]) > 1:
                found.add(str(node["column_names"][0]))
            return None

        replace_nodes(tree, note)
        return found & set(self.model.datasets)


def _without_conditions(tree: Any) -> Any:
    """Return a tree of what is counted alone: without what CASE and nullif() decide by, and without comparisons."""

    def values(node: Tree) -> Tree | None:
        if node["class"] in _CONDITIONS or node["type"] in _CONDITIONS:
            return {"class": "CONSTANT"}
        if node["class"] == "CASE":
            kept = [check["then_expr"] for check in node["case_checks"]] + [node["else_expr"]]
            return {"class": "CASE", "values": _without_conditions(kept)}
        if called(node) == "nullif":
            return {"class": "CASE", "values": _without_conditions(node["children"][:1])}
        return None

    return replace_nodes(tree, values)


def _spelled(node: Tree) -> str:
    return "count(*)" if called(node) == "count_star" else f"{called(node)}()"
