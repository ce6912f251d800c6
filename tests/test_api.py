"""The facade: what notebooks, the command line and the server call."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import headwater as hw
from headwater.api import load
from headwater.core.plan import Orphan
from headwater.core.run import Event, Status
from headwater.processing.duckdb import session
from headwater.state import Lease
from tests.run.projects import STORES
from tests.run.runner import HEADER, NOW, put, rows, run_all, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

VIEW = "/* headwater\nmaterialize: view\n*/\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(
        tmp_path,
        {
            "sources/shop.yaml": source("warehouse"),
            "in/1.csv": HEADER + "1,a,1\n",
            "models/m/a.sql": "select * from shop.orders\n",
            "models/v/b.sql": f"{VIEW}select * from m.a\n",
        },
    )


# ----------------------------------------------------------------------------------------------------- loading


def test_a_project_is_found_from_below_and_shows_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "models")
    loaded = hw.load()
    assert repr(loaded) == "<Headwater project demo: 7 nodes>"
    assert loaded._repr_svg_().startswith("<svg")
    assert loaded.graph is loaded.project.graph


def test_a_wrong_project_names_every_problem(tmp_path: Path) -> None:
    put(tmp_path, {"models/m/a.sql": "select * from m.x\n", "models/m/b.sql": "selec 1\n"})
    with pytest.raises(hw.ProjectError) as caught:
        load(tmp_path)
    assert caught.value.exit_code == 2
    assert [line.split(":")[0] for line in str(caught.value).splitlines() if "models" in line] == [
        "models/m/a.sql", "models/m/b.sql",
    ]  # fmt: skip


def test_check_plan_and_run_refuse_what_does_not_bind(folder: Path) -> None:
    put(folder, {"models/m/a.sql": "select\n  idd from shop.orders\n"})
    loaded = load(folder)
    for call in (loaded.check, loaded.plan, loaded.run):
        with pytest.raises(hw.ProjectError, match=r"models/m/a.sql:2:3: m.a: SQL: .*idd"):
            call()
    assert not (folder / "data").exists()


def test_plan_says_what_a_run_does(folder: Path) -> None:
    loaded = load(folder)
    plan = loaded.plan(now=NOW)
    assert [(step.node, step.decision.value) for step in plan.steps] == [
        ("shop.orders/extract", "run"), ("shop.orders/load", "if_inputs_changed"), ("m.a/transform", "run"),
    ]  # fmt: skip
    assert [step.node for step in plan.steps] == [result.step for result in run_all(folder).results]
    assert {step.decision.value for step in loaded.plan(now=NOW).steps} == {"skip"}
    full = loaded.plan(now=NOW, full=["m.a"], select=["m.a"])
    assert [(step.node, step.reason) for step in full.steps] == [("m.a/transform", "asked for with --full")]
    assert loaded.plan(exclude=["shop.orders+"]).steps == ()
    with pytest.raises(hw.PlanError, match="names no stored dataset"):
        loaded.plan(full=["v.b"])


def test_offline_uses_the_last_observation(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "in.db")) as database, database:
        database.execute("CREATE TABLE t (id INTEGER, v TEXT)")
    put(tmp_path, {"sources/db.yaml": "kind: sqlite\npath: in.db\ntables: {t: {}}\n"})
    put(tmp_path, {"models/m/a.sql": "select v from db.t\n"})
    loaded = load(tmp_path)
    assert loaded.check(offline=True).schemas["m.a"] is None
    loaded.plan()
    (tmp_path / "in.db").unlink()
    assert [column.type for column in loaded.check(offline=True).schemas["m.a"] or ()] == ["VARCHAR"]
    assert loaded.plan(offline=True).notes == ("offline: sources as they were last observed",)
    assert "there is no file in.db; check path" in loaded.plan().notes[0]


# ----------------------------------------------------------------------------------------------------- running


def test_the_wall_clock_is_the_default(folder: Path) -> None:
    before = datetime.now(UTC)
    result = load(folder).run(workers=1)
    assert before <= datetime.fromisoformat(result.now) <= datetime.now(UTC)
    assert result.run_id.startswith(before.strftime("%Y"))
    assert len(load(folder).run().results) == 3


def test_history_is_kept(folder: Path) -> None:
    first, second = run_all(folder), run_all(folder, now=NOW + timedelta(days=1))
    loaded = load(folder)
    assert [one.run_id for one in loaded.runs()] == [second.run_id, first.run_id]
    assert len(loaded.runs(limit=1)) == 1
    last = loaded.last_results()
    assert statuses(last) == dict.fromkeys(["shop.orders/extract", "shop.orders/load", "m.a/transform"], "done")
    history = loaded.history("m.a/transform")
    assert [(run_id, result.status) for run_id, result in history] == [
        (second.run_id, Status.SKIPPED), (first.run_id, Status.DONE),
    ]  # fmt: skip
    with pytest.raises(KeyError):
        first.result("m.x/transform")


def test_a_project_that_is_held_says_by_whom(folder: Path) -> None:
    with Lease(folder / ".headwater"):
        for call in (load(folder).run, load(folder).maintain, lambda: load(folder).reset(["m.a"])):
            with pytest.raises(hw.BusyError) as caught:
                call()
            assert caught.value.process_id == os.getpid()
    assert run_all(folder, wait=True).status is Status.DONE


def test_a_damaged_journal_stops_nothing(folder: Path) -> None:
    run_well(folder)
    for file in (folder / ".headwater").glob("journal.db*"):
        file.unlink()
    (folder / ".headwater/journal.db").write_bytes(b"not a database at all" * 100)
    put(folder, {"in/2.csv": HEADER + "2,b,2\n"})
    told: list[Event] = []
    whole = run_all(folder, listeners=[told.append])
    assert whole.status is Status.DONE
    warnings = [event.data["text"] for event in told if event.name == "warning"]
    assert len(warnings) == 1
    assert "the run goes on without its history" in warnings[0]
    assert rows(folder, "select count(*) from m.a") == [(2,)]
    with pytest.raises(hw.StateError, match="delete it: that loses history only"):
        load(folder).runs()


def test_reset_drops_tables_of_sources_and_models(folder: Path) -> None:
    run_well(folder)
    loaded = load(folder)
    assert loaded.reset(["shop.orders+"]) == ["m.a", "shop.orders"]
    assert all(state.commit is None for state in loaded.states().values())
    with pytest.raises(hw.PlanError):
        loaded.reset(["v.b"])
    assert set(statuses(run_well(folder)).values()) == {"done"}


@pytest.mark.parametrize("store", STORES)
def test_a_reset_table_is_read_again_by_its_readers(tmp_path: Path, store: str) -> None:
    """The table made anew must not look like the version its readers have seen."""
    put(tmp_path, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n"})
    put(tmp_path, {"models/m/a.sql": "select id from shop.orders\n"})
    run_well(tmp_path)
    load(tmp_path).reset(["shop.orders"])
    put(tmp_path, {"in/1.csv": HEADER + "2,b,2\n"})
    assert run_well(tmp_path)["m.a/transform"].reason == "shop.orders changed"
    assert rows(tmp_path, "from m.a") == [(2,)]


@pytest.mark.parametrize("store", ["lake", "lakehouse"])
def test_maintain_removes_old_versions(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store), "models/m/one.sql": "select 1 as one\n"})
    for number in range(3):
        put(tmp_path, {"in/1.csv": f"{HEADER}{number},a,1\n"})
        run_well(tmp_path)
    kept = load(tmp_path).maintain()
    assert set(kept) == {"shop.orders", "m.one"}
    assert load(tmp_path).maintain(versions=1, age_s=0.0)["shop.orders"].files_removed >= 2
    assert rows(tmp_path, "select id from shop.orders") == [(2,)]


def test_an_orphan_is_dropped_only_when_asked(folder: Path) -> None:
    run_well(folder)
    for file in ("models/m/a.sql", "models/v/b.sql"):
        (folder / file).unlink()
    loaded = load(folder)
    assert loaded.plan().orphans == (Orphan("m.a", "warehouse"),)
    assert set(loaded.maintain()) == {"shop.orders"}
    assert loaded.maintain(drop_orphans=True)["m.a (warehouse)"].dropped
    assert loaded.plan().orphans == ()


def test_environments_do_not_see_each_other(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "headwater.yaml": "name: demo\nenvironments:\n  prod: {stores: {warehouse: {path: prod/w.duckdb}}}\n",
            "models/m/a.sql": "select 1 as one\n",
        },
    )
    assert load(tmp_path, "prod").run(workers=1).status is Status.DONE
    assert (tmp_path / "prod/w.duckdb").exists()
    assert load(tmp_path).states() == {}
    assert load(tmp_path).runs() == []
    assert len(load(tmp_path, "prod").runs()) == 1


# ----------------------------------------------------------------------------------------------------- looking


@pytest.mark.parametrize("form", ["svg", "dot", "mermaid", "text"])
@pytest.mark.parametrize("level", ["architecture", "domains", "datasets"])
def test_draw(folder: Path, form: str, level: str) -> None:
    assert load(folder).draw(level=level, format=form)
    run_well(folder)
    picture = load(folder).draw(level=level, format=form, now=NOW)
    assert isinstance(picture, str)
    assert ("shop.orders" in picture) is (level == "datasets")


def test_a_picture_can_be_had_while_the_warehouse_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_well(folder)

    def held(_: Any) -> Any:
        raise hw.BusyError("another process has the file open", process_id=1)

    monkeypatch.setattr("headwater.api.LoadedProject.states", held)
    assert load(folder).node_statuses()["m.a"].rows is not None


def test_json_schemas_for_editors(folder: Path) -> None:
    written = load(folder).write_schemas()
    assert written
    assert all(os.path.isfile(path) for path in written)


def test_the_public_names_import_nothing_heavy_until_used() -> None:
    assert set(dir(hw)) == set(hw.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hw.nothing  # noqa: B018  # the access itself is what is tested


def test_the_decorator_marks_and_changes_nothing() -> None:
    @hw.model(inputs={"orders": "shop.orders"}, store="lake")
    def passed(orders: int) -> int:
        return orders + 1

    assert passed(1) == 2
    assert passed.__headwater__ == {"inputs": {"orders": "shop.orders"}, "store": "lake"}  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------------- session


def test_memory_is_the_lower_of_machine_and_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def limited(text: str | None) -> Any:
        def opened(*_: Any, **__: Any) -> Any:
            if text is None:
                raise OSError("no control groups")
            file = tmp_path / "memory.max"
            file.write_text(text)
            return file.open()

        return opened

    for text, wanted in (("1048576\n", 1_048_576), ("max\n", None), (None, None)):
        monkeypatch.setattr(session, "open", limited(text), raising=False)
        found = session.machine_memory_bytes()
        assert found == wanted if wanted else found > 2**28


def test_declared_limits_reach_the_engine(tmp_path: Path) -> None:
    from headwater.core.specs import EngineSpec

    with session.DuckDBSession(EngineSpec(memory_limit="256MB", threads=1), tmp_path / "spill") as one:
        with closing(one.cursor()) as connection:
            (found,) = connection.execute(
                "SELECT current_setting('threads'), current_setting('TimeZone'), "
                "current_setting('autoinstall_known_extensions')"
            ).fetchall()
        assert found == (1, "UTC", False)
    assert not (tmp_path / "spill").exists()
