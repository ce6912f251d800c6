"""JSON Schemas of the project's YAML files, generated from the models that validate them, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater.core.specs import ProjectSpec, UnitTestSpec
from headwater.core.specs.metrics import MetricsFileSpec
from headwater.project.readers import READERS

if TYPE_CHECKING:
    from pathlib import Path

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def all_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by file name."""
    schemas = {
        "headwater": ProjectSpec.model_json_schema(by_alias=True),
        **{reader.word: reader.json_schema() for reader in READERS},
        "metrics": MetricsFileSpec.model_json_schema(by_alias=True),
        "test": UnitTestSpec.model_json_schema(by_alias=True),
    }
    return {f"{word}.schema.json": {"$schema": _DIALECT, **schema} for word, schema in schemas.items()}


def write_json_schemas(folder: Path) -> list[str]:
    """Write all schemas into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in all_schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        written.append(str(folder / name))
    return written
