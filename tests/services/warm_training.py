"""A process that has imported what a training needs and forks for each: the imports cost seconds, a fork does not.

A child is what `process.start_child` starts: it has a session of its own, its pipes, and the environment of the moment.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import headwater

_START = (
    "import sys; sys.path[:0] = sys.argv[2:]; from tests.services.warm_training import serve; serve(int(sys.argv[1]))"
)
_MESSAGE_BYTES = 1 << 20


@dataclass
class WarmChild:
    """A child of the server, used as a `subprocess.Popen`."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    control: socket.socket
    code: int | None = None

    def wait(self) -> int:
        if self.code is None:
            with self.control:
                self.code = int(self.control.recv(64).decode() or -signal.SIGKILL)
        return self.code


class WarmTraining:
    """The server; `start` stands in for `headwater.consumption.ml.process.start_child`."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = [str(Path(headwater.__file__).parents[1]), str(Path(__file__).parents[2])]
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(theirs.fileno()), *paths],
            env=environment, pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()

    def start(self, folder: Path) -> WarmChild:
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
        asked = {"folder": str(folder), "environment": environment, "cwd": os.getcwd()}
        handed = [their_input, their_output, theirs.fileno()]
        socket.send_fds(self._control, [json.dumps(asked).encode()], handed)
        for handle in (their_input, their_output):
            os.close(handle)
        theirs.close()
        pid = int(mine.recv(64))
        return WarmChild(pid, os.fdopen(our_output, "wb"), os.fdopen(our_input, "rb"), mine)

    def stop(self) -> None:
        self._control.close()
        self._server.wait()


def serve(handle: int) -> None:
    """Fork for each message until nobody is there any more; children are waited for one by one."""
    from headwater.consumption.ml import tasks

    tasks.import_libraries()
    for name in ("sklearn.linear_model", "sklearn.impute", "sklearn.pipeline", "sklearn.svm"):
        __import__(name)
    control = socket.socket(fileno=handle)
    while True:
        message, handles, *_ = socket.recv_fds(control, _MESSAGE_BYTES, 3)
        if not message:
            return
        told = socket.socket(fileno=handles[2])
        pid = os.fork()
        if pid == 0:
            control.close()
            told.close()
            _become(json.loads(message), handles[0], handles[1])
        for one in handles[:2]:
            os.close(one)
        told.send(str(pid).encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):
            told.send(str(code).encode())
        told.close()


def _become(asked: dict[str, object], reading: int, writing: int) -> None:
    """Be the process that answers a request, as if it had just been started."""
    from headwater.consumption.ml.child import main

    try:
        os.setsid()
        os.dup2(reading, 0)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        os.environ.clear()
        os.environ.update(asked["environment"])  # type: ignore[call-overload]
        os.chdir(str(asked["cwd"]))
        root = str(Path(__file__).parents[2])
        sys.path[:] = [place for place in sys.path if place != root]
        main(str(asked["folder"]))
    finally:
        os._exit(1)
