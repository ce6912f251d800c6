"""One scan of CSV files by DuckDB: typed rows in one temporary table, one reject per damaged row in another.

DuckDB splits the text into fields, and the fields are typed beside it by casts that alter no value: its own reader
rounds and guesses, and does not say where.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.sources.common.layout import RAW_CHARACTERS, Dialect, Layout
from headwater.sources.common.listing import duckdb_path
from headwater.sql.exact import EPOCHS, formatted_cast_sql, text_cast_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.sources.common.listing import File

MAX_LINE_BYTES = 16_000_000
BUFFER_BYTES = 32 * 1024 * 1024

_READ_AS = {"EPOCH_S": EPOCHS["EPOCH_S"][0], "EPOCH_MS": EPOCHS["EPOCH_MS"][0], "JSON": "VARCHAR"}

RULES = (
    ("UNQUOTED VALUE", "quote", "a quote that is not closed, or text after a closing quote"),
    ("LINE SIZE OVER MAXIMUM", "line_too_long", f"the row is longer than {MAX_LINE_BYTES} bytes"),
    ("INVALID ENCODING", "encoding", "the text is not in the declared encoding"),
    ("MISSING COLUMNS", "too_few_fields", "fewer fields than the header"),
    ("TOO MANY COLUMNS", "too_many_fields", "more fields than the header"),
)


_TRIMMED = "trim(line_text, chr(10) || chr(13))"
_LINES = f"1 + length({_TRIMMED}) - length(replace({_TRIMMED}, chr(10), ''))"
"""How many lines a reject takes: more than one where a quote was not closed."""


@dataclass(frozen=True, slots=True)
class CsvScan:
    """Scans files into temporary tables of a connection.

    Attributes:
        connection: Where the tables are made.
        base: The folder that paths are relative to.
        dialect: How the files are written.
        columns: What the rows are to have; a column that a file lacks is NULL.
        ordered: Rows need their place in the file (`_line`), whatever it costs.
        token: Makes the names of temporary tables unique on the connection.
        absolute: Files were listed by their absolute paths.
        lenient: A value that does not fit is NULL, and its row is good (`schema: discard_value`).
    """

    connection: DuckDBPyConnection
    base: str
    dialect: Dialect
    columns: tuple[Column, ...]
    ordered: bool
    token: str
    absolute: bool = False
    lenient: bool = False

    def run(self, layouts: Mapping[File, Layout], rows: str, rejects: str, *, whole: bool = False) -> None:
        """Read files of any layouts with one query into `rows`, and what it refuses into `rejects`.

        Rows come with `_rule`, `_reason` and `_texts` (see `typed`), in the order of their files. `whole` reads each
        file in one piece.

        Raises:
            duckdb.InvalidInputException: DuckDB cannot make rows of a file.
        """
        errors, scans = f"hw_errors_{self.token}", f"hw_scans_{self.token}"
        self.drop(rows, rejects, errors, scans)
        grouped: dict[tuple[Layout, str], list[File]] = {}
        for file, layout in layouts.items():
            grouped.setdefault((layout, file.path if self.ordered else ""), []).append(file)
        groups = [(f"c{number}_", layout, files) for number, ((layout, _), files) in enumerate(grouped.items())]
        tables = f"rejects_table={quote_text(errors)}, rejects_scan={quote_text(scans)}, parallel={not whole}"
        selects = [self._select(prefix, layout, files, tables) for prefix, layout, files in groups]
        self.connection.execute(f"CREATE TEMP TABLE {rows} AS {' UNION ALL '.join(selects)}")
        self._collect(errors, scans, rejects)
        self.drop(errors, scans)

    def drop(self, *tables: str) -> None:
        """Drop temporary tables, if they are there."""
        for table in tables:
            self.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def _select(self, prefix: str, layout: Layout, files: Sequence[File], tables: str) -> str:
        line = f"row_number() OVER () + {layout.lines}" if self.ordered else "NULL::BIGINT"
        scan = self._read_csv(prefix, layout, files, tables)
        return self.typed(
            layout, f"SELECT *, {self.path_sql('_hw_path')} AS _file, {line} AS _line FROM {scan}", prefix
        )

    def typed(self, layout: Layout, texts: str, prefix: str) -> str:
        """Return a SELECT of the asked columns, typed, `_file`, `_line`, and what is wrong with a row.

        `_rule` and `_reason` are NULL for a good row; `_texts` holds the fields of the others, VARCHAR[].

        Args:
            layout: The file's columns; the asked ones it lacks are NULL.
            texts: A SELECT of its fields as texts, named by `prefix` and their place, `_file` and `_line`.
            prefix: What the fields' names begin with.
        """
        place = {name.lower(): index for index, name in enumerate(layout.names)}
        fields = [f"{prefix}{index}" for index in range(len(layout.names))]
        tried, typed, selected, failed = [], [], [], []
        for number, column in enumerate(self.columns):
            name, index = quote_identifier(column.name), _find(layout, place, column.name)
            wanted = read_type(column.type)
            if index is None:
                selected.append(f"CAST(NULL AS {wanted}) AS {name}")
                continue
            value = self.dialect.decoded(fields[index])
            if wanted == "VARCHAR":
                selected.append(f"{value} AS {name}")
                continue
            tried.append(f"TRY_CAST({fields[index]} AS {wanted}) AS _p{number}")
            typed.append(f"{typed_sql(self.dialect, fields[index], wanted, f'_p{number}')} AS _t{number}")
            selected.append(f"_t{number} AS {name}")
            reason = quote_text(f"column {name} is not a {column.type}")
            failed.append((f"({fields[index]} IS NOT NULL AND _t{number} IS NULL)", reason))
        inner = f"SELECT {', '.join(['*', *typed])} FROM (SELECT {', '.join(['*', *tried])} FROM ({texts}))"
        foreign = " OR ".join(f"({test})" for field in fields if (test := self.dialect.undecodable(field))) or "FALSE"
        casts = "FALSE" if self.lenient else " OR ".join(test for test, _ in failed) or "FALSE"
        told = ", ".join(f"CASE WHEN {test} THEN {reason} END" for test, reason in failed) or "NULL"
        judged = f"SELECT *, ({casts}) AS _unfit, ({foreign}) AS _foreign FROM ({inner})"
        return (
            f"SELECT {', '.join(selected)}, _file, _line, "
            "CASE WHEN _foreign THEN 'encoding' WHEN _unfit THEN 'cast' END AS _rule, "
            "CASE WHEN _foreign THEN 'the text is not in the declared encoding' "
            f"WHEN _unfit THEN concat_ws('; ', {told}) END AS _reason, "
            f"CASE WHEN _foreign OR _unfit THEN [{', '.join(fields)}] END AS _texts FROM ({judged})"
        )

    def path_sql(self, name: str) -> str:
        """Turn the reader's absolute path into the path as it was listed."""
        if self.absolute:
            return name
        return f"substr({name}, {len(self.base.rstrip(os.sep)) + 2})"

    def _read_csv(self, prefix: str, layout: Layout, files: Sequence[File], tables: str) -> str:
        paths = ", ".join(quote_text(duckdb_path(self.base, file.path)) for file in files)
        options = {
            "header": str(self.dialect.header),
            "skip": str(layout.skip),
            "auto_detect": "false",
            "columns": "{" + ", ".join(f"'{prefix}{i}': 'VARCHAR'" for i in range(len(layout.names))) + "}",
            "delim": quote_text(self.dialect.delimiter),
            "quote": quote_text(self.dialect.quote),
            "escape": quote_text(self.dialect.quote),
            "nullstr": "[" + ", ".join(map(quote_text, self.dialect.null_values)) + "]",
            "encoding": quote_text(self.dialect.read_encoding),
            "filename": "'_hw_path'",
            "store_rejects": "true",
            "max_line_size": str(MAX_LINE_BYTES),
            "buffer_size": str(BUFFER_BYTES),
        }
        return f"read_csv([{paths}], {', '.join(f'{key}={value}' for key, value in options.items())}, {tables})"

    def _collect(self, errors: str, scans: str, rejects: str) -> None:
        """Make one reject of all the errors of a row."""
        ranked = " ".join(f"WHEN {quote_text(kind)} THEN {i}" for i, (kind, _, _) in enumerate(RULES))
        rules = " ".join(f"WHEN {i} THEN {quote_text(rule)}" for i, (_, rule, _) in enumerate(RULES))
        reasons = " ".join(f"WHEN {i} THEN {quote_text(why)}" for i, (_, _, why) in enumerate(RULES))
        raw = self.dialect.decoded(f"left(trim(line_text, chr(10) || chr(13)), {RAW_CHARACTERS})")
        self.connection.execute(
            f"CREATE TEMP TABLE {rejects} AS "
            f"SELECT _file, NULL::BIGINT AS _line, CASE kind {rules} ELSE 'unreadable' END AS rule, "
            f"CASE kind {reasons} ELSE 'the row cannot be read' END || {took_sql('lines')} AS reason, raw, lines, "
            f"position, blank FROM (SELECT *, {raw} AS raw, {_LINES} AS lines, "
            f"length(regexp_replace(regexp_extract(line_text, '^[\\r\\n]*'), '\\r', '', 'g')) AS blank FROM ("
            f"SELECT {self.path_sql('s.file_path')} AS _file, e.line_byte_position AS position, "
            f"any_value(e.csv_line) AS line_text, min(CASE CAST(e.error_type AS VARCHAR) {ranked} END) AS kind "
            f"FROM {errors} e JOIN (SELECT DISTINCT scan_id, file_id, file_path FROM {scans}) s "
            "USING (scan_id, file_id) GROUP BY s.file_path, e.line_byte_position))"
        )


