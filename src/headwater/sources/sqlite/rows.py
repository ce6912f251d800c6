"""Rows of SQLite into a temporary table of DuckDB, batch by batch, with what does not fit marked row by row."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.sources.sqlite.types import arrow_type, convert_column
from headwater.sql.exact import text_cast_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.sources.sqlite.catalogue import DbTable

_BATCH_ROWS = 50_000
_SHOWN_CHARACTERS = 80
_EPOCHS = ("EPOCH_S", "EPOCH_MS")


@dataclass(frozen=True, slots=True)
class RowLoader:
    """Loads rows as they are asked for.

    Attributes:
        connection: Where the temporary tables are made.
        columns: The columns to yield.
        unknown: Columns of the table that have no place: a row with a value in one is a reject.
        shows_values: A reason may show the cell that does not fit.
        token: Makes the names of temporary tables unique on the connection.
        lenient: A cell that does not fit is NULL and its row is good.
    """

    connection: DuckDBPyConnection
    columns: tuple[Column, ...]
    unknown: tuple[Column, ...]
    shows_values: bool
    token: str
    lenient: bool = False

    def load(
        self, database: sqlite3.Connection, table: DbTable, where: str, parameters: Sequence[Any], name: str
    ) -> SelectSql:
        """Load the rows of `table` that match into a temporary table; return a SELECT of it.

        Raises:
            sqlite3.Error: SQLite cannot read them.
        """
        there = {column.name.lower(): column.name for column in table.columns}
        names = [there.get(column.name.lower()) for column in (*self.columns, *self.unknown)]
        selected = ", ".join(f"t.{quote_identifier(found)}" if found else "NULL" for found in names) or "NULL"
        query = f"SELECT {selected} FROM {table.sql} AS t{f' WHERE {where}' if where else ''}"
        target = self._table(name)
        try:
            self._fill(database.execute(query, parameters), target)
        except sqlite3.OperationalError as error:
            if "decode" not in str(error).lower():
                raise
            database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            self._fill(database.execute(query, parameters), target)
            database.text_factory = str
        return self._typed(target)

    def drop(self, name: str) -> None:
        """Drop the rows of a chunk."""
        self.connection.execute(f"DROP TABLE IF EXISTS {self._table(name)}")

    def _table(self, name: str) -> str:
        return quote_identifier(f"hw_sqlite_{self.token}_{name}")

    def _fill(self, cursor: sqlite3.Cursor, target: str) -> None:
        import pyarrow as pa

        fields = [(f"c{index}", arrow_type(column.type)) for index, column in enumerate(self.columns)]
        schema = pa.schema([*fields, ("_rule", pa.string()), ("_reason", pa.string())])
        view = f"hw_batch_{self.token}"
        self.connection.register(view, schema.empty_table())
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT * FROM {view}")
        while rows := cursor.fetchmany(_BATCH_ROWS):
            self.connection.unregister(view)
            self.connection.register(view, self._batch(rows, schema))
            self.connection.execute(f"INSERT INTO {target} SELECT * FROM {view}")
        self.connection.unregister(view)

    def _batch(self, rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.DbTable:
        import pyarrow as pa

        cells = [list(column) for column in zip(*rows, strict=True)]
        arrays = []
        reasons: dict[int, list[str]] = {}
        for column, values in zip(self.columns, cells, strict=False):
            array, unfit = convert_column(values, column.type)
            arrays.append(array)
            for row, value in () if self.lenient else unfit.items():
                reasons.setdefault(row, []).append(self._reason(column, value))
        rules: list[str | None] = [None] * len(rows)
        told: list[str | None] = [None] * len(rows)
        for column, values in zip(self.unknown, cells[len(self.columns) :], strict=True):
            for row, value in enumerate(values):
                if value is not None:
                    rules[row], told[row] = "unknown_column", f"column {quote_identifier(column.name)} is not declared"
        for row, found in reasons.items():
            rules[row], told[row] = "type", "; ".join(found)
        arrays += [pa.array(rules, pa.string()), pa.array(told, pa.string())]
        return pa.table(arrays, schema=schema)

    def _reason(self, column: Column, value: Any) -> str:
        storage = {int: "integer", float: "real", str: "text", bytes: "blob"}[type(value)]
        shown = ""
        if self.shows_values:
            text = repr(value).encode("utf-8", "replace").decode()
            shown = f" {text[:_SHOWN_CHARACTERS]}{'…' if len(text) > _SHOWN_CHARACTERS else ''}"
        return f"column {quote_identifier(column.name)} holds {storage}{shown}, which is not a {column.type}"

    def _typed(self, target: str) -> SelectSql:
        """Cast the columns that travel as text; a text that does not fit makes the row a reject, too."""
        selected, failed = [], []
        for index, column in enumerate(self.columns):
            name = quote_identifier(column.name)
            if str(arrow_type(column.type)) == "string" and column.type not in ("VARCHAR", "JSON"):
                cast = text_cast_sql(f"c{index}", column.type)
                selected.append(f"{cast} AS {name}")
                reason = quote_text(f"column {name} is not a {column.type}")
                if self.lenient:
                    continue
                failed.append(f"CASE WHEN c{index} IS NOT NULL AND {cast} IS NULL THEN {reason} END")
            else:
                selected.append(f"c{index} AS {name}")
        more = f"nullif(concat_ws('; ', {', '.join(failed)}), '')" if failed else "NULL::VARCHAR"
        return SelectSql(
            f"SELECT {', '.join(selected)}, coalesce(_rule, CASE WHEN {more} IS NOT NULL THEN 'type' END) AS _rule, "
            f"coalesce(_reason, {more}) AS _reason FROM {target}"
        )
