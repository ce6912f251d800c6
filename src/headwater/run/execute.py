"""execute(): walks the steps of a plan, independent ones in parallel, and emits an event at every boundary."""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.core.plan import Decision, ExtractStep, LoadStep, TransformStep
from headwater.core.run import Event, Run, Status, StepResult
from headwater.errors import HeadwaterError, Retryable
from headwater.plan.build import settle_extract, settle_transform
from headwater.plan.clocks import tell_clocks
from headwater.project.references import redact
from headwater.run.boundary import explain_failure
from headwater.run.context import RunContext, StopRunError, utc_now
from headwater.run.damage import blame_step
from headwater.run.extract import Ingestion, run_extract
from headwater.run.load import run_load
from headwater.run.rejected import forget_failure
from headwater.run.transform import run_transform
from headwater.run.upkeep import compact_tables
from headwater.run.views import create_views, drop_stale_views

if TYPE_CHECKING:
    from headwater.core.plan import Plan, Step
    from headwater.run.context import Listener

RETRY_PAUSES_S = (0.5, 2.0)
"""Pauses before the second and the third try of an extract that failed for a reason that may pass."""

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
            text = f"a listener failed and hears no more: {type(error).__name__}: {error}"
            warning = Event("warning", utc_now(), event.step, {"text": redact(text, self.context.project.secrets)})
            for other in tuple(self.context.listeners):
                other(warning)


