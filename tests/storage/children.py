"""Child processes for tests that kill one or fill its disk; forked from a server that holds the imports."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
from typing import Any

from headwater.storage.lake.store import Lake
from headwater.storage.lakehouse.store import Lakehouse
from headwater.storage.warehouse.store import Warehouse
from headwater.testing.stores import MemorySession, Writer

STORES: dict[str, Any] = {"lake": Lake, "lakehouse": Lakehouse, "warehouse": Warehouse}

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["duckdb", "deltalake", "pyarrow", "headwater.testing.stores", "sqlglot"])


def make_writer(kind: str, path: str) -> Writer:
    session = MemorySession()
    return Writer(STORES[kind](path, session), session)


def run_child(target: Any, *args: Any) -> tuple[int | None, Any]:
    """Run a function in a child; return its exit code and what it sent."""
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=target, args=(sender, *args))
    child.start()
    sender.close()
    sent = None
    with contextlib.suppress(EOFError):
        sent = receiver.recv()
    child.join(60)
    return child.exitcode, sent


def write_and_die(_: Any, kind: str, path: str, boundary: str, mode: str, rows: str, fields: dict[str, Any]) -> None:
    """Make one change and be killed at a boundary of its commit."""
    writer = make_writer(kind, path)

    def die(name: str) -> None:
        if name == boundary:
            os.kill(os.getpid(), signal.SIGKILL)

    load = writer.load("killed", notify=die)
    if boundary == "staged":
        writer.store.stage(load, {"bounds": 1}, "1", rows).finish_chunk({"n": 1})
        writer.store.stage(load, {"bounds": 1}, "2", rows)
        die("staged")
    writer.write(mode, rows, load=load, **fields)


def write_on_full_disk(sender: Any, kind: str, path: str, limit: int, staged: bool) -> None:
    """Try one large change where no file may grow beyond `limit` bytes; send the error's type and text."""
    writer = make_writer(kind, path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rows = "SELECT range AS id, repeat(md5(range::VARCHAR), 4) AS name FROM range(60000)"
    try:
        if staged:
            writer.store.stage(writer.load(), {}, "1", rows).finish_chunk({})
        else:
            writer.write("append", rows)
    except BaseException as error:
        sender.send((type(error).__name__, str(error)))
    else:
        sender.send(("", "written"))


def hold_file(sender: Any, path: str, release: Any) -> None:
    """Hold a warehouse file until told to let go."""
    writer = make_writer("warehouse", path)
    writer.write("append", "SELECT 1::BIGINT AS id, 'a' AS name")
    sender.send(os.getpid())
    release.wait(60)
