"""The warehouse: one DuckDB file. A commit is a row written in the same transaction as the table."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import MaintainResult, StageResult, Store
from headwater.contracts.commits import (
    WEEK_S,
    foreign_table,
    make_receipt,
    merges_positions,
    seal_commit,
    stale_commit,
)
from headwater.core.commit import Commit, TableState, merge_positions
from headwater.core.fragments import SelectSql, quote_text
from headwater.core.layers import Family
from headwater.core.run import EventName
from headwater.core.stores import Capabilities
from headwater.storage.common.sql import split_dataset
from headwater.storage.warehouse.file import WarehouseFile
from headwater.storage.warehouse.read import compare_content, read_table_states, read_taken_names
from headwater.storage.warehouse.write import apply_change, write_rejects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Change, Load, Session
    from headwater.core.commit import Receipt
    from headwater.storage.warehouse.catalog import Catalog


class Warehouse(Store):
    """Tables in one DuckDB file, attached to the session when it is first used.

    Emits: every change mode; a commit, its table and its rejects in one transaction.
    Units and time zone: types are DuckDB's own; instants in UTC.
    State: `_headwater.commits` (one row per producer) and `_headwater.history` (positions); the table's comment names
    its commit, so that a table dropped or replaced by others is seen. The commit holds a sum of the hashes of all rows,
    compared when the file is not as a session left it (`.left` beside it says how that was; without it, all are).
    Delivery: exactly once; the row of the commit is compared and set in the transaction that writes the table.
    Raises: `BusyError` when another process holds the file, `StateError`, `ConnectorError` for a full disk.
    Source: https://duckdb.org/docs/stable/connect/concurrency
    """

    kind: ClassVar[str] = "warehouse"
    family: ClassVar[Family] = Family.WAREHOUSE
    capabilities: ClassVar[Capabilities] = Capabilities(keeps_views=True, has_row_ids=True, is_file=True)

    def __init__(self, path: str, session: Session) -> None:
        """`path` is the .duckdb file; it is created with the first write."""
        self._file = WarehouseFile(path, session)
        self._verified: dict[str, str] = {}
        self._staged: set[str] = set()
        self._taken: set[str] | None = None
        self._groups: dict[DuckDBPyConnection, list[Callable[[], None]]] = {}

    @property
    def catalog(self) -> str:
        """The name under which the file is attached."""
        return self._file.catalog.name

    @property
    def lost(self) -> str:
        """Say that the file was there and was gone when it was opened; "" when it is not so."""
        return self._file.lost

    def hold(self, *, create: bool) -> None:
        """Hold the file from now on; with `create`, though it is not there yet."""
        self._file.open(write=create)

    @classmethod
    def lineage_name(cls, path: str, dataset: str, location: str) -> tuple[str, str]:
        """Return the file as the namespace, and catalogue, schema and table."""
        namespace, _, name = dataset.rpartition(".")
        return f"duckdb://{Path(path).resolve()}", f"{Path(path).stem}.{namespace.replace('.', '__')}.{name}"

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        """Describe tables in a constant number of queries."""
        if not self._file.open():
            self._taken = None if self._file.exists() else set()
            return {}
        with closing(self._file.cursor()) as connection, self._file.reading():
            connection.execute("BEGIN")
            states = self._read(connection, tables)
            if tables is None:
                self._taken = read_taken_names(connection, self._file.catalog)
                self._file.sure = not any(state.foreign for state in states.values())
            connection.execute("COMMIT")
        self._file.remember_read()
        for name, state in states.items():
            self._verified.pop(name, None)
            if state.commit and not state.foreign:
                self._verified[name] = state.commit.commit_id
            if state.staging:
                self._staged.add(name)
        return states

    def _read(self, connection: DuckDBPyConnection, tables: Sequence[str] | None) -> dict[str, TableState]:
        """Read states; where others may have written to the file, compare each table with its commit, once."""
        states = read_table_states(connection, self._file.catalog, tables)
        if self._file.trusted:
            return states
        for name, state in states.items():
            if state.commit and not state.foreign and self._verified.get(name) != state.commit.commit_id:
                states[name] = compare_content(connection, self._file.catalog, state)
        return states

    def stage(self, load: Load, manifest: Mapping[str, Any], chunk: str, rows: SelectSql) -> StageResult:
        """Write one chunk's rows into a table of a hidden schema."""
        self._file.open(write=True)
        table = self._file.catalog.staged(_chunk_name(load, chunk))
        with closing(self._file.cursor()) as own, self._file.errors():
            self._begin_staging(own, load, manifest)
            made = load.connection.execute(f"CREATE OR REPLACE TABLE {table} AS {rows}").fetchone()
        self._staged.add(load.table)
        catalog = self._file.catalog

        def finish_chunk(end: dict[str, Any]) -> None:
            with closing(self._file.cursor()) as own, self._file.errors():
                own.execute(
                    f"INSERT OR REPLACE INTO {catalog.staged_chunks} SELECT $1, $2, $3, $4, $5, greatest(now(), "
                    f"(SELECT max(staged_at) + INTERVAL 1 MICROSECOND FROM {catalog.staged_chunks} "
                    "WHERE dataset = $1 AND load_id = $2))",  # in order, though the clock was set back
                    [load.table, load.load_id, chunk, table, json.dumps(end)],
                )

        return StageResult(SelectSql(f"SELECT * FROM {table}"), made[0] if made else 0, finish_chunk)

    def _begin_staging(self, own: DuckDBPyConnection, load: Load, manifest: Mapping[str, Any]) -> None:
        """Write the manifest before the first chunk; what the load staged on top of an older commit is forgotten."""
        catalog = self._file.catalog
        with self._file.lock:
            found = own.execute(
                f"SELECT s.sequence IS NOT DISTINCT FROM (SELECT max(c.sequence) FROM {catalog.commits} AS c "
                f"WHERE c.dataset = s.dataset AND c.commit IS NOT NULL) FROM {catalog.staging} AS s "
                "WHERE s.dataset = ? AND s.load_id = ?",
                [load.table, load.load_id],
            ).fetchone()
            if found and found[0]:
                return
            own.execute("BEGIN")
            _drop_staging(own, catalog, load.table, load.load_id)
            own.execute(
                f"INSERT INTO {catalog.staging} SELECT $1, $2, (SELECT max(sequence) FROM {catalog.commits} "
                "WHERE dataset = $1 AND commit IS NOT NULL), $3, now()",
                [load.table, load.load_id, json.dumps(manifest)],
            )
            own.execute("COMMIT")

    @contextmanager
    def together(self, connection: DuckDBPyConnection, tables: Sequence[str]) -> Iterator[None]:
        """Make the commits of a block on one connection one transaction."""
        self._open_for(tables)
        committed: list[Callable[[], None]] = []
        with self._file.transaction(connection):
            self._groups[connection] = committed
            try:
                yield
            finally:
                del self._groups[connection]
        for note in committed:
            note()

    def _open_for(self, tables: Sequence[str]) -> None:
        self._file.open(write=True)
        for schema in dict.fromkeys(split_dataset(table)[0] for table in tables):
            self._file.create_schema(schema)

    def commit(self, load: Load, change: Change, commit: Commit) -> Receipt:
        """Write the table, its rejects and its commit in one transaction."""
        connection = load.connection
        group = self._groups.get(connection)
        if group is None:
            self._open_for([load.table])
        catalog = self._file.catalog
        table, quarantine = catalog.table(load.table), catalog.quarantine(load.table)
        with self._file.transaction(connection) if group is None else nullcontext():
            prior, commit = self._compare(connection, load, change, commit)
            exists = commit.previous is not None
            effect = apply_change(connection, table, change, exists=exists, content=prior.content if prior else "")
            if change.rejects:
                write_rejects(connection, quarantine, change.rejects)
            sealed = seal_commit(commit, effect, prior)
            load.audit(SelectSql(f"SELECT * FROM {table}"))
            load.notify(EventName.BEFORE_COMMIT)
            _write_commit(connection, catalog, load.table, sealed)
            connection.execute(f"COMMENT ON TABLE {table} IS {quote_text(sealed.commit_id)}")
            if load.table in self._staged:
                _drop_staging(connection, catalog, load.table, load.load_id)
            load.notify(EventName.CLAIMED)
        if group is None:
            self._note_commit(load, sealed)
        else:
            group.append(partial(self._note_commit, load, sealed))
        state = TableState(
            load.table,
            columns=effect.columns,
            commit=sealed,
            position=sealed.position,
            scan=SelectSql(f"SELECT * FROM {table}"),
            rejects=SelectSql(f"SELECT * FROM {quarantine}" if change.rejects else ""),
            location=".".join(split_dataset(load.table)),
        )
        return make_receipt(effect, state)

    def _note_commit(self, load: Load, sealed: Commit) -> None:
        self._verified[load.table] = sealed.commit_id
        load.notify(EventName.AFTER_COMMIT)

    def _compare(
        self, connection: DuckDBPyConnection, load: Load, change: Change, commit: Commit
    ) -> tuple[Commit | None, Commit]:
        """Return the last commit (None when it is not needed) and the new one under the sequence it gets."""
        if commit.previous is None:
            return None, self._compare_first(connection, load, commit)
        last = f"{commit.producer}@{commit.previous}"
        if self._verified.get(load.table) != last:
            self._verify(connection, load, commit)
        if change.mode == "replace":
            return None, commit
        found = connection.execute(
            f"SELECT commit FROM {self._file.catalog.commits} WHERE producer = {quote_text(commit.producer)} "
            f"AND sequence = {commit.previous} AND dataset = {quote_text(load.table)}"
        ).fetchone()
        if not found or found[0] is None:
            raise stale_commit(load.table, commit, None)
        return Commit.from_json(found[0]), commit

    def _verify(self, connection: DuckDBPyConnection, load: Load, commit: Commit) -> None:
        """Look at the table itself; afterwards nobody else can change it, for this process holds the file."""
        state = self._read(connection, [load.table]).get(load.table)
        if state is None or state.commit is None or state.commit.sequence != commit.previous:
            raise stale_commit(load.table, commit, state.commit.sequence if state and state.commit else None)
        if state.foreign:
            raise foreign_table(load.table, state.foreign)

    def _compare_first(self, connection: DuckDBPyConnection, load: Load, commit: Commit) -> Commit:
        """Check that there is no table yet, and go on counting where a table of that name or producer ended."""
        catalog, place = self._file.catalog, ".".join(split_dataset(load.table))
        names = {load.table.casefold(), commit.producer.casefold(), place.casefold()}
        if self._taken is not None and self._taken.isdisjoint(names):
            self._taken |= names
            return commit
        rows = connection.execute(
            f"SELECT dataset, sequence, commit IS NOT NULL FROM {catalog.commits} WHERE dataset = ? OR producer = ?",
            [load.table, commit.producer],
        ).fetchall()
        for dataset, sequence, live in rows:
            if live and self._file.has_table(connection, catalog.table(dataset)):
                raise stale_commit(dataset, commit, sequence)
        if self._file.has_table(connection, catalog.table(load.table)):
            raise foreign_table(load.table, "a table or view of that name exists that Headwater did not make")
        if not rows:
            return commit
        for statement in (
            f"{catalog.commits} WHERE dataset = $1 OR producer = $2",
            f"{catalog.history} WHERE producer = $2 OR $1 IS NULL",
        ):
            connection.execute(f"DELETE FROM {statement}", [load.table, commit.producer])
        return commit.at(max(commit.sequence, 1 + max(row[1] for row in rows)))

    def maintain(self, tables: Sequence[str], keep: Mapping[str, Any]) -> dict[str, MaintainResult]:
        """Drop old staging, or the tables themselves; give the space back to the disk."""
        if not self._file.open(write=True):
            return {name: MaintainResult() for name in tables}
        import duckdb

        results: dict[str, MaintainResult] = {}
        with closing(self._file.cursor()) as own, self._file.reading():
            for name in tables:
                with self._file.transaction(own):
                    results[name] = self._maintain_table(own, name, keep)
            with suppress(duckdb.TransactionException):
                own.execute(f"CHECKPOINT {self.catalog}")
            if keep.get("drop"):
                # what no drop can mend is told: damage in what the store keeps of all tables
                read_table_states(own, self._file.catalog, None)
        return results

    def _maintain_table(self, own: DuckDBPyConnection, name: str, keep: Mapping[str, Any]) -> MaintainResult:
        drop, catalog = bool(keep.get("drop")), self._file.catalog
        loads = own.execute(
            f"SELECT s.load_id FROM {catalog.staging} AS s WHERE s.dataset = $1 AND ($2 "
            "OR s.staged_at < now() - to_seconds($3) OR s.sequence IS DISTINCT FROM (SELECT max(c.sequence) FROM "
            f"{catalog.commits} AS c WHERE c.dataset = $1 AND c.commit IS NOT NULL))",
            [name, drop, float(keep.get("age_s", WEEK_S))],
        ).fetchall()
        for (load_id,) in loads:
            _drop_staging(own, catalog, name, load_id)
        dropped = drop and self._file.has_table(own, catalog.table(name))
        if drop:
            self._verified.pop(name, None)
            own.execute(f"DROP TABLE IF EXISTS {catalog.table(name)}")
            own.execute(f"DROP TABLE IF EXISTS {catalog.quarantine(name)}")
            own.execute(f"UPDATE {catalog.commits} SET commit = NULL WHERE dataset = ?", [name])
        return MaintainResult(staging_removed=len(loads), dropped=dropped)


