"""The catalogues of a project's domains in a DuckDB instance, and where a dataset stands in them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.core.fragments import IdentifierSql, quote_identifier
from headwater.core.names import ROOT, ROOT_CATALOG, TablePlace, place_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(slots=True)
class Catalogs:
    """Catalogues in memory, one per domain beside the root's.

    Attributes:
        domains: The domains.
        root: The root's catalogue.
        shared: Ports of the root, which stand in every domain's catalogue as well.
        prefix: Stands before the names of the domains' catalogues, where those are not the only ones of the instance.
    """

    domains: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    root: str = ROOT_CATALOG
    prefix: str = ""
    _made: set[tuple[str, str]] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def attach(self, connection: DuckDBPyConnection) -> None:
        """Make the domains' catalogues."""
        for domain in self.domains:
            connection.execute(f"ATTACH ':memory:' AS {quote_identifier(self.prefix + domain)}")

    def detach(self, connection: DuckDBPyConnection) -> None:
        """Remove them with all that is in them."""
        for domain in self.domains:
            connection.execute(f"DETACH {quote_identifier(self.prefix + domain)}")

    def use(self, connection: DuckDBPyConnection, domain: str) -> None:
        """Have names on a connection mean what they mean in a domain."""
        if self.domains or self.root != ROOT_CATALOG:
            connection.execute(f"USE {quote_identifier(self.catalog_of(domain))}")

    def catalog_of(self, domain: str) -> str:
        """Return the catalogue of a domain."""
        return self.root if domain == ROOT else self.prefix + domain

    def places(self, dataset: str) -> tuple[TablePlace, ...]:
        """Return where a dataset stands: its own place, then those at which it is repeated."""
        place = place_of(dataset, self.domains)
        if place.catalog != ROOT_CATALOG:
            return (TablePlace(self.prefix + place.catalog, place.schema, place.table),)
        own = TablePlace(self.root, place.schema, place.table)
        if dataset not in self.shared:
            return (own,)
        others = (TablePlace(self.prefix + domain, place.schema, place.table) for domain in self.domains)
        return (own, *others)

    def make_schema(self, connection: DuckDBPyConnection, place: TablePlace) -> None:
        """Have the schema of a place, once."""
        with self._lock:
            if (place.catalog, place.schema) not in self._made:
                quoted = f"{quote_identifier(place.catalog)}.{quote_identifier(place.schema)}"
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
                self._made.add((place.catalog, place.schema))


def quote_place(place: TablePlace) -> IdentifierSql:
    """Quote a place part by part."""
    return IdentifierSql(".".join(quote_identifier(part) for part in (place.catalog, place.schema, place.table)))
