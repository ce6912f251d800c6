"""Whole runs that are stopped at changes of the stores while a copy of the project runs and maintains."""

from __future__ import annotations

import os
import random
import shutil
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import HeadwaterError
from tests.run.kill import NOW, _context, read_tables, run_child
from tests.run.test_kill import make
from tests.storage.zombies import Watch, stop_at

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

LATER = NOW + timedelta(days=1)

CASES = [
    ("files", "lake", "append"),
    ("files", "lakehouse", "merge"),
    ("sqlite", "lakehouse", "append"),
    ("models", "lakehouse", "all"),
    ("files", "warehouse", "merge"),
]


def _run(sender: Connection, folder: str, maintain: bool) -> None:
    """Run once the word is given; send the status of each step, or why it could not be."""
    from headwater.api import load
    from headwater.workspace import access

    access.HELD_S = 0.0
    sender.send(os.getpid())
    sender.recv()
    said: Any
    try:
        run = load(folder).run(now=LATER, workers=1)
        said = {result.step: (result.status.value, result.error) for result in run.results}
        if maintain:
            load(folder).maintain(age_s=0.0)
    except HeadwaterError as error:
        said = str(error)
    except BaseException as error:
        said = f"unexplained {type(error).__name__}: {error}"
    sender.send(said)


def _start(folder: Path, *, maintain: bool = False) -> tuple[Any, Connection, int]:
    mine, theirs = _context().Pipe()
    child = _context().Process(target=_run, args=(theirs, str(folder), maintain))
    child.start()
    theirs.close()
    return child, mine, mine.recv()


def _share(folder: Path, stores: Path) -> None:
    """Have a project keep its stores elsewhere."""
    lines = [f"  {kind}: {{path: {stores / kind}}}" for kind in ("lake", "lakehouse")]
    lines.append(f"  warehouse: {{path: {stores / 'warehouse.duckdb'}}}")
    with (folder / "headwater.yaml").open("a") as file:
        file.write("\n".join(["stores:", *lines, ""]))


def meet(changed: Path, work: Path, at: int, *, maintain: bool, wanted: dict[str, list[Any]]) -> bool:
    """Stop a run at a change of the stores, let a copy run and maintain, let it go on, and compare."""
    from headwater.api import load

    shutil.rmtree(work, ignore_errors=True)
    one, other = shutil.copytree(changed, work / "one"), shutil.copytree(changed, work / "other")
    stores = shutil.copytree(changed / "data", work / "stores")
    for folder in (one, other):
        _share(folder, stores)
    zombie, told, pid = _start(one)
    watch = Watch(stores)
    told.send("go")
    stopped, _ = stop_at(pid, watch, at, told.poll)
    watch.close()
    rival: Any = None
    if stopped:
        child, rivals, _ = _start(other, maintain=maintain)
        rivals.send("go")
        rival = rivals.recv()
        child.join()
        os.kill(pid, signal.SIGCONT)
    said = told.recv()
    zombie.join()
    context = f"stopped at {at}: {said}, the other: {rival}"
    assert "unexplained" not in str((said, rival)), context
    loaded = load(other)
    assert [name for name, state in loaded.states().items() if state.foreign] == [], context
    read_tables(loaded)
    for folder in (one, other):
        again = run_child(folder, now=LATER)
        assert again.code == 0, context
        assert again.tables == wanted, context
    return stopped


def prepare(kind: str, store: str, mode: str, tmp_path: Path) -> tuple[Path, dict[str, list[Any]]]:
    """Return a project that was run and whose source has changed since, and its tables as they are to be."""
    changed, change = make(kind, store, mode, tmp_path / "changed")
    assert run_child(changed).code == 0
    change(changed)
    wanted = run_child(shutil.copytree(changed, tmp_path / "whole"), now=LATER)
    assert wanted.code == 0
    return changed, wanted.tables


@pytest.mark.parametrize(("kind", "store", "mode"), [CASES[0], CASES[1], CASES[4]])
def test_a_moment(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    changed, wanted = prepare(kind, store, mode, tmp_path)
    at = random.Random(store).randrange(2, 12)
    meet(changed, tmp_path / "work", at, maintain=True, wanted=wanted)


@pytest.mark.kill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "store", "mode"), CASES)
def test_every_moment(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    """At least twenty stops: every change in turn, as long as the run is not at its end."""
    changed, wanted = prepare(kind, store, mode, tmp_path)
    chance = random.Random(f"every {kind} {store} {mode}")
    stops = at = 0
    while stops < 20:
        at += 1
        stopped = meet(changed, tmp_path / "work", at, maintain=bool(chance.randrange(2)), wanted=wanted)
        stops += stopped
        at = at if stopped else 0
