"""Preparation of a chunk: the rules of a table become one projection that also says which rows are rejects.

Emits SQL and writes nothing. The caller materializes the projection once (`CREATE TEMP TABLE c AS …`), then takes
`good_rows` and `rejected_rows` of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.contracts import CHANGE_COLUMNS, DELETED_AT
from headwater.core.commit import Column
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.policies import LoadMode, SchemaPolicy
from headwater.core.types import Fidelity, Landing, landed
from headwater.errors import ProjectError
from headwater.ingestion.layers import DEDUPED, INTERNAL, cast_layer, reject_layer, replace_layer, spare_deletes
from headwater.ingestion.rules import Current, RuleCompiler, check_names
from headwater.sql.exact import exact_cast_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headwater.core.specs import IngestSpec
    from headwater.core.stores import DeclaredStore
    from headwater.ingestion.policy import SchemaDecision

_SOURCE = f"{INTERNAL}source"
_UNREADABLE = f"{INTERNAL}unreadable"
_NUL = "␀"


@dataclass(frozen=True, slots=True)
class Preparation:
    """A table's compiled preparation.

    Attributes:
        columns: The landed columns, without system columns.
        cursor: Name of the cursor column once prepared, or "".
        hidden: Source columns that `mask` or `drop` hides.
        whole_load: A `dedupe` rule has to see all rows at once: gather the chunks of a load in a temporary table
            and project that, instead of projecting chunk by chunk.
        located: Rows have `_file` and `_line`.
        key_origins: Source columns that the key columns are made from.
        origins: Source columns that each landed column is made from, in lower case.
        changes: Rows are changes (`CHANGE_COLUMNS`).
    """

    columns: tuple[Column, ...]
    cursor: str
    hidden: frozenset[str]
    whole_load: bool
    located: bool
    key_origins: tuple[str, ...]
    origins: Mapping[str, frozenset[str]]
    changes: bool
    _lenient: bool
    _key: tuple[str, ...]
    _source_columns: tuple[Column, ...]
    _prepared: SelectSql
    _masked: tuple[str, ...]
    _raw: bool
    _judged: bool

    @property
    def system_columns(self) -> tuple[Column, ...]:
        """The system columns of the loaded table."""
        found = [Column("_batch", "VARCHAR"), Column("_loaded_at", "TIMESTAMP WITH TIME ZONE")]
        if self.located:
            found.append(Column("_file", "VARCHAR"))
        if self._raw:
            found.append(Column("_raw", "VARCHAR"))
        return tuple(found)

    def land_as(self, decision: SchemaDecision) -> Preparation:
        """Return the preparation for a table whose columns the schema policy has decided."""
        types = {column.name.lower(): column for column in self.columns}
        selected, widened = [], {}
        for column in decision.columns:
            name = quote_identifier(column.name)
            arriving = types.get(column.name.lower())
            if arriving is None:
                selected.append(f"CAST(NULL AS {column.type}) AS {name}")
                continue
            if arriving.type != column.type:
                cast = exact_cast_sql(quote_identifier(arriving.name), arriving.type, column.type)
                widened[arriving.name] = (cast, column.type)
            selected.append(f"{quote_identifier(arriving.name)} AS {name}")
        carried = f"COLUMNS('^{INTERNAL}'), _rule, _reason{', _file, _line' if self.located else ''}"
        names = {name.lower() for name in decision.discarded}
        lost = [c.name for c in self.columns if c.name.lower() in names]
        inner = self._prepared
        if lost:
            tests = [
                ("unknown_column", f"column {quote_identifier(n)} is unknown", f"{quote_identifier(n)} IS NOT NULL")
                for n in lost
            ]
            inner = reject_layer(inner, tests)
        inner = cast_layer(inner, widened, "cast", lenient=self._lenient)
        inner = SelectSql(f"SELECT {', '.join(selected)}, {carried} FROM ({inner})")
        return replace(self, columns=decision.columns, _prepared=inner)

    def projection(self, source_query: SelectSql, batch: str, loaded_at_sql: str) -> SelectSql:
        """Return a SELECT of prepared and landed rows, good and rejected.

        Columns: those of `columns`, the system columns, `_line` (when located), `_rule`, `_reason`, `_rejected_raw`
        and `_reject_key`; the last four are NULL for a good row.

        Args:
            source_query: The chunk's query.
            batch: The run's batch id, put into `_batch`.
            loaded_at_sql: SQL of the load's time, put into `_loaded_at`.
        """
        inner = self._prepared.replace(_SOURCE, source_query)
        raw = self._raw_row_sql()
        place = "coalesce(_file, ''), chr(31), coalesce(CAST(_line AS VARCHAR), ''), chr(31), " if self.located else ""
        masked = "".join(f", chr(31), coalesce({name}, '')" for name in self._masked)
        names = [quote_identifier(column.name) for column in self.columns]
        system = [f"{quote_text(batch)} AS _batch", f"{loaded_at_sql} AS _loaded_at"]
        system += ["_file"] if self.located else []
        system += [f"{self._raw_text_sql()} AS _raw"] if self._raw else []
        system += ["_line"] if self.located else []
        system += CHANGE_COLUMNS if self.changes else ()
        rejected = f"CASE WHEN _rule <> {quote_text(DEDUPED)} THEN {{}} END AS {{}}"
        tail = [
            "_rule",
            "_reason",
            rejected.format(raw, "_rejected_raw"),
            rejected.format(f"sha256(concat({place}{raw}{masked}))", "_reject_key"),
        ]
        return SelectSql(f"SELECT {', '.join([*names, *system, *tail])} FROM ({inner})")

    def good_rows(self, table: str, *, all_good: bool = False) -> SelectSql:
        """Return the good rows of a materialized projection: columns, system columns, `_line`, what changes carry.

        `all_good`: it was counted and holds no other row, so that a view need not judge its rows again.
        """
        judged = "" if all_good else " WHERE _rule IS NULL"
        return SelectSql(f"SELECT {self._row_names(landed=False)} FROM {table}{judged}")

    def load_rows(self, rows: SelectSql) -> SelectSql:
        """Return what a table takes of good (or staged) rows: columns and system columns."""
        return SelectSql(f"SELECT {self._row_names(landed=True)} FROM ({rows})")

    def rejected_rows(self, table: str) -> SelectSql:
        """Return the rejects of a materialized projection as quarantine rows (`REJECT_COLUMNS`)."""
        place = "_file, _line" if self.located else "NULL::VARCHAR AS _file, NULL::BIGINT AS _line"
        return SelectSql(
            f"SELECT _reject_key, _batch, _loaded_at, {place}, _rule AS rule, _reason AS reason, "
            f"_rejected_raw AS raw FROM {table} WHERE _rule <> {quote_text(DEDUPED)}"
        )

    def unplaced(self, table: str) -> SelectSql:
        """Return a SELECT of (rowid, `_file`, `_raw`) of the rejects of a materialized projection without a line."""
        return SelectSql(
            f"SELECT rowid, _file, _raw FROM {table} WHERE _rule <> {quote_text(DEDUPED)} AND _line IS NULL "
            "AND _raw IS NOT NULL ORDER BY rowid"
        )

    def counts(self, table: str) -> SelectSql:
        """Return a SELECT of one row for a projection: `good` (a truncate is no row), `rejected`, `deduped`."""
        rejected = f"count(nullif(_rule, {quote_text(DEDUPED)}))"  # a count of a column is quicker than a filter
        rows = f"_rule IS NULL AND {CHANGE_COLUMNS[0]} <> 'truncate'"
        good = f"count(*) FILTER ({rows})" if self.changes else "count(*) - count(_rule)"
        return SelectSql(
            f"SELECT {good} AS good, {rejected} AS rejected, count(_rule) - {rejected} AS deduped FROM {table}"
        )

    def reader_rejects(self, rejects: SelectSql, batch: str, loaded_at_sql: str) -> SelectSql:
        """Turn the rejects of a reader (`_file, _line, rule, reason, raw`) into quarantine rows (`REJECT_COLUMNS`).

        A row that could not be split into columns cannot be hidden in part: its text is withheld when any column of
        the table is hidden.
        """
        raw = "NULL::VARCHAR" if self.hidden else f"replace(raw, chr(0), '{_NUL}')"
        place = "coalesce(_file, ''), chr(31), coalesce(CAST(_line AS VARCHAR), ''), chr(31), "
        return SelectSql(
            f"SELECT sha256(concat({place}coalesce({raw}, rule))) AS _reject_key, {quote_text(batch)} AS _batch, "
            f"{loaded_at_sql} AS _loaded_at, _file, CAST(_line AS BIGINT) AS _line, rule, reason, {raw} AS raw "
            f"FROM ({rejects})"
        )

    def keys(self, source_query: SelectSql) -> SelectSql:
        """Return the distinct landed keys of a SELECT of `key_origins`, made by the same rules as the rows."""
        wanted = {name.lower() for name in self.key_origins}
        given = ", ".join(
            quote_identifier(c.name)
            if c.name.lower() in wanted
            else f"CAST(NULL AS {'BIGINT' if c.type.startswith('EPOCH') else c.type}) AS {quote_identifier(c.name)}"
            for c in self._source_columns
        )
        place = ", NULL::VARCHAR AS _file, NULL::BIGINT AS _line" if self.located else ""
        place += ", NULL::VARCHAR AS _raw" if self._raw else ""
        place += ", NULL::VARCHAR AS _rule, NULL::VARCHAR AS _reason" if self._judged else ""
        inner = self._prepared.replace(_SOURCE, f"SELECT {given}{place} FROM ({source_query})")
        names = [quote_identifier(name) for name in self._key]
        present = " AND ".join(f"{name} IS NOT NULL" for name in names)
        return SelectSql(f"SELECT DISTINCT {', '.join(names)} FROM ({inner}) WHERE {present}")

    def _row_names(self, *, landed: bool) -> str:
        names: list[str] = [quote_identifier(column.name) for column in (*self.columns, *self.system_columns)]
        if not landed:
            names += ["_line"] if self.located else []
            names += CHANGE_COLUMNS if self.changes else ()
        return ", ".join(names)

    def _raw_row_sql(self) -> str:
        """Return SQL of the row as it came in, as JSON, without hidden columns; numbers and times as text."""
        hidden = {name.lower() for name in self.hidden}
        parts = []
        for index, column in enumerate(self._source_columns):
            if column.name.lower() not in hidden:
                value = f"{INTERNAL}in_{index}"
                plain = column.type in ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT")
                nested = column.type.endswith("]") or column.type.startswith(("STRUCT", "MAP", "UNION"))
                shown = value if plain or nested else f"CAST({value} AS VARCHAR)"
                parts.append(f"{quote_text(column.name)}, {shown}")
        row = f"CAST(json_object({', '.join(parts)}) AS VARCHAR)"
        if self._judged and self._raw:
            return f"CASE WHEN {_UNREADABLE} THEN coalesce({self._raw_text_sql()}, {row}) ELSE {row} END"
        return row

    def _raw_text_sql(self) -> str:
        """Return SQL of the raw JSON text that a source lands, hidden columns taken out."""
        if not self.hidden:
            return f"{INTERNAL}raw"
        patch = "{" + ",".join(f'"{_json_text(name)}":null' for name in sorted(self.hidden)) + "}"
        return f"CAST(json_merge_patch({INTERNAL}raw, {quote_text(patch)}) AS VARCHAR)"


def compile_prepare(
    ingest: IngestSpec,
    columns: Sequence[Column],
    *,
    store: DeclaredStore,
    table: str = "table",
    extra: Collection[str] = (),
) -> Preparation:
    """Compile the preparation of a table.

    Args:
        ingest: The table's options; secrets are resolved.
        columns: What the source's chunks yield.
        store: The store the table lands in.
        table: Dataset name, for messages.
        extra: Which of `_file`, `_line`, `_raw`, `_rule`, `_reason` the chunks yield beside the columns
            (`Reading.extra`).

    Raises:
        ProjectError: A rule names a column that is not there, an expression is not valid, or a column cannot land in
            the store without loss.
    """
    check_names(table, (column.name for column in columns))
    located = "_file" in extra
    inner = _input_layer(columns, extra)
    lenient = ingest.schema_policy == SchemaPolicy.DISCARD_VALUE
    compiler = RuleCompiler.start(table, columns, inner, located=located, lenient=lenient)
    try:
        for index, rule in enumerate(ingest.prepare):
            compiler.apply(index, rule)
        key = tuple(compiler.find(name, "key").name for name in ingest.key)
        cursor = _cursor_column(compiler, ingest, columns)
        compiler.inner = reject_layer(compiler.inner, _row_tests(compiler, ingest))
    finally:
        compiler.close()
    landed_columns = _land(compiler, store)
    if ingest.flags_deletes:
        landed_columns = (*landed_columns, _add_deleted_at(compiler))
    origins = {origin for c in compiler.columns if c.name in key for origin in c.origins}
    changes = CHANGE_COLUMNS[0] in extra
    return Preparation(
        columns=landed_columns,
        cursor=cursor,
        hidden=frozenset(compiler.hidden),
        whole_load=compiler.dedupes,
        located=located,
        key_origins=tuple(c.name for c in columns if c.name in origins),
        origins={c.name: frozenset(origin.lower() for origin in c.origins) for c in compiler.columns},
        changes=changes,
        _lenient=lenient,
        _key=key,
        _source_columns=tuple(columns),
        _prepared=_test_keys(compiler.inner, ingest, columns, key, changes=changes),
        _masked=tuple(compiler.masked),
        _raw="_raw" in extra,
        _judged="_rule" in extra,
    )


def _input_layer(columns: Sequence[Column], extra: Collection[str]) -> SelectSql:
    """The rows as they come in, with a second reference to each column for `raw`."""
    names = [quote_identifier(column.name) for column in columns]
    judged = "_rule" in extra
    carried = [f"{name} AS {INTERNAL}in_{index}" for index, name in enumerate(names)]
    carried += ["_file", "_line"] if "_file" in extra else []
    carried += [f"_raw AS {INTERNAL}raw"] if "_raw" in extra else []
    carried += ["_rule", "_reason"] if judged else ["NULL::VARCHAR AS _rule", "NULL::VARCHAR AS _reason"]
    carried += [f"_rule IS NOT NULL AS {_UNREADABLE}"] if judged else []
    carried += [name for name in CHANGE_COLUMNS if name in extra]
    return SelectSql(f"SELECT {', '.join([*names, *carried])} FROM ({_SOURCE})")


def _test_keys(
    inner: SelectSql, ingest: IngestSpec, columns: Sequence[Column], key: Sequence[str], *, changes: bool
) -> SelectSql:
    """Reject rows without a key or cursor; of a log of changes, deletes need a key alone and truncates nothing."""
    tests = [("null_key", f"key column {quote_identifier(n)} is NULL", f"{quote_identifier(n)} IS NULL") for n in key]
    if ingest.load == LoadMode.INCREMENTAL and ingest.cursor:
        value = f"{INTERNAL}in_{_index_of(columns, ingest.cursor)}"
        tests.append(("null_cursor", f"cursor {quote_identifier(ingest.cursor)} is NULL", f"{value} IS NULL"))
    if changes:
        inner = spare_deletes(inner)
        tests = [(rule, reason, f"{CHANGE_COLUMNS[0]} <> 'truncate' AND {test}") for rule, reason, test in tests]
    return reject_layer(inner, tests)


def _add_deleted_at(compiler: RuleCompiler) -> Column:
    if any(column.name.lower() == DELETED_AT for column in compiler.columns):
        raise ProjectError(
            f"{compiler.table}: column {DELETED_AT!r} is what deletes: soft_flag adds", fix="rename it in prepare"
        )
    compiler.inner = replace_layer(compiler.inner, {}, {DELETED_AT: "CAST(NULL AS TIMESTAMP WITH TIME ZONE)"})
    return Column(DELETED_AT, "TIMESTAMP WITH TIME ZONE")


def _index_of(columns: Sequence[Column], name: str) -> int:
    return next(index for index, column in enumerate(columns) if column.name.lower() == name.lower())


def _cursor_column(compiler: RuleCompiler, ingest: IngestSpec, columns: Sequence[Column]) -> str:
    """Find what became of the source's cursor column: merging and ties need it."""
    if not ingest.cursor:
        return ""
    if ingest.cursor.lower() not in {column.name.lower() for column in columns}:
        raise ProjectError(
            f"{compiler.table}: the source has no column {ingest.cursor!r}, which is its cursor",
            fix=f"columns: {', '.join(column.name for column in columns)}",
        )
    if ingest.lag and not ingest.key:
        raise ProjectError(
            f"{compiler.table}: lag without a key would repeat rows", fix="add the key, or leave lag out"
        )
    wanted = ingest.cursor.lower()
    found = [c for c in compiler.columns if not c.masked and wanted in {origin.lower() for origin in c.origins}]
    exact = [c for c in found if len(c.origins) == 1] + [c for c in found if c.name.lower() == wanted]
    if exact:
        return exact[0].name
    raise ProjectError(
        f"{compiler.table}: prepare hides the cursor {ingest.cursor!r}, which the load needs to order rows",
        fix="do not drop or mask the cursor column",
    )


