"""A status in words."""

from __future__ import annotations

import pytest

from headwater.core.run import Status
from headwater.diagram import NodeStatus
from headwater.diagram.status import SYMBOLS, Badge, badge_of, count_of, describe_status, summary_badge


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (NodeStatus(Status.DONE, rows=336_776, freshness="3 min ago"), "336,776 rows · 3 min ago"),
        (NodeStatus(Status.DONE, rows=1, rejected=1_200), "1 row · 1,200 rejected"),
        (NodeStatus(Status.DONE), "done"),
        (NodeStatus(Status.UNCHANGED, rows=0), "unchanged · 0 rows"),
        (NodeStatus(Status.SKIPPED), "skipped"),
        (NodeStatus(Status.BLOCKED), "blocked"),
        (NodeStatus(Status.STOPPED), "stopped"),
        (NodeStatus(Status.FAILED, error="\n no such\tcolumn \nline 3"), "failed: no such column"),
        (NodeStatus(Status.FAILED, error=" \n "), "failed"),
        (NodeStatus(Status.FAILED), "failed"),
        (NodeStatus(Status.DONE, error="left over"), "done"),
        (NodeStatus("stale", freshness="2 days ago"), "stale · 2 days ago"),
        (NodeStatus("never"), "never run"),
    ],
)
def test_badge(status: NodeStatus, text: str) -> None:
    assert badge_of(status) == Badge(str(status.status), text)


def test_a_description_names_the_status_first_and_the_version_last() -> None:
    status = NodeStatus(Status.DONE, rows=2, rejected=1, freshness="now", version=0)
    assert describe_status(status) == "done, 2 rows, 1 rejected, now, version 0"
    assert describe_status(NodeStatus("never")) == "never run"


def test_every_status_has_a_symbol_of_its_own() -> None:
    assert set(SYMBOLS) == {*map(str, Status), "stale", "never"}
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_a_summary_counts_and_takes_the_worst() -> None:
    statuses = [NodeStatus(Status.DONE), NodeStatus(Status.FAILED), NodeStatus(Status.DONE), NodeStatus("never")]
    assert summary_badge(statuses) == Badge("failed", "1 failed · 2 done · 1 never")
    assert summary_badge([]) is None


def test_counts_are_singular_and_plural() -> None:
    assert [count_of(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
