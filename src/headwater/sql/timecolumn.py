"""Where the time column of an incremental model comes from: a cast or date_trunc of one input's column, or unknown."""

from __future__ import annotations

import json
from typing import Any

_CASTS = {"OPERATOR_CAST"}
_TRUNCATIONS = {"date_trunc", "datetrunc", "time_bucket"}


def find_time_source(query: str, time: str) -> tuple[str, str] | None:
    """Return (dataset, column) that the output column `time` is, is a cast of, or is a date_trunc of.

    None when the expression is anything else, the column's table cannot be told, or the query is not one plain SELECT.
    """
    from headwater.sql.parse import serialize_query

    tree = json.loads(serialize_query(query))
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node.get("type") != "SELECT_NODE" or node["cte_map"]["map"]:
        return None
    expression = next((e for e in node["select_list"] if _output_name(e) == time.lower()), None)
    column = _strip(expression)
    if column is None:
        return None
    tables = _base_tables(node.get("from_table") or {})
    names = column["column_names"]
    if len(names) == 1:
        dataset = next(iter(tables.values())) if len(tables) == 1 else None
    else:
        dataset = tables.get(names[-2].lower())
    return (dataset, names[-1]) if dataset else None


def _output_name(expression: dict[str, Any]) -> str:
    alias = expression.get("alias") or (expression.get("column_names") or [""])[-1]
    return str(alias).lower()


def _strip(expression: dict[str, Any] | None) -> dict[str, Any] | None:
    while expression is not None:
        if expression.get("class") == "COLUMN_REF":
            return expression
        if expression.get("type") in _CASTS:
            expression = expression["child"]
        elif expression.get("function_name") in _TRUNCATIONS and len(expression["children"]) == 2:
            expression = expression["children"][1]
        else:
            return None
    return None


def _base_tables(node: dict[str, Any]) -> dict[str, str]:
    """Return alias (lower case) to dataset for the tables joined at the top; a subquery or function spoils nothing."""
    if node.get("type") == "JOIN":
        return {**_base_tables(node["left"]), **_base_tables(node["right"])}
    if node.get("type") == "BASE_TABLE":
        dataset = f"{node['schema_name'] or 'main'}.{node['table_name']}"
        return {str(node.get("alias") or node["table_name"]).lower(): dataset}
    return {f"<{id(node)}>": ""}
