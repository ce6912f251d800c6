"""Runs killed from outside, at any moment and as a group, while others ask and run: every row is there once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import HeadwaterError
from tests.run.kill import NOW, _context, copy_project, read_tables, run_child
from tests.run.test_kill import undisturbed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

LATER = NOW + timedelta(days=1)

CASES = [
    ("files", "lakehouse", "merge"),
    ("files", "lake", "append"),
    ("files", "warehouse", "merge"),
    ("sqlite", "warehouse", "append"),
    ("models", "warehouse", "all"),
    ("models", "lakehouse", "all"),
]
KILLS = 50


def _lead(sender: Connection, folder: str, now: Any) -> None:
    """Run as the first of a group of processes."""
    from headwater.api import load

    os.setsid()
    sender.send(os.getpid())
    assert load(folder).run(now=now, wait=True).status == "done"


def _ask(sender: Connection, folder: str) -> None:
    """Ask until told to stop; send what was answered that should not have been."""
    from headwater.api import load

    wrong = []
    while not sender.poll():
        try:
            loaded = load(folder)
            loaded.node_statuses(NOW)
            read_tables(loaded)
        except HeadwaterError:
            continue
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
    sender.send(wrong)


def _start(target: Any, *args: Any) -> tuple[Any, Connection]:
    mine, theirs = _context().Pipe()
    child = _context().Process(target=target, args=(theirs, *args))
    child.start()
    theirs.close()
    return child, mine


@pytest.mark.kill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "store", "mode"), CASES)
def test_killed_from_outside(kind: str, store: str, mode: str, tmp_path: Path) -> None:
    """Fifty kills: a group at a time, now and then with another run that waits its turn and is not killed."""
    fresh, changed, tables, _ = undisturbed(kind, store, mode, tmp_path)
    chance = random.Random(f"outside {kind} {store} {mode}")
    usual_s = min(run_child(copy_project(fresh, tmp_path / "work"), now=NOW).lasted_s, 2.0)
    kills = 0
    while kills < KILLS:
        stage = chance.randrange(2)
        now = (NOW, LATER)[stage]
        folder = copy_project((fresh, changed)[stage], tmp_path / "work")
        asker, asking = _start(_ask, str(folder))
        for _ in range(chance.choice([1, 2, 3])):
            child, told = _start(_lead, str(folder), now)
            group = told.recv()
            other = _start(_lead, str(folder), now) if not chance.randrange(4) else None
            time.sleep(chance.uniform(0.0, 1.2 * usual_s))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            child.join()
            kills += child.exitcode == -signal.SIGKILL
            if other is not None:
                other[0].join()
                assert other[0].exitcode == 0
        asking.send("enough")
        wrong = asking.recv()
        asker.join()
        assert wrong == []
        again = run_child(folder, now=now)
        assert again.code == 0, f"the run after {kills} kills failed"
        assert again.tables == tables[stage], f"differs after {kills} kills"
