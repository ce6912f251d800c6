"""The parts of a query that decide its rows, each with how it does: filter, join, group, sort or window."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    Clause = tuple[str, Scope, exp.Expr | int | None]


def find_clauses(scope: Scope) -> Iterator[Clause]:
    """Yield the clauses of one scope, those of scopes inside it left out.

    A clause is a kind, a scope, and an expression in it or the place of one of its outputs; None: all of them.
    """
    from sqlglot import exp

    expression: Any = scope.expression
    if isinstance(expression, exp.SetOperation):
        yield from _of_set_operation(scope)
    elif isinstance(expression, exp.Select):
        yield from _of_select(scope)
    if order := expression.args.get("order"):
        yield "sort", scope, None if _is_all(order) else order
    yield from (("filter", scope, part) for key in ("limit", "offset") if (part := expression.args.get(key)))


def _of_set_operation(scope: Scope) -> Iterator[Clause]:
    from sqlglot import exp

    if isinstance(scope.expression, exp.Except | exp.Intersect):
        yield from (("filter", side, None) for side in scope.set_operation_scopes)
    elif scope.expression.args.get("distinct"):
        yield "group", scope, None


def _of_select(scope: Scope) -> Iterator[Clause]:
    from sqlglot import exp
    from sqlglot.optimizer.scope import find_all_in_scope

    select = scope.expression
    for key in ("where", "having", "qualify"):
        if part := select.args.get(key):
            yield "filter", scope, part
    for join in find_all_in_scope(select, exp.Join):
        if part := join.args.get("on"):
            yield "join", scope, part
    for unnested in find_all_in_scope(select, exp.Unnest, exp.Explode):
        yield "join", scope, unnested
    for table in find_all_in_scope(select, exp.Table):
        if isinstance(table.this, exp.Func):
            yield "join", scope, table.this
    yield from _groups(scope)
    for window in find_all_in_scope(select, exp.Window):
        yield from (("window", scope, part) for part in window.args.get("partition_by") or ())
        if part := window.args.get("order"):
            yield "window", scope, part
    yield from (("window", scope, part) for part in select.args.get("windows") or ())


def _groups(scope: Scope) -> Iterator[Clause]:
    select: Any = scope.expression
    group, distinct = select.args.get("group"), select.args.get("distinct")
    if group is not None and group.args.get("all"):
        yield from (("group", scope, i) for i, output in enumerate(select.selects) if not _aggregates(output))
    elif group is not None:
        yield "group", scope, group
    if distinct is not None:
        yield "group", scope, distinct.args.get("on")


def _aggregates(output: exp.Expr) -> bool:
    """Whether an expression holds an aggregate function that is no window function."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import walk_in_scope

    for node in walk_in_scope(output):
        called = isinstance(node, exp.Anonymous) and node.name.lower() in _aggregate_names()
        if (called or isinstance(node, exp.AggFunc)) and not isinstance(node.parent, exp.Window):
            return True
    return False


@cache
def _aggregate_names() -> frozenset[str]:
    """Names of DuckDB's aggregate functions, for those that the parser does not know."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
        return frozenset(str(row[0]) for row in connection.execute(query).fetchall())


def _is_all(order: exp.Expr) -> bool:
    """Whether it is ORDER BY ALL."""
    from sqlglot import exp

    first = order.expressions[0].this
    return isinstance(first, exp.Var) and first.name.lower() == "all"
