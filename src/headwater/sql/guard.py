"""What the SQL of a project may call: every node of DuckDB's own parse tree is held against lists of what is known.

A function, a clause or a kind of table that is on none of them is refused, so what a later DuckDB adds is refused too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.sql.functions import Why, why_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPRESSIONS = frozenset({
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "DEFAULT",
    "FUNCTION", "LAMBDA", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
})  # fmt: skip

_TABLES = frozenset({
    "BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION",
})  # fmt: skip

_WAREHOUSE = "_hw"
"""The database of the warehouse's file: a function in it is one that somebody made. `a.upper()` is of a column."""

NOWHERE = 2**64 - 1
"""The place that the parser gives what it knows no place of."""


def find_refused(tree: Any) -> Iterator[tuple[str, Why, int]]:
    """Yield (name, why, byte offset) of what a parse tree holds and may not, whether it would be run or not."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            why = _judge(node)
            if why is not None:
                yield _name(node), why, int(node.get("query_location", NOWHERE))
            node = list(node.values())
        waiting.extend(item for item in node if isinstance(item, dict | list))


def _judge(node: dict[str, Any]) -> Why | None:
    if "function_name" in node:
        places = {str(node.get(part) or "").lower() for part in ("catalog", "schema")}
        return Why.UNKNOWN if _WAREHOUSE in places else why_refused(_name(node))
    if node.get("type") == "TABLE_FUNCTION":
        called = node["function"]
        return why_refused(_name(called), in_from=True) if "function_name" in called else Why.UNKNOWN
    if "class" in node:
        return None if node["class"] in _EXPRESSIONS else Why.UNKNOWN
    if "show_type" in node:  # DESCRIBE and SUMMARIZE stand around a query; the others ask the session
        return None if node.get("query") else Why.TELLS
    if "sample" in node and "alias" in node:
        return None if node.get("type") in _TABLES else Why.UNKNOWN
    return None


def _name(node: dict[str, Any]) -> str:
    if node.get("type") == "TABLE_FUNCTION":
        return _name(node["function"])
    if "function_name" in node:
        return str(node["function_name"]).lower()
    if "show_type" in node:
        return "SHOW"
    return str(node.get("class") or node.get("type"))