def took_sql(lines: str) -> str:
    """Return SQL of what is said of a reject that takes more lines of its file than one."""
    return f"CASE WHEN {lines} > 1 THEN concat('; it takes ', {lines}, ' lines of the file') ELSE '' END"


def empty_query(columns: Sequence[Column]) -> SelectSql:
    """Return a SELECT of no rows with the columns of a chunk."""
    nulls = ", ".join(f"CAST(NULL AS {read_type(c.type)}) AS {quote_identifier(c.name)}" for c in columns)
    return SelectSql(f"SELECT {nulls}, NULL::VARCHAR AS _file, NULL::BIGINT AS _line LIMIT 0")


def read_type(type_text: str) -> str:
    """The type that the chunks have for a declared one: epochs are numbers until they are prepared."""
    return _READ_AS.get(type_text, type_text)


def typed_sql(dialect: Dialect, value: str, type_text: str, tried: str) -> str:
    """Type a text (`tried`: as DuckDB casts it) by the declared formats; NULL where the type cannot hold it exactly."""
    wanted = dialect.timestamp_format if type_text.startswith("TIMESTAMP") else ""
    wanted = dialect.date_format if type_text == "DATE" else wanted
    return formatted_cast_sql(value, type_text, wanted) if wanted else text_cast_sql(value, type_text, tried)


def _find(layout: Layout, place: Mapping[str, int], name: str) -> int | None:
    """Where a column is in a file: by its exact name, else by its name in another case."""
    return layout.names.index(name) if name in layout.names else place.get(name.lower())
