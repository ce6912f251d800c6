"""One scan of CSV files by DuckDB: typed rows in one temporary table, one reject per damaged row in another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.sources.files_layout import RAW_CHARACTERS, Dialect, Layout
from headwater.sources.files_listing import duckdb_path
from headwater.sql.placeholders import quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.sources.files_listing import File

MAX_LINE_BYTES = 16_000_000
BUFFER_BYTES = 32 * 1024 * 1024

LATE = ("TIMESTAMP WITH TIME ZONE", "TIME WITH TIME ZONE")
"""Types that DuckDB's reader turns into NULL when they do not fit (measured with 1.5.5): read as text, cast after."""

_READ_AS = {"EPOCH_S": "DECIMAL(24,6)", "EPOCH_MS": "DECIMAL(24,3)", "JSON": "VARCHAR"}

RULES = (
    ("UNQUOTED VALUE", "quote", "a quote that is not closed, or text after a closing quote"),
    ("LINE SIZE OVER MAXIMUM", "line_too_long", f"the row is longer than {MAX_LINE_BYTES} bytes"),
    ("INVALID ENCODING", "encoding", "the text is not in the declared encoding"),
    ("MISSING COLUMNS", "too_few_fields", "fewer fields than the header"),
    ("TOO MANY COLUMNS", "too_many_fields", "more fields than the header"),
)


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
    """

    connection: DuckDBPyConnection
    base: str
    dialect: Dialect
    columns: tuple[Column, ...]
    ordered: bool
    token: str
    absolute: bool = False

    def run(self, layouts: Mapping[File, Layout], rows: str, rejects: str, *, whole: bool = False) -> None:
        """Read files of any layouts with one query into `rows`, and what it refuses into `rejects`.

        `whole` reads each file in one piece.

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
        self._collect(errors, scans, rejects, [(prefix, layout) for prefix, layout, _ in groups])
        self.drop(errors, scans)

    def drop(self, *tables: str) -> None:
        """Drop temporary tables, if they are there."""
        for table in tables:
            self.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def _select(self, prefix: str, layout: Layout, files: Sequence[File], tables: str) -> str:
        line = f"row_number() OVER () + {layout.lines}" if self.ordered else "NULL::BIGINT"
        scan = self._read_csv(prefix, layout, files, tables)
        selected = self.columns_sql(layout, prefix)
        return f"SELECT {selected}, {self.path_sql('_hw_path')} AS _file, {line} AS _line FROM {scan}"

    def columns_sql(self, layout: Layout, prefix: str) -> str:
        """Select the asked columns from a file's own, which are named by their place; a missing one is NULL."""
        place = {name.lower(): index for index, name in enumerate(layout.names)}
        selected = []
        for column in self.columns:
            index = _find(layout, place, column.name)
            value = f"CAST(NULL AS {read_type(column.type)})" if index is None else f"{prefix}{index}"
            selected.append(f"{value} AS {quote_identifier(column.name)}")
        return ", ".join(selected)

    def path_sql(self, name: str) -> str:
        """Turn the reader's absolute path into the path as it was listed."""
        if self.absolute:
            return name
        return f"substr({name}, {len(self.base.rstrip(os.sep)) + 2})"

    def _read_csv(self, prefix: str, layout: Layout, files: Sequence[File], tables: str) -> str:
        types = self.types(layout)
        paths = ", ".join(quote_text(duckdb_path(self.base, file.path)) for file in files)
        options = {
            "header": str(self.dialect.header),
            "skip": str(layout.skip),
            "auto_detect": "false",
            "columns": "{" + ", ".join(f"'{prefix}{i}': {quote_text(t)}" for i, t in enumerate(types)) + "}",
            "delim": quote_text(self.dialect.delimiter),
            "quote": quote_text(self.dialect.quote),
            "escape": quote_text(self.dialect.quote),
            "nullstr": "[" + ", ".join(map(quote_text, self.dialect.null_values)) + "]",
            "encoding": quote_text(self.dialect.encoding),
            "filename": "'_hw_path'",
            "store_rejects": "true",
            "max_line_size": str(MAX_LINE_BYTES),
            "buffer_size": str(BUFFER_BYTES),
        }
        if self.dialect.timestamp_format:
            options["timestampformat"] = quote_text(self.dialect.timestamp_format)
        if self.dialect.date_format:
            options["dateformat"] = quote_text(self.dialect.date_format)
        return f"read_csv([{paths}], {', '.join(f'{key}={value}' for key, value in options.items())}, {tables})"

    def types(self, layout: Layout, *, reading: bool = True) -> list[str]:
        """Return the type of each of a file's own columns, as declared or as it is read; others are text."""
        wanted = {c.name: read_type(c.type) if reading else c.type for c in self.columns}
        lowered = {name.lower(): type_text for name, type_text in wanted.items()}
        return [wanted.get(name, lowered.get(name.lower(), "VARCHAR")) for name in layout.names]

    def _collect(self, errors: str, scans: str, rejects: str, layouts: Sequence[tuple[str, Layout]]) -> None:
        """Make one reject of all the errors of a row."""
        names = {
            f"{prefix}{index}": f"column {quote_identifier(name)} is not a {type_text}"
            for prefix, layout in layouts
            for index, (name, type_text) in enumerate(zip(layout.names, self.types(layout, reading=False), strict=True))
        }
        told = " ".join(f"WHEN {quote_text(key)} THEN {quote_text(reason)}" for key, reason in names.items())
        ranked = " ".join(f"WHEN {quote_text(kind)} THEN {i}" for i, (kind, _, _) in enumerate(RULES))
        rules = " ".join(f"WHEN {i} THEN {quote_text(rule)}" for i, (_, rule, _) in enumerate(RULES))
        reasons = " ".join(f"WHEN {i} THEN {quote_text(why)}" for i, (_, _, why) in enumerate(RULES))
        self.connection.execute(
            f"CREATE TEMP TABLE {rejects} AS "
            f"SELECT _file, NULL::BIGINT AS _line, coalesce(CASE kind {rules} END, 'cast') AS rule, "
            f"coalesce(CASE kind {reasons} END, casts, 'a field is not of its declared type') AS reason, "
            f"left(trim(line_text, chr(10) || chr(13)), {RAW_CHARACTERS}) AS raw, position, "
            f"length(regexp_replace(regexp_extract(line_text, '^[\\r\\n]*'), '\\r', '', 'g')) AS blank FROM ("
            f"SELECT {self.path_sql('s.file_path')} AS _file, e.line_byte_position AS position, "
            f"any_value(e.csv_line) AS line_text, min(CASE CAST(e.error_type AS VARCHAR) {ranked} END) AS kind, "
            f"string_agg(CASE WHEN e.error_type = 'CAST' THEN CASE e.column_name {told} END END, '; ' "
            f"ORDER BY e.column_idx) AS casts "
            f"FROM {errors} e JOIN (SELECT DISTINCT scan_id, file_id, file_path FROM {scans}) s "
            "USING (scan_id, file_id) GROUP BY s.file_path, e.line_byte_position)"
        )


