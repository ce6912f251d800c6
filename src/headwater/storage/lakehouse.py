"""The lakehouse: one Delta table per dataset. A commit is one version of its log that carries producer and sequence."""

from __future__ import annotations

import os
import re
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, StageResult
from headwater.core.commit import TableState
from headwater.core.layers import Family
from headwater.errors import ConnectorError
from headwater.storage.claims import (
    Record,
    claim_commit,
    claim_path,
    is_retired,
    list_producers,
    merge_chain,
    read_chain,
    read_record,
    retire_claims,
)
from headwater.storage.commits import WEEK_S, foreign_table, make_receipt, seal_commit, stale_commit
from headwater.storage.delta import (
    commit_delta,
    enable_types,
    find_foreign,
    find_unreadable,
    list_live_files,
    open_delta,
    read_columns,
)
from headwater.storage.disk import link_file, remove_tree, report_full_disk, sync_folder
from headwater.storage.folders import dataset_folder, list_datasets, own_folder, scratch_folder
from headwater.storage.lakehouse_compact import SMALL_FILE_BYTES, join_files
from headwater.storage.lakehouse_write import Base, place_files, write_change
from headwater.storage.parquet import find_damaged, scan_files
from headwater.storage.rejects import scan_rejects, write_rejects
from headwater.storage.staging import drop_staging, read_staging, remove_staging, stage_chunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deltalake import DeltaTable

    from headwater.contracts import Change, Load, Session
    from headwater.core.commit import Column, Commit, Receipt
    from headwater.storage.delta import DeltaChange
    from headwater.storage.lakehouse_write import Written


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


