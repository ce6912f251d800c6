"""The artefacts: files that consumers make, a folder per version. A commit is one rename of that folder."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, Store
from headwater.contracts.commits import WEEK_S, damaged_table
from headwater.core.commit import KeptVersion, Receipt, TableState
from headwater.core.layers import Family
from headwater.core.run import EventName
from headwater.core.stores import Capabilities
from headwater.errors import ConnectorError, StateError
from headwater.storage.common.claims import Record, read_record, record_json
from headwater.storage.common.disk import (
    DamagedFileError,
    remove_tree,
    report_full_disk,
    sync_file,
    sync_folder,
    write_json,
)
from headwater.storage.common.folders import (
    dataset_folder,
    is_used,
    list_datasets,
    own_folder,
    report_removed,
    scratch_folder,
)
from headwater.storage.common.numbered import (
    Numbered,
    drop_damaged,
    list_numbers,
    load_folder,
    make_visible,
    note_dropped,
    note_number,
    read_numbered,
    refuse_dropped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.contracts import Change, Load, Session, StageResult
    from headwater.core.commit import Commit
    from headwater.core.fragments import SelectSql

LATEST = "latest"
"""Name of the link, beside the versions, that leads to the last one."""


class Artefacts(Store):
    """Files that consumers make: `<path>/<namespace>/<name>/load=<sequence>/`, the newest also as `latest`.

    A change is a folder of files that replaces the one before (`Change.files`); readers who hold an older version keep
    it until `maintain` removes it. It keeps no tables.
    """

    kind: ClassVar[str] = "artefacts"
    family: ClassVar[Family] = Family.BI
    capabilities: ClassVar[Capabilities] = Capabilities(modes=frozenset({"replace"}), keeps_tables=False)

    def __init__(self, path: str, session: Session) -> None:
        """`path` is the folder of all artefacts."""
        self._path = path
        self._session = session

    @classmethod
    def lineage_name(cls, path: str, dataset: str, location: str) -> tuple[str, str]:
        """Return OpenLineage's (namespace, name) of an artefact: the folder of its versions, whichever is the last."""
        return "file", str(dataset_folder(path, dataset).resolve())

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe artefacts by the consumer's name; `location` is the folder of the last one's files."""
        states = {}
        for name in list(list_datasets(self._path)) if tables is None else tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                continue
            try:
                versions = _read(folder)
                if versions.last is not None or versions.noted > versions.dropped:
                    states[name] = _describe(name, versions)
                if versions.last is not None and not self._session.read_only:
                    _point_latest(versions)
            except DamagedFileError as error:
                states[name] = damaged_table(name, str(folder), error.what)
        return states

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql) -> StageResult:
        """Refuse: there are no rows here."""
        raise ConnectorError(f"{load.table}: artefacts hold no tables", fix="keep the table in another store")

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Copy the files aside and rename their folder; files that are those of the last version are only recorded."""
        folder = self._writable(load.table)
        with report_full_disk(folder), report_removed(load.table), scratch_folder(folder) as scratch:
            before = _read(folder)
            commit = commit.at(max(commit.sequence, before.next_number(commit.previous)))
            before.compare(load, commit)
            aside = scratch / "load"
            aside.mkdir()
            kept, commit = _write_files(before, load, change, commit, aside)
            load.notify(EventName.BEFORE_COMMIT)
            write_json(aside / "_commit.json", record_json(commit, kept))
            load.notify(EventName.CLAIMED)
            if not (aside / "_commit.json").is_file():
                raise ConnectorError(f"{load.table}: its files were removed: nothing was changed", fix="run again")
            make_visible(folder, aside, load, commit)
        load.notify(EventName.AFTER_COMMIT)
        record = Record(commit, kept)
        now = _check_written(load, before, record)
        _point_latest(now)
        return Receipt(commit, state=_describe(load.table, now))

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Remove the files of versions that were replaced a while ago, or drop artefacts."""
        results = {}
        for name in tables:
            folder = dataset_folder(self._path, name)
            if not own_folder(folder).is_dir():
                results[name] = MaintainResult()
                continue
            self._writable(name)
            try:
                results[name] = _drop(folder) if keep.get("drop") else _clean(folder, keep)
            except DamagedFileError as error:
                results[name] = MaintainResult(problem=damaged_table(name, "", error.what).foreign)
        return results

    def find_damaged(self, table: str) -> list[str]:
        """Compare the bytes of the last version's files with the checksums in its commit."""
        versions = _read(dataset_folder(self._path, table))
        return [wrong] if (wrong := _find_damaged(versions, whole=True)) else []

    def _writable(self, name: str) -> Path:
        if self._session.read_only:
            raise ConnectorError(f"{self._path} is opened for reading only", fix="write with `headwater run`")
        return dataset_folder(self._path, name)


