"""Tracing the columns of a query: sqlglot parses and qualifies it, the way from a column to its leaves is walked here.

What cannot be traced is said to be unknown: a wrong answer is worse than none.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from headwater.core.names import MAIN_SCHEMA, flat_name
from headwater.sql.lineage import ColumnLineage, Leaf, TracedColumn, unknown_lineage
from headwater.sql.lineage_pivot import MADE, replace_pivots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    from headwater.core.commit import Column

_Output = tuple["Scope", int]
"""One output column of a scope, by its place."""

_GIVEN_UP = "the parser for lineage does not follow this query"
_PIVOT = "what PIVOT and UNPIVOT make is not followed"
_MADE_UP = re.compile(r"_col_\d+$")
_TWIN = re.compile(r"[_:]\d+$")


class _UnknownError(Exception):
    """A column or a query that cannot be traced; its text says why."""


def trace_columns(
    query: str,
    schemas: Mapping[str, Sequence[Column]],
    names: Sequence[str] | None = None,
    written: Mapping[str, str] = MappingProxyType({}),
) -> ColumnLineage:
    """Trace every output column of one SELECT to the columns of the datasets it reads.

    Args:
        query: One SELECT in DuckDB's dialect, placeholders filled in.
        schemas: Columns of every dataset it reads, by its full name.
        names: The names that DuckDB's binder gives the output columns, in their order; they are taken as they are, and
            where another parser sees another number of columns, or other names, the lineage is unknown.
        written: The dataset behind every name that is written otherwise than in full, as in domains.
    """
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import build_scope

    try:
        flat = {_two_parts(name): columns for name, columns in schemas.items()}
        root = build_scope(_qualify(query, flat, {**{name: name for name in schemas}, **written}))
        if root is None:
            raise _UnknownError(_GIVEN_UP)
        return _in_full(_Walk(root, flat).trace(names), {_two_parts(name): name for name in schemas})
    except _UnknownError as why:
        return unknown_lineage(names or (), str(why))
    except (SqlglotError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        return unknown_lineage(names or (), f"{_GIVEN_UP} ({type(error).__name__}{': ' if said else ''}{said[:120]})")
    except RecursionError:
        return unknown_lineage(names or (), "the query is nested too deeply")


def _two_parts(dataset: str) -> str:
    """Return a dataset's name with one dot: of a domain's the first two parts become one, which no other name has."""
    namespace, _, name = dataset.rpartition(".")
    return f"{flat_name(namespace)}.{name}"


def _in_full(traced: ColumnLineage, names: Mapping[str, str]) -> ColumnLineage:
    """Return a lineage of two-part names with the datasets' own."""
    if all(short == name for short, name in names.items()):
        return traced

    def leaves(found: Iterable[Leaf]) -> tuple[Leaf, ...]:
        return _in_order((names.get(dataset, dataset), column) for dataset, column in found)

    columns = tuple(replace(column, leaves=leaves(column.leaves)) for column in traced.columns)
    return replace(traced, columns=columns, indirect={kind: leaves(found) for kind, found in traced.indirect.items()})


def _shorten(tree: exp.Expr, written: Mapping[str, str]) -> None:
    """Have every table of a query named in two parts."""
    from sqlglot import exp

    known = {name.lower(): dataset for name, dataset in written.items()}
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func) or (not table.db and table.name.lower() in ctes):
            continue
        name = ".".join(part for part in (table.catalog, table.db or MAIN_SCHEMA, table.name) if part)
        dataset = known.get(name.lower())
        if (dataset is not None and dataset.lower() != name.lower()) or table.catalog:
            namespace, _, last = _two_parts(dataset or name).partition(".")
            table.set("catalog", None)
            table.set("db", exp.to_identifier(namespace, quoted=True))
            table.set("this", exp.to_identifier(last, quoted=True))


def _qualify(query: str, schemas: Mapping[str, Sequence[Column]], written: Mapping[str, str]) -> exp.Expr:
    """Parse a query, refuse what is not followed, and name the source of every column."""
    from sqlglot import exp, parse_one
    from sqlglot.optimizer.qualify import qualify

    tree = parse_one(query, dialect="duckdb")
    _shorten(tree, written)
    try:
        tree = replace_pivots(tree, schemas)
    except ValueError as error:
        raise _UnknownError(f"{_PIVOT} ({error})") from None
    refused: dict[type, str] = {
        exp.Columns: "COLUMNS(…) is not followed",
        exp.Command: _GIVEN_UP,
    }
    for node in tree.walk():
        if type(node) in refused:
            raise _UnknownError(refused[type(node)])
        renamed = node.parent if isinstance(node, exp.TableAlias) and node.columns else None
        if isinstance(renamed, exp.Table) and not isinstance(renamed.this, exp.Func):
            raise _UnknownError("a table whose columns are renamed by its alias is not followed")
    nested: dict[str, Any] = {}
    for dataset, columns in schemas.items():
        namespace, _, name = dataset.lower().partition(".")
        nested.setdefault(namespace, {})[name] = {c.name.lower(): _type_of(c.type) for c in columns}
    return qualify(tree, dialect="duckdb", db="main", schema=nested, identify=False, quote_identifiers=False)


