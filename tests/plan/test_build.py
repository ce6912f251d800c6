"""Decisions of a plan, from states written by hand: nothing is asked, nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.contracts import TableDescription
from headwater.core.commit import TableState
from headwater.core.plan import Decision, ExtractStep, Interval, LoadStep, Orphan, TransformStep
from headwater.core.project import Project, SourceTable
from headwater.errors import PlanError
from headwater.plan.planning import RunRequest
from headwater.plan.steps.transform import only_checks_changed, settle_transform

from ..conftest import ORDERS
from .states import NOW, all_made, committed, decisions, described, made, plan_of

Load = Callable[..., Project]

FILES = {
    "sources/shop.yaml": ORDERS,
    "models/staging/orders.sql": "/* headwater\nmaterialize: view\n*/\nselect id, amount from shop.orders",
    "models/marts/totals.sql": "select sum(amount) as total from staging.orders",
    "models/marts/report.sql": "select total from marts.totals",
}
EXTRACT, LOAD = "shop.orders/extract", "shop.orders/load"
TOTALS, REPORT = "marts.totals/transform", "marts.report/transform"
NOTHING = "skip: nothing it reads has changed"


@pytest.fixture
def project(load_files: Load) -> Project:
    return load_files(FILES)


def test_the_first_plan_builds_everything_in_order(project: Project) -> None:
    plan = plan_of(project)
    assert decisions(plan) == {
        EXTRACT: "run: first load",
        LOAD: "if_inputs_changed: if the extract finds rows",
        TOTALS: "run: first build",
        REPORT: "run: first build",
    }
    assert [step.upstream for step in plan.steps] == [(), (EXTRACT,), (LOAD,), (TOTALS,)]
    assert [step.inputs for step in plan.steps if isinstance(step, TransformStep)] == [
        ("shop.orders",),
        ("marts.totals",),
    ]
    assert [step.role.value for step in plan.steps] == ["extract", "load", "transform", "transform"]
    assert (plan.now, plan.orphans, plan.notes) == (NOW, (), ())


def test_nothing_changed_runs_nothing(project: Project) -> None:
    plan = plan_of(project, all_made(project))
    assert decisions(plan) == {
        EXTRACT: "skip: the source has not changed",
        LOAD: "skip: the source has not changed",
        TOTALS: NOTHING,
        REPORT: NOTHING,
    }
    assert plan.count(Decision.SKIP) == 4


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (TableDescription(version="v1"), "skip: the source has not changed"),
        (TableDescription(version="v2"), "run: the source changed"),
        (TableDescription(), "run: asked at run"),
        (None, "run: not reached at plan: asked at run"),
    ],
)
def test_a_source_is_asked_for_its_version(answer: TableDescription | None, decision: str, project: Project) -> None:
    plan = plan_of(project, all_made(project), sources={"shop.orders": answer} if answer else {})
    found = decisions(plan)
    assert found[EXTRACT] == decision
    if decision.startswith("run"):
        assert found[LOAD] == "if_inputs_changed: if the extract finds rows"
        assert found[TOTALS] == "if_inputs_changed: if shop.orders changes"
        assert found[REPORT] == "if_inputs_changed: if marts.totals changes"


def test_a_changed_declaration_of_a_source_is_loaded_again(load_files: Load, project: Project) -> None:
    states = all_made(project)
    changed = load_files({**FILES, "sources/shop.yaml": ORDERS.replace("in/*.csv", "inbox/*.csv")})
    assert decisions(plan_of(changed, states))[EXTRACT] == "run: its declaration changed"


def test_a_table_that_somebody_else_changed_is_told(project: Project) -> None:
    states = all_made(project)
    foreign = {name: replace(states[name], foreign="restored by somebody") for name in ("shop.orders", "marts.totals")}
    found = decisions(plan_of(project, {**states, **foreign}))
    assert (found[EXTRACT], found[TOTALS]) == ("run: restored by somebody", "run: restored by somebody")


@pytest.mark.parametrize(
    ("path", "old", "new", "decision"),
    [
        ("models/marts/totals.sql", "sum(amount)", "max(amount)", "run: its SQL or header changed"),
        ("models/marts/totals.sql", "select sum", "/* headwater\nkey: total\n*/\nselect sum", "run: its SQL or "
            "header changed"),
        ("models/staging/orders.sql", "id, amount", "id, -amount as amount", "run: its SQL or header changed"),
        ("models/staging/orders.sql", "id, amount", "id,\n  amount /* note */", NOTHING),
        ("models/marts/totals.sql", "select sum", "/* headwater\ndescription: x\n*/\nselect sum", NOTHING),
        (
            "models/marts/totals.sql", "select sum", "/* headwater\nchecks: [{unique: total}]\n*/\nselect sum",
            "run: its checks changed",
        ),
    ],
)  # fmt: skip
def test_what_a_change_of_a_file_does(
    path: str, old: str, new: str, decision: str, load_files: Load, project: Project
) -> None:
    states = all_made(project)
    changed = load_files({**FILES, path: FILES[path].replace(old, new)})
    plan = plan_of(changed, states)
    found = decisions(plan)
    assert found[TOTALS] == decision
    assert found[REPORT] == (NOTHING if decision == NOTHING else "if_inputs_changed: if marts.totals changes")
    step = next(step for step in plan.steps if step.node == TOTALS)
    assert isinstance(step, TransformStep)
    assert only_checks_changed(step, states["marts.totals"]) is decision.endswith("checks changed")
    assert step.full is decision.endswith("header changed")


def test_checks_of_a_table_that_is_not_there_do_not_change_alone(project: Project) -> None:
    step = next(step for step in plan_of(project).steps if isinstance(step, TransformStep))
    assert only_checks_changed(replace(step, reason="its checks changed"), None) is False


@pytest.mark.parametrize("version", [2, None])
def test_an_input_of_another_version_is_read_again(version: int | None, project: Project) -> None:
    gone = TableState("shop.orders")
    orders = committed(all_made(project)["shop.orders"], version=version, sequence=version) if version else gone
    found = decisions(plan_of(project, all_made(project, **{"shop.orders": orders})))
    assert found[TOTALS] == "run: shop.orders changed"


def test_an_empty_commit_of_an_input_changes_nothing(project: Project) -> None:
    orders = committed(all_made(project)["shop.orders"], sequence=9)
    assert decisions(plan_of(project, all_made(project, **{"shop.orders": orders})))[TOTALS] == NOTHING


VOLATILE = {
    "its own": (
        {"models/marts/totals.sql": "select sum(amount) + random() as total from staging.orders"},
        "calls random()",
    ),
    "two": ({"models/marts/totals.sql": "select uuid() as u, now() as total"}, "calls uuid(), now()"),
    "of a view": (
        {"models/staging/orders.sql": FILES["models/staging/orders.sql"].replace("id,", "id, now() as at,")},
        "calls now()",
    ),
    "of a view below a view": (
        {
            "models/staging/orders.sql": "/* headwater\nmaterialize: view\n*/\nselect * from staging.raw",
            "models/staging/raw.sql": "/* headwater\nmaterialize: view\n*/\nselect id, amount, today() from "
            "shop.orders",
        },
        "calls today()",
    ),
}


@pytest.mark.parametrize("case", VOLATILE)
def test_a_volatile_model_is_never_skipped(case: str, load_files: Load) -> None:
    files, reason = VOLATILE[case]
    project = load_files({**FILES, **files})
    assert decisions(plan_of(project, all_made(project)))[TOTALS] == f"run: {reason}"


def test_volatile_may_be_ignored(load_files: Load) -> None:
    view = FILES["models/staging/orders.sql"].replace("id,", "id, now() as at,")
    text = "/* headwater\nvolatile: ignore\n*/\nselect sum(amount) + random() as total from staging.orders"
    project = load_files({**FILES, "models/staging/orders.sql": view, "models/marts/totals.sql": text})
    assert decisions(plan_of(project, all_made(project)))[TOTALS] == NOTHING


@pytest.mark.parametrize("where", ["models/marts/totals.sql", "models/staging/orders.sql"])
def test_a_model_that_uses_the_clock_runs_when_it_has_moved(where: str, load_files: Load) -> None:
    project = load_files({**FILES, where: FILES[where] + " where $now > timestamptz '2024-01-01'"})
    states = all_made(project)
    assert decisions(plan_of(project, states))[TOTALS] == NOTHING
    later = plan_of(project, states, now=NOW + timedelta(seconds=1))
    assert decisions(later)[TOTALS] == "run: uses $now"


def test_full_rebuilds_what_is_named(project: Project) -> None:
    plan = plan_of(project, all_made(project), request=RunRequest(full=frozenset({"shop.orders", "marts.totals"})))
    assert decisions(plan) == {
        EXTRACT: "run: asked for with --full",
        LOAD: "if_inputs_changed: if the extract finds rows",
        TOTALS: "run: asked for with --full",
        REPORT: "if_inputs_changed: if marts.totals changes",
    }
    full = [step.full for step in plan.steps if isinstance(step, ExtractStep | LoadStep | TransformStep)]
    assert full == [True, True, True, False]


def test_a_selection_plans_its_steps_only(project: Project) -> None:
    assert list(decisions(plan_of(project, request=RunRequest(select=["marts.totals+"])))) == [TOTALS, REPORT]
    assert list(decisions(plan_of(project, request=RunRequest(exclude=["marts.report"])))) == [EXTRACT, LOAD, TOTALS]
    chosen = plan_of(project, request=RunRequest(select=["+marts.report"], exclude=["source:shop"]))
    assert list(decisions(chosen)) == [TOTALS, REPORT]
    assert chosen.steps[0].upstream == ()
    with pytest.raises(PlanError, match="selects nothing"):
        plan_of(project, request=RunRequest(select=["marts.nothing"]))


def test_state_modified_selects_what_differs_from_its_last_commit(load_files: Load, project: Project) -> None:
    states = all_made(project)
    request = RunRequest(select=["state:modified"])
    empty = plan_of(project, states, request=request)
    assert (empty.steps, empty.notes) == ((), ("state:modified: nothing is selected: nothing is modified",))
    view = load_files({**FILES, "models/staging/orders.sql": FILES["models/staging/orders.sql"] + " where id > 1"})
    assert list(decisions(plan_of(view, states, request=request))) == [TOTALS]
    path = "models/marts/report.sql"
    more = load_files({**FILES, path: "/* headwater\nchecks: [{not_null: total}]\n*/\n" + FILES[path]})
    assert list(decisions(plan_of(more, states, request=request))) == [REPORT]
    assert list(decisions(plan_of(load_files(FILES), {}, request=request))) == [EXTRACT, LOAD, TOTALS, REPORT]


def test_tables_that_nothing_declares_are_orphans(project: Project) -> None:
    states = all_made(project, **{"old.a": made("old.a")})
    plan = plan_of(project, states, orphans=(Orphan("old.a", "warehouse"),))
    assert plan.orphans == (Orphan("old.a", "warehouse"),)
    assert "old.a" not in {step.dataset for step in plan.steps}


def test_notes_of_the_observation_are_kept(project: Project) -> None:
    assert plan_of(project, notes=("a note",)).notes == ("a note",)


def test_a_relationship_waits_for_what_it_looks_into_unless_that_waits_for_it(load_files: Load) -> None:
    check = "checks: [{{relationship: {{to: {0}, field: id}}, column: id}}]"
    project = load_files(
        {
            "sources/shop.yaml": "kind: files\ntables:\n"
            "  a: {path: a.csv, columns: {id: bigint}, "
            + check.format("shop.b")
            + "}\n  b: {path: b.csv, columns: {id: bigint}, "
            + check.format("m.seen")
            + "}\n",
            "models/m/seen.sql": "/* headwater\nmaterialize: view\n*/\nselect id from m.base",
            "models/m/base.sql": f"/* headwater\n{check.format('m.other')}\n*/\nselect id from shop.a",
            "models/m/other.sql": f"/* headwater\n{check.format('m.base')}\n*/\nselect id from shop.a",
        }
    )
    upstream = {step.node: step.upstream for step in plan_of(project).steps}
    assert upstream["shop.a/load"] == ("shop.a/extract", "shop.b/load")
    assert upstream["shop.b/load"] == ("shop.b/extract",)
    assert {upstream["m.base/transform"], upstream["m.other/transform"]} == {
        ("shop.a/load", "m.other/transform"),
        ("shop.a/load",),
    }


def test_a_plan_is_pure(project: Project) -> None:
    states = all_made(project)
    before = {name: state.commit for name, state in states.items()}
    first, second = (plan_of(project, states) for _ in range(2))
    assert first == second
    assert {name: state.commit for name, state in states.items()} == before


# -------------------------------------------------------------------------------------------------------- incremental

HEADER = "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2024-01-01\n{0}*/\n"
QUERY = "select cast(placed as date) as day, sum(amount) as total from shop.orders group by all"
DAILY = "m.daily/transform"
SOURCE = {"m.daily": ("shop.orders", "placed")}


def daily(load_files: Load, more: str = "", query: str = QUERY) -> Project:
    return load_files({"sources/shop.yaml": ORDERS, "models/m/daily.sql": HEADER.format(more) + query})


def step_of(plan: object) -> TransformStep:
    (step,) = [step for step in plan.steps if isinstance(step, TransformStep)]  # type: ignore[attr-defined]  # a Plan
    return step


def span(start: int, end: int) -> Interval:
    return Interval(datetime(2024, 1, start), datetime(2024, 1, end))


def changed_orders(project: Project, *times: dict[str, list[str]] | None) -> dict[str, TableState]:
    """The source has committed once for each of the given ranges since the model read it."""
    history = [[1, {}], *([version, ranges] for version, ranges in enumerate(times, 2))]
    last = len(times) + 1
    states = all_made(project)
    states["shop.orders"] = committed(
        states["shop.orders"], version=last, sequence=last, recent=history[:-1], times=history[-1][1]
    )
    return states


def placed(low: str, high: str) -> dict[str, list[str]]:
    return {"placed": [low, high]}


def test_the_first_build_is_the_whole_span(load_files: Load) -> None:
    step = step_of(plan_of(daily(load_files)))
    assert (step.reason, step.full, step.intervals) == ("first build", True, (span(1, 11),))


def test_a_new_day_is_missing(load_files: Load) -> None:
    project = daily(load_files)
    step = step_of(plan_of(project, all_made(project), now=NOW + timedelta(days=2)))
    assert (step.reason, step.full, step.intervals) == ("1 span missing", False, (span(11, 13),))


def test_two_gaps_are_two_spans(load_files: Load) -> None:
    project = daily(load_files)
    states = all_made(project)
    position = {"intervals": [["2024-01-02", "2024-01-04"], ["2024-01-05T00:00:00", "2024-01-11T00:00:00"]]}
    states["m.daily"] = replace(committed(states["m.daily"], position=position), position=position)
    step = step_of(plan_of(project, states))
    assert (step.reason, step.intervals) == ("2 spans missing", (span(1, 2), span(4, 5)))


def test_a_change_touches_the_days_of_its_rows(load_files: Load) -> None:
    project = daily(load_files)
    states = changed_orders(
        project, placed("2024-01-03 23:59:59", "2024-01-04 00:00:00"), placed("2024-01-08", "2024-01-08")
    )
    step = step_of(plan_of(project, states, time_sources=SOURCE))
    assert (step.reason, step.intervals) == ("shop.orders changed", (span(3, 5), span(8, 9)))


def test_a_change_outside_the_span_is_recorded_only(load_files: Load) -> None:
    project = daily(load_files)
    states = changed_orders(project, placed("2023-12-01", "2023-12-31 23:59:59"), placed("2024-02-01", "2024-02-02"))
    step = step_of(plan_of(project, states, time_sources=SOURCE))
    assert (step.decision, step.reason, step.intervals) == (Decision.RUN, "shop.orders changed", ())


UNKNOWN = {
    "every row may have changed": (SOURCE, (None,)),
    "one of two commits is unknown": (SOURCE, (placed("2024-01-03", "2024-01-03"), None)),
    "the column has no range": (SOURCE, ({"other": ["2024-01-01", "2024-01-01"]},)),
    "no column has a range": (SOURCE, ({},)),
    "the time source is unknown": ({"m.daily": None}, (placed("2024-01-03", "2024-01-03"),)),
    "the time comes from another input": ({"m.daily": ("shop.x", "y")}, (placed("2024-01-03", "2024-01-03"),)),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_change_of_unknown_time_touches_everything_or_what_lookback_reaches(case: str, load_files: Load) -> None:
    sources, times = UNKNOWN[case]
    project = daily(load_files)
    assert step_of(plan_of(project, changed_orders(project, *times), time_sources=sources)).intervals == (span(1, 11),)
    limited = daily(load_files, "lookback: 36h\n")
    step = step_of(plan_of(limited, changed_orders(limited, *times), time_sources=sources))
    assert step.intervals == (span(9, 11),)
    assert step.reason == (
        "shop.orders changed; shop.orders changed in rows whose time is not known: only the last 36h again"
    )


def test_a_history_that_does_not_reach_back_is_unknown(load_files: Load) -> None:
    project = daily(load_files)
    states = changed_orders(project, *[placed("2024-01-03", "2024-01-03")] * 3)
    orders = states["shop.orders"]
    assert orders.commit is not None
    states["shop.orders"] = committed(orders, recent=orders.commit.recent[2:])
    assert step_of(plan_of(project, states, time_sources=SOURCE)).intervals == (span(1, 11),)


@pytest.mark.parametrize(
    ("times", "more", "spans"),
    [
        (placed("2024-01-08", "2024-01-08"), "", (span(8, 9),)),
        (placed("2024-01-02", "2024-01-08"), "", (span(2, 9),)),
        (None, "", (span(1, 11),)),
        (None, "lookback: 2d\n", (span(2, 11),)),
    ],
)
def test_a_clock_that_goes_back_leaves_no_change_out(
    times: dict[str, list[str]] | None, more: str, spans: tuple[Interval, ...], load_files: Load
) -> None:
    """What was finished under a later clock is due when what it reads has changed."""
    project = daily(load_files, more)
    states = changed_orders(project, times)
    step = step_of(plan_of(project, states, time_sources=SOURCE, now=datetime(2024, 1, 4, 12, tzinfo=UTC)))
    assert (step.decision, step.intervals) == (Decision.RUN, spans)


def test_a_rebuild_under_an_earlier_clock_keeps_what_was_finished(load_files: Load) -> None:
    states = all_made(daily(load_files))
    changed = daily(load_files, query=QUERY.replace("sum", "max"))
    early = datetime(2024, 1, 4, 12, tzinfo=UTC)
    assert step_of(plan_of(changed, states, now=early)).intervals == (span(1, 11),)
    asked = plan_of(changed, states, now=early, request=RunRequest(full=frozenset({"m.daily"})))
    assert step_of(asked).intervals == (span(1, 5),)


def test_a_clock_that_jumped_ahead_leaves_no_change_out(load_files: Load) -> None:
    """Looking back begins where the last run ended, not where the clock happens to stand."""
    project = daily(load_files, "lookback: 2d\n")
    step = step_of(plan_of(project, changed_orders(project, None), now=datetime(2024, 6, 1, tzinfo=UTC)))
    assert step.intervals == (Interval(datetime(2024, 1, 9), datetime(2024, 6, 2)),)


def test_a_clock_before_the_last_commit_is_said(project: Project) -> None:
    states = all_made(project)
    states["marts.totals"] = committed(states["marts.totals"], now="2024-01-12T00:00:00+00:00")
    (note,) = plan_of(project, states).notes
    assert note == (
        "the clock of this run, 2024-01-10 12:00:00 UTC, is before that of the last commit of marts.totals, "
        "2024-01-12 00:00:00 UTC: see --now and the machine's clock"
    )
    assert plan_of(project, states, now=datetime(2024, 1, 12, tzinfo=UTC)).notes == ()


def test_a_clock_before_a_snapshots_last_commit_is_said_with_what_follows(load_files: Load) -> None:
    text = "/* headwater\nmaterialize: snapshot\nkey: id\n*/\nselect id, amount from shop.orders"
    project = load_files({"sources/shop.yaml": ORDERS, "models/m/history.sql": text})
    states = all_made(project)
    states["m.history"] = committed(states["m.history"], now="2030-01-01T00:00:00+00:00")
    (note,) = plan_of(project, states).notes
    assert "2030-01-01 00:00:00 UTC" in note
    assert note.endswith("; until it has passed that, m.history dates changes right after it")


def test_an_input_that_is_gone_is_unknown(load_files: Load) -> None:
    project = daily(load_files)
    states = all_made(project, **{"shop.orders": TableState("shop.orders")})
    assert step_of(plan_of(project, states, time_sources=SOURCE)).intervals == (span(1, 11),)


def test_changed_sql_rebuilds_all_unless_history_is_kept(load_files: Load) -> None:
    states = all_made(daily(load_files))
    changed = daily(load_files, query=QUERY.replace("sum", "max"))
    step = step_of(plan_of(changed, states))
    assert (step.reason, step.full, step.intervals) == ("its SQL or header changed", True, (span(1, 11),))
    kept = step_of(plan_of(changed, states, request=RunRequest(keep_history=True)))
    assert (kept.decision, kept.full, kept.intervals) == (Decision.RUN, False, ())
    assert kept.reason == "its SQL or header changed; what is there is kept"
    later = step_of(plan_of(changed, states, request=RunRequest(keep_history=True), now=NOW + timedelta(days=1)))
    assert (later.full, later.intervals) == (False, (span(11, 12),))


def test_full_rebuilds_all_intervals(load_files: Load) -> None:
    project = daily(load_files)
    step = step_of(plan_of(project, all_made(project), request=RunRequest(full=frozenset({"m.daily"}))))
    assert (step.full, step.intervals) == (True, (span(1, 11),))


@pytest.mark.parametrize(("more", "start"), [("", 1), ("lookback: 1d\n", 9)])
def test_a_volatile_incremental_model_is_computed_again(more: str, start: int, load_files: Load) -> None:
    project = daily(load_files, more, QUERY.replace("sum(amount)", "sum(amount) + random()"))
    step = step_of(plan_of(project, all_made(project)))
    assert step.intervals == (span(start, 11),)
    assert step.reason == "calls random()" + ("; calls random(): only the last 1d again" if more else "")


def test_changed_checks_alone_compute_no_interval(load_files: Load) -> None:
    states = all_made(daily(load_files))
    changed = daily(load_files, "checks: [{not_null: day}]\n")
    step = step_of(plan_of(changed, states))
    assert (step.reason, step.intervals) == ("its checks changed", ())


def test_a_waiting_step_finds_its_intervals_when_its_inputs_are_done(load_files: Load) -> None:
    project = daily(load_files)
    plan = plan_of(project, all_made(project), sources=described(project, "v2"), time_sources=SOURCE)
    step = step_of(plan)
    assert (step.decision, step.reason) == (Decision.IF_INPUTS_CHANGED, "if shop.orders changes")
    states = changed_orders(project, placed("2024-01-05", "2024-01-05"))
    settled = settle_transform(step, states, NOW, SOURCE["m.daily"])
    assert (settled.decision, settled.intervals) == (Decision.RUN, (span(5, 6),))
    assert settle_transform(step, all_made(project), NOW, SOURCE["m.daily"]).decision is Decision.SKIP


def test_a_start_in_the_future_is_an_empty_span(load_files: Load) -> None:
    step = step_of(plan_of(daily(load_files), now=datetime(2023, 6, 1, tzinfo=UTC)))
    assert step.intervals == (Interval(datetime(2024, 1, 1), datetime(2024, 1, 1)),)


def test_a_snapshot_is_never_rebuilt(load_files: Load) -> None:
    text = "/* headwater\nmaterialize: snapshot\nkey: id\n*/\nselect id, amount from shop.orders"
    files = {"sources/shop.yaml": ORDERS, "models/m/history.sql": text}
    states = all_made(load_files(files))
    changed = load_files({**files, "models/m/history.sql": text + " where id > 0"})
    step = step_of(plan_of(changed, states))
    assert (step.reason, step.full) == ("its SQL or header changed", False)


def test_a_relationship_to_a_table_that_many_paths_lead_to(load_files: Load) -> None:
    project = load_files(
        {
            "models/m/a.sql": "select 1 as id",
            "models/m/b.sql": "from m.a",
            "models/m/c.sql": "from m.a",
            "models/m/d.sql": "select b.id from m.b, m.c",
            "models/m/x.sql": "/* headwater\nchecks: [{relationship: {to: m.d, field: id}, column: "
            "id}]\n*/\nselect 1 as id",
        }
    )
    upstream = {step.node: step.upstream for step in plan_of(project).steps}
    assert upstream["m.x/transform"] == ("m.d/transform",)


def test_the_rows_of_a_source_are_told_of_a_load_that_reads_them_all(load_files: Load) -> None:
    files = {"sources/db.yaml": "kind: sqlite\npath: x.db\ntables: {a: {}, b: {load: incremental, key: id}}\n"}
    project = load_files(files)
    sources = {name: TableDescription(version="v2", estimated_rows=7) for name in project.declared(SourceTable)}

    def rows(**more: Any) -> list[int | None]:
        steps = plan_of(project, sources=sources, **more).steps
        return [step.source_rows for step in steps if isinstance(step, ExtractStep)]

    assert rows() == [7, 7]
    assert rows(states=all_made(project)) == [7, None]
    assert rows(states=all_made(project), request=RunRequest(full=frozenset({"db.b"}))) == [7, 7]
