"""Executing an extract: the source is asked, and its chunks are prepared and staged."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from headwater.contracts import Load, ReadRequest
from headwater.core.graph import Role, node_name
from headwater.core.policies import LoadMode, SchemaPolicy
from headwater.core.project import SourceTable
from headwater.core.run import EventName, Status, StepResult
from headwater.core.secrets import redact
from headwater.core.specs import missing_columns
from headwater.errors import CheckFailedError, ConnectorError, HeadwaterError, ProjectError, Retryable, StateError
from headwater.ingestion import Preparation, compile_prepare, decide_schema, set_mask_keys
from headwater.ingestion.ends import PreparedEnd, StagedRejects, unpack_end
from headwater.plan.bind import declared_columns, typed_as_declared
from headwater.plan.steps.ingest import settle_extract as plan_again
from headwater.project.cache import digest
from headwater.run.context import StopRunError
from headwater.run.rejected import read_failure
from headwater.run.steps.chunks import read_chunks
from headwater.run.steps.ingestion import Ingestion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.contracts import Reading, TableDescription
    from headwater.core.commit import Column, StagedPart, Staging, TableState
    from headwater.core.plan import ExtractStep
    from headwater.run.context import RunContext

RETRY_PAUSES_S = (0.5, 2.0)
"""Pauses before the second and the third try of an extract that failed for a reason that may pass."""


def settle_extract(step: ExtractStep, context: RunContext) -> ExtractStep:
    """Decide again about a table whose source was not reached at plan: what has not changed is not read again."""
    observed = context.observed
    if step.dataset in observed.sources and step.dataset not in observed.stale:
        return step
    _look_again(step, context)
    return plan_again(step.table, context.observed, context.request)


def extract_and_retry(step: ExtractStep, context: RunContext) -> StepResult:
    """Extract; what may pass (a file that is being written, a locked database) is tried again after a pause."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return run_extract(step, context)
        except HeadwaterError as error:
            if not isinstance(error, Retryable):
                raise
            text = redact(f"{error.what}; again in {pause_s:g} s", context.project.secrets)
            context.emit(EventName.WARNING, step.node, text=text)
        if context.stopping.wait(pause_s):
            raise StopRunError("stopped on request")
        _look_again(step, context)
    return run_extract(step, context)


def _look_again(step: ExtractStep, context: RunContext) -> None:
    """See what a new run would see: what is staged by now, and whether the source has changed.

    What was staged goes into the next try, as into a run after a kill; of a source that has changed it is left.
    """
    table = step.table
    with suppress(HeadwaterError):
        described = context.catalogue.connectors.sources[table.source].describe({table.table: table.options})
        context.learn(table.name, described[table.table])
    context.catalogue.note_staging(step.dataset)


def run_extract(step: ExtractStep, context: RunContext) -> StepResult:
    """Ask the source, prepare what it gives, stage it.

    What it read waits for the load in `context.ingestions`. A killed extract goes on where it stood, unless the
    declaration or the source has changed since.
    """
    state = context.catalogue.states.get(step.dataset)
    if state is not None and state.foreign:
        raise StateError(state.foreign, fix=state.way_out)
    connection = context.catalogue.session.cursor()
    try:
        ingestion = _begin(step, context, state, connection)
        read_chunks(ingestion, context, step.node)
    except BaseException:
        connection.close()
        raise
    end = ingestion.end
    notes = tuple(redact(note, context.project.secrets) for note in ingestion.reading.notes)
    for note in notes:
        context.emit(EventName.WARNING, step.node, text=note)
    context.keep_ingestion(step.dataset, ingestion)
    return StepResult(
        step.node, Status.DONE, rows_inserted=end.good, rejected=end.rejected, reason=step.reason, notes=notes
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
    finished = {part.chunk: end for part, end in _staged_ends(staging) if isinstance(end, PreparedEnd)}
    manifest = dict(staging.manifest) if staging else {}
    columns = declared_columns(table) or _describe(table, described, context)
    fresh = step.full or table.ingest.load == LoadMode.FULL
    request = ReadRequest(
        options=table.options,
        ingest=table.ingest,
        columns=columns,
        position={} if fresh or state is None else state.position,
        replaced=state.position if fresh and state is not None else {},
        connection=connection,
        now=context.now,
        manifest=manifest.get("bounds"),
        finished=frozenset(finished),
        ends={chunk: end.resume for chunk, end in finished.items()},
        tables={t.table: t.options for t in context.project.declared(SourceTable).values() if t.source == table.source},
        keep_object=context.catalogue.object_keeper(table.name),
    )
    reading = context.catalogue.connectors.sources[table.source].read(table.table, request)
    if not manifest:
        manifest = {"bounds": reading.manifest, "version": version}
    preparation = _prepare(table, reading, columns, state, step.full)
    set_mask_keys(connection, table.ingest)
    loader = node_name(table.name, Role.LOAD)
    load = Load(
        table=table.name,
        producer=loader,
        load_id=load_id,
        connection=connection,
        notify=lambda name: context.emit(EventName(name), loader),
    )
    ingestion = Ingestion(table, connection, load, state, step.full, preparation, reading, manifest=manifest)
    for part, end in _staged_ends(staging):
        if isinstance(end, StagedRejects):
            ingestion.rejects.append(part.query)
        else:
            ingestion.good.append(part.query)
            ingestion.parts.append(part.chunk)
            ingestion.ends.append(end)
    return ingestion


def _staged_ends(staging: Staging | None) -> list[tuple[StagedPart, PreparedEnd | StagedRejects]]:
    return [(part, unpack_end(part.end)) for part in staging.parts] if staging else []


def _refuse_missing(table: SourceTable, described: TableDescription | None) -> None:
    """Refuse a load whose source's catalogue lacks a declared column: it would be NULL, and nobody told."""
    known = described.columns if described and not described.proposed else ()
    missing = missing_columns(table.ingest, [column.name for column in known]) if known else []
    if missing and table.ingest.schema_policy != SchemaPolicy.FREEZE:  # freeze tells of everything at once
        raise ConnectorError(
            f"{table.name}: the source has no column {', '.join(missing)}, which is declared",
            fix=f"mend the source or the declaration; where it may be missing, declare {missing[0]}: "
            "{type: …, optional: true}",
        )


def _describe(table: SourceTable, described: TableDescription | None, context: RunContext) -> tuple[Column, ...]:
    """Return the columns as the source's catalogue has them; those of a sample are never taken unattended."""
    if described is None:
        described = context.catalogue.connectors.sources[table.source].describe({table.table: table.options})[
            table.table
        ]
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
        ingest, reading.columns or columns, store=table.store, table=table.name, extra=reading.extra
    )
    system = {column.name for column in preparation.system_columns}
    current = [c for c in state.columns if c.name not in system] if state and state.commit and not full else None
    replaces = ingest.load == LoadMode.FULL or full
    policy, declared = ingest.schema_policy, bool(declared_columns(table))
    decision = decide_schema(
        policy,
        preparation.columns,
        current,
        widens=table.store.capabilities.widens,
        replaces=replaces,
        declared=declared,
    )
    if decision.errors:
        place = table.location
        raise CheckFailedError("; ".join(decision.errors), path=place.path, line=place.line)
    return preparation if tuple(decision.columns) == preparation.columns else preparation.land_as(decision)
