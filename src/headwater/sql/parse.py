"""What a query reads, found by DuckDB's own parser, so that it can never disagree with the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_text
from headwater.core.near import find_near
from headwater.errors import ProjectError
from headwater.sql.functions import ALLOWED, Why
from headwater.sql.guard import NOWHERE, find_refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

VOLATILE = frozenset({
    "current_date", "current_localtime", "current_localtimestamp", "current_time", "current_timestamp",
    "current_user", "currval", "gen_random_uuid", "get_current_time", "get_current_timestamp", "localtime",
    "localtimestamp", "nextval", "now", "random", "setseed", "today", "transaction_timestamp", "txid_current",
    "uuid", "uuidv4", "uuidv7", "version",
})  # fmt: skip
"""Functions whose value depends on more than their arguments."""

NO_PLACE = NOWHERE

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a query and the line and column (from 1) of its first mention; line 0 when the parser does not say."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Refused(Mention):
    """What a query calls and may not: a function's name in small letters, anything else in capitals."""

    why: Why = Why.UNKNOWN

    def error(self, *, declared: bool = False) -> ProjectError:
        """Return it as an error at its place; `declared`: it stands in the project, not in somebody's question."""
        called = self.name if self.name.isupper() else f"{self.name}()"
        what, fix = str(self.why), self.why.fix
        if self.why is Why.UNKNOWN and (near := find_near(self.name, ALLOWED)):
            fix = f"did you mean {near}()?"
        if declared and self.why is Why.READS:
            what, fix = "reads data that no source declares", "declare it in sources/ and name the dataset here"
        return ProjectError(f"{called} {what}", fix=fix, line=self.line, column=self.column)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a query reads.

    Attributes:
        tables: Datasets in the order of first mention, as `namespace.dataset` (a bare name is `main.name`).
        volatile: Volatile functions it calls.
        refused: What it calls and may not: what reaches outside the graph, or changes the session.
        mentions: Every place where a dataset is named: offset in the text (in characters) and name; the offset is -1
            where its namespace is not written there.
        heads: Every place where a name of several parts stands: offset in the text (in characters) and first part.
        bare: Datasets that are named without a namespace.
    """

    tables: tuple[Mention, ...]
    volatile: tuple[Mention, ...]
    refused: tuple[Refused, ...]
    mentions: tuple[tuple[int, str], ...] = ()
    heads: tuple[tuple[int, str], ...] = ()
    bare: tuple[Mention, ...] = ()


@cache
def _connection() -> DuckDBPyConnection:
    from headwater.sql.sealed import connect_sealed

    return connect_sealed()


@cache
def aggregate_functions() -> frozenset[str]:
    """Return the names of DuckDB's aggregate functions."""
    asked = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    return frozenset(str(name) for (name,) in _connection().cursor().execute(asked).fetchall())


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
    try:
        return _read(text, _parse_select(text))
    except RecursionError:
        raise ProjectError("SQL: it is nested too deeply", fix="take it apart, by WITH or in models") from None


def parse_expression(text: str, *, order: bool = False) -> Parsed:
    """Parse one expression, or with `order` what stands behind ORDER BY; it can then stand in parentheses anywhere.

    Raises:
        ProjectError: The text is anything else, as `1) FROM t --` is; line and column are those of the text.
    """
    try:
        alone, node = _parse_alone(text, order)
        return _read(alone, node)
    except RecursionError:
        raise ProjectError("SQL: it is nested too deeply", fix="take it apart") from None


def parse_tree(text: str) -> dict[str, Any]:
    """Return DuckDB's parse tree of one expression.

    Raises:
        ProjectError: The text is anything else.
    """
    try:
        tree: dict[str, Any] = _parse_alone(text, order=False)[1]["select_list"][0]
    except RecursionError:
        raise ProjectError("SQL: it is nested too deeply", fix="take it apart") from None
    return tree


def write_tree(tree: dict[str, Any]) -> str:
    """Return the expression that a parse tree is of.

    Raises:
        ProjectError: DuckDB writes an expression that it reads as another one.
    """
    statement = json.loads(serialize_query("SELECT 1"))
    statement["statements"][0]["node"]["select_list"] = [tree]
    sql = f"SELECT json_deserialize_sql({quote_text(json.dumps(statement))})"
    row = _connection().cursor().execute(sql).fetchone()
    text = str(row[0]).removeprefix("SELECT ") if row else ""
    if without_places(parse_tree(text)) != without_places(tree):
        raise ProjectError(f"the expression {text} has no spelling of its own", fix="compute it in a model")
    return text


def without_places(tree: Any) -> Any:
    """Return a parse tree without the places of its nodes in a text."""
    if isinstance(tree, dict):
        return {key: without_places(value) for key, value in tree.items() if key != "query_location"}
    return [without_places(item) for item in tree] if isinstance(tree, list) else tree


def _parse_alone(text: str, order: bool) -> tuple[str, dict[str, Any]]:
    """Return a query that is an expression alone, and its tree."""
    before, around = ("SELECT 1 ORDER BY ", "SELECT rank() OVER (ORDER BY ") if order else ("SELECT ", "SELECT (")
    alone = f"{before}{text}\n"
    node = _parse_select(alone)
    _parse_select(f"{around}{text}\n)")
    if not _is_expression(node, ["ORDER_MODIFIER"] if order else []):
        raise ProjectError("it is not one expression", fix="write one expression over the columns of a row")
    return alone, node


