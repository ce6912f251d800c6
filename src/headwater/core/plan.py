"""A plan: the steps of a run, each with its decision and the reason for it. One plan, three readers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.core.fingerprint import NO_FINGERPRINT
from headwater.core.graph import Role, dataset_of
from headwater.core.policies import Materialization
from headwater.core.product import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headwater.core.breaks import Break
    from headwater.core.commit import TableState
    from headwater.core.consumer import DeclaredConsumer, DeclaredScores
    from headwater.core.fingerprint import Fingerprint
    from headwater.core.graph import Location
    from headwater.core.product import PortContract
    from headwater.core.project import Model, SourceTable


class Decision(StrEnum):
    """Whether a step runs; `if_inputs_changed` is decided again when its inputs are done."""

    RUN = "run"
    SKIP = "skip"
    IF_INPUTS_CHANGED = "if_inputs_changed"


class Cause(StrEnum):
    """Why a step runs or is skipped; `Step.reason` says it for people."""

    FIRST = "first"
    """Nothing of it is committed, or what was is gone."""
    ASKED = "asked"
    """Somebody asked for it: `--full`, `--from`, `--to`."""
    DAMAGED = "damaged"
    """Its table is not as the last commit left it: the step fails and says so."""
    DECLARATION = "declaration"
    """What is declared is not what the last commit was made by."""
    CHECKS = "checks"
    """Only the checks differ from those of the last commit: the rows may stay."""
    VOLATILE = "volatile"
    """The same query over the same inputs may give other rows."""
    INPUTS = "inputs"
    """What it reads has changed, or may change while the run goes on."""
    INCOMPLETE = "incomplete"
    """Part of what was made last went wrong."""
    DUE = "due"
    """Intervals are due."""
    UNKNOWN = "unknown"
    """Its source says at run whether there is anything new."""
    NOTHING = "nothing"
    """Nothing is new."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open span of time, `start <= time < end`, UTC without zone."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(ABC):
    """One step of a plan.

    Attributes:
        node: Name of the node it executes, which is also the step's name.
        decision: Whether it runs.
        cause: Why.
        reason: Why, for people.
        upstream: Names of the steps it waits for.
        fingerprint: What its commit will be marked with.
        inputs: Stored datasets whose versions decide whether it runs.
        full: What is there is not built upon: everything is read or computed anew.
        looked_into: Stored datasets that its checks look into: when one changes they are evaluated again.
    """

    role: ClassVar[Role]

    node: str
    decision: Decision
    cause: Cause
    reason: str
    upstream: tuple[str, ...] = ()
    fingerprint: Fingerprint = NO_FINGERPRINT
    inputs: tuple[str, ...] = ()
    full: bool = False
    looked_into: tuple[str, ...] = ()

    @property
    @abstractmethod
    def location(self) -> Location:
        """Where what it executes is declared."""

    @property
    def commits(self) -> bool:
        """Whether it commits its dataset."""
        return True

    @property
    def hides_values(self) -> bool:
        """Whether no message may show a value of the rows it works on."""
        return False

    @property
    def hidden_columns(self) -> frozenset[str]:
        """The columns whose values it masks."""
        return frozenset()

    @property
    def kept(self) -> Mapping[str, Any]:
        """What its commits keep in their position, as JSON values."""
        return {}

    @property
    def is_timed(self) -> bool:
        """Whether it works interval by interval."""
        return False

    @property
    def is_dated_by_clock(self) -> bool:
        """Whether its rows carry the run's clock, by which a later run goes on."""
        return False

    @property
    def sql(self) -> str:
        """The SQL it runs; "" when it is not SQL that somebody wrote."""
        return ""

    @property
    def spans(self) -> tuple[Interval, ...]:
        """The intervals that are known to be due."""
        return ()

    @property
    def estimated_rows(self) -> int | None:
        """How many rows it is going to read, about; None when nobody knows."""
        return None

    @property
    def dataset(self) -> str:
        """The dataset the step is about."""
        return dataset_of(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractStep(Step):
    """Ask the source for rows, prepare them, stage them.

    `source_rows` is how many rows the source says its table has, about; None when it does not, or when only what is
    new is read.
    """

    role: ClassVar[Role] = Role.EXTRACT

    table: SourceTable
    source_rows: int | None = None

    @property
    def location(self) -> Location:
        """Where the table is declared."""
        return self.table.location

    @property
    def commits(self) -> bool:
        """What it stages is committed by the load."""
        return False

    @property
    def hides_values(self) -> bool:
        """Whether a column is masked or dropped."""
        return self.table.ingest.hides_values

    @property
    def estimated_rows(self) -> int | None:
        """What the source says."""
        return self.source_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep(Step):
    """Decide over the whole staged load and commit it."""

    role: ClassVar[Role] = Role.LOAD

    table: SourceTable

    @property
    def location(self) -> Location:
        """Where the table is declared."""
        return self.table.location

    @property
    def hides_values(self) -> bool:
        """Whether a column is masked or dropped."""
        return self.table.ingest.hides_values

    @property
    def hidden_columns(self) -> frozenset[str]:
        """The columns that `mask` names."""
        return frozenset(name for rule in self.table.ingest.prepare if rule.mask for name in rule.mask.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformStep(Step):
    """Compute a model and commit its rows.

    `intervals` are the ones known to be due; those in `pending` are due as well, and not to be computed now.
    """

    role: ClassVar[Role] = Role.TRANSFORM

    model: Model
    intervals: tuple[Interval, ...] = ()
    pending: tuple[Interval, ...] = ()

    @property
    def location(self) -> Location:
        """Where the model is declared."""
        return self.model.location

    @property
    def is_timed(self) -> bool:
        """Whether the model is computed interval by interval."""
        return self.model.is_timed

    @property
    def is_dated_by_clock(self) -> bool:
        """A snapshot without a `time` of its own dates changes by the run's clock."""
        return self.model.spec.materialize == Materialization.SNAPSHOT and not self.model.spec.time

    @property
    def sql(self) -> str:
        """The model's query."""
        return self.model.text.strip() if self.model.language == "sql" else ""

    @property
    def spans(self) -> tuple[Interval, ...]:
        """The intervals that are due and to be computed."""
        return self.intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishStep(TransformStep):
    """Publish a port: its columns, audited by its contract, which the commit keeps."""

    role: ClassVar[Role] = Role.PUBLISH

    contract: PortContract

    @property
    def location(self) -> Location:
        """Where the port is declared."""
        return self.contract.location

    @property
    def hidden_columns(self) -> frozenset[str]:
        """The columns whose values no report shows."""
        return self.contract.hidden_columns

    @property
    def hides_values(self) -> bool:
        """Whether a column's values are shown in no report."""
        return bool(self.contract.hidden_columns)

    @property
    def kept(self) -> Mapping[str, Any]:
        """The contract."""
        return {CONTRACT: to_json(self.contract)}


CONTRACT = "contract"
"""Key of a port's position: the contract that was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumeStep(Step):
    """Have a consumer make its files, and commit them.

    `volatile` are the functions that it calls, itself or by a view, and that give something else at another time;
    `uses_clock` says that a view it reads has `$now`.
    """

    role: ClassVar[Role] = Role.CONSUMER

    consumer: DeclaredConsumer
    volatile: tuple[str, ...] = ()
    uses_clock: bool = False

    @property
    def location(self) -> Location:
        """Where the consumer is declared."""
        return self.consumer.location


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStep(Step):
    """Have a consumer's artefact give scores to rows, and commit them; the attributes are as those of `ConsumeStep`."""

    role: ClassVar[Role] = Role.SCORE

    scores: DeclaredScores
    volatile: tuple[str, ...] = ()
    uses_clock: bool = False

    @property
    def location(self) -> Location:
        """Where the consumer is declared."""
        return self.scores.location


@dataclass(frozen=True, slots=True, order=True)
class Orphan:
    """A table that nothing declares in the store that holds it; `rows` is None when they are not known."""

    dataset: str
    store: str
    rows: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.dataset} ({self.store})"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in an order in which every step comes after those it waits for.

    Attributes:
        steps: All steps of the selected nodes.
        now: The run's clock, UTC.
        states: What the stores said of every dataset when the plan was made.
        orphans: Tables in the stores that nothing declares there.
        notes: Remarks for people (sources not reached, models bound at run).
        breaks: Columns that the run takes away or retypes, and what reads them.
        selected: Somebody asked for these steps by name, tag and so on.
    """

    steps: tuple[Step, ...]
    now: datetime
    states: dict[str, TableState] = field(default_factory=dict)
    orphans: tuple[Orphan, ...] = ()
    notes: tuple[str, ...] = ()
    breaks: tuple[Break, ...] = ()
    selected: bool = False

    def count(self, decision: Decision) -> int:
        """How many steps have a decision."""
        return sum(step.decision is decision for step in self.steps)
