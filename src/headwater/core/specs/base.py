"""What every declaration may say: checks, columns, a description; and how a store is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from headwater.core.policies import Severity, Unit
from headwater.core.types import normalize_type
from headwater.core.values import Duration, Number, NumberPair, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.stores import DeclaredStore


class Spec(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _read_type(value: Any) -> Any:
    return normalize_type(value) if isinstance(value, str) else value


TypeName = Annotated[str, BeforeValidator(_read_type)]
"""A DuckDB type, in DuckDB's own spelling once read."""


class CheckSpec(Spec):
    """One check: exactly one kind, with its arguments, a severity and an optional name.

    At a column, `columns` may be left out. `sql` returns the rows that are wrong, from `this`; `query` one value.
    `must` says how many rows may be wrong, none where it is left out; of `query`, what its value has to be.
    """

    not_null: Words | None = None
    unique: Words | None = None
    accepted_values: list[Any] | None = None
    missing_values: Annotated[list[Any], Field(min_length=1)] | None = None
    range: RangeArgs | None = None
    length: LengthArgs | None = None
    pattern: str | None = None
    valid: ValidArgs | None = None
    relationship: RelationshipArgs | None = None
    row_count: CountArgs | None = None
    freshness: Duration | None = None
    sql: str | None = None
    query: str | None = None
    must: MustArgs | None = None
    column: str | None = None
    name: str | None = None
    severity: Severity = Severity.ERROR

    @model_validator(mode="after")
    def _one_kind(self) -> CheckSpec:
        kinds = [kind for kind in CHECK_KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a check has exactly one of {', '.join(CHECK_KINDS)}")
        return self

    @model_validator(mode="after")
    def _must_fits(self) -> CheckSpec:
        if self.query is not None and self.must is None:
            raise ValueError("a query needs what its value has to be: must: {be: 0}")
        if self.must is not None and self.kind in ("row_count", "freshness"):
            raise ValueError(f"{self.kind} counts no wrong rows: leave must out")
        if self.must is not None and self.must.unit is Unit.PERCENT and self.query is not None:
            raise ValueError("the value of a query is no share of rows: leave the unit out")
        return self

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in CHECK_KINDS if getattr(self, kind) is not None)


class RangeArgs(Spec):
    """Lowest and highest value allowed, `min` and `max` inclusive, `above` and `below` not; at least one of them."""

    min: Any = None
    max: Any = None
    above: Any = None
    below: Any = None

    @model_validator(mode="after")
    def _some_bound(self) -> RangeArgs:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("a range needs min or max")
        if None not in (self.min, self.above) or None not in (self.max, self.below):
            raise ValueError("a range has one bound at each end: min or above, max or below")
        return self


class CountArgs(RangeArgs):
    """How many rows a table may have; `not_between` are two numbers, inclusive, between which it must not be."""

    not_between: Annotated[list[Any], Field(min_length=2, max_length=2)] | None = None


class LengthArgs(Spec):
    """Shortest and longest text allowed, in characters, both inclusive; at least one of them."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> LengthArgs:
        if self.min is None and self.max is None:
            raise ValueError("a length needs min or max")
        return self


class ValidArgs(Spec):
    """Several conditions on one value, counted as one: a value that breaks any of them is wrong once."""

    values: list[Any] | None = None
    pattern: str | None = None
    range: RangeArgs | None = None
    length: LengthArgs | None = None

    @model_validator(mode="after")
    def _several(self) -> ValidArgs:
        if sum(value is not None for value in self.__dict__.values()) < 2:
            raise ValueError(
                "valid joins two or more of values, pattern, range, length; "
                "one alone is a check of its own: accepted_values, pattern, range, length"
            )
        return self


class MustArgs(Spec):
    """What a number has to be: exactly one operator, and its unit where rows are counted."""

    be: Number | None = None
    not_be: Number | None = None
    be_greater_than: Number | None = None
    be_greater_or_equal_to: Number | None = None
    be_less_than: Number | None = None
    be_less_or_equal_to: Number | None = None
    be_between: NumberPair | None = None
    not_be_between: NumberPair | None = None
    unit: Unit = Unit.ROWS

    @model_validator(mode="after")
    def _one_operator(self) -> MustArgs:
        operators = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(operators) != 1:
            raise ValueError(f"must has exactly one of {', '.join(OPERATORS)}")
        pair = getattr(self, operators[0])
        if isinstance(pair, list) and pair[0] > pair[1]:
            raise ValueError(f"{operators[0]} begins with the smaller number")
        return self

    @property
    def operator(self) -> str:
        """Which of the operators it is."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)


class RelationshipArgs(Spec):
    """Every value that is not NULL must be found in `field` of dataset `to`."""

    to: str
    field: str


ValidArgs.model_rebuild()
CheckSpec.model_rebuild()

CHECK_KINDS = tuple(key for key in CheckSpec.model_fields if key not in ("must", "column", "name", "severity"))
OPERATORS = tuple(key for key in MustArgs.model_fields if key != "unit")
"""What a number is compared by, in the words of `must`."""

OF_THE_TABLE = ("row_count", "sql", "query")
"""The kinds of checks that need no column."""


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


def read_column(value: Any) -> Any:
    """Read a column that is written as its type alone."""
    return {"type": value} if isinstance(value, str) else value


ColumnSpecs = dict[str, Annotated[ColumnSpec, BeforeValidator(read_column, json_schema_input_type=str | ColumnSpec)]]
SourceColumns = dict[
    str, Annotated[SourceColumnSpec, BeforeValidator(read_column, json_schema_input_type=str | SourceColumnSpec)]
]


class DescribedSpec(Spec):
    """What can be said of every dataset."""

    description: str = ""
    owner: str = ""
    tags: Words = Field(default_factory=list)
    columns: ColumnSpecs = Field(default_factory=dict)
    checks: list[CheckSpec] = Field(default_factory=list)

    @model_validator(mode="after")
    def _checks_say_of_what(self) -> DescribedSpec:
        for check in self.checks:
            named = check.column or check.not_null or check.unique
            if not named and check.kind not in OF_THE_TABLE:
                raise ValueError(f"the check {check.kind} needs a column; write it at the column, or add column: …")
        return self

    def all_checks(self) -> tuple[CheckSpec, ...]:
        """The dataset's checks: those of its columns, then its own."""
        return (*(c for name, column in self.columns.items() for c in column.checks_of(name)), *self.checks)


STORES = "stores"
"""Key of the validation context under which a project's stores are (name to `DeclaredStore`)."""


def _is_declared(name: str, info: ValidationInfo) -> str:
    stores = stores_of(info)
    known = [one for one, store in stores.items() if store.capabilities.keeps_tables]
    if stores and name not in known:
        raise PydanticCustomError("literal_error", "not known", {"expected": ", ".join(map(repr, known))})
    return name


def stores_of(info: ValidationInfo) -> Mapping[str, DeclaredStore]:
    """Return the project's stores by name; none when they are not in the context."""
    found: Mapping[str, DeclaredStore] = (info.context or {}).get(STORES, {})
    return found


StoreName = Annotated[str, AfterValidator(_is_declared)]
"""The name of a store of the project; where the stores are not in the context, any name."""
