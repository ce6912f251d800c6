"""The chunks of a reading: prepared one after the other, and staged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.core.fragments import NO_SELECT, IdentifierSql, SelectSql
from headwater.core.run import EventName
from headwater.errors import CheckFailedError
from headwater.ingestion.ends import PreparedEnd, StagedRejects, add_up
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from headwater.contracts import Chunk
    from headwater.core.project import SourceTable
    from headwater.run.context import RunContext
    from headwater.run.steps.ingestion import Ingestion


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A chunk whose rows are prepared: the table or view that holds them, its end, and a SELECT of reader's rejects."""

    chunk: Chunk
    table: str
    end: PreparedEnd
    reader_rejects: SelectSql


def read_chunks(ingestion: Ingestion, context: RunContext, step: str) -> None:
    """Take every chunk; a reading that is given up is closed, so that what it opened ends with it.

    An error of the engine is thrown into the reading first: it may know which of its files is damaged.
    """
    import duckdb

    chunks = ingestion.reading.chunks
    try:
        if ingestion.preparation.whole_load:
            _gather(ingestion, context, step)
        else:
            _take_chunks(ingestion, context, step)
    except duckdb.Error as error:
        if isinstance(chunks, Generator):
            chunks.throw(error)
        raise
    finally:
        if isinstance(chunks, Generator):
            chunks.close()


def _take_chunks(ingestion: Ingestion, context: RunContext, step: str) -> None:
    """Prepare chunk after chunk; a chunk is staged when another follows it, a single one stays where it is."""
    held: _Prepared | None = None
    for chunk in ingestion.reading.chunks:
        if held is not None:
            _stage(ingestion, context, step, held)
        held = _project(ingestion, context, chunk, len(ingestion.ends))
        _tell_chunk(context, step, chunk, held.end)
    if held is None:
        return
    if ingestion.parts:
        _stage(ingestion, context, step, held)
    else:
        _keep(ingestion, held.table, held.end)
        ingestion.rejects += [held.reader_rejects] if held.reader_rejects else []


def _gather(ingestion: Ingestion, context: RunContext, step: str) -> None:
    """Bring all chunks together before they are prepared: a rule has to see every row."""
    connection, table = ingestion.connection, "temp._hw_gathered"
    ends: list[PreparedEnd] = []
    for chunk in ingestion.reading.chunks:
        verb = f"INSERT INTO {table}" if ends else "CREATE OR REPLACE TEMP TABLE _hw_gathered AS"
        connection.execute(f"{verb} {chunk.query}")
        end = chunk.finish()
        rejects = _keep_reader_rejects(ingestion, context, end.rejects, len(ends))
        ingestion.rejects += [rejects] if rejects else []
        ends.append(PreparedEnd(end.position, rejected=end.rejected, swallowed=end.swallowed))
        _tell_chunk(context, step, chunk, ends[-1])
    if not ends:
        return
    projected = _materialize(ingestion, context, SelectSql(f"SELECT * FROM {table}"), len(ends))
    _keep(ingestion, projected, add_up([*ends, _counts(ingestion, projected)]))


def _project(ingestion: Ingestion, context: RunContext, chunk: Chunk, index: int) -> _Prepared:
    held = chunk.release is not None and _is_cheap(ingestion)
    table = _materialize(ingestion, context, chunk.query, index, held=held)
    _place_rejects(ingestion, table)
    end = chunk.finish()
    if chunk.release is not None and not held:
        chunk.release()
    rejects = _keep_reader_rejects(ingestion, context, end.rejects, index)
    counts = _counts(ingestion, table)
    prepared = replace(
        counts, position=end.position, rejected=counts.rejected + end.rejected, swallowed=end.swallowed,
        resume=end.resume,
    )  # fmt: skip
    return _Prepared(chunk, table, prepared, rejects)


def _place_rejects(ingestion: Ingestion, table: str) -> None:
    """Find the lines of rejects whose reader did not count them: most rows need none, and it costs."""
    locate, preparation, connection = ingestion.reading.locate, ingestion.preparation, ingestion.connection
    if locate is None or preparation.hidden:
        return
    asked: dict[str, list[tuple[int, str]]] = {}
    for row, path, raw in connection.execute(preparation.unplaced(table)).fetchall():
        asked.setdefault(path, []).append((row, raw))
    placed = [
        (row, line)
        for path, rows in asked.items()
        for (row, _), line in zip(rows, locate(path, [raw for _, raw in rows]), strict=True)
        if line is not None
    ]
    if placed:
        import pyarrow as pa

        connection.register(
            "_hw_placed", pa.table({"r": [row for row, _ in placed], "l": [line for _, line in placed]})
        )
        connection.execute(f"UPDATE {table} SET _line = p.l FROM _hw_placed AS p WHERE {table}.rowid = p.r")
        connection.unregister("_hw_placed")


