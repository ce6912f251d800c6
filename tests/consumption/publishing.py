"""A declaration of kind `postgres`, published from tables of an in-memory DuckDB."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

from headwater.consumption.postgres.consumer import PostgresTables, PostgresTablesSpec
from headwater.contracts.consumer import Consumption
from headwater.core.consumer import DeclaredConsumer
from headwater.core.graph import Location

if TYPE_CHECKING:
    from headwater.contracts.consumer import Made


def new_duckdb() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA marts")
    return connection


@dataclass
class Publishing:
    """One declaration; `tables` is what stands under `tables:`."""

    dsn: str
    tables: dict[str, Any]
    schema: str = "gold"
    name: str = "dashboards.warehouse"
    duck: duckdb.DuckDBPyConnection = field(default_factory=new_duckdb)
    more: dict[str, Any] = field(default_factory=dict)

    def consumer(self) -> PostgresTables:
        spec = PostgresTablesSpec.model_validate(
            {"connection": self.dsn, "database_schema": self.schema, "tables": self.tables, **self.more}
        )
        place = Location("dashboards/warehouse.yaml", 1)
        return PostgresTables(DeclaredConsumer(self.name, "postgres", spec, place, "/nowhere"))

    def give(self, sql: str, table: str = "marts.t") -> Publishing:
        self.duck.execute(f"CREATE OR REPLACE TABLE {table} AS {sql}")
        return self

    def publish(self, folder: Path | None = None) -> Made:
        consumer = self.consumer()
        with tempfile.TemporaryDirectory() as scratch:
            made = folder or Path(scratch, "made")
            Path(scratch, "t").mkdir()
            made.mkdir(exist_ok=True, parents=True)
            queries = {query.name: query.sql for query in consumer.queries()}
            return consumer.make(
                Consumption(self.duck, queries, {}, made, datetime(2026, 1, 1, tzinfo=UTC), Path(scratch, "t"))
            )

    def declared(self, **changes: Any) -> Publishing:
        return replace(self, **changes)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True, options="-c TimeZone=UTC") as session:
            cursor = session.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def types(self, table: str = "gold.t") -> dict[str, str]:
        """Return the types of a table's columns, in their order."""
        found = self.ask(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return {str(name): str(type_text) for name, type_text in found}
