"""The stores that headwater.yaml names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.near import suggest
from headwater.core.specs import DEFAULT_STORES
from headwater.core.stores import DeclaredStore
from headwater.core.texts import visible
from headwater.errors import ProjectError
from headwater.plugins import list_kinds, load_store
from headwater.project.names import FIX_NAME, name_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headwater.core.specs import ProjectSpec
    from headwater.documents import Document, Key

_FIX_PLACE = "give it a path of its own, like data/gold"

PROJECT_FOLDERS = (
    ".headwater", "sources", "models", "tests", "products", "metrics", "dashboards", "ml", "apps", "domains",
)  # fmt: skip
"""Folders of a project that hold what people declare, and what Headwater notes of its work."""


def read_stores(
    spec: ProjectSpec, root: Path, environment: str, document: Document | None, errors: list[ProjectError]
) -> dict[str, DeclaredStore]:
    """Return the stores by name, where an environment has them; problems are added to `errors`."""
    chosen = spec.environments.get(environment)
    moved = {name: place.path for name, place in chosen.stores.items()} if chosen else {}
    known, found = list_kinds("stores"), {}
    for name, store in {**DEFAULT_STORES, **spec.stores}.items():
        kind = store.kind or name
        if kind in known:
            path = os.path.join(root, moved.get(name, store.path))
            found[name] = DeclaredStore(name, kind, path, load_store(kind).capabilities)
        elif document is not None:
            place = document.place(("stores", name, "kind") if store.kind else ("stores", name))
            what = f"{name} is of the unknown kind {kind!r}" if store.kind else f"{name} has no kind"
            errors.append(ProjectError.at(place, f"stores: {what}", suggest(kind, known)))
    if document is not None:
        _check_places(spec, root, found, document, errors)
        _check_names(spec, found, document, errors)
    return found


def _check_places(
    spec: ProjectSpec, root: Path, stores: dict[str, DeclaredStore], document: Document, errors: list[ProjectError]
) -> None:
    """A store's name is part of messages and notes, and its place is its own, in every environment."""
    for name in stores:
        if problem := name_problem(name):
            errors.append(
                ProjectError.at(document.place(("stores", name)), f"the store {visible(name)!r} {problem}", FIX_NAME)
            )
    places = [*_places(spec, root, stores)]
    for place in places:
        if what := _misplaced(place, root):
            errors.append(
                ProjectError.at(document.place(place.key), f"the store {place.store.name} {what}", _FIX_PLACE)
            )
    for number, one in enumerate(places):
        for other in places[:number]:
            what = _collide(one, other) or _collide(other, one)
            if what and (one.environment == other.environment or one.path != other.path or one.store != other.store):
                errors.append(ProjectError.at(document.place(one.key), what, "give each its own path"))
                break


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a store is in an environment; `path` is real and absolute, `key` where it is written."""

    store: DeclaredStore
    environment: str
    written: str
    path: str
    key: Key

    def __str__(self) -> str:
        return f"{self.store} (environment {self.environment})" if self.environment else str(self.store)


def _places(spec: ProjectSpec, root: Path, stores: dict[str, DeclaredStore]) -> Iterator[_Place]:
    declared = {**DEFAULT_STORES, **spec.stores}
    for name, store in stores.items():
        written = declared[name].path
        yield _Place(store, "", written, os.path.realpath(os.path.join(root, written)), ("stores", name, "path"))
    for environment, chosen in spec.environments.items():
        for name, place in chosen.stores.items():
            if name in stores:
                path = os.path.realpath(os.path.join(root, place.path))
                key: Key = ("environments", environment, "stores", name)
                yield _Place(stores[name], environment, place.path, path, key)


def _misplaced(place: _Place, root: Path) -> str:
    """Say why a store cannot be where it is; "" when it can."""
    path, home = place.path, os.path.realpath(root)
    if place.written.startswith("~") or "://" in place.written or place.written.startswith(":"):
        return f"has the path {place.written!r}, which is no plain path of this machine"
    if path == home or _is_within(home, path):
        return "is where the project is"
    first = os.path.relpath(path, home).split(os.sep)[0]
    if first in PROJECT_FOLDERS:
        return f"is in the project's folder {first}/"
    return ""


def _collide(one: _Place, other: _Place) -> str:
    """Say why one store cannot stand where it stands beside another; "" when it can."""
    if one.path == other.path or _is_same_file(one.path, other.path):
        return f"the stores {other} and {one} are in one place"
    if _is_within(one.path, other.path):
        return f"the store {one} is inside of the store {other}, which removes what it does not know"
    if other.store.capabilities.is_file and one.path.startswith(f"{other.path}."):
        return f"the store {one} has a name that the store {other} needs for its own files"
    return ""


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _is_within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _check_names(
    spec: ProjectSpec, stores: dict[str, DeclaredStore], document: Document, errors: list[ProjectError]
) -> None:
    """What names a store names one that is declared."""
    named: dict[Key, str] = {("defaults", "into"): spec.defaults.into, ("defaults", "store"): spec.defaults.store}
    for environment, chosen in spec.environments.items():
        named |= {("environments", environment, "stores", name): name for name in chosen.stores}
        named |= {("environments", environment, "shared", n): name for n, name in enumerate(chosen.shared)}
    for key, name in named.items():
        if name not in stores and name not in spec.stores:
            errors.append(ProjectError.at(document.place(key), f"no store is named {name!r}", suggest(name, stores)))
