"""Whose slot it is: each table of each environment and each copy of a project has its own, and old ones go on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.project import SourceTable
from headwater.errors import ProjectErrors
from headwater.postgres import Server
from headwater.sources.postgres.slot_names import Owner, Slot, environment_suffix
from tests.run.projects import write

from .postgres_database import Database
from .test_postgres_cdc import drop_slots, slots

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENTS = """name: shared
environments:
  prod:
    stores: {lakehouse: {path: prod/lakehouse}, lake: {path: prod/lake}, warehouse: {path: prod/w.duckdb}}
"""


@pytest.fixture(autouse=True)
def _no_slot_stays(db: Database):
    db.sql("CREATE TABLE notes (id int PRIMARY KEY, text text)", "INSERT INTO notes VALUES (1, 'a'), (2, 'b')")
    yield
    drop_slots(db)


def project(folder: Path, db: Database, tables: str, more: dict[str, str] | None = None) -> Path:
    source = "kind: postgres\nconnection: ${env:CDC_DSN}\ntables:\n"
    files = {"headwater.yaml": ENVIRONMENTS, ".env": f"CDC_DSN={db.dsn}\n", "sources/db.yaml": source + tables}
    return write(folder, {**files, **{name: source + text for name, text in (more or {}).items()}})


def run(folder: Path, environment: str = "", **request: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Run, and return (id, text) of every table."""
    loaded = load(folder, environment)
    result = loaded.run(**request)
    assert result.status == "done", [step.error for step in result.results if step.error]
    found = {}
    for name in loaded.project.declared(SourceTable):
        live = load(folder, environment).query(f"select id, text from {name} order by id").to_pylist()
        found[name] = [tuple(row.values()) for row in live]
    return found


def changes(db: Database, number: int) -> list[tuple[Any, ...]]:
    """Change the table; return what it holds."""
    db.sql(f"DELETE FROM notes WHERE id = {number}", f"INSERT INTO notes VALUES ({number + 2}, 'n{number}')")
    return db.sql("SELECT id, text FROM notes ORDER BY id")


def test_two_tables_two_sources_and_two_environments_of_one_relation(db: Database, tmp_path: Path) -> None:
    one = "{table: notes, load: cdc, key: id, into: lakehouse}"
    folder = project(tmp_path, db, f"  a: {one}\n  b: {one}\n", {"sources/other.yaml": f"  a: {one}\n"})
    run(folder)
    run(folder, "prod")
    assert len(slots(db)) == 6
    for number, full in enumerate((["db.a"], ["other.a"]), start=1):
        wanted = changes(db, number)
        assert set(map(tuple, run(folder, full=full).values())) == {tuple(wanted)}
        assert set(map(tuple, run(folder, "prod", full=full[: number % 2]).values())) == {tuple(wanted)}
    assert len(slots(db)) == 6


def test_a_slot_that_is_named_is_each_environments_own(db: Database, tmp_path: Path) -> None:
    folder = project(tmp_path, db, f"  a: {{table: notes, load: cdc, key: id, into: lakehouse, slot: s_{db.name}}}\n")
    run(folder)
    run(folder, "prod")
    assert sorted(slots(db)) == [(f"s_{db.name}",), (f"s_{db.name}_prod",)]
    wanted = changes(db, 1)
    assert run(folder, full=["db.a"])["db.a"] == run(folder, "prod")["db.a"] == wanted


def test_the_same_folder_elsewhere_is_another_copy(db: Database, tmp_path: Path) -> None:
    """Containers have their project at one path, with data of their own."""
    folder = project(tmp_path / "app", db, "  a: {table: notes, load: cdc, key: id, into: lakehouse}\n")
    run(folder)
    shutil.move(folder, tmp_path / "first")
    project(tmp_path / "app", db, "  a: {table: notes, load: cdc, key: id, into: lakehouse}\n")
    run(folder)
    wanted = changes(db, 1)
    shutil.move(folder, tmp_path / "second")
    assert run(tmp_path / "first") == run(tmp_path / "second") == {"db.a": wanted}
    assert len(slots(db)) == 2


def test_a_table_loaded_long_ago_goes_on_with_its_slot(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path, db, "  notes: {load: cdc, key: id, into: lakehouse}\n")
    with monkeypatch.context() as long_ago:

        def of(options: Any, target: Any, schema: str, table: str, owner: Owner) -> Slot:
            return Slot.of_old(options, target, schema, table, owner.root)

        long_ago.setattr(Slot, "of", of)
        run(folder)
    (before,) = slots(db)
    assert any(before[0] in note and "of log behind" in note for note in load(folder).plan().notes)
    assert run(folder)["db.notes"] == [(1, "a"), (2, "b")]
    wanted = changes(db, 1)
    assert run(folder)["db.notes"] == wanted
    assert slots(db) == [before]
    result = load(folder).run(full=["db.notes"]).result("db.notes/extract")
    assert before[0] in result.notes[0]
    assert "pg_drop_replication_slot" in result.notes[0]
    assert len(slots(db)) == 2
    wanted = changes(db, 2)
    assert run(folder)["db.notes"] == wanted


def test_check_refuses_what_would_collide(db: Database, tmp_path: Path) -> None:
    one = "{table: notes, load: cdc, key: id, into: lakehouse, slot: mine}"
    elsewhere = "  e: {table: notes, load: cdc, key: id, into: lakehouse, slot: mine, publication: %s}\n" % ("ä" * 32)
    project(tmp_path, db, f"  a: {one}\n  b: {one}\n", {"sources/other.yaml": f"  c: {one}\n{elsewhere}"})
    with pytest.raises(ProjectErrors) as caught:
        load(tmp_path)
    text = str(caught.value)
    assert "sources/db.yaml:5" in text
    assert "b: sources/db.yaml:4:3 has slot mine at 127.0.0.1" in text
    assert "c: sources/db.yaml:4:3 has slot mine" in text
    assert "63 bytes" in text


def test_names_that_the_server_would_cut(db: Database, tmp_path: Path) -> None:
    project(tmp_path, db, f"  a: {{table: notes, load: cdc, key: id, slot: {'s' * 60}}}\n")
    assert load(tmp_path).project.declared(SourceTable)
    with pytest.raises(ProjectErrors, match="63 bytes"):
        load(tmp_path, "prod")


def test_names_tell_apart() -> None:
    class Options:
        table = slot = publication = None

    target = Server("host=h dbname=d")
    owners = [
        Owner("/r", environment, source, copy)
        for environment in ("", "dev")
        for source in ("s", "t")
        for copy in ("", "c")
    ] + [Owner("/other")]
    names = {Slot.of(Options(), target, "public", table, owner).name for owner in owners for table in ("a", "b")}
    assert len(names) == 2 * len(owners)
    assert all(len(name) <= 63 for name in names)
    assert len({environment_suffix(name) for name in ("", "dev", "Dev", "dev-1", "dev_1", "d" * 40)}) == 6
