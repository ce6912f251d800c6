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

from headwater.core.policies import Severity
from headwater.core.types import normalize_type
from headwater.core.values import Duration, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.stores import DeclaredStore


class Spec(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


TypeName = Annotated[str, BeforeValidator(normalize_type)]
"""A DuckDB type, in DuckDB's own spelling once read."""


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
    severity: Severity = Severity.ERROR

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

CHECK_KINDS = tuple(key for key in CheckSpec.model_fields if key not in ("column", "name", "severity"))


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


ColumnSpecs = dict[str, Annotated[ColumnSpec, BeforeValidator(_column, json_schema_input_type=str | ColumnSpec)]]
SourceColumns = dict[
    str, Annotated[SourceColumnSpec, BeforeValidator(_column, json_schema_input_type=str | SourceColumnSpec)]
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
            if not named and check.kind not in ("row_count", "sql"):
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
