"""A store of another package: tables as Parquet files on a shelf, a numbered file per commit beside them."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import (
    REJECT_COLUMNS,
    Effect,
    MaintainResult,
    StageResult,
    evolve_columns,
    list_time_columns,
    make_receipt,
    read_ranges,
    seal_commit,
)
from headwater.core.commit import Column, Commit, StagedPart, Staging, TableState, merge_positions
from headwater.core.layers import Family
from headwater.core.stores import Capabilities
from headwater.core.types import FILE_TYPES
from headwater.errors import ConnectorError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Change, Load, Session
    from headwater.core.commit import Receipt

_NO_TABLE: dict[str, Any] = {"files": [], "rejects": [], "columns": []}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _scan(files: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    quoted = [('"' + name.replace('"', '""') + '"', kind) for name, kind, *_ in columns]
    if not files:
        nulls = [f"CAST(NULL AS {kind}) AS {name}" for name, kind in quoted]
        return f"SELECT {', '.join(nulls)} WHERE FALSE"
    listed = ", ".join(map(_quoted, files))
    typed = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in quoted)
    return f"SELECT {typed} FROM read_parquet([{listed}], union_by_name=true)"


def _copy(connection: DuckDBPyConnection, rows: str, file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"COPY ({rows}) TO {_quoted(str(file))} (FORMAT parquet)")
    return str(file)


class Shelf:
    """A folder per table: `<number>.json` is a commit, which names the files that make up the table.

    A commit is the file of its number: who makes it second finds that it is there.
    """

    kind: ClassVar[str] = "shelf"
    family: ClassVar[Family] = Family.LAKEHOUSE
    capabilities: ClassVar[Capabilities] = Capabilities(modes=frozenset({"append", "replace"}), types=FILE_TYPES)

    def __init__(self, path: str, session: Session) -> None:
        self.path, self._read_only = Path(path), session.read_only

    def _folder(self, table: str) -> Path:
        return self.path / table.encode().hex()

    def _commits(self, folder: Path) -> list[dict[str, Any]]:
        found = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
        return [json.loads(file.read_text()) for file in found]

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables from their commits."""
        places = sorted(self.path.glob("*/")) if self.path.is_dir() else []
        names = {bytes.fromhex(place.name).decode(): place for place in places}
        return {
            name: state
            for name, place in names.items()
            if (tables is None or name in tables) and (state := self._state(name, place)) is not None
        }

    def _state(self, name: str, place: Path) -> TableState | None:
        commits = self._commits(place)
        last = Commit.from_json(commits[-1]["commit"]) if commits and commits[-1]["commit"] else None
        staging = self._staging(place, last.sequence if last else None)
        if last is None:
            return TableState(name, staging=staging) if staging else None
        table = commits[-1]
        since = [index for index, one in enumerate(commits) if not one["commit"]]
        live = commits[since[-1] + 1 :] if since else commits
        return TableState(
            name,
            columns=tuple(Column(*column) for column in table["columns"]),
            commit=last,
            position=merge_positions(Commit.from_json(one["commit"]).position for one in live),
            scan=_scan(table["files"], table["columns"]),
            rejects=_scan(table["rejects"], REJECT_COLUMNS) if table["rejects"] else "",
            location=str(place),
            staging=staging,
        )

    def _staging(self, place: Path, sequence: int | None) -> Staging | None:
        for load in sorted((place / "staging").glob("*/manifest"), key=os.path.getmtime, reverse=True):
            manifest = json.loads(load.read_text())
            if manifest["sequence"] == sequence:
                ends = sorted(load.parent.glob("*.end"), key=lambda file: json.loads(file.read_text())["number"])
                parts = []
                for file in ends:
                    end = json.loads(file.read_text())
                    parts.append(StagedPart(end["chunk"], _scan([end["file"]], end["columns"]), end["end"]))
                return Staging(manifest["load"], manifest["manifest"], tuple(parts))
        return None

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: str) -> StageResult:
        """Write a chunk beside the table."""
        self._refuse_reading()
        place = self._folder(load.table)
        last = self._last(place)
        folder = place / "staging" / load.load_id.encode().hex()
        known = folder / "manifest"
        if not known.exists() or json.loads(known.read_text())["sequence"] != (last.sequence if last else None):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            said = {"load": load.load_id, "manifest": dict(manifest), "sequence": last.sequence if last else None}
            known.write_text(json.dumps(said))
        columns = [list(row[:2]) for row in load.connection.execute(f"DESCRIBE {rows}").fetchall()]
        file = _copy(load.connection, rows, folder / f"{uuid.uuid4().hex}.parquet")
        query = _scan([file], columns)
        found = load.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()

        def finish(end: dict[str, Any]) -> None:
            number = len(list(folder.glob("*.end")))
            said = {"chunk": chunk, "file": file, "columns": columns, "end": end, "number": number}
            aside = folder / f"{uuid.uuid4().hex}.aside"
            aside.write_text(json.dumps(said))
            aside.rename(folder / f"{chunk.encode().hex()[:200]}.end")

        return StageResult(query, found[0] if found else 0, finish)

    def _last(self, place: Path) -> Commit | None:
        commits = self._commits(place)
        return Commit.from_json(commits[-1]["commit"]) if commits and commits[-1]["commit"] else None

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write the files, then the file of the commit's number."""
        self._refuse_reading()
        place = self._folder(load.table)
        commits, last = self._commits(place), self._last(place)
        if (last.sequence if last else None) != commit.previous or (last and last.producer != commit.producer):
            raise StateError(f"{load.table}: another writer came in between", fix="run again")
        if change.mode not in ("record", *self.capabilities.modes) or (change.mode == "record" and last is None):
            raise StateError(f"{load.table}: a shelf cannot {change.mode} it", fix="use another store")
        table: dict[str, Any] = dict(commits[-1] if last else _NO_TABLE)
        commit = commit.at(max([commit.sequence, *(int(file.stem) + 1 for file in place.glob("*.json"))]))
        effect = self._write(load.connection, place, change, table)
        if change.rejects:
            table["rejects"] = self._reject(load.connection, place, change.rejects, table["rejects"])
        sealed = seal_commit(commit, effect, last)
        if change.mode != "record":
            load.audit(_scan(table["files"], table["columns"]))
        load.notify("before_commit")
        load.notify("claimed")
        self._claim(place, load.table, sealed.sequence, json.dumps({**table, "commit": sealed.to_json()}))
        shutil.rmtree(place / "staging" / load.load_id.encode().hex(), ignore_errors=True)
        load.notify("after_commit")
        return make_receipt(effect, TableState(load.table, commit=sealed))

    def _write(self, connection: DuckDBPyConnection, place: Path, change: Change, table: dict[str, Any]) -> Effect:
        """Write the rows of a change and name them in the table; return what it did."""
        old = tuple(Column(*column) for column in table["columns"])
        if change.mode == "record":
            return Effect(columns=old)
        columns = evolve_columns(old, change)
        file = _copy(connection, change.rows.on(connection), place / f"{uuid.uuid4().hex}.parquet")
        timed = bool(list_time_columns(columns))
        of_rows = [[column.name, column.type] for column in change.columns]
        inserted, ranges = read_ranges(connection, change.columns, f"({_scan([file], of_rows)})")
        effect = Effect(inserted, 0, schema_changed=bool(old) and columns != old, columns=columns, ranges=[])
        effect.ranges = [ranges] if timed and inserted else []
        if change.mode == "replace" or not old:
            effect.replaced = True
            if old:
                effect.deleted, gone = read_ranges(connection, old, f"({_scan(table['files'], table['columns'])})")
                effect.ranges += [gone] if timed else []
            effect.rows, table["files"] = inserted, []
        table["files"] = [*table["files"], file]
        table["columns"] = [[column.name, column.type, column.source_type] for column in columns]
        return effect

    def _reject(self, connection: DuckDBPyConnection, place: Path, rejects: str, files: Sequence[str]) -> list[str]:
        """Write the rejects that are not in the quarantine yet; return its files."""
        names = ", ".join(name for name, _ in REJECT_COLUMNS)
        fresh = f"SELECT {names} FROM ({rejects}) AS r({names})"
        if files:
            fresh += f" WHERE _reject_key NOT IN (SELECT _reject_key FROM ({_scan(files, REJECT_COLUMNS)}))"
        return [*files, _copy(connection, fresh, place / f"{uuid.uuid4().hex}.parquet")]

    def _refuse_reading(self) -> None:
        if self._read_only:
            raise ConnectorError(f"{self.path} is opened for reading only", fix="write with a run")

    def _claim(self, place: Path, table: str, sequence: int, text: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        aside = place / f"{uuid.uuid4().hex}.aside"
        aside.write_text(text)
        try:
            os.link(aside, place / f"{sequence}.json")
        except FileExistsError:
            raise StateError(f"{table}: another writer came in between", fix="run again") from None
        finally:
            aside.unlink()

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Drop tables, or what no commit names."""
        self._refuse_reading()
        results = {}
        for table in tables:
            place, dropped, removed = self._folder(table), False, 0
            last = self._last(place)
            for load in place.glob("staging/*/manifest"):
                stale = json.loads(load.read_text())["sequence"] != (last.sequence if last else None)
                if stale or keep.get("drop"):
                    shutil.rmtree(load.parent, ignore_errors=True)
                    removed += 1
            if keep.get("drop") and last is not None:
                number = max(int(file.stem) for file in place.glob("*.json"))
                self._claim(place, table, number + 1, json.dumps({**_NO_TABLE, "commit": ""}))
                dropped = True
            results[table] = MaintainResult(staging_removed=removed, dropped=dropped)
        return results