class Lakehouse:
    """Delta tables in a folder, read as plain Parquet files without an extension.

    Emits: every change mode; a commit is one version of the Delta log, files that hold affected rows are written anew.
    Units and time zone: integers as BIGINT, floats as DOUBLE (the caller lands them so); instants in UTC.
    State: the log holds producer and sequence (`txn`), `_headwater/commits/` the rest of each commit, claimed before.
    Delivery: exactly once; the version after the one that was read is written, or nothing.
    Raises: `StateError` when somebody else wrote in between, `ConnectorError` for a full disk or a type Delta lacks.
    Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
    """

    kind: ClassVar[str] = "lakehouse"
    family: ClassVar[Family] = Family.LAKEHOUSE
    modes: ClassVar[frozenset[str]] = frozenset({"append", "replace", "merge", "overwrite_where"})

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
        state = self._describe_table(name, folder)
        staging = read_staging(folder, state.commit.sequence if state and state.commit else None)
        if staging is None:
            return state
        return replace(state or TableState(name, location=str(folder)), staging=staging)

    def _describe_table(self, name: str, folder: Path) -> TableState | None:
        mark = _log_mark(folder)
        known = self._seen.get(name)
        if known and mark and known[0] == mark:
            return known[1]
        last = _read_last(folder)
        if last is None:
            return None if is_retired(folder) else TableState(name, location=str(folder))
        if last.record is None and not last.foreign:
            return None
        state = _describe_last(name, folder, last)
        if mark:
            self._seen[name] = mark, state
        return state

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: str) -> StageResult:
        """Write one chunk's rows into Parquet files under `_headwater/staging/`."""
        folder = self._writable(load.table)
        last = _read_last(folder)
        with report_full_disk(folder):
            return stage_chunk(folder, load, manifest, chunk, rows, sequence=last.sequence if last else None)

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write one version of the Delta log, after the commit's own file was claimed."""
        from deltalake.exceptions import DeltaError

        folder = self._writable(load.table)
        with report_full_disk(folder, DeltaError), scratch_folder(folder) as scratch:
            last = _compare(folder, load, commit)
            prior = last.record if last else None
            base = Base(folder)
            if last:
                base = Base(folder, read_columns(last.table.schema()), tuple(list_live_files(last.table)))
            written = write_change(base, load, change, scratch)
            rejects = _add_rejects(folder, load, change, prior, scratch)
            load.audit(written.scan(base))
            load.notify("before_commit")
            sealed = seal_commit(commit, written.effect, prior.commit if prior else None)
            if last:
                _prepare(last, written, load, commit)
            kept = {"delta_version": last.table.version() + 1 if last else 0, "rejects": rejects}
            sealed = claim_commit(folder, sealed, kept, _read_chain(folder, prior))
            load.notify("claimed")
            delta = place_files(base, written)
            self._commit_delta(folder, load, last, delta, sealed)
        load.notify("after_commit")
        drop_staging(folder, load.load_id)
        left = [] if delta.whole else [(base.path(file), file.size_bytes) for file in written.untouched]
        files = [*left, *((file.path, file.size_bytes) for file in delta.adds)]
        state = _make_state(load.table, folder, written.columns, files, sealed, rejects)
        return make_receipt(written.effect, state)

    def _commit_delta(self, folder: Path, load: Load, last: _Last | None, delta: DeltaChange, commit: Commit) -> None:
        from deltalake.exceptions import DeltaError

        failed: Exception | None = None
        before = last.table.version() if last else None
        try:
            commit_delta(folder, last.table if last else None, delta, commit.producer, commit.sequence)
        except (DeltaError, OSError) as error:
            failed = error
        after = last.table if last else open_delta(folder)
        if last:
            last.table.update_incremental()
        found = after.transaction_version(commit.producer) if after else None
        if found == commit.sequence:
            return
        for file in delta.adds:
            os.unlink(file.path)
        if failed is None or (after and after.version() != before):
            raise stale_commit(load.table, commit, found) from failed
        raise failed

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
                results[name] = _drop(folder)
                continue
            joined = self._compact(name, folder) if keep.get("compact") else 0
            only = keep.get("compact") == "only"
            cleaned = MaintainResult() if only else _clean(folder, float(keep.get("age_s", WEEK_S)))
            results[name] = replace(cleaned, files_compacted=joined)
        return results

    def _compact(self, name: str, folder: Path) -> int:
        from deltalake.exceptions import DeltaError

        last = _read_last(folder)
        if last is None or last.record is None or last.foreign:
            return 0
        with (
            report_full_disk(folder, DeltaError),
            closing(self._session.cursor()) as connection,
            scratch_folder(folder) as scratch,
        ):
            return join_files(name, Base(folder, read_columns(last.table.schema())), last.table, connection, scratch)

    def _writable(self, table: str) -> Path:
        if self._session.read_only:
            raise ConnectorError(f"{self._path} is opened for reading only", fix="write with `headwater run`")
        return dataset_folder(self._path, table)


def _log_mark(folder: Path) -> tuple[Any, ...] | None:
    """Return what changes whenever the log grows or is replaced."""
    log = folder / "_delta_log"
    try:
        newest = max(entry for entry in os.listdir(log) if entry.endswith(".json"))
        found = os.stat(log / newest)
        return os.stat(log).st_ino, newest, found.st_ino, found.st_mtime_ns, found.st_size
    except (FileNotFoundError, ValueError):
        return None


def _read_last(folder: Path) -> _Last | None:
    """Return the table in a folder with our last commit to it; None when there is no table."""
    table = open_delta(folder)
    if table is None:
        return None
    producers = list_producers(folder)
    made = [(sequence, name) for name in producers if (sequence := table.transaction_version(name)) is not None]
    if not made:
        return _Last(table, foreign="its log holds no commit of ours" if producers else "")
    sequence, producer = max(made)
    record = read_record(claim_path(folder, producer, sequence))
    if record is None:
        foreign = f"the file of commit {producer}@{sequence} is gone from _headwater/commits"
    else:
        foreign = find_unreadable(table) or find_foreign(folder, table, record.kept["delta_version"])
    return _Last(table, producer, sequence, record, foreign)


