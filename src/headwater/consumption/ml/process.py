"""A process of its own for a user's Python: whatever becomes of it, this one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import headwater
from headwater.consumption.ml.child import ANSWER, REQUEST
from headwater.core.texts import visible
from headwater.errors import StepError, UserCodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KEPT_BYTES = 1 << 16
_TOLD_LINES = 20
_TOLD_CHARACTERS = 2000
_READ_BYTES = 1 << 16
_LEFT_OPEN_S = 2.0
"""How long output is waited for that a process which left our group still holds open."""

_START = "import sys; sys.path.append(sys.argv[2]); from headwater.consumption.ml.child import main; main(sys.argv[1])"


def run_child(request: Mapping[str, Any], folder: Path, hide: Callable[[str], str] = str) -> tuple[dict[str, Any], str]:
    """Have a request answered by a new process that works in a folder.

    It runs as long as it takes; when this process is interrupted or dies, it dies too, with all that it has started.

    Args:
        request: What is to be done, as JSON, with `task`, `root`, `file` and `function` (see `tasks`).
        folder: An empty folder for it.
        hide: What takes values of rows out of what was printed.

    Returns:
        The answer, and the last lines of what was printed.

    Raises:
        UserCodeError: The user's Python failed; with its file and line.
        StepError: The process died.
    """
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    process = start_child(folder)
    assert process.stdout is not None
    assert process.stdin is not None
    kept: deque[bytes] = deque()
    reading = threading.Thread(target=_keep_the_end, args=(process.stdout, kept), daemon=True)
    reading.start()
    try:
        code = process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started, or itself when we are interrupted
        process.wait()
        reading.join(_LEFT_OPEN_S)
        process.stdin.close()
        if not reading.is_alive():
            process.stdout.close()
    printed = hide(_last_lines(b"".join(kept))) if kept else ""
    return _answer_of(folder, code, request, printed), printed


def start_child(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that answers the request in a folder, in a session of its own."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    package = str(Path(headwater.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, str(folder), package],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        start_new_session=True,
    )  # fmt: skip


def new_folder(temporary: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a folder for one process, to be used as a context."""
    temporary.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=temporary, prefix="ml-")


def _keep_the_end(stream: IO[bytes], kept: deque[bytes]) -> None:
    size = 0
    while part := os.read(stream.fileno(), _READ_BYTES):
        kept.append(part)
        size += len(part)
        while size - len(kept[0]) >= _KEPT_BYTES:
            size -= len(kept.popleft())


def _last_lines(printed: bytes) -> str:
    lines = printed[-_KEPT_BYTES:].decode("utf-8", "replace").splitlines()
    return visible("\n".join(lines[-_TOLD_LINES:]))[-_TOLD_CHARACTERS:]


def _answer_of(folder: Path, code: int, request: Mapping[str, Any], printed: str) -> dict[str, Any]:
    shown = f"\n{printed}" if printed else ""
    try:
        answer: dict[str, Any] = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        answer = {"died": code}
    if "died" in answer:
        killed = answer["died"] == -signal.SIGKILL
        raise StepError(
            f"the process of {request['function']}() {_how_it_ended(answer['died'])}{shown}",
            fix="give it less data, or more memory" if killed else "see what it calls outside of Python",
            path=request["file"],
        )
    if failed := answer.get("failed"):
        raise UserCodeError(f"{failed['what']}{shown}", fix=failed["fix"], path=failed["path"], line=failed["line"])
    return answer


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} before it had answered"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"was killed by {name}{', as is done when memory runs out' if -code == signal.SIGKILL else ''}"
    return f"was killed by signal {-code}"
