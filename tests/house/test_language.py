"""Words of the field, and one place where every error is caught."""

from __future__ import annotations

import ast
import re

from .code import Module, classes, modules

_VAGUE = re.compile(r"(Manager|Helper|Util|Utils|Utility|Service)s?$")
_RETIRED = frozenset({"wish", "wishes", "journalist", "beside", "unsteady", "doomed", "upkeep"})
"""Words that names had once, and that nobody would look for."""
_SPOKEN = re.compile(r"\b(told|hears?|heard)\b")
"""Messages say "shows", "says" and "is reported"."""
_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")


def vague_names(module: Module) -> list[str]:
    return [module.at(node, node.name) for node in classes(module) if _VAGUE.search(node.name)]


def catch_all(module: Module) -> list[str]:
    """`except Exception`, also inside a tuple, with its relatives: no type at all and BaseException.

    A handler that ends in a bare `raise` only tidies up.
    """
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {""}
            passes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if names & {"", "Exception", "BaseException"} and not passes_on:
                found.append(module.at(node, "catches everything"))
    return found


def unfinished(module: Module) -> list[str]:
    lines = enumerate(module.text.splitlines(), 1)
    return [f"{module.path}:{number}: {line.strip()}" for number, line in lines if _UNFINISHED.search(line)]


def retired_names(module: Module) -> list[str]:
    found = []
    for node in ast.walk(module.tree):
        name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
        if isinstance(name, str) and _RETIRED & {part.lower() for part in re.findall(r"[A-Z]?[a-z]+", name)}:
            found.append(module.at(node, name))
    return found


def spoken_messages(module: Module) -> list[str]:
    docs = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    docs |= {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(module.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [module.at(n, n.value) for n in texts if id(n) not in docs and " " in n.value and _SPOKEN.search(n.value)]


def test_no_name_is_one_that_nobody_would_look_for() -> None:
    assert [finding for module in modules() for finding in retired_names(module)] == []


def test_messages_do_not_speak_of_hearing() -> None:
    assert [finding for module in modules() for finding in spoken_messages(module)] == []


def test_no_class_is_named_for_nothing_in_particular() -> None:
    assert [finding for module in modules() for finding in vague_names(module)] == []


def test_only_the_boundaries_catch_everything() -> None:
    """Those of a run, of the socket through which a run is asked, and of the process of a user's training."""
    places = ("headwater/run/", "headwater/workspace/live_query.py", "headwater/consumption/ml/child.py")
    inside = [module for module in modules() if module.path.startswith(places)]
    assert inside
    assert [finding for module in modules() if module not in inside for finding in catch_all(module)] == []


def test_nothing_is_left_unfinished() -> None:
    assert [finding for module in modules() for finding in unfinished(module)] == []


def test_the_rules_see_what_they_are_for() -> None:
    assert len(vague_names(Module("a.py", "class StateManager: ...\nclass Managers: ...\nclass Manage: ..."))) == 2
    handlers = ["except:", "except Exception:", "except (OSError, Exception) as e:", "except BaseException:"]
    for handler in handlers:
        assert len(catch_all(Module("a.py", f"try:\n    x\n{handler}\n    y\n"))) == 1
    assert len(catch_all(Module("a.py", "try:\n    x\nexcept Exception:\n    raise ValueError\n"))) == 1
    assert catch_all(Module("a.py", "try:\n    x\nexcept BaseException:\n    y\n    raise\n")) == []
    assert catch_all(Module("a.py", "try:\n    x\nexcept (OSError, ValueError):\n    y\n")) == []
    assert (
        len(retired_names(Module("a.py", "class Wish: ...\ndef f(doomed_files): ...\nupkeep = 1\nbesides = 2\n"))) == 3
    )
    assert len(spoken_messages(Module("a.py", '"""A told doc."""\nraise E(f"{x} was told", "never heard of")\n'))) == 2
    assert len(unfinished(Module("a.py", "x = 1  # TODO later\nraise NotImplementedError\nTODOS = 1\n"))) == 2
