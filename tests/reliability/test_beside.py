"""Asking while a run holds the warehouse: query, plan, show and status answer, and nothing of the run is disturbed."""

from __future__ import annotations

import json
import os
import resource
import signal as signals
import socket
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.run import Status
from headwater.errors import BusyError, ProjectError
from headwater.state import find_holder
from headwater.temporary import folder_named, temporary_folder
from headwater.workspace.access import Access
from headwater.workspace.live_query import ask_query, ask_states
from tests.reliability.test_two_runs import PAUSED, run, wait_for
from tests.run.projects import change_files, files_project, write
from tests.waiting import cpu_s, wait_until

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


def place(folder: Path) -> Path:
    """Where the run of a project can be asked."""
    found = folder_named(folder, find_holder(folder / ".headwater")[1])
    assert found is not None
    return found


@contextmanager
def connected(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(os.path.relpath(place(folder) / "q"))  # a short spelling, as a socket needs it
        yield asking


def test_the_socket_is_the_users_alone_and_goes_with_the_run(folder: Path) -> None:
    with held(folder):
        there = place(folder)
        assert there.parent == folder / ".headwater" / "tmp"
        assert stat.S_IMODE(os.stat(there / "q").st_mode) == 0o600
        assert stat.S_IMODE(os.stat(there).st_mode) == 0o700
    assert not there.exists()
    assert ask_states(str(folder), there.name) is None
    with ExitStack() as stack:
        assert ask_query(str(folder), there.name, "select 1", "arrow", stack) is None


def test_a_run_deep_in_the_file_system_is_asked_as_well(tmp_path: Path) -> None:
    folder = files_project(tmp_path / ("deep" * 20) / ("er" * 40) / "project", "warehouse", "append")
    run(folder)
    change_files(folder, "append")
    before = count(folder, "select count(*) as n from shop.orders")
    with held(folder):
        assert count(folder, "select count(*) as n from shop.orders") == before


def test_what_a_killed_run_leaves_is_cleared_by_the_next_command(folder: Path) -> None:
    with held(folder) as holder:
        there = place(folder)
        holder.send_signal(signals.SIGKILL)
        holder.wait()
        assert (there / "q").is_socket()
        assert count(folder, "select count(*) as n from shop.orders")
        assert not there.exists()


def test_a_question_that_is_none_does_no_harm(folder: Path) -> None:
    deep = b'{"sql": ' + b"[" * 200_000 + b"\n"
    with held(folder) as holder:
        for sent in (b"", b"\n", b"{}\n", b"not json\n", b"[1]\n", b'{"ask": "query"}\n', deep, b"x" * 1_100_000):
            with connected(folder) as asking, suppress(OSError):
                asking.sendall(sent)
                asking.shutdown(socket.SHUT_WR)
                asking.recv(1_000)
        assert holder.poll() is None
        assert count(folder, "select 1 as one from shop.orders limit 1") == [{"one": 1}]
    assert holder.returncode == 0


def test_a_crafted_lease_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    """Whoever can write the lease has nobody connect to a socket or remove a folder that no process of ours made."""
    elsewhere = tmp_path / "headwater-elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "kept").touch()
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(elsewhere / "q"))
        trap.listen()
        trap.settimeout(0)
        (folder / ".headwater" / "tmp").mkdir(exist_ok=True)
        (folder / ".headwater" / "tmp" / "1-00000000").symlink_to(elsewhere)
        for name in (str(elsewhere), "../../../headwater-elsewhere", "1-00000000", "", "\0", 7):
            lease = {"process_id": os.getpid(), "folder": name, "socket": str(elsewhere / "q")}
            (folder / ".headwater" / "lease").write_text(json.dumps(lease))
            assert ask_states(str(folder), str(find_holder(folder / ".headwater")[1])) is None
            assert load(folder).states()
        with pytest.raises(BlockingIOError):
            trap.accept()
    run(folder)
    assert (elsewhere / "kept").exists()


LONG = "select sum(a.range * b.range % 7) from range(10000000) a, range(1000000) b"


def test_the_end_of_a_run_breaks_off_what_it_is_asked(folder: Path) -> None:
    """A question that takes for ever, and askers who say nothing: all are let go when the run ends."""
    with ExitStack() as stack:
        with held(folder) as holder:
            asking, *silent = [stack.enter_context(connected(folder)) for _ in range(20)]
            begun_s = cpu_s(holder.pid)
            asking.sendall(json.dumps({"ask": "query", "sql": LONG}).encode() + b"\n")
            wait_until(lambda: cpu_s(holder.pid) > begun_s + 0.3)
        assert holder.returncode == 0
        assert asking.makefile().read() == '{"heard": true}\n'
        assert [one.recv(10) for one in silent] == [b""] * 19


