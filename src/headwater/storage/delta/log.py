"""A Delta table as the lakehouse sees it: its schema in DuckDB's types, its files, its log, and one commit to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.commit import Column
from headwater.core.files import read_regular
from headwater.core.fragments import quote_identifier
from headwater.errors import ConnectorError
from headwater.storage.common.disk import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from deltalake import DeltaTable, Schema
    from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType
    from deltalake.transaction import AddAction, RemoveAction
    from duckdb import DuckDBPyConnection

    from headwater.storage.common.parquet import DataFile

    DeltaType = PrimitiveType | ArrayType | MapType | StructType

_PRIMITIVES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
}

_FROM_ARROW = {
    "string": "string",
    "int64": "long",
    "int32": "integer",
    "int16": "short",
    "int8": "byte",
    "float": "float",
    "double": "double",
    "bool": "boolean",
    "binary": "binary",
    "date32[day]": "date",
    "timestamp[us]": "timestamp_ntz",
}

_HARMLESS = {"OPTIMIZE", "VACUUM START", "VACUUM END", "ADD FEATURE"}
"""Operations after which the rows are the same."""

_OURS = "headwater"
"""Key under which a version says which commit of ours it is."""

_MARK = "headwaterVersion"
"""Key under which a version of the log carries what no other version does."""

_COMPACTION = {_OURS: "compaction"}
"""What marks a version of the log that joins files of ours; its rows are the same."""

_VERSION = re.compile(r"[0-9]{20}\.")
"""What the name of an entry of the log begins with."""

_HOLDS_VERSION = re.compile(r"[0-9]{20}\.(json|checkpoint.*parquet)|_last_checkpoint")
"""What the name of an entry is that tells of a version; a kill may leave others, `….json#1` of an unfinished one."""

_CONTENT = "headwater.content"
"""What a version of ours says of the whole table, see `find_altered`."""

_READABLE = {"timestampNtz"}
"""Reader features of the Delta protocol that do not change what a plain Parquet file means."""

_CONFIGURATION: dict[str, str | None] = {"delta.checkpointInterval": "20"}
"""Opening a table reads its log since the last checkpoint."""

_SOURCE_TYPE = "headwater.source_type"


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One file of the table's current version: its name in the log, row count (None: not in the log) and size."""

    name: str
    rows: int | None
    size_bytes: int


def open_delta(folder: Path) -> DeltaTable | None:
    """Open the table in a folder; None when there is none.

    Raises:
        DamagedFileError: There is a log, and it cannot be read.
    """
    from deltalake import DeltaTable

    log = folder / "_delta_log"
    if not os.path.lexists(log):
        return None
    with reading_log(folder):
        if not DeltaTable.is_deltatable(str(folder)):
            if not any(_HOLDS_VERSION.fullmatch(name) for name in os.listdir(log)):
                return None
            raise ValueError("it holds no version of a table")
        with os.scandir(log) as entries:  # the library passes over what is no file, and shows an older version
            odd = [entry.name for entry in entries if _VERSION.match(entry.name) and not entry.is_file()]
        if odd:
            raise ValueError(f"{odd[0]} is not a file")
        return DeltaTable(str(folder))


