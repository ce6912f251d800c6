"""The journal: history of runs that survives a kill, and that may be lost without harm."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.core.run import CheckResult, Event, Run, Status, StepResult
from headwater.errors import StateError
from headwater.state import Journal


def run(number: int, status: Status = Status.DONE) -> Run:
    return Run(
        f"run-{number:04}", status, f"2024-01-01T{number // 60:02}:{number % 60:02}:00", 1.5, "2024-01-01T00:00:00"
    )


def result(step: str, status: Status = Status.DONE, started: str = "2024-01-01T00:00:00") -> StepResult:
    check = CheckResult("not_null(a)", "error", False, 2, 10, "detail")
    return StepResult(step, status, started, 0.25, 10, 3, 1, 2, 4, "because", "", (check,))


def write(journal: Journal, one: Run, *results: StepResult) -> None:
    journal.start_run(one.run_id, one.started, one.now)
    for found in results:
        journal.write_result(one.run_id, found)
    journal.end_run(one)


def test_a_run_comes_back_with_its_steps_and_events(tmp_path: Path) -> None:
    with Journal(tmp_path / ".headwater") as journal:
        steps = (result("a/load"), result("b/transform", Status.FAILED, "2024-01-01T00:00:01"))
        write(journal, run(1, Status.FAILED), *steps)
        journal.write_event("run-0001", Event("chunk_read", "2024-01-01T00:00:00", "a/load", {"rows": 3}))
    with Journal(tmp_path / ".headwater") as journal:
        found = journal.read_run("run-0001")
        assert found is not None
        assert (found.status, found.duration_s, found.results) == (Status.FAILED, 1.5, steps)
        assert journal.read_events("run-0001") == [
            Event("chunk_read", "2024-01-01T00:00:00", "a/load", {"rows": 3}),
        ]
        assert journal.read_run("run-0002") is None


def test_the_newest_runs_come_first_whatever_their_clocks_say(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for number in (1, 3, 2):
            write(journal, run(number))
        assert [found.run_id for found in journal.list_runs(2)] == ["run-0002", "run-0003"]


def test_a_clock_set_back_hides_no_result(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        write(journal, run(1), result("a", Status.FAILED, started="5"), result("b", Status.FAILED, started="5"))
        skip = replace(result("b", Status.SKIPPED, started="2"), settled=True)
        write(journal, run(2), result("a", Status.DONE, started="2"), skip)
        assert {name: found.status for name, found in journal.last_results().items()} == {
            "a": Status.DONE, "b": Status.SKIPPED,
        }  # fmt: skip
        assert [run_id for run_id, _ in journal.step_history("a")] == ["run-0002", "run-0001"]


def test_the_last_result_of_a_step_is_of_what_it_did(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        write(journal, run(1), result("a", started="1"), result("b", Status.FAILED, started="1"))
        write(journal, run(2), result("a", Status.SKIPPED, started="2"), result("b", Status.BLOCKED, started="2"))
        write(journal, run(3), result("b", Status.UNCHANGED, started="3"))
        last = journal.last_results()
        assert {name: (found.status, found.started) for name, found in last.items()} == {
            "a": (Status.DONE, "1"), "b": (Status.UNCHANGED, "3"),
        }  # fmt: skip
        assert [(run_id, found.status) for run_id, found in journal.step_history("b", 2)] == [
            ("run-0003", Status.UNCHANGED), ("run-0002", Status.BLOCKED),
        ]  # fmt: skip


def test_200_runs_are_kept_however_old(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for number in range(204):
            write(journal, run(number), result("a", started=f"{number:04}"))
            journal.write_event(f"run-{number:04}", Event("staged", "x"))
        write(journal, replace(run(204), started="2024-02-01T00:00:00"), result("a", started="0204"))
        kept = journal.list_runs(1000)
        assert len(kept) == 200
        assert kept[-1].run_id == "run-0005"
        assert len(journal.step_history("a", 1000)) == 200
        assert journal.read_events("run-0004") == []
        assert len(journal.read_events("run-0005")) == 1


def test_many_small_runs_neither_forget_the_day_nor_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.state.journal.MOST_RUNS", 400)
    with Journal(tmp_path) as journal:
        for number in range(350):
            write(journal, run(number), result("a", started=f"{number:04}"))
        assert len(journal.list_runs(1000)) == 350, "all are of this week"
        assert journal.read_run("run-0000") is not None
        for number in range(350, 450):
            write(journal, run(number))
        assert [found.run_id for found in journal.list_runs(1000)][-1] == "run-0050"


def test_environments_are_apart(tmp_path: Path) -> None:
    with Journal(tmp_path) as default, Journal(tmp_path, "prod") as prod:
        write(default, run(1))
        write(prod, run(2))
        assert [found.run_id for found in default.list_runs()] == ["run-0001"]
        assert [found.run_id for found in prod.list_runs()] == ["run-0002"]
    assert {file.name for file in tmp_path.glob("*.db")} == {"journal.db", "journal-prod.db"}


def test_observations_are_kept_and_replaced(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.write_observation("a.b", "1", {"version": "1"})
        journal.write_observation("a.b", "2", {"version": "2"})
    with Journal(tmp_path) as journal:
        assert journal.read_observations() == {"a.b": {"version": "2"}}


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with Journal(tmp_path / ".headwater") as journal:
        journal.flush()
        assert journal.list_runs() == []
        assert journal.read_run("x") is None
        assert journal.last_results() == {}
        assert journal.read_observations() == {}
    assert not (tmp_path / ".headwater").exists()


def test_a_journal_that_is_gone_is_begun_anew(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        write(journal, run(1))
    for file in tmp_path.iterdir():
        file.unlink()
    with Journal(tmp_path) as journal:
        assert journal.list_runs() == []
        write(journal, run(2))
        assert [found.run_id for found in journal.list_runs()] == ["run-0002"]


KILLED = """
import os, signal, sys
from pathlib import Path
from headwater.core.run import Status, StepResult
from headwater.state import Journal
journal = Journal(Path(sys.argv[1]))
journal.start_run("killed", "2024-01-01T00:00:00", "2024-01-01T00:00:00")
journal.write_result("killed", StepResult("a/load", Status.DONE, "2024-01-01T00:00:01"))
journal.flush()
journal.write_result("killed", StepResult("b/load", Status.DONE, "2024-01-01T00:00:02"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_was_killed_is_stopped_and_its_durable_steps_are_there(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with Journal(tmp_path) as journal:
        (found,) = journal.list_runs()
        assert (found.run_id, found.status, found.duration_s) == ("killed", Status.STOPPED, 0.0)
        whole = journal.read_run("killed")
        assert whole is not None
        assert [step.step for step in whole.results] == ["a/load"]


@pytest.mark.parametrize(
    "content", [b"this is no database, it is a text of more than sixteen bytes", b"SQLite format 3\x00" + b"\xff" * 200]
)
def test_a_damaged_file_says_that_it_may_be_deleted(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(content)
    message = r"the journal .*journal\.db cannot be used: .*\n  fix: delete it: that loses history only"
    with Journal(tmp_path) as journal:
        with pytest.raises(StateError, match=message):
            journal.list_runs()
        with pytest.raises(StateError, match=message):
            journal.start_run("x", "y", "z")


def test_a_write_that_the_disk_refuses_is_told_and_closing_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write(journal, run(1))
    blocker = sqlite3.connect(tmp_path / "journal.db")
    blocker.execute("DROP TABLE events")
    blocker.commit()
    blocker.close()
    with pytest.raises(StateError, match="no such table: events"):
        journal.write_event("run-0001", Event("staged", "x"))
    journal.close()
    journal.close()
    assert os.listdir(tmp_path)


def test_a_full_disk_is_told_when_what_was_written_should_become_durable(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write(journal, run(1))
    journal.write_result("run-0001", result("b" * 100_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(file.stat().st_size for file in tmp_path.iterdir()), before[1]))
    try:
        with pytest.raises(StateError, match="fix: delete it"):
            journal.flush()
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with Journal(tmp_path) as again:
        assert [found.run_id for found in again.list_runs()] == ["run-0001"]
        assert again.step_history("b" * 100_000) == []


def test_a_journal_of_an_older_version_is_read_on(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for number in (1, 2):
            write(journal, run(number), result("a/load", Status.DONE if number == 1 else Status.FAILED))
    with sqlite3.connect(tmp_path / "journal.db") as older:
        older.executescript(
            "DROP INDEX steps_by_run; DROP INDEX steps_that_did_something; ALTER TABLE steps DROP COLUMN run; "
            "CREATE INDEX steps_by_step ON steps (step, started);"
        )
    with Journal(tmp_path) as journal:
        assert journal.last_results()["a/load"].status is Status.FAILED
        assert [name for name, _ in journal.step_history("a/load")] == ["run-0002", "run-0001"]
        write(journal, run(3), result("a/load"))
        assert journal.last_results()["a/load"].status is Status.DONE