def _describe_last(name: str, folder: Path, last: _Last) -> TableState:
    readable = not find_unreadable(last.table)
    columns = read_columns(last.table.schema())
    live = [(str(folder / file.name), file.size_bytes) for file in list_live_files(last.table)] if readable else []
    record = last.record
    rejects = record.kept["rejects"] if record else []
    state = _make_state(name, folder, columns, live, record.commit if record else None, rejects)
    wrong = last.foreign or find_damaged(live)
    foreign = f"{name}: {wrong}; `headwater run --reset {name}` rebuilds it" if wrong else ""
    position = merge_chain(_read_chain(folder, record))
    return replace(state, position=position, foreign=foreign, scan=state.scan if readable else "")


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
        rejects=scan_rejects([str(_rejects_folder(folder) / file) for file in rejects]),
        location=str(folder),
        size_bytes=sum(size_bytes for _, size_bytes in files),
        small_files=sum(size_bytes < SMALL_FILE_BYTES for _, size_bytes in files),
    )


def _about_rows(commit: Commit | None, files: Sequence[tuple[str, int]]) -> int:
    """Return the rows of a table, from its size where they were not counted."""
    counted = commit.rows if commit else None
    return counted or sum(size_bytes for _, size_bytes in files) // _BYTES_PER_ROW


def _read_chain(folder: Path, last: Record | None) -> list[Record]:
    return read_chain(last, lambda commit, previous: read_record(claim_path(folder, commit.producer, previous)))


def _rejects_folder(folder: Path) -> Path:
    return own_folder(folder) / "rejects"


def _prepare(last: _Last, written: Written, load: Load, commit: Commit) -> None:
    from deltalake.exceptions import CommitFailedError

    try:
        enable_types(last.table, written.schema)
    except CommitFailedError as error:
        raise stale_commit(load.table, commit, last.sequence) from error


def _add_rejects(folder: Path, load: Load, change: Change, prior: Record | None, scratch: Path) -> list[str]:
    """Write the change's rejects; return the names of the files that its commit lists."""
    known = list(prior.kept["rejects"]) if prior else []
    place = _rejects_folder(folder)
    files, merged = write_rejects(
        load.connection, change.rejects, [str(place / name) for name in known], scratch / "rejects"
    )
    names = [f"{uuid.uuid4().hex}.parquet" for _ in files]
    if files:
        place.mkdir(exist_ok=True)
        for file, name in zip(files, names, strict=True):
            link_file(Path(file.path), place / name)
        sync_folder(place)
    return names if merged else known + names


def _remove_rejects(folder: Path, listed: Sequence[str], oldest_s: float) -> tuple[int, int]:
    """Remove quarantine files that no commit lists any more; return files and bytes removed."""
    stale = [
        path
        for path in _rejects_folder(folder).glob("*.parquet")
        if path.name not in listed and path.stat().st_mtime < oldest_s
    ]
    removed = [remove_tree(path) for path in stale]
    return len(removed), sum(size_bytes for _, size_bytes in removed)


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


def _drop(folder: Path) -> MaintainResult:
    """Remove a table; the last sequence stays claimed, so that a later table of that name goes on counting."""
    existed = (folder / "_delta_log").is_dir()
    retire_claims(folder)
    if existed:
        os.rename(folder / "_delta_log", own_folder(folder) / f"dropped-{uuid.uuid4().hex}")
    files = size_bytes = 0
    for entry in [*folder.iterdir(), *own_folder(folder).iterdir()]:
        if entry not in (own_folder(folder), own_folder(folder) / "commits"):
            counted = remove_tree(entry)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    return MaintainResult(files, size_bytes, dropped=existed)


def _clean(folder: Path, age_s: float) -> MaintainResult:
    last = _read_last(folder)
    now_s = time.time()
    loads, files, size_bytes = remove_staging(
        folder, sequence=last.sequence if last else None, age_s=age_s, now_s=now_s
    )
    if last and last.record:
        removed = _remove_rejects(folder, last.record.kept["rejects"], now_s - age_s)
        files, size_bytes = files + removed[0], size_bytes + removed[1]
    if last:
        hours = max(int(age_s // 3600), 0)
        old = last.table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        size_bytes += sum((folder / name).stat().st_size for name in old if (folder / name).exists())
        if old:
            last.table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        files += len(old)
    return MaintainResult(files, size_bytes, staging_removed=loads)