def _read(folder: Path) -> Numbered:
    found = read_numbered(folder, lambda place: read_record(place / "_commit.json"))
    gone = found.noted > max(found.dropped, found.last.commit.sequence if found.last else 0)
    foreign = f"{load_folder(folder, found.noted)} is gone" if gone else ""
    return replace(found, foreign=found.foreign or foreign)


def _place_of(versions: Numbered, record: Record) -> Path:
    """Return the folder in which the files of a commit lie: that of an earlier one, where it only records."""
    return load_folder(versions.folder, int(record.kept["at"]))


def _describe(name: str, versions: Numbered) -> TableState:
    last = versions.last
    if last is None:
        return TableState(name, location=str(versions.folder))
    wrong = versions.foreign or _find_damaged(versions)
    return TableState(
        name,
        commit=last.commit,
        position=dict(last.commit.position),
        location=str(_place_of(versions, last)),
        size_bytes=sum(int(file[1]) for file in last.kept["files"]),
        foreign=f"{name}: {wrong}; `headwater run --reset {name}` makes it anew" if wrong else "",
        kept=tuple(_kept(versions)),
    )


def _kept(versions: Numbered) -> Iterator[KeptVersion]:
    """Yield the versions whose files are there, newest first."""
    for record in reversed(versions.records):
        place = _place_of(versions, record)
        is_own = record.commit.version == record.commit.sequence
        if is_own and all((place / name).is_file() for name, *_ in record.kept["files"]):
            yield KeptVersion(record.commit, str(place), {name: sha256 for name, _, sha256 in record.kept["files"]})


def _find_damaged(versions: Numbered, *, whole: bool = False) -> str:
    """Say which file of the last version is not as it was written, or ""; with `whole` by its bytes."""
    place = _place_of(versions, versions.last) if versions.last else Path()
    for name, size_bytes, sha256 in versions.last.kept["files"] if versions.last else ():
        path = place / name
        if not path.is_file():
            return f"its file {path} is gone"
        if path.stat().st_size != size_bytes:
            return f"its file {path} has {path.stat().st_size:,} bytes instead of {size_bytes:,}"
        if whole and _sum_of(path) != sha256:
            return f"its file {path} is damaged: its bytes are not those that were written"
    return ""


def _sum_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_files(
    before: Numbered, load: Load, change: Change, commit: Commit, aside: Path
) -> tuple[dict[str, Any], Commit]:
    """Put the files aside; return what the commit keeps of them, and the commit with its version."""
    last = before.last
    if change.mode == "record" and last is None:
        raise StateError(f"{load.table}: there is nothing to record a commit on", fix="make it first")
    if change.mode not in ("record", "replace"):
        raise ConnectorError(f"{load.table}: artefacts cannot {change.mode}", fix="keep the table in another store")
    files = list(last.kept["files"]) if change.mode == "record" and last else _copy_files(Path(change.files), aside)
    if last is not None and files == [list(file) for file in last.kept["files"]]:
        for path in list(aside.iterdir()):
            remove_tree(path)
        return {"files": files, "at": last.kept["at"]}, replace(commit, version=last.commit.version, times={})
    sealed = replace(commit, version=commit.sequence, times={}, replaces_all=True)
    return {"files": files, "at": sealed.sequence}, sealed


