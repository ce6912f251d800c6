"""Ctrl-C: whatever a command is doing, the first one ends it soon and the second at once, with exit code 130."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.services.http import Reply, serve
from tests.waiting import cpu_s, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAF = """
import sys, time, threading
from headwater.cli import group, main
def invoke(*_):
    while True:
        try:
            print("there", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            pass
group.invoke = invoke
sys.argv = ["headwater", "status"]
main()
"""
"""A command that no Ctrl-C reaches."""


@contextmanager
def begun(*command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def headwater(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "headwater", "-p", str(folder), *arguments]


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"headwater.yaml": "name: stops\n", **files}.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def ends(child: subprocess.Popen[bytes]) -> str:
    """Press once; return what was said. Without an end, the test hangs until its limit and fails."""
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=20)
    assert child.returncode == 130, told
    assert b"Traceback" not in told
    return told.decode()


@pytest.mark.parametrize("presses", [1, 2])
def test_a_command_that_hears_nothing_ends(tmp_path: Path, presses: int) -> None:
    with begun(sys.executable, "-c", DEAF, folder=tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        for _ in range(presses - 1):
            child.send_signal(signal.SIGINT)
        assert "stopped" in ends(child)


LONG = "select sum(a.range * b.range % 7) from range(10000000) a, range(1000000) b"


def test_a_query_ends(tmp_path: Path) -> None:
    folder = project(tmp_path, {})
    with begun(*headwater(folder, "query", LONG), folder=tmp_path) as child:
        wait_until(lambda: cpu_s(child.pid) > 3)
        ends(child)


def test_a_run_ends_in_the_middle_of_a_model_and_the_next_goes_on(tmp_path: Path) -> None:
    folder = project(tmp_path, {"models/m/one.sql": "select 1 as a", "models/m/two.sql": f"{LONG}\n"})
    with begun(*headwater(folder, "run", "--log", "json"), folder=tmp_path) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if b"m.one" in line and b"finished" in line:
                break
        ends(child)
    (folder / "models/m/two.sql").write_text("select 2 as a")
    done = subprocess.run(headwater(folder, "run"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


REST = """kind: rest
connection: {url}
timeout: 60s
tables:
  t: {{path: /t, load: full, columns: {{a: integer}}}}
"""


def test_a_run_ends_while_an_api_asks_to_wait(tmp_path: Path) -> None:
    with serve() as server:
        server.routes["/t"] = lambda _: Reply(b"later", status=429, headers={"Retry-After": "60"})
        folder = project(tmp_path, {"sources/api.yaml": REST.format(url=server.url)})
        with begun(*headwater(folder, "run"), folder=tmp_path) as child:
            wait_until(lambda: any(asked.path == "/t" for asked in server.asked))
            ends(child)


def dripping(listener: socket.socket, head: bytes, asked: threading.Event) -> None:
    """Answer every connection with a beginning and then a byte now and then, for ever."""

    def drip(client: socket.socket) -> None:
        with client:
            try:
                client.recv(65_536)
                asked.set()
                client.sendall(head)
                while True:
                    client.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                return

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=drip, args=(client,), daemon=True).start()


HEADS = {
    "header": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n[",
}


@pytest.mark.parametrize("what", list(HEADS))
def test_a_run_ends_while_an_answer_drips(tmp_path: Path, what: str) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=dripping, args=(listener, HEADS[what], asked), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        folder = project(tmp_path, {"sources/api.yaml": REST.format(url=url)})
        with begun(*headwater(folder, "run"), folder=tmp_path) as child:
            assert asked.wait(60)
            ends(child)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("what", list(HEADS))
def test_an_answer_that_drips_is_given_up(tmp_path: Path, what: str) -> None:
    """Each read has something to read, so only a limit for the whole answer ends it."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=dripping, args=(listener, HEADS[what], asked), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        text = REST.format(url=url).replace("timeout: 60s", "timeout: 0.1s\nretries: 0")
        folder = project(tmp_path, {"sources/api.yaml": text})
        done = subprocess.run(headwater(folder, "run"), capture_output=True, text=True, check=False, timeout=50)
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1
    assert "Timeout" in done.stdout + done.stderr
