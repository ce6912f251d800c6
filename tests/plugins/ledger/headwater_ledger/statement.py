"""A consumer of another package: a statement of account, one text file."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts import Consumer, ConsumerQuery, Consumption, Made
from headwater.core.consumer import DeclaredConsumer
from headwater.core.fragments import SelectSql
from headwater.core.graph import Location
from headwater.core.layers import Family
from headwater.core.specs import Spec


class StatementSpec(Spec):
    """The keys of a statement.

    Attributes:
        query: A SELECT of the lines.
        owner: Who answers for it.
        refuse: Why it is not to be published.
        problems: What goes wrong in it.
    """

    query: str
    owner: str = ""
    refuse: str = ""
    problems: tuple[str, ...] = ()


class Statement(Consumer):
    """Writes what a query gives, a line per row."""

    kind: ClassVar[str] = "statement"
    family: ClassVar[Family] = Family.APPLICATIONS
    spec: ClassVar[type[Spec]] = StatementSpec

    def __init__(self, declared: DeclaredConsumer) -> None:
        """Take the declaration."""
        assert isinstance(declared.options, StatementSpec)
        self._declared, self._options = declared, declared.options

    def queries(self) -> tuple[ConsumerQuery, ...]:
        """Return the one query."""
        place = self._declared.location
        return (ConsumerQuery("lines", SelectSql(self._options.query), Location(place.path, place.line)),)

    def files(self) -> tuple[str, ...]:
        """Return nothing: the declaration says it all."""
        return ()

    def make(self, consumption: Consumption) -> Made:
        """Write the file."""
        rows = consumption.connection.execute(consumption.queries["lines"]).fetchall()
        before = "" if consumption.previous is None else (consumption.previous / "statement.txt").read_text()
        lines = "".join(f"{', '.join(map(str, row))}\n" for row in rows)
        (consumption.folder / "statement.txt").write_text(lines)
        details = {"lines": len(rows), "before": before.count("\n"), "versions": dict(consumption.versions)}
        return Made(len(rows), details, self._options.problems, self._options.refuse)
