"""The JSON Schemas for editors say what the loader says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headwater.core.project import Project
from headwater.core.values import resolve_scalar
from headwater.documents import parse_document
from headwater.project.json_schemas import all_schemas, write_json_schemas

from ..conftest import ORDERS

SHOP = Path(__file__).parents[1] / "projects" / "shop"


def check(schema: str, text: str) -> None:
    data: Any = resolve_scalar(parse_document(text, "a.yaml").data)
    jsonschema.Draft202012Validator(all_schemas()[schema]).validate(data)


def test_every_schema_is_one() -> None:
    for schema in all_schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("source.schema.json", ORDERS),
        (
            "source.schema.json",
            "kind: sqlite\npath: a.db\ntables:\n  a: {load: full, max_rejected: 0.1%, into: lake}\n",
        ),
        (
            "source.schema.json",
            "kind: files\ntables:\n  a: {path: in/**, format: objects, into: lake, load: incremental}\n",
        ),
        ("headwater.schema.json", "name: demo\nvars: {a: [1, 2], b: {value: 1, type: int}}\nengine: {threads: 2}\n"),
        (
            "model.schema.json",
            "materialize: incremental\nkey: id\ncolumns: {a: int, b: {checks: [not_null]}}\nlookback: 3d\n",
        ),
        ("test.schema.json", "model: m.a\ngiven: {m.b: [{x: 1}]}\nexpect: []\n"),
    ],
)
def test_what_the_loader_accepts_an_editor_accepts(schema: str, text: str) -> None:
    check(schema, text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("source.schema.json", "kind: filez\ntables: {a: {path: x}}\n"),
        ("source.schema.json", "kind: files\ntables: {a: {path: x, curser: id}}\n"),
        ("source.schema.json", "kind: files\ntables: {}\n"),
        ("headwater.schema.json", "name: demo\nstore: {}\n"),
        ("model.schema.json", "materialize: tabel\n"),
        ("model.schema.json", "lookback: three days\n"),
    ],
)
def test_what_the_loader_refuses_an_editor_refuses(schema: str, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(schema, text)


def test_they_are_written_as_files(tmp_path: Path, load_files: Callable[..., Project]) -> None:
    written = write_json_schemas(tmp_path / "schemas")
    assert sorted(Path(path).name for path in written) == sorted(all_schemas())
    assert json.loads(Path(written[0]).read_text(encoding="utf-8"))["$schema"].endswith("2020-12/schema")
