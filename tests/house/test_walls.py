"""The walls between the rooms: what nobody asks, so that a new kind of thing is one more builder and no branch."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.house.code import Module, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def asks_which_declaration(module: Module) -> Iterator[str]:
    """A dataset is asked by what it is (`project.datasets`), never by which list of declarations has it."""
    if module.path.startswith("headwater/project/"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in ("sources", "models") and _is_project(node.value):
            yield f"{module.path}:{node.lineno}: project.{node.attr}"
        if isinstance(node, ast.Compare) and any(_is_declared(one) for one in node.comparators):
            yield f"{module.path}:{node.lineno}: in project.declared(…)"
        if isinstance(node, ast.Attribute) and node.attr == "get" and _is_declared(node.value):
            yield f"{module.path}:{node.lineno}: project.declared(…).get"


def _is_project(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "project") or (
        isinstance(node, ast.Attribute) and node.attr == "project"
    )


def _is_declared(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "declared"


RULES: dict[str, tuple[Callable[[Module], Iterator[str]], str]] = {
    "a dataset is not asked for its list": (asks_which_declaration, "x = name in self.project.declared(Model)"),
}


@pytest.mark.parametrize("rule", RULES)
def test_walls(rule: str) -> None:
    find, _ = RULES[rule]
    assert [found for module in modules() for found in find(module)] == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_sees_what_breaks_it(rule: str) -> None:
    find, breaks = RULES[rule]
    assert list(find(Module("headwater/run/new.py", breaks)))
