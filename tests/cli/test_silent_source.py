"""A source that takes the connection and never answers: its own limits end the wait, and so does Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Call


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that nobody hears from."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def write(folder: Path, server: socket.socket, limit_s: int) -> None:
    (folder / "sources").mkdir()
    (folder / "headwater.yaml").write_text("name: silent\n")
    port = server.getsockname()[1]
    connection = f"{{host: 127.0.0.1, port: {port}, user: u, dbname: d, connect_timeout: {limit_s}}}"
    (folder / "sources/db.yaml").write_text(f"kind: postgres\nconnection: {connection}\ntables: {{t: {{}}}}\n")


def test_check_says_what_it_did_not_check(call: Call, tmp_path: Path, silent: socket.socket) -> None:
    write(tmp_path, silent, 2)
    checked = call("check", "--strict")
    assert checked.code == 2
    assert "note: source db cannot be reached" in checked.text
    assert "no problems in what was checked, 1 not" in checked.text


def test_ctrl_c_ends_the_wait(tmp_path: Path, silent: socket.socket) -> None:
    write(tmp_path, silent, 600)
    code = "from headwater.cli import main\nmain()"
    child = subprocess.Popen([sys.executable, "-c", code, "check"], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        client, _ = silent.accept()
        with client:
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode not in (0, None)
    assert b"Traceback" not in told
