"""A table in DuckDB that takes changes the way a store does, to compare with plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from headwater.contracts import Change, Target
from headwater.core.commit import Column
from headwater.core.fragments import quote_identifier
from headwater.processing.duckdb.materialize import land_query
from headwater.sql.binding import describe_query
from tests.declared import STORES


class Table:
    """One table `kept` and one input `given` in a database of their own.

    Args:
        columns: The input's columns: name to type.
    """

    def __init__(self, columns: dict[str, str]) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")
        self.target = Target(STORES["warehouse"])
        self.give(columns, [])

    def give(self, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Replace the input."""
        parts = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in columns.items())
        self.connection.execute(f"CREATE OR REPLACE TABLE given ({parts})")
        for row in rows:
            self.connection.execute(f"INSERT INTO given VALUES ({', '.join('?' for _ in row)})", list(row))

    def landed(self, query: str = "SELECT * FROM given") -> tuple[str, tuple[Column, ...]]:
        return land_query(query, describe_query(self.connection, query), STORES["warehouse"], "m.a")

    def apply(self, change: Change) -> None:
        """Do what a store does with a change."""
        run = self.connection.execute
        run(f"CREATE OR REPLACE TEMP TABLE rows AS {change.rows.on(self.connection)}")
        parts = ", ".join(f"{quote_identifier(c.name)} {c.type}" for c in change.columns)
        run(f"CREATE TABLE after ({parts})")
        if change.mode != "replace":
            names = ", ".join(quote_identifier(column.name) for column in self.target.columns)
            keep = "TRUE"
            if change.mode == "overwrite_where":
                keep = f"NOT coalesce({change.where}, FALSE)"
            elif change.mode == "merge":
                key = ", ".join(quote_identifier(name) for name in change.key)
                keep = f"({key}) NOT IN (SELECT ({key}) FROM rows)"
                if change.deletes:
                    gone = ", ".join(quote_identifier(name) for name in change.key)
                    keep += f" AND ({key}) NOT IN (SELECT ({gone}) FROM ({change.deletes}))"
                assert run(f"SELECT count(*) - count(DISTINCT ({key})) FROM rows").fetchone() == (0,)
            run(f"INSERT INTO after ({names}) SELECT {names} FROM kept WHERE {keep}")
        run("INSERT INTO after SELECT * FROM rows")
        run("DROP TABLE IF EXISTS kept")
        run("ALTER TABLE after RENAME TO kept")
        self.target = Target(STORES["warehouse"], change.columns, "SELECT * FROM kept")

    def count(self, query: str) -> int:
        row = self.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
        return int(row[0]) if row else 0

    def rows(self, what: str = "*") -> list[tuple[Any, ...]]:
        return sorted(self.connection.execute(f"SELECT {what} FROM kept").fetchall(), key=repr)
