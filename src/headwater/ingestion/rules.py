"""The rules of `prepare`, compiled in the order written: each rule is one layer over the one before."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import IdentifierSql, SelectSql, quote_identifier, quote_text
from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.ingestion.layers import DEDUPED, INTERNAL, cast_layer, replace_layer
from headwater.ingestion.masking import mask_sql
from headwater.sql.exact import EPOCHS, FLOATS, exact_cast_sql, exact_text
from headwater.sql.sealed import connect_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.core.specs import PrepareRule

WHITESPACE = " \t\n\r\v\f\u00a0"
"""What `trim` removes at both ends of a text."""


@dataclass
class Current:
    """One column as it stands between two rules: its name, its type and the source's columns it was made from."""

    name: str
    type: str
    origins: frozenset[str]
    source_type: str = ""
    masked: bool = False


@dataclass
class RuleCompiler:
    """Compiles rules over a layer; afterwards `columns` and `inner` are the prepared row.

    Attributes:
        table: The table, for messages.
        columns: The columns between two rules.
        inner: The SELECT so far.
        located: Rows have `_file` and `_line`.
        hidden: Source columns that `mask` or `drop` hides, and so must not show in `raw`.
        masked: Internal columns that hold masked values, for the key of a reject.
        lenient: A value that does not fit is NULL (`schema: discard_value`).
        dedupes: Whether a `dedupe` was among the rules.
    """

    table: str
    columns: list[Current]
    inner: SelectSql
    located: bool
    hidden: set[str] = field(default_factory=set)
    masked: list[str] = field(default_factory=list)
    dedupes: bool = False
    lenient: bool = False
    _binder: DuckDBPyConnection | None = None

    @classmethod
    def start(
        cls, table: str, columns: Sequence[Column], inner: SelectSql, *, located: bool, lenient: bool = False
    ) -> RuleCompiler:
        """Begin with the columns as the source yields them; numbers declared as epochs become instants."""
        current = [Current(c.name, c.type, frozenset({c.name}), c.source_type or c.type) for c in columns]
        compiler = cls(table, current, inner, located, lenient=lenient)
        epochs = {c.name: c.type for c in columns if c.type in EPOCHS}
        for column in compiler.columns:
            column.type = EPOCHS[column.type][0] if column.type in EPOCHS else column.type
        compiler._cast(epochs)
        return compiler

    def apply(self, index: int, rule: PrepareRule) -> None:
        """Apply one rule; `index` is its place in the list."""
        compile_rule: Callable[[int, Any], None] = getattr(self, f"_apply_{rule.kind}")
        compile_rule(index, getattr(rule, rule.kind))

    def find(self, name: str, where: str) -> Current:
        """Return a column by name, whatever its case."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        names = [column.name for column in self.columns]
        raise ProjectError(
            f"{self.table}: {where} names column {name!r}, which is not there",
            fix=suggest(name, names, f"columns at this point: {', '.join(names)}"),
        )

    def bind(self, expressions: Mapping[str, str], where: str) -> dict[str, str]:
        """Return the type of each expression over the current columns, without reading a row."""
        return {
            name: self._describe(f"SELECT ({sql}\n) AS x FROM ({{empty}})", f"{where} {name!r}")
            for name, sql in expressions.items()
        }

    def _describe(self, query: str, where: str) -> str:
        """Bind a query over no rows (`{empty}`) and return the type of its first column."""
        import duckdb

        if self._binder is None:
            self._binder = connect_sealed()
        nulls = ", ".join(f"CAST(NULL AS {c.type}) AS {quote_identifier(c.name)}" for c in self.columns)
        text = query.replace("{empty}", f"SELECT {nulls} LIMIT 0")
        try:
            self._binder.execute(text)
            bound = self._binder.execute(f"DESCRIBE {text}").fetchone()
        except duckdb.Error as error:
            raise ProjectError(
                f"{self.table}: {where} is not valid: {str(error).partition(chr(10))[0]}",
                fix=f"columns at this point: {', '.join(c.name for c in self.columns)}",
            ) from None
        return str(bound[1]) if bound else ""

    def close(self) -> None:
        """Let go of the connection that `bind` used."""
        if self._binder is not None:
            self._binder.close()
            self._binder = None

    def mentioned(self, sql: str) -> frozenset[str]:
        """Return the source columns an expression may read: those whose name stands in it, all when it has a `*`."""
        whole_row = re.search(r"\*\s*\)|columns\s*\(|unnamed_subquery", sql, re.IGNORECASE)
        text = sql.replace('""', '"')
        found = [c for c in self.columns if whole_row or _mentions(text, c.name)]
        return frozenset(origin for c in found for origin in c.origins)

    # ------------------------------------------------------------------------------------------------- the rules

    def _apply_trim(self, index: int, names: list[str]) -> None:
        if names == ["all"]:
            chosen = [c for c in self.columns if c.type == "VARCHAR"]
        else:
            chosen = [self.find(name, "trim") for name in names]
        for column in chosen:
            if column.type != "VARCHAR":
                raise ProjectError(
                    f"{self.table}: trim names column {column.name!r}, which is {column.type}, not text",
                    fix="leave it out, or write trim: all for every text column",
                )
        if chosen:
            cut = quote_text(WHITESPACE)
            self.inner = replace_layer(self.inner, {c.name: f"trim({quote_identifier(c.name)}, {cut})" for c in chosen})

    def _apply_rename(self, index: int, names: dict[str, str]) -> None:
        renamed = [(self.find(old, "rename"), new) for old, new in names.items()]
        moving = {id(column) for column, _ in renamed}
        taken = {c.name.lower() for c in self.columns if id(c) not in moving}
        for _, new in renamed:
            check_name(self.table, new)
            if new.lower() in taken:
                raise ProjectError(f"{self.table}: rename makes a second column {new!r}", fix="choose another name")
            taken.add(new.lower())
        pairs = ", ".join(f"{quote_identifier(c.name)} AS {quote_identifier(new)}" for c, new in renamed)
        self.inner = SelectSql(f"SELECT * RENAME ({pairs}) FROM ({self.inner})")
        for column, new in renamed:
            column.name = new

    def _apply_cast(self, index: int, casts: dict[str, str]) -> None:
        self._cast({self.find(name, "cast").name: type_text for name, type_text in casts.items()})

    def _cast(self, casts: dict[str, str]) -> None:
        tried = {}
        for name, type_text in casts.items():
            column = self.find(name, "cast")
            cast = exact_cast_sql(quote_identifier(name), column.type, type_text, from_boolean=True)
            tried[name] = (cast, type_text)
            column.type = "TIMESTAMP WITH TIME ZONE" if type_text in EPOCHS else type_text
        self.inner = cast_layer(self.inner, tried, "cast", lenient=self.lenient)

    def _apply_fill(self, index: int, values: dict[str, Any]) -> None:
        self._replace_values("fill", {name: [value] for name, value in values.items()}, "coalesce({0}, {1})")

    def _apply_null_if(self, index: int, values: dict[str, Any]) -> None:
        listed = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        self._replace_values("null_if", listed, "CASE WHEN {0} IN ({1}) THEN NULL ELSE {0} END")

    def _replace_values(self, rule: str, values: dict[str, list[Any]], template: str) -> None:
        replaced = {}
        for name, given in values.items():
            column = self.find(name, rule)
            literals = ", ".join(self._literal(value, column, rule) for value in given)
            replaced[column.name] = template.format(quote_identifier(column.name), literals)
        self.inner = replace_layer(self.inner, replaced)

    def _literal(self, value: Any, column: Current, rule: str) -> str:
        """Return a value as a literal of a column's type, which has to hold it exactly."""
        where = f"the value that {rule} gives column {column.name!r}"
        literal = f"CAST({value_sql(value)} AS {column.type})"
        self._describe(f"SELECT {literal}", where)
        if value is None:
            return literal
        if (text := exact_text(str(value), column.type)) is None:
            raise ProjectError(
                f"{self.table}: {where} is {value}, which no {column.type} holds exactly",
                fix="write a value of the column's type, or cast the column before",
            )
        return literal if text == str(value) else f"CAST({quote_text(text)} AS {column.type})"

    def _apply_round(self, index: int, places: dict[str, int]) -> None:
        rounded = {}
        for name, digits in places.items():
            column = self.find(name, "round")
            if column.type not in FLOATS and not column.type.startswith("DECIMAL("):
                raise ProjectError(
                    f"{self.table}: round names column {name!r}, which is {column.type}, no decimal or double",
                    fix="cast it to a type that holds all its digits before",
                )
            rounded[column.name] = f"round({quote_identifier(column.name)}, {digits})"
        types = self.bind(rounded, "round of column")
        self.inner = replace_layer(self.inner, rounded)
        for name, type_text in types.items():
            self.find(name, "round").type = type_text

    def _apply_drop(self, index: int, names: list[str]) -> None:
        dropped = [self.find(name, "drop") for name in names]
        if len(dropped) >= len(self.columns):
            raise ProjectError(f"{self.table}: drop leaves no column", fix="keep at least one")
        for column in dropped:
            self.hidden |= column.origins
        gone = ", ".join(quote_identifier(c.name) for c in dropped)
        self.inner = SelectSql(f"SELECT * EXCLUDE ({gone}) FROM ({self.inner})")
        self.columns = [c for c in self.columns if c not in dropped]

    def _apply_mask(self, index: int, mask: Any) -> None:
        columns = [self.find(name, "mask") for name in mask.columns]
        self.inner = replace_layer(self.inner, {c.name: mask_sql(quote_identifier(c.name), index) for c in columns})
        copies = {f"{INTERNAL}masked_{index}_{place}": quote_identifier(c.name) for place, c in enumerate(columns)}
        self.inner = replace_layer(self.inner, {}, copies)
        self.masked += copies
        for column in columns:
            self.hidden |= column.origins
            column.type = "VARCHAR"
            column.masked = True

    def _apply_dedupe(self, index: int, dedupe: Any) -> None:
        by = ", ".join(quote_identifier(self.find(name, "dedupe").name) for name in dedupe.by)
        order = [quote_identifier(c.name) for c in self.columns]
        if self.located:
            order[:0] = [IdentifierSql("_file"), IdentifierSql("_line")]
        if dedupe.order:
            self._describe(f"SELECT 1 FROM ({{empty}}) ORDER BY {dedupe.order}\n", "the order of dedupe")
            order.insert(0, dedupe.order)
        rank = f"row_number() OVER (PARTITION BY _rule IS NULL, {by} ORDER BY {', '.join(order)})"
        ranked = replace_layer(self.inner, {}, {f"{INTERNAL}rank": rank})
        lost = f"CASE WHEN _rule IS NULL AND {INTERNAL}rank > 1 THEN {quote_text(DEDUPED)} ELSE _rule END AS _rule"
        self.inner = SelectSql(f"SELECT * EXCLUDE ({INTERNAL}rank) REPLACE ({lost}) FROM ({ranked})")
        self.dedupes = True

    def _apply_sql(self, index: int, expressions: dict[str, str]) -> None:
        types = self.bind(expressions, "sql of column")
        known = {c.name.lower(): c for c in self.columns}
        replaced = {known[n.lower()].name: f"({sql}\n)" for n, sql in expressions.items() if n.lower() in known}
        added = {n: f"({sql}\n)" for n, sql in expressions.items() if n.lower() not in known}
        origins = {n: self.mentioned(sql) for n, sql in expressions.items()}
        self.inner = replace_layer(self.inner, replaced, added)
        for name, type_text in types.items():
            if column := known.get(name.lower()):
                column.type = type_text
                column.origins |= origins[name]
            else:
                check_name(self.table, name)
                self.columns.append(Current(name, type_text, origins[name]))


def _mentions(sql: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE) is not None


def value_sql(value: Any) -> str:
    """Return a literal whose type the cast around it decides."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value) if isinstance(value, int) else quote_text(str(value))


RESERVED = frozenset({"_batch", "_loaded_at", "_file", "_line", "_raw", "_rule", "_reason", "_reject_key"})


def check_name(table: str, name: str) -> None:
    """Refuse names that Headwater uses itself.

    Raises:
        ProjectError: The name is taken.
    """
    if name.lower() in RESERVED or name.lower().startswith(INTERNAL):
        raise ProjectError(f"{table}: column {name!r} has a name that is reserved", fix="rename it at the source")


def check_names(table: str, names: Iterable[str]) -> None:
    """Refuse reserved names and names that differ only in case.

    Raises:
        ProjectError: A name is taken, or two names are the same for a database.
    """
    seen: dict[str, str] = {}
    for name in names:
        check_name(table, name)
        if twin := seen.get(name.lower()):
            raise ProjectError(
                f"{table}: columns {twin!r} and {name!r} differ only in case", fix="declare one of them, or rename one"
            )
        seen[name.lower()] = name
