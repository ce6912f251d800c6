"""What a user may write, as pydantic models: ingestion options, model headers, checks, stores, unit tests.

A key that is not here is an unknown word. Kinds add their own keys with models of their own (see `contracts`).
"""

from headwater.core.specs.base import (
    CHECK_KINDS,
    STORES,
    CheckSpec,
    ColumnCheck,
    ColumnSpec,
    ColumnSpecs,
    DescribedSpec,
    RangeArgs,
    RelationshipArgs,
    SourceColumns,
    SourceColumnSpec,
    Spec,
    StoreName,
    TypeName,
    stores_of,
)
from headwater.core.specs.ingest import DedupeArgs, IngestSpec, MaskArgs, PrepareRule, missing_columns
from headwater.core.specs.model import ModelSpec
from headwater.core.specs.project import (
    DEFAULT_STORES,
    DefaultsSpec,
    EngineSpec,
    EnvironmentSpec,
    PlaceSpec,
    ProjectSpec,
    StoreSpec,
    TypedVar,
    UnitTestSpec,
)

__all__ = [
    "CHECK_KINDS",
    "DEFAULT_STORES",
    "STORES",
    "CheckSpec",
    "ColumnCheck",
    "ColumnSpec",
    "ColumnSpecs",
    "DedupeArgs",
    "DefaultsSpec",
    "DescribedSpec",
    "EngineSpec",
    "EnvironmentSpec",
    "IngestSpec",
    "MaskArgs",
    "ModelSpec",
    "PlaceSpec",
    "PrepareRule",
    "ProjectSpec",
    "RangeArgs",
    "RelationshipArgs",
    "SourceColumnSpec",
    "SourceColumns",
    "Spec",
    "StoreName",
    "StoreSpec",
    "TypeName",
    "TypedVar",
    "UnitTestSpec",
    "missing_columns",
    "stores_of",
]
