"""Progress from events: plain lines, JSON, a live display; Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from headwater.cli import group, main
from headwater.cli import run as run_command
from headwater.cli.progress import (
    JsonProgress,
    LiveProgress,
    PlainProgress,
    Progress,
    format_result,
    make_progress,
)
from headwater.core.plan import Cause, Decision, ExtractStep, LoadStep, Plan
from headwater.core.run import Event, Run, Status, StepResult

from ..plan.states import NOW

SECRETS = frozenset({"hunter2"})


def finished(result: StepResult) -> Event:
    return Event("step_finished", "2024-01-01", result.step, {"result": result})


def step(status: Status, **more: Any) -> StepResult:
    return StepResult("m.a/transform", status, duration_s=1.5, **more)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            step(Status.DONE, rows=1234, rows_inserted=34, rows_deleted=2),
            "✓ m.a/transform  1,234 rows, +34, -2  (1.50 s)",
        ),
        (step(Status.DONE, rows=3, rejected=1), "✓ m.a/transform  3 rows, 1 rejected  (1.50 s)"),
        (step(Status.UNCHANGED, rows=3, rows_inserted=3), "= m.a/transform  3 rows  (1.50 s)"),
        (step(Status.FAILED, error="no: hunter2"), "✕ m.a/transform\n  no: hunter2"),
        (step(Status.BLOCKED, reason="m.b failed"), "⏸ m.a/transform  blocked: m.b failed"),
        (step(Status.STOPPED, reason="asked to"), "■ m.a/transform  stopped: asked to"),
    ],
)
def test_a_result_is_a_line(result: StepResult, line: str) -> None:
    assert format_result(result) == line


def test_plain_lines_show_what_was_done_and_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(SECRETS) as progress:
        progress(Event("step_started", "x", "m.a/transform"))
        progress(finished(step(Status.SKIPPED)))
        progress(finished(step(Status.FAILED, error="no: hunter2")))
        progress(Event("warning", "x", "m.a/transform", {"text": "hunter2 looks odd"}))
    assert capsys.readouterr().out == "✕ m.a/transform\n  no: ***\n! m.a/transform: *** looks odd\n"


def test_json_lines_are_all_events(capsys: pytest.CaptureFixture[str]) -> None:
    progress = JsonProgress(SECRETS)
    progress(Event("chunk_read", "x", "a/extract", {"rows": 3, "note": "hunter2"}))
    progress(finished(step(Status.DONE, rows=3)))
    progress.print_summary(Run("r", Status.DONE, "x", 1.0, "x"))
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {"event": "chunk_read", "at": "x", "step": "a/extract", "rows": 3, "note": "***"}
    assert (second["result"]["status"], second["result"]["rows"]) == ("done", 3)


def test_quiet_says_nothing_but_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    named = {"decision": Decision.RUN, "cause": Cause.FIRST, "reason": "", "table": Mock()}
    with Progress(SECRETS) as progress:
        progress.begin(Plan((ExtractStep(node="a/extract", **named), LoadStep(node="a/load", **named)), NOW))
        progress(finished(step(Status.DONE)))
    assert capsys.readouterr().out == ""
    load = StepResult("a/load", Status.DONE, rejected=1200)
    extract = StepResult("a/extract", Status.DONE, rejected=1200)
    progress.print_summary(Run("r", Status.FAILED, "x", 2.04, "x", (extract, load, step(Status.FAILED))))
    progress.print_summary(Run("r", Status.DONE, "x", 0.0, "x"))
    assert capsys.readouterr().out == (
        "failed in 2.0 s: 2 done, 1 failed; 1,200 rows to quarantine\ndone in 0.0 s: nothing to do\n"
    )


def test_live_shows_what_is_running(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveProgress(SECRETS) as progress:
        progress.total = 4
        progress(Event("step_started", "x", "a/extract"))
        progress(Event("chunk_read", "x", "a/extract", {"rows": 5000}))
        progress(Event("chunk_read", "x", "unknown/extract", {"rows": 5000}))
        shown = str(progress._render())
        assert shown.startswith("0 of 4 steps\n  … a/extract 0 s, 5,000 rows, ")
        progress(finished(step(Status.DONE, rows=3)))
        progress(Event("step_finished", "x", "a/extract", {"result": step(Status.SKIPPED)}))
        progress(Event("warning", "x", "a/extract", {"text": "hunter2"}))
        progress._begun -= 10
        assert str(progress._render()) == "2 of 4 steps, about 10 s left"
        progress._finished = 4
        assert str(progress._render()) == "4 of 4 steps"
    out = capsys.readouterr().out
    assert "✓ m.a/transform  3 rows  (1.50 s)" in out
    assert "! a/extract: ***" in out


def test_the_log_chooses_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(make_progress("quiet", SECRETS)) is Progress
    assert type(make_progress("json", SECRETS)) is JsonProgress
    assert type(make_progress("plain", SECRETS)) is PlainProgress
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert type(make_progress("auto", SECRETS)) is PlainProgress
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert type(make_progress("auto", SECRETS)) is LiveProgress


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_at_the_next_boundary_the_second_at_once(
    number: signal.Signals, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(one, signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)]
    context = SimpleNamespace(stopping=threading.Event())
    try:
        run_command._begin(Plan((), NOW), context, Progress(frozenset()))  # type: ignore[arg-type]  # a fake context
        signal.raise_signal(number)
        assert context.stopping.is_set()
        assert "stopping at the next boundary" in capfd.readouterr().err
        codes: list[int] = []
        monkeypatch.setattr(os, "_exit", codes.append)
        signal.raise_signal(number)
        assert codes == [130]
        assert capfd.readouterr().err.startswith("stopped\n")
    finally:
        for one, handler in before:
            signal.signal(one, handler)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (BrokenPipeError(), 0, ""),
        (OSError(28, "No space left"), 1, "No space left"),
    ],
)
def test_what_ends_a_command(
    raised: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(group, "invoke", fail)
    monkeypatch.setattr(sys, "argv", ["headwater", "status"])
    monkeypatch.setattr(sys, "stderr", sys.stderr if code else SimpleNamespace(close=lambda: None))
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    assert message in capsys.readouterr().err
