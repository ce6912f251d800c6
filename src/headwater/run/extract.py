"""Executing an extract: the source is asked, and its chunks are prepared and staged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.contracts import Load, ReadRequest
from headwater.core.commit import merge_positions
from headwater.core.project import SourceTable
from headwater.core.run import Status, StepResult
from headwater.core.specs import missing_columns
from headwater.errors import CheckFailedError, ConnectorError, ProjectError, StateError
from headwater.ingestion import Preparation, compile_prepare, decide_schema, set_mask_keys
from headwater.plan.bind import declared_columns, typed_as_declared
from headwater.project.cache import digest
from headwater.project.references import redact
from headwater.run.rejected import read_failure
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.contracts import Chunk, Reading, TableDescription
    from headwater.core.commit import Column, TableState
    from headwater.core.plan import ExtractStep
    from headwater.run.context import RunContext

_REJECTS = "/rejects"
"""What a chunk's id ends with when its part holds rejects."""


@dataclass(slots=True)
class Ingestion:
    """One table's rows between extract and load: staged parts, or one chunk in a temporary table of `connection`."""

    table: SourceTable
    connection: DuckDBPyConnection
    load: Load
    state: TableState | None
    full: bool
    preparation: Preparation
    reading: Reading
    ends: list[dict[str, Any]] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)

    def count(self, name: str) -> int:
        """Return the sum of a count over the chunks."""
        return sum(int(end.get(name, 0)) for end in self.ends)

    def position(self) -> dict[str, Any]:
        """Return where the reader stands after all chunks."""
        position = merge_positions(end["position"] for end in self.ends)
        if self.manifest.get("version") is not None:
            position["version"] = self.manifest["version"]
        return position


def run_extract(step: ExtractStep, context: RunContext) -> tuple[Ingestion, StepResult]:
    """Ask the source, prepare what it gives, stage it.

    A killed extract goes on where it stood, unless the declaration or the source has changed since.
    """
    state = context.states.get(step.dataset)
    if state is not None and state.foreign:
        raise StateError(state.foreign, fix=state.way_out)
    connection = context.session.cursor()
    try:
        ingestion = _begin(step, context, state, connection)
        _read_chunks(ingestion, context, step.node)
    except BaseException:
        connection.close()
        raise
    good, rejected = ingestion.count("good"), ingestion.count("rejected")
    notes = tuple(redact(note, context.project.secrets) for note in ingestion.reading.notes)
    for note in notes:
        context.emit("warning", step.node, text=note)
    return ingestion, StepResult(
        step.node, Status.DONE, rows_inserted=good, rejected=rejected, reason=step.reason, notes=notes
    )


def _begin(
    step: ExtractStep, context: RunContext, state: TableState | None, connection: DuckDBPyConnection
) -> Ingestion:
    table = step.table
    previous = state.commit.sequence if state and state.commit else None
    stale = table.name in context.observed.stale
    described = None if stale else context.observed.sources.get(table.name)
    version = described.version if described else None
    _refuse_missing(table, described)
    failed = read_failure(context.project, table.name)
    load_id = digest(table.name, str(previous), table.fingerprint, str(step.full), str(version), failed)[:16]
    staging = state.staging if state and state.staging and state.staging.load_id == load_id else None
    finished = [part for part in staging.parts if not part.chunk.endswith(_REJECTS)] if staging else []
    manifest = dict(staging.manifest) if staging else {}
    columns = declared_columns(table) or _describe(table, described, context)
    fresh = step.full or table.ingest.load == "full"
    request = ReadRequest(
        options=table.options,
        ingest=table.ingest,
        columns=columns,
        position={} if fresh or state is None else state.position,
        replaced=state.position if fresh and state is not None else {},
        connection=connection,
        now=context.now,
        manifest=manifest.get("bounds"),
        finished=frozenset(part.chunk for part in finished),
        ends={part.chunk: part.end.get("resume", {}) for part in finished},
        tables={t.table: t.options for t in context.project.declared(SourceTable).values() if t.source == table.source},
        keep_object=context.object_keeper(table.name),
    )
    reading = context.connectors.sources[table.source].read(table.table, request)
    if not manifest:
        manifest = {"bounds": reading.manifest, "version": version}
    preparation = _prepare(table, reading, columns, state, step.full)
    set_mask_keys(connection, table.ingest)
    load = Load(
        table=table.name,
        producer=f"{table.name}/load",
        load_id=load_id,
        connection=connection,
        notify=lambda name: context.emit(name, f"{table.name}/load"),
    )
    ingestion = Ingestion(table, connection, load, state, step.full, preparation, reading, manifest=manifest)
    for part in staging.parts if staging else ():
        if part.chunk.endswith(_REJECTS):
            ingestion.rejects.append(part.query)
        else:
            ingestion.good.append(part.query)
            ingestion.parts.append(part.chunk)
            ingestion.ends.append(part.end)
    return ingestion


