"""Commits come back from JSON; what changed since a version; positions merged."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.commit import Commit, Receipt, TableState, merge_positions
from headwater.core.plan import Cause, Decision, Interval, Plan, TransformStep
from headwater.core.run import Run, Status, StepResult

FIRST = Commit("a/load", 1, None, "r", "f", "2024-01-01", 1, times={"at": ["1", "1"]})


def following(last: Commit, *, changes: bool) -> Commit:
    """The commit that follows, as a run proposes it."""
    sequence = last.sequence + 1
    return replace(
        last, sequence=sequence, previous=last.sequence, version=sequence if changes else last.version,
        times={"at": [str(sequence), str(sequence)]} if changes else {}, recent=last.history(),
    )  # fmt: skip


@given(st.lists(st.booleans(), max_size=40))
def test_what_changed_since_a_version_reaches_back_20_changes(changes: list[bool]) -> None:
    commits = [FIRST]
    for changed in changes:
        commits.append(following(commits[-1], changes=changed))
    versions = [commit.sequence for commit in commits if commit.version == commit.sequence]
    last = commits[-1]
    for index, version in enumerate(versions):
        after = [{"at": [str(other), str(other)]} for other in versions[index + 1 :]]
        kept = versions[-21:] if last.version == last.sequence else versions[-20:]
        assert last.changes_since(version) == (after if version in kept else None)
    assert last.changes_since(999) is None
    assert len(last.recent) <= 20


def test_a_commit_comes_back_and_later_keys_are_passed_over() -> None:
    commit = replace(FIRST, position={"files": {"é": [1, 2]}}, inputs={"b": 3}, rows=7, recent=[[1, None]])
    assert Commit.from_json(commit.to_json()) == commit
    assert Commit.from_json(json.dumps({**json.loads(commit.to_json()), "later": 1})) == commit
    assert "\n" not in commit.to_json()


def test_a_commit_under_another_sequence() -> None:
    assert (FIRST.at(5).sequence, FIRST.at(5).version) == (5, 5)
    empty = following(FIRST, changes=False)
    assert (empty.at(5).sequence, empty.at(5).version) == (5, 1)
    assert FIRST.commit_id == "a/load@1"


def test_receipts_and_states() -> None:
    assert Receipt(FIRST).changed
    assert not Receipt(following(FIRST, changes=False)).changed
    assert TableState("a", commit=FIRST).version == 1
    assert TableState("a").version is None


def test_positions_are_merged_from_the_oldest_to_the_newest() -> None:
    first = {"cursor": 1, "files": {"a": [1], "b": [1]}, "version": "x"}
    second = {"cursor": 2, "files": {"b": None, "c": [2]}}
    assert merge_positions([first, second]) == {"cursor": 2, "version": "x", "files": {"a": [1], "c": [2]}}
    assert merge_positions([first, {"complete": True, "files": {"z": [9]}}]) == {"files": {"z": [9]}}
    assert merge_positions([first, {"complete": True}]) == {}
    assert merge_positions([]) == {}


def test_what_a_connector_keeps_under_a_known_name_need_not_be_a_mapping() -> None:
    moved = {"cursors": {"a": 2, "b": None}}
    assert merge_positions([{"cursors": {"a": 1, "b": 1}}, moved]) == {"cursors": {"a": 2}}
    assert merge_positions([{"cursors": [1]}, {"cursors": [2], "partitions": 3}]) == {"cursors": [2], "partitions": 3}
    assert merge_positions([{"cursors": 1}, moved]) == {"cursors": {"a": 2}}
    assert moved == {"cursors": {"a": 2, "b": None}}, "what is merged is left as it was"


def test_a_run_finds_a_result_by_its_step() -> None:
    run = Run("r", Status.DONE, "s", 1.0, "n", (StepResult("a", Status.DONE), StepResult("b", Status.FAILED)))
    assert run.result("b").status is Status.FAILED
    with pytest.raises(KeyError):
        run.result("c")


def test_a_plan_counts_decisions_and_steps_say_what_they_do() -> None:
    step = TransformStep(  # type: ignore[arg-type]  # no model is asked for
        node="m.a/transform", decision=Decision.RUN, cause=Cause.FIRST, reason="", model=None
    )
    plan = Plan((step, replace(step, decision=Decision.SKIP)), datetime(2024, 1, 1, tzinfo=UTC))
    assert (plan.count(Decision.RUN), plan.count(Decision.IF_INPUTS_CHANGED)) == (1, 0)
    assert (step.dataset, step.role.value) == ("m.a", "transform")
    assert Interval(datetime(2024, 1, 1), datetime(2024, 1, 2)) < Interval(datetime(2024, 1, 1), datetime(2024, 1, 3))
