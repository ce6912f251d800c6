"""Run by a Python that has another package on its path: kill runs of a project at every third event, and run on.

Each run is a fork of this process, which has imported everything and done nothing. Printed as JSON: the events of an
undisturbed run, what a query answers after it, and what it answers after each kill and one more run.

    killing.py PROJECT FOLDER SQL
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.append(str(Path(__file__).parents[2]))

import tests.run.preloaded  # noqa: F401
from headwater.api import load


def fork(work: Callable[[], Any]) -> tuple[int, Any]:
    """Do it in a fork; return how that ended, and what it gave."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        given = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), json.loads(given or b"null")


def run(folder: Path, at: int = 0) -> int:
    """Run the project and return its events; at event `at` the process is killed."""
    events = 0

    def listen(_: Any) -> None:
        nonlocal events
        events += 1
        if events == at:
            os.kill(os.getpid(), signal.SIGKILL)

    assert load(folder).run(listeners=[listen], workers=1).status == "done"
    return events


def ask(folder: Path, sql: str) -> list[Any]:
    return [list(map(str, row.values())) for row in load(folder).query(sql).to_pylist()]


def main(project: Path, folder: Path, sql: str) -> None:
    whole = shutil.copytree(project, folder / "whole")
    events = fork(lambda: run(whole))[1]
    wanted, after = fork(lambda: ask(whole, sql))[1], {}
    for at in range(1, events + 1, 3):
        work = shutil.copytree(project, folder / f"at{at}")
        assert fork(lambda work=work, at=at: run(work, at))[0] == -signal.SIGKILL  # type: ignore[misc]
        assert fork(lambda work=work: run(work))[0] == 0  # type: ignore[misc]
        after[at] = fork(lambda work=work: ask(work, sql))[1]  # type: ignore[misc]
    print(json.dumps({"events": events, "wanted": wanted, "after": after}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
