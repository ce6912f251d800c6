"""JSON and JSON lines: the raw text beside the columns that are declared (see `json_rows`), in one pass."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from headwater.core.fragments import NO_SELECT, SelectSql, quote_text
from headwater.sources.common.json_rows import SAMPLE_ROWS, JsonProjection, KeysError, usual_keys
from headwater.sources.common.layout import PACKED, RAW_CHARACTERS, open_bytes
from headwater.sources.common.listing import FileFormatError, check_unchanged, duckdb_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.core.specs import IngestSpec
    from headwater.sources.common.listing import File

MAX_OBJECT_BYTES = 64 * 1024 * 1024

_MARK = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 16
_BATCH_LINES = 50_000
_SAMPLE_FILES = 20
_PARTS = 10
_PART_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class JsonReader:
    """Makes the queries over groups of files.

    Attributes:
        connection: Where the queries run.
        base: The folder that paths are relative to.
        columns: The declared columns.
        ingest: How the table is ingested.
        ordered: Rows need their place in the file (`_line`), whatever it costs.
        lines: One document per line, as against documents that span lines or one list of them.
        token: Makes the names of sequences unique on the connection.
        absolute: Files were listed by their absolute paths.
    """

    connection: DuckDBPyConnection
    base: str
    columns: tuple[Column, ...]
    ingest: IngestSpec
    ordered: bool
    lines: bool
    token: str
    absolute: bool = False

    def query(self, files: Sequence[File], name: str) -> SelectSql:
        """Return a SELECT of the columns, `_file`, `_line`, `_raw`, `_rule` and `_reason`.

        A line that is not JSON is left out and counted by a sequence, which costs nothing when there is none; see
        `rejects`.
        """
        self.connection.execute(f"CREATE OR REPLACE TEMP SEQUENCE {self._sequence(name)}")
        groups = [[file] for file in files] if self.ordered else [list(files)]
        scans = [self._scan(group, f"{name}_{index}") for index, group in enumerate(groups)]
        selects = [
            self._select(scan, name, self._usual_keys(group, scan)) for scan, group in zip(scans, groups, strict=True)
        ]
        return SelectSql(" UNION ALL ".join(selects))

    def rejects(self, files: Sequence[File], name: str) -> tuple[SelectSql, int]:
        """Return a SELECT of the lines that are not JSON and how many there are, once `query` has run."""
        for index in range(len(files) if self.ordered else 1):
            self.connection.execute(f"DROP TABLE IF EXISTS {self._text_table(f'{name}_{index}')}")
        sequence = quote_text(self._sequence(name))
        row = self.connection.execute(
            f"SELECT coalesce(max(last_value), 0) FROM duckdb_sequences() WHERE sequence_name = {sequence}"
        ).fetchone()
        self.connection.execute(f"DROP SEQUENCE {self._sequence(name)}")
        if not row or not row[0]:
            return NO_SELECT, 0
        table = f"hw_rejects_{self.token}_{name}"
        self._collect_broken(files, table)
        found = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return SelectSql(f"SELECT * FROM {table}"), int(found[0]) if found else 0

    def _sequence(self, name: str) -> str:
        return f"hw_broken_{self.token}_{name}"

    def _text_table(self, name: str) -> str:
        return f"hw_text_{self.token}_{name}"

    def _scan(self, files: Sequence[File], name: str) -> str:
        """Return a SELECT of (json, _hw_path): straight from the files where DuckDB can read them."""
        if self.lines and not any(_has_mark(self.base, file) for file in files):
            return self._read_objects(files, "newline_delimited', ignore_errors=true")
        table = self._text_table(name)
        if self.lines:
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} (json JSON, _hw_path VARCHAR)")
            insert = f"INSERT INTO {table} SELECT TRY_CAST(raw AS JSON), path FROM {{}}"
            for file in files:
                self._pass_over(file, insert)
        else:
            self._read_documents(files, table)
        return f"SELECT json, _hw_path FROM {table}"

    def _read_objects(self, files: Sequence[File], kind: str) -> str:
        paths = ", ".join(quote_text(duckdb_path(self.base, file.path)) for file in files)
        return (
            f"SELECT json, _hw_path FROM read_json_objects([{paths}], format='{kind}, filename='_hw_path', "
            f"maximum_object_size={MAX_OBJECT_BYTES})"
        )

    def _read_documents(self, files: Sequence[File], table: str) -> None:
        """Read documents that span lines now: a broken one makes the rest of its file unreadable."""
        kinds: dict[str, list[File]] = {}
        for file in files:
            kinds.setdefault(_document_kind(self.base, file), []).append(file)
        scan = " UNION ALL ".join(self._read_objects(group, f"{kind}'") for kind, group in sorted(kinds.items()))
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {scan}")

    def _pass_over(self, file: File, insert: str) -> None:
        """Run `insert` over the lines of a file in batches of (raw, path, line, text); raw is NULL when not UTF-8."""
        import pyarrow as pa

        path = os.path.join(self.base, file.path)
        view = f"hw_view_{self.token}"
        for batch in _batches(numbered_lines(self.base, file)):
            raw = [text if clean else None for _, text, clean in batch]
            columns = {"raw": pa.array(raw, pa.string()), "text": pa.array([text for _, text, _ in batch], pa.string())}
            columns["line"] = pa.array([line for line, _, _ in batch], pa.int64())
            columns["path"] = pa.array([path] * len(batch), pa.string())
            self.connection.register(view, pa.table(columns))
            self.connection.execute(insert.format(view))
            self.connection.unregister(view)

    def _collect_broken(self, files: Sequence[File], table: str) -> None:
        """Find the lines that are not JSON by a second pass over the text of the files."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} "
            "(_file VARCHAR, _line BIGINT, rule VARCHAR, reason VARCHAR, raw VARCHAR)"
        )
        for file in files if self.lines else ():
            place = quote_text(file.path)
            self._pass_over(
                file,
                f"INSERT INTO {table} SELECT {place}, line, CASE WHEN raw IS NULL THEN 'encoding' ELSE 'json' END, "
                "CASE WHEN raw IS NULL THEN 'the text is not UTF-8' ELSE 'the line is not JSON' END, "
                f"left(text, {RAW_CHARACTERS}) FROM {{}} WHERE TRY_CAST(raw AS JSON) IS NULL",
            )

    def _usual_keys(self, files: Sequence[File], scan: str) -> tuple[tuple[str, ...], ...]:
        """Return the keys that rows usually have, from the beginning of some files; refuse files of other rows."""
        found: dict[tuple[str, ...], None] = {}
        for file in files[:_SAMPLE_FILES]:
            try:
                found |= dict.fromkeys(usual_keys(self._begin(file, scan), self.columns, self.ingest))
            except KeysError as error:
                raise FileFormatError(
                    f"{file.path}: {error}", fix="declare the columns as the file names them", path=file.path
                ) from None
        return tuple(islice(found, _SAMPLE_FILES))

    def _begin(self, file: File, scan: str) -> Iterator[str]:
        """Yield the first documents of a file."""
        if self.lines:
            return _begin_lines(self.base, file)
        path = quote_text(os.path.join(self.base, file.path))
        rows = self.connection.execute(
            f"SELECT CAST(json AS VARCHAR) FROM ({scan}) WHERE _hw_path = {path} LIMIT {SAMPLE_ROWS}"
        ).fetchall()
        return (text for (text,) in rows if text is not None)

    def _select(self, scan: str, name: str, usual: tuple[tuple[str, ...], ...]) -> str:
        line = "row_number() OVER ()" if self.ordered else "NULL::BIGINT"
        numbered = f"SELECT json, _hw_path, {line} AS _line FROM ({scan})"
        whole = f"CASE WHEN json IS NULL THEN nextval('{self._sequence(name)}') < 0 ELSE TRUE END"
        path = "_hw_path" if self.absolute else f"substr(_hw_path, {len(self.base.rstrip(os.sep)) + 2})"
        more = [f"{path} AS _file", "_line", "CAST(json AS VARCHAR) AS _raw"]
        projection = JsonProjection(self.columns, self.ingest.schema_policy, "_hw_path", self.connection, usual)
        return projection.select(f"SELECT * FROM ({numbered}) WHERE {whole}", more)


