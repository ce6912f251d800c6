"""What a user may write, as pydantic models: ingestion options, model headers, checks, stores, unit tests.

A key that is not here is an unknown word. Kinds add their own keys with models of their own (see `contracts`).
"""

from headwater.core.specs.base import (
    CHECK_KINDS,
    STORES,
    BuiltInStore,
    CheckSpec,
    ColumnCheck,
    Columns,
    ColumnSpec,
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
from headwater.core.specs.ingest import DedupeArgs, IngestSpec, LoadMode, MaskArgs, PrepareRule, missing_columns
from headwater.core.specs.model import ModelSpec
from headwater.core.specs.project import (
    DefaultsSpec,
    EngineSpec,
    EnvironmentSpec,
    ProjectSpec,
    StoreSpec,
    StoresSpec,
    TypedVar,
    UnitTestSpec,
)

__all__ = [
    "CHECK_KINDS",
    "STORES",
    "BuiltInStore",
    "CheckSpec",
    "ColumnCheck",
    "ColumnSpec",
    "Columns",
    "DedupeArgs",
    "DefaultsSpec",
    "DescribedSpec",
    "EngineSpec",
    "EnvironmentSpec",
    "IngestSpec",
    "LoadMode",
    "MaskArgs",
    "ModelSpec",
    "PrepareRule",
    "ProjectSpec",
    "RangeArgs",
    "RelationshipArgs",
    "SourceColumnSpec",
    "SourceColumns",
    "Spec",
    "StoreName",
    "StoreSpec",
    "StoresSpec",
    "TypeName",
    "TypedVar",
    "UnitTestSpec",
    "missing_columns",
    "stores_of",
]
