"""Steps of a run: statuses and reasons, what a failure blocks, events in order, parallel steps, stopping, listeners."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.run import Event, Status, StepResult
from headwater.run.steps import transform
from tests.run.projects import STORES
from tests.run.runner import HEADER, NOW, put, rows, run, run_all, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.core.plan import Plan
    from headwater.run.context import RunContext

CHAIN = {
    "models/m/a.sql": "select id, price from shop.orders\n",
    "models/m/b.sql": "select sum(price / (id - $zero)) as x from m.a\n",
    "models/m/c.sql": "select * from m.b\n",
    "models/m/d.sql": "select * from m.c, m.a\n",
    "models/other/e.sql": "select 1 as one\n",
    "headwater.yaml": "name: demo\nvars: {zero: 0}\n",
}
FAIL_B = {"models/m/b.sql": "\nselect error('no ' || id)\n  as x from m.a\n"}


def chain(folder: Path, store: str = "warehouse") -> Path:
    return put(folder, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n2,b,2\n", **CHAIN})


# ------------------------------------------------------------------------------------------------------- statuses


def test_below_a_failed_step_everything_is_blocked_and_the_rest_goes_on(tmp_path: Path) -> None:
    put(chain(tmp_path), FAIL_B)
    whole = run_all(tmp_path, workers=2)
    results = {result.step: result for result in whole.results}
    assert whole.status is Status.FAILED
    assert statuses(results) == {
        "shop.orders/extract": "done", "shop.orders/load": "done", "m.a/transform": "done",
        "m.b/transform": "failed", "m.c/transform": "blocked", "m.d/transform": "blocked", "other.e/transform": "done",
    }  # fmt: skip
    assert results["m.c/transform"].reason == "m.b/transform failed"
    assert results["m.d/transform"].reason == "m.c/transform blocked"
    assert results["m.b/transform"].error.startswith("models/m/b.sql:")
    assert "no 1" in results["m.b/transform"].error
    put(tmp_path, {"models/m/b.sql": CHAIN["models/m/b.sql"]})
    again = run_well(tmp_path)
    done = [name for name, status in statuses(again).items() if status == "done"]
    assert done == ["m.b/transform", "m.c/transform", "m.d/transform"]


def test_an_error_names_the_line_of_the_file(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "models/m/a.sql": "select 'x' as v\n",
            "models/m/b.sql": "/* headwater\ndescription: d\n*/\nselect\n  v::int as n\nfrom m.a\n",
        },
    )
    error = run(tmp_path)["m.b/transform"].error
    assert error.startswith("models/m/b.sql:5: ")
    assert "Could not convert string 'x'" in error


def test_a_model_whose_input_was_never_run_says_so(tmp_path: Path) -> None:
    results = run(chain(tmp_path), select=["m.a"])
    assert list(results) == ["m.a/transform"]
    assert "shop.orders holds nothing yet" in results["m.a/transform"].error
    assert "headwater run -s shop.orders" in results["m.a/transform"].error


def test_a_source_that_cannot_be_read_blocks_its_load(tmp_path: Path) -> None:
    put(chain(tmp_path), {"sources/db.yaml": "kind: sqlite\npath: none.db\ntables: {t: {into: warehouse}}\n"})
    results = run(tmp_path)
    assert results["db.t/extract"].status is Status.FAILED
    assert "sources/db.yaml" in results["db.t/extract"].error
    assert results["db.t/load"].status is Status.BLOCKED
    assert results["m.d/transform"].status is Status.DONE


def test_a_load_that_is_blocked_lets_go_of_what_was_read(tmp_path: Path) -> None:
    """Its checks look into a table that failed: the rows read wait for nothing, and the next run reads again."""
    checks = "checks: [{column: id, relationship: {to: m.b, field: x}}]"
    put(chain(tmp_path), {"sources/more.yaml": source("lake", checks), **FAIL_B})
    results = run(tmp_path)
    assert results["more.orders/extract"].status is Status.DONE
    assert results["more.orders/load"].status is Status.BLOCKED
    put(tmp_path, {"models/m/b.sql": "select id as x from m.a\n"})
    assert run_well(tmp_path)["more.orders/load"].status is Status.DONE


# --------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize("store", STORES)
def test_an_error_check_keeps_the_last_good_version_of_a_model(tmp_path: Path, store: str) -> None:
    head = f"/* headwater\nstore: {store}\nchecks: [{{column: price, range: {{max: 5}}}}]\n*/\n"
    put(chain(tmp_path), {"models/m/a.sql": head + "select id, price from shop.orders\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": HEADER + "7,g,9\n"})
    failed = run(tmp_path)
    assert statuses(failed)["m.a/transform"] == "failed"
    assert statuses(failed)["m.b/transform"] == "blocked"
    error = failed["m.a/transform"].error
    assert error.startswith("models/m/a.sql:")
    assert "range(price, ..5): 1 of 3 rows, for example (id=7, price=9.00)" in error
    assert rows(tmp_path, "select id from m.a") == [(1,), (2,)]
    assert rows(tmp_path, "select count(*) from m.d") == [(2,)]
    (tmp_path / "in/2.csv").unlink()
    assert run_well(tmp_path)["m.a/transform"].checks[0].passed


@pytest.mark.parametrize("store", STORES)
def test_checks_of_a_source(tmp_path: Path, store: str) -> None:
    checks = "checks: [{unique: id}, {column: price, range: {max: 5}, severity: warning, name: cheap}]"
    put(tmp_path, {"sources/shop.yaml": source(store, checks), "in/1.csv": HEADER + "1,a,1\n2,b,9\n"})
    told: list[str] = []
    first = run_well(tmp_path, listeners=[lambda e: told.append(e.data["text"]) if e.name == "warning" else None])
    assert len(told) == 1
    assert told[0].startswith("warning: cheap: 1 of 2 rows, for example (id=2, item=b, price=9.00")
    assert [(c.check, c.severity, c.passed, c.failing) for c in first["shop.orders/load"].checks] == [
        ("unique(id)", "error", True, 0),
        ("cheap", "warning", False, 1),
    ]
    put(tmp_path, {"in/2.csv": HEADER + "1,twin,1\n"})
    failed = run(tmp_path)["shop.orders/load"]
    assert failed.status is Status.FAILED
    assert "unique(id): 1 of 3 rows" in failed.error
    assert rows(tmp_path, "select id from shop.orders") == [(1,), (2,)]


@pytest.mark.parametrize("store", STORES)
def test_changed_checks_only_check_again(tmp_path: Path, store: str) -> None:
    head = "/* headwater\nstore: {}\nchecks: [{{column: price, range: {{max: {}}}, severity: {}}}]\n*/\n"
    query = "select id, price from shop.orders\n"
    put(chain(tmp_path, store), {"models/m/a.sql": head.format(store, 5, "error") + query})
    run_well(tmp_path)
    put(tmp_path, {"models/m/a.sql": head.format(store, 6, "error") + query})
    wider = run_well(tmp_path)["m.a/transform"]
    assert (wider.status, wider.reason, wider.checks[0].check) == (
        Status.UNCHANGED, "its checks changed", "range(price, ..6)",
    )  # fmt: skip
    put(tmp_path, {"models/m/a.sql": head.format(store, 1, "error") + query})
    assert "range(price, ..1): 1 of 2 rows" in run(tmp_path)["m.a/transform"].error
    put(tmp_path, {"models/m/a.sql": head.format(store, 1, "warning") + query})
    told: list[Event] = []
    warned = run_well(tmp_path, listeners=[told.append])["m.a/transform"]
    assert (warned.status, warned.version) == (Status.UNCHANGED, 1)
    assert [e.step for e in told if e.name == "warning"] == ["m.a/transform"]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


@pytest.mark.parametrize("store", STORES)
def test_changed_checks_of_a_source_are_run_on_the_rows_there_are(tmp_path: Path, store: str) -> None:
    put(chain(tmp_path), {"sources/shop.yaml": source(store)})
    run_well(tmp_path)
    put(tmp_path, {"sources/shop.yaml": source(store, "checks: [{column: price, range: {max: 1}}]")})
    failed = run(tmp_path)
    assert "range(price, ..1): 1 of 2 rows" in failed["shop.orders/load"].error
    assert failed["m.a/transform"].status is Status.BLOCKED
    put(tmp_path, {"sources/shop.yaml": source(store, "checks: [{column: price, range: {max: 2}}]")})
    passed = run_well(tmp_path)
    assert passed["shop.orders/load"].status is Status.UNCHANGED
    assert passed["shop.orders/load"].checks[0].passed
    assert passed["m.a/transform"].status is Status.SKIPPED


def test_a_relationship_check_waits_for_its_table(tmp_path: Path) -> None:
    """The reader is first by name, and there is no other edge between the two."""
    put(
        tmp_path,
        {
            "models/a/orders.sql": "/* headwater\nchecks:\n"
            "  - {column: who, relationship: {to: v.people, field: id}}\n*/\nselect 1 as who\n",
            "models/v/people.sql": "/* headwater\nmaterialize: view\n*/\nselect * from z.people\n",
            "models/z/people.sql": "select 1 as id\n",
        },
    )
    first = run_well(tmp_path, workers=2)
    assert first["a.orders/transform"].checks[0].passed
    put(
        tmp_path,
        {"models/a/orders.sql": (tmp_path / "models/a/orders.sql").read_text().replace("1 as who", "2 as who")},
    )
    assert "relationship(who -> v.people.id): 1 of 1 rows" in run(tmp_path)["a.orders/transform"].error


# --------------------------------------------------------------------------------------------------------- events


def listened(folder: Path, **options: Any) -> list[Event]:
    events: list[Event] = []
    run_all(folder, listeners=[events.append], **options)
    return events


@pytest.mark.parametrize("store", STORES)
def test_events_of_every_step_come_in_order(tmp_path: Path, store: str) -> None:
    put(
        tmp_path,
        {
            "sources/shop.yaml": source(store),
            "in/1.csv": HEADER + "1,a,1\nx\n",
            "models/m/a.sql": f"/* headwater\nstore: {store}\n*/\nselect id from shop.orders\n",
        },
    )
    events = listened(tmp_path)
    assert [(e.name, e.step) for e in events] == [
        ("run_started", ""),
        ("step_started", "shop.orders/extract"), ("chunk_read", "shop.orders/extract"),
        ("after_journal", "shop.orders/extract"), ("step_finished", "shop.orders/extract"),
        ("step_started", "shop.orders/load"), ("before_commit", "shop.orders/load"), ("claimed", "shop.orders/load"),
        ("after_commit", "shop.orders/load"), ("after_journal", "shop.orders/load"),
        ("step_finished", "shop.orders/load"),
        ("step_started", "m.a/transform"), ("before_commit", "m.a/transform"), ("claimed", "m.a/transform"),
        ("after_commit", "m.a/transform"), ("after_journal", "m.a/transform"), ("step_finished", "m.a/transform"),
        ("run_finished", ""),
    ]  # fmt: skip
    assert events[2].data == {"chunk": "files-00000", "rows": 1, "rejected": 1}
    assert events[-1].data["status"] == "done"
    assert isinstance(events[-2].data["result"], StepResult)
    skipped = [(e.name, e.step) for e in listened(tmp_path)]
    steps = ("shop.orders/extract", "shop.orders/load", "m.a/transform")
    each = [(name, step) for step in steps for name in ("after_journal", "step_finished")]
    assert skipped == [("run_started", ""), *each, ("run_finished", "")]


def test_a_listener_that_fails_harms_nothing(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        if event.name == "claimed":
            raise OSError("the pipe is closed")

    heard: list[Event] = []
    whole = run_all(chain(tmp_path), listeners=[broken, heard.append])
    assert whole.status is Status.DONE
    told = [e.data["text"] for e in heard if e.name == "warning"]
    assert told == ["a listener failed and gets no more events: OSError: the pipe is closed"]
    assert heard[-1].name == "run_finished"
    assert load(tmp_path).runs()[0].status is Status.DONE


# ------------------------------------------------------------------------------------------- parallel, and stopping


def test_independent_steps_run_at_the_same_time(tmp_path: Path) -> None:
    """Both sources wait for each other in `read`: one worker would never come past it."""
    files = {f"sources/{name}.yaml": source("warehouse") for name in ("one", "two")}
    put(tmp_path, {**files, "in/1.csv": HEADER + "1,a,1\n"})
    barrier = threading.Barrier(2, timeout=60)

    class Waiting:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def read(self, *arguments: Any) -> Any:
            barrier.wait()
            return self.inner.read(*arguments)

    def prepare(_: Plan, context: RunContext) -> None:
        sources: Any = context.catalogue.connectors.sources
        for name in ("one", "two"):
            sources[name] = Waiting(sources[name])

    whole = run_all(tmp_path, workers=2, on_start=prepare)
    assert [result.error for result in whole.results] == [""] * 4


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("boundary", ["step_started", "chunk_read", "before_commit", "claimed", "after_commit"])
def test_stopping_leaves_nothing_half_done_and_the_next_run_finishes(tmp_path: Path, store: str, boundary: str) -> None:
    put(chain(tmp_path, store), {"models/m/a.sql": f"/* headwater\nstore: {store}\n*/\n{CHAIN['models/m/a.sql']}"})
    contexts: list[RunContext] = []

    def stop(event: Event) -> None:
        if event.name == boundary and event.step.startswith("shop.orders"):
            contexts[0].stopping.set()

    whole = run_all(tmp_path, listeners=[stop], on_start=lambda _, context: contexts.append(context))
    found = statuses({result.step: result for result in whole.results})
    committed = boundary in ("claimed", "after_commit")
    ends = {
        "step_started": ("stopped", "blocked"),
        "chunk_read": ("stopped", "blocked"),
        "before_commit": ("done", "stopped"),
    }
    assert (found["shop.orders/extract"], found["shop.orders/load"]) == ends.get(boundary, ("done", "done"))
    assert found["m.a/transform"] == ("stopped" if committed else "blocked")
    assert whole.status is Status.STOPPED
    assert load(tmp_path).runs()[0].status is Status.STOPPED
    assert ("shop.orders" in load(tmp_path).states()) is committed
    again = run_well(tmp_path)
    assert set(statuses(again).values()) <= {"done", "skipped"}
    assert rows(tmp_path, "select count(*) from m.d") == [(2,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}


def test_a_stopped_run_still_tells_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform, "SMALL_ROWS", -1)  # each model has a transaction of its own
    contexts: list[RunContext] = []
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if event.name == "after_commit" and event.step == "m.a/transform":
            contexts[0].stopping.set()

    load(chain(tmp_path)).run(now=NOW, workers=1, listeners=[stop], on_start=lambda _, c: contexts.append(c))
    ended = {e.step: e.data["result"] for e in events if e.name == "step_finished"}
    assert statuses(ended) == {
        "other.e/transform": ended["other.e/transform"].status.value, "shop.orders/extract": "done",
        "shop.orders/load": "done", "m.a/transform": "done", "m.b/transform": "stopped", "m.c/transform": "blocked",
        "m.d/transform": "blocked",
    }  # fmt: skip
    assert ended["m.b/transform"].reason == "the run was stopped"
    assert ended["m.c/transform"].reason == "m.b/transform stopped"
