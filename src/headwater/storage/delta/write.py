"""The files of a change to a Delta table: new rows in new files, files that hold affected rows written anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.contracts.commits import Effect, evolve_columns, spell_as
from headwater.contracts.ranges import group_ranges, list_time_columns, ranges_of_files, read_ranges
from headwater.core.fragments import PredicateSql, SelectSql, quote_identifiers
from headwater.errors import StateError
from headwater.storage.common.disk import link_file, sync_folder
from headwater.storage.common.parquet import DataFile, cast_rows, name_part, scan_files, write_parquet
from headwater.storage.common.staging import take_parts
from headwater.storage.delta.log import DeltaChange, LiveFile, make_schema, read_columns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from deltalake import Schema
    from duckdb import DuckDBPyConnection

    from headwater.contracts import Change, Load
    from headwater.core.commit import Column

_FILE = "_headwater_file"
_KEYS = "temp._headwater_keys"


@dataclass(frozen=True, slots=True)
class Base:
    """The table that a change is applied to; without columns there is none yet."""

    folder: Path
    columns: tuple[Column, ...] = ()
    live: tuple[LiveFile, ...] = ()

    def path(self, file: LiveFile) -> str:
        """Return where a file of the table lies."""
        return str(self.folder / file.name)


@dataclass(slots=True)
class Written:
    """What a change has written aside: files to add, files to remove, the schema, and the effect on rows."""

    schema: Schema
    columns: tuple[Column, ...]
    effect: Effect
    adds: list[DataFile] = field(default_factory=list)
    removes: list[LiveFile] = field(default_factory=list)
    untouched: list[LiveFile] = field(default_factory=list)

    def scan(self, base: Base) -> SelectSql:
        """Return a SELECT over the table as it will be."""
        paths = [*(base.path(file) for file in self.untouched), *(file.path for file in self.adds)]
        return scan_files(self.columns, paths, rows=_count(self.untouched) + _count(self.adds))


def write_change(base: Base, load: Load, change: Change, scratch: Path) -> Written:
    """Write the files of a change into `scratch`; nothing of it is visible."""
    if change.mode == "record" and not base.columns:
        raise StateError(f"{load.table}: there is no table to record a commit on", fix="write the table first")
    given = spell_as(base.columns, change.columns or base.columns)
    wanted = read_columns(make_schema(load.connection, given))
    columns = evolve_columns(base.columns, replace(change, columns=wanted))
    written = Written(make_schema(load.connection, columns), columns, Effect(), untouched=list(base.live))
    if change.mode == "record":
        return written
    types = {column.name: column for column in columns}
    written.adds = take_parts(base.folder, load.load_id, change.rows, wanted) or write_parquet(
        load.connection,
        cast_rows(change.rows.on(load.connection), given, [types.get(c.name, c) for c in given]),
        scratch / "rows",
    )
    written.effect.inserted = sum(file.rows for file in written.adds)
    written.effect.ranges = ranges_of_files(written.adds, columns)
    if change.mode == "replace" or not base.columns:
        _replace(base, load.connection, written)
    else:
        _rewrite(base, load.connection, change, written, scratch)
    return written


def _replace(base: Base, connection: DuckDBPyConnection, written: Written) -> None:
    effect = written.effect
    effect.replaced, effect.rows = True, effect.inserted
    counts = [file.rows for file in base.live]
    effect.deleted = None if None in counts else sum(count or 0 for count in counts)
    if list_time_columns(base.columns) and base.live and effect.ranges is not None:
        old = scan_files(base.columns, [base.path(file) for file in base.live], rows=_count(base.live))
        effect.ranges.append(read_ranges(connection, base.columns, f"({old})")[1])
    written.removes, written.untouched = list(base.live), []


def _rewrite(base: Base, connection: DuckDBPyConnection, change: Change, written: Written, scratch: Path) -> None:
    """Write anew, without the rows that go, the files that hold such rows (all of them when a type changes)."""
    before = {column.name: column.type for column in base.columns}
    after = {column.name: column.type for column in written.columns}
    retyped = any(after[name] != type_text for name, type_text in before.items())
    written.effect.schema_changed = before != after
    affected = _find_affected(base, connection, change, written)
    partly: list[LiveFile] = []
    untouched: list[LiveFile] = []
    for file in base.live:
        goes = affected.get(base.path(file), 0)
        if goes and goes == file.rows:
            written.removes.append(file)
        elif goes or retyped or (written.effect.schema_changed and file.rows is None):
            partly.append(file)
        else:
            untouched.append(file)
    if partly:
        rows = scan_files(base.columns, [base.path(file) for file in partly], rows=_count(partly))
        stay = rows
        if affected:
            stay = SelectSql(f"SELECT * FROM ({rows}) AS _old WHERE ({_predicate(change)}) IS NOT TRUE")
        written.adds += write_parquet(connection, cast_rows(stay, base.columns, written.columns), scratch / "kept")
    written.removes += partly
    written.untouched = untouched
    if change.mode == "merge":
        connection.execute(f"DROP TABLE IF EXISTS {_KEYS}")


def _count(files: Iterable[LiveFile | DataFile]) -> int:
    return sum(file.rows or 0 for file in files)


def _find_affected(base: Base, connection: DuckDBPyConnection, change: Change, written: Written) -> dict[str, int]:
    """Return how many rows go, per file that holds such rows; their count and ranges are added to the effect."""
    if change.mode == "append":
        return {}
    if change.mode == "merge":
        _hold_keys(connection, change, written)
    rows = scan_files(base.columns, [base.path(file) for file in base.live], rows=_count(base.live), file_column=_FILE)
    source = f"({rows}) AS _old WHERE {_predicate(change)}"
    affected, ranges = group_ranges(connection, base.columns, source, _FILE)
    written.effect.deleted = sum(affected.values())
    if written.effect.ranges is not None:
        written.effect.ranges += ranges
    return affected


def _hold_keys(connection: DuckDBPyConnection, change: Change, written: Written) -> None:
    """Keep the keys that are written or deleted in a temporary table: they are needed twice."""
    key = quote_identifiers(change.key)
    new = scan_files(written.columns, [file.path for file in written.adds], rows=_count(written.adds))
    deletes = f" UNION ALL SELECT {key} FROM ({change.deletes}) AS _deletes({key})" if change.deletes else ""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _headwater_keys AS SELECT {key} FROM ({new}){deletes}")


def _predicate(change: Change) -> PredicateSql:
    if change.mode == "overwrite_where":
        return PredicateSql(f"({change.where})")
    return PredicateSql(
        f"({quote_identifiers(change.key, '_old.')}) IN (SELECT ({quote_identifiers(change.key)}) FROM {_KEYS})"
    )


def place_files(base: Base, written: Written) -> DeltaChange:
    """Link the files into the table's folder; whoever commits them checks them: Delta accepts what is not there.

    A new column makes the files that stay a part of the commit as well, under new names: it is the only way to change
    schema and rows in one version of the log.
    """
    whole = written.effect.replaced or written.effect.schema_changed
    adds = list(written.adds)
    if written.effect.schema_changed:
        adds += [DataFile(base.path(file), file.rows or 0, file.size_bytes) for file in written.untouched]
    placed = []
    for file in adds:
        target = base.folder / name_part(file.path)
        link_file(base.folder / file.path, target)
        placed.append(file.at(target))
    sync_folder(base.folder)
    return DeltaChange(written.schema, placed, written.removes, whole=whole)
