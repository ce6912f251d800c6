"""JSON Schemas of the project's YAML files, generated from the models that validate them, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater.core.specs import ModelSpec, ProjectSpec, Spec, UnitTestSpec
from headwater.plugins import list_kinds, load_source
from headwater.project.readers.sources import table_spec_of

if TYPE_CHECKING:
    from pathlib import Path

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def source_json_schema() -> dict[str, Any]:
    """Return the schema of sources/*.yaml: one alternative per registered kind."""
    alternatives, definitions = [], {}
    for kind in list_kinds("sources"):
        connector = load_source(kind)
        connection = connector.connection_spec.model_json_schema(by_alias=True)
        table = table_spec_of(kind).model_json_schema(by_alias=True)
        definitions.update(connection.pop("$defs", {}))
        definitions.update(table.pop("$defs", {}))
        definitions[f"{kind}_table"] = table
        properties = {
            "kind": {"const": kind},
            **connection.get("properties", {}),
            "tables": {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{kind}_table"}, "minProperties": 1},
        }
        alternatives.append(
            {
                "type": "object",
                "title": kind,
                "description": (connector.__doc__ or "").strip().partition("\n")[0],
                "properties": properties,
                "required": ["kind", "tables", *connection.get("required", [])],
                "additionalProperties": False,
            }
        )
    return {"$schema": _DIALECT, "title": "Headwater source", "oneOf": alternatives, "$defs": definitions}


def all_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by file name."""
    named: dict[str, type[Spec]] = {"headwater": ProjectSpec, "model": ModelSpec, "test": UnitTestSpec}
    plain = {
        f"{name}.schema.json": {"$schema": _DIALECT, **spec.model_json_schema(by_alias=True)}
        for name, spec in named.items()
    }
    return {**plain, "source.schema.json": source_json_schema()}


def write_json_schemas(folder: Path) -> list[str]:
    """Write all schemas into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in all_schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        written.append(str(folder / name))
    return written
