"""What a data product's file says: its ports, and what each promises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from headwater.core.specs.base import ColumnSpec, DescribedSpec, Spec, read_column
from headwater.core.values import Duration, Words, check_version

Version = Annotated[str, AfterValidator(check_version)]
"""A version of SemVer: `major.minor.patch`."""


class PortColumnSpec(ColumnSpec):
    """A column that a port promises.

    `hidden`, and a `classification` other than `public` and `internal`, keep its values out of every report.
    """

    required: bool = False
    unique: bool = False
    hidden: bool = False
    classification: str = ""


class AgeArgs(Spec):
    """How old the newest value of a column may be; without a column, how long ago the port was last published."""

    column: str | None = None
    max: Duration


def _read_age(value: Any) -> Any:
    return value if isinstance(value, dict | AgeArgs) else {"max": value}


Age = Annotated[AgeArgs, BeforeValidator(_read_age, json_schema_input_type=str | AgeArgs)]


class SlaSpec(Spec):
    """What a port promises of time: all of it is evaluated, and a name that could not be is refused."""

    freshness: Age | None = None
    latency: Age | None = None
    frequency: Duration | None = None
    retention: Age | None = None


PortColumns = dict[
    str, Annotated[PortColumnSpec, BeforeValidator(read_column, json_schema_input_type=str | PortColumnSpec)]
]


class PortSpec(DescribedSpec):
    """One output port: what it is made of, and what it promises."""

    version: Version
    from_: str = Field(alias="from", min_length=1)
    columns: PortColumns = Field(min_length=1)  # type: ignore[assignment]
    sla: SlaSpec = SlaSpec()
    strict: bool = True
    status: Literal["proposed", "draft", "active", "deprecated", "retired"] = "active"

    @model_validator(mode="after")
    def _columns_have_types(self) -> PortSpec:
        if untyped := [name for name, column in self.columns.items() if column.type is None]:
            raise ValueError(f"a port promises the type of each column: add the type of {', '.join(untyped)}")
        return self


class ProductSpec(Spec):
    """A data product in the short form: `kind: product`."""

    kind: Literal["product"] = "product"
    description: str = ""
    owner: str = ""
    tags: Words = Field(default_factory=list)
    ports: dict[str, PortSpec] = Field(min_length=1)
