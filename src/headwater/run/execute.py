"""execute(): walks the steps of a plan, independent ones in parallel, and emits an event at every boundary."""

from __future__ import annotations

import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.core.plan import Decision
from headwater.core.run import Event, EventName, Run, Status, StepResult
from headwater.core.secrets import redact
from headwater.plan.ages import tell_late
from headwater.plan.clocks import tell_clocks
from headwater.plan.moves import tell_moves
from headwater.run.boundary import place_failure
from headwater.run.compaction import compact_tables
from headwater.run.context import RunContext, StopRunError, utc_now
from headwater.run.damage import blame_step
from headwater.run.schedule import Schedule
from headwater.run.steps.registry import HANDLERS
from headwater.run.together import MOST_STEPS, grouping_store, is_small, run_together
from headwater.run.views import create_views, drop_stale_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.contracts import GroupingStore
    from headwater.core.plan import Plan, Step
    from headwater.run.context import Listener

Results = list[tuple["Step", StepResult]]

_SETTLED = (Status.DONE, Status.UNCHANGED, Status.SKIPPED)


def execute(plan: Plan, context: RunContext, workers: int | None = None) -> Run:
    """Run a plan.

    Below a failed step everything is blocked, the rest goes on. A step whose inputs turn out unchanged is skipped.

    Args:
        plan: The plan.
        context: Connectors, clock, listeners.
        workers: Steps at a time; the machine's cores by default.
    """
    context.listeners = [_Guarded(listener, context) for listener in context.listeners]
    return _Walk(plan, context, workers or len(os.sched_getaffinity(0))).run()


@dataclass(frozen=True, slots=True, eq=False)
class _Guarded:
    """A listener that is let go when it fails: whoever only reads events must not harm the data."""

    listener: Listener
    context: RunContext

    def __call__(self, event: Event) -> None:
        try:
            self.listener(event)
        except Exception as error:
            self.context.listeners.remove(self)
            text = f"a listener failed and gets no more events: {type(error).__name__}: {error}"
            warning = Event(
                EventName.WARNING, utc_now(), event.step, {"text": redact(text, self.context.project.secrets)}
            )
            for other in tuple(self.context.listeners):
                other(warning)


