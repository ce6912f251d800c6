"""Python of a project: what a file may import from it, and loading that from its text."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, ModuleType

_PYTHON = {Path(place) for place in sysconfig.get_paths().values()}
"""Where Python keeps its own modules and those that are installed."""

_ROOTS: set[str] = set()
"""The folders of projects whose Python is loaded."""


def compile_from_text(root: str) -> None:
    """Have what is imported from a project's folder from now on compiled from its text."""
    if not _ROOTS:
        sys.path_hooks.insert(0, _find_text)
    _ROOTS.add(root)
    for path in [path for path in sys.path_importer_cache if Path(path).is_relative_to(root)]:
        sys.path_importer_cache.pop(path, None)


def load_module(name: str, path: Path) -> ModuleType:
    """Import a file under a name, whatever was imported before; what it raises is raised."""
    loader = _TextLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    importlib.invalidate_caches()
    loader.exec_module(module)
    return module


def is_of_project(module: ModuleType, root: Path) -> bool:
    """Whether a module, or a package without a file of its own, lies in a project."""
    places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
    return any(is_own(Path(place), root) for place in places if place)


def is_own(place: Path, root: Path) -> bool:
    """Whether a place is in a project, and not in an environment or in Python itself that lie in it."""
    if not place.is_relative_to(root) or "site-packages" in place.relative_to(root).parts:
        return False
    return not any(place.is_relative_to(other) for other in _PYTHON if not root.is_relative_to(other))


def imported_files(file: Path, root: Path, tree: ast.Module) -> Iterator[Path]:
    """Yield the files of a project that one of them, parsed as `tree`, may import; in a fixed order, some twice."""
    for level, module in sorted(_imports(tree)):
        bases = (file.parent, root) if level == 0 else (file.parents[level - 1],)
        for base in bases:
            target = base.joinpath(*module.split("."))
            for candidate in (target.with_suffix(".py"), target / "__init__.py"):
                if candidate.is_file():
                    yield candidate


class _TextLoader(SourceFileLoader):
    """Compiles a file's text, whatever byte code is there: of a text of before it is taken for this one's.

    Python compares size and time in whole seconds only: https://docs.python.org/3/reference/import.html#pyc-invalidation
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _find_text(path: str) -> FileFinder:
    """Find modules in a folder of a project; anything else is left to Python's own finders."""
    folder = Path(path)
    if not folder.is_dir() or not any(is_own(folder, Path(root)) for root in _ROOTS):
        raise ImportError(f"{path} is no folder of a project")
    return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_TextLoader, SOURCE_SUFFIXES))


def _imports(tree: ast.Module) -> set[tuple[int, str]]:
    """Return (level, dotted name) of every module that may be imported, packages on the way to it too."""
    names: set[tuple[int, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update((node.level, f"{node.module or ''}.{alias.name}".strip(".")) for alias in node.names)
    return {
        (level, ".".join(parts[:length]))
        for level, name in names
        for parts in [name.split(".")]
        for length in range(1, len(parts) + 1)
    }
