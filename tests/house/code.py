"""The source code, read once: every module of the product with its path and syntax tree."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def name(self) -> str:
        """Dotted name: headwater.core.graph."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def at(self, node: ast.stmt | ast.ExceptHandler, what: str) -> str:
        """One line of a report."""
        return f"{self.path}:{node.lineno}: {what}"


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the product, in the order of paths."""
    found = tuple(
        Module(path.relative_to(SRC).as_posix(), path.read_text(encoding="utf-8")) for path in sorted(SRC.rglob("*.py"))
    )
    assert len(found) > 50, f"the product's modules are not below {SRC}"
    return found


def classes(module: Module) -> Iterator[ast.ClassDef]:
    """Every class of a module, inner ones too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def functions(module: Module) -> Iterator[Function]:
    """Every function and method of a module, inner ones too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


@cache
def entry_points(group: str) -> dict[str, tuple[str, str]]:
    """Kinds registered in pyproject.toml: kind to (module, class)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    registered = project["entry-points"][f"headwater.{group}"]
    bare = {kind: target.partition(" [")[0] for kind, target in registered.items()}  # without the extra that it needs
    return {kind: (target.partition(":")[0], target.partition(":")[2]) for kind, target in bare.items()}


def find_class(module_name: str, class_name: str) -> ast.ClassDef | None:
    """The class behind an entry point; None while its module does not exist."""
    for module in modules():
        if module.name == module_name:
            found = [node for node in classes(module) if node.name == class_name]
            assert found, f"{module.path} has no class {class_name}, which pyproject.toml registers"
            return found[0]
    return None
