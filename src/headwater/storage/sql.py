"""Spelling of names and values in DuckDB's SQL, shared by the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def quote_name(name: str) -> str:
    """Return an identifier in double quotes: any text is a valid name."""
    return '"' + name.replace('"', '""') + '"'


def quote_names(names: Iterable[str], prefix: str = "") -> str:
    """Return identifiers separated by commas, each behind `prefix`."""
    return ", ".join(prefix + quote_name(name) for name in names)


def quote_text(text: str) -> str:
    """Return a text literal in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def split_dataset(dataset: str) -> tuple[str, str]:
    """Return the physical namespace and the name of a dataset: `a.b.c` is `("a__b", "c")`, `x` is `("main", "x")`."""
    namespace, _, name = dataset.rpartition(".")
    return namespace.replace(".", "__") or "main", name


def match_keys(key: Iterable[str], one: str, other: str) -> str:
    """Return the predicate that two relations hold the same key."""
    return " AND ".join(f"{one}.{quote_name(name)} = {other}.{quote_name(name)}" for name in key)
