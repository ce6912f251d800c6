"""Spelling of names and texts in DuckDB's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def quote_identifier(name: str) -> str:
    """Quote a name, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def quote_identifiers(names: Iterable[str], prefix: str = "") -> str:
    """Quote names and put commas between them, each behind `prefix`."""
    return ", ".join(prefix + quote_identifier(name) for name in names)


def quote_dataset(dataset: str) -> str:
    """Quote `namespace.dataset` part by part."""
    namespace, _, name = dataset.partition(".")
    return f"{quote_identifier(namespace)}.{quote_identifier(name)}"


def quote_text(value: str) -> str:
    """Write a text literal."""
    return "'" + value.replace("'", "''") + "'"
