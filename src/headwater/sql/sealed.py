"""Databases in memory that reach nothing outside: for parsing, binding, and SQL over rows that are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def connect_sealed(*, errors_as_json: bool = False) -> DuckDBPyConnection:
    """Return an empty database without files, extensions or Python objects to read; its settings are locked."""
    import duckdb

    connection = duckdb.connect(
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    if errors_as_json:
        connection.execute("SET errors_as_json = true")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
