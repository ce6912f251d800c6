"""The header of a model."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, ValidationInfo, model_validator

from headwater.core.policies import Materialization
from headwater.core.specs.base import DescribedSpec, StoreName, stores_of
from headwater.core.values import Duration, Words


def _check_moment(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"start: {text!r} is not an ISO date or timestamp; write it like 2024-01-31") from None


class ModelSpec(DescribedSpec):
    """The header of a model: `/* headwater … */` in SQL, the decorator's arguments in Python."""

    materialize: Materialization = Materialization.TABLE
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
        if self.materialize == Materialization.VIEW and (self.key or self.all_checks()):
            raise ValueError("a view holds no rows: a key and checks belong to a table, or to what reads the view")
        if self.materialize == Materialization.INCREMENTAL and not (
            self.key or (self.time and self.every and self.start)
        ):
            raise ValueError("materialize: incremental needs `time`, `every` and `start`, or a `key`")
        if self.materialize == Materialization.INCREMENTAL and self.time and not (self.every and self.start):
            raise ValueError("`time` needs `every` and `start` beside it")
        if self.start is not None:
            _check_moment(self.start)
        if self.materialize == Materialization.SNAPSHOT and not self.key:
            raise ValueError("materialize: snapshot needs a `key`")
        return self

    @model_validator(mode="after")
    def _fits_store(self, info: ValidationInfo) -> ModelSpec:
        stores = stores_of(info)
        store = stores.get(self.store or "")
        if store is None:
            return self
        if self.materialize == Materialization.VIEW and not store.capabilities.keeps_views:
            raise ValueError("a view lives in no store of its own; drop `store`, or use materialize: table")
        if self.materialize in (Materialization.INCREMENTAL, Materialization.SNAPSHOT) and not store.merges:
            others = " or ".join(name for name, other in stores.items() if other.merges)
            raise ValueError(f"the {self.store} cannot hold materialize: {self.materialize}; use {others}")
        return self
