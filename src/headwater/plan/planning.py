"""What a plan is made from: what sources and stores said, and what the user asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from headwater.core.graph import dataset_of
from headwater.core.plan import Cause, Decision, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from headwater.contracts import TableDescription
    from headwater.core.commit import TableState
    from headwater.core.fingerprint import Fingerprint
    from headwater.core.plan import Interval, Orphan
    from headwater.core.project import Project

StepT = TypeVar("StepT", bound=Step)


@dataclass(frozen=True, slots=True)
class Observed:
    """What sources and stores said of themselves.

    Attributes:
        states: State of every table the stores hold, by dataset.
        sources: Description of every source table that answered, or as it was last observed (see `stale`).
        time_sources: Per incremental model, (dataset, column) its `time` comes from, None when unknown.
        notes: Remarks for people.
        orphans: Tables in the stores that nothing declares there.
        stale: Tables whose source says nothing now: their description is an earlier one, and their version not known.
        unchecked: Which sources and tables said nothing, and why, for people.
        lost: Which stores are gone that were there, for people.
    """

    states: Mapping[str, TableState] = field(default_factory=dict)
    sources: Mapping[str, TableDescription] = field(default_factory=dict)
    time_sources: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    stale: frozenset[str] = frozenset()
    unchecked: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asks for beyond the plain plan.

    Attributes:
        select: Selection terms; empty means everything.
        exclude: Selection terms taken away.
        full: Datasets to rebuild from nothing.
        keep_history: Changed SQL does not rebuild finished intervals.
        span: Of models with `time`, the intervals that lie in it are computed, done or not, and no others.
    """

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    full: frozenset[str] = frozenset()
    keep_history: bool = False
    span: Interval | None = None


@dataclass(frozen=True, slots=True)
class Planning:
    """What the planners of a plan share; `steps` are those planned so far, in the order of the graph."""

    project: Project
    observed: Observed
    prints: Mapping[str, Fingerprint]
    now: datetime
    request: RunRequest
    steps: dict[str, Step] = field(default_factory=dict)


def tell_gone(state: TableState | None) -> str:
    """Say of a table that its store knows, and that holds nothing, not even of a load on its way, that it is gone."""
    return ": the table that was there is gone" if state is not None and state.staging is None else ""


def tell_waits(step: StepT, steps: Mapping[str, Step]) -> StepT:
    """Return a step that has nothing to do as one that is decided again, where a step it waits for has."""
    waits = [name for name in step.upstream if steps[name].decision is not Decision.SKIP]
    if not waits:
        return step
    names = ", ".join(dict.fromkeys(dataset_of(node) for node in waits))
    return replace(step, decision=Decision.IF_INPUTS_CHANGED, cause=Cause.INPUTS, reason=f"if {names} changes")