def _copy_files(source: Path, aside: Path) -> list[list[Any]]:
    """Copy a folder's files; return name, size in bytes and SHA-256 of each, in order of their names."""
    found = []
    for path in sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink()):
        name = path.relative_to(source).as_posix()
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        sync_file(target)
        sync_folder(target.parent)
        found.append([name, target.stat().st_size, _sum_of(target)])
    return found


def _check_written(load: Load, before: Numbered, record: Record) -> Numbered:
    """See that the version that was made visible is one of the artefact's, and that nothing of it is gone.

    Raises:
        StateError: The artefact was dropped meanwhile, or a file is gone.
    """
    folder, commit = before.folder, record.commit
    refuse_dropped(before, load, commit)
    note_number(folder, commit.sequence)
    now = replace(before, records=(*before.records, record), noted=commit.sequence)
    if wrong := _find_damaged(now):
        raise StateError(
            f"{load.table}: version {commit.sequence} was made, but {wrong}",
            fix=f"`headwater run --reset {load.table}` makes it anew",
        )
    return now


def _point_latest(versions: Numbered) -> None:
    """Have the link `latest` lead to the last version; where there are no links there is none.

    A folder of that name is what a copy has made of the link: it would show an old version for ever.
    """
    assert versions.last is not None
    link, target = versions.folder / LATEST, _place_of(versions, versions.last).name
    with suppress(OSError):
        if link.is_symlink() and os.readlink(link) == target:
            return
    aside = own_folder(versions.folder) / f".{LATEST}.{os.getpid()}"
    with suppress(OSError):
        aside.unlink(missing_ok=True)
        aside.symlink_to(target)
        if link.is_dir() and not link.is_symlink():
            remove_tree(link)
        os.replace(aside, link)


def _drop(folder: Path) -> MaintainResult:
    """Remove an artefact, damaged or not; its numbers go on."""
    scratch = [path for path in own_folder(folder).glob("scratch/*/") if not is_used(path)]
    existed = False
    try:
        versions = _read(folder)
    except DamagedFileError:
        drop_damaged(folder)
        existed, versions = True, _read(folder)
    highest = max([versions.noted, versions.dropped, *(record.commit.sequence for record in versions.records)])
    existed = existed or versions.last is not None
    note_dropped(folder, highest)
    files, size_bytes = 0, 0
    with suppress(OSError):
        (folder / LATEST).unlink(missing_ok=True)
    for place in [*(load_folder(folder, n) for n in list_numbers(folder) if n <= highest), *scratch]:
        counted = remove_tree(place)
        files, size_bytes = files + counted[0], size_bytes + counted[1]
    return MaintainResult(files, size_bytes, dropped=existed)


def _clean(folder: Path, keep: Mapping[str, Any]) -> MaintainResult:
    """Remove the files of all but the newest versions, where they are old, and what killed writers left."""
    before_s = time.time() - float(keep.get("age_s", WEEK_S))
    versions = _read(folder)
    if versions.foreign:
        raise DamagedFileError(f"{versions.foreign}: nothing was removed")
    made = [record for record in versions.records if int(record.kept["at"]) == record.commit.sequence]
    replaced = made[: len(made) - max(int(keep.get("versions", 1)), 1)] if made else []
    files, size_bytes, staged = 0, 0, 0
    for record in replaced:
        place = _place_of(versions, record)
        if (place / "_commit.json").stat().st_mtime > before_s:
            continue
        for path in [path for path in place.iterdir() if path.name != "_commit.json"]:
            counted = remove_tree(path)
            files, size_bytes = files + counted[0], size_bytes + counted[1]
    for place in own_folder(folder).glob("scratch/*/"):
        if not is_used(place) and place.stat().st_mtime <= min(before_s, math.inf):
            remove_tree(place)
            staged += 1
    return MaintainResult(files, size_bytes, staging_removed=staged)