def _row_tests(compiler: RuleCompiler, ingest: IngestSpec) -> list[tuple[str, str, str]]:
    """The tests of a prepared row: NUL in text, then the table's own `reject_if`."""
    tests = []
    for column in compiler.columns:
        name = quote_identifier(column.name)
        if "VARCHAR" in column.type or column.type == "JSON":
            text = name if column.type in ("VARCHAR", "JSON") else f"CAST({name} AS VARCHAR)"
            tests.append(("nul_byte", f"column {name} holds a NUL character", f"contains({text}, chr(0))"))
    compiler.bind({rule: f"CAST(({sql}\n) AS BOOLEAN)" for rule, sql in ingest.reject_if.items()}, "reject_if")
    return tests + [(rule, sql, f"({sql}\n)") for rule, sql in ingest.reject_if.items()]


def _land(compiler: RuleCompiler, store: DeclaredStore) -> tuple[Column, ...]:
    """Cast every column to the type it lands as; a value out of range becomes a reject `range`."""
    columns, plain, checked = [], {}, {}
    for column in compiler.columns:
        landing = landed(column.type, store.capabilities.types)
        _refuse_loss(compiler.table, column, landing, store)
        name = quote_identifier(column.name)
        if landing.cast_checked:
            checked[column.name] = (exact_cast_sql(name, column.type, landing.type), landing.type)
        elif landing.type != column.type:
            plain[column.name] = f"CAST({name} AS {landing.type})"
        source_type = column.source_type or (column.type if landing.type != column.type else "")
        columns.append(Column(column.name, landing.type, source_type if source_type != landing.type else ""))
    if plain:
        compiler.inner = replace_layer(compiler.inner, plain)
    compiler.inner = cast_layer(compiler.inner, checked, "range", lenient=compiler.lenient)
    return tuple(columns)


def _refuse_loss(table: str, column: Current, landing: Landing, store: DeclaredStore) -> None:
    if landing.fidelity in (Fidelity.EXACT, Fidelity.WIDENED):
        return
    wider = landing.type.lower() if landing.type else "varchar"
    what = "loses digits" if landing.type else "cannot be stored"
    raise ProjectError(
        f"{table}: column {column.name!r} is {column.type}, which {what} in the {store}",
        fix=f"say so in prepare: - cast: {{{column.name}: {wider}}}",
    )


def _json_text(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
