"""The process in which a user's `train` runs, and those that ask what it has made: `process.run_child` starts them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.consumption.ml import tasks
from headwater.consumption.ml.failures import explain_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST = "request.json"
ANSWER = "answer.json"


def main(folder: str) -> None:
    """Do what `request.json` in a folder asks, and answer by `answer.json`; the process ends here."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    place = Path(folder)
    request: dict[str, Any] = json.loads((place / REQUEST).read_text(encoding="utf-8"))
    try:
        answer = tasks.TASKS[request["task"]](request, place)
    except BaseException as error:  # the boundary: whatever the user's Python raises is reported
        answer = {"failed": explain_failure(error, request, tasks.SEEN)}
    _answer(answer, place)


def _answer(answer: Mapping[str, object], place: Path) -> None:
    written = place / f"{ANSWER}.part"
    written.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    written.replace(place / ANSWER)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(0)  # threads that the user has left behind do not hold it


def _end_with_the_parent() -> None:
    """Die when the parent has died: it holds the other end of our standard input open."""
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)
