"""Killing a run: the child process ends at the nth event, by its own SIGKILL, or at any moment, by an alarm.

The alarm (SIGALRM with its default action) is the kernel's: nothing of the process runs any more, as with SIGKILL.
Children come from a fork server that has everything imported (`preloaded.py`), so a run costs tenths of a second.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.project import SourceTable

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from multiprocessing.context import ForkServerContext

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HIDDEN = {"_batch", "_loaded_at"}
ALL = 10**9


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.run.preloaded"])
    return context


def _run(folder: str, kill: Kill, counted: Any, answers: Any) -> None:
    """Run the project; count events, and be killed at the event or the moment; then send its tables."""
    from headwater.api import load

    def listen(event: Any) -> None:
        counted.value += 1
        if counted.value == kill.at:
            os.kill(os.getpid(), signal.SIGKILL)

    for place, value in kill.settings.items():
        module, _, name = place.rpartition(".")
        setattr(importlib.import_module(module), name, value)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, kill.after_s)
    began = time.monotonic()
    run = load(folder).run(listeners=[listen], now=kill.now, workers=1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    lasted_s = time.monotonic() - began
    if run.status != "done":
        for result in run.results:
            print(result.step, result.status, result.reason, result.error)
        os._exit(7)
    answers.send((read_tables(load(folder)), lasted_s))
    answers.close()


@dataclass(frozen=True)
class Kill:
    """When a run is killed, if at all, and constants of the product that it has otherwise (`module.name` to value)."""

    at: int = ALL
    after_s: float = 0.0
    now: datetime = NOW
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a child ended: exit code (negative: the signal that killed it), events it emitted, tables afterwards."""

    code: int
    events: int
    tables: dict[str, list[Any]] = field(default_factory=dict)
    lasted_s: float = 0.0

    @property
    def killed(self) -> bool:
        return self.code in (-signal.SIGKILL, -signal.SIGALRM)


def run_child(folder: Path, at: int = ALL, now: datetime = NOW, **more: Any) -> Outcome:
    """Run the project in a child process that is killed at event `at`, or `after_s`."""
    counted = _context().Value("q", 0, lock=False)
    mine, theirs = _context().Pipe(duplex=False)
    child = _context().Process(target=_run, args=(str(folder), Kill(at, now=now, **more), counted, theirs))
    child.start()
    theirs.close()
    tables: dict[str, list[Any]] = {}
    lasted_s = 0.0
    with contextlib.suppress(EOFError):
        tables, lasted_s = mine.recv()
    child.join()
    return Outcome(child.exitcode or 0, counted.value, tables, lasted_s)


@dataclass(frozen=True)
class Source:
    """A source that changes while it is followed.

    Attributes:
        folder: The project.
        fresh: The project as it was before it ever ran.
        change: Changes the source.
        check: Compares what landed with what the source has.
        settings: Constants of the product that its runs have otherwise.
        disturbed: While it is entered, the source fails now and then: a run may then end without being done.
    """

    folder: Path
    fresh: Path
    change: Callable[[], None]
    check: Callable[[dict[str, list[Any]]], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    disturbed: Callable[[], AbstractContextManager[None]] | None = None


def kill_at_random(source: Source, chance: random.Random, kills: int = 100) -> int:
    """Kill runs while the source goes on; after each series of kills what landed has to be what the source has.

    Every second kill is at a random event, the others at a random moment. A series has one to three kills, the source
    changes now and then between them, and every sixth series begins with the first load.
    """
    copy_project(source.fresh, source.folder)
    run_well(source)
    source.change()
    usual = run_well(source)
    done = 0
    while done < kills:
        if not chance.randrange(6):
            copy_project(source.fresh, source.folder)
        source.change()
        for _ in range(chance.choice([1, 1, 2, 3])):
            at, after_s = chance.randrange(1, usual.events + 1), 0.0
            if chance.randrange(2):
                at, after_s = ALL, chance.uniform(0.02, usual.lasted_s)
            disturbed = source.disturbed if not chance.randrange(3) else None
            with disturbed() if disturbed else contextlib.nullcontext():
                killed = run_child(source.folder, at, after_s=after_s, settings=source.settings)
            assert killed.killed or killed.code == 0 or disturbed, f"a run failed after {done} kills"
            done += killed.killed
            if not chance.randrange(3):
                source.change()
        run_well(source)
        source.check(run_well(source).tables)
    return done


def run_well(source: Source) -> Outcome:
    """Run the project undisturbed."""
    found = run_child(source.folder, settings=source.settings)
    assert found.code == 0, "an undisturbed run failed"
    return found


def read_tables(loaded: Any) -> dict[str, list[Any]]:
    """Read every stored dataset, with its system columns where it has them, and every quarantine."""
    found = {}
    project = loaded.project
    names = {name: f"system.{name.replace('.', '__', 1)}" for name in project.declared(SourceTable)}
    made = (name for name, one in project.datasets.items() if one.is_stored and not one.is_loaded)
    names |= {name: name for name in made}
    names |= {
        f"rejects of {name}": f"quarantine.{name.replace('.', '__', 1)}" for name in project.declared(SourceTable)
    }
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
    return found | read_artefacts(loaded, states)


def read_artefacts(loaded: Any, states: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Read what consumers have made; a page without its foot, a model by its version and the rows it was trained on."""
    import pyarrow.parquet as pq

    found: dict[str, list[Any]] = {}
    for name in loaded.project.consumers:
        if name not in states or states[name].commit is None:
            found[name] = ["nothing"]
            continue
        place = Path(states[name].location)
        assert (place.parent / "latest").resolve() == place.resolve()
        pages = [path.read_text().partition("<footer")[0] for path in sorted(place.glob("*.html"))]
        rows = [
            tuple(map(str, row.values())) for path in place.glob("*.parquet") for row in pq.read_table(path).to_pylist()
        ]
        version = states[name].position.get("details", {}).get("model_version", "")
        found[name] = [version, *pages, *sorted(rows)]
    return found


def copy_project(folder: Path, target: Path) -> Path:
    """Copy a project with its data and journal."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target
