"""A dataset: what a project knows by one name, whatever writes it; consumers are known in the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headwater.core.graph import Role, node_name
from headwater.core.names import ROOT

if TYPE_CHECKING:
    from headwater.core.fingerprint import Fingerprint
    from headwater.core.graph import Location
    from headwater.core.specs import CheckSpec, DescribedSpec


class Declaration(Protocol):
    """What a file of the project declares under a dataset's name."""

    @property
    def name(self) -> str:
        """The dataset's name, `namespace.dataset`."""
        ...

    @property
    def spec(self) -> DescribedSpec:
        """What the user wrote, validated."""
        ...

    @property
    def source(self) -> str:
        """The source that it is a table of; "" for what the project makes itself."""
        ...

    @property
    def location(self) -> Location:
        """Where it is declared."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Changes with everything that a commit is made by."""
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset; its store, its writer and what it reads are the same questions for every kind.

    Attributes:
        declaration: What declares it.
        kind: The connector its rows come through, or how a model is materialized.
        role: What writes it: `Role.LOAD`, `Role.TRANSFORM`; a consumer is `Role.CONSUMER`.
        store: Name of the store that holds it; "" when it holds no rows of its own and its query stands in its place.
        inputs: The datasets it reads, in the order of first mention.
        origin: Where its rows come from when they come from outside, for people; "" when they are made of `inputs`.
        domain: The domain that owns it; "main" is the root.
    """

    declaration: Declaration = field(repr=False)
    kind: str
    role: Role
    store: str
    inputs: tuple[str, ...] = ()
    origin: str = ""
    domain: str = ROOT

    @property
    def name(self) -> str:
        """Its full name, see `core/names.py`."""
        return self.declaration.name

    @property
    def spec(self) -> DescribedSpec:
        """What the user wrote of it, validated."""
        return self.declaration.spec

    @property
    def location(self) -> Location:
        """Where it is declared."""
        return self.declaration.location

    @property
    def fingerprint(self) -> Fingerprint:
        """Changes with everything that a commit is made by."""
        return self.declaration.fingerprint

    @property
    def checks(self) -> tuple[CheckSpec, ...]:
        """Its checks: those of its columns, then its own."""
        return self.spec.all_checks()

    @property
    def columns(self) -> dict[str, str]:
        """The declared columns and their types; "" where none is declared."""
        return {name: column.type or "" for name, column in self.spec.columns.items()}

    @property
    def writer(self) -> str:
        """Name of the node that writes it."""
        return node_name(self.name, self.role)

    @property
    def is_stored(self) -> bool:
        """Whether a store holds it: a view is expanded into what reads it instead."""
        return self.store != ""

    @property
    def is_loaded(self) -> bool:
        """Whether its rows come from outside: it has system columns, and rejects in the quarantine."""
        return self.role is Role.LOAD