def _refuse_missing(table: SourceTable, described: TableDescription | None) -> None:
    """Refuse a load whose source's catalogue lacks a declared column: it would be NULL, and nobody told."""
    known = described.columns if described and not described.proposed else ()
    missing = missing_columns(table.ingest, [column.name for column in known]) if known else []
    if missing and table.ingest.schema_policy != "freeze":  # freeze tells of everything at once
        raise ConnectorError(
            f"{table.name}: the source has no column {', '.join(missing)}, which is declared",
            fix=f"mend the source or the declaration; where it may be missing, declare {missing[0]}: "
            "{type: …, optional: true}",
        )


def _describe(table: SourceTable, described: TableDescription | None, context: RunContext) -> tuple[Column, ...]:
    """Return the columns as the source's catalogue has them; those of a sample are never taken unattended."""
    if described is None:
        described = context.connectors.sources[table.source].describe({table.table: table.options})[table.table]
    if not described.columns:
        raise ConnectorError(
            "; ".join([f"{table.name}: its schema is not known", *described.notes]),
            fix=f"declare columns in {table.location.path}, or add data",
        )
    if described.proposed:
        raise ProjectError.at(
            table.location,
            f"{table.name}: not every column has a declared type, and nothing is inferred unattended",
            f"give every column its type: {', '.join(f'{c.name}: {c.type.lower()}' for c in described.columns)}",
        )
    return typed_as_declared(table, described.columns)


def _prepare(
    table: SourceTable, reading: Reading, columns: tuple[Column, ...], state: TableState | None, full: bool
) -> Preparation:
    """Compile the preparation and let the schema policy decide the table's columns, before anything is read."""
    ingest = table.ingest
    preparation = compile_prepare(
        ingest, reading.columns or columns, store=ingest.into, table=table.name, extra=reading.extra
    )
    system = {column.name for column in preparation.system_columns}
    current = [c for c in state.columns if c.name not in system] if state and state.commit and not full else None
    replaces = ingest.load == "full" or full
    policy, declared = ingest.schema_policy, bool(declared_columns(table))
    decision = decide_schema(policy, preparation.columns, current, ingest.into, replaces=replaces, declared=declared)
    if decision.errors:
        place = table.location
        raise CheckFailedError("; ".join(decision.errors), path=place.path, line=place.line)
    return preparation if tuple(decision.columns) == preparation.columns else preparation.land_as(decision)


# --------------------------------------------------------------------------------------------------------- reading


def _read_chunks(ingestion: Ingestion, context: RunContext, step: str) -> None:
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
    held: tuple[Chunk, str, dict[str, Any]] | None = None
    for chunk in ingestion.reading.chunks:
        if held is not None:
            _stage(ingestion, context, step, *held)
        held = (chunk, *_project(ingestion, context, chunk, len(ingestion.ends)))
        _tell_chunk(context, step, chunk, held[2])
    if held is None:
        return
    if ingestion.parts:
        _stage(ingestion, context, step, *held)
    else:
        _keep(ingestion, held[1], held[2])


def _gather(ingestion: Ingestion, context: RunContext, step: str) -> None:
    """Bring all chunks together before they are prepared: a rule has to see every row."""
    connection, table = ingestion.connection, "temp._hw_gathered"
    ends: list[dict[str, Any]] = []
    for chunk in ingestion.reading.chunks:
        verb = f"INSERT INTO {table}" if ends else "CREATE OR REPLACE TEMP TABLE _hw_gathered AS"
        connection.execute(f"{verb} {chunk.query}")
        end = chunk.finish()
        _keep_reader_rejects(ingestion, context, end.rejects, len(ends))
        ends.append({"position": end.position, "rejected": end.rejected, "swallowed": end.swallowed})
        _tell_chunk(context, step, chunk, ends[-1])
    if not ends:
        return
    projected = _materialize(ingestion, context, f"SELECT * FROM {table}", len(ends))
    counts = _counts(ingestion, projected)
    position = merge_positions(end["position"] for end in ends)
    rejected = counts["rejected"] + sum(end["rejected"] for end in ends)
    _keep(
        ingestion,
        projected,
        {
            "position": position,
            "good": counts["good"],
            "rejected": rejected,
            "deduped": counts["deduped"],
            "swallowed": sum(end["swallowed"] for end in ends),
        },
    )


