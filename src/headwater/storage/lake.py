"""The lake: a folder of Parquet files per load. A commit is one rename of that folder."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, StageResult
from headwater.core.commit import Column, Commit, TableState
from headwater.core.layers import Family
from headwater.errors import ConnectorError, StateError
from headwater.storage.claims import Record, complete_position, merge_chain, read_chain, read_record, record_json
from headwater.storage.commits import (
    WEEK_S,
    Effect,
    evolve_columns,
    foreign_table,
    make_receipt,
    seal_commit,
    spell_as,
    stale_commit,
)
from headwater.storage.disk import link_file, read_json, remove_tree, report_full_disk, sync_folder, write_json
from headwater.storage.folders import dataset_folder, list_datasets, own_folder, scratch_folder
from headwater.storage.lake_objects import Objects, objects_folder, sweep_objects
from headwater.storage.parquet import DataFile, cast_rows, find_damaged, scan_files, write_parquet
from headwater.storage.rejects import scan_rejects, write_rejects
from headwater.storage.sql import quote_name
from headwater.storage.staging import drop_staging, read_staging, remove_staging, stage_chunk, take_parts
from headwater.storage.times import list_time_columns, ranges_of_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Change, Load, ObjectCopy, Session
    from headwater.core.commit import Receipt


@dataclass(frozen=True, slots=True)
class _Loads:
    """The visible loads of a table, oldest first, and why they are not as we left them."""

    folder: Path
    records: tuple[Record, ...] = ()
    foreign: str = ""
    dropped: int = 0

    @property
    def last(self) -> Record | None:
        """The newest load."""
        return self.records[-1] if self.records else None

    @property
    def live(self) -> tuple[Record, ...]:
        """The loads that readers see: from the last one that replaced everything."""
        replacing = [index for index, record in enumerate(self.records) if record.commit.replaces_all]
        return self.records[replacing[-1] :] if replacing else self.records

    def files(self, records: Sequence[Record] | None = None) -> list[DataFile]:
        """Return the data files of some loads; of those that readers see when they are left out."""
        return [
            DataFile.from_dict(load_folder(self.folder, record.commit.sequence), file)
            for record in (self.live if records is None else records)
            for file in record.kept["files"]
        ]

    def columns(self) -> tuple[Column, ...]:
        """Return the columns the table has now."""
        return tuple(Column(*column) for column in self.last.kept["columns"]) if self.last else ()


class Lake:
    """Loads as folders of Parquet files; a full load is a new load that replaces the earlier ones for readers.

    Emits: `append` and `replace`; nothing is ever rewritten. Files as they are (`keep_object`), below `_objects/`.
    Units and time zone: types are DuckDB's own, as far as Parquet has them; instants in UTC.
    State: `_commit.json` in each load's folder.
    Delivery: exactly once; a load's number follows its predecessor's, and renaming onto an existing load fails.
    Raises: `StateError` when somebody else wrote in between or removed a load, `ConnectorError` for a full disk.
    Source: https://parquet.apache.org/docs/file-format/
    """

    kind: ClassVar[str] = "lake"
    family: ClassVar[Family] = Family.LAKE
    modes: ClassVar[frozenset[str]] = frozenset({"append", "replace"})

    def __init__(self, path: str, session: Session) -> None:
        """`path` is the folder of all tables; a load is `<path>/<namespace>/<dataset>/load=<sequence>/`."""
        self._path = path
        self._session = session
        self._records: dict[Path, tuple[int, Record]] = {}
        self._objects = Objects(path)

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables; a load that was read once is not read again."""
        states = {}
        for name in list(list_datasets(self._path)) if tables is None else tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                continue
            loads = self._read_loads(folder)
            staging = read_staging(folder, loads.last.commit.sequence if loads.last else None)
            hint = read_json(_hint_path(folder)) or {"sequence": 0}
            if loads.last or staging or hint["sequence"] > loads.dropped:
                states[name] = replace(_describe_loads(name, loads), staging=staging)
        return states

    def _read_loads(self, folder: Path) -> _Loads:
        hint = read_json(_hint_path(folder)) or {}
        dropped = int(hint.get("dropped", 0))
        numbers = sorted(int(entry.name[5:]) for entry in folder.glob("load=*") if entry.name[5:].isdigit())
        records, foreign, expected = [], "", None
        for number in (number for number in numbers if number > dropped):
            record = self._read_load(load_folder(folder, number))
            if record is None:
                continue
            if record.commit.previous != expected:
                foreign = f"{load_folder(folder, record.commit.previous or 0)} is gone"
            records.append(record)
            expected = number
        return _Loads(folder, tuple(records), foreign, dropped)

    def _read_load(self, place: Path) -> Record | None:
        path = place / "_commit.json"
        try:
            changed_ns = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        known = self._records.get(path)
        if known and known[0] == changed_ns:
            return known[1]
        record = read_record(path)
        if record is not None:
            self._records[path] = changed_ns, record
        return record

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: str) -> StageResult:
        """Write one chunk's rows into Parquet files under `_headwater/staging/`."""
        folder = self._writable(load.table)
        last = self._read_loads(folder).last
        with report_full_disk(folder):
            return stage_chunk(folder, load, manifest, chunk, rows, sequence=last.commit.sequence if last else None)

    def keep_object(self, table: str, path: str) -> ObjectCopy:
        """Copy a file into the table's `_objects/`, named by its SHA-256 and the extension of its own name."""
        folder = self._writable(table)
        with report_full_disk(folder):
            return self._objects.keep(folder, path)

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write a load's folder aside and rename it: the number of a load is the one after its predecessor's."""
        folder = self._writable(load.table)
        with report_full_disk(folder), scratch_folder(folder) as scratch:
            hint = read_json(_hint_path(folder)) or {}
            loads = self._read_loads(folder)
            first = max(commit.sequence, int(hint.get("sequence", 0)) + 1)
            commit = commit.at(first if commit.previous is None else commit.previous + 1)
            _compare(loads, load, commit)
            aside = scratch / "load"
            aside.mkdir()
            effect, files = _write_rows(loads, load, change, aside)
            rejects = _write_rejects(loads, load, change, commit, aside)
            before = [] if change.mode == "replace" else loads.files()
            load.audit(scan_files(effect.columns, [file.path for file in [*before, *files]]))
            load.notify("before_commit")
            sealed = seal_commit(commit, effect, loads.last.commit if loads.last else None)
            sealed = replace(sealed, replaces_all=change.mode == "replace")
            sealed = complete_position(sealed, _read_chain(loads))
            kept = {
                "columns": [[column.name, column.type, column.source_type] for column in effect.columns],
                "files": [_without_statistics(file, effect.columns).to_dict() for file in files],
                "rejects": rejects,
            }
            write_json(aside / "_commit.json", record_json(sealed, kept))
            load.notify("claimed")
            _make_visible(folder, aside, load, sealed)
        load.notify("after_commit")
        write_json(_hint_path(folder), {"sequence": sealed.sequence, "dropped": loads.dropped})
        drop_staging(folder, load.load_id)
        state = _describe_loads(load.table, self._read_loads(folder))
        return make_receipt(effect, replace(state, commit=sealed))

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Remove the data of loads that nobody can read any more and what killed loads left, or drop the tables."""
        results = {}
        for name in tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                results[name] = MaintainResult()
                continue
            self._writable(name)
            loads = self._read_loads(folder)
            with closing(self._session.cursor()) as connection:
                results[name] = _drop(loads) if keep.get("drop") else _clean(loads, keep, connection)
        return results

    def _writable(self, table: str) -> Path:
        if self._session.read_only:
            raise ConnectorError(f"{self._path} is opened for reading only", fix="write with `headwater run`")
        return dataset_folder(self._path, table)


