"""Parquet: columns by name, whatever each file's own order; a value that does not fit the declared type is a reject.

DuckDB 1.5.5 reads some columns as less than they are (measured): decimals of more than 38 digits through a double, and
wrong ones; times of nanoseconds as microseconds. Files with such a column, or with one named like the reader's own, are
read by pyarrow, which has the values whole. Files with other types are never mixed in one scan, so that no value is
widened before it is looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.commit import Column
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.sources.common.listing import FileFormatError, duckdb_path, explain_errors
from headwater.sql.exact import EPOCHS, exact_cast_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.sources.common.listing import File

_OWN = ("file_row_number", "_hw_path")
_BATCH_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file.

    Attributes:
        name: Its name.
        type: The type it is read as.
        carried: The type that the scan gives, from which it is cast.
        source_type: What the file has, where DuckDB would make less of it and pyarrow has to read it.
    """

    name: str
    type: str
    carried: str
    source_type: str = ""


ParquetFields = tuple[Field, ...]


Nodes = dict[str, list[tuple[Any, ...]]]
"""The nodes of each file's schema, by its absolute path."""


def read_layouts(
    base: str, files: Sequence[File], connection: DuckDBPyConnection, nodes: Nodes | None = None
) -> dict[ParquetFields, list[File]]:
    """Read the columns of files from their footers (or take the `nodes` that were read); return files by their columns.

    Raises:
        FileFormatError: A file is not Parquet, or has a column that cannot be read as it is.
    """
    known = nodes or {}
    unread = [file for file in files if os.path.join(base, file.path) not in known]
    nodes = {**known, **read_nodes(base, unread, connection)}
    shapes: dict[tuple[Any, ...], list[File]] = {}
    for file in files:
        shapes.setdefault(tuple(nodes[os.path.join(base, file.path)]), []).append(file)
    found: dict[ParquetFields, list[File]] = {}
    for shape, alike in shapes.items():
        with explain_errors(base, alike[:1]):
            found.setdefault(_fields(base, alike[0], shape, connection), []).extend(alike)
    return found


def parquet_columns(layouts: Mapping[ParquetFields, Sequence[File]], connection: DuckDBPyConnection) -> list[Column]:
    """Return the columns of all files, by name; a type that differs between files is the one DuckDB gives both."""
    found: dict[str, list[Field]] = {}
    for layout in layouts:
        for field in layout:
            found.setdefault(field.name.lower(), []).append(field)
    return [
        Column(fields[0].name, _common_type([f.type for f in fields], connection), fields[0].source_type)
        for fields in found.values()
    ]


