"""What a query gives: its first rows as DuckDB writes their values, exact, and how many there are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.core.near import suggest
from headwater.errors import HeadwaterError, ProjectError
from headwater.sql.binding import explain_error
from headwater.sql.parse import fold_name, serialize_query
from headwater.sql.spelling import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

MAX_ROWS = 1_000_000
"""A query of more rows is refused: a page is made of aggregates."""

_BATCH_ROWS = 10_000

Cell = str | None
"""A value as text; None is NULL."""

_INTEGERS = frozenset({
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
    "bignum",
})  # fmt: skip
_FLOATS = frozenset({"float", "double"})


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: its name, and its type as DuckDB writes it."""

    name: str
    type: str

    @property
    def is_integer(self) -> bool:
        """Whether it holds whole numbers."""
        return self.type.lower() in _INTEGERS

    @property
    def is_float(self) -> bool:
        """Whether it holds numbers that are not exact."""
        return self.type.lower() in _FLOATS

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers of any kind."""
        return self.is_integer or self.is_float or self.type.startswith("DECIMAL")

    @property
    def is_date(self) -> bool:
        """Whether it holds days without a time."""
        return self.type == "DATE"

    @property
    def is_time(self) -> bool:
        """Whether it holds days or instants."""
        return self.is_date or self.type.startswith("TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Result:
    """A query's answer.

    Attributes:
        columns: Its columns; names that were doubled are told apart as DuckDB does (`a`, `a_1`).
        rows: The first rows, as texts; as many as a block shows.
        count: How many rows there are in all.
        whole: All values of the columns that a block makes one number of.
    """

    columns: tuple[ResultColumn, ...]
    rows: list[tuple[Cell, ...]] = field(repr=False)
    count: int
    whole: Mapping[int, list[Cell]] = field(default_factory=dict, repr=False)

    def find(self, name: str) -> int:
        """Return the place of a column by its name, capital or small letters.

        Raises:
            ProjectError: There is none.
        """
        return find_column([column.name for column in self.columns], name)


@dataclass(slots=True)
class Wanted:
    """What the blocks of a page want of one query: how many rows, and of which columns every value."""

    rows: int = 0
    whole: set[str] = field(default_factory=set)


def find_column(names: Sequence[str], name: str) -> int:
    """Return the place of a column by its name, capital or small letters.

    Raises:
        ProjectError: There is none.
    """
    folded = [fold_name(one) for one in names]
    if fold_name(name) not in folded:
        raise ProjectError(f"no column is named {name!r}", fix=suggest(name, list(names)))
    return folded.index(fold_name(name))


def run_query(connection: DuckDBPyConnection, sql: SelectSql, wanted: Wanted) -> Result:
    """Run a query in the connection's transaction, once.

    Rows come in the query's order; a query without ORDER BY is ordered by all its columns from left to right, so that
    a page of the same data is the same page.

    Raises:
        HeadwaterError: It fails, or it gives too many rows; a line is that of the query.
    """
    import duckdb

    ordered = _is_ordered(sql)
    try:
        asked = connection.sql(f"SELECT * FROM (\n{sql}\n)")
        columns = tuple(ResultColumn(name, str(type_)) for name, type_ in zip(asked.columns, asked.types, strict=True))
        places = [f"c{at}" for at in range(len(columns))]
        spelled = ", ".join(as_text(place, type_) for place, type_ in zip(places, asked.types, strict=True))
        order = "" if ordered else f"\nORDER BY {', '.join(f'{place} NULLS LAST' for place in places)}"
        text = f"SELECT {spelled} FROM (\n{sql}\n) AS answer({', '.join(places)}){order}"
        return _take(connection.execute(text), columns, wanted)
    except duckdb.Error as error:
        raise explain_error(str(error)) from None


def _take(answer: DuckDBPyConnection, columns: tuple[ResultColumn, ...], wanted: Wanted) -> Result:
    names = {fold_name(name) for name in wanted.whole}
    whole: dict[int, list[Cell]] = {at: [] for at, column in enumerate(columns) if fold_name(column.name) in names}
    rows: list[tuple[Cell, ...]] = []
    count = 0
    while batch := answer.fetchmany(_BATCH_ROWS):
        count += len(batch)
        if count > MAX_ROWS:
            raise HeadwaterError(f"the query gives more than {MAX_ROWS:,} rows", fix="aggregate in SQL")
        rows += batch[: max(0, wanted.rows - len(rows))]
        for at, values in whole.items():
            values += [row[at] for row in batch]
    return Result(columns, rows, count, whole)


def _is_ordered(sql: str) -> bool:
    """Whether a query says an order; a text that is not one SELECT is refused: it stands in parentheses below."""
    tree: dict[str, Any] = json.loads(serialize_query(sql))
    nodes = [statement["node"] for statement in tree.get("statements", ())]
    if len(nodes) != 1:
        raise ProjectError("SQL: it is not one SELECT", fix="write one SELECT")
    return any(modifier.get("type") == "ORDER_MODIFIER" for node in nodes for modifier in node.get("modifiers", ()))


def revive(connection: DuckDBPyConnection) -> bool:
    """Begin the transaction anew where a failed query has ended it; return whether it was so.

    DuckDB gives a transaction up when a query fails while it runs: what follows it would fail too.
    """
    import duckdb

    try:
        connection.execute("SELECT 1").fetchall()
    except duckdb.TransactionException:
        connection.rollback()
        connection.begin()
        return True
    return False