def _type_of(text: str) -> str:
    """Types matter to the qualifier for structs only; any other one need not be parsed."""
    return text if text.startswith("STRUCT") else "INT"


class _Walk:
    """Walks from outputs to leaves; scopes are told apart by identity, so that recursion ends."""

    def __init__(self, root: Scope, schemas: Mapping[str, Sequence[Column]]) -> None:
        self.root = root
        self.columns = {d.lower(): {c.name.lower(): (d, c.name) for c in columns} for d, columns in schemas.items()}
        self.by_expression = {id(scope.expression): scope for scope in root.traverse()}
        self.steps: dict[tuple[int, int], tuple[set[Leaf], list[_Output]]] = {}

    def trace(self, names: Sequence[str] | None) -> ColumnLineage:
        """Trace all outputs of the root, and what influences them."""
        own = self.outputs(self.root)
        names = own if names is None else names
        if len(own) != len(names):
            raise _UnknownError(f"the parser for lineage sees {len(own)} columns, DuckDB {len(names)}")
        shifted = any(not _same_name(mine, theirs) for mine, theirs in zip(own, names, strict=True))
        if shifted:
            raise _UnknownError("the parser for lineage names the columns otherwise than DuckDB")
        columns = []
        for index, name in enumerate(names):
            try:
                columns.append(TracedColumn(name, _in_order(self.closure([(self.root, index)]))))
            except _UnknownError as why:
                columns.append(TracedColumn(name, (), str(why)))
        indirect, unknown = self.influences()
        return ColumnLineage(tuple(columns), indirect, unknown)

    def influences(self) -> tuple[dict[str, tuple[Leaf, ...]], str]:
        """Collect filters, joins and so on of every scope that the root is made of."""
        from headwater.sql.lineage_clauses import find_clauses

        found: dict[str, set[Leaf]] = {}
        unknown = ""
        for scope in self._reached():
            for kind, inner, part in find_clauses(scope):
                try:
                    leaves, outputs = self._clause(inner, part)
                    found.setdefault(kind, set()).update(leaves | self.closure(outputs))
                except _UnknownError as why:
                    unknown = unknown or str(why)
        return {kind: _in_order(leaves) for kind, leaves in sorted(found.items()) if leaves}, unknown

    def _clause(self, scope: Scope, part: exp.Expr | int | None) -> tuple[set[Leaf], list[_Output]]:
        if part is None:
            return set(), self._all(scope)
        return (set(), [(scope, part)]) if isinstance(part, int) else self.read(scope, [part])

    def _reached(self) -> Iterator[Scope]:
        """Yield every scope that takes part: CTEs that nobody reads do not."""
        from sqlglot.optimizer.scope import Scope

        seen: set[int] = set()
        queue = [self.root]
        while queue:
            scope = self._whole(queue.pop())
            if id(scope) in seen:
                continue
            seen.add(id(scope))
            yield scope
            queue += [*scope.subquery_scopes, *scope.set_operation_scopes]
            queue += [source for _, source in scope.selected_sources.values() if isinstance(source, Scope)]

    def closure(self, outputs: Iterable[_Output]) -> set[Leaf]:
        """Return the leaves of outputs, all the way down."""
        leaves: set[Leaf] = set()
        queue = deque(outputs)
        seen: set[tuple[int, int]] = set()
        while queue:
            scope, index = queue.popleft()
            key = (id(scope), index)
            if key not in seen:
                seen.add(key)
                if key not in self.steps:
                    self.steps[key] = self._step(scope, index)
                leaves |= self.steps[key][0]
                queue.extend(self.steps[key][1])
        return leaves

    def _step(self, scope: Scope, index: int) -> tuple[set[Leaf], list[_Output]]:
        """Return what one output of a scope is made of directly."""
        from sqlglot import exp

        expression = scope.expression
        if isinstance(expression, exp.SetOperation):
            return set(), self._branches(scope, index)
        if isinstance(expression, exp.Subquery | exp.Lateral) and scope.subquery_scopes:
            return set(), [(scope.subquery_scopes[0], index)]
        if isinstance(expression, exp.Select):
            return self.read(scope, [expression.selects[index]], values_only=True)
        if isinstance(expression, exp.Values | exp.Unnest | exp.Lateral):
            return self.read(scope, [expression])
        raise _UnknownError(f"{type(expression).__name__} is not followed")

    def _branches(self, scope: Scope, index: int) -> list[_Output]:
        from sqlglot import exp

        left, right = scope.set_operation_scopes
        if scope.expression.args.get("by_name"):
            name = self.outputs(scope)[index]
            pairs = [(branch, self.outputs(branch)) for branch in (left, right)]
            return [(branch, names.index(name)) for branch, names in pairs if name in names]
        return [(left, index), (right, index)] if isinstance(scope.expression, exp.Union) else [(left, index)]

    def outputs(self, scope: Scope) -> list[str]:
        """Return the names of a scope's output columns, in lower case."""
        from sqlglot import exp

        expression = scope.expression
        if isinstance(expression, exp.SetOperation):
            left, right = (self.outputs(branch) for branch in scope.set_operation_scopes)
            return [*left, *(n for n in right if n not in left)] if expression.args.get("by_name") else left
        if isinstance(expression, exp.Subquery | exp.Lateral) and scope.subquery_scopes:
            inner = self.outputs(scope.subquery_scopes[0])
            given = [name.lower() for name in expression.alias_column_names]
            return [*given, *inner[len(given) :]]
        if isinstance(expression, exp.Select):
            if expression.is_star:
                raise _UnknownError("a * whose columns are not known")
            return [select.alias_or_name.lower() for select in expression.selects]
        return [name.lower() for name in getattr(expression, "alias_column_names", ())]

    def read(
        self, scope: Scope, expressions: Iterable[exp.Expr], *, values_only: bool = False
    ) -> tuple[set[Leaf], list[_Output]]:
        """Return the columns that expressions of a scope read; subqueries in them count with all their outputs.

        With `values_only`, what only places a row in its window is left out.
        """
        from sqlglot import exp
        from sqlglot.optimizer.scope import walk_in_scope

        leaves: set[Leaf] = set()
        outputs: list[_Output] = []
        for top in expressions:
            for node in walk_in_scope(top):
                if isinstance(node, exp.Column) and not (values_only and _places_row(node, top)):
                    self._read_column(scope, node, leaves, outputs)
                elif isinstance(node, exp.UNWRAPPED_QUERIES) and node is not top:
                    outputs += self._subquery(scope, node)
                elif isinstance(node, exp.Anonymous) and node.name.lower() == MADE:
                    raise _UnknownError(_PIVOT)
                elif isinstance(node, exp.TableColumn):
                    raise _UnknownError("a whole row as one value is not followed")
                elif isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count | exp.Column):
                    raise _UnknownError("a * whose columns are not known")
        return leaves, outputs

    def _subquery(self, scope: Scope, node: exp.Expr) -> list[_Output]:
        from sqlglot import exp

        inner = self.by_expression.get(id(node))
        if inner is None:
            raise _UnknownError(_GIVEN_UP)
        parent = node.parent.parent if isinstance(node.parent, exp.Subquery) else node.parent
        if isinstance(parent, exp.Exists):
            return []
        return self._all(inner)

    def _all(self, scope: Scope) -> list[_Output]:
        return [(scope, index) for index in range(len(self.outputs(scope)))]

    def _read_column(self, scope: Scope, column: exp.Column, leaves: set[Leaf], outputs: list[_Output]) -> None:
        from sqlglot import exp

        if isinstance(column.this, exp.Star):
            raise _UnknownError("a * whose columns are not known")
        name = column.name.lower()
        source = _find_source(scope, column.table) if column.table else self._whole(scope)
        if source is None:
            raise _UnknownError(f"{column.table}.{name} cannot be known")
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Func):
            made_of, more = self.read(scope, [source.this])
            leaves |= made_of
            outputs += more
            return
        if isinstance(source, exp.Table):
            leaf = self.columns.get(f"{source.db or 'main'}.{source.name}".lower(), {}).get(name)
            if leaf is None:
                raise _UnknownError(f"{source.name}.{name} is not a known column")
            leaves.add(leaf)
            return
        source = self._whole(source)
        if isinstance(source.expression, exp.UDTF) and not source.subquery_scopes:
            outputs.append((source, 0))
            return
        places = [place for place, output in enumerate(self.outputs(source)) if output == name]
        if len(places) != 1:
            raise _UnknownError(f"{column.sql('duckdb')} cannot be known")
        outputs.append((source, places[0]))

    def _whole(self, scope: Scope) -> Scope:
        """Return a recursive CTE for its first part, which is all that the parser links within the CTE."""
        from sqlglot import exp

        parent = scope.expression.parent
        if isinstance(parent, exp.SetOperation) and isinstance(parent.parent, exp.CTE) and scope.is_cte:
            return self.by_expression.get(id(parent), scope)
        return scope


def _find_source(scope: Scope, name: str) -> Any:
    """Return the table or scope behind a name, in this scope or one around it."""
    around: Scope | None = scope
    while around is not None:
        if name in around.sources:
            return around.sources[name]
        around = around.parent
    return None


def _places_row(node: exp.Expr, top: exp.Expr) -> bool:
    """Whether a column stands in the PARTITION BY or ORDER BY of a window function."""
    from sqlglot import exp

    while node is not top and node.parent is not None:
        if isinstance(node.parent, exp.Window) and node.arg_key in ("partition_by", "order"):
            return True
        node = node.parent
    return False


def _same_name(mine: str, theirs: str) -> bool:
    """Whether two parsers mean the same column; names that the parser had to make up, and twins, are passed over."""
    given = theirs.lower()
    return mine == given or bool(_MADE_UP.match(mine)) or mine == _TWIN.sub("", given)


def _in_order(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    return tuple(sorted(leaves))
