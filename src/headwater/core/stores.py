"""What a store can hold and do, and the stores of a project by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.types import Landing


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of store can hold and do; what is not said is what the warehouse does.

    Attributes:
        modes: The change modes it can do, beside `record`.
        types: How types land that do not land there as everywhere, see `landed`.
        widens: A column of a table may take a wider type.
        keeps_objects: It keeps files as they are, beside the table that lists them (`ObjectStore`).
        keeps_views: A view model can stand in it, for tools that open it alone.
        has_row_ids: It tells rows apart by DuckDB's `rowid`, which a column of that name hides.
        keeps_tables: Models and the tables of sources may go into it; else it is for ports, or what consumers make.
        is_file: Its path is one file; those whose names begin like it, with a dot after it, are its own as well.
    """

    modes: frozenset[str] = frozenset({"append", "replace", "merge", "overwrite_where"})
    types: Mapping[str, Landing] = field(default_factory=dict)
    widens: bool = True
    keeps_tables: bool = True
    keeps_objects: bool = False
    keeps_views: bool = False
    has_row_ids: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredStore:
    """A store of a project; as text it is its name.

    Attributes:
        name: Its name in the project.
        kind: What it is.
        path: Where it is, absolute.
        capabilities: What it can hold and do.
    """

    name: str
    kind: str
    path: str
    capabilities: Capabilities = field(default=Capabilities(), repr=False)

    def __str__(self) -> str:
        return self.name

    @property
    def merges(self) -> bool:
        """Whether it can write rows by key."""
        return "merge" in self.capabilities.modes and self.capabilities.keeps_tables
