"""How every node stands, from results of steps and states of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headwater.core.project import Project
from headwater.core.run import Status, StepResult
from headwater.diagram.overlay import describe_nodes, tell_age
from headwater.diagram.status import NodeStatus

from ..conftest import ORDERS
from ..plan.states import NOW, committed, made

Load = Callable[..., Project]
STARTED = (NOW - timedelta(hours=2)).isoformat()


@pytest.fixture
def project(load_files: Load) -> Project:
    return load_files(
        {
            "sources/shop.yaml": ORDERS,
            "models/m/v.sql": "/* headwater\nmaterialize: view\n*/\nselect * from shop.orders",
            "models/m/t.sql": "select * from m.v",
        }
    )


def result(step: str, status: Status = Status.DONE, **more: object) -> StepResult:
    return replace(StepResult(step, status, STARTED), **more)  # type: ignore[arg-type]  # fields by name


def test_before_anything_ran_every_node_is_never(project: Project) -> None:
    found = describe_nodes(project, {}, None, {}, NOW)
    assert set(found.values()) == {NodeStatus("never")}
    assert set(project.graph.nodes) - set(found) == {"m.v/transform"}


def test_after_a_run(project: Project) -> None:
    results = {
        found.step: found
        for found in (
            result("shop.orders/extract", rows_inserted=10, rejected=2),
            result("shop.orders/load", rows=10, rejected=2, version=1),
            result("m.t/transform", rows=10, version=1),
        )
    }
    states = {name: committed(made(name, version=3), rows=12) for name in ("shop.orders", "m.t")}
    found = describe_nodes(project, results, states, {"shop.orders": 5}, NOW)
    ago = "2 h ago"
    assert found == {
        "shop.orders/source": NodeStatus(Status.DONE, None, 0, ago),
        "shop.orders/extract": NodeStatus(Status.DONE, 10, 2, ago),
        "shop.orders/load": NodeStatus(Status.DONE, None, 2, ago),
        "shop.orders": NodeStatus(Status.DONE, 12, 5, ago, "", 3),
        "m.t/transform": NodeStatus(Status.DONE, None, 0, ago),
        "m.t": NodeStatus(Status.DONE, 12, 0, ago, "", 3),
    }


def test_a_dataset_below_a_failed_step_is_stale_and_without_rows_failed(project: Project) -> None:
    results = {"m.t/transform": result("m.t/transform", Status.FAILED, error="no")}
    found = describe_nodes(project, results, {"m.t": committed(made("m.t"), rows=3)}, {}, NOW)
    assert (found["m.t"].status, found["m.t"].error) == ("stale", "")
    assert (found["m.t/transform"].status, found["m.t/transform"].error) == (Status.FAILED, "no")
    assert describe_nodes(project, results, None, {}, NOW)["m.t"].status == Status.FAILED


def test_a_dataset_whose_extract_failed_is_as_old_as_its_rows(project: Project) -> None:
    results = {
        found.step: found
        for found in (result("shop.orders/extract", Status.FAILED, error="no"), result("shop.orders/load", rows=3))
    }
    assert describe_nodes(project, results, None, {}, NOW)["shop.orders"].status == Status.FAILED
    state = committed(made("shop.orders"), rows=3)
    assert state.commit is not None
    older = replace(state, commit=replace(state.commit, now=(NOW - timedelta(days=3)).isoformat()))
    found = describe_nodes(project, results, {"shop.orders": older}, {}, NOW)["shop.orders"]
    assert (found.status, found.rows, found.freshness) == ("stale", 3, "3 d ago")


@pytest.mark.parametrize("status", [Status.UNCHANGED, Status.SKIPPED])
def test_a_dataset_that_did_not_change_is_done(status: Status, project: Project) -> None:
    results = {"m.t/transform": result("m.t/transform", status, rows=4, version=2)}
    found = describe_nodes(project, results, None, {}, NOW)["m.t"]
    assert (found.status, found.rows, found.version) == (Status.DONE, 4, 2)


def test_a_dataset_that_others_changed_has_failed(project: Project) -> None:
    state = replace(made("m.t"), foreign="restored by somebody")
    found = describe_nodes(project, {}, {"m.t": state}, {}, NOW)["m.t"]
    assert (found.status, found.error, found.freshness) == (Status.FAILED, "restored by somebody", "just now")


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=1), "1 h ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=1), "1 d ago"),
        (timedelta(days=400), "400 d ago"),
    ],
)
def test_ages(ago: timedelta, told: str) -> None:
    assert tell_age((NOW - ago).isoformat(), NOW) == told
    assert tell_age((NOW - ago).replace(tzinfo=None).isoformat(), NOW) == told


def test_what_is_no_moment_has_no_age() -> None:
    assert tell_age("", datetime(2024, 1, 1, tzinfo=UTC)) == ""
