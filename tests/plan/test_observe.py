"""Asking stores and sources: a source that is slow or away is asked at run, stores of other environments never."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.contracts import TableDescription
from headwater.core.commit import Column, TableState
from headwater.core.plan import Orphan
from headwater.core.project import Project, SourceTable
from headwater.errors import ConnectorError, ProjectError, ProjectErrors, Terminal
from headwater.plan.observe import (
    Connectors,
    find_missing,
    observe,
    open_sources,
    open_stores,
    pack_description,
    refuse_missing,
    unpack_description,
)

from ..conftest import ORDERS
from .states import made

Load = Callable[..., Project]
TWO = "kind: files\ntables:\n  a: {path: a.csv}\n  b: {path: b.csv}\n"


class FakeStore:
    """Describes what it is given."""

    def __init__(self, *states: TableState) -> None:
        self.states = {state.name: state for state in states}

    def describe(self, tables: Sequence[str] | None = None) -> dict[str, TableState]:
        return self.states


class FakeSource:
    """Describes every table it is asked for; may fail, or wait until it is released."""

    def __init__(self, error: Exception | None = None, gate: threading.Event | None = None) -> None:
        self.error, self.gate = error, gate

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        return {name: TableDescription(version=f"of {name}", notes=(f"note on {name}",)) for name in tables}


class FakeSession:
    """A session whose cursors are of a plain connection."""

    read_only = True

    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self.connection.cursor()


def connect(sources: dict[str, Any], stores: dict[str, Any] | None = None) -> Connectors:
    return Connectors(stores or {}, sources)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_every_source_is_asked_for_its_tables(load_files: Load) -> None:
    project = load_files({"sources/one.yaml": TWO, "sources/two.yaml": TWO})
    seen = observe(project, connect({"one": FakeSource(), "two": FakeSource()}))
    assert {name: about.version for name, about in seen.sources.items()} == {
        "one.a": "of a", "one.b": "of b", "two.a": "of a", "two.b": "of b",
    }  # fmt: skip
    assert seen.notes == ("one.a: note on a", "one.b: note on b", "two.a: note on a", "two.b: note on b")


def test_a_declared_column_that_a_catalogue_does_not_have_is_told(load_files: Load) -> None:
    columns = "{ID: bigint, a: varchar, gone: integer}"
    project = load_files({"sources/db.yaml": f"kind: sqlite\npath: x.db\ntables: {{t: {{columns: {columns}}}}}\n"})
    with closing(sqlite3.connect(Path(project.root, "x.db"))) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    seen = observe(project, connect(open_sources(project)))
    assert find_missing(project, seen.sources) == {"db.t": ("gone",)}
    (error,) = refuse_missing(project, seen.sources)
    assert "db.t: the source has no column gone, which is declared" in str(error)
    assert error.path == "sources/db.yaml"
    optional = columns.replace("gone: integer", "gone: {type: integer, optional: true}")
    project = load_files({"sources/db.yaml": f"kind: sqlite\npath: x.db\ntables: {{t: {{columns: {optional}}}}}\n"})
    assert find_missing(project, observe(project, connect(open_sources(project))).sources) == {}


def test_a_source_that_is_away_or_never_answers_is_asked_at_run(load_files: Load, gate: threading.Event) -> None:
    project = load_files({f"sources/{name}.yaml": TWO.replace("  b: {path: b.csv}\n", "") for name in ("x", "y", "z")})
    sources = {"x": FakeSource(ConnectorError("no route")), "y": FakeSource(gate=gate), "z": FakeSource()}
    last = {"x.a": pack_description(TableDescription((Column("id", "BIGINT"),), version="7"))}
    seen = observe(project, connect(sources), last=last, patience_s=0.05)
    assert (list(seen.sources), seen.stale) == (["x.a", "z.a"], {"x.a"})
    assert seen.sources["x.a"].columns == (Column("id", "BIGINT"),)
    silent = (
        "source x cannot be reached (no route): asked at run", "source y did not answer within 0.05 s: asked at run",
    )  # fmt: skip
    assert seen.notes == (*silent, "z.a: note on a")
    assert seen.unchecked == seen.notes


def test_a_slow_source_is_waited_for(load_files: Load, gate: threading.Event) -> None:
    project = load_files({"sources/x.yaml": TWO})
    threading.Timer(0.2, gate.set).start()
    seen = observe(project, connect({"x": FakeSource(gate=gate)}))
    assert (list(seen.sources), seen.stale) == (["x.a", "x.b"], frozenset())


def test_what_a_source_breaks_on_is_not_hidden(load_files: Load) -> None:
    project = load_files({"sources/x.yaml": TWO})
    with pytest.raises(RuntimeError, match="a bug"):
        observe(project, connect({"x": FakeSource(RuntimeError("a bug"))}))


def test_a_project_without_sources_asks_nobody(load_files: Load) -> None:
    seen = observe(load_files({"models/m/a.sql": "select 1 as x"}), connect({}))
    assert (seen.sources, seen.notes, seen.states) == ({}, (), {})


def test_offline_asks_no_source(load_files: Load) -> None:
    project = load_files({"sources/one.yaml": TWO})
    kept = {"one.a": pack_description(TableDescription(version="old")), "gone.x": pack_description(TableDescription())}
    seen = observe(project, connect({"one": FakeSource(ConnectorError("never asked"))}), offline=kept)
    assert {name: about.version for name, about in seen.sources.items()} == {"one.a": "old"}
    assert seen.notes == ("offline: sources as they were last observed",)


def test_a_description_comes_back_from_json() -> None:
    about = TableDescription(
        columns=(Column("a", "BIGINT", "int8"), Column("b", "VARCHAR")), key=("a",), estimated_rows=7, version="3",
        proposed=True,
    )  # fmt: skip
    assert unpack_description(json.loads(json.dumps(pack_description(about)))) == about


def test_tables_that_nothing_declares_there_are_orphans(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": ORDERS, "models/m/a.sql": "select id from shop.orders"})
    lakehouse = FakeStore(made("shop.orders"), made("m.a"), made("old.x"), TableState("only.staged"))
    warehouse = FakeStore(made("m.a", version=2))
    seen = observe(project, connect({"shop": FakeSource()}, {"lakehouse": lakehouse, "warehouse": warehouse}))
    assert seen.orphans == (Orphan("m.a", "lakehouse"), Orphan("old.x", "lakehouse"))
    assert {name: state.version for name, state in seen.states.items()} == {"shop.orders": 1, "m.a": 2, "old.x": 1}


def test_time_sources_of_incremental_models(load_files: Load) -> None:
    header = "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2024-01-01\n*/\n"
    project = load_files(
        {
            "sources/shop.yaml": ORDERS,
            "models/m/known.sql": header + "select placed::date as day from shop.orders where placed < $now",
            "models/m/inside.sql": header + "select placed as day from shop.orders where placed >= $interval_start",
            "models/m/unknown.sql": header + "select max(placed) as day from shop.orders",
            "models/m/by_key.sql": "/* headwater\nmaterialize: incremental\nkey: id\n*/\nselect id from shop.orders",
            "models/m/table.sql": "select placed as day from shop.orders",
        }
    )
    seen = observe(project, connect({"shop": FakeSource()}))
    assert seen.time_sources == {
        "m.known": ("shop.orders", "placed"), "m.inside": ("shop.orders", "placed"), "m.unknown": None,
    }  # fmt: skip


def test_one_connector_per_source_and_stores_only_where_used(load_files: Load) -> None:
    project = load_files({"sources/one.yaml": TWO, "models/m/a.sql": "/* headwater\nstore: lake\n*/\nselect 1 as x"})
    assert list(open_sources(project)) == ["one"]
    assert list(open_stores(project, FakeSession())) == ["lake", "lakehouse"]
    assert not (Path(project.root) / "data").exists()
    (Path(project.root) / "data").mkdir()
    duckdb.connect(str(Path(project.root) / "data" / "warehouse.duckdb")).close()
    assert list(open_stores(project, FakeSession())) == ["lake", "lakehouse", "warehouse"]


def test_a_store_of_another_environment_is_left_alone(load_files: Load) -> None:
    text = "name: demo\nenvironments: {prod: {stores: {warehouse: {path: prod.duckdb}}}}\n"
    files = {"headwater.yaml": text, "models/m/a.sql": "select 1 as x"}
    default = load_files(files)
    (Path(default.root) / "data" / "lakehouse").mkdir(parents=True)
    assert list(open_stores(default, FakeSession())) == ["lakehouse", "warehouse"]
    assert list(open_stores(load_files(files, "prod"), FakeSession())) == ["warehouse"]


def test_one_wrong_table_is_told_with_its_place_and_the_others_are_described(load_files: Load) -> None:
    class Picky(FakeSource):
        def describe(self, tables: Any) -> Any:
            if "b" in tables:
                raise RefusingError("there is no b", fix="make one")
            return super().describe(tables)

    project = load_files({"sources/one.yaml": TWO})
    seen = observe(project, connect({"one": Picky()}))
    assert list(seen.sources) == ["one.a"]
    place = project.declared(SourceTable)["one.b"].location
    assert seen.notes == ("one.a: note on a", f"{place}: one.b: there is no b; make one: asked at run")
    assert place.line


def test_a_source_that_refuses_everything_is_asked_thrice_and_told_once(load_files: Load) -> None:
    asked = []

    class Locked(FakeSource):
        def describe(self, tables: Any) -> Any:
            asked.append(list(tables))
            raise RefusingError("wrong password", fix="mend it")

    seen = observe(load_files({"sources/one.yaml": f"{TWO}  c: {{path: c.csv}}\n"}), connect({"one": Locked()}))
    assert seen.notes == ("sources/one.yaml: source one: wrong password; mend it: asked at run",)
    assert asked == [["a", "b", "c"], ["a"], ["b"]]


def test_a_wrong_declaration_that_only_the_source_sees_is_a_problem_of_the_project(load_files: Load) -> None:
    class Picky(FakeSource):
        def describe(self, tables: Any) -> Any:
            if "b" in tables:
                raise ProjectError("b is hunter2, not this", fix="not hunter2")
            return super().describe(tables)

    files = {".env": "WORD=hunter2\n", "sources/one.yaml": TWO.replace("b.csv", '"${env:WORD}"')}
    with pytest.raises(ProjectErrors) as caught:
        observe(load_files(files), connect({"one": Picky()}))
    assert str(caught.value) == "sources/one.yaml:4:3: one.b: b is ***, not this\n  fix: not ***"


class RefusingError(ConnectorError, Terminal):
    """An error that does not pass."""