def find_damaged_json(base: str, files: Sequence[File], *, lines: bool) -> Iterator[File]:
    """Yield the files that cannot be read to the end, each in an engine of its own; broken lines are no damage."""
    import duckdb

    kind = "newline_delimited', ignore_errors=true" if lines else "auto'"
    for file in files:
        place = quote_text(duckdb_path(base, file.path))
        try:
            with duckdb.connect(config={"threads": 1}) as own:
                own.execute(
                    f"SELECT max(hash(json)) FROM read_json_objects([{place}], format='{kind}, "
                    f"maximum_object_size={MAX_OBJECT_BYTES})"
                )
        except duckdb.Error:
            yield file


def numbered_lines(base: str, file: File) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, text, whether it is UTF-8) of every line that is not blank; a byte order mark is passed over."""
    with open_bytes(base, file.path) as data:
        for number, line in enumerate(data, 1):
            stripped = (line.removeprefix(_MARK) if number == 1 else line).strip()
            if not stripped:
                continue
            text = stripped.decode("utf-8", "replace")
            yield number, text, text.encode() == stripped


def find_lines(base: str, path: str, wanted: Sequence[str]) -> list[int | None]:
    """Return the lines of a file at which some documents stand, given in its order; None for one that is not there."""
    found: list[int | None] = []
    rest = iter([text.encode() for text in wanted])
    looked_for = next(rest, None)
    with open_bytes(base, path) as data:
        for number, line in enumerate(data, 1):
            if looked_for is None:
                break
            if line.strip().removeprefix(_MARK) == looked_for:
                found.append(number)
                looked_for = next(rest, None)
    return [*found, *([None] * (len(wanted) - len(found)))]


def _begin_lines(base: str, file: File) -> Iterator[str]:
    """Yield some lines of a file: its first ones, and of a large plain one the first of its other parts."""
    yield from islice((text for _, text, _ in numbered_lines(base, file)), SAMPLE_ROWS)
    if file.size_bytes < _PART_BYTES or file.path.endswith(PACKED):
        return
    with open_bytes(base, file.path) as data:
        for part in range(1, _PARTS):
            data.seek(file.size_bytes * part // _PARTS)
            data.readline()
            yield from (line.decode("utf-8", "replace") for line in islice(data, SAMPLE_ROWS // _PARTS))


def _has_mark(base: str, file: File) -> bool:
    with open_bytes(base, file.path) as data:
        return data.read(len(_MARK)) == _MARK


def _document_kind(base: str, file: File) -> str:
    """Tell a list of documents from documents one after the other, by its first character; the last one must end it."""
    if _has_mark(base, file):
        raise FileFormatError(
            f"{file.path} begins with a byte order mark, which JSON does not allow",
            fix="write it without the mark; with one document per line, set format: jsonl",
            path=file.path,
        )
    with open_bytes(base, file.path) as data:
        begin = last = b""
        while block := data.read(_BLOCK_BYTES):
            begin = begin or block.lstrip()[:1]
            last = block.rstrip()[-1:] or last
            if begin and begin != b"[":
                return "unstructured"
            if begin and len(block) == _BLOCK_BYTES and not file.path.endswith(PACKED):
                data.seek(max(data.tell(), file.size_bytes - _BLOCK_BYTES))
    if not begin:
        return "unstructured"
    if last != b"]":  # DuckDB 1.5 takes what ends after a comma for whole
        check_unchanged(base, [file])
        raise FileFormatError(
            f"{file.path} is cut off: its list of documents has no end", fix="deliver the whole file", path=file.path
        )
    return "array"


def _batches(lines: Iterator[tuple[int, str, bool]]) -> Iterator[list[tuple[int, str, bool]]]:
    while batch := list(islice(lines, _BATCH_LINES)):
        yield batch
