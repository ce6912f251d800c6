"""Tables whose requests are made from another table's rows: a request per parent, in the order of their keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.errors import ProjectError
from headwater.sources.rest.client import RestError
from headwater.sources.rest.paths import find_all, find_text, parse_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headwater.sources.rest.spec import RestTable

MAX_PARENTS = 200_000
"""How many parents a table may have: one request or more each, and a cursor each in the position."""


@dataclass(frozen=True, slots=True)
class Parent:
    """One row of the parent table.

    Attributes:
        key: What tells it from the others: the values that go into the request, as text.
        values: Those values by field.
        taken: JSON text of the fields that the child's rows take over, to stand at the head of an object.
        names: The keys of those fields: a row's own of the same name gives way.
    """

    key: str
    values: Mapping[str, str]
    taken: bytes = b""
    names: tuple[str, ...] = ()

    def complete(self, record: bytes) -> bytes:
        """Return a record with what it takes over, as its first keys."""
        if not self.taken or not record.startswith(b"{"):
            return record
        if any(name.encode() in record for name in self.names) or b"\\u" in record:
            record = self._without_names(record)
        rest = record[1:].lstrip()
        return b"{" + self.taken + (b"" if rest.startswith(b"}") else b",") + rest

    def _without_names(self, record: bytes) -> bytes:
        """Return a record without the keys that it takes over: an object has a key once."""
        import msgspec

        own = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        if not own.keys() & set(self.names):
            return record
        kept = {name: value for name, value in own.items() if name not in self.names}
        return msgspec.json.encode(kept)


NO_PARENT = Parent("", {})


def read_parents(child: str, table: RestTable, records: Iterable[bytes]) -> list[Parent]:
    """Return the parents of a table, each once, in the order of their keys.

    Raises:
        RestError: A row of the parent lacks a field, or there are too many of them.
    """
    assert table.parent is not None
    fields = {name: parse_path(f"$.{name}") for name in table.parent_fields}
    taken = {column: parse_path(f"$.{path}") for column, path in table.parent.take.items()}
    found: dict[str, Parent] = {}
    for record in records:
        values = {name: find_text(record, path) for name, path in fields.items()}
        full = {name: value for name, value in values.items() if value is not None and value.strip(".")}
        if len(full) < len(values):
            missing = ", ".join(name for name in values if name not in full)
            raise RestError(
                f"a row of {table.parent.table} has no {missing} to make the requests of {child} from",
                fix="use a field that every row has",
            )
        key = next(iter(full.values())) if len(full) == 1 else json.dumps(list(full.values()), ensure_ascii=False)
        if key not in found:
            parts = [
                json.dumps(column, ensure_ascii=False).encode() + b":" + next(find_all(record, path), b"null").strip()
                for column, path in taken.items()
            ]
            found[key] = Parent(key, full, b",".join(parts), tuple(taken))
        if len(found) > MAX_PARENTS:
            raise RestError(
                f"{table.parent.table} has more than {MAX_PARENTS} rows, and {child} needs a request for each",
                fix="narrow the parent by its params",
            )
    return [found[key] for key in sorted(found)]


def find_chain(name: str, tables: Mapping[str, RestTable]) -> list[str]:
    """Return a table and those above it: its parent, the parent's parent, ...

    Raises:
        ProjectError: There is no such table in the source, or the parents go in a circle.
    """
    chain = [name]
    while (above := tables[chain[-1]].parent) is not None:
        if above.table not in tables:
            raise ProjectError(
                f"table {chain[-1]!r} has the parent {above.table!r}, which is no table of this source",
                fix=f"set parent to one of: {', '.join(sorted(set(tables) - set(chain))) or 'none'}",
            )
        if above.table in chain:
            raise ProjectError(
                f"the parents of {name!r} go in a circle: {' > '.join((*chain, above.table))}", fix="mend parent"
            )
        chain.append(above.table)
    return chain