def test_an_answer_is_whole_or_asked_for_again(folder: Path) -> None:
    """Who is being answered when the run ends reads it all anew, and no row is missing or there twice."""
    many = "select o.id, n.range from shop.orders o, range(100000) n"
    with held(folder):
        command = [sys.executable, "-m", "headwater", "-p", str(folder), "query", many, "--format", "csv"]
        asked = subprocess.Popen([*command, "-o", "out.csv"])
        wait_until(lambda: bool(list(Path.cwd().glob("out.csv.*"))))
    assert asked.wait(120) == 0
    there = count(folder, f"select count(*) as n from ({many})")[0]["n"]
    assert Path("out.csv").read_bytes().count(b"\n") - 1 in (there, there - 2 * 100_000)
    assert not list(Path.cwd().glob("out.csv.*"))


def test_a_large_answer_is_never_held_whole(folder: Path) -> None:
    """The rows go out as they come: neither who asks nor the run has more than a few batches of them in memory."""
    command = [sys.executable, "-m", "headwater", "-p", str(folder), "query", "-o", "out", "--format", "arrow"]
    with held(folder) as holder:
        before = peak_kb(holder.pid)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        subprocess.run([*command, "select range as a, range * 2 as b from range(12000000)"], check=True)
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - usage < 100_000
        assert peak_kb(holder.pid) - before < 100_000
    assert Path("out").stat().st_size > 12_000_000 * 16


def peak_kb(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_question_in_the_first_moments_of_a_run_is_answered(folder: Path) -> None:
    """From its lease on, before anything is planned: the run is waiting for a source that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        write(folder, {"sources/db.yaml": f"kind: postgres\nconnection: postgresql://u@127.0.0.1:{port}/d\n"
                       "tables: {t: {columns: {a: integer}}}\n"})  # fmt: skip
        begun = subprocess.Popen([sys.executable, "-m", "headwater", "-p", str(folder), "run"])
        try:
            client, _ = silent.accept()
            with client:
                assert count(folder, "select count(*) as n from shop.orders")[0]["n"] == 4
                assert begun.poll() is None
        finally:
            begun.kill()
            begun.wait()


def test_a_question_shows_nobody_else_its_view_of_a_table(tmp_path: Path) -> None:
    """A question is answered from the tables as they were when it was asked; a step reads them as they are now."""
    folder = files_project(tmp_path / "lakehouse", "lakehouse", "append")
    run(folder)
    before = load(folder).states()
    change_files(folder, "append")
    run(folder)
    access = Access(load(folder).project)
    many = "select count(*) from shop.orders"
    with access.reading() as (session, connectors), session.aside() as aside:
        catalogue = access.catalogue(session, connectors, load(folder).states())
        catalogue.show("shop.orders")
        replace(catalogue, session=aside, states=before).show("shop.orders")
        found = [one.cursor().execute(many).fetchall()[0][0] for one in (session, aside)]
    assert found == [6, 4]


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


def test_a_run_that_is_stopped_is_not_waited_for_without_end(folder: Path) -> None:
    with held(folder) as holder:
        holder.send_signal(signals.SIGSTOP)
        try:
            asked = headwater(folder, "query", "select 1 as a from shop.orders")
        finally:
            holder.send_signal(signals.SIGCONT)
    assert asked.returncode == 3
    assert f"process {holder.pid}" in asked.stderr


def test_who_is_turned_away_keeps_nothing_open(folder: Path) -> None:
    with temporary_folder(folder) as place, socket.socket(socket.AF_UNIX) as listener, ExitStack() as stack:
        listener.bind(os.path.relpath(place / "q"))
        listener.listen(32)

        def turn_away() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        turning = threading.Thread(target=turn_away, daemon=True)
        turning.start()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            assert ask_query(str(folder), place.name, "select 1", "text", stack) is None
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        listener.shutdown(socket.SHUT_RDWR)
        turning.join(10)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_answer_that_breaks_off_behind_rows_is_told_beside_them(folder: Path, form: str) -> None:
    broken = "select case when range > 500000 then error('here it ends') else range end as n from range(1000000)"
    done = headwater(folder, "query", broken, "--format", form)
    assert done.returncode == 2
    assert "here it ends" in done.stderr
    assert "here it ends" not in done.stdout
    assert done.stdout.count("\n") > 100_000
    kept = headwater(folder, "query", broken, "--format", form, "-o", "out")
    assert kept.returncode == 2
    assert not Path("out").exists()


def test_a_pipe_is_written_as_it_is_and_a_file_keeps_its_mode(folder: Path) -> None:
    Path("kept.csv").touch(mode=0o600)
    assert headwater(folder, "query", "select 1 as a", "--format", "csv", "-o", "kept.csv").returncode == 0
    assert (stat.S_IMODE(Path("kept.csv").stat().st_mode), Path("kept.csv").read_text()) == (0o600, "a\n1\n")
    piped = headwater(folder, "query", "select 1 as a", "--format", "csv", "-o", "/dev/stdout")
    assert (piped.returncode, piped.stdout) == (0, "a\n1\n")