def load_folder(folder: Path, sequence: int) -> Path:
    """Return the folder of a load."""
    return folder / f"load={sequence:08d}"


def _hint_path(folder: Path) -> Path:
    """Return the file that remembers the last number when the loads are gone; numbers up to `dropped` are not read."""
    return own_folder(folder) / "last.json"


def _describe_loads(name: str, loads: _Loads) -> TableState:
    if loads.last is None:
        return TableState(name, location=str(loads.folder))
    columns, files = loads.columns(), loads.files()
    rejects = [str(loads.folder / path) for path in loads.last.kept["rejects"]]
    wrong = loads.foreign or find_damaged((file.path, file.size_bytes) for file in files)
    foreign = f"{name}: {wrong}; `headwater run --reset {name}` rebuilds it" if wrong else ""
    return TableState(
        name,
        columns=columns,
        commit=loads.last.commit,
        position=merge_chain(_read_chain(loads)),
        scan=scan_files(columns, [file.path for file in files], rows=sum(file.rows for file in files)),
        rejects=scan_rejects(rejects),
        location=str(loads.folder),
        size_bytes=sum(file.size_bytes for file in files),
        foreign=foreign,
    )


def _read_chain(loads: _Loads) -> list[Record]:
    by_sequence = {record.commit.sequence: record for record in loads.records}
    return read_chain(loads.last, lambda _, previous: by_sequence.get(previous))


def _compare(loads: _Loads, load: Load, commit: Commit) -> None:
    if loads.foreign:
        raise foreign_table(load.table, loads.foreign)
    last = loads.last
    found = (last.commit.producer, last.commit.sequence) if last else None
    if found != (None if commit.previous is None else (commit.producer, commit.previous)):
        raise stale_commit(load.table, commit, last.commit.sequence if last else None)


