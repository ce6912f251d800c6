"""What a query reads, found by DuckDB's own parser, so that it can never disagree with the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from headwater.errors import ProjectError
from headwater.sql.placeholders import quote_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VOLATILE = frozenset({
    "current_date", "current_localtime", "current_localtimestamp", "current_time", "current_timestamp",
    "current_user", "currval", "gen_random_uuid", "get_current_time", "get_current_timestamp", "localtime",
    "localtimestamp", "nextval", "now", "random", "setseed", "today", "transaction_timestamp", "txid_current",
    "uuid", "uuidv4", "uuidv7", "version",
})  # fmt: skip
"""Functions whose value depends on more than their arguments."""

READERS = frozenset({
    "arrow_scan", "delta_scan", "glob", "iceberg_scan", "mysql_query", "mysql_scan", "pandas_scan",
    "parquet_file_metadata", "parquet_metadata", "parquet_scan", "parquet_schema", "postgres_query",
    "postgres_scan", "query", "query_table", "read_avro", "read_blob", "read_csv", "read_csv_auto", "read_json",
    "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto",
    "read_ndjson_objects", "read_parquet", "read_text", "read_xlsx", "sniff_csv", "sqlite_scan", "st_read",
})  # fmt: skip
"""Table functions that read data no edge of the graph leads to."""

NO_PLACE = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a query and the line and column (from 1) of its first mention; line 0 when the parser does not say."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a query reads.

    Attributes:
        tables: Datasets in the order of first mention, as `namespace.dataset` (a bare name is `main.name`).
        volatile: Volatile functions it calls.
        readers: Table functions that read from outside the graph.
    """

    tables: tuple[Place, ...]
    volatile: tuple[Place, ...]
    readers: tuple[Place, ...]


@cache
def _connection() -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"threads": 1})


def serialize_query(text: str) -> str:
    """Return DuckDB's parse tree of a text as JSON; a text that cannot be parsed gives `{"error": true, …}`."""
    row = _connection().cursor().execute(f"SELECT json_serialize_sql({quote_text(text)})").fetchone()
    return str(row[0]) if row else "{}"


def parse_query(text: str) -> Parsed:
    """Parse one SELECT and find what it reads.

    CTEs, aliases, table functions and subqueries are told apart from datasets the way DuckDB's binder does.

    Raises:
        ProjectError: The text is not exactly one SELECT; line and column are those of the text.
    """
    tree: dict[str, Any] = json.loads(serialize_query(text))
    if tree.get("error"):
        raise _syntax_error(text, tree)
    statements = tree["statements"]
    if len(statements) != 1:
        found = "is empty" if not statements else f"holds {len(statements)} statements"
        raise ProjectError(f"a model is one SELECT; this file {found}", fix="write one SELECT without a second one")
    reader = _Reader(text)
    reader.walk(statements[0]["node"], frozenset())
    return Parsed(tuple(reader.tables.values()), tuple(reader.volatile.values()), tuple(reader.readers.values()))


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Return line and column (from 1) of a byte offset in a text; (0, 0) for the parser's "nowhere"."""
    if offset >= NO_PLACE:
        return 0, 0
    before = text.encode()[:offset].decode(errors="replace")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax_error(text: str, tree: dict[str, Any]) -> ProjectError:
    message = str(tree.get("error_message", "cannot be parsed"))
    if tree.get("error_type") == "not implemented":
        return ProjectError(
            "a model is one SELECT; this is another kind of statement",
            fix="write a SELECT; Headwater creates the table (a PIVOT statement: use the clause FROM t PIVOT (…))",
        )
    line, column = place_of(text, int(tree.get("position", 0) or 0))
    return ProjectError(f"SQL: {message}", fix="mend the query's syntax", line=line, column=column)


class _Reader:
    """Walks a parse tree, holding the names that are CTEs where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tables: dict[str, Place] = {}
        self.volatile: dict[str, Place] = {}
        self.readers: dict[str, Place] = {}

    def walk(self, node: Any, ctes: frozenset[str]) -> None:
        if isinstance(node, list):
            for item in node:
                self.walk(item, ctes)
        elif isinstance(node, dict):
            self._walk_node(node, ctes)

    def _walk_node(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        kind = node.get("type")
        if kind == "RECURSIVE_CTE_NODE" and node.get("cte_name"):
            ctes = ctes | {str(node["cte_name"]).lower()}
        if kind == "CTE_NODE":
            self._walk_cte_node(node, ctes)
            return
        if "cte_map" in node:
            ctes = self._walk_ctes(node["cte_map"]["map"], ctes)
        if kind == "BASE_TABLE":
            self._add_table(node, ctes)
        elif kind == "FUNCTION":
            self._note(self.volatile, VOLATILE, node.get("function_name", ""), node)
        elif kind == "COLUMN_REF" and len(node.get("column_names", ())) == 1:
            self._note(self.volatile, VOLATILE, node["column_names"][0], node)
        elif kind == "TABLE_FUNCTION":
            self._note(self.readers, READERS, node["function"].get("function_name", ""), node)
        for key, value in node.items():
            if key != "cte_map" and isinstance(value, dict | list):
                self.walk(value, ctes)

    def _walk_ctes(self, entries: list[dict[str, Any]], ctes: frozenset[str]) -> frozenset[str]:
        """A CTE sees those before it; itself only when it is recursive (then its node names it)."""
        for entry in entries:
            self.walk(entry["value"], ctes)
            ctes = ctes | {str(entry["key"]).lower()}
        return ctes

    def _walk_cte_node(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        self.walk(node.get("query"), ctes)
        self.walk(node.get("child"), ctes | {str(node.get("cte_name", "")).lower()})

    def _add_table(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        catalog, schema, table = node["catalog_name"], node["schema_name"], node["table_name"]
        if not schema and table.lower() in ctes:
            return
        name = ".".join(part for part in (catalog, schema or "main", table) if part)
        self._note_name(self.tables, name, node)

    def _note(self, into: dict[str, Place], known: frozenset[str], name: str, node: dict[str, Any]) -> None:
        if name.lower() in known:
            self._note_name(into, name.lower(), node)

    def _note_name(self, into: dict[str, Place], name: str, node: dict[str, Any]) -> None:
        if name not in into:
            into[name] = Place(name, *place_of(self.text, int(node.get("query_location", NO_PLACE))))