def _chunk_name(load: Load, chunk: str) -> str:
    """Return the name of a chunk's table: a digest, because names that differ only in case are one to DuckDB."""
    return hashlib.sha256(json.dumps([load.table, load.load_id, chunk]).encode()).hexdigest()[:32]


def _drop_staging(connection: DuckDBPyConnection, catalog: Catalog, dataset: str, load_id: str) -> None:
    where = "WHERE dataset = ? AND load_id = ?"
    tables = connection.execute(
        f"SELECT table_name FROM {catalog.staged_chunks} {where}", [dataset, load_id]
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DROP TABLE IF EXISTS {catalog.here(table)}")
    for listed in (catalog.staging, catalog.staged_chunks):
        connection.execute(f"DELETE FROM {listed} {where}", [dataset, load_id])


def _write_commit(connection: DuckDBPyConnection, catalog: Catalog, dataset: str, commit: Commit) -> None:
    """Compare and set: the first commit inserts its row, a later one must find the row it follows.

    Values are literals: the first parameter of a process makes DuckDB import pandas where it is installed.
    """
    import duckdb

    producer, name, text = (quote_text(part) for part in (commit.producer, dataset, commit.to_json()))
    if commit.previous is None:
        values = f"{commit.sequence}, {text}, {producer}, {name}"
        try:
            connection.execute(f"INSERT INTO {catalog.commits} (sequence, commit, producer, dataset) VALUES ({values})")
        except duckdb.ConstraintException:
            raise stale_commit(dataset, commit, None) from None
    else:
        hit = connection.execute(
            f"UPDATE {catalog.commits} SET sequence = {commit.sequence}, commit = {text} "
            f"WHERE producer = {producer} AND dataset = {name} AND sequence = {commit.previous} "
            "AND commit IS NOT NULL"
        ).fetchone()
        if not hit or hit[0] != 1:
            raise stale_commit(dataset, commit, None)
    if commit.position:
        _write_position(connection, catalog, commit)


def _write_position(connection: DuckDBPyConnection, catalog: Catalog, commit: Commit) -> None:
    position, producer = commit.position, quote_text(commit.producer)
    if merges_positions(commit):
        rows = connection.execute(
            f"SELECT position FROM {catalog.history} WHERE producer = {producer} ORDER BY sequence"
        ).fetchall()
        position = merge_positions([*(json.loads(row[0]) for row in rows), position])
        connection.execute(f"DELETE FROM {catalog.history} WHERE producer = {producer}")
    connection.execute(
        f"INSERT INTO {catalog.history} VALUES ({producer}, {commit.sequence}, {quote_text(json.dumps(position))})"
    )
