"""One Delta table per dataset. A commit is one version of its log that carries producer and sequence."""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, StageResult, Store
from headwater.contracts.commits import damaged_table, foreign_table, make_receipt, seal_commit, stale_commit
from headwater.core.commit import TableState
from headwater.core.fragments import NO_SELECT, SelectSql
from headwater.core.run import EventName
from headwater.core.stores import Capabilities
from headwater.core.types import DELTA_TYPES
from headwater.errors import ConnectorError
from headwater.storage.common.claims import (
    Record,
    claim_commit,
    claim_path,
    is_retired,
    list_producers,
    merge_chain,
    read_chain,
    read_record,
)
from headwater.storage.common.disk import DamagedFileError, link_file, report_full_disk, sync_folder
from headwater.storage.common.folders import dataset_folder, list_datasets, own_folder, report_removed, scratch_folder
from headwater.storage.common.parquet import find_damaged, name_part, scan_files
from headwater.storage.common.rejects import scan_rejects, write_rejects
from headwater.storage.common.staging import drop_staging, read_staging, stage_chunk
from headwater.storage.delta.clean import Names, clean_table, drop_table
from headwater.storage.delta.compact import SMALL_FILE_BYTES, join_files
from headwater.storage.delta.log import (
    check_whole,
    commit_delta,
    enable_types,
    find_altered,
    find_foreign,
    find_unreadable,
    lacks_types,
    list_live_files,
    read_columns,
    reading_log,
)
from headwater.storage.delta.versions import (
    LostVersionError,
    check_written,
    hold_log,
    log_mark,
    note_version,
    open_noted,
    write_version,
)
from headwater.storage.delta.write import Base, place_files, write_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deltalake import DeltaTable

    from headwater.contracts import Change, Load, Session
    from headwater.core.commit import Column, Commit, Receipt
    from headwater.storage.delta.log import DeltaChange
    from headwater.storage.delta.versions import HeldLog


_BYTES_PER_ROW = 20
"""A guess, for tables whose rows were not counted."""


@dataclass(frozen=True, slots=True)
class _Last:
    """A table that is there: its handle, our last commit to it (None: there is none) and what others did since."""

    table: DeltaTable
    producer: str = ""
    sequence: int | None = None
    record: Record | None = None
    foreign: str = ""


