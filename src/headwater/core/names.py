"""Names of datasets: the root's have two parts, a domain's have the domain before them, a port's domain and port.

In the engine every domain is a catalogue, the root is `memory`, and ports stand in the schema `main` of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = "main"
"""The domain of what does not lie below `domains/`."""

ROOT_CATALOG = "memory"
"""The root's catalogue in the engine."""

MAIN_SCHEMA = "main"
"""The schema in which ports stand, and what is named without a namespace."""


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where a dataset stands in the engine: catalogue, schema, table."""

    catalog: str
    schema: str
    table: str


def place_of(dataset: str, domains: Collection[str]) -> TablePlace:
    """Return where a dataset stands in the engine, by its full name and the project's domains."""
    first, *rest = dataset.split(".")
    if len(rest) == 2:
        return TablePlace(first, rest[0], rest[1])
    if first in domains:
        return TablePlace(first, MAIN_SCHEMA, rest[0])
    return TablePlace(ROOT_CATALOG, first, rest[0]) if rest else TablePlace(ROOT_CATALOG, MAIN_SCHEMA, first)


def full_name(domain: str, local: str) -> str:
    """Return the full name of what a domain calls `namespace.name`."""
    return local if domain == ROOT else f"{domain}.{local}"


def local_name(dataset: str) -> str:
    """Return what its own domain calls a dataset: its last two parts."""
    return ".".join(dataset.split(".")[-2:])


def flat_name(dataset: str) -> str:
    """Return a dataset's name without dots, as `system.` and `quarantine.` have it."""
    return dataset.replace(".", "__")
