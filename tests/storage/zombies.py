"""Processes that are stopped when the files of a store change, and go on after somebody else has been there.

A file that appears, changes its name or goes below a folder is told by the system (inotify): whoever makes it, Python
or not, is stopped right then, wherever it happens to be.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.testing.stores import rows_of

from .children import _CONTEXT, make_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from headwater.testing.stores import Writer

_CREATE, _MOVED, _DELETE = 0x100, 0x40 | 0x80, 0x200
_HEAD = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Counts the changes below a folder; folders that appear are watched as well."""

    def __init__(self, folder: Path) -> None:
        self.descriptor = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.descriptor >= 0
        self._places: dict[int, Path] = {}
        self._add(folder)

    def close(self) -> None:
        os.close(self.descriptor)

    def _add(self, folder: Path) -> int:
        """Watch a folder and what is in it; return how many entries it had already."""
        number = _LIBC.inotify_add_watch(self.descriptor, os.fsencode(folder), _CREATE | _MOVED | _DELETE)
        if number < 0:
            return 0
        self._places[number] = folder
        try:
            entries = list(folder.iterdir())
        except OSError:
            return 0
        return len(entries) + sum(self._add(entry) for entry in entries if entry.is_dir())

    def count(self) -> int:
        """Return how many changes there were since it was asked last."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return 0
        found = at = 0
        while at < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
            at += _HEAD.size + length
            if not mask & (_CREATE | _MOVED | _DELETE):
                continue
            found += 1
            place = self._places.get(number)
            if mask & (_CREATE | 0x80) and mask & 0x40000000 and place is not None:
                found += self._add(place / os.fsdecode(name))
        return found


def stop_at(pid: int, watch: Watch, at: int, ended: Callable[[], bool], *, limit_s: float = 60.0) -> tuple[bool, int]:
    """Stop a process at a change; return whether it was, and how many changes there were."""
    seen, end = 0, time.monotonic() + limit_s
    while time.monotonic() < end:
        select.select([watch.descriptor], [], [], 0.02)
        seen += watch.count()
        if seen >= at:
            if not _stop(pid):
                return False, seen
            return True, seen
        if ended():
            return False, seen + watch.count()
    raise AssertionError(f"process {pid} did not end")


def _stop(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGSTOP)
        while True:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "T":
                return True
            if state in "ZX":
                return False
    except (ProcessLookupError, FileNotFoundError):
        return False


# ----------------------------------------------------------------------------------------------------- what is done

BASE = {1: "a", 2: "b", 3: "c"}


def make_table(kind: str, path: str) -> None:
    """Make a table of small loads, and leave behind what maintenance removes: replaced rows, a killed load."""
    writer = make_writer(kind, path)
    reject = "SELECT 'k{}', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    writer.write("append", rows_of({9: "gone"}), position={"n": 0})
    writer.write("replace", rows_of({1: BASE[1]}), rejects=reject.format(1), position={"n": 1})
    for number in (2, 3):
        writer.write("append", rows_of({number: BASE[number]}), rejects=reject.format(number), position={"n": number})
    writer.store.stage(writer.load("killed"), {}, "1", rows_of({8: "killed"})).finish_chunk({})
    writer.session.close()


def act(writer: Writer, what: str, number: int) -> None:
    """Do one thing to a table, by whoever is told by `number`."""
    reject = f"SELECT 'k{number}', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    if what == "append":
        writer.write("append", rows_of({number: "x"}), rejects=reject, position={"n": number})
    elif what == "staged":
        load = writer.load(f"load-{number}")
        staged = writer.store.stage(load, {}, "1", rows_of({number: "x"}))
        staged.finish_chunk({})
        writer.write("append", staged.query, parts=("1",), load=load, position={"n": number})
    elif what == "merge":
        writer.write("merge", rows_of({number: "x", 2: "b"}), key=("id",), position={"n": number})
    elif what == "replace":
        writer.write("replace", rows_of({**BASE, number: "x"}), position={"n": number})
    elif what == "wider":
        rows = f"SELECT {number}::BIGINT AS id, 'x' AS name, TIMESTAMP '2030-01-01' AS at"
        from headwater.core.commit import Column
        from headwater.testing.stores import COLUMNS

        writer.write("append", rows, columns=(*COLUMNS, Column("at", "TIMESTAMP")), position={"n": number})
    elif what == "compact":
        writer.store.maintain([writer.table], {"compact": "only"})
    elif what == "maintain":
        writer.store.maintain([writer.table], {"age_s": 0.0, "compact": True})
    elif what == "reset":
        writer.store.maintain([writer.table], {"drop": True})
        writer.write("append", rows_of({**BASE, number: "x"}), position={"n": number})


def adds(what: str) -> bool:
    """Whether what is done adds a row."""
    return what not in ("compact", "maintain")


def _be_a_zombie(sender: Connection, kind: str, path: str, what: str, number: int) -> None:
    """Say who this is, wait for the word, do one thing and tell how it went."""
    writer = make_writer(kind, path)
    writer.store.describe()
    sender.send(os.getpid())
    sender.recv()
    try:
        act(writer, what, number)
    except HeadwaterError as error:
        sender.send(f"{type(error).__name__}: {error}")
    except BaseException as error:
        sender.send(f"unexplained {type(error).__name__}: {error}")
    else:
        sender.send("done")
    writer.session.close()


def meet(kind: str, path: Path, first: str, others: list[str], at: int) -> tuple[bool, int, str]:
    """Stop a process at a change, let others come and go, let it go on, and compare.

    Returns:
        Whether it was stopped, how many changes it made, and what it said of itself.
    """
    mine, theirs = _CONTEXT.Pipe()
    child = _CONTEXT.Process(target=_be_a_zombie, args=(theirs, kind, str(path), first, 100))
    child.start()
    theirs.close()
    pid = mine.recv()
    watch = Watch(path)
    mine.send("go")
    stopped, changes = stop_at(pid, watch, at, mine.poll)
    watch.close()
    done = []
    if stopped:
        done = [_try(kind, str(path), what, 200 + turn) for turn, what in enumerate(others)]
        os.kill(pid, signal.SIGCONT)
    said = mine.recv()
    child.join(60)
    added = [200 + turn for turn, what in enumerate(others) if stopped and adds(what) and not done[turn]]
    compare(kind, str(path), first, said, added, "reset" in others and stopped, done)
    return stopped, changes, said


def _try(kind: str, path: str, what: str, number: int) -> str:
    """Do one thing as somebody else; return why it could not be done."""
    writer = make_writer(kind, path)
    try:
        act(writer, what, number)
    except HeadwaterError as error:
        return str(error)
    finally:
        writer.session.close()
    return ""


def compare(kind: str, path: str, first: str, said: str, added: list[int], reset: bool, done: list[str]) -> None:
    """The table is readable, holds every row that somebody says is there once, and no other."""
    writer = make_writer(kind, path)
    state = writer.described
    told = f"first: {first}: {said}; others: {done}"
    assert not said.startswith("unexplained"), told
    assert state.foreign == "", f"{state.foreign} ({told})"
    rows = [row[0] for row in writer.read()]
    assert len(rows) == len(set(rows)), f"{rows} ({told})"
    wanted = {*BASE, *added}
    maybe = {100} if reset and said == "done" else set()
    if adds(first) and said == "done" and not reset:
        wanted.add(100)
    assert wanted <= set(rows) <= wanted | maybe, f"{rows} instead of {sorted(wanted)} ({told})"
    if state.rejects:
        writer.fetch(state.rejects)
    act(writer, "append", 300)
    assert 300 in [row[0] for row in writer.read()]
    writer.session.close()