def _is_expression(node: dict[str, Any], modifiers: list[str]) -> bool:
    """Whether a query is one expression and nothing else, but for modifiers."""
    bare = _parse_select("SELECT 1")
    clauses = ("cte_map", "from_table", "where_clause", "group_expressions", "having", "sample", "qualify")
    if node["type"] != bare["type"] or [modifier["type"] for modifier in node["modifiers"]] != modifiers:
        return False
    return len(node["select_list"]) == 1 and all(
        without_places(node[clause]) == without_places(bare[clause]) for clause in clauses
    )


def _parse_select(text: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(serialize_query(text))
    if tree.get("error"):
        raise _syntax_error(text, tree)
    statements = tree["statements"]
    if len(statements) != 1:
        found = "is empty" if not statements else f"holds {len(statements)} statements"
        raise ProjectError(f"a model is one SELECT; this file {found}", fix="write one SELECT without a second one")
    node: dict[str, Any] = statements[0]["node"]
    return node


def _read(text: str, node: dict[str, Any]) -> Parsed:
    reader = _Reader(text)
    reader.walk(node, {})
    refused = {Refused(name, *place_of(text, offset), why) for name, why, offset in find_refused(node)}
    return Parsed(
        _in_order(reader.tables),
        _in_order(reader.volatile),
        tuple(sorted(refused, key=_position)),
        tuple(sorted(reader.mentions)),
        tuple(sorted(reader.heads)),
        _in_order(reader.bare),
    )


def fold_name(name: str) -> str:
    """Return a name as DuckDB compares it: only A to Z are the same as a to z."""
    return name.translate(_LOWER)


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
    before = text[: int(tree.get("position", 0) or 0)]
    line, column = place_of(text, len(before.encode()))
    return ProjectError(f"SQL: {message}", fix="mend the query's syntax", line=line, column=column)


@dataclass(slots=True)
class _Cte:
    """A CTE: its body, the CTEs that the body sees, and whether anything reads it."""

    body: Any
    scope: Mapping[str, _Cte | None]
    read: bool = False


class _Reader:
    """Walks a parse tree with the CTEs that are known where it stands; None stands for a recursive one in itself.

    A CTE's body is walked when something reads it: like DuckDB's binder, one that nobody reads is passed over.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tables: dict[str, Mention] = {}
        self.volatile: dict[str, Mention] = {}
        self.mentions: set[tuple[int, str]] = set()
        self.heads: set[tuple[int, str]] = set()
        self.bare: dict[str, Mention] = {}

    def walk(self, node: Any, scope: Mapping[str, _Cte | None]) -> None:
        if isinstance(node, list):
            for item in node:
                self.walk(item, scope)
        elif isinstance(node, dict):
            self._walk_node(node, scope)

    def _walk_node(self, node: dict[str, Any], scope: Mapping[str, _Cte | None]) -> None:
        kind = node.get("type")
        for entry in node["cte_map"]["map"] if "cte_map" in node else ():
            scope = {**scope, fold_name(str(entry["key"])): _Cte(entry["value"], scope)}
        if kind == "RECURSIVE_CTE_NODE":
            self.walk(node["left"], scope)
            self.walk(node["right"], {**scope, fold_name(str(node["cte_name"])): None})
            return
        if kind == "BASE_TABLE":
            self._read_table(node, scope)
        elif kind == "FUNCTION":
            self._note(self.volatile, VOLATILE, node.get("function_name", ""), node)
        elif kind == "COLUMN_REF" and len(node.get("column_names", ())) == 1:
            self._note(self.volatile, VOLATILE, node["column_names"][0], node)
        for key, value in node.items():
            if key != "cte_map" and isinstance(value, dict | list):
                self.walk(value, scope)

    def _read_table(self, node: dict[str, Any], scope: Mapping[str, _Cte | None]) -> None:
        catalog, schema, table = node["catalog_name"], node["schema_name"], node["table_name"]
        if fold_name(schema) in ("", "recurring") and fold_name(table) in scope:
            cte = scope[fold_name(table)]
            if cte is not None and not cte.read:
                cte.read = True
                self.walk(cte.body, cte.scope)
            return
        name = ".".join(part for part in (catalog, schema or "main", table) if part)
        self._note_name(self.tables, name, node)
        if not schema and not catalog:
            self._note_name(self.bare, name, node)
        offset = int(node.get("query_location", NO_PLACE))
        at = len(self.text.encode()[:offset].decode(errors="replace")) if schema and offset < NO_PLACE else -1
        self.mentions.add((-1 if catalog else at, name))
        if at >= 0:
            self.heads.add((at, catalog or schema))

    def _note(self, into: dict[str, Mention], known: frozenset[str], name: str, node: dict[str, Any]) -> None:
        if name.lower() in known:
            self._note_name(into, name.lower(), node)

    def _note_name(self, into: dict[str, Mention], name: str, node: dict[str, Any]) -> None:
        found = Mention(name, *place_of(self.text, int(node.get("query_location", NO_PLACE))))
        into[name] = min(into.get(name, found), found, key=_position)


def _position(place: Mention) -> tuple[int, int]:
    return place.line, place.column


def _in_order(places: dict[str, Mention]) -> tuple[Mention, ...]:
    return tuple(sorted(places.values(), key=_position))
