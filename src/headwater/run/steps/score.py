"""Executing a score step: the artefact of a consumer gives scores to rows, which become a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headwater.contracts import Change, FileStore, Load, Scoring, Select
from headwater.core.fragments import SelectSql
from headwater.core.run import EventName
from headwater.errors import StateError, StepError
from headwater.plugins import load_consumer
from headwater.processing.duckdb.materialize import land_query
from headwater.run.committing import Proposal, commit_proposal
from headwater.sql.binding import describe_query
from headwater.temporary import temporary_folder

if TYPE_CHECKING:
    from headwater.core.plan import ScoreStep
    from headwater.core.run import StepResult
    from headwater.run.context import RunContext

_SCORES = "_hw_scores"


def run_score(step: ScoreStep, context: RunContext) -> StepResult:
    """Have the last artefact give scores to the rows as they are now, and commit them as the whole table.

    Raises:
        StateError: What it reads, or its own table, is damaged.
        StepError: There is no artefact.
    """
    catalogue, scores = context.catalogue, step.scores
    for name in (step.dataset, *step.inputs):
        if (found := catalogue.states.get(name)) is not None and found.foreign:
            raise StateError(found.foreign, fix=found.way_out)
    artefact = catalogue.states.get(scores.consumer.name)
    if artefact is None or artefact.commit is None:
        raise StepError(f"{scores.consumer.name} has not been made yet", fix="run it as well")
    store = catalogue.store_of(scores.consumer.name)
    if isinstance(store, FileStore) and (wrong := store.find_damaged(scores.consumer.name)):
        raise StateError(f"{scores.consumer.name}: {wrong[0]}", fix=artefact.way_out)
    consumer = load_consumer(scores.consumer.kind)(scores.consumer)
    assert isinstance(consumer, Scoring)
    for name in scores.query.reads:
        catalogue.show(name)
    with catalogue.cursor(scores.consumer.domain) as connection, temporary_folder(context.project.root) as temporary:
        rows = connection.sql(consumer.rows_to_score(connection)).to_arrow_table()
        connection.register(_SCORES, consumer.score(Path(artefact.location), rows, temporary))
        query = SelectSql(f"SELECT * FROM {_SCORES}")
        into = context.project.stores[context.project.store_of(step.dataset)]
        landed, columns = land_query(query, describe_query(connection, query), into, step.dataset)
        load = Load(
            table=step.dataset,
            producer=step.node,
            load_id=context.run_id,
            connection=connection,
            notify=lambda name: context.emit(EventName(name), step.node),
        )
        state = catalogue.states.get(step.dataset)
        return commit_proposal(Proposal(step, state, load, Change("replace", Select(landed), columns), {}), context)
