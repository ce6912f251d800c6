"""Schema files: proposed once, read ever after, declared columns first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.core.project import Project, SourceTable
from headwater.project.loader import load_project
from headwater.project.schema_files import find_unconfirmed, refuse_unconfirmed, write_proposals

Load = Callable[..., Project]
TWO_TABLES = "kind: files\ntables:\n  a: {path: a.csv}\n  b: {path: b.csv, columns: {id: bigint}}\n"
COLUMNS = (
    Column("id", "BIGINT"),
    Column("price in €", "DECIMAL(8,2)"),
    Column("null", "VARCHAR"),
    Column('say "hi"', "TIMESTAMP WITH TIME ZONE"),
    Column("back\\slash", "VARCHAR[]"),
    Column("nested", 'STRUCT("Ab c" INTEGER)'),
    Column("_x", "DATE"),
)


def test_only_inferred_columns_that_nobody_declared_need_a_word(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": TWO_TABLES})
    proposed = TableDescription(COLUMNS, proposed=True)
    described = {"shop.a": proposed, "shop.b": proposed, "shop.gone": proposed}
    assert find_unconfirmed(project, described) == {"shop.a": proposed}
    assert find_unconfirmed(project, {"shop.a": TableDescription(COLUMNS)}) == {}
    assert find_unconfirmed(project, {"shop.a": TableDescription(proposed=True)}) == {}


def test_what_is_proposed_is_read_back_as_it_is(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": TWO_TABLES})
    lines = write_proposals(project, {"shop.a": TableDescription(COLUMNS, proposed=True)})
    assert lines == ["proposed the schema of shop.a: 7 columns, in sources/shop.schema.yaml"]
    again = load_project(project.root)
    columns = again.declared(SourceTable)["shop.a"].ingest.columns
    assert [(name, column.type) for name, column in columns.items()] == [(c.name, c.type) for c in COLUMNS]
    assert again.declared(SourceTable)["shop.a"].fingerprint != project.declared(SourceTable)["shop.a"].fingerprint
    assert again.declared(SourceTable)["shop.b"] == project.declared(SourceTable)["shop.b"]


def test_a_second_proposal_is_added_to_the_first(load_files: Load) -> None:
    files = {"sources/shop.yaml": "kind: files\ntables:\n  a: {path: a.csv}\n  b-2: {path: b.csv}\n"}
    project = load_files(files)
    for name in ("shop.a", "shop.b-2"):
        write_proposals(project, {name: TableDescription(COLUMNS[:1], proposed=True)})
    text = (Path(project.root) / "sources" / "shop.schema.yaml").read_text(encoding="utf-8")
    assert text == (
        "# Proposed from a sample; read it, mend it, commit it.\n"
        'a:\n  columns:\n    id: bigint\n"b-2":\n  columns:\n    id: bigint\n'
    )
    assert all(table.ingest.columns for table in load_project(project.root).declared(SourceTable).values())


def test_nothing_is_inferred_unattended(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": TWO_TABLES})
    described = {name: TableDescription(COLUMNS, proposed=True) for name in ("shop.a", "shop.b")}
    (refused,) = refuse_unconfirmed(project, described)
    assert str(refused) == (
        "sources/shop.yaml:3:3: shop.a: its schema is not declared, and nothing is inferred unattended\n"
        "  fix: declare `columns` there, or run once in a terminal to propose sources/shop.schema.yaml"
    )
    assert not (Path(project.root) / "sources" / "shop.schema.yaml").exists()


def test_declared_columns_come_before_a_schema_file(load_files: Load) -> None:
    project = load_files(
        {
            "sources/shop.yaml": TWO_TABLES,
            "sources/shop.schema.yaml": "a:\n  columns: {x: int, y: {type: text, checks: [not_null]}}\nb:\n  "
            "columns: {z: date}\n",
        }
    )
    assert {name: list(table.ingest.columns) for name, table in project.declared(SourceTable).items()} == {
        "shop.a": ["x", "y"],
        "shop.b": ["id"],
    }
    assert [check.not_null for check in project.declared(SourceTable)["shop.a"].ingest.all_checks()] == [["y"]]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("x: int", "x: bigint", True),
        ("x: int, y: text", "y: text, x: int", True),
        ("x: int", "x: {type: int}", False),
        ("x: int", "x: {type: int, description: words}", False),
        ("x: int", "x: {type: int, checks: [not_null]}", True),
        ("path: a.csv", "path: a.csv, description: words, owner: me, tags: [t]", False),
        ("path: a.csv", '"path": "a.csv"', False),
        ("path: a.csv", "path: a.csv, reject_if: {bad: x < 0}", True),
        ("path: a.csv", "path: a.csv, key: x, load: incremental", True),
        ("kind: files", "kind: files\npath: elsewhere", True),
    ],
)
def test_the_fingerprint_of_a_source(old: str, new: str, changes: bool, load_files: Load) -> None:
    text = "kind: files\ntables:\n  a: {path: a.csv, columns: {x: int, y: text}}\n"
    prints = [
        load_files({"sources/s.yaml": t}).declared(SourceTable)["s.a"].fingerprint
        for t in (text, text.replace(old, new))
    ]
    assert (prints[0] != prints[1]) is changes


def test_the_store_of_a_table_is_declared_or_the_projects_default(load_files: Load) -> None:
    source = "kind: files\ntables:\n  a: {path: a.csv}\n  b: {path: b.csv, into: lake}\n"
    project = load_files({"sources/s.yaml": source})
    assert [project.store_of(name) for name in ("s.a", "s.b")] == ["lakehouse", "lake"]
    project = load_files({"headwater.yaml": "name: demo\ndefaults: {into: warehouse}\n", "sources/s.yaml": source})
    assert [project.store_of(name) for name in ("s.a", "s.b")] == ["warehouse", "lake"]
