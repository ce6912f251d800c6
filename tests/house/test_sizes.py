"""Small files, small functions, small classes."""

from __future__ import annotations

import ast

import pytest

from .code import Module, classes, functions, modules

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PUBLIC_METHODS = 20


def long_files(module: Module) -> list[str]:
    count = len(module.text.splitlines())
    return [f"{module.path}: {count} lines"] if count > MAX_FILE_LINES else []


def long_functions(module: Module) -> list[str]:
    lengths = [(node, (node.end_lineno or 0) - node.lineno + 1) for node in functions(module)]
    return [module.at(node, f"{node.name}: {n} lines") for node, n in lengths if n > MAX_FUNCTION_LINES]


def wide_classes(module: Module) -> list[str]:
    found = []
    for node in classes(module):
        methods = [m.name for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
        if len(set(methods)) > MAX_PUBLIC_METHODS:
            found.append(module.at(node, f"{node.name}: {len(set(methods))} public methods"))
    return found


RULES = pytest.mark.parametrize("rule", [long_files, long_functions, wide_classes])


@RULES
def test_sizes(rule) -> None:  # type: ignore[no-untyped-def]
    assert [finding for module in modules() for finding in rule(module)] == []


@RULES
def test_the_rules_see_what_is_one_too_many(rule) -> None:  # type: ignore[no-untyped-def]
    body = {
        long_files: lambda n: "x = 1\n" * (n + MAX_FILE_LINES),
        long_functions: lambda n: "def f():\n" + "    x = 1\n" * (n + MAX_FUNCTION_LINES - 1),
        wide_classes: lambda n: (
            "class A:\n    def _own(self): ...\n"
            + "".join(f"    def m{i}(self): ...\n" for i in range(n + MAX_PUBLIC_METHODS))
        ),
    }[rule]
    assert rule(Module("a.py", body(0))) == []
    assert len(rule(Module("a.py", body(1)))) == 1
