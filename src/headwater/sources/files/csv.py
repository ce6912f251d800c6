"""CSV and TSV through DuckDB's own reader; every row is either good or exactly one reject.

DuckDB's reader loses rows when it cuts one file into parts and a damaged row lies at a cut (measured
with 1.5.5: in half of the files of 9 MB with 30 % damage). So a file is read in one piece, several files in parallel,
and one large file in parts only if rows and rejects afterwards add up to its lines; if not, it is read again in one
piece. A file that DuckDB cannot read at all (line ends of several kinds), or not exactly (UTF-16 that is
big-endian or damaged), is read row by row in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.sources.common.layout import PACKED, Layout, is_exact_in_duckdb, open_bytes, open_text, read_layout
from headwater.sources.files.loose import find_records, scan_loosely
from headwater.sources.files.scan import CsvScan, read_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.sources.common.listing import File

SPLIT_BYTES = 8_000_000
"""DuckDB does not cut plain files up to this size."""

Layouts = dict["File", Layout]


@dataclass
class CsvReader:
    """Reads a group of files so that rows and rejects add up.

    Attributes:
        scan: How DuckDB scans them.
        unknown: Columns that are not declared: a row with a value in one is a reject.
    """

    scan: CsvScan
    unknown: tuple[str, ...] = ()
    _parts: int = 0

    def read_group(self, files: Sequence[File]) -> tuple[SelectSql, SelectSql, int, int]:
        """Read files; return a SELECT of the good rows, one of the rejects (or ""), and how many rejects.

        The last number is that of lines which a reject took beside its first one: a quote was not closed.
        """
        declared = [column.name for column in self.scan.columns]
        found = {file: read_layout(self.scan.base, file.path, self.scan.dialect, declared) for file in files}
        layouts = {file: layout for file, layout in found.items() if layout is not None}
        base, encoding = self.scan.base, self.scan.dialect.encoding
        loose = {file for file in layouts if not is_exact_in_duckdb(base, file.path, encoding)}
        small = {f: layout for f, layout in layouts.items() if f not in loose and not self._may_be_cut(f)}
        parts = self._read_small(small)
        for file in layouts.keys() - small.keys():
            parts += (self._read_loosely if file in loose else self._read_checked)(file, layouts[file])
        for part in parts:
            self._place_unfit(part, layouts)
        rejected = [part for part in parts if self._count(f"{part}_rejects")]
        for part in rejected:
            self._number_lines(f"{part}_rejects")
        rows = SelectSql(" UNION ALL ".join(f"SELECT * FROM {part} WHERE _rule IS NULL" for part in sorted(parts)))
        rejects = SelectSql(
            " UNION ALL ".join(
                f"SELECT _file, _line, rule, reason, raw FROM {part}_rejects" for part in sorted(rejected)
            )
        )
        count = sum(self._count(f"{part}_rejects") for part in rejected)
        swallowed = sum(self._sum(f"{part}_rejects", "lines - 1") for part in rejected)
        return self._judged(rows or self._nothing()), rejects, count, swallowed

    def drop_rows(self) -> None:
        """Drop the rows; the rejects stay as long as the connection, for whoever reads them."""
        for number in range(1, self._parts + 1):
            self.scan.drop(self._name(number))

    # ------------------------------------------------------------------------------------------------- strategy

    def _may_be_cut(self, file: File) -> bool:
        """Whether the text, unpacked and in UTF-8, may be longer than what DuckDB reads in one piece."""
        size_bytes = file.size_bytes if self.scan.dialect.encoding == "utf-8" else 2 * file.size_bytes
        if size_bytes > SPLIT_BYTES or not file.path.endswith(PACKED):
            return size_bytes > SPLIT_BYTES
        unpacked = 0
        for block in self._blocks(file.path):
            unpacked += len(block)
            if unpacked > SPLIT_BYTES:
                return True
        return False

    def _read_small(self, layouts: Layouts) -> list[str]:
        """Read files that DuckDB does not cut, with one query."""
        import duckdb

        if not layouts:
            return []
        alone = {file for file in layouts if len(layouts) > 1 and self._may_end_in_quote(file)}
        if alone:
            rest = {file: layout for file, layout in layouts.items() if file not in alone}
            each = [self._read_small({file: layout}) for file, layout in layouts.items() if file in alone]
            return [*self._read_small(rest), *(part for parts in each for part in parts)]
        part = self._next_part()
        try:
            self.scan.run(layouts, part, f"{part}_rejects")
        except duckdb.InvalidInputException:
            if len(layouts) == 1:
                return [part for file, layout in layouts.items() for part in self._read_loosely(file, layout)]
            return [found for file, layout in layouts.items() for found in self._read_small({file: layout})]
        return [part]

    def _may_end_in_quote(self, file: File) -> bool:
        """Whether a quote may be open at the end: DuckDB forgets that reject among many files (measured with 1.5.5)."""
        quote = self.scan.dialect.quote.encode()
        return bool(quote) and sum(block.count(quote) for block in self._blocks(file.path)) % 2 == 1

    def _read_checked(self, file: File, layout: Layout) -> list[str]:
        """Read a file that DuckDB may cut: in parts, else in one piece, else row by row; the first that adds up."""
        import duckdb

        part = self._next_part()
        for whole in (False, True):
            try:
                self.scan.run({file: layout}, part, f"{part}_rejects", whole=whole)
            except duckdb.InvalidInputException:
                break
            if self._adds_up(file, layout, part):
                return [part]
        return self._read_loosely(file, layout)

    def _read_loosely(self, file: File, layout: Layout) -> list[str]:
        part = self._next_part()
        scan_loosely(self.scan, file, layout, part, f"{part}_rejects")
        return [part]

    def _next_part(self) -> str:
        self._parts += 1
        return self._name(self._parts)

    def _name(self, number: int) -> str:
        return f"hw_rows_{self.scan.token}_{number:05d}"

    def _count(self, table: str) -> int:
        return self._sum(table, "1")

    def _sum(self, table: str, value: str) -> int:
        row = self.scan.connection.execute(f"SELECT coalesce(sum({value}), 0) FROM {table}").fetchone()
        return int(row[0]) if row else 0

    # --------------------------------------------------------------------------------------------- what it yields

    def _nothing(self) -> SelectSql:
        nulls = [f"CAST(NULL AS {read_type(c.type)}) AS {quote_identifier(c.name)}" for c in self.scan.columns]
        return SelectSql(f"SELECT {', '.join(nulls)}, NULL::VARCHAR AS _file, NULL::BIGINT AS _line LIMIT 0")

    def _judged(self, rows: SelectSql) -> SelectSql:
        """Leave unknown columns out, and say which rows have a value in one."""
        unknown = {name.lower() for name in self.unknown}
        selected = ", ".join(
            quote_identifier(column.name) for column in self.scan.columns if column.name.lower() not in unknown
        )
        used = [(quote_identifier(name), quote_text(f"column {quote_identifier(name)}")) for name in self.unknown]
        tests = " OR ".join(f"{name} IS NOT NULL" for name, _ in used) or "FALSE"
        named = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN {told} END" for name, told in used) or "NULL"
        return SelectSql(
            f"SELECT {selected}, _file, _line, CASE WHEN {tests} THEN 'unknown_column' END AS _rule, "
            f"CASE WHEN {tests} THEN concat('not declared: ', concat_ws(', ', {named})) END AS _reason FROM ({rows})"
        )

    def _place_unfit(self, part: str, layouts: Layouts) -> None:
        """Make rejects of the rows with a value that does not fit, each with its place and text in the file."""
        found = self.scan.connection.execute(
            f"SELECT _file, _rule, _reason, _texts FROM {part} WHERE _texts IS NOT NULL ORDER BY rowid"
        ).fetchall()
        if not found:
            return
        import pyarrow as pa

        by_file: dict[str, list[tuple[str, str, list[str | None]]]] = {}
        for path, rule, reason, texts in found:
            by_file.setdefault(path, []).append((rule, reason, texts))
        rejects: list[tuple[str, int | None, str, str, str]] = []
        for file, layout in layouts.items():
            unfit = by_file.get(file.path, [])
            places = find_records(self.scan, file, layout, [texts for _, _, texts in unfit])
            rejects += [
                (file.path, line, rule, reason, raw)
                for (rule, reason, _), (line, raw) in zip(unfit, places, strict=True)
            ]
        view = f"hw_unfit_{self.scan.token}"
        names, types = ("_file", "_line", "rule", "reason", "raw"), (pa.string(), pa.int64(), *[pa.string()] * 3)
        arrays = [pa.array(values, kind) for values, kind in zip(zip(*rejects, strict=True), types, strict=True)]
        self.scan.connection.register(view, pa.table(arrays, names=list(names)))
        self.scan.connection.execute(f"INSERT INTO {part}_rejects SELECT *, NULL, NULL, NULL FROM {view}")
        self.scan.connection.unregister(view)

    # ------------------------------------------------------------------------------------------------ adding up

    def _adds_up(self, file: File, layout: Layout, part: str) -> bool:
        """Whether the line breaks of rows and rejects are those of the file: then no row was lost.

        Blank lines inside of the file do not count as rows, so a file that has some is read again in another way.
        """
        lines = trailing = 0
        for block in self._blocks(file.path):
            lines += block.count(b"\n")
            end = len(block.rstrip(b"\r\n"))
            trailing = block.count(b"\n", end) + (0 if end else trailing)
        lines += 1 - trailing - layout.lines
        rows = self._count(part) + self._count(f"{part}_rejects")
        return rows == lines or rows + self._line_breaks(part) == lines

    def _line_breaks(self, part: str) -> int:
        """Count the line breaks inside fields."""
        texts = [quote_identifier(c.name) for c in self.scan.columns if read_type(c.type) == "VARCHAR"]
        inside = " + ".join(f"coalesce(len({t}) - len(replace({t}, chr(10), '')), 0)" for t in texts) or "0"
        raw = "len(raw) - len(replace(raw, chr(10), ''))"
        row = self.scan.connection.execute(
            f"SELECT (SELECT coalesce(sum({inside}), 0) FROM {part}) + "
            f"(SELECT coalesce(sum({raw}), 0) FROM {part}_rejects)"
        ).fetchone()
        return int(row[0]) if row else 0

    def _number_lines(self, rejects: str) -> None:
        """Replace DuckDB's count of rows by the line a reject begins at, as an editor counts lines."""
        import pyarrow as pa

        asked = self.scan.connection.execute(
            f"SELECT _file, position, blank FROM {rejects} WHERE position IS NOT NULL ORDER BY _file, position"
        ).fetchall()
        by_file: dict[str, list[tuple[int, int]]] = {}
        for path, position, blank in asked:
            by_file.setdefault(path, []).append((position, blank))
        found = [
            (path, position, line)
            for path, places in by_file.items()
            for position, line in self._lines_at(path, places)
        ]
        view = f"hw_lines_{self.scan.token}"
        columns = list(zip(*found, strict=True)) or [(), (), ()]
        self.scan.connection.register(view, pa.table(dict(zip(("f", "p", "l"), map(list, columns), strict=True))))
        self.scan.connection.execute(
            f"UPDATE {rejects} SET _line = {view}.l FROM {view} "
            f"WHERE {rejects}._file = {view}.f AND {rejects}.position = {view}.p"
        )
        self.scan.connection.unregister(view)

    def _lines_at(self, path: str, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Yield (position, line) for positions in ascending order; positions count bytes of UTF-8 from 1."""
        line, end, wanted = 1, 0, list(reversed(places))
        for block in self._blocks(path):
            start, end = end, end + len(block)
            counted = 0
            while wanted and wanted[-1][0] - 1 <= end:
                position, blank = wanted.pop()
                upto = position - 1 - start
                line += block.count(b"\n", counted, upto)
                counted = upto
                yield position, line + blank
            line += block.count(b"\n", counted)
            if not wanted:
                return

    def _blocks(self, path: str) -> Iterator[bytes]:
        encoding = self.scan.dialect.read_encoding
        if encoding == "utf-8":
            with open_bytes(self.scan.base, path) as data:
                yield from iter(lambda: data.read(1 << 22), b"")
        else:
            with open_text(self.scan.base, path, encoding, "replace") as text:
                while block := text.read(1 << 22):
                    yield block.encode()
