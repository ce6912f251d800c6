"""A CSV file that DuckDB refuses, read row by row in Python: slower, and it takes any mixture of line ends."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_text
from headwater.sources.common.layout import RAW_CHARACTERS, csv_options, open_bytes, open_text
from headwater.sources.files import scan as files_scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headwater.sources.common.layout import Layout
    from headwater.sources.common.listing import File
    from headwater.sources.files.scan import CsvScan

_BATCH_ROWS = 20_000
_REASONS = {rule: reason for _, rule, reason in files_scan.RULES}

LooseRow = tuple[int, str, str, list[str | None], int]
"""Line, rule ("" when good), raw text, fields, how many lines it takes."""


def scan_loosely(scan: CsvScan, file: File, layout: Layout, rows: str, rejects: str) -> None:
    """Read one file into the temporary tables `rows` and `rejects`, with the outcome of the scan's own."""
    import pyarrow as pa

    connection = scan.connection
    text, view = f"{rows}_text", f"{rows}_view"
    names = [f"c{index}" for index in range(len(layout.names))]
    fields = ", ".join(f"{name} VARCHAR" for name in names)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {text} (_line BIGINT, lines BIGINT, rule VARCHAR, raw VARCHAR, {fields})"
    )
    for batch in _batches(read_records(scan, file, layout)):
        columns: list[list[Any]] = [[record[0] for record in batch], [record[4] for record in batch]]
        columns += [[record[1] or None for record in batch], [record[2] for record in batch]]
        columns += [[record[3][i] if not record[1] else None for record in batch] for i in range(len(names))]
        types = [pa.int64(), pa.int64(), *[pa.string()] * (len(columns) - 2)]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        connection.register(view, pa.table(arrays, names=["_line", "lines", "rule", "raw", *names]))
        connection.execute(f"INSERT INTO {text} SELECT * FROM {view}")
        connection.unregister(view)
    _split(scan, file, layout, text, rows, rejects)
    connection.execute(f"DROP TABLE {text}")


def read_records(scan: CsvScan, file: File, layout: Layout) -> Iterator[LooseRow]:
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
                    yield (began, *_judge(record, raw, width), raw.count("\n") + 1)
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


def _batches(records: Iterable[LooseRow]) -> Iterator[list[LooseRow]]:
    batch: list[LooseRow] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _split(scan: CsvScan, file: File, layout: Layout, text: str, rows: str, rejects: str) -> None:
    """Type the text: rows whose fields all fit, and rejects."""
    told = " ".join(f"WHEN {quote_text(rule)} THEN {quote_text(reason)}" for rule, reason in _REASONS.items())
    nulls = ", ".join(map(quote_text, scan.dialect.null_values))
    fields = [f"c{index}" for index in range(len(layout.names))]
    given = ", ".join(f"CASE WHEN {f} IN ({nulls}) THEN NULL ELSE {f} END AS {f}" if nulls else f for f in fields)
    place = quote_text(file.path)
    texts = f"SELECT {given}, {place} AS _file, _line FROM {text} WHERE rule IS NULL"
    scan.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {rows} AS SELECT * REPLACE (NULL AS _texts) "
        f"FROM ({scan.typed(layout, texts, 'c')})"
    )
    scan.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {rejects} AS "
        f"SELECT {place} AS _file, _line, rule, CASE rule {told} END || {files_scan.took_sql('lines')} AS reason, raw, "
        f"lines, NULL::BIGINT AS position, NULL::BIGINT AS blank FROM {text} WHERE rule IS NOT NULL UNION ALL "
        f"SELECT {place}, _line, r._rule, r._reason, raw, NULL, NULL, NULL FROM {rows} AS r JOIN {text} USING (_line) "
        "WHERE r._rule IS NOT NULL"
    )


def find_records(
    scan: CsvScan, file: File, layout: Layout, wanted: Sequence[list[str | None]]
) -> list[tuple[int | None, str]]:
    """Find rows of a file again by their fields, in their order; return the line and the text of each.

    A row that does not stand in the file like this has no line, and its fields for a text.
    """
    found = _find_plain(scan, file, layout, wanted)
    return found if len(found) == len(wanted) else _find_any(scan, file, layout, wanted)


def _find_plain(
    scan: CsvScan, file: File, layout: Layout, wanted: Sequence[list[str | None]]
) -> list[tuple[int | None, str]]:
    """Find rows by the text they have when nothing is quoted; what cannot be found so is left out."""
    found: list[tuple[int | None, str]] = []
    if scan.dialect.encoding != "utf-8" or not wanted:
        return found
    texts = [scan.dialect.delimiter.join(field or "" for field in fields) for fields in wanted]
    rest = iter(texts)
    looked_for = next(rest).encode()
    with open_bytes(scan.base, file.path) as data:
        for number, line in enumerate(data, 1):
            if number > layout.lines and line.rstrip(b"\r\n") == looked_for:
                found.append((number, texts[len(found)][:RAW_CHARACTERS]))
                if len(found) == len(texts):
                    break
                looked_for = next(rest).encode()
    return found


def _find_any(
    scan: CsvScan, file: File, layout: Layout, wanted: Sequence[list[str | None]]
) -> list[tuple[int | None, str]]:
    """Find rows by their fields, read row by row in Python."""
    found: list[tuple[int | None, str]] = []
    nulls, encoding = set(scan.dialect.null_values), scan.dialect.encoding
    as_read = replace(scan, dialect=replace(scan.dialect, encoding=scan.dialect.read_encoding))
    for line, rule, raw, fields, _ in read_records(as_read, file, layout):
        if len(found) == len(wanted):
            break
        if not rule and [None if field in nulls else field for field in fields] == wanted[len(found)]:
            found.append((line, raw if as_read == scan else raw.encode("latin-1").decode(encoding, "replace")))
    return found + [
        (None, scan.dialect.delimiter.join(field or "" for field in fields)) for fields in wanted[len(found) :]
    ]