class reading_log:  # noqa: N801
    """Raises whatever goes wrong while a table's log is read as one error that names it.

    Raises:
        DamagedFileError: The log cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "_delta_log"

    def __enter__(self) -> None:
        """Begin to listen for what goes wrong."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Explain an error of the library, or a panic, in which its own code may end."""
        from deltalake.exceptions import DeltaError

        if isinstance(error, OSError):
            raise DamagedFileError(f"its log {self.log} cannot be read: {error.strerror or error}") from None
        kinds = (DeltaError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
        if isinstance(error, kinds) or type(error).__module__ == "pyo3_runtime":
            told = str(error).partition("\n")[0]
            raise DamagedFileError(f"its log {self.log} is damaged: {told}") from None


def make_schema(connection: DuckDBPyConnection, columns: Sequence[Column]) -> Schema:
    """Return the Delta schema of columns.

    Raises:
        ConnectorError: Delta has no such type.
    """
    from deltalake import Field, Schema

    casts = ", ".join(f"CAST(NULL AS {column.type}) AS {quote_identifier(column.name)}" for column in columns)
    arrow = connection.sql(f"SELECT {casts} LIMIT 0").to_arrow_table().schema
    fields = []
    for column, found in zip(columns, arrow, strict=True):
        metadata = {_SOURCE_TYPE: column.source_type} if column.source_type else {}
        fields.append(Field(column.name, _delta_type(found.type, column), metadata=metadata))
    return Schema(fields)


def _delta_type(arrow: pa.DataType, column: Column) -> DeltaType:
    import pyarrow as pa
    from deltalake import Field
    from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType

    name = _FROM_ARROW.get(str(arrow))
    if pa.types.is_timestamp(arrow) and arrow.tz and arrow.unit == "us":
        name = "timestamp"
    elif pa.types.is_decimal(arrow):
        name = f"decimal({arrow.precision},{arrow.scale})"
    if name:
        return PrimitiveType(name)
    if pa.types.is_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return ArrayType(_delta_type(arrow.value_type, column))
    if pa.types.is_map(arrow):
        return MapType(_delta_type(arrow.key_type, column), _delta_type(arrow.item_type, column))
    if pa.types.is_struct(arrow):
        return StructType([Field(part.name, _delta_type(part.type, column)) for part in arrow])
    raise ConnectorError(
        f"column {column.name!r}: Delta has no type for {column.type}",
        fix="cast it, or keep the table in the warehouse",
    )


def read_columns(schema: Schema) -> tuple[Column, ...]:
    """Return the columns of a Delta schema in DuckDB's types."""
    return tuple(
        Column(part.name, _duckdb_type(part.type), str(part.metadata.get(_SOURCE_TYPE, ""))) for part in schema.fields
    )


def _duckdb_type(delta: Any) -> str:
    from deltalake.schema import ArrayType, MapType, StructType

    if isinstance(delta, ArrayType):
        return f"{_duckdb_type(delta.element_type)}[]"
    if isinstance(delta, MapType):
        return f"MAP({_duckdb_type(delta.key_type)}, {_duckdb_type(delta.value_type)})"
    if isinstance(delta, StructType):
        return (
            f"STRUCT({', '.join(f'{quote_identifier(part.name)} {_duckdb_type(part.type)}' for part in delta.fields)})"
        )
    name = str(delta.type)
    return _PRIMITIVES.get(name) or name.upper()


def list_live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the files of the table's current version; without pyarrow, which would import pandas where it is there."""
    actions = table.get_add_actions()
    columns = (actions.column(name).to_pylist() for name in ("path", "num_records", "size_bytes"))
    return [LiveFile(*row) for row in zip(*columns, strict=True)]


def find_unreadable(table: DeltaTable) -> str:
    """Return why the table's files cannot be read as plain Parquet, or ""."""
    protocol = table.protocol()
    features = sorted(set(protocol.reader_features or []) - _READABLE)
    if features:
        return f"it uses the Delta features {', '.join(features)}"
    if protocol.min_reader_version == 2:
        return "it uses column mapping"
    if table.metadata().partition_columns:
        return "it was partitioned"
    return ""


def find_foreign(folder: Path, table: DeltaTable, after: int) -> str:
    """Return what somebody else did to the table after its version `after`, or ""."""
    for version in range(after + 1, table.version() + 1):
        made_by = _read_info(folder, version)
        if made_by is None:
            return f"version {version} is not in its log"
        operation = made_by.get("operation", "an unknown operation")
        if operation not in _HARMLESS and not made_by.items() >= _COMPACTION.items():
            return f"version {version} was made by {operation}"
    return "" if table.version() >= after else f"it is at version {table.version()}, before ours ({after})"


def check_whole(folder: Path, version: int, app_id: str, sequence: int) -> None:
    """See that a version which holds our transaction says that it is ours: lines of its entry may be gone.

    Raises:
        ValueError: It does not.
    """
    made_by = _read_info(folder, version)
    if made_by is not None and made_by.get(_OURS) != f"{app_id}@{sequence}":  # None: cleaned away with the log since
        raise ValueError(f"the entry of version {version} is not whole")


def find_altered(folder: Path, table: DeltaTable, columns: Sequence[Column], files: Sequence[LiveFile]) -> str:
    """Return that the log tells of other columns or files than were committed, or "": its text has no checksum."""
    said = (_read_info(folder, table.version()) or {}).get(_CONTENT)
    if said in (None, _content(columns, {file.name: file.size_bytes for file in files})):
        return ""
    return f"its log {folder / '_delta_log'} is damaged: it lists other columns or files than were committed"


def _content(columns: Sequence[Column], files: Mapping[str, int]) -> str:
    """Return a digest of what a version of a table is: its columns, and its files with their sizes."""
    text = json.dumps([[[c.name, c.type, c.source_type] for c in columns], sorted(files.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _content_after(table: DeltaTable | None, change: DeltaChange) -> str:
    kept = table is not None and not change.whole
    schema = table.schema() if table is not None and kept else change.schema
    files = {file.name: file.size_bytes for file in list_live_files(table)} if table is not None and kept else {}
    for file in change.removes:
        files.pop(file.name, None)
    files |= {file.path.rpartition("/")[2]: file.size_bytes for file in change.adds}
    return _content(read_columns(schema), files)


def log_entry(folder: Path, version: int) -> Path:
    """Return the file of one version of a table's log."""
    return folder / "_delta_log" / f"{version:020d}.json"


def _read_info(folder: Path, version: int) -> dict[str, Any] | None:
    """Return what a version of the log says of who made it; None when it is not in the log.

    Raises:
        ValueError: It says nothing at all: the library takes an empty file for a version that changes nothing.
    """
    try:
        text = read_regular(log_entry(folder, version)).decode()
    except FileNotFoundError:
        return None
    actions = [json.loads(line) for line in text.splitlines() if line]
    if not actions:
        raise ValueError(f"the entry of version {version} is empty")
    found: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    return found


def read_mark(folder: Path, version: int) -> str | None:
    """Return the mark of a version of the log: "" when it has none, None when the version is not in the log."""
    made_by = _read_info(folder, version)
    return None if made_by is None else str(made_by.get(_MARK, ""))


def lacks_types(table: DeltaTable, schema: Schema) -> bool:
    """Whether `enable_types` is needed: a schema with a first timestamp without zone alone would be unreadable."""
    return '"timestamp_ntz"' in schema.to_json() and "timestampNtz" not in (table.protocol().reader_features or [])


def enable_types(table: DeltaTable, mark: str) -> None:
    """Write one version of the log that lets the table hold timestamps without zone."""
    from deltalake import TableFeatures
    from deltalake.transaction import CommitProperties

    table.alter.add_feature(
        TableFeatures.TimestampWithoutTimezone,
        allow_protocol_versions_increase=True,
        commit_properties=CommitProperties(custom_metadata={_MARK: mark}, max_commit_retries=0),
    )


@dataclass(frozen=True, slots=True)
class DeltaChange:
    """What one Delta commit does: files added, files removed; `whole`: the files added are all that is left."""

    schema: Schema
    adds: Sequence[DataFile]
    removes: Sequence[LiveFile] = ()
    whole: bool = False


def commit_delta(
    folder: Path, table: DeltaTable | None, change: DeltaChange, mark: str, app_id: str, sequence: int
) -> None:
    """Write one version of the log right after the handle's own; any version in between makes it fail."""
    from deltalake.transaction import CommitProperties, Transaction
    from deltalake.transaction import create_table_with_add_actions as create

    adds, removes = _list_actions(change, data_change=True)
    properties = CommitProperties(
        custom_metadata={_OURS: f"{app_id}@{sequence}", _MARK: mark, _CONTENT: _content_after(table, change)},
        max_commit_retries=0,
        app_transactions=[Transaction(app_id=app_id, version=sequence)],
    )
    if table is None:
        create(str(folder), change.schema, adds, configuration=_CONFIGURATION, commit_properties=properties)
        return
    actions: list[AddAction | RemoveAction] = [*adds] if change.whole else [*adds, *removes]
    mode = "overwrite" if change.whole else "append"
    table.create_write_transaction(actions, mode, change.schema, commit_properties=properties)


def compact_delta(table: DeltaTable, change: DeltaChange, mark: str) -> None:
    """Write one version of the log that says the same rows lie in other files; as strict as `commit_delta`.

    The producer's sequence in the log stays: it is no commit, and who follows the log is told that no data changed.
    """
    from deltalake.transaction import CommitProperties

    adds, removes = _list_actions(change, data_change=False)
    properties = CommitProperties(
        custom_metadata={**_COMPACTION, _MARK: mark, _CONTENT: _content_after(table, change)}, max_commit_retries=0
    )
    table.create_write_transaction([*adds, *removes], "append", change.schema, commit_properties=properties)


def _list_actions(change: DeltaChange, *, data_change: bool) -> tuple[list[AddAction], list[RemoveAction]]:
    from deltalake.transaction import AddAction, RemoveAction

    now_ms = int(time.time() * 1000)
    adds = [
        AddAction(name, file.size_bytes, {}, now_ms, data_change, json.dumps(_statistics(file, change.schema)))
        for file in change.adds
        for name in [file.path.rpartition("/")[2]]
    ]
    removes = [RemoveAction(file.name, data_change, now_ms, file.size_bytes, {}) for file in change.removes]
    return adds, removes


def _statistics(file: DataFile, schema: Schema) -> dict[str, Any]:
    """Return what readers may prune by: only what cannot be wrong (a text's maximum may be cut short)."""
    nulls: dict[str, int] = {}
    lowest: dict[str, int | str] = {}
    highest: dict[str, int | str] = {}
    for column in read_columns(schema):
        found = file.statistics.get(quote_identifier(column.name), {})
        if "null_count" in found:
            nulls[column.name] = int(found["null_count"])
        if "min" not in found or column.type not in ("DATE", "BIGINT", "INTEGER", "SMALLINT", "TINYINT"):
            continue
        if column.type != "DATE":
            lowest[column.name], highest[column.name] = int(found["min"]), int(found["max"])
        elif len(found["min"]) == len(found["max"]) == len("2000-01-01"):
            lowest[column.name], highest[column.name] = found["min"], found["max"]
    return {"numRecords": file.rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}
