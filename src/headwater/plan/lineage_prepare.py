"""Lineage of a source's table: which columns of the source a landed column is made of, by the rules of `prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.sql.lineage import ColumnLineage, Leaf, TracedColumn
from headwater.sql.lineage_walk import trace_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.core.specs import IngestSpec, PrepareRule

_ROWS = "source.rows"


def trace_prepare(
    ingest: IngestSpec, source: str, given: Sequence[Column], landed: Sequence[str], gone: str
) -> ColumnLineage:
    """Trace every landed column to the columns of the source.

    Args:
        ingest: The table's options.
        source: Name of the source's node: the dataset of the leaves.
        given: The columns that the source gives.
        landed: Names of the columns that landed.
        gone: Why the origin of a column is unknown that none of the given ones leads to.
    """
    prepared = _Prepared(source, given)
    for rule in ingest.prepare:
        prepared.apply(rule)
    prepared.read("group", ingest.key)
    for sql in ingest.reject_if.values():
        prepared.evaluate("filter", sql)
    missing = TracedColumn("", (), gone)
    columns = []
    for name in landed:
        column = prepared.columns.get(name.lower(), missing)
        columns.append(TracedColumn(name, column.leaves, column.unknown))
    indirect = {kind: tuple(sorted(leaves)) for kind, leaves in sorted(prepared.indirect.items()) if leaves}
    return ColumnLineage(tuple(columns), indirect, prepared.unknown)


class _Prepared:
    """The columns between two rules, by name in lower case."""

    def __init__(self, source: str, given: Sequence[Column]) -> None:
        self.columns = {c.name.lower(): TracedColumn(c.name, ((source, c.name),)) for c in given}
        self.indirect: dict[str, set[Leaf]] = {}
        self.unknown = ""

    def apply(self, rule: PrepareRule) -> None:
        """Apply one rule; those that change values only leave the origin of columns as it is."""
        if rule.rename is not None:
            moved = {old.lower(): new for old, new in rule.rename.items()}
            self.columns = {
                (new := moved.get(key, column.name)).lower(): TracedColumn(new, column.leaves, column.unknown)
                for key, column in self.columns.items()
            }
        elif rule.drop is not None:
            dropped = {name.lower() for name in rule.drop}
            self.columns = {key: column for key, column in self.columns.items() if key not in dropped}
        elif rule.sql is not None:
            made = {name: self._trace(sql) for name, sql in rule.sql.items()}
            for name, column in made.items():
                old = self.columns.get(name.lower())
                self.columns[name.lower()] = TracedColumn(old.name if old else name, column.leaves, column.unknown)
        elif rule.dedupe is not None:
            self.read("group", rule.dedupe.by)
            if rule.dedupe.order:
                self.evaluate("sort", rule.dedupe.order, order=True)

    def read(self, kind: str, names: Iterable[str]) -> None:
        """Note that columns decide over rows."""
        for name in names:
            if column := self.columns.get(name.lower()):
                self._influence(kind, column)

    def evaluate(self, kind: str, sql: str, *, order: bool = False) -> None:
        """Note that an expression decides over rows."""
        self._influence(kind, self._trace(sql, order=order))

    def _influence(self, kind: str, column: TracedColumn) -> None:
        self.indirect.setdefault(kind, set()).update(column.leaves)
        self.unknown = self.unknown or column.unknown

    def _trace(self, sql: str, *, order: bool = False) -> TracedColumn:
        """Trace an expression (or an ORDER BY) over the current columns."""
        rows = [Column(column.name, "INTEGER") for column in self.columns.values()]
        query = f"SELECT 1 AS x FROM {_ROWS} ORDER BY {sql}\n" if order else f"SELECT ({sql}\n) AS x FROM {_ROWS}"
        lineage = trace_columns(query, {_ROWS: rows}, ["x"])
        leaves = [*lineage.columns[0].leaves, *(leaf for kind in lineage.indirect.values() for leaf in kind)]
        found: set[Leaf] = set()
        unknown = lineage.unknown or lineage.columns[0].unknown
        for _, name in leaves:
            column = self.columns[name.lower()]
            found.update(column.leaves)
            unknown = unknown or column.unknown
        return TracedColumn("", () if unknown else tuple(sorted(found)), unknown)
