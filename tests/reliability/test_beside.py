"""Asking while a run holds the warehouse: query, plan, show and status answer, and nothing of the run is disturbed."""

from __future__ import annotations

import json
import os
import signal as signals
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.run import Status
from headwater.errors import BusyError, ProjectError
from headwater.run.beside import ask_query, ask_states
from headwater.state import find_holder
from tests.reliability.test_two_runs import PAUSED, run, wait_for
from tests.run.projects import change_files, files_project

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in the warehouse that was run once, and whose files have changed since."""
    folder = files_project(tmp_path / "project", "warehouse", "append")
    run(folder)
    change_files(folder, "append")
    return folder


@contextmanager
def held(folder: Path, boundary: str = "before_commit") -> Iterator[subprocess.Popen[str]]:
    """A run in another process that waits in the middle of its load; it is let go at the end."""
    signal = folder.parent / "signal"
    arguments = [sys.executable, "-c", PAUSED, str(folder), str(signal), boundary]
    holder = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(signal.with_name("signal.there"))
        yield holder
    finally:
        signal.with_name("signal.go").touch()
        _, error = holder.communicate(timeout=60)
        assert error == ""


def headwater(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headwater", "-p", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def count(folder: Path, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(folder).query(sql).to_pylist()
    return found


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_run_that_is_asked_writes_the_same_values(folder: Path, form: str) -> None:
    question = (
        "select 1 as a, 2 as a, timetz '10:00:00+02' as t, interval '3 days' as i, [1.50::decimal(9,2)] as d, "
        "'1'::bit as b, 'nan'::double as f, max(id) as n from shop.orders"
    )
    alone = headwater(folder, "query", question, "--format", form, "-o", "alone")
    with held(folder):
        beside = headwater(folder, "query", question, "--format", form, "-o", "beside")
    assert (alone.returncode, beside.returncode) == (0, 0), alone.stderr + beside.stderr
    assert Path("alone").read_bytes() == Path("beside").read_bytes()
    assert Path("alone").stat().st_size > 60


def test_query_plan_show_and_status_answer(folder: Path) -> None:
    before = count(folder, "select count(*) as n from shop.orders")
    with held(folder) as holder:
        assert find_holder(folder / ".headwater")[0] == holder.pid
        assert count(folder, "select count(*) as n from shop.orders") == before
        assert count(folder, "select count(*) as n from quarantine.shop__orders")
        done = headwater(folder, "query", "select total from marts.totals order by 1", "--format", "csv")
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "total")
        plan = json.loads(headwater(folder, "plan", "--json").stdout)
        assert {step["node"] for step in plan["steps"]} >= {"shop.orders/load", "marts.totals/transform"}
        shown = json.loads(headwater(folder, "show", "shop.orders", "--json").stdout)
        assert (shown["rows"], shown["columns"][0]["name"]) == (before[0]["n"], "id")
        assert headwater(folder, "status", "--json").returncode == 0
        assert headwater(folder, "draw").returncode == 0
    assert all(result.status is Status.SKIPPED for result in run(folder).values())
    assert count(folder, "select count(*) as n from shop.orders")[0]["n"] > before[0]["n"]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select nope from shop.orders", "nope"),
        ("select 1; select 2", "one"),
        ("drop table shop.orders", "SELECT"),
        ("select * from read_csv('x.csv')", "outside the project"),
        ("from shop.nothing", "no dataset is named"),
    ],
)
def test_what_cannot_be_asked(folder: Path, sql: str, told: str) -> None:
    with held(folder), pytest.raises(ProjectError, match=told):
        load(folder).query(sql)


def test_the_socket_is_the_users_alone_and_goes_with_the_run(folder: Path) -> None:
    with held(folder):
        _, path = find_holder(folder / ".headwater")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        assert len(path) <= 107
    assert not Path(path).parent.exists()
    assert ask_states(path) is None
    assert ask_query(path, "select 1") is None


def test_what_a_killed_run_leaves_is_cleared_by_the_next(folder: Path) -> None:
    with held(folder) as holder:
        _, path = find_holder(folder / ".headwater")
        holder.send_signal(signals.SIGKILL)
        holder.wait()
        assert Path(path).is_socket()
        assert count(folder, "select count(*) as n from shop.orders")
    run(folder)
    assert not Path(path).exists()


def test_a_question_that_is_none_does_no_harm(folder: Path) -> None:
    import socket

    with held(folder) as holder:
        _, path = find_holder(folder / ".headwater")
        for sent in (b"", b"\n", b"{}\n", b"not json\n", b"[1]\n", b'{"ask": "query"}\n'):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(path)
                asking.sendall(sent)
                asking.shutdown(socket.SHUT_WR)
                asking.recv(1_000)
        assert holder.poll() is None
        assert count(folder, "select 1 as one from shop.orders limit 1") == [{"one": 1}]
    assert holder.returncode == 0


def test_a_file_that_another_program_holds_is_busy_still(folder: Path) -> None:
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('there', flush=True); sys.stdin.read()"
    file = str(folder / "data" / "warehouse.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        with pytest.raises(BusyError) as caught:
            load(folder).query("select 1 from shop.orders")
        assert caught.value.process_id == other.pid
        other.communicate("")