def _is_cheap(ingestion: Ingestion) -> bool:
    """Whether projecting the rows twice costs less than keeping them projected: there is next to nothing to do."""
    ingest = ingestion.table.ingest
    return not (ingest.prepare or ingest.reject_if or ingest.key)


def _materialize(
    ingestion: Ingestion, context: RunContext, query: SelectSql, index: int, *, held: bool = False
) -> IdentifierSql:
    """Project a chunk into a temporary table, or into a view when the session holds its rows already."""
    name = f"_hw_chunk_{index}"
    loaded_at = timestamp_literal(context.now)
    projection = ingestion.preparation.projection(query, context.run_id, loaded_at)
    with _explain_expressions(ingestion.table):
        ingestion.connection.execute(f"CREATE OR REPLACE TEMP {'VIEW' if held else 'TABLE'} {name} AS {projection}")
    return IdentifierSql(f"temp.{name}")


@contextmanager
def _explain_expressions(table: SourceTable) -> Iterator[None]:
    """Say of a value that an expression of `prepare` or `reject_if` fails on that it is one, and how to go on."""
    import duckdb

    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        expressions = table.ingest.reject_if or any(rule.sql for rule in table.ingest.prepare)
        if table.ingest.hides_values or not expressions:  # of hidden values the boundary withholds the text
            raise
        shown = str(error).partition("\n")[0]
        raise CheckFailedError(
            f"{table.name}: an expression of reject_if or prepare fails on a value: {shown}",
            fix="use try_cast for casts, or test the value before",
            path=table.location.path,
            line=table.location.line,
        ) from None


def _counts(ingestion: Ingestion, table: str) -> PreparedEnd:
    row = ingestion.connection.execute(ingestion.preparation.counts(table)).fetchone() or (0, 0, 0)
    return PreparedEnd(good=row[0], rejected=row[1], deduped=row[2])


def _keep_reader_rejects(ingestion: Ingestion, context: RunContext, rejects: SelectSql, index: int) -> SelectSql:
    """Keep the rows that the reader rejects; return a SELECT of them, if there are any."""
    if not rejects:
        return NO_SELECT
    name = f"_hw_reader_{index}"
    query = ingestion.preparation.reader_rejects(rejects, context.run_id, timestamp_literal(context.now))
    ingestion.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    return SelectSql(f"SELECT * FROM temp.{name}")


def _rows_of(ingestion: Ingestion, table: str, end: PreparedEnd) -> SelectSql:
    """Return the good rows of a projected chunk: with their line while keys have to be compared, else as they land."""
    good = ingestion.preparation.good_rows(table, all_good=not (end.rejected or end.deduped))
    return good if ingestion.table.ingest.key else ingestion.preparation.load_rows(good)


def _keep(ingestion: Ingestion, table: str, end: PreparedEnd) -> None:
    ingestion.good.append(_rows_of(ingestion, table, end))
    ingestion.rejects.append(ingestion.preparation.rejected_rows(table))
    ingestion.ends.append(end)


def _stage(ingestion: Ingestion, context: RunContext, step: str, prepared: _Prepared) -> None:
    """Write a chunk and its rejects to the store's staging; it counts when both are there."""
    chunk, table, end = prepared.chunk, prepared.table, prepared.end
    store, load, manifest = context.catalogue.store_of(ingestion.table.name), ingestion.load, ingestion.manifest
    if end.rejected:
        rejected = ingestion.preparation.rejected_rows(table)
        both = SelectSql(" UNION ALL ".join(filter(None, [rejected, prepared.reader_rejects])))
        staged = store.stage(load, manifest, f"{chunk.id}/rejects", both)
        staged.finish_chunk(StagedRejects().pack())
        ingestion.rejects.append(staged.query)
    staged = store.stage(load, manifest, chunk.id, _rows_of(ingestion, table, end))
    staged.finish_chunk(end.pack())
    ingestion.good.append(staged.query)
    ingestion.parts.append(chunk.id)
    ingestion.ends.append(end)
    if chunk.release is not None and _is_cheap(ingestion):
        ingestion.connection.execute(f"DROP VIEW {table}")
        chunk.release()
    else:
        ingestion.connection.execute(f"DROP TABLE {table}")
    context.emit(EventName.STAGED, step, chunk=chunk.id, rows=staged.rows)


def _tell_chunk(context: RunContext, step: str, chunk: Chunk, end: PreparedEnd) -> None:
    context.emit(EventName.CHUNK_READ, step, chunk=chunk.id, rows=end.good, rejected=end.rejected)