class DeltaStore(Store):
    """Delta tables in a folder: all that a store does but for its name; see the stores made of it."""

    capabilities: ClassVar[Capabilities] = Capabilities(types=DELTA_TYPES, widens=False)

    def __init__(self, path: str, session: Session) -> None:
        """`path` is the folder of all tables; a table is `<path>/<namespace>/<dataset>/`.

        Raises:
            ConnectorError: The path holds a percent escape: the Delta library would take it for another folder.
        """
        escape = re.search(r"%[0-9A-Fa-f]{2}", path)
        if escape:
            raise ConnectorError(f"{path}: {escape[0]} is read as an escape by Delta", fix="rename that folder")
        self._path = path
        self._session = session
        self._seen: dict[str, tuple[tuple[Any, ...], TableState]] = {}

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables; a log that has not grown since it was last read is not read again."""
        states = {}
        for name in list(list_datasets(self._path)) if tables is None else tables:
            state = self._describe(name)
            if state is not None:
                states[name] = state
        return states

    def _describe(self, name: str) -> TableState | None:
        folder = dataset_folder(self._path, name)
        if not own_folder(folder).is_dir():
            return None
        try:
            state = self._describe_table(name, folder)
        except DamagedFileError as error:
            return damaged_table(name, str(folder), error.what)
        staging = read_staging(folder, state.commit.sequence if state and state.commit else None)
        if staging is None:
            return state
        return replace(state or TableState(name, location=str(folder)), staging=staging)

    def _describe_table(self, name: str, folder: Path) -> TableState | None:
        mark = log_mark(folder)
        known = self._seen.get(name)
        if known and mark and known[0] == mark:
            return known[1]
        last = _read_last(folder)
        if last is None:
            return None if is_retired(folder) else TableState(name, location=str(folder))
        if last.record is None and not last.foreign:
            return None
        with reading_log(folder):
            state = _describe_last(name, folder, last)
        if mark:
            self._seen[name] = mark, state
        return state

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql) -> StageResult:
        """Write one chunk's rows into Parquet files under `_headwater/staging/`."""
        folder = self._writable(load.table)
        last = _read_last(folder)
        with report_full_disk(folder):
            return stage_chunk(folder, load, manifest, chunk, rows, sequence=last.sequence if last else None)

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write one version of the Delta log, after the commit's own file was claimed."""
        from deltalake.exceptions import DeltaError

        folder = self._writable(load.table)
        with (
            report_full_disk(folder, DeltaError),
            report_removed(load.table),
            scratch_folder(folder) as scratch,
            hold_log(folder) as log,
        ):
            last = _compare(folder, load, commit)
            prior = last.record if last else None
            base = Base(folder)
            if last:
                base = Base(folder, read_columns(last.table.schema()), tuple(list_live_files(last.table)))
            written = write_change(base, load, change, scratch)
            rejects = _add_rejects(folder, load, change, prior, scratch)
            load.audit(written.scan(base))
            load.notify(EventName.BEFORE_COMMIT)
            sealed = seal_commit(commit, written.effect, prior.commit if prior else None)
            if last and lacks_types(last.table, written.schema):
                with _refuse_late(load, commit, last):
                    write_version(log, last.table.version() + 1, (), partial(enable_types, last.table))
            version = last.table.version() + 1 if last else 0
            sealed = claim_commit(folder, sealed, {"delta_version": version, "rejects": rejects}, _chain(folder, prior))
            load.notify(EventName.CLAIMED)
            delta = place_files(base, written)
            with _refuse_late(load, commit, last):
                _write_commit(log, version, last, delta, sealed, rejects)
            if last:
                note_version(last.table, folder, version)
        load.notify(EventName.AFTER_COMMIT)
        drop_staging(folder, load.load_id)
        left = [] if delta.whole else [(base.path(file), file.size_bytes) for file in written.untouched]
        files = [*left, *((file.path, file.size_bytes) for file in delta.adds)]
        check_written(load.table, folder, version, files)
        state = _make_state(load.table, folder, written.columns, files, sealed, rejects)
        return make_receipt(written.effect, state)

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Join small files, vacuum tables and remove what killed loads left, or drop the tables."""
        results = {}
        for name in tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                results[name] = MaintainResult()
                continue
            self._writable(name)
            self._seen.pop(name, None)
            if keep.get("drop"):
                results[name] = drop_table(folder)
                continue
            try:
                joined = self._compact(name, folder) if keep.get("compact") else 0
                only = keep.get("compact") == "only"
                cleaned = MaintainResult() if only else clean_table(folder, keep, partial(_read_names, folder))
                results[name] = replace(cleaned, files_compacted=joined)
            except DamagedFileError as error:
                results[name] = MaintainResult(problem=damaged_table(name, "", error.what).foreign)
        return results

    def find_damaged(self, table: str) -> list[str]:
        """Compare the bytes of a table's files with what their names tell."""
        folder = dataset_folder(self._path, table)
        last = _read_last(folder)
        if last is None or find_unreadable(last.table):
            return []
        live = [(str(folder / file.name), file.size_bytes) for file in list_live_files(last.table)]
        rejects = last.record.kept["rejects"] if last.record else []
        return list(filter(None, [find_damaged([*live, *_reject_files(folder, rejects)], whole=True)]))

    def _compact(self, name: str, folder: Path) -> int:
        import duckdb
        from deltalake.exceptions import DeltaError

        with hold_log(folder) as log:
            last = _read_last(folder)
            if last is None or last.record is None or last.foreign:
                return 0
            base = Base(folder, read_columns(last.table.schema()))
            try:
                with (
                    report_full_disk(folder, DeltaError),
                    report_removed(name),
                    closing(self._session.cursor()) as connection,
                    scratch_folder(folder) as scratch,
                ):
                    return join_files(name, base, last.table, log, connection, scratch)
            except (DeltaError, duckdb.Error) as error:
                what = f"{name}: its small files could not be joined: {error}"
                raise ConnectorError(what, fix="run it again") from error

    def _writable(self, table: str) -> Path:
        if self._session.read_only:
            raise ConnectorError(f"{self._path} is opened for reading only", fix="write with `headwater run`")
        return dataset_folder(self._path, table)


def _read_last(folder: Path) -> _Last | None:
    """Return the table in a folder with our last commit to it; None when there is no table."""
    table = open_noted(folder)
    with reading_log(folder):
        return _find_last(folder, table) if table else None


def _find_last(folder: Path, table: DeltaTable) -> _Last:
    producers = list_producers(folder)
    made = [(sequence, name) for name in producers if (sequence := table.transaction_version(name)) is not None]
    if not made:
        return _Last(table, foreign="its log holds no commit of ours" if producers else "")
    sequence, producer = max(made)
    record = read_record(claim_path(folder, producer, sequence))
    if record is None:
        foreign = f"the file of commit {producer}@{sequence} is gone from _headwater/commits"
    else:
        version = record.kept["delta_version"]
        check_whole(folder, version, producer, sequence)
        foreign = find_unreadable(table) or find_foreign(folder, table, version)
    return _Last(table, producer, sequence, record, foreign)