def parquet_rows(base: str, files: Sequence[File], connection: DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of files from their footers, by the path of each."""
    paths = {duckdb_path(base, file.path): file.path for file in files}
    if not paths:
        return {}
    listed = ", ".join(map(quote_text, paths))
    found = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])").fetchall()
    whole = {os.path.join(base, path): path for path in paths.values()}
    return {whole[name]: int(rows) for name, rows in found}


def parquet_query(
    base: str, layouts: Mapping[ParquetFields, Sequence[File]], columns: Sequence[Column], unknown: Sequence[str],
    token: str, connection: DuckDBPyConnection, *, absolute: bool = False, lenient: bool = False, shown: bool = False,
) -> SelectSql:  # fmt: skip
    """Return a SELECT of the columns, `_file`, `_line`, `_rule` and `_reason`; it may run once.

    A value in an `unknown` column rejects its row, and so does one that does not fit, unless `lenient` (it is NULL);
    `shown` says whether the reason may show the value.
    """
    selects = []
    for number, (layout, files) in enumerate(layouts.items()):
        scan = _scan(base, layout, files, f"hw_parquet_{token}_{number}", connection)
        path = "_hw_path" if absolute else f"substr(_hw_path, {len(base.rstrip(os.sep)) + 2})"
        selects.append(_select(scan, layout, columns, unknown, path, lenient=lenient, shown=shown))
    return SelectSql(" UNION ALL ".join(selects))


def find_damaged_parquet(base: str, files: Sequence[File]) -> Iterator[File]:
    """Yield the files that one of both readers cannot read to the end, each in an engine of its own."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            with duckdb.connect(config={"threads": 1}) as own:
                place = quote_text(duckdb_path(base, file.path))
                own.execute(f"SELECT max(hash(t)) FROM read_parquet([{place}], hive_partitioning=false) AS t")
            with pq.ParquetFile(os.path.join(base, file.path)) as opened:
                for _ in opened.iter_batches(_BATCH_ROWS):
                    pass
        except (duckdb.Error, pa.ArrowException, OSError):
            yield file


def read_nodes(base: str, files: Sequence[File], connection: DuckDBPyConnection) -> Nodes:
    """Read the schemas of files from their footers.

    Raises:
        FileFormatError: A file is not Parquet.
    """
    import duckdb

    found: Nodes = {}
    paths = ", ".join(quote_text(duckdb_path(base, file.path)) for file in files)
    query = (
        "SELECT file_name, name, coalesce(num_children, 0), coalesce(logical_type, ''), coalesce(type, ''), "
        f"duckdb_type, precision, scale FROM parquet_schema([{paths}])"
    )
    with explain_errors(base, files):
        try:
            for path, *node in connection.execute(query).fetchall() if files else ():
                found.setdefault(path, []).append(tuple(node))
            return found
        except duckdb.Error:
            if len(files) == 1:
                raise
    for file in files:  # names the damaged one
        found |= read_nodes(base, [file], connection)
    return found


def _fields(base: str, file: File, shape: Sequence[Any], connection: DuckDBPyConnection) -> ParquetFields:
    """Return the columns of a file from the nodes of its schema, in depth-first order, the root first."""
    typed: list[Any] = []
    if any(children for _, children, *_ in shape[1:]):  # the schema's nodes do not say what nested types are
        path = quote_text(duckdb_path(base, file.path))
        typed = connection.execute(f"DESCRIBE SELECT * FROM read_parquet([{path}], hive_partitioning=false)").fetchall()
    fields: list[Field] = []
    position = 1
    for number in range(shape[0][1]):
        name, end = shape[position][0], _end(shape, position)
        narrowed = [lost for node in shape[position:end] if (lost := _narrowed(node))]
        described = typed[number][1] if typed else str(shape[position][4])
        if narrowed and end > position + 1:
            raise FileFormatError(
                f"{file.path}: column {name!r} holds {narrowed[0][0]} inside of {described}, too fine to be read",
                fix="write it with 38 digits or microseconds at most, or as text", path=file.path,
            )  # fmt: skip
        if narrowed:
            source_type, carried, shown = narrowed[0]
            fields.append(Field(name, shown or described, carried, source_type))
        else:
            fields.append(Field(name, described, described))
        position = end
    _check_twice(file, fields)
    return tuple(fields)


def _end(shape: Sequence[Any], position: int) -> int:
    """Return where the nodes below the one at a position end."""
    end = position + 1
    for _ in range(shape[position][1]):
        end = _end(shape, end)
    return end


def _narrowed(node: Sequence[Any]) -> tuple[str, str, str] | None:
    """Return what DuckDB makes less of: the file's type, the one that pyarrow's values have, and the one to read as."""
    _, _, logical, physical, read, precision, scale = node
    if logical.startswith("DecimalType") and read == "DOUBLE":
        return f"DECIMAL({precision},{scale})", "VARCHAR", "VARCHAR"
    nanoseconds = "NANOS=NanoSeconds" in logical
    if nanoseconds and logical.startswith("TimestampType") and read == "TIMESTAMP WITH TIME ZONE":
        return "TIMESTAMP_NS WITH TIME ZONE", "TIMESTAMP_NS", ""
    if nanoseconds and logical.startswith("TimeType"):
        return "TIME_NS", "VARCHAR", "TIME"
    return ("INT96", "TIMESTAMP_NS", "") if physical == "INT96" else None


def _check_twice(file: File, fields: Sequence[Field]) -> None:
    seen: set[str] = set()
    for field in fields:
        if not field.name:
            raise FileFormatError(
                f"{file.path}: a column has no name", fix="name it where the file is written", path=file.path
            )
        if field.name.lower() in seen:
            raise FileFormatError(
                f"{file.path}: column {field.name!r} is there twice, whatever its case",
                fix="rename one of them where the file is written",
                path=file.path,
            )
        seen.add(field.name.lower())


def _common_type(types: Sequence[str], connection: DuckDBPyConnection) -> str:
    if len(set(types)) == 1:
        return types[0]
    union = " UNION ALL ".join(f"SELECT CAST(NULL AS {type_text}) AS x" for type_text in dict.fromkeys(types))
    return str(connection.execute(f"DESCRIBE {union}").fetchall()[0][1])


def _scan(base: str, layout: ParquetFields, files: Sequence[File], view: str, connection: DuckDBPyConnection) -> str:
    """Return a SELECT of the columns as they are carried, named `_hw_c<n>`, `_hw_path` and `_hw_row`, from 0."""
    own = any(field.name.lower() in _OWN for field in layout)
    if not own and not any(field.source_type for field in layout):
        paths = ", ".join(quote_text(duckdb_path(base, file.path)) for file in files)
        names = ", ".join(f"{quote_identifier(field.name)} AS _hw_c{number}" for number, field in enumerate(layout))
        return (
            f"SELECT {names}, _hw_path, file_row_number AS _hw_row FROM read_parquet([{paths}], filename='_hw_path', "
            "file_row_number=true, hive_partitioning=false)"
        )
    import pyarrow as pa

    batches = _batches(base, layout, files)
    first = next(batches)
    reader = pa.RecordBatchReader.from_batches(first.schema, _chain(first, batches))
    connection.register(view, reader)
    typed = ", ".join(f"CAST(_hw_c{number} AS {field.carried}) AS _hw_c{number}" for number, field in enumerate(layout))
    return f"SELECT {typed}, _hw_path, _hw_row FROM {view}"


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _batches(base: str, layout: ParquetFields, files: Sequence[File]) -> Iterator[Any]:
    """Yield the files' rows as Arrow, each column as it is carried; an empty file has one empty batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*(f"_hw_c{number}" for number in range(len(layout))), "_hw_path", "_hw_row"]
    for file in files:
        path, row = os.path.join(base, file.path), 0
        with pq.ParquetFile(path) as opened:
            empty = opened.schema_arrow.empty_table().to_batches() or [
                pa.RecordBatch.from_pylist([], opened.schema_arrow)
            ]
            batches = opened.iter_batches(_BATCH_ROWS) if opened.metadata.num_rows else iter(empty)
            for batch in batches:
                arrays = [_carried(batch.column(i), field) for i, field in enumerate(layout)]
                arrays.append(pa.array([path] * batch.num_rows, pa.string()))
                arrays.append(pa.array(range(row, row + batch.num_rows), pa.int64()))
                row += batch.num_rows
                yield pa.RecordBatch.from_arrays(arrays, names)


def _carried(array: Any, field: Field) -> Any:
    import pyarrow as pa

    if not field.source_type:
        return array
    return array.cast(pa.string() if field.carried == "VARCHAR" else pa.timestamp("ns"))


def _select(
    scan: str,
    layout: ParquetFields,
    columns: Sequence[Column],
    unknown: Sequence[str],
    path: str,
    *,
    lenient: bool,
    shown: bool,
) -> str:
    places = {field.name.lower(): (f"_hw_c{number}", field) for number, field in enumerate(layout)}
    tried, selected, failed = [], [], []
    for number, column in enumerate(columns):
        name = quote_identifier(column.name)
        wanted = EPOCHS[column.type][0] if column.type in EPOCHS else column.type
        value, field = places.get(column.name.lower(), ("", None))
        if field is None:
            selected.append(f"CAST(NULL AS {wanted}) AS {name}")
        elif field.carried == wanted:
            selected.append(f"{value} AS {name}")
        else:
            tried.append(f"{exact_cast_sql(value, field.carried, wanted)} AS _hw_t{number}")
            selected.append(f"_hw_t{number} AS {name}")
            failed += [] if lenient else [_failure(column, value, f"_hw_t{number}", shown=shown)]
    casts = f"nullif(concat_ws('; ', {', '.join(failed)}), '')" if failed else "NULL::VARCHAR"
    foreign = [(places[name.lower()][0], name) for name in unknown if name.lower() in places]
    used = ", ".join(f"CASE WHEN {value} IS NOT NULL THEN {quote_text(name)} END" for value, name in foreign)
    extra = f"nullif(concat_ws(', ', {used}), '')" if used else "NULL::VARCHAR"
    inner = f"SELECT {', '.join(['*', *tried])} FROM ({scan})"
    rows = (
        f"SELECT {', '.join(selected)}, {path} AS _file, _hw_row + 1 AS _line, {casts} AS _hw_cast, {extra} AS _hw_used"
    )
    return (
        "SELECT * EXCLUDE (_hw_cast, _hw_used), "
        "CASE WHEN _hw_cast IS NOT NULL THEN 'cast' WHEN _hw_used IS NOT NULL THEN 'unknown_column' END AS _rule, "
        f"coalesce(_hw_cast, 'not declared: ' || _hw_used) AS _reason FROM ({rows} FROM ({inner}))"
    )


def _failure(column: Column, value: str, typed: str, *, shown: bool) -> str:
    """Return SQL of why a value is a reject, or NULL."""
    reason = quote_text(f"column {quote_identifier(column.name)} is not a {column.type}")
    told = f"concat({reason}, ': ', left(CAST({value} AS VARCHAR), 200))" if shown else reason
    return f"CASE WHEN {value} IS NOT NULL AND {typed} IS NULL THEN {told} END"
