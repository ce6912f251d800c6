"""The lake: a folder of Parquet files per load. A commit is one rename of that folder."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, StageResult, Store
from headwater.contracts.commits import (
    Effect,
    damaged_table,
    evolve_columns,
    make_receipt,
    seal_commit,
    spell_as,
)
from headwater.contracts.ranges import list_time_columns, ranges_of_files
from headwater.core.commit import Column, Commit, TableState
from headwater.core.fragments import NO_SELECT, SelectSql, quote_identifier
from headwater.core.layers import Family
from headwater.core.run import EventName
from headwater.core.stores import Capabilities
from headwater.core.types import FILE_TYPES
from headwater.errors import ConnectorError, StateError
from headwater.storage.common.claims import Record, complete_position, merge_chain, read_record, record_json
from headwater.storage.common.disk import (
    DamagedFileError,
    link_file,
    report_full_disk,
    sync_folder,
    write_json,
)
from headwater.storage.common.folders import (
    dataset_folder,
    leaves_notes,
    list_datasets,
    own_folder,
    report_removed,
    scratch_folder,
)
from headwater.storage.common.numbered import (
    load_folder,
    make_visible,
    note_number,
    read_number,
    read_numbered,
    refuse_dropped,
)
from headwater.storage.common.parquet import DataFile, cast_rows, find_damaged, name_part, scan_files, write_parquet
from headwater.storage.common.rejects import scan_rejects, write_rejects
from headwater.storage.common.staging import drop_staging, read_staging, stage_chunk, take_parts
from headwater.storage.lake.clean import clean_table, drop_table
from headwater.storage.lake.loads import Loads
from headwater.storage.lake.objects import Objects, find_damaged_objects, find_lost, has_objects, name_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.contracts import Change, Load, ObjectCopy, Session
    from headwater.core.commit import Receipt


class Lake(Store):
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
    capabilities: ClassVar[Capabilities] = Capabilities(
        modes=frozenset({"append", "replace"}), types=FILE_TYPES, keeps_objects=True
    )

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
            try:
                state = self._describe(name, folder)
            except DamagedFileError as error:
                state = damaged_table(name, str(folder), error.what)
            if state is not None:
                states[name] = state
        return states

    def _describe(self, name: str, folder: Path) -> TableState | None:
        loads = self._read_loads(folder)
        staging = read_staging(folder, loads.last.commit.sequence if loads.last else None)
        if loads.last or staging or read_number(folder) > loads.dropped:
            return replace(self._see_objects(_describe_loads(name, loads), loads), staging=staging)
        return None

    def _see_objects(self, state: TableState, loads: Loads) -> TableState:
        """Return the state of a table, foreign when an object that its rows name is gone."""
        if state.foreign or not loads.last or not has_objects(state.columns):
            return state
        import duckdb

        paths = [file.path for file in loads.files()]
        try:
            with closing(self._session.cursor()) as connection:
                note = leaves_notes(self._session)
                wrong = find_lost(connection, loads.folder, paths, loads.last.commit.sequence, note=note)
        except duckdb.Error as error:
            raise DamagedFileError(f"its data cannot be read: {str(error).partition(chr(10))[0]}") from None
        return replace(state, foreign=_tell_foreign(state.name, wrong))

    def _read_loads(self, folder: Path) -> Loads:
        found = read_numbered(folder, self._read_load)
        return Loads(folder, found.records, found.foreign, found.dropped, found.noted, found.numbers)

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

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql) -> StageResult:
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

    def find_damaged(self, table: str) -> list[str]:
        """Compare the bytes of a table's files and objects with what their names tell."""
        folder = dataset_folder(self._path, table)
        wrong = [_find_damaged(self._read_loads(folder), whole=True)]
        objects = find_damaged_objects(folder, Path(self._path))
        return [*filter(None, wrong), *(f"the object {place} is not what was copied" for place in objects)]

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write a load's folder aside and rename it: who has seen the same loads gives his the same number."""
        folder = self._writable(load.table)
        with report_full_disk(folder), report_removed(load.table), scratch_folder(folder) as scratch:
            loads = self._read_loads(folder)
            commit = commit.at(max(commit.sequence, loads.next_number(commit.previous)))
            loads.compare(load, commit)
            aside = scratch / "load"
            aside.mkdir()
            effect, files = _write_rows(loads, load, change, aside)
            rejects = _write_rejects(loads, load, change, commit, aside)
            before = [] if change.mode == "replace" else loads.files()
            load.audit(scan_files(effect.columns, [file.path for file in [*before, *files]]))
            load.notify(EventName.BEFORE_COMMIT)
            sealed = seal_commit(commit, effect, loads.last.commit if loads.last else None)
            sealed = replace(sealed, replaces_all=change.mode == "replace")
            sealed = complete_position(sealed, loads.chain())
            kept = {
                "columns": [[column.name, column.type, column.source_type] for column in effect.columns],
                "files": [_without_statistics(file, effect.columns).to_dict() for file in files],
                "rejects": rejects,
            }
            write_json(aside / "_commit.json", record_json(sealed, kept))
            load.notify(EventName.CLAIMED)
            objects = name_objects(load.connection, folder, effect.columns, files)
            _check_aside(aside, sealed, files, rejects)
            make_visible(folder, aside, load, sealed)
        load.notify(EventName.AFTER_COMMIT)
        mine = replace(loads, records=(*loads.records, Record(sealed, kept)))
        state = _describe_loads(load.table, mine)
        also = [str(load_folder(folder, sealed.sequence) / "_commit.json"), *objects]
        self._check_written(load, mine, state.foreign or find_damaged((path, None) for path in also))
        drop_staging(folder, load.load_id)
        return make_receipt(effect, state)

    def _check_written(self, load: Load, mine: Loads, wrong: str) -> None:
        """See that the last of the loads, which was made visible, is one of the table's, and that nothing is gone.

        Raises:
            StateError: The table was dropped meanwhile, or a file is gone (`wrong`).
        """
        assert mine.last is not None
        folder, commit = mine.folder, mine.last.commit
        refuse_dropped(mine, load, commit)
        note_number(folder, commit.sequence)
        if wrong:
            try:
                now = _describe_loads(load.table, self._read_loads(folder))
            except DamagedFileError as error:
                now = damaged_table(load.table, str(folder), error.what)
            if now.commit is None or now.commit.sequence <= commit.sequence or now.foreign:
                raise StateError(
                    f"{load.table}: load {commit.sequence} was made, but {now.foreign or wrong}",
                    fix=f"bring back what is gone; or `headwater run --reset {load.table}` makes the table anew",
                )

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Remove the data of loads that nobody can read any more and what killed loads left, or drop the tables."""
        results = {}
        for name in tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                results[name] = MaintainResult()
                continue
            self._writable(name)
            read = partial(self._read_loads, folder)
            try:
                with closing(self._session.cursor()) as connection:
                    results[name] = (
                        drop_table(folder, read) if keep.get("drop") else clean_table(folder, read, keep, connection)
                    )
            except DamagedFileError as error:
                results[name] = MaintainResult(problem=damaged_table(name, "", error.what).foreign)
        return results

    def _writable(self, table: str) -> Path:
        if self._session.read_only:
            raise ConnectorError(f"{self._path} is opened for reading only", fix="write with `headwater run`")
        return dataset_folder(self._path, table)


def _describe_loads(name: str, loads: Loads) -> TableState:
    if loads.last is None:
        return TableState(name, location=str(loads.folder))
    columns, files = loads.columns(), loads.files()
    rejects = [str(loads.folder / path) for path in loads.last.kept["rejects"]]
    lost = _find_damaged(loads)
    foreign = _tell_foreign(name, loads.foreign or lost)
    return TableState(
        name,
        columns=columns,
        commit=loads.last.commit,
        position={} if loads.foreign else merge_chain(loads.chain()),
        scan=NO_SELECT
        if lost
        else scan_files(columns, [file.path for file in files], rows=sum(file.rows for file in files)),
        rejects=NO_SELECT if lost else scan_rejects(rejects),
        location=str(loads.folder),
        size_bytes=sum(file.size_bytes for file in files),
        foreign=foreign,
    )


def _find_damaged(loads: Loads, *, whole: bool = False) -> str:
    """Say which file of a table or its quarantine is not as it was written, or ""."""
    rejects = loads.last.kept["rejects"] if loads.last else ()
    files: list[tuple[str, int | None]] = [(file.path, file.size_bytes) for file in loads.files()]
    return find_damaged([*files, *((str(loads.folder / path), None) for path in rejects)], whole=whole)


def _tell_foreign(name: str, wrong: str) -> str:
    return f"{name}: {wrong}; `headwater run --reset {name}` rebuilds it" if wrong else ""


def _write_rows(loads: Loads, load: Load, change: Change, aside: Path) -> tuple[Effect, list[DataFile]]:
    """Write the new rows into the load's folder; return the effect on the table and the files."""
    old = loads.columns()
    if change.mode == "record":
        if not old:
            raise StateError(f"{load.table}: there is no table to record a commit on", fix="write the table first")
        return Effect(columns=old), []
    if change.mode not in Lake.capabilities.modes:
        raise ConnectorError(
            f"{load.table}: a lake only adds rows or replaces them all, it cannot {change.mode}",
            fix="keep the table in the lakehouse or the warehouse",
        )
    given = spell_as(old, change.columns or old)
    columns = evolve_columns(old, replace(change, columns=given))
    written = take_parts(loads.folder, load.load_id, change.rows, given)
    if written is None:
        written = write_parquet(
            load.connection, cast_rows(change.rows.on(load.connection), given, given), aside / "rows"
        )
    files = []
    for file in written:
        target = aside / name_part(file.path)
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


