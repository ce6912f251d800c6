"""`run --from --to`: the intervals of a span, done or not, and nothing of the others is lost or taken for done."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.core.plan import Interval
from headwater.core.project import Model
from headwater.core.run import Status
from headwater.errors import PlanError
from headwater.plan.intervals import clip_span, parse_span
from tests.run.runner import NOW, put, rows, run_well

if TYPE_CHECKING:
    from pathlib import Path


HEAD = "/* headwater\nstore: {store}\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2026-01-01\n{more}*/\n"
SQL = "select day, sum(n)::bigint as n from shop.sales group by all\n"


def project(folder: Path, store: str = "warehouse", more: str = "", sql: str = SQL) -> None:
    put(
        folder,
        {
            "sources/shop.yaml": (
                f"kind: files\ntables:\n  sales: {{path: in/*.csv, into: {store}, columns: {{day: date, n: bigint}}}}\n"
            ),
            "in/1.csv": "day,n\n2026-01-02,2\n2026-01-03,3\n2026-01-05,5\n",
            "models/m/daily.sql": HEAD.format(store=store, more=more) + sql,
            "models/m/total.sql": "select sum(n)::bigint as n from m.daily\n",
        },
    )


def daily(folder: Path) -> list[tuple[str, int]]:
    return rows(folder, "select day::varchar, n from m.daily")


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_a_first_build_of_a_span_leaves_the_rest_due(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    first = run_well(tmp_path, begin="2026-01-03", end="2026-01-04")
    assert first["m.daily/transform"].reason == "first build, of the span that was asked for"
    assert daily(tmp_path) == [("2026-01-03", 3)]
    assert rows(tmp_path, "from m.total") == [(3,)]
    run_well(tmp_path)
    assert daily(tmp_path) == [("2026-01-02", 2), ("2026-01-03", 3), ("2026-01-05", 5)]
    assert rows(tmp_path, "from m.total") == [(10,)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_what_changed_outside_of_the_span_stays_due(tmp_path: Path, store: str) -> None:
    project(tmp_path, store)
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": "day,n\n2026-01-02,20\n2026-01-03,30\n2026-01-05,50\n"})
    second = run_well(tmp_path, begin="2026-01-03T12:00", end="2026-01-03T13:00")
    assert second["m.daily/transform"].reason == "asked for with --from and --to"
    assert daily(tmp_path) == [("2026-01-02", 2), ("2026-01-03", 30), ("2026-01-05", 5)]
    run_well(tmp_path)
    assert daily(tmp_path) == [("2026-01-02", 20), ("2026-01-03", 30), ("2026-01-05", 50)]
    assert run_well(tmp_path)["m.daily/transform"].status is Status.SKIPPED


def test_finished_intervals_are_computed_again(tmp_path: Path) -> None:
    project(tmp_path)
    run_well(tmp_path)
    plan = load(tmp_path).plan(begin="2026-01-02", end="2026-01-04", now=NOW)
    step = next(step for step in plan.steps if step.node == "m.daily/transform")
    assert getattr(step, "intervals", ()) == (Interval(datetime(2026, 1, 2), datetime(2026, 1, 4)),)
    again = run_well(tmp_path, begin="2026-01-02", end="2026-01-04")
    assert (again["m.daily/transform"].rows_inserted, again["m.daily/transform"].rows_deleted) == (2, 2)
    assert run_well(tmp_path)["m.daily/transform"].status is Status.SKIPPED


def test_an_open_span_goes_to_the_ends(tmp_path: Path) -> None:
    project(tmp_path)
    run_well(tmp_path, begin="2026-01-03")
    assert daily(tmp_path) == [("2026-01-03", 3), ("2026-01-05", 5)]
    run_well(tmp_path, end="2026-01-03")
    assert daily(tmp_path) == [("2026-01-02", 2), ("2026-01-03", 3), ("2026-01-05", 5)]
    assert run_well(tmp_path, begin="2030-01-01")["m.daily/transform"].status is Status.SKIPPED


def test_changed_sql_wants_every_interval(tmp_path: Path) -> None:
    project(tmp_path)
    run_well(tmp_path)
    project(tmp_path, sql=SQL.replace("sum(n)", "sum(n * 100)"))
    with pytest.raises(PlanError, match="rebuilds every interval"):
        run_well(tmp_path, begin="2026-01-03", end="2026-01-04")
    run_well(tmp_path, begin="2026-01-03", end="2026-01-04", keep_history=True)
    assert daily(tmp_path) == [("2026-01-02", 2), ("2026-01-03", 300), ("2026-01-05", 5)]


def test_where_there_is_no_span_to_choose(tmp_path: Path) -> None:
    project(tmp_path)
    run_well(tmp_path)
    with pytest.raises(PlanError, match="no model with `time`"):
        run_well(tmp_path, begin="2026-01-03", select=["m.total"])
    with pytest.raises(PlanError, match="--full rebuilds every interval"):
        run_well(tmp_path, begin="2026-01-03", full=["m.daily"])
    with pytest.raises(PlanError, match="no span of time"):
        run_well(tmp_path, begin="2026-01-03", end="2026-01-03")
    with pytest.raises(PlanError, match="not an ISO date"):
        run_well(tmp_path, begin="yesterday")


@pytest.mark.parametrize(
    ("begin", "end", "wanted"),
    [
        ("2026-01-03", "2026-01-04", ("2026-01-03", "2026-01-04")),
        ("2026-01-03T01:00", "2026-01-04T01:00", ("2026-01-03", "2026-01-05")),
        (None, "2026-01-02", ("2026-01-01", "2026-01-02")),
        ("2026-01-10", None, ("2026-01-10", "2026-01-11")),
        ("2025-01-01", "2026-01-01", None),
    ],
)
def test_a_span_is_made_of_whole_intervals(
    tmp_path: Path, begin: str | None, end: str | None, wanted: tuple[str, str] | None
) -> None:
    project(tmp_path)
    model: Model = load(tmp_path).project.declared(Model)["m.daily"]
    span = parse_span(begin, end)
    assert span is not None
    found = clip_span(model.spec, span, NOW)
    assert (found and (f"{found.start:%Y-%m-%d}", f"{found.end:%Y-%m-%d}")) == wanted