def _write_rows(loads: _Loads, load: Load, change: Change, aside: Path) -> tuple[Effect, list[DataFile]]:
    """Write the new rows into the load's folder; return the effect on the table and the files."""
    old = loads.columns()
    if change.mode == "record":
        if not old:
            raise StateError(f"{load.table}: there is no table to record a commit on", fix="write the table first")
        return Effect(columns=old), []
    if change.mode not in Lake.modes:
        raise ConnectorError(
            f"{load.table}: a lake only adds rows or replaces them all, it cannot {change.mode}",
            fix="keep the table in the lakehouse or the warehouse",
        )
    given = spell_as(old, change.columns or old)
    columns = evolve_columns(old, replace(change, columns=given))
    written = take_parts(loads.folder, load.load_id, change.parts, given)
    if written is None:
        written = write_parquet(load.connection, cast_rows(change.rows, given, given), aside / "rows")
    files = []
    for file in written:
        target = aside / f"part-{uuid.uuid4().hex}.parquet"
        link_file(Path(file.path), target)
        files.append(file.at(target))
    shutil.rmtree(aside / "rows", ignore_errors=True)
    sync_folder(aside)
    whole = change.mode == "replace" or not old
    effect = Effect(sum(file.rows for file in files), 0, columns=columns, replaced=whole)
    effect.schema_changed = [(c.name, c.type) for c in old] != [(c.name, c.type) for c in columns]
    gone = loads.files() if change.mode == "replace" else []
    effect.deleted = sum(file.rows for file in gone)
    effect.rows = effect.inserted if whole else None
    effect.ranges = ranges_of_files([*files, *gone], columns)
    return effect, files


def _write_rejects(loads: _Loads, load: Load, change: Change, commit: Commit, aside: Path) -> list[str]:
    """Write the load's rejects beside its rows; return the quarantine's files, relative to the table's folder."""
    known = list(loads.last.kept["rejects"]) if loads.last else []
    paths = [str(loads.folder / path) for path in known]
    files, merged = write_rejects(load.connection, change.rejects, paths, aside / "_rejects")
    place = f"{load_folder(Path(), commit.sequence)}/_rejects"
    names = [f"{place}/{Path(file.path).name}" for file in files]
    return names if merged else known + names


def _without_statistics(file: DataFile, columns: Sequence[Column]) -> DataFile:
    """Return the file with statistics of time columns only: they are needed when its rows are replaced."""
    timed = {quote_name(column.name) for column in list_time_columns(columns)}
    return replace(file, statistics={name: found for name, found in file.statistics.items() if name in timed})


def _make_visible(folder: Path, aside: Path, load: Load, commit: Commit) -> None:
    """Rename the load's folder; a load of that number made by somebody else is not empty, so that fails."""
    sync_folder(aside)
    try:
        os.rename(aside, load_folder(folder, commit.sequence))
    except OSError as error:
        if not load_folder(folder, commit.sequence).exists():
            raise
        raise stale_commit(load.table, commit, commit.sequence) from error
    sync_folder(folder)


def _drop(loads: _Loads) -> MaintainResult:
    """Remove a table: its loads stop being read with one rename, then go; the count of loads goes on."""
    if loads.last:
        sequence = loads.last.commit.sequence
        write_json(_hint_path(loads.folder), {"sequence": sequence, "dropped": sequence})
    files = size_bytes = 0
    kept = [objects_folder(loads.folder), *own_folder(loads.folder).glob("*/")]
    for place in [*loads.folder.glob("load=*"), *kept]:
        counted = remove_tree(place)
        files, size_bytes = files + counted[0], size_bytes + counted[1]
    return MaintainResult(files, size_bytes, dropped=loads.last is not None)


def _clean(loads: _Loads, keep: Mapping[str, Any], connection: DuckDBPyConnection) -> MaintainResult:
    """Remove the data files of loads that were replaced, but for the newest `versions` and what is young.

    Then the objects that none of the loads that stay names.
    """
    age_s, now_s = float(keep.get("age_s", WEEK_S)), time.time()
    staged, files, size_bytes = remove_staging(
        loads.folder, sequence=loads.last.commit.sequence if loads.last else None, age_s=age_s, now_s=now_s
    )
    shown = {record.commit.sequence for record in loads.live}
    replaced = [record for record in loads.records if record.commit.sequence not in shown]
    snapshots = [record.commit.sequence for record in replaced if record.commit.replaces_all]
    spare = max(int(keep.get("versions", 1)) - 1, 0)
    oldest_kept = snapshots[-spare] if 0 < spare <= len(snapshots) else (0 if spare else None)
    for record in replaced:
        place = load_folder(loads.folder, record.commit.sequence)
        kept = oldest_kept is not None and record.commit.sequence >= oldest_kept
        if kept or (place / "_commit.json").stat().st_mtime > now_s - age_s:
            continue
        for path in place.glob("*.parquet"):
            counted = remove_tree(path)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    left = [file.path for file in loads.files(loads.records) if not file.is_damaged()]
    objects = sweep_objects(connection, loads.folder, left, before_s=now_s - age_s)
    return MaintainResult(files + objects[0], size_bytes + objects[1], staging_removed=staged)