def empty_query(columns: Sequence[Column]) -> str:
    """Return a SELECT of no rows with the columns of a chunk."""
    nulls = ", ".join(f"CAST(NULL AS {read_type(c.type)}) AS {quote_identifier(c.name)}" for c in columns)
    return f"SELECT {nulls}, NULL::VARCHAR AS _file, NULL::BIGINT AS _line LIMIT 0"


def read_type(type_text: str, *, late: bool = True) -> str:
    """The type the reader gives a declared column: epochs are numbers until they are prepared."""
    if late and type_text in LATE:
        return "VARCHAR"
    return _READ_AS.get(type_text, type_text)


def typed_sql(dialect: Dialect, value: str, type_text: str) -> str:
    """Cast text as DuckDB's reader does, with the declared formats; NULL where it does not fit."""
    wanted = dialect.timestamp_format if type_text.startswith("TIMESTAMP") else ""
    wanted = dialect.date_format if type_text == "DATE" else wanted
    if wanted:
        return f"CAST(try_strptime({value}, {quote_text(wanted)}) AS {type_text})"
    return f"TRY_CAST({value} AS {type_text})"


def _find(layout: Layout, place: Mapping[str, int], name: str) -> int | None:
    """Where a column is in a file: by its exact name, else by its name in another case."""
    return layout.names.index(name) if name in layout.names else place.get(name.lower())
