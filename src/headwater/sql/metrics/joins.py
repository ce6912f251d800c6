"""How datasets of a semantic model are joined: many to one all along, by declared keys of one type, or not at all."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from headwater.core.fragments import quote_dataset, quote_identifier, quote_text
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.core.metrics import MetricDataset, MetricRelationship, SemanticModel

INTEGERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
)  # fmt: skip
"""Integers that DuckDB compares as integers; with UHUGEINT it compares the others as DOUBLE."""


def joins_exactly(left: str, right: str) -> bool:
    """Whether two columns can be joined: of one type, or both integers, or both decimals, of whatever width.

    Between other types DuckDB casts, and two values of one side may be one value of the other: '1' and '01'.
    """
    both = (left, right)
    return left == right or all(t in INTEGERS for t in both) or all(t.startswith("DECIMAL(") for t in both)


class Joins:
    """The ways between the datasets of a semantic model."""

    def __init__(self, model: SemanticModel) -> None:
        self.model = model

    def from_clause(self, base: str, used: Iterable[str]) -> str:
        """Return FROM with the joins that lead to the datasets that are used.

        Raises:
            ProjectError: There is no way to one of them, or there are several.
        """
        steps: dict[str, MetricRelationship] = {}
        for name in sorted({*used} - {base}):
            for step in self.way(base, name):
                steps.setdefault(step.one, step)
        joins = [f"FROM {quote_dataset(self.model.datasets[base].source)} AS {quote_identifier(base)}"]
        for name, step in sorted(steps.items(), key=lambda item: len(self.way(base, item[0]))):
            many, one = quote_identifier(step.many), quote_identifier(name)
            pairs = [
                f"{many}.{quote_identifier(left)} = {one}.{quote_identifier(right)}" for left, right in step.columns
            ]
            joins.append(f"LEFT JOIN {self._once(step)} AS {one} ON {' AND '.join(pairs)}")
        return "\n".join(joins)

    def _once(self, step: MetricRelationship) -> str:
        """Return a dataset whose key is held to be one while it is read: a second row would count the others twice."""
        columns = ", ".join(column for _, column in step.columns)
        key = [quote_identifier(column) for _, column in step.columns]
        known = " AND ".join(f"{column} IS NOT NULL" for column in key)
        twice = f"{step.one} has several rows of one key ({columns}): rows of {step.many} would be counted twice"
        guards = [f"WHEN {known} AND count(*) OVER (PARTITION BY {', '.join(key)}) > 1 THEN error({quote_text(twice)})"]
        for left, right in step.columns:
            cast = f"{step.name}: {step.many}.{left} and {step.one}.{right} are of other types: cast one in a model"
            guards.append(f"WHEN NOT {self._same_type(step.many, left, right)} THEN error({quote_text(cast)})")
        source = quote_dataset(self.model.datasets[step.one].source)
        return f"(SELECT * FROM {source} QUALIFY CASE {' '.join(guards)} ELSE true END)"

    def _same_type(self, many: str, left: str, right: str) -> str:
        """Return the condition that two columns have types that join exactly, as `joins_exactly` says."""
        there = quote_dataset(self.model.datasets[many].source)
        one = f"typeof({quote_identifier(right)})"
        other = f"(SELECT any_value(typeof(c)) FROM (SELECT {quote_identifier(left)} AS c FROM {there} LIMIT 1))"
        integers = ", ".join(map(quote_text, INTEGERS))
        return (
            f"({one} = coalesce({other}, {one}) OR {one} IN ({integers}) AND {other} IN ({integers}) "
            f"OR starts_with({one}, 'DECIMAL(') AND starts_with({other}, 'DECIMAL('))"
        )

    @cached_property
    def _ways(self) -> dict[str, dict[str, list[tuple[MetricRelationship, ...]]]]:
        """The ways from each dataset to each other one, many to one all along; of several, two."""
        found: dict[str, dict[str, list[tuple[MetricRelationship, ...]]]] = {}
        for start in self.model.datasets:
            ways = found.setdefault(start, {})
            waiting: list[tuple[str, tuple[MetricRelationship, ...]]] = [(start, ())]
            while waiting:
                at, way = waiting.pop()
                passed = {start, *(step.one for step in way)}
                for step in self.model.relationships:
                    if step.many == at and step.one not in passed and len(ways.setdefault(step.one, [])) < 2:
                        ways[step.one].append((*way, step))
                        waiting.append((step.one, (*way, step)))
        return found

    def reaches(self, base: str, name: str) -> bool:
        """Whether each row of a dataset has at most one of another."""
        return base == name or name in self._ways[base]

    def reached(self, base: str) -> list[MetricDataset]:
        """Return the datasets of which each row of this one has at most one, itself first."""
        others = [one for name, one in self.model.datasets.items() if name in self._ways[base]]
        return [self.model.datasets[base], *others]

    def way(self, base: str, name: str) -> tuple[MetricRelationship, ...]:
        """Return the relationships from a dataset to another one.

        Raises:
            ProjectError: There is none, or several.
        """
        if base == name:
            return ()
        ways = self._ways[base].get(name, [])
        if not ways:
            what = f"a row of {base} has no one row of {name}: the join would count rows of {base} twice or not at all"
            raise ProjectError(what, fix=f"declare a relationship from {base} to {name}, many to one, or leave it out")
        if len(ways) > 1:
            told = " and ".join(" then ".join(step.name for step in way) for way in ways)
            fix = f"declare {name} twice, under a name for each way"
            raise ProjectError(f"there are several ways from {base} to {name}: {told}", fix=fix)
        return ways[0]
