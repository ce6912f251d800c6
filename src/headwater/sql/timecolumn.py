"""Where the time column of an incremental model comes from: a cast or date_trunc of one input's column, or unknown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FINER = {
    "hour": {"microsecond", "microseconds", "millisecond", "milliseconds", "second", "minute", "hour"},
    "day": {"day"},
    "week": {"week"},
    "month": {"month"},
    "year": {"quarter", "year"},
}
_WITHIN = {
    "hour": ("hour",),
    "day": ("hour", "day"),
    "week": ("hour", "day", "week"),
    "month": ("hour", "day", "month"),
    "year": ("hour", "day", "month", "year"),
}
"""Truncations that never leave an interval of a length: a week may begin in the month before."""

_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
"""Types a cast to which does not round up into the next interval."""


def find_time_source(query: str, time: str, every: str) -> tuple[str, str] | None:
    """Return (dataset, column) whose values lie in the same interval of length `every` as those of the column `time`.

    That is so when `time` is that column, a cast of it to a date or timestamp, or a date_trunc of it that stays within
    an interval. None when the expression is anything else, the column's table cannot be told, the table is read more
    than once, a window function mixes rows, or the query is not one plain SELECT.
    """
    from headwater.sql.parse import serialize_query

    tree = json.loads(serialize_query(query))
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node.get("type") != "SELECT_NODE" or node["cte_map"]["map"] or any(_is_window(n) for n in _walk(node)):
        return None
    named = [e for e in node["select_list"] if _output_name(e) == time.lower()]
    column = _strip(named[0], every) if len(named) == 1 else None
    if column is None:
        return None
    names = column["column_names"]
    dataset = _dataset_of(names[-2].lower() if len(names) > 1 else "", node.get("from_table") or {})
    read = [_table_name(n).lower() for n in _walk(node) if n.get("type") == "BASE_TABLE"]
    return (dataset, names[-1]) if dataset and read.count(dataset.lower()) == 1 else None


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a parse tree."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _walk(inner)


def _is_window(node: dict[str, Any]) -> bool:
    return node.get("class") == "WINDOW"


def _output_name(expression: dict[str, Any]) -> str:
    alias = expression.get("alias") or (expression.get("column_names") or [""])[-1]
    return str(alias).lower()


def _strip(expression: dict[str, Any] | None, every: str) -> dict[str, Any] | None:
    """Return the column under casts and truncations that stay within an interval."""
    while expression is not None and expression.get("class") != "COLUMN_REF":
        if expression.get("type") == "OPERATOR_CAST" and _keeps_interval(expression["cast_type"]["id"], every):
            expression = expression["child"]
        elif expression.get("function_name") in ("date_trunc", "datetrunc") and _truncates_within(expression, every):
            expression = expression["children"][1]
        else:
            return None
    return expression


def _keeps_interval(type_text: str, every: str) -> bool:
    return type_text in _TIMES and not (type_text == "DATE" and every == "hour")


def _truncates_within(call: dict[str, Any], every: str) -> bool:
    unit = str((call["children"][0].get("value") or {}).get("value", "")).lower()
    return len(call["children"]) == 2 and any(unit in _FINER[length] for length in _WITHIN[every])


def _dataset_of(qualifier: str, node: dict[str, Any]) -> str:
    """Return the dataset that a column of the FROM clause belongs to; "" when it cannot be told."""
    tables = list(_base_tables(node))
    if not qualifier:
        return tables[0][1] if len(tables) == 1 else ""
    return next((dataset for alias, dataset in tables if alias == qualifier), "")


def _base_tables(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (alias in lower case, dataset) of what is joined at the top; "" for what is no table with its own names."""
    if node.get("type") == "JOIN":
        yield from _base_tables(node["left"])
        yield from _base_tables(node["right"])
    elif node.get("type") == "BASE_TABLE" and not node.get("column_name_alias"):
        yield str(node.get("alias") or node["table_name"]).lower(), _table_name(node)
    else:
        yield "", ""


def _table_name(node: dict[str, Any]) -> str:
    return f"{node['schema_name'] or 'main'}.{node['table_name']}"