def _describe_last(name: str, folder: Path, last: _Last) -> TableState:
    readable = not find_unreadable(last.table)
    columns = read_columns(last.table.schema())
    files = list_live_files(last.table) if readable else []
    live = [(str(folder / file.name), file.size_bytes) for file in files]
    record = last.record
    rejects = record.kept["rejects"] if record else []
    state = _make_state(name, folder, columns, live, record.commit if record else None, rejects)
    lost = find_damaged([*live, *_reject_files(folder, rejects)])
    lost = lost or (find_altered(folder, last.table, columns, files) if readable else "")
    wrong = last.foreign or lost
    foreign = f"{name}: {wrong}; `headwater run --reset {name}` rebuilds it" if wrong else ""
    if lost or not readable:
        state = replace(state, scan=NO_SELECT, rejects=NO_SELECT if lost else state.rejects)
    return replace(state, position=merge_chain(_chain(folder, record)), foreign=foreign)


def _make_state(
    name: str,
    folder: Path,
    columns: tuple[Column, ...],
    files: Sequence[tuple[str, int]],
    commit: Commit | None,
    rejects: Sequence[str],
) -> TableState:
    return TableState(
        name,
        columns=columns,
        commit=commit,
        position=commit.position if commit else {},
        scan=scan_files(columns, [path for path, _ in files], rows=_about_rows(commit, files)),
        rejects=scan_rejects([path for path, _ in _reject_files(folder, rejects)]),
        location=str(folder),
        size_bytes=sum(size_bytes for _, size_bytes in files),
        small_files=sum(size_bytes < SMALL_FILE_BYTES for _, size_bytes in files),
    )


def _about_rows(commit: Commit | None, files: Sequence[tuple[str, int]]) -> int:
    """Return the rows of a table, from its size where they were not counted."""
    counted = commit.rows if commit else None
    return counted or sum(size_bytes for _, size_bytes in files) // _BYTES_PER_ROW


def _chain(folder: Path, last: Record | None) -> list[Record]:
    return read_chain(last, lambda commit, previous: read_record(claim_path(folder, commit.producer, previous)))


def _rejects_folder(folder: Path) -> Path:
    return own_folder(folder) / "rejects"


def _reject_files(folder: Path, names: Sequence[str]) -> list[tuple[str, int | None]]:
    return [(str(_rejects_folder(folder) / name), None) for name in names]


@contextmanager
def _refuse_late(load: Load, commit: Commit, last: _Last | None) -> Iterator[None]:
    try:
        yield
    except LostVersionError as error:
        raise stale_commit(load.table, commit, last.sequence if last else None) from error


def _write_commit(
    log: HeldLog, version: int, last: _Last | None, delta: DeltaChange, commit: Commit, rejects: Sequence[str]
) -> None:
    """Write the version that makes a claimed commit visible; a drop of the table takes the claim away."""
    claim, named = claim_path(log.folder, commit.producer, commit.sequence), _reject_files(log.folder, rejects)
    if claim.exists() and (wrong := find_damaged(named)):
        raise ConnectorError(f"{wrong}: nothing was changed", fix="run again")
    table = last.table if last else None
    write_version(
        log,
        version,
        delta.adds,
        lambda mark: commit_delta(log.folder, table, delta, mark, commit.producer, commit.sequence),
        stands=claim.exists,
    )


def _add_rejects(folder: Path, load: Load, change: Change, prior: Record | None, scratch: Path) -> list[str]:
    """Write the change's rejects; return the names of the files that its commit lists."""
    known = list(prior.kept["rejects"]) if prior else []
    place = _rejects_folder(folder)
    files, merged = write_rejects(
        load.connection, change.rejects, [str(place / name) for name in known], scratch / "rejects"
    )
    names = [name_part(file.path, "") for file in files]
    if files:
        place.mkdir(exist_ok=True)
        for file, name in zip(files, names, strict=True):
            link_file(Path(file.path), place / name)
        sync_folder(place)
    return names if merged else known + names


def _compare(folder: Path, load: Load, commit: Commit) -> _Last | None:
    """Check that the table is as the commit expects it; the handle returned is the one that commits."""
    last = _read_last(folder)
    if last is None:
        if commit.previous is not None:
            raise stale_commit(load.table, commit, None)
        return None
    if last.foreign:
        raise foreign_table(load.table, last.foreign)
    if last.sequence is None:
        raise foreign_table(load.table, f"{folder} holds a Delta table that Headwater did not make")
    if (last.producer, last.sequence) != (commit.producer, commit.previous):
        raise stale_commit(load.table, commit, last.sequence)
    return last


def _read_names(folder: Path) -> Names | None:
    last = _read_last(folder)
    if last is None:
        return None
    rejects = last.record.kept["rejects"] if last.record and not last.foreign else None
    return Names(last.table, last.sequence, rejects)
