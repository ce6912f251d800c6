"""headwater.yaml and unit tests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headwater.core.specs.base import Spec, TypeName
from headwater.core.values import PathText


class PlaceSpec(Spec):
    """Where a store lives; a path is relative to the project."""

    path: Annotated[PathText, Field(min_length=1)]


class StoreSpec(PlaceSpec):
    """A store: what it is (its name, when that is a kind) and where it lives."""

    kind: str = ""


DEFAULT_STORES = {
    "lake": StoreSpec(path="data/lake"),
    "lakehouse": StoreSpec(path="data/lakehouse"),
    "warehouse": StoreSpec(path="data/warehouse.duckdb"),
    "mesh": StoreSpec(path="data/mesh"),
    "artefacts": StoreSpec(path="data/artefacts"),
}
"""The stores that every project has."""


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

    into: str = "lakehouse"
    store: str = "warehouse"


class EnvironmentSpec(Spec):
    """A named environment: it states every store that is used, or lists the shared ones."""

    stores: dict[str, PlaceSpec] = Field(default_factory=dict)
    shared: list[str] = Field(default_factory=list)
    engine: EngineSpec | None = None


class ProjectSpec(Spec):
    """headwater.yaml."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    vars: dict[str, Any] = Field(default_factory=dict)
    stores: dict[str, StoreSpec] = Field(default_factory=dict)
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
