"""A plan: the steps of a run, each with its decision and the reason for it. One plan, three readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from headwater.core.commit import TableState
    from headwater.core.project import Model, SourceTable


class Decision(StrEnum):
    """Whether a step runs; `if_inputs_changed` is decided again when its inputs are done."""

    RUN = "run"
    SKIP = "skip"
    IF_INPUTS_CHANGED = "if_inputs_changed"


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open span of time, `start <= time < end`, UTC without zone."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan.

    Attributes:
        node: Name of the node it executes, which is also the step's name.
        decision: Whether it runs.
        reason: Why, for people.
        upstream: Names of the steps it waits for.
        fingerprint: What its commit will be marked with.
        inputs: Stored datasets whose versions decide whether it runs.
    """

    node: str
    decision: Decision
    reason: str
    upstream: tuple[str, ...] = ()
    fingerprint: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """The dataset the step is about."""
        return self.node.partition("/")[0]

    @property
    def action(self) -> str:
        """The step's action: extract, load, transform and so on."""
        return type(self).__name__.removesuffix("Step").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractStep(Step):
    """Ask the source for rows, prepare them, stage them.

    `source_rows` is how many rows the source says its table has, about; None when it does not, or when only what is
    new is read.
    """

    table: SourceTable
    full: bool = False
    source_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep(Step):
    """Decide over the whole staged load and commit it."""

    table: SourceTable
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformStep(Step):
    """Compute a model and commit its rows.

    `intervals` are the ones known to be due; those in `pending` are due as well, and not to be computed now; `full`
    rebuilds everything.
    """

    model: Model
    intervals: tuple[Interval, ...] = ()
    pending: tuple[Interval, ...] = ()
    full: bool = False


_SHOWN_HITS = 20
"""Hits that a line for people names; JSON has all."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A dataset below a changed column: which of its columns is made of it, or how it decides over the rows.

    Attributes:
        dataset: The dataset.
        column: Its column; "" when the changed column decides over its rows, or its columns are unknown.
        how: value, filter, join, group, sort or window; unknown when it reads the dataset in a way that is not known.
    """

    dataset: str
    column: str
    how: str

    def __str__(self) -> str:
        return f"{self.dataset}{'.' if self.column else ''}{self.column} ({self.how})"


@dataclass(frozen=True, slots=True)
class Break:
    """A column that a changed declaration takes away or retypes, and what reads it."""

    dataset: str
    column: str
    change: str
    hits: tuple[Hit, ...] = ()

    def __str__(self) -> str:
        names = [str(hit) for hit in self.hits[:_SHOWN_HITS]]
        more = f" and {len(self.hits) - _SHOWN_HITS} more" if len(self.hits) > _SHOWN_HITS else ""
        told = f"hits {', '.join(names)}{more}" if names else "nothing reads it"
        return f"{self.dataset}: column {self.column} {self.change}; {told}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in an order in which every step comes after those it waits for.

    Attributes:
        steps: All steps of the selected nodes.
        now: The run's clock, UTC.
        states: What the stores said of every dataset when the plan was made.
        orphans: Tables in the stores that nothing declares there, as `name (store)`.
        notes: Remarks for people (sources not reached, models bound at run).
        breaks: Columns that the run takes away or retypes, and what reads them.
        selected: Somebody asked for these steps by name, tag and so on.
    """

    steps: tuple[Step, ...]
    now: datetime
    states: dict[str, TableState] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    breaks: tuple[Break, ...] = ()
    selected: bool = False

    def count(self, decision: Decision) -> int:
        """How many steps have a decision."""
        return sum(step.decision is decision for step in self.steps)
