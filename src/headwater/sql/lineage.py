"""Column lineage of one query: the columns an output column is made of, and those that decide which rows there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


Leaf = tuple[str, str]
"""(dataset, column)."""

KINDS = ("filter", "join", "group", "sort", "window")
"""How a column influences a query's rows without being the value of an output column."""


@dataclass(frozen=True, slots=True)
class TracedColumn:
    """One output column: the columns its value is made of, or why that is unknown.

    A constant and `count(*)` have no leaves and are known.
    """

    name: str
    leaves: tuple[Leaf, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class ColumnLineage:
    """The lineage of a query.

    Attributes:
        columns: The output columns, in their order.
        indirect: By kind (one of `KINDS`), the columns that decide which rows there are and how they are combined.
        unknown: Why a part of `indirect`, or all of the lineage, is unknown; "" when everything is known.
    """

    columns: tuple[TracedColumn, ...]
    indirect: Mapping[str, tuple[Leaf, ...]] = field(default_factory=dict)
    unknown: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "columns": [[c.name, [list(leaf) for leaf in c.leaves], c.unknown] for c in self.columns],
            "indirect": {kind: [list(leaf) for leaf in leaves] for kind, leaves in self.indirect.items()},
            "unknown": self.unknown,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ColumnLineage:
        """Read what `to_json` gave."""
        columns = tuple(TracedColumn(name, _leaves(leaves), unknown) for name, leaves, unknown in data["columns"])
        return cls(columns, {kind: _leaves(leaves) for kind, leaves in data["indirect"].items()}, data["unknown"])


def unknown_lineage(names: Iterable[str], why: str) -> ColumnLineage:
    """Return the lineage of a query of which nothing is known but its columns."""
    return ColumnLineage(tuple(TracedColumn(name, (), why) for name in names), {}, why)


def _leaves(pairs: Iterable[Sequence[str]]) -> tuple[Leaf, ...]:
    return tuple((dataset, column) for dataset, column in pairs)
