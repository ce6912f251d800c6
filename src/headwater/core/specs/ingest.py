"""How a table of any source is ingested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationInfo, model_validator

from headwater.core.policies import DeletePolicy, LoadMode, SchemaPolicy
from headwater.core.specs.base import DescribedSpec, SourceColumns, Spec, StoreName, TypeName, stores_of
from headwater.core.values import Duration, Limit, Ratio, Words

if TYPE_CHECKING:
    from collections.abc import Iterable


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


class IngestSpec(DescribedSpec):
    """How a table of any source is ingested; kinds add their own keys beside these.

    `load: cdc` follows the source's own log of changes; only kinds that say so have it (`Source.loads`).
    """

    columns: SourceColumns = Field(default_factory=dict)  # type: ignore[assignment]
    load: LoadMode = LoadMode.FULL
    key: Words = Field(default_factory=list)
    cursor: str | None = None
    lag: Duration | None = None
    deletes: DeletePolicy = DeletePolicy.IGNORE
    prepare: list[PrepareRule] = Field(default_factory=list)
    reject_if: dict[str, str] = Field(default_factory=dict)
    max_rejected: Limit | None = None
    schema_policy: SchemaPolicy = Field(SchemaPolicy.EVOLVE, alias="schema")
    allow_empty: bool = False
    max_deleted: Ratio = 0.2
    into: StoreName = "lakehouse"

    @model_validator(mode="after")
    def _fits_together(self) -> IngestSpec:
        if self.deletes != DeletePolicy.IGNORE and not self.key:
            raise ValueError(f"deletes: {self.deletes} needs a key")
        if self.load == LoadMode.CDC:
            self._fits_changes()
        if self.load == LoadMode.FULL and self.lag is not None:
            raise ValueError("lag belongs to load: incremental")
        return self

    @model_validator(mode="after")
    def _fits_store(self, info: ValidationInfo) -> IngestSpec:
        stores = stores_of(info)
        merges = self.key or self.deletes != DeletePolicy.IGNORE
        if merges and self.into in stores and not stores[self.into].merges:
            others = " or ".join(name for name, store in stores.items() if store.merges)
            raise ValueError(f"the {self.into} only appends or replaces whole loads; a key needs into: {others}")
        return self

    def _fits_changes(self) -> None:
        if not self.key:
            raise ValueError("load: cdc needs the key that changes are merged by")
        if self.cursor or self.lag is not None:
            raise ValueError("load: cdc follows the log of the source; leave cursor and lag out")
        if self.deletes == DeletePolicy.COMPARE_KEYS:
            raise ValueError("load: cdc sees deletes; leave deletes out, or write soft_flag or ignore")
        if any(rule.dedupe for rule in self.prepare):
            raise ValueError("load: cdc keeps the last change of a key; leave dedupe out")

    @property
    def hides_values(self) -> bool:
        """Whether a column is masked or dropped: then no message and no reason shows a value of the table's rows."""
        return any(rule.mask or rule.drop for rule in self.prepare)

    @property
    def flags_deletes(self) -> bool:
        """Whether rows that the source deleted stay, with the time in `_deleted_at`."""
        return self.deletes == DeletePolicy.SOFT_FLAG

    @property
    def ignores_deletes(self) -> bool:
        """Whether rows that the source deleted stay as they are; a log of changes says `ignore` to have that."""
        return self.deletes == DeletePolicy.IGNORE and (self.load != LoadMode.CDC or "deletes" in self.model_fields_set)


def missing_columns(ingest: IngestSpec, given: Iterable[str]) -> list[str]:
    """Return the declared columns that a source does not give, though they are not optional; case does not matter."""
    there = {name.lower() for name in given}
    return [name for name, column in ingest.columns.items() if not column.optional and name.lower() not in there]
