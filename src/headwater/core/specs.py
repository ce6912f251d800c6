"""What a user may write, as pydantic models: ingestion options, model headers, checks, stores, unit tests.

A key that is not here is an unknown word. Kinds add their own keys with models of their own (see `contracts`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headwater.core.types import normalize_type
from headwater.core.values import Duration, Limit, PathText, Ratio, Words

if TYPE_CHECKING:
    from collections.abc import Iterable


class Spec(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


TypeName = Annotated[str, BeforeValidator(normalize_type)]
"""A DuckDB type, in DuckDB's own spelling once read."""

CHECK_KINDS = (
    "not_null", "unique", "accepted_values", "range", "pattern", "relationship", "row_count", "freshness", "sql",
)  # fmt: skip


class CheckSpec(Spec):
    """One check: exactly one kind, with its arguments, a severity and an optional name.

    At a column, `columns` may be left out. `sql` returns the rows that are wrong, from `this`.
    """

    not_null: Words | None = None
    unique: Words | None = None
    accepted_values: list[Any] | None = None
    range: RangeArgs | None = None
    pattern: str | None = None
    relationship: RelationshipArgs | None = None
    row_count: RangeArgs | None = None
    freshness: Duration | None = None
    sql: str | None = None
    column: str | None = None
    name: str | None = None
    severity: Literal["error", "warning"] = "error"

    @model_validator(mode="after")
    def _one_kind(self) -> CheckSpec:
        kinds = [kind for kind in CHECK_KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a check has exactly one of {', '.join(CHECK_KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in CHECK_KINDS if getattr(self, kind) is not None)


class RangeArgs(Spec):
    """Lowest and highest value allowed, both inclusive; at least one of them."""

    min: Any = None
    max: Any = None

    @model_validator(mode="after")
    def _some_bound(self) -> RangeArgs:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max")
        return self


class RelationshipArgs(Spec):
    """Every value that is not NULL must be found in `field` of dataset `to`."""

    to: str
    field: str


CheckSpec.model_rebuild()


def _check_at_column(value: Any) -> Any:
    """Read `not_null` and `unique` written as words; the column is filled in by `ColumnSpec.checks_of`."""
    return {str(value): []} if isinstance(value, str) else value


_CheckWord = Literal["not_null", "unique"]
ColumnCheck = Annotated[CheckSpec, BeforeValidator(_check_at_column, json_schema_input_type=_CheckWord | CheckSpec)]


class ColumnSpec(Spec):
    """A column as a user describes it; a bare word is its type."""

    type: TypeName | None = None
    description: str = ""
    checks: list[ColumnCheck] = Field(default_factory=list)

    def checks_of(self, column: str) -> list[CheckSpec]:
        """Return the column's checks with the column filled in."""
        filled = []
        for check in self.checks:
            if check.kind in ("not_null", "unique"):
                filled.append(check.model_copy(update={check.kind: [column], "column": column}))
            else:
                filled.append(check.model_copy(update={"column": column}))
        return filled


class SourceColumnSpec(ColumnSpec):
    """A column of a source's table; it has to be there, unless it is `optional` (then it is NULL)."""

    optional: bool = False


def _column(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Columns = dict[str, Annotated[ColumnSpec, BeforeValidator(_column, json_schema_input_type=str | ColumnSpec)]]
SourceColumns = dict[
    str, Annotated[SourceColumnSpec, BeforeValidator(_column, json_schema_input_type=str | SourceColumnSpec)]
]


class DescribedSpec(Spec):
    """What can be said of every dataset."""

    description: str = ""
    owner: str = ""
    tags: Words = Field(default_factory=list)
    columns: Columns = Field(default_factory=dict)
    checks: list[CheckSpec] = Field(default_factory=list)

    @model_validator(mode="after")
    def _checks_say_of_what(self) -> DescribedSpec:
        for check in self.checks:
            named = check.column or check.not_null or check.unique
            if not named and check.kind not in ("row_count", "sql"):
                raise ValueError(f"the check {check.kind} needs a column; write it at the column, or add column: …")
        return self

    def all_checks(self) -> tuple[CheckSpec, ...]:
        """The dataset's checks: those of its columns, then its own."""
        return (*(c for name, column in self.columns.items() for c in column.checks_of(name)), *self.checks)


class MaskArgs(Spec):
    """Columns replaced by HMAC-SHA-256 of their text, in hexadecimal, under a key given by reference."""

    columns: Words
    key: str = Field(min_length=1, json_schema_extra={"secret": True})


class DedupeArgs(Spec):
    """One row per `by`, the first in `order` (SQL), per load."""

    by: Words
    order: str = ""


class PrepareRule(Spec):
    """One step of preparation: exactly one key. Steps run in the order written."""

    trim: Words | None = None
    rename: dict[str, str] | None = None
    cast: dict[str, TypeName] | None = None
    round: dict[str, Annotated[int, Field(ge=0, le=38)]] | None = None
    fill: dict[str, Any] | None = None
    null_if: dict[str, Any] | None = None
    drop: Words | None = None
    mask: MaskArgs | None = None
    dedupe: DedupeArgs | None = None
    sql: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> PrepareRule:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a rule of prepare has exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def kind(self) -> str:
        """Which rule it is."""
        return next(iter(self.model_fields_set))


StoreName = Literal["lake", "lakehouse", "warehouse"]

LoadMode = Literal["full", "incremental", "cdc"]


class IngestSpec(DescribedSpec):
    """How a table of any source is ingested; kinds add their own keys beside these.

    `load: cdc` follows the source's own log of changes; only kinds that say so have it (`Source.loads`).
    """

    columns: SourceColumns = Field(default_factory=dict)  # type: ignore[assignment]
    load: LoadMode = "full"
    key: Words = Field(default_factory=list)
    cursor: str | None = None
    lag: Duration | None = None
    deletes: Literal["ignore", "compare_keys", "soft_flag"] = "ignore"
    prepare: list[PrepareRule] = Field(default_factory=list)
    reject_if: dict[str, str] = Field(default_factory=dict)
    max_rejected: Limit | None = None
    schema_policy: Literal["evolve", "freeze", "discard_row", "discard_value"] = Field("evolve", alias="schema")
    allow_empty: bool = False
    max_deleted: Ratio = 0.2
    into: StoreName = "lakehouse"

    @model_validator(mode="after")
    def _fits_together(self) -> IngestSpec:
        if self.deletes != "ignore" and not self.key:
            raise ValueError(f"deletes: {self.deletes} needs a key")
        if self.load == "cdc":
            self._fits_changes()
        if self.load == "full" and self.lag is not None:
            raise ValueError("lag belongs to load: incremental")
        if self.into == "lake" and (self.key or self.deletes != "ignore"):
            raise ValueError("the lake only appends or replaces whole loads; a key needs into: lakehouse or warehouse")
        return self

    def _fits_changes(self) -> None:
        if not self.key:
            raise ValueError("load: cdc needs the key that changes are merged by")
        if self.cursor or self.lag is not None:
            raise ValueError("load: cdc follows the log of the source; leave cursor and lag out")
        if self.deletes == "compare_keys":
            raise ValueError("load: cdc is told of deletes; leave deletes out, or write soft_flag or ignore")
        if any(rule.dedupe for rule in self.prepare):
            raise ValueError("load: cdc keeps the last change of a key; leave dedupe out")

    @property
    def hides_values(self) -> bool:
        """Whether a column is masked or dropped: then no message and no reason shows a value of the table's rows."""
        return any(rule.mask or rule.drop for rule in self.prepare)

    @property
    def flags_deletes(self) -> bool:
        """Whether rows that the source deleted stay, with the time in `_deleted_at`."""
        return self.deletes == "soft_flag"

    @property
    def ignores_deletes(self) -> bool:
        """Whether rows that the source deleted stay as they are; a log of changes says `ignore` to have that."""
        return self.deletes == "ignore" and (self.load != "cdc" or "deletes" in self.model_fields_set)


def missing_columns(ingest: IngestSpec, given: Iterable[str]) -> list[str]:
    """Return the declared columns that a source does not give, though they are not optional; case does not matter."""
    there = {name.lower() for name in given}
    return [name for name, column in ingest.columns.items() if not column.optional and name.lower() not in there]


def _check_moment(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"start: {text!r} is not an ISO date or timestamp; write it like 2024-01-31") from None


class ModelSpec(DescribedSpec):
    """The header of a model: `/* headwater … */` in SQL, the decorator's arguments in Python."""

    materialize: Literal["table", "view", "incremental", "snapshot"] = "table"
    store: StoreName | None = None
    key: Words = Field(default_factory=list)
    time: str | None = None
    every: Literal["hour", "day", "week", "month", "year"] | None = None
    start: str | None = None
    lookback: Duration | None = None
    schedule: str | None = None
    volatile: Literal["ignore"] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSpec:
        if self.materialize == "view" and self.store in ("lake", "lakehouse"):
            raise ValueError("a view lives in no store of its own; drop `store`, or use materialize: table")
        if self.materialize == "view" and (self.key or self.all_checks()):
            raise ValueError("a view holds no rows: a key and checks belong to a table, or to what reads the view")
        if self.materialize == "incremental" and not (self.key or (self.time and self.every and self.start)):
            raise ValueError("materialize: incremental needs `time`, `every` and `start`, or a `key`")
        if self.materialize == "incremental" and self.time and not (self.every and self.start):
            raise ValueError("`time` needs `every` and `start` beside it")
        if self.start is not None:
            _check_moment(self.start)
        if self.materialize == "snapshot" and not self.key:
            raise ValueError("materialize: snapshot needs a `key`")
        if self.store == "lake" and self.materialize in ("incremental", "snapshot"):
            raise ValueError(f"the lake cannot hold materialize: {self.materialize}; use lakehouse or warehouse")
        return self


class StoreSpec(Spec):
    """Where a store lives; a path is relative to the project."""

    path: Annotated[PathText, Field(min_length=1)]


class StoresSpec(Spec):
    """The three stores."""

    lake: StoreSpec = StoreSpec(path="data/lake")
    lakehouse: StoreSpec = StoreSpec(path="data/lakehouse")
    warehouse: StoreSpec = StoreSpec(path="data/warehouse.duckdb")


class EngineSpec(Spec):
    """What runs models (DuckDB, embedded), with an optional memory limit ("4GB") and number of threads."""

    kind: str = "duckdb"
    memory_limit: str | None = Field(None, pattern=r"^\d+(\.\d+)?\s*([KMGT]i?B)$")
    threads: int | None = Field(None, ge=1)


class TypedVar(Spec):
    """A variable whose type is stated."""

    value: Any
    type: TypeName


class DefaultsSpec(Spec):
    """What tables and models take when they do not say otherwise."""

    into: StoreName = "lakehouse"
    store: StoreName = "warehouse"


class EnvironmentSpec(Spec):
    """A named environment: it states every store that is used, or lists the shared ones."""

    stores: dict[StoreName, StoreSpec] = Field(default_factory=dict)
    shared: list[StoreName] = Field(default_factory=list)
    engine: EngineSpec | None = None


class ProjectSpec(Spec):
    """headwater.yaml."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    vars: dict[str, Any] = Field(default_factory=dict)
    stores: StoresSpec = Field(default_factory=lambda: StoresSpec())
    engine: EngineSpec = Field(default_factory=lambda: EngineSpec())
    defaults: DefaultsSpec = Field(default_factory=DefaultsSpec)
    environments: dict[str, EnvironmentSpec] = Field(default_factory=dict)


class UnitTestSpec(Spec):
    """tests/*.yaml: given rows, expected rows."""

    model: str
    given: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    expect: list[dict[str, Any]]
    now: str | None = None
    interval: list[str] | None = None
