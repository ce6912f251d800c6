"""The stores that headwater.yaml names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headwater.core.near import suggest
from headwater.core.specs import DEFAULT_STORES
from headwater.core.stores import DeclaredStore
from headwater.core.texts import visible
from headwater.errors import ProjectError
from headwater.plugins import list_kinds, load_store
from headwater.project.names import name_problem

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.core.specs import ProjectSpec
    from headwater.project.documents import Document, Key

_FIX_NAME = "name it with letters, digits, - and _"


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
        _check_places(found, document, errors)
        _check_names(spec, found, document, errors)
    return found


def _check_places(stores: dict[str, DeclaredStore], document: Document, errors: list[ProjectError]) -> None:
    """A store's name is part of messages and notes, and its place is its own."""
    seen: dict[str, str] = {}
    for name, store in stores.items():
        place, twin = document.place(("stores", name)), seen.setdefault(os.path.realpath(store.path), name)
        if problem := name_problem(name):
            errors.append(ProjectError.at(place, f"the store {visible(name)!r} {problem}", _FIX_NAME))
        elif twin != name:
            what = f"the stores {twin} and {name} are in one place"
            errors.append(ProjectError.at(place, what, "give each its own path"))


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