@dataclass(slots=True)
class _Walk:
    plan: Plan
    context: RunContext
    workers: int
    results: dict[str, StepResult] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)

    def run(self) -> Run:
        context, started, begin = self.context, utc_now(), time.perf_counter()
        context.emit(
            EventName.RUN_STARTED, run_id=context.run_id, steps=len(self.plan.steps), now=context.now.isoformat()
        )
        for text in (
            *context.observed.lost,
            *tell_moves(context.project, self.plan.steps, context.catalogue.states, context.observed.orphans),
            *tell_clocks(self.plan.steps, context.catalogue.states, context.now),
        ):
            context.emit(EventName.WARNING, text=text)
        drop_stale_views(context)
        try:
            self._walk()
        finally:
            for ingestion in context.ingestions.values():  # read, but the load was blocked or stopped
                ingestion.connection.close()
        create_views(context)
        compact_tables(self.plan, self.results, context)
        for told in tell_late(context.project, context.catalogue.states, context.now).values():
            for text in told:
                context.emit(EventName.WARNING, text=text)
        ordered = tuple(self.results[step.node] for step in self.plan.steps if step.node in self.results)
        statuses = {result.status for result in ordered}
        status = Status.DONE
        if Status.FAILED in statuses:
            status = Status.FAILED
        elif Status.STOPPED in statuses:
            status = Status.STOPPED
        run = Run(context.run_id, status, started, time.perf_counter() - begin, context.now.isoformat(), ordered)
        context.emit(EventName.RUN_FINISHED, status=status.value, duration_s=run.duration_s)
        return run

    def _walk(self) -> None:
        schedule = Schedule(self.plan.steps)
        running: dict[Future[tuple[Results, set[str]]], list[Step]] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="step") as pool:
            while schedule or running:
                while schedule and len(running) < self.workers:
                    step = schedule.take()
                    if (settled := self._without_work(step)) is not None:
                        self._finish(schedule, [step], [(step, settled)])
                    else:
                        steps, store = self._take_together(schedule, step)
                        running[pool.submit(self._execute_all, steps, store)] = steps
                if running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        results, failed = future.result()
                        self.alone |= failed
                        self._finish(schedule, running.pop(future), results)

    def _finish(self, schedule: Schedule, taken: list[Step], results: Results) -> None:
        self.results.update({step.node: result for step, result in results})
        schedule.finish(taken, [step.node for step, _ in results])

    def _take_together(self, schedule: Schedule, step: Step) -> tuple[list[Step], GroupingStore | None]:
        """Return a step with all that is committed together with it, and their store; mostly it is alone."""
        store = grouping_store(step, self.context)
        if store is None or step.node in self.alone or not is_small(step, self.context):
            return [step], None

        def admits(other: Step) -> bool:
            return other.node not in self.alone and grouping_store(other, self.context) is store

        return schedule.take_following(step, admits, MOST_STEPS, self.workers), store

    def _without_work(self, step: Step) -> StepResult | None:
        """Return the result of a step that needs no worker: skipped, blocked or stopped."""
        broken = [up for up in step.upstream if up in self.results and self.results[up].status not in _SETTLED]
        result = None
        if broken:
            result = StepResult(step.node, Status.BLOCKED, reason=f"{broken[0]} {self.results[broken[0]].status.value}")
        elif self.context.stopping.is_set():
            result = StepResult(step.node, Status.STOPPED, reason="the run was stopped")
        elif step.decision is Decision.SKIP:
            return self._tell(step, replace(self._skip(step), started=utc_now()))
        if result is None:
            return None
        return self._tell(step, replace(self._as_it_stands(step, result), started=utc_now()))

    def _execute_all(self, steps: Sequence[Step], store: GroupingStore | None) -> tuple[Results, set[str]]:
        """Execute steps in one transaction; or the first alone, when it is, or when that did not go well.

        Returns:
            The results, and the names of the steps that were begun together in vain.
        """
        begun: set[str] = set()
        if store is not None and len(steps) > 1:
            with suppress(Exception):
                if done := run_together(store, steps, self.context, begun):
                    return [(step, self._tell(step, self._or_skip(step, result))) for step, result in done], set()
        return [(steps[0], self._execute(steps[0], begun=steps[0].node in self.alone | begun))], begun

    def _or_skip(self, step: Step, result: StepResult) -> StepResult:
        return replace(self._skip(step), started=result.started) if step.decision is Decision.SKIP else result

    def _execute(self, step: Step, *, begun: bool = False) -> StepResult:
        started, begin, handler = utc_now(), time.perf_counter(), HANDLERS[type(step)]
        try:
            step = handler.settle(step, self.context)
            if step.decision is Decision.SKIP:
                result = self._skip(step)
            else:
                if not begun:
                    self.context.emit(EventName.STEP_STARTED, step.node, reason=step.reason)
                result = handler.run(step, self.context)
        except StopRunError as stop:
            result = StepResult(step.node, Status.STOPPED, reason=stop.what)
        except Exception as error:
            explained = handler.explain(blame_step(error, step, self.context.catalogue), step)
            failure = place_failure(explained, step, self.context.project)
            result = StepResult(step.node, Status.FAILED, reason=step.reason, error=str(failure))
        return self._tell(step, replace(result, started=started, duration_s=time.perf_counter() - begin))

    def _skip(self, step: Step) -> StepResult:
        """Return the result of a step that has nothing to do.

        It says that the table is as it should be, unless only a span of time was asked for.
        """
        HANDLERS[type(step)].skip(step, self.context)
        settled = self.context.request.span is None
        return self._as_it_stands(step, StepResult(step.node, Status.SKIPPED, reason=step.reason, settled=settled))

    def _as_it_stands(self, step: Step, result: StepResult) -> StepResult:
        """Return a result with rows and version as the table has them."""
        state = self.context.catalogue.states.get(step.dataset)
        commit = state.commit if state else None
        return replace(result, rows=commit.rows, version=commit.version) if commit else result

    def _tell(self, step: Step, result: StepResult) -> StepResult:
        self.context.emit(EventName.STEP_FINISHED, step.node, result=result)
        return result