@dataclass(slots=True)
class _Walk:
    plan: Plan
    context: RunContext
    workers: int
    results: dict[str, StepResult] = field(default_factory=dict)
    ingestions: dict[str, Ingestion] = field(default_factory=dict)

    def run(self) -> Run:
        context, started, begin = self.context, utc_now(), time.perf_counter()
        context.emit("run_started", run_id=context.run_id, steps=len(self.plan.steps), now=context.now.isoformat())
        for text in (
            *context.observed.lost,
            *tell_clocks(self.plan.steps, context.states, context.now),
        ):
            context.emit("warning", text=text)
        drop_stale_views(context)
        try:
            self._walk()
        finally:
            for ingestion in self.ingestions.values():  # read, but the load was blocked or stopped
                ingestion.connection.close()
        create_views(context)
        compact_tables(self.plan, self.results, context)
        ordered = tuple(self.results[step.node] for step in self.plan.steps if step.node in self.results)
        statuses = {result.status for result in ordered}
        status = Status.DONE
        if Status.FAILED in statuses:
            status = Status.FAILED
        elif Status.STOPPED in statuses:
            status = Status.STOPPED
        run = Run(context.run_id, status, started, time.perf_counter() - begin, context.now.isoformat(), ordered)
        context.emit("run_finished", status=status.value, duration_s=run.duration_s)
        return run

    def _walk(self) -> None:
        by_name = {step.node: step for step in self.plan.steps}
        waiting = {step.node: sum(up in by_name for up in step.upstream) for step in self.plan.steps}
        below: dict[str, list[str]] = {name: [] for name in by_name}
        for step in self.plan.steps:
            for up in step.upstream:
                if up in by_name:
                    below[up].append(step.node)
        ready = deque(name for name, count in waiting.items() if count == 0)
        running: dict[Future[StepResult], str] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="step") as pool:
            while ready or running:
                while ready and len(running) < self.workers:
                    step = by_name[ready.popleft()]
                    if (settled := self._without_work(step)) is not None:
                        self._finish(step.node, settled, below, waiting, ready)
                    else:
                        running[pool.submit(self._execute, step)] = step.node
                if running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._finish(running.pop(future), future.result(), below, waiting, ready)

    def _finish(
        self, name: str, result: StepResult, below: dict[str, list[str]], waiting: dict[str, int], ready: deque[str]
    ) -> None:
        self.results[name] = result
        for other in below[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)

    def _without_work(self, step: Step) -> StepResult | None:
        """Return the result of a step that needs no worker: skipped, blocked or stopped."""
        broken = [up for up in step.upstream if up in self.results and self.results[up].status not in _SETTLED]
        result = None
        if broken:
            result = StepResult(step.node, Status.BLOCKED, reason=f"{broken[0]} {self.results[broken[0]].status.value}")
        elif self.context.stopping.is_set():
            result = StepResult(step.node, Status.STOPPED, reason="the run was stopped")
        elif step.decision is Decision.SKIP:
            result = StepResult(step.node, Status.SKIPPED, reason=step.reason, settled=self._settles())
            if isinstance(step, LoadStep):
                forget_failure(self.context.project, step.dataset)
        if result is not None:
            state = self.context.states.get(step.dataset)
            rows, version = (state.commit.rows, state.commit.version) if state and state.commit else (None, None)
            result = replace(result, started=utc_now(), rows=rows, version=version)
            self._tell(step, result)
        return result

    def _execute(self, step: Step) -> StepResult:
        started, begin = utc_now(), time.perf_counter()
        try:
            result = self._dispatch(step)
        except StopRunError as stop:
            result = StepResult(step.node, Status.STOPPED, reason=stop.what)
        except Exception as error:
            failure = explain_failure(blame_step(error, step, self.context), step, self.context.project)
            result = StepResult(step.node, Status.FAILED, reason=step.reason, error=str(failure))
        result = replace(result, started=started, duration_s=time.perf_counter() - begin)
        self._tell(step, result)
        return result

    def _dispatch(self, step: Step) -> StepResult:
        context = self.context
        if isinstance(step, TransformStep):
            incremental = step.model.spec.materialize == "incremental" and not step.full
            if step.decision is Decision.IF_INPUTS_CHANGED or incremental:
                time_source = context.observed.time_sources.get(step.dataset)
                step = settle_transform(step, context.states, context.now, time_source, context.wish)
            if step.decision is Decision.SKIP:
                return self._skipped(step)
            context.emit("step_started", step.node, reason=step.reason)
            return run_transform(step, context)
        if isinstance(step, ExtractStep):
            if self._was_unknown(step):
                self._look_again(step)
                step = settle_extract(step, context.observed, context.wish)
            if step.decision is Decision.SKIP:
                return self._skipped(step)
            context.emit("step_started", step.node, reason=step.reason)
            ingestion, result = self._extract(step)
            self.ingestions[step.dataset] = ingestion
            return result
        assert isinstance(step, LoadStep)
        if step.dataset not in self.ingestions:
            forget_failure(context.project, step.dataset)
            return replace(self._skipped(step), reason="the source has not changed")
        context.emit("step_started", step.node, reason=step.reason)
        return run_load(step, context, self.ingestions.pop(step.dataset))

    def _was_unknown(self, step: ExtractStep) -> bool:
        """Whether the source was not reached at plan: what has not changed is not read again."""
        return step.dataset not in self.context.observed.sources or step.dataset in self.context.observed.stale

    def _extract(self, step: ExtractStep) -> tuple[Ingestion, StepResult]:
        """Extract; what may pass (a file that is being written, a locked database) is tried again after a pause."""
        for pause_s in RETRY_PAUSES_S:
            try:
                return run_extract(step, self.context)
            except HeadwaterError as error:
                if not isinstance(error, Retryable):
                    raise
                text = redact(f"{error.what}; again in {pause_s:g} s", self.context.project.secrets)
                self.context.emit("warning", step.node, text=text)
            if self.context.stopping.wait(pause_s):
                raise StopRunError("stopped on request")
            self._look_again(step)
        return run_extract(step, self.context)

    def _look_again(self, step: ExtractStep) -> None:
        """See what a new run would see: what is staged by now, and whether the source has changed.

        What was staged goes into the next try, as into a run after a kill; of a source that has changed it is left.
        """
        context, table = self.context, step.table
        with suppress(HeadwaterError):
            described = context.connectors.sources[table.source].describe({table.table: table.options})
            sources = {**context.observed.sources, table.name: described[table.table]}
            stale = context.observed.stale - {table.name}
            context.observed = replace(context.observed, sources=sources, stale=stale)
        found = context.store_of(step.dataset).describe([step.dataset]).get(step.dataset)
        if found is not None:
            old = context.states.get(step.dataset)
            context.states[step.dataset] = replace(old, staging=found.staging) if old else found

    def _skipped(self, step: Step) -> StepResult:
        state = self.context.states.get(step.dataset)
        commit = state.commit if state else None
        return StepResult(
            step.node,
            Status.SKIPPED,
            rows=commit.rows if commit else None,
            version=commit.version if commit else None,
            reason=step.reason,
            settled=self._settles(),
        )

    def _settles(self) -> bool:
        """Whether a skip says that the table is as it should be: not when only a span of time was asked for."""
        return self.context.wish.span is None

    def _tell(self, step: Step, result: StepResult) -> None:
        self.context.emit("step_finished", step.node, result=result)
