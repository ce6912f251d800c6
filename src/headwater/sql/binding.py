"""Bind queries against known schemas on empty tables: an unknown column is an error before anything runs."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.core.fragments import SelectSql, quote_identifier
from headwater.core.names import ROOT
from headwater.errors import ProjectError
from headwater.sql.catalogs import Catalogs, quote_place
from headwater.sql.parse import NO_PLACE, place_of
from headwater.sql.sealed import connect_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

_DESCRIBE = "DESCRIBE\n"
_NAMES_NEAR = ("COLUMN_NOT_FOUND", "MISSING_ENTRY")
"""Errors whose candidates are names to write instead."""

_LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)
_TWIN = re.compile(r"(.*)_\d+", re.DOTALL)
_CANDIDATES = re.compile(r"Candidate bindings: (?:: )?(.+?)(?:\n|$)")
_KIND = re.compile(r"^(?:Binder|Catalog|Parser|Conversion|Invalid Input|Not implemented) Error: ")


class Binder:
    """An empty in-memory copy of the datasets, on which queries are bound.

    Datasets are added in the order of the graph, so that every query finds what it reads.
    """

    def __init__(self, catalogs: Catalogs | None = None) -> None:
        self._catalogs = catalogs or Catalogs()
        self._connection: DuckDBPyConnection = connect_sealed(errors_as_json=True)
        self._catalogs.attach(self._connection)

    def add(self, dataset: str, columns: Sequence[Column]) -> None:
        """Make a dataset known, as an empty table with these columns."""
        parts = ", ".join(f"{quote_identifier(column.name)} {column.type}" for column in columns)
        for place in self._catalogs.places(dataset):
            self._catalogs.make_schema(self._connection, place)
            self._connection.execute(f"CREATE OR REPLACE TABLE {quote_place(place)} ({parts})")

    def bind(self, query: SelectSql, domain: str = ROOT) -> tuple[Column, ...]:
        """Return the columns of a query of a domain.

        Raises:
            ProjectError: It does not bind; the message names the nearest columns, line and column are the query's.
        """
        import duckdb

        self._catalogs.use(self._connection, domain)
        try:
            return describe_query(self._connection, query)
        except duckdb.Error as error:
            raise _explain_binding(str(error), query) from None

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()


def describe_query(connection: DuckDBPyConnection, query: SelectSql) -> tuple[Column, ...]:
    """Return a query's columns without running it, those of one name told apart as a table of them would (`id_1`)."""
    columns = _describe(connection, query)
    if len({column.name.casefold() for column in columns}) < len(columns):
        return _describe(connection, SelectSql(f"SELECT * FROM (\n{query}\n)"))
    return columns


def _describe(connection: DuckDBPyConnection, query: SelectSql) -> tuple[Column, ...]:
    return tuple(Column(row[0], row[1]) for row in connection.execute(f"{_DESCRIBE}{query}").fetchall())


def tell_apart(names: Sequence[str]) -> list[str]:
    """Return names as DuckDB gives them to a table: the second `a` is `a_1`; case does not matter."""
    taken: set[str] = set()
    told = []
    for name in names:
        free = next(twin for n in count() if (twin := f"{name}_{n}" if n else name).casefold() not in taken)
        taken.add(free.casefold())
        told.append(free)
    return told


def may_be_doubled(columns: Sequence[Column]) -> bool:
    """Whether a query's own names may be doubled, where `describe_query` gave these: some are another with a number."""
    names = {column.name.casefold() for column in columns}
    return any((twin := _TWIN.fullmatch(name)) and twin[1] in names for name in names)


def _explain_binding(message: str, query: SelectSql) -> ProjectError:
    """Turn an error told as JSON into one with the place in the query and the nearest names."""
    try:
        told = json.loads(message.partition(": ")[2])
    except ValueError:
        return explain_error(message)
    text = str(told["exception_message"])
    what, listed = text.split("\n", 1)[0].strip(), _CANDIDATES.search(text)
    near = str(told.get("candidates", "")).replace(",", ", ") if told.get("error_subtype") in _NAMES_NEAR else ""
    near = listed[1].strip() if listed else near
    fix = f"nearest: {near}" if near else ""
    position = int(told.get("position", NO_PLACE))
    line, column = place_of(query, position - len(_DESCRIBE)) if position < NO_PLACE else (0, 0)
    return ProjectError(f"SQL: {what}", fix=fix, line=line, column=column)


def explain_error(message: str) -> ProjectError:
    """Turn a message of DuckDB's, about a query below one line of ours, into an error with place and nearest names.

    Of a long line DuckDB shows a part only: then the column is unknown.
    """
    what = _KIND.sub("", message.split("\n", 1)[0]).strip()
    near = _CANDIDATES.search(message)
    line, column = _place(message)
    fix = f"nearest: {near[1].strip()}" if near else ""
    return ProjectError(f"SQL: {what}", fix=fix, line=line, column=column)


def _place(message: str) -> tuple[int, int]:
    match = _LINE.search(message)
    if not match:
        return 0, 0
    caret = re.search(r"\n( *)\^", message[match.start() :])
    known = caret and not match[2].startswith("...")
    column = len(caret[1]) - len(f"LINE {match[1]}: ") + 1 if caret and known else 0
    return int(match[1]) - 1, max(column, 0)