def _project(ingestion: Ingestion, context: RunContext, chunk: Chunk, index: int) -> tuple[str, dict[str, Any]]:
    held = chunk.release is not None and _is_cheap(ingestion)
    table = _materialize(ingestion, context, chunk.query, index, held=held)
    _place_rejects(ingestion, table)
    end = chunk.finish()
    if chunk.release is not None and not held:
        chunk.release()
    _keep_reader_rejects(ingestion, context, end.rejects, index)
    counts = _counts(ingestion, table)
    rejected = counts["rejected"] + end.rejected
    resume = {"resume": end.resume} if end.resume else {}
    swallowed = {"swallowed": end.swallowed} if end.swallowed else {}
    return table, {"position": end.position, **counts, "rejected": rejected, **swallowed, **resume}


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


def _materialize(ingestion: Ingestion, context: RunContext, query: str, index: int, *, held: bool = False) -> str:
    """Project a chunk into a temporary table, or into a view when the session holds its rows already."""
    name = f"_hw_chunk_{index}"
    loaded_at = timestamp_literal(context.now)
    projection = ingestion.preparation.projection(query, context.run_id, loaded_at)
    with _explain_expressions(ingestion.table):
        ingestion.connection.execute(f"CREATE OR REPLACE TEMP {'VIEW' if held else 'TABLE'} {name} AS {projection}")
    return f"temp.{name}"


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


def _counts(ingestion: Ingestion, table: str) -> dict[str, int]:
    row = ingestion.connection.execute(ingestion.preparation.counts(table)).fetchone() or (0, 0, 0)
    return {"good": row[0], "rejected": row[1], "deduped": row[2]}


def _keep_reader_rejects(ingestion: Ingestion, context: RunContext, rejects: str, index: int) -> None:
    if not rejects:
        return
    name = f"_hw_reader_{index}"
    query = ingestion.preparation.reader_rejects(rejects, context.run_id, timestamp_literal(context.now))
    ingestion.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    ingestion.rejects.append(f"SELECT * FROM temp.{name}")


def _rows_of(ingestion: Ingestion, table: str) -> str:
    """Return the good rows of a projected chunk: with their line while keys have to be compared, else as they land."""
    good = ingestion.preparation.good_rows(table)
    return good if ingestion.table.ingest.key else ingestion.preparation.load_rows(good)


def _keep(ingestion: Ingestion, table: str, end: dict[str, Any]) -> None:
    ingestion.good.append(_rows_of(ingestion, table))
    ingestion.rejects.append(ingestion.preparation.rejected_rows(table))
    ingestion.ends.append(end)


def _stage(ingestion: Ingestion, context: RunContext, step: str, chunk: Chunk, table: str, end: dict[str, Any]) -> None:
    """Write a chunk and its rejects to the store's staging; it counts when both are there."""
    store, load, manifest = context.store_of(ingestion.table.name), ingestion.load, ingestion.manifest
    rejected = ingestion.preparation.rejected_rows(table)
    own = f"temp._hw_reader_{table.rpartition('_')[2]}"
    reader = [query for query in ingestion.rejects if query.endswith(own)]
    both = " UNION ALL ".join([rejected, *reader])
    if end["rejected"]:
        staged = store.stage(load, manifest, chunk.id + _REJECTS, both)
        staged.finish_chunk({})
        ingestion.rejects = [query for query in ingestion.rejects if query not in reader] + [staged.query]
    staged = store.stage(load, manifest, chunk.id, _rows_of(ingestion, table))
    staged.finish_chunk(end)
    ingestion.good.append(staged.query)
    ingestion.parts.append(chunk.id)
    ingestion.ends.append(end)
    if chunk.release is not None and _is_cheap(ingestion):
        ingestion.connection.execute(f"DROP VIEW {table}")
        chunk.release()
    else:
        ingestion.connection.execute(f"DROP TABLE {table}")
    context.emit("staged", step, chunk=chunk.id, rows=staged.rows)


def _tell_chunk(context: RunContext, step: str, chunk: Chunk, end: dict[str, Any]) -> None:
    context.emit("chunk_read", step, chunk=chunk.id, rows=end.get("good", 0), rejected=end["rejected"])