def _write_rejects(loads: Loads, load: Load, change: Change, commit: Commit, aside: Path) -> list[str]:
    """Write the load's rejects beside its rows; return the quarantine's files, relative to the table's folder."""
    known = list(loads.last.kept["rejects"]) if loads.last else []
    paths = [str(loads.folder / path) for path in known]
    files, merged = write_rejects(load.connection, change.rejects, paths, aside / "_rejects")
    place = f"{load_folder(Path(), commit.sequence)}/_rejects"
    names = [f"{place}/{Path(file.path).name}" for file in files]
    return names if merged else known + names


def _without_statistics(file: DataFile, columns: Sequence[Column]) -> DataFile:
    """Return the file with statistics of time columns only: they are needed when its rows are replaced."""
    timed = {quote_identifier(column.name) for column in list_time_columns(columns)}
    return replace(file, statistics={name: found for name, found in file.statistics.items() if name in timed})


def _check_aside(aside: Path, commit: Commit, files: Sequence[DataFile], rejects: Sequence[str]) -> None:
    """See that a load is whole before it is made visible: maintenance may have taken it for a killed writer's."""
    own = f"{load_folder(Path(), commit.sequence)}/"
    named = [aside / path.removeprefix(own) for path in rejects if path.startswith(own)]
    sizes = [(file.path, file.size_bytes) for file in files]
    if wrong := find_damaged([*sizes, *((str(path), None) for path in named)]):
        raise ConnectorError(f"{wrong}: nothing was changed", fix="run again")
