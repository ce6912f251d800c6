"""Nothing public is undocumented, and a connector says what everyone asks of a connector."""

from __future__ import annotations

import ast
import re

from .code import Function, Module, entry_points, find_class, modules

HEADINGS = ("Emits", "Units and time zone", "State", "Delivery", "Raises", "Source")


def undocumented(module: Module) -> list[str]:
    """Public modules, classes and functions without a docstring; an overload speaks through its implementation."""
    found = [] if ast.get_docstring(module.tree) else [f"{module.path}:1: the module"]
    waiting: list[ast.Module | ast.ClassDef] = [module.tree]
    while waiting:
        for node in waiting.pop().body:
            if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                waiting.append(node)
            if not ast.get_docstring(node) and "overload" not in map(ast.unparse, node.decorator_list):
                found.append(module.at(node, node.name))
    return found


def missing_headings(docstring: str) -> list[str]:
    """Headings that a connector's docstring lacks, or under which nothing is said."""
    return [word for word in HEADINGS if not re.search(rf"^\s*{word}:\s*\S", docstring, re.MULTILINE)]


def test_everything_public_is_documented() -> None:
    assert [finding for module in modules() for finding in undocumented(module)] == []


def test_the_rule_sees_what_is_undocumented() -> None:
    text = 'class A:\n    def m(self): ...\n    def _own(self): ...\ndef f():\n    "Doc."\n    def inner(): ...\n'
    assert undocumented(Module("a.py", text)) == ["a.py:1: the module", "a.py:1: A", "a.py:2: m"]
    assert undocumented(Module("a.py", '"Doc."\n@overload\ndef f(): ...\ndef f():\n    "Doc."\n')) == []


def test_every_source_says_what_it_emits_keeps_and_raises() -> None:
    registered = entry_points("sources")
    assert registered
    built = {kind: node for kind, target in registered.items() if (node := find_class(*target))}
    lacking = {kind: missing_headings(ast.get_docstring(node) or "") for kind, node in built.items()}
    assert {kind: words for kind, words in lacking.items() if words} == {}


def test_the_rule_sees_a_missing_and_an_empty_heading() -> None:
    whole = "A source.\n\n" + "".join(f"{word}:\n    Something.\n" for word in HEADINGS)
    assert missing_headings(whole) == []
    assert missing_headings(whole.replace("State:", "Status:")) == ["State"]
    assert missing_headings("A source.\n\nSource:\n") == list(HEADINGS)
