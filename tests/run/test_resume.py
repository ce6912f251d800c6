"""Loads of several chunks: what a killed or failed load left is used while it is valid, and never when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.run import Event, Status
from tests.run.change_log import install
from tests.run.projects import STORES
from tests.run.runner import HEADER, put, rows, run, run_all, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.run.context import RunContext

QUARANTINE = "select _file, rule from quarantine.shop__orders"


@pytest.fixture(autouse=True)
def _one_file_per_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.sources.common.listing.GROUP_FILES", 1)


def project(folder: Path, store: str, more: str = "") -> Path:
    files = {f"in/{n}.csv": f"{HEADER}{n},a,1\n{n}0,b,oops\n{n}1,c,2\nx\n" for n in range(1, 4)}
    return put(folder, {"sources/shop.yaml": source(store, more), **files})


def stop_at(folder: Path, name: str, nth: int) -> list[Event]:
    """Run, and ask it to stop at the nth event of a name."""
    contexts: list[RunContext] = []
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if [e.name for e in events].count(name) == nth:
            contexts[0].stopping.set()

    whole = run_all(folder, listeners=[listen], on_start=lambda _, context: contexts.append(context))
    assert whole.status is Status.STOPPED
    return events


def chunks_read(folder: Path) -> list[Any]:
    events: list[Event] = []
    results = run_well(folder, listeners=[events.append])
    assert results["shop.orders/load"].status is Status.DONE
    return [e.data["chunk"] for e in events if e.name == "chunk_read"]


def all_there(folder: Path) -> None:
    wanted = [(n,) for n in (1, 2, 3, 11, 21, 31)]
    assert rows(folder, "select id from shop.orders") == wanted
    rejects = rows(folder, QUARANTINE)
    assert rejects == [(f"in/{n}.csv", rule) for n in range(1, 4) for rule in ("cast", "too_few_fields")]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("more", ["", "load: incremental", "load: incremental\nkey: id"])
def test_several_chunks_are_one_commit(tmp_path: Path, store: str, more: str) -> None:
    if store == "lake" and "key" in more:
        pytest.skip("the lake does not merge")
    project(tmp_path, store, more)
    events: list[Event] = []
    results = run_well(tmp_path, listeners=[events.append])
    assert [e.name for e in events if e.step == "shop.orders/extract"][:7] == [
        "step_started", "chunk_read", "staged", "chunk_read", "staged", "chunk_read", "staged",
    ]  # fmt: skip
    extract, landed = results["shop.orders/extract"], results["shop.orders/load"]
    assert (extract.rows_inserted, extract.rejected) == (6, 6)
    assert (landed.rows, landed.rejected, landed.version) == (6, 6, 1)
    all_there(tmp_path)


@pytest.mark.parametrize("store", STORES)
def test_a_stopped_load_goes_on_where_it_stood(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    stop_at(tmp_path, "staged", 2)
    assert chunks_read(tmp_path) == ["files-00002"]
    all_there(tmp_path)


def test_a_load_whose_chunks_were_all_staged_reads_nothing(tmp_path: Path) -> None:
    project(tmp_path, "lakehouse", "load: incremental")
    stop_at(tmp_path, "before_commit", 1)
    assert chunks_read(tmp_path) == []
    all_there(tmp_path)
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", STORES)
def test_a_source_that_changed_since_is_read_anew(tmp_path: Path, store: str) -> None:
    """The staged rows of the changed file are gone; what is loaded is what is there."""
    project(tmp_path, store)
    stop_at(tmp_path, "staged", 2)
    put(tmp_path, {"in/1.csv": HEADER + "7,changed,1\n", "in/3.csv": HEADER + "8,changed,1\n"})
    assert len(chunks_read(tmp_path)) == 3
    assert rows(tmp_path, "select id from shop.orders") == [(2,), (7,), (8,), (21,)]
    assert rows(tmp_path, QUARANTINE) == [("in/2.csv", "cast"), ("in/2.csv", "too_few_fields")]


def test_a_declaration_that_changed_since_is_read_anew(tmp_path: Path) -> None:
    project(tmp_path, "warehouse")
    stop_at(tmp_path, "staged", 2)
    put(tmp_path, {"sources/shop.yaml": source("warehouse", "prepare: [{sql: {item: upper(item)}}]")})
    assert len(chunks_read(tmp_path)) == 3
    assert rows(tmp_path, "select distinct item from shop.orders") == [("A",), ("C",)]


@pytest.mark.parametrize("store", STORES)
def test_a_load_that_failed_its_limit_reads_the_mended_files(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "max_rejected: 50%")
    put(tmp_path, {"in/1.csv": HEADER + "1,a,oops\n2,b,oops\n3,c,oops\n"})
    first = run(tmp_path)
    assert "7 of 11 rows are rejects (63.64%), 50.00% allowed" in first["shop.orders/load"].error
    again = run(tmp_path)
    assert again["shop.orders/load"].error == first["shop.orders/load"].error
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n2,b,2\n3,c,3\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select count(*) from shop.orders") == [(7,)]
    assert len(rows(tmp_path, QUARANTINE)) == 4


@pytest.mark.parametrize(
    ("limit", "passes"), [("2", True), ("1", False), ("50%", True), ("49.9%", False), ("0", False)]
)
def test_max_rejected_as_a_number_and_as_a_share(tmp_path: Path, limit: str, passes: bool) -> None:
    put(tmp_path, {"sources/shop.yaml": source("warehouse", f"max_rejected: {limit}")})
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n2,b,x\n", "in/2.csv": HEADER + "3,c,3\n4\n"})
    result = run(tmp_path)["shop.orders/load"]
    assert (result.status is Status.DONE) is passes
    assert passes or "2 of 4 rows are rejects (50.00%)" in result.error


@pytest.mark.parametrize("store", STORES)
def test_dedupe_sees_all_chunks(tmp_path: Path, store: str) -> None:
    project(tmp_path, store, "prepare: [{dedupe: {by: item, order: price desc}}]\nallow_empty: true")
    results = run_well(tmp_path)
    assert rows(tmp_path, "select item from shop.orders") == [("a",), ("c",)]
    assert (results["shop.orders/extract"].rows_inserted, results["shop.orders/load"].rejected) == (2, 6)
    for file in (tmp_path / "in").iterdir():
        file.unlink()
    assert run_well(tmp_path)["shop.orders/load"].rows == 0
    put(tmp_path, {"sources/shop.yaml": source(store, "load: incremental\nprepare: [{dedupe: {by: item}}]")})
    assert run_well(tmp_path)["shop.orders/load"].status is Status.UNCHANGED


def test_a_new_column_in_a_later_chunk(tmp_path: Path) -> None:
    project(tmp_path, "warehouse")
    put(tmp_path, {"in/3.csv": "id,item,price,colour\n9,z,1,red\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id, colour from shop.orders where colour is not null") == [(9, "red")]


def test_a_file_that_changes_while_it_is_read_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "warehouse")

    monkeypatch.setattr("headwater.run.steps.extract.RETRY_PAUSES_S", (0.0,))
    new = {"in/2.csv": HEADER + "5,new,1\n"}

    def write(event: Event) -> None:
        if event.name == "chunk_read" and new:
            put(tmp_path, {"in/2.csv": new.pop("in/2.csv")})

    results = run(tmp_path, listeners=[write])
    assert results["shop.orders/extract"].status is Status.DONE
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (3,), (5,), (11,), (31,)]
    assert len(rows(tmp_path, QUARANTINE)) == 4


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_spans_that_were_due_stay_due_until_they_are_committed(tmp_path: Path, store: str) -> None:
    """Two days change; the run is stopped between their commits: the second is computed by the next run."""
    put(
        tmp_path,
        {
            "sources/shop.yaml": source(store, "load: incremental", "columns: {day: date, v: bigint}"),
            "models/m/days.sql": f"/* headwater\nstore: {store}\nmaterialize: incremental\ntime: day\nevery: day\n"
            "start: 2026-01-01\n*/\nselect day, sum(v) as v from shop.orders group by all\n",
            "in/1.csv": "day,v\n2026-01-01,1\n2026-01-05,1\n2026-01-09,1\n",
        },
    )
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": "day,v\n2026-01-01,10\n"})
    run_well(tmp_path, select=["shop.orders"])
    put(tmp_path, {"in/3.csv": "day,v\n2026-01-09,10\n"})
    run_well(tmp_path, select=["shop.orders"])
    stop_at(tmp_path, "after_commit", 1)
    states = load(tmp_path).states()
    assert states["m.days"].commit is not None
    assert states["m.days"].commit.inputs == {"shop.orders": states["shop.orders"].version}
    results = run_well(tmp_path)
    assert results["m.days/transform"].reason == "1 span missing"
    assert [v for _, v in rows(tmp_path, "from m.days")] == [11, 1, 11]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


def test_results_of_several_spans_add_up(tmp_path: Path) -> None:
    from headwater.core.run import StepResult
    from headwater.run.steps.transform import _add_up

    one = StepResult("s", Status.DONE, rows=2, rows_inserted=1, rows_deleted=None)
    other = StepResult("s", Status.UNCHANGED, rows=3, rows_inserted=None, rows_deleted=2)
    wanted = replace(other, status=Status.DONE, rows_inserted=1, rows_deleted=2)
    assert _add_up(one, other) == wanted
    assert _add_up(replace(one, status=Status.UNCHANGED), other).status is Status.UNCHANGED


@pytest.mark.parametrize("more", ["max_rejected: 0", "checks: [{range: {max: 9}, column: id}]"])
def test_a_load_that_failed_reads_a_source_without_versions_again(
    tmp_path: Path, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it staged is not taken for the mended source."""
    log = install(monkeypatch, chunk=1)
    rules = f"reject_if: {{bad: name = 'bad'}}\n    {more}"
    put(
        tmp_path, {"sources/app.yaml": f"kind: changelog\ntables:\n  users:\n    load: cdc\n    key: id\n    {rules}\n"}
    )
    log += [("upsert", 1, "a", None, ()), ("upsert", 2, "b", None, ()), ("upsert", 99, "bad", None, ())]
    if more.startswith("checks"):
        log[-1] = ("upsert", 99, "c", None, ())
    assert run(tmp_path)["app.users/load"].error
    log[-1] = ("upsert", 3, "c", None, ())
    run_well(tmp_path)
    assert rows(tmp_path, "select id from app.users") == [(1,), (2,), (3,)]
