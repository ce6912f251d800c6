"""`load: cdc` of PostgreSQL: a snapshot that a new slot exports, then the changes that the slot holds.

A load takes the transactions whose commit lies in the log at or after the last position and before an upper bound that
is fixed when the read begins: every transaction is in one load and in one only, whatever the slot repeats. The slot is
moved on when the load is committed, never before.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.contracts import CHANGE_COLUMNS, Chunk, ChunkEnd, Reading
from headwater.core.fragments import SelectSql, quote_identifier
from headwater.core.policies import SchemaPolicy
from headwater.sources.postgres import pgoutput
from headwater.sources.postgres.cdc_slot import (
    WAL_SEGMENT_BYTES,
    advance_slot,
    check_logged,
    check_publication,
    check_slot,
    create_slot,
    ensure_publication,
)
from headwater.sources.postgres.cdc_stream import BATCH_BYTES, BATCH_ROWS, ChangeBatch, ChangeTable, stream_log
from headwater.sources.postgres.pgoutput import UNCHANGED, Relation, read_lsn
from headwater.sources.postgres.rows import RowPlan, open_reader
from headwater.sources.postgres.slot_names import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.contracts import ReadRequest
    from headwater.core.commit import Column
    from headwater.postgres import Server
    from headwater.sources.postgres.catalogue import ServerTable
    from headwater.sources.postgres.pgoutput import RowChange, SentValue
    from headwater.sources.postgres.types import ServerColumn

_ROWS = (pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE)
_EXTRA = ("_rule", "_reason", *CHANGE_COLUMNS)


@dataclass(frozen=True, slots=True)
class CdcTable:
    """A table to follow: where it is, its slot, and the columns to yield."""

    target: Server
    slot: Slot
    table: ServerTable
    columns: tuple[Column, ...]
    undeclared: tuple[ServerColumn, ...] = ()


def read_changes(source: CdcTable, request: ReadRequest) -> Reading:
    """Begin a read of changes, or the first one, of the whole table.

    Raises:
        ConnectorError: The server, the table or the slot is not fit for it.
    """
    import psycopg

    position = request.position
    first = "lsn" not in position
    slot = source.slot
    if not first:
        slot = _followed(slot, request)
    manifest = dict(request.manifest or {})
    try:
        with closing(source.target.connect_writing() if first else source.target.connect()) as session:
            wanted = [column.name for column in source.columns]
            logged = check_logged(session, slot.table, source.table, request.ingest.key, wanted)
            if first:
                ensure_publication(session, slot, logged)
            else:
                check_slot(session, slot, logged, position, source.table.oid)
                row = session.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
                manifest = manifest or {"upper": str(row[0]) if row else "", "chunk_rows": request.chunk_rows}
            check_publication(session, slot, logged, source.table, wanted)
    except psycopg.Error as error:
        raise source.target.explain(error) from None
    found = CdcTable(source.target, slot, source.table, source.columns, source.undeclared)
    notes = _left(slot, request) if first else ()
    chunks = _snapshot(found, request) if first else _LogRead(found, request, manifest).chunks()
    return Reading(manifest, chunks, _EXTRA, columns=source.columns, report=_reporter(found, request), notes=notes)


def _followed(slot: Slot, request: ReadRequest) -> Slot:
    """Return the slot that the position is of, whatever names would be made up now; names that are given have to be it.

    A table that was loaded before environments had slots of their own goes on with the one it has.
    """
    at, asked = request.position, request.options
    same = not asked.slot or str(at["slot"]) in (slot.name, asked.slot)
    name = str(at["slot"]) if same else slot.name
    return Slot(name, asked.publication or (str(at["publication"]) if same else slot.publication), slot.table)


def _left(slot: Slot, request: ReadRequest) -> tuple[str, ...]:
    """Say that the slot which the table had before stays: somebody else may read from it."""
    before = str(request.replaced.get("slot") or slot.name)
    if before == slot.name:
        return ()
    return (
        f"the table has a new slot, {slot.name}; the one it had, {before}, is left on the server, which keeps its log "
        f"for it: when nothing else reads from it, SELECT pg_drop_replication_slot('{before}')",
    )


def _reporter(source: CdcTable, request: ReadRequest) -> Callable[[Mapping[str, Any]], None]:
    def report(position: Mapping[str, Any]) -> None:
        lsn = position.get("lsn") or request.position.get("lsn")
        if lsn:
            advance_slot(source.target, source.slot, str(lsn))

    return report


def _position(source: CdcTable, lsn: str) -> dict[str, Any]:
    slot = source.slot
    return {"lsn": lsn, "slot": slot.name, "publication": slot.publication, "oid": source.table.oid}


# ---------------------------------------------------------------------------------------------------------- snapshot


def _snapshot(source: CdcTable, request: ReadRequest) -> Iterator[Chunk]:
    """Yield the table as it was when the slot began, in one chunk: rows of two snapshots are never staged together.

    A change "truncate" comes first: rows that another load mode has left in the table are not those of the snapshot.
    """
    connection, name = request.connection, f"hw_postgres_{uuid.uuid4().hex[:12]}_snapshot"
    plan = RowPlan(source.table, source.columns, source.undeclared, shows_values=not request.ingest.hides_values)
    session, lsn, snapshot = create_slot(source.target, source.slot)
    with closing(session), closing(open_reader(source.target, snapshot)) as reader:
        reader.fill(connection, name, plan, "")
    changed = "'upsert' AS _hw_op, 1::BIGINT AS _hw_seq, NULL::VARCHAR[] AS _hw_unchanged"
    query = f"SELECT *, {changed} FROM {quote_identifier(name)}"
    nothing = [f"CAST(NULL AS {column.type}) AS {quote_identifier(column.name)}" for column in source.columns]
    emptied = "NULL::VARCHAR AS _rule, NULL::VARCHAR AS _reason, 'truncate', 0::BIGINT, NULL::VARCHAR[]"
    query = SelectSql(f"{query} UNION ALL SELECT {', '.join([*nothing, emptied])}")
    yield Chunk("snapshot", query, lambda: ChunkEnd(_position(source, lsn)), _release(request, name))


def _release(request: ReadRequest, name: str) -> Callable[[], None]:
    def release() -> None:
        request.connection.execute(f"DROP TABLE IF EXISTS {quote_identifier(name)}")

    return release


# --------------------------------------------------------------------------------------------------------------- log


class _LogRead:
    """The changes between the last position and the upper bound, cut into chunks by their number."""

    def __init__(self, source: CdcTable, request: ReadRequest, manifest: Mapping[str, Any]) -> None:
        self._source = source
        self._request = request
        self._upper = str(manifest["upper"])
        self._chunk_rows = int(manifest["chunk_rows"])
        self._name = f"hw_postgres_{uuid.uuid4().hex[:12]}"
        declared_only = request.ingest.schema_policy == SchemaPolicy.DISCARD_ROW
        self._table = ChangeTable(
            request.connection,
            source.target,
            source.table,
            source.columns,
            declared_only,
            not request.ingest.hides_values,
        )
        self._relation: Relation | None = None
        self._known = b""
        self._compared: tuple[int, ...] = ()
        self._batch = ChangeBatch()
        self._chunk, self._number, self._in_chunk, self._stored = 0, 0, 0, False

    def chunks(self) -> Iterator[Chunk]:
        lower, upper = read_lsn(str(self._request.position["lsn"])), read_lsn(self._upper)
        with closing(self._table), closing(stream_log(self._source.target, self._source.slot, self._upper)) as log:
            for _ in self._follow(log, lower, upper):
                if self._in_chunk >= self._chunk_rows:
                    yield from self._end_chunk()
            if self._in_chunk:
                yield from self._end_chunk()
            elif not self._number and upper - lower > WAL_SEGMENT_BYTES:
                self._append(ChangeBatch())
                yield from self._end_chunk()

    def _follow(self, log: Iterator[bytes], lower: int, upper: int) -> Iterator[None]:
        """Take the messages of the transactions that count; yields whenever a chunk is full."""
        counts = False
        for message in log:
            kind = message[0]
            if kind == pgoutput.BEGIN:
                commit = pgoutput.read_begin(message)
                if commit >= upper:
                    return
                counts = commit >= lower
            elif kind == pgoutput.RELATION:
                self._meet(message)
            elif counts:
                self._take(kind, message)
                if self._in_chunk >= self._chunk_rows:
                    yield
                elif len(self._batch.rows) >= BATCH_ROWS or self._batch.size_bytes >= BATCH_BYTES:
                    self._store()

    def _take(self, kind: int, message: bytes) -> None:
        """Take a message that may be about the table."""
        if kind == pgoutput.TRUNCATE:
            self._truncate(message)
        elif kind in _ROWS and message[1:5] == self._known:
            self._batch.size_bytes += len(message)
            if kind == pgoutput.INSERT:
                self._add("upsert", pgoutput.read_tuple(message, 6)[0])
            else:
                self._change(pgoutput.read_row(message))

    def _meet(self, message: bytes) -> None:
        """Take note of the table's shape, whatever it was called; what was gathered in another one is stored first."""
        found = pgoutput.read_relation(message)
        if found.oid != self._source.table.oid:
            return
        if found != self._relation:
            self._store()
            self._relation = found
            self._compared = self._compare(found)
        self._known = message[1:5]

    def _compare(self, relation: Relation) -> tuple[int, ...]:
        """Return the places of the columns that tell whether a row's key has changed."""
        key = {name.lower() for name in self._request.ingest.key}
        places = tuple(place for place, column in enumerate(relation.columns) if column.name.lower() in key)
        if len(places) == len(key):
            return places
        return tuple(place for place, column in enumerate(relation.columns) if column.identifies)

    def _change(self, change: RowChange) -> None:
        old, new = change.old, change.new
        if new is None:
            self._add("delete", old or [])
            return
        moved = old is not None and any(
            old[place] != new[place] for place in self._compared if new[place] is not UNCHANGED
        )
        if moved and old is not None:
            self._add("delete", old)
        gaps = [place for place, value in enumerate(new) if value is UNCHANGED]
        if gaps and change.whole and old is not None:
            for place in gaps:
                new[place] = old[place]
        elif gaps and moved:
            self._batch.missing.append(len(self._batch.rows))
        elif gaps:
            for place in gaps:
                new[place] = None
            self._fill_identity(old, new, gaps)
        names = [self._relation.columns[place].name for place in gaps] if self._relation and gaps else []
        kept = names if gaps and not moved and not change.whole else None
        self._add("upsert", new, kept)

    def _fill_identity(self, old: list[SentValue] | None, new: list[SentValue], gaps: list[int]) -> None:
        """A value of the key that is stored apart comes with the old key."""
        for place in gaps if old is not None and self._relation is not None else ():
            if self._relation is not None and old is not None and self._relation.columns[place].identifies:
                new[place] = old[place]

    def _truncate(self, message: bytes) -> None:
        if self._relation is not None and self._relation.oid in pgoutput.read_truncated(message):
            self._add("truncate", [None] * len(self._relation.columns))

    def _add(self, operation: str, row: Sequence[SentValue], unchanged: list[str] | None = None) -> None:
        self._number += 1
        self._in_chunk += 1
        self._batch.add(operation, self._number, row, unchanged)

    def _store(self) -> None:
        """Move the batch into the chunk's temporary table; one of a chunk that is staged already is dropped."""
        batch, self._batch = self._batch, ChangeBatch()
        if batch.rows and self._id() not in self._request.finished:
            self._append(batch)

    def _append(self, batch: ChangeBatch) -> None:
        import psycopg

        relation = self._relation if batch.rows else None
        try:
            self._table.append(f"{self._name}_{self._chunk}", relation, batch, begun=self._stored)
        except psycopg.Error as error:
            raise self._source.target.explain(error) from None
        self._stored = True

    def _end_chunk(self) -> Iterator[Chunk]:
        self._store()
        name, number = f"{self._name}_{self._chunk}", self._id()
        stored, self._stored, self._in_chunk = self._stored, False, 0
        self._chunk += 1
        if stored:
            end = ChunkEnd(_position(self._source, self._upper))
            yield Chunk(
                number, SelectSql(f"SELECT * FROM {quote_identifier(name)}"), lambda: end, _release(self._request, name)
            )

    def _id(self) -> str:
        return f"changes-{self._chunk}"
