"""The walls between the rooms: what nobody asks, so that a new kind of thing is one more builder and no branch."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.house.code import ROOT, Module, classes, entry_points, functions, modules

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


STEPS = {node.name for module in modules() if module.path == "headwater/core/plan.py" for node in classes(module)}


def asks_which_step(module: Module) -> Iterator[str]:
    """What a step is, it says itself, or its handler knows (`run/steps/registry.py`)."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            names = {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)}
            if names & set(STEPS):
                yield f"{module.path}:{node.lineno}: isinstance of a step"


TEXTS = ("reason", "scan", "query", "chunk", "step", "node")
"""Names of what is written for people or for the engine: decisions are made on types."""


def decides_by_text(module: Module) -> Iterator[str]:
    """Nothing is decided by the words of a reason, a query, the name of a node or the id of a chunk."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith"):
            if (name := _last_name(node.value)) in TEXTS:
                yield f"{module.path}:{node.lineno}: {name}.{node.attr}"
        elif isinstance(node, ast.Compare) and _last_name(node.left) == "reason":
            yield f"{module.path}:{node.lineno}: a reason is compared"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


KINDS = frozenset({*entry_points("sources"), *entry_points("stores")}) - {"files"}
"""The registered kinds; `files` is a word of its own, of positions too."""


def asks_which_kind(module: Module) -> Iterator[str]:
    """What a connector is and can do, its class says; nobody compares its kind, or keeps a list of kinds."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None and len(node.keys) > 1]
        else:
            continue
        for part in parts:
            for one in ast.walk(part) if isinstance(node, ast.Compare) else [part]:
                if isinstance(one, ast.Constant) and one.value in KINDS and not _names_the_defaults(module):
                    yield f"{module.path}:{one.lineno}: {one.value!r}"


def _names_the_defaults(module: Module) -> bool:
    """Where the stores that every project has are named."""
    return module.path == "headwater/core/specs/project.py"


POLICIES = ("load", "deletes", "materialize", "policy", "schema_policy", "severity")


def spells_a_policy(module: Module) -> Iterator[str]:
    """A word of a declaration that decides is a member of its enum (`core/policies.py`), never spelled again."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and _last_name(node.left) in POLICIES:
            for one in (one for part in node.comparators for one in ast.walk(part)):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield f"{module.path}:{one.lineno}: {one.value!r}"


RULES: dict[str, tuple[Callable[[Module], Iterator[str]], str]] = {
    "a dataset is not asked for its list": (asks_which_declaration, "x = name in self.project.declared(Model)"),
    "a step is not asked for its type": (asks_which_step, "x = isinstance(step, LoadStep | ExtractStep)"),
    "no decision is read out of a text": (decides_by_text, "x = step.reason.startswith('first build')"),
    "no kind is asked for by name": (asks_which_kind, "x = {'postgres': 1, 'rest': 2}"),
    "no policy is spelled": (spells_a_policy, "x = spec.load in ('full', 'cdc')"),
}


@pytest.mark.parametrize("rule", RULES)
def test_walls(rule: str) -> None:
    find, _ = RULES[rule]
    assert [found for module in modules() for found in find(module)] == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_sees_what_breaks_it(rule: str) -> None:
    find, breaks = RULES[rule]
    assert list(find(Module("headwater/run/new.py", breaks)))


def test_every_connector_has_a_room() -> None:
    """Nothing stands in the hall: a file belongs to one connector, or to what several share."""
    halls = [module.path for module in modules() if re.fullmatch(r"headwater/(sources|storage)/\w+\.py", module.path)]
    assert halls == ["headwater/sources/__init__.py", "headwater/storage/__init__.py"]


def _type_names(node: ast.stmt) -> list[str]:
    """The public types that a statement makes: classes and aliases."""
    if isinstance(node, ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    else:
        names = []
    return [name for name in names if re.fullmatch(r"[A-Z][a-z]\w*", name)]


def test_one_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for module in modules():
        for node in module.tree.body:
            for name in _type_names(node):
                places.setdefault(name, []).append(module.path)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
WAYS = PAGE.partition("## The ways")[2].partition("## One table per question")[0]


def ways() -> Iterator[tuple[str, str, str]]:
    """The (room, file, name) of each line of the ways that names functions right behind a file."""
    for room, cell in re.findall(r"^\| `(\w+)/` \| ([^|]+) \|", WAYS, re.MULTILINE):
        for file, names in re.findall(r"`([\w/]+\.py)`((?:,? `[\w.]+`)+)", cell):
            for name in re.findall(r"[\w.]+", names):
                yield room, file, name


def test_the_ways_name_what_is_there() -> None:
    found = list(ways())
    assert len(found) > 20
    by_path = {module.path: module for module in modules()}
    missing = []
    for room, file, name in found:
        module = by_path.get(f"headwater/{room}/{file}")
        names = {node.name for node in (*classes(module), *functions(module))} if module else set()
        if not set(name.split(".")) <= names:
            missing.append(f"{room}/{file}: {name}")
    assert missing == []


def test_no_room_is_entered_twice_for_one_thing() -> None:
    """The rows between two of `run/`, which calls the others, name each room once."""
    for table in WAYS.split("\n\n"):
        rooms = re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE)
        for part in " ".join(rooms).split("run"):
            assert len(part.split()) == len(set(part.split())), table


def test_a_package_of_others_needs_what_is_offered() -> None:
    """The test packages, which stand for those of others, import no room that is the product's own."""
    offered = ("headwater.contracts", "headwater.core", "headwater.errors", "headwater.testing")
    imported = {
        name
        for file in (ROOT / "tests/plugins").rglob("headwater_*/*.py")
        for name in re.findall(r"^from (headwater\.[\w.]+) import", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert imported
    assert [name for name in sorted(imported) if not name.startswith(offered)] == []
