"""Killing a run at its boundaries: the child process ends itself with SIGKILL at the nth event.

Children come from a fork server that has the heavy imports loaded, so a run costs tenths of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HIDDEN = {"_batch", "_loaded_at"}
ALL = 10**9


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["headwater.api", "duckdb", "pyarrow.parquet", "deltalake", "sqlite3"])
    return context


def _run(folder: str, at: int, counted: Any, now: datetime, answers: Any) -> None:
    """Run the project; count events, and be killed when the count reaches `at`; then send its tables."""
    from headwater.api import load

    def listen(event: Any) -> None:
        counted.value += 1
        if counted.value == at:
            os.kill(os.getpid(), signal.SIGKILL)

    run = load(folder).run(listeners=[listen], now=now, workers=1)
    if run.status != "done":
        for result in run.results:
            print(result.step, result.status, result.reason, result.error)
        os._exit(7)
    answers.send(read_tables(load(folder)))
    answers.close()


@dataclass(frozen=True)
class Outcome:
    """How a child ended: exit code (negative: the signal that killed it), events it emitted, tables afterwards."""

    code: int
    events: int
    tables: dict[str, list[Any]] = field(default_factory=dict)


def run_child(folder: Path, at: int = ALL, now: datetime = NOW) -> Outcome:
    """Run the project in a child process that is killed at event `at`."""
    counted = _context().Value("q", 0, lock=False)
    mine, theirs = _context().Pipe(duplex=False)
    child = _context().Process(target=_run, args=(str(folder), at, counted, now, theirs))
    child.start()
    theirs.close()
    try:
        tables: dict[str, list[Any]] = mine.recv()
    except EOFError:
        tables = {}
    child.join()
    return Outcome(child.exitcode or 0, counted.value, tables)


def read_tables(loaded: Any) -> dict[str, list[Any]]:
    """Read every stored dataset, with its system columns where it has them, and every quarantine."""
    found = {}
    project = loaded.project
    names = {name: f"system.{name.replace('.', '__', 1)}" for name in project.sources}
    names |= {name: name for name, model in project.models.items() if not model.is_view}
    names |= {f"rejects of {name}": f"quarantine.{name.replace('.', '__', 1)}" for name in project.sources}
    states = loaded.states()
    for label, name in names.items():
        dataset = label.removeprefix("rejects of ")
        if dataset not in states or states[dataset].commit is None:
            found[label] = ["no table"]
            continue
        table = loaded.query(f"select * from {name}")
        kept = sorted(column for column in table.column_names if column not in HIDDEN)
        rows = [tuple(str(row[column]) for column in kept) for row in table.to_pylist()]
        found[label] = [tuple(kept), *sorted(rows)]
    return found


def copy_project(folder: Path, target: Path) -> Path:
    """Copy a project with its data and journal."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target
