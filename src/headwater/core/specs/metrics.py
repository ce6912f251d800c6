"""A semantic model as a file of metrics/ says it: Apache Ossie, core specification 0.2.0.dev0.

Source: https://github.com/apache/ossie, core-spec/spec.md. What the specification leaves to vendors and to AI tools
(`custom_extensions`, `ai_context`) is accepted and not read.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from headwater.core.specs.base import Spec
from headwater.core.values import Words

OSSIE_VERSION = "0.2.0.dev0"

DIALECT = "ANSI_SQL"
"""The dialect that is read; expressions in others stand beside it for other tools."""

TIMES = ("Date", "DateTime", "DateTimeTz")
"""The data types of Ossie that make a field a time where it does not say otherwise; a time of day has no month."""

VENDOR = "HEADWATER"
"""Who `custom_extensions` are for that are read."""


def _check_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or "__" in text:
        raise ValueError(f"{text!r} is no name: write letters, digits and single _, no digit first")
    return text


SemanticName = Annotated[str, AfterValidator(_check_name)]


class DialectSpec(Spec):
    """An expression in one dialect."""

    dialect: str
    expression: Annotated[str, Field(min_length=1)]


class ExpressionSpec(Spec):
    """An expression, in one dialect or in several."""

    dialects: Annotated[list[DialectSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _can_be_read(self) -> ExpressionSpec:
        if all(one.dialect != DIALECT for one in self.dialects):
            raise ValueError(f"no expression is in {DIALECT}")
        return self

    @property
    def sql(self) -> str:
        """The expression that is read."""
        return next(one.expression for one in self.dialects if one.dialect == DIALECT)


def _read_expression(value: Any) -> Any:
    return {"dialects": [{"dialect": DIALECT, "expression": value}]} if isinstance(value, str) else value


Expression = Annotated[
    ExpressionSpec, BeforeValidator(_read_expression, json_schema_input_type=str | ExpressionSpec)
]  # fmt: skip
"""An expression; a bare text is in ANSI SQL."""

DataType = Literal[
    "String", "Integer", "Decimal", "Float", "Boolean", "Date", "Time", "DateTime", "DateTimeTz", "Opaque"
]  # fmt: skip


class TellingSpec(Spec):
    """What everything may say of itself to people and to other tools."""

    description: str = ""
    ai_context: Any = None
    custom_extensions: list[Any] = Field(default_factory=list)


class DimensionSpec(Spec):
    """Whether a field is a time: by default, where its data type is one."""

    is_time: bool | None = None


class FieldSpec(TellingSpec):
    """A value of a row: a column, or an expression over the columns of its dataset."""

    name: SemanticName
    expression: Expression
    dimension: DimensionSpec = DimensionSpec()
    label: str = ""
    datatype: DataType | None = None

    @property
    def is_time(self) -> bool:
        """Whether it can be taken by month, day and other grains."""
        return self.datatype in TIMES if self.dimension.is_time is None else self.dimension.is_time


class ExtensionSpec(Spec):
    """What a dataset says to Headwater, as JSON in `custom_extensions`: the field that a grain alone is of."""

    time: str = ""


class MetricDatasetSpec(TellingSpec):
    """A dataset of the project under the name that expressions call it by."""

    name: SemanticName
    source: Annotated[str, Field(min_length=1)]
    primary_key: Words = Field(default_factory=list)
    unique_keys: list[Words] = Field(default_factory=list)
    fields: list[FieldSpec] = Field(default_factory=list)

    @model_validator(mode="after")
    def _time_is_a_field(self) -> MetricDatasetSpec:
        times = [one.name for one in self.fields if one.is_time]
        if self.time and self.time not in times:
            raise ValueError(f"its time {self.time} is none of its fields that are times: {', '.join(times)}")
        return self

    @property
    def time(self) -> str:
        """The field that a grain alone is of, "" where it is not said."""
        said = [one for one in self.custom_extensions if isinstance(one, dict) and one.get("vendor_name") == VENDOR]
        data = said[0].get("data") if said else {}
        try:
            found = json.loads(data) if isinstance(data, str) else data
            return ExtensionSpec.model_validate(found).time
        except ValueError:
            raise ValueError(f'custom_extensions: the data of {VENDOR} are not {{"time": "a field"}}') from None


class MetricRelationshipSpec(Spec):
    """Each row of `from` has at most one row of `to`: the columns there are a key of it."""

    name: SemanticName
    from_: str = Field(alias="from")
    to: str
    from_columns: Annotated[list[str], Field(min_length=1)]
    to_columns: Annotated[list[str], Field(min_length=1)]
    ai_context: Any = None
    custom_extensions: list[Any] = Field(default_factory=list)

    @model_validator(mode="after")
    def _as_many(self) -> MetricRelationshipSpec:
        if len(self.from_columns) != len(self.to_columns):
            raise ValueError("from_columns and to_columns have as many columns, in the same order")
        return self


class MetricSpec(TellingSpec):
    """One number: an expression over aggregates of fields."""

    name: SemanticName
    expression: Expression
    datatype: DataType | None = None


class SemanticModelSpec(TellingSpec):
    """Datasets, how they are connected, and the metrics over them."""

    name: SemanticName
    datasets: Annotated[list[MetricDatasetSpec], Field(min_length=1)]
    relationships: list[MetricRelationshipSpec] = Field(default_factory=list)
    metrics: list[MetricSpec] = Field(default_factory=list)


class MetricsFileSpec(Spec):
    """A file of metrics/: a list of semantic models, or the keys of one beside the version."""

    version: Literal["0.2.0.dev0"]
    semantic_model: Annotated[list[SemanticModelSpec], Field(min_length=1)]
    ai_context: Any = None
    dialects: Words = Field(default_factory=list)
    vendors: Words = Field(default_factory=list)
