"""Executing a transform: the model's query becomes a change, checked and committed."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from headwater.contracts import Change, Computation, Load, Target
from headwater.core.fragments import SelectSql
from headwater.core.names import ROOT
from headwater.core.plan import Decision, Interval
from headwater.core.policies import Materialization
from headwater.core.run import EventName, Status, StepResult
from headwater.errors import StateError
from headwater.plan.intervals import read_spans, subtract_spans, write_spans
from headwater.plan.steps.transform import only_checks_changed
from headwater.plan.steps.transform import settle_transform as plan_again
from headwater.run.committing import Proposal, commit_proposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import TableState
    from headwater.core.plan import TransformStep
    from headwater.plan.steps.transform import TransformT
    from headwater.run.committing import Shared
    from headwater.run.context import RunContext


SMALL_ROWS = 100_000
"""What a transform may read, at the most, to be committed together with others."""


def settle_transform(step: TransformT, context: RunContext) -> TransformT:
    """Decide again when the inputs are done; intervals by what is finished by now."""
    incremental = step.model.spec.materialize == Materialization.INCREMENTAL and not step.full
    if step.decision is not Decision.IF_INPUTS_CHANGED and not incremental:
        return step
    time_source = context.observed.time_sources.get(step.dataset)
    return plan_again(step, context.catalogue.states, context.now, time_source, context.request)


def run_transform(step: TransformStep, context: RunContext) -> StepResult:
    """Compute a model and commit its rows; one commit, or one per span of intervals."""
    state = read_own_state(step, context)
    context.catalogue.show_inputs(step.dataset)
    with context.catalogue.cursor(step.model.domain) as connection:
        work = Work(step, context, connection)
        if only_checks_changed(step, state):
            return work.commit(Change("record"), step.intervals)
        if not step.model.is_timed:
            return work.commit(work.change(), ())
        if not step.intervals:
            return work.commit(Change("record"), ())
        if step.full or state is None or state.commit is None:
            span = Interval(step.intervals[0].start, step.intervals[-1].end)
            return work.commit(work.change(span, first=True), step.intervals)
        return reduce(_add_up, work.spans(step.intervals))


def read_own_state(step: TransformStep, context: RunContext) -> TableState | None:
    """Return the state of a transform's own table; neither it nor what is read is damaged."""
    state = context.catalogue.states.get(step.dataset)
    if state is not None and state.foreign:
        forgets = (
            ", which forgets its history: keep a copy"
            if step.model.spec.materialize == Materialization.SNAPSHOT
            else ""
        )
        raise StateError(state.foreign, fix=f"{state.way_out}{forgets}")
    for name in step.inputs:
        if (read := context.catalogue.states.get(name)) is not None and read.foreign:
            raise StateError(read.foreign, fix=read.way_out)
    return state


def joins(step: TransformStep) -> bool:
    """Whether a transform is all in one statement: SQL of the root, stored whole, and no check looks elsewhere."""
    looks_away = any(check.relationship is not None for check in step.model.spec.all_checks())
    whole = step.model.spec.materialize == Materialization.TABLE and step.model.domain == ROOT
    return whole and bool(step.sql) and bool(step.inputs) and not looks_away


def is_small(step: TransformStep, context: RunContext) -> bool:
    """Whether a transform reads so little that it is done in a moment."""
    commits = [state.commit for name in step.inputs if (state := context.catalogue.states.get(name)) is not None]
    rows = [commit.rows for commit in commits if commit is not None and commit.rows is not None]
    return len(rows) == len(step.inputs) and sum(rows) <= SMALL_ROWS


def table_names(step: TransformStep, context: RunContext) -> set[str]:
    """Return the inputs that a model's text can name as tables of its own store; none when that cannot be done.

    What is loaded is read by its view, which leaves out the system columns.
    """
    datasets, store = context.project.datasets, context.project.store_of(step.dataset)
    direct = [datasets[name] for name in step.model.inputs]
    names = {one.name for one in direct if one.store == store and not one.is_loaded}
    return names if names and step.model.text_in("", names) is not None else set()


def propose_transform(step: TransformStep, context: RunContext, place: Shared) -> Proposal | None:
    """Return what a transform comes to, for a commit together with others; None when it reads one of them by a view.

    Raises:
        StateError: A table is damaged.
    """
    state, names = read_own_state(step, context), table_names(step, context)
    if not place.fresh.intersection(step.inputs) <= names:
        return None
    work = Work(step, context, place.connection, step.model.text_in(place.catalog, names) if names else None)
    return work.propose(Change("record") if only_checks_changed(step, state) else work.change())


def _add_up(one: StepResult, other: StepResult) -> StepResult:
    return replace(
        other,
        rows_inserted=(one.rows_inserted or 0) + (other.rows_inserted or 0),
        rows_deleted=(one.rows_deleted or 0) + (other.rows_deleted or 0),
        status=Status.DONE if Status.DONE in (one.status, other.status) else other.status,
    )


class Work:
    """One execution of a transform on one connection."""

    def __init__(
        self, step: TransformStep, context: RunContext, connection: DuckDBPyConnection, text: SelectSql | None = None
    ) -> None:
        self.step, self.context, self.connection, self._text = step, context, connection, text
        self._alive: list[Any] = []

    def change(self, span: Interval | None = None, *, first: bool = False) -> Change:
        """Have the engine compute the model: whole, or over a span; `first` when that is all there is."""
        step, context = self.step, self.context
        state = context.catalogue.states.get(step.dataset)
        store = context.project.stores[context.project.store_of(step.dataset)]
        fresh = state is None or state.commit is None or step.full
        computed = context.engine.compute(
            Computation(
                step.model,
                self.connection,
                Target(store) if fresh or state is None else Target(store, state.columns, state.scan),
                context.now,
                span,
                first,
                self._text,
                context.catalogue.bound_columns(step.dataset),
                {name: context.catalogue.states[name] for name in step.inputs if name in context.catalogue.states},
                context.project.root,
                context.project.object_folders,
            )
        )
        self._alive.append(computed.alive)
        return computed.change

    def spans(self, spans: Sequence[Interval]) -> Iterator[StepResult]:
        """Commit one span after the other; those still to come count as missing until they have been committed."""
        for number, span in enumerate(spans):
            yield self.commit(self.change(span), (span,), pending=spans[number + 1 :])

    def commit(self, change: Change, spans: tuple[Interval, ...], *, pending: Sequence[Interval] = ()) -> StepResult:
        """Commit a change that covers spans; those that are `pending` still count as missing."""
        return commit_proposal(self.propose(change, spans, pending=pending), self.context)

    def propose(
        self, change: Change, spans: tuple[Interval, ...] = (), *, pending: Sequence[Interval] = ()
    ) -> Proposal:
        """Return what a change comes to, with the position after it."""
        step, context = self.step, self.context
        state = context.catalogue.states.get(step.dataset)
        load = Load(
            table=step.dataset,
            producer=step.node,
            load_id=context.run_id,
            connection=self.connection,
            notify=lambda name: context.emit(EventName(name), step.node),
        )
        return Proposal(step, state, load, change, self._position(state, spans, pending))

    def _position(
        self, state: TableState | None, spans: tuple[Interval, ...], pending: Sequence[Interval]
    ) -> dict[str, Any]:
        if not self.step.model.is_timed:
            return dict(self.step.kept)
        done = read_spans(state.position) if state and state.commit and not self.step.full else ()
        due = (*pending, *self.step.pending)
        valid = [part for span in done for part in subtract_spans(span, due)]
        return {"intervals": write_spans([*valid, *spans])}
