"""PIVOT and UNPIVOT for lineage: the columns they do not touch are followed, those they make are unknown.

The pivoted relation is replaced by a subquery of the same columns, named by DuckDB's binder; a made column is a call of
`MADE` there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp

    from headwater.core.commit import Column
    from headwater.sql.binding import Binder

MADE = "_hw_made_by_pivot"
"""The function that stands for a column whose origin is not known."""


def replace_pivots(tree: exp.Expr, schemas: Mapping[str, Sequence[Column]]) -> exp.Expr:
    """Return a query in which every pivoted table or subquery is a plain subquery.

    Raises:
        ValueError: One of them cannot be replaced.
    """
    from sqlglot import exp

    from headwater.errors import ProjectError
    from headwater.sql.binding import Binder

    while pivot := tree.find(exp.Pivot):
        relation = pivot.parent
        if not isinstance(relation, exp.Table | exp.Subquery) or len(relation.args.get("pivots") or ()) != 1:
            raise ValueError("a PIVOT that is no clause of a table")
        binder = Binder()
        try:
            for dataset, columns in schemas.items():
                binder.add(dataset, columns)
            relation.replace(_plain(relation, pivot, binder))
        except ProjectError as error:
            raise ValueError(error.what) from None
        finally:
            binder.close()
    return tree


def _plain(relation: exp.Expr, pivot: exp.Pivot, binder: Binder) -> exp.Expr:
    """Return the subquery that stands for a pivoted relation."""
    from sqlglot import exp, parse_one

    source = relation.copy()
    source.set("pivots", None)
    around = _ctes_around(relation)
    given = [column.name for column in binder.bind(SelectSql(f"{around} SELECT * FROM {source.sql('duckdb')}"))]
    named = [column.name for column in binder.bind(SelectSql(f"{around} SELECT * FROM {relation.sql('duckdb')}"))]
    touched = _touched(pivot)
    group = pivot.args.get("group")
    wanted = {column.name.lower() for column in group.find_all(exp.Column)} if group else None
    kept = [n for n in given if n.lower() not in touched and (wanted is None or n.lower() in wanted)]
    if [name.lower() for name in named[: len(kept)]] != [name.lower() for name in kept]:
        raise ValueError("the columns that it does not touch cannot be known")
    listed = ", ".join(quote_identifier(name) for name in kept)
    made = [f"{MADE}() AS {quote_identifier(name)}" for name in named[len(kept) :]]
    rows = f"WHERE {MADE}()" if pivot.args.get("unpivot") else f"GROUP BY {listed}" if kept else ""
    parts = ", ".join([*(quote_identifier(name) for name in kept), *made])
    inner = parse_one(f"SELECT {parts} FROM {source.sql('duckdb')} {rows}", dialect="duckdb")
    alias = pivot.args.get("alias")
    if alias is not None and alias.columns:
        raise ValueError("its columns are renamed by its alias")
    name = alias.name if alias is not None else relation.alias_or_name
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(name or "_pivoted")))


def _touched(pivot: exp.Pivot) -> set[str]:
    """Return the columns that a pivot reads, in lower case."""
    from sqlglot import exp

    parts = [*pivot.expressions, *(pivot.args.get("fields") or ())]
    return {column.name.lower() for part in parts for column in part.find_all(exp.Column)}


def _ctes_around(node: exp.Expr) -> str:
    """Return the WITH that a relation can read from."""
    found: list[str] = []
    recursive = False
    parent = node.parent
    while parent is not None:
        clause = parent.args.get("with_") or parent.args.get("with")
        if clause is not None:
            recursive = recursive or bool(clause.args.get("recursive"))
            found = [*(cte.sql("duckdb") for cte in clause.expressions), *found]
        parent = parent.parent
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(found)}" if found else ""
