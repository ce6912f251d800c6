"""Fragments of DuckDB's SQL as types, and how names and texts are spelled in it.

A fragment is said to be what it is where it is made; a text that nobody vouches for does not pass the type checker
where a fragment is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Iterable

SelectSql = NewType("SelectSql", str)
"""A whole SELECT (or VALUES) without a semicolon: it can stand in parentheses behind FROM."""

PredicateSql = NewType("PredicateSql", str)
"""A condition on the columns of one table: it can stand in parentheses behind WHERE."""

IdentifierSql = NewType("IdentifierSql", str)
"""A name as it is quoted, or several with dots or commas between them."""

NO_SELECT = SelectSql("")
"""Where there is no SELECT: no table, nothing to delete, no rejects."""

NO_PREDICATE = PredicateSql("")
"""Where no condition is said."""


def quote_identifier(name: str) -> IdentifierSql:
    """Quote a name, whatever it holds."""
    return IdentifierSql('"' + name.replace('"', '""') + '"')


def quote_identifiers(names: Iterable[str], prefix: str = "") -> IdentifierSql:
    """Quote names and put commas between them, each behind `prefix`."""
    return IdentifierSql(", ".join(prefix + quote_identifier(name) for name in names))


def quote_dataset(dataset: str) -> IdentifierSql:
    """Quote a dataset's name part by part."""
    return IdentifierSql(".".join(quote_identifier(part) for part in dataset.split(".")))


def quote_text(value: str) -> str:
    """Write a text literal."""
    return "'" + value.replace("'", "''") + "'"
