"""A CSV file that DuckDB refuses, read row by row in Python: slower, and it takes any mixture of line ends."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from headwater.sources import files_scan
from headwater.sources.files_layout import RAW_CHARACTERS, csv_options, open_text
from headwater.sql.placeholders import quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headwater.sources.files_layout import Layout
    from headwater.sources.files_listing import File
    from headwater.sources.files_scan import CsvScan

_BATCH_ROWS = 20_000
_REASONS = {rule: reason for _, rule, reason in files_scan.RULES}

Record = tuple[int, str, str, list[str | None]]
"""Line, rule ("" when good), raw text, fields."""


def scan_loosely(scan: CsvScan, file: File, layout: Layout, rows: str, rejects: str) -> None:
    """Read one file into the temporary tables `rows` and `rejects`, with the outcome of the scan's own."""
    import pyarrow as pa

    connection = scan.connection
    text, view = f"{rows}_text", f"{rows}_view"
    names = [f"c{index}" for index in range(len(layout.names))]
    fields = ", ".join(f"{name} VARCHAR" for name in names)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {text} (_line BIGINT, rule VARCHAR, raw VARCHAR, {fields})")
    for batch in _batches(read_records(scan, file, layout)):
        columns: list[list[Any]] = [[record[0] for record in batch], [record[1] or None for record in batch]]
        columns.append([record[2] for record in batch])
        columns += [[record[3][i] if not record[1] else None for record in batch] for i in range(len(names))]
        types = [pa.int64(), *[pa.string()] * (len(columns) - 1)]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        connection.register(view, pa.table(arrays, names=["_line", "rule", "raw", *names]))
        connection.execute(f"INSERT INTO {text} SELECT * FROM {view}")
        connection.unregister(view)
    _split(scan, file, layout, text, rows, rejects)
    connection.execute(f"DROP TABLE {text}")


def read_records(scan: CsvScan, file: File, layout: Layout) -> Iterator[Record]:
    """Yield the records of a file after its header."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            taken.append(line)
            yield line

    width = len(layout.names)
    before = csv.field_size_limit(files_scan.MAX_LINE_BYTES)
    try:
        with open_text(scan.base, file.path, scan.dialect.encoding, "surrogateescape") as stream:
            records = csv.reader(lines(), strict=True, **csv_options(scan.dialect))
            line = 1
            for record in _survive(records):
                raw = "".join(taken).strip("\r\n")
                taken.clear()
                began, line = line, records.line_num + 1
                if began > layout.lines and (record != [] or width == 1):
                    yield (began, *_judge(record, raw, width))
    finally:
        csv.field_size_limit(before)


def _survive(records: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """Yield records; one that csv refuses is the rule that it breaks."""
    while True:
        try:
            yield next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield "line_too_long" if "field larger" in str(error) else "quote"


def _judge(record: list[str] | str, raw: str, width: int) -> tuple[str, str, list[str | None]]:
    shown = raw[:RAW_CHARACTERS].encode("utf-8", "replace").decode()
    if isinstance(record, str):
        return record, shown, []
    if len(record) == width + 1 and record[-1] == "":
        record = record[:-1]
    fields: list[str | None] = [*record] if record else [None] * width
    if any("\udc80" <= character <= "\udcff" for character in raw):
        return "encoding", shown, []
    if len(fields) < width:
        return "too_few_fields", shown, []
    return ("too_many_fields" if len(fields) > width else ""), shown, fields[:width]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _split(scan: CsvScan, file: File, layout: Layout, text: str, rows: str, rejects: str) -> None:
    """Type the text: rows whose fields all fit, and rejects."""
    types = scan.types(layout, reading=False)
    nulls = ", ".join(map(quote_text, scan.dialect.null_values))
    tried, failed = [], []
    for index, (name, type_text) in enumerate(zip(layout.names, types, strict=True)):
        value = f"CASE WHEN c{index} IN ({nulls}) THEN NULL ELSE c{index} END" if nulls else f"c{index}"
        typed = files_scan.typed_sql(scan.dialect, value, files_scan.read_type(type_text, late=False))
        given = value if type_text in files_scan.LATE else typed
        tried.append(f"{value} AS c{index}, {typed} AS t{index}, {given} AS o{index}")
        reason = quote_text(f"column {quote_identifier(name)} is not a {type_text}")
        failed.append(f"CASE WHEN c{index} IS NOT NULL AND t{index} IS NULL THEN {reason} END")
    tried_rows = f"SELECT _line, rule, raw, {', '.join(tried)} FROM {text}"
    told = " ".join(f"WHEN {quote_text(rule)} THEN {quote_text(reason)}" for rule, reason in _REASONS.items())
    judged = f"{text}_judged"
    scan.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {judged} AS SELECT *, "
        f"CASE WHEN rule IS NULL THEN nullif(concat_ws('; ', {', '.join(failed)}), '') ELSE CASE rule {told} END END "
        f"AS reason FROM ({tried_rows})"
    )
    place, line = quote_text(file.path), "_line" if scan.ordered else "NULL::BIGINT AS _line"
    scan.connection.execute(
        f"CREATE TEMP TABLE {rows} AS SELECT {scan.columns_sql(layout, 'o')}, {place} AS _file, {line} "
        f"FROM {judged} WHERE reason IS NULL"
    )
    scan.connection.execute(
        f"CREATE TEMP TABLE {rejects} AS SELECT {place} AS _file, _line, coalesce(rule, 'cast') AS rule, reason, raw, "
        f"NULL::BIGINT AS position, NULL::BIGINT AS blank FROM {judged} WHERE reason IS NOT NULL"
    )
    scan.connection.execute(f"DROP TABLE {judged}")
