"""Expressions of metrics and fields as DuckDB's parse trees: read, changed node by node, written again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_identifier
from headwater.errors import ProjectError
from headwater.sql.parse import aggregate_functions, fold_name, parse_expression, parse_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.core.metrics import MetricDataset, MetricField

Tree = dict[str, Any]

AGGREGATES = frozenset({
    "avg", "bool_and", "bool_or", "count", "count_if", "count_star", "max", "mean", "median", "min", "quantile_cont",
    "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance",
})  # fmt: skip
"""What a metric may be made of: none depends on the order of rows."""

_UNREADABLE = {
    "SUBQUERY": "a subquery", "WINDOW": "a window function", "LAMBDA": "a lambda", "STAR": "a star",
    "PARAMETER": "a parameter",
}  # fmt: skip

_SEVERAL = {"unnest": "unnest(), which makes rows", "unlist": "unlist(), which makes rows"}

_DIVISIONS = frozenset({"/", "//", "%", "divide", "fdiv", "fmod", "mod"})


def find_named(known: Mapping[str, Any], name: str) -> Any:
    """Return what has a name, whatever its case."""
    return next((one for key, one in known.items() if fold_name(key) == fold_name(name)), None)


def replace_nodes(tree: Any, change: Callable[[Tree], Tree | None]) -> Any:
    """Return a tree with nodes replaced by what `change` gives for them; below such a node it does not look."""
    if isinstance(tree, list):
        return [replace_nodes(item, change) for item in tree]
    if not isinstance(tree, dict):
        return tree
    changed = change(tree) if "class" in tree else None
    return changed if changed is not None else {key: replace_nodes(value, change) for key, value in tree.items()}


def refuse_unreadable(node: Tree, what: str) -> None:
    """Refuse what would make an expression more than one of a row, or of a group."""
    kind = _UNREADABLE.get(str(node["class"])) or _SEVERAL.get(called(node))
    if kind is not None:
        raise ProjectError(f"{what} holds {kind}", fix="compute it in a model, as a column")


def called(node: Tree) -> str:
    """Return the function that a node calls, in small letters; "" for any other node."""
    return str(node.get("function_name", "")).lower() if node["class"] == "FUNCTION" else ""


def read_tree(text: str, what: str) -> Tree:
    """Return the tree of an expression that somebody wrote; a division by 0 in it is NULL.

    To DuckDB that is infinite, and so would be every sum with it.

    Raises:
        ProjectError: It is no expression, or calls what may not be called.
    """
    try:
        refused = parse_expression(text).refused
        tree = parse_tree(text)
    except ProjectError as error:
        told = error.what if error.line else "it is not one expression"
        raise ProjectError(f"{what}: {told}", fix="write one expression over fields") from None
    if refused:
        found = refused[0].error(declared=True)
        raise ProjectError(f"{what}: {found.what}", fix=found.fix)
    guarded: Tree = _without_zero(tree)
    return guarded


def name_tree(*parts: str) -> Tree:
    """Return the tree of a name of these parts."""
    return parse_tree(".".join(quote_identifier(part) for part in parts))


def field_tree(dataset: MetricDataset, one: MetricField) -> Tree:
    """Return the expression of a field, its columns said to be of its dataset."""
    what = f"the field {dataset.name}.{one.name}"

    def qualify(node: Tree) -> Tree | None:
        refuse_unreadable(node, what)
        if called(node) in aggregate_functions():
            raise ProjectError(f"{what} is an aggregate", fix="a field is a value of one row; make it a metric")
        if node["class"] != "COLUMN_REF":
            return None
        names = [str(name) for name in node["column_names"]]
        is_said = len(names) > 1 and fold_name(names[0]) == fold_name(dataset.name)
        return name_tree(dataset.name, *(names[1:] if is_said else names))

    changed: Tree = replace_nodes(read_tree(one.sql, what), qualify)
    return changed


def _without_zero(tree: Any) -> Any:
    """Return a tree in which what is divided by is NULL where it is 0."""
    if isinstance(tree, list):
        return [_without_zero(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    changed = {key: _without_zero(value) for key, value in tree.items()}
    if "class" in changed and called(changed) in _DIVISIONS and len(changed["children"]) == 2:
        unless_zero = parse_tree("nullif(0, 0)")
        over, unless_zero["children"][0] = changed["children"]
        changed["children"] = [over, unless_zero]
    return changed


def put_values(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    """Return a metric's tree with values in the place of the names of its aggregates."""
    put_in: Tree = replace_nodes(
        tree, lambda node: values.get(str(node["column_names"][-1])) if node["class"] == "COLUMN_REF" else None
    )
    return put_in
