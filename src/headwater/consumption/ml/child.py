"""The process in which a model is trained and measured, or asked for scores: `process.run_child` starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from headwater.consumption.ml import tasks
from headwater.consumption.ml.artefact import MODEL
from headwater.consumption.ml.failures import explain_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST = "request.json"
ANSWER = "answer.json"


def main(folder: str) -> None:
    """Do what `request.json` in a folder asks, and answer by `answer.json`; the process ends here.

    Training is done in a fork of its own, so that what measures the model has not run the user's Python before, and
    what is measured is what any other process will find in the file.
    """
    alive = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    place = Path(folder)
    request: dict[str, Any] = json.loads((place / REQUEST).read_text(encoding="utf-8"))
    tasks.import_libraries()
    if request["task"] == tasks.LEARN:
        trained = place / "trained.json"
        code = _fork(request, place, trained, alive)
        answer: dict[str, Any] = json.loads(trained.read_text(encoding="utf-8")) if trained.exists() else {"died": code}
        if "failed" in answer or "died" in answer:
            _answer(answer, place / ANSWER)
        request = request | answer | {"task": tasks.MEASURE, "model": str(place / MODEL)}
    _watch(alive)
    _do(request, place, place / ANSWER)


def _fork(request: dict[str, Any], place: Path, answer: Path, alive: int) -> int:
    """Train in a fork and return how it ended."""
    process_id = os.fork()
    if process_id == 0:
        _watch(alive)
        _do(request | {"task": tasks.TRAIN}, place, answer)
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def _do(request: Mapping[str, Any], place: Path, answer: Path) -> NoReturn:
    try:
        found = tasks.TASKS[request["task"]](request, place)
    except BaseException as error:  # the boundary: whatever the user's Python raises is reported
        found = {"failed": explain_failure(error, request, tasks.SEEN)}
    _answer(found, answer)


def _answer(answer: Mapping[str, object], path: Path) -> NoReturn:
    """Write an answer and end the process, whatever threads the user has left behind."""
    try:
        written = path.with_suffix(".part")
        written.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
        written.replace(path)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:  # the user may have put something else in the place of a stream
        os._exit(0)


def _watch(alive: int) -> None:
    """Die when the parent has died: it holds the other end of a pipe open."""

    def wait() -> None:
        while os.read(alive, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
