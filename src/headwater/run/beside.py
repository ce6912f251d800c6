"""Questions to a run that holds the warehouse: a socket of the user's own, over which another process may ask.

The run listens on a Unix socket in a folder that only the user can enter; the lease says where. One question per
connection: a line of JSON, answered by a line of JSON and, for a query, an Arrow stream. A question is one parsed
SELECT or the states of all tables; nothing can be changed by it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.commit import Column, Commit, TableState
from headwater.errors import HeadwaterError, ProjectError
from headwater.run.query import FORMS, run_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.run.context import RunContext
    from headwater.state import Lease

PATH_BYTES = 107
"""Longest path of a Unix socket on Linux."""

_QUESTION_BYTES = 1_000_000
_PREFIX = "headwater-"
_LAST_ANSWERS_S = 10.0
"""How long the end of a run waits for answers that are on their way."""

_ASKING_S = 5.0


@contextmanager
def answer_questions(context: RunContext, orphans: tuple[str, ...], lease: Lease) -> Iterator[None]:
    """Answer questions while a run is on its way; without a place for a socket it is not asked."""
    _remove(lease.left_socket)
    folder = _make_folder()
    if folder is None:
        yield
        return
    path = os.path.join(folder, "q")
    answers: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen()
        lease.announce(path)
        listening = threading.Thread(target=_listen, args=(listener, context, orphans, answers), daemon=True)
        listening.start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            _remove(path)
            listening.join(_LAST_ANSWERS_S)
            for answer in answers:
                answer.join(_LAST_ANSWERS_S)


def _make_folder() -> str | None:
    """Make a folder that only the user can enter, with a path short enough for a socket."""
    for place in (tempfile.gettempdir(), "/tmp"):
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            if len(os.fsencode(folder)) + 2 <= PATH_BYTES:
                return folder
            os.rmdir(folder)
    return None


def _remove(path: str) -> None:
    """Remove a socket and its folder, if they are ours: one that a killed run has left, too."""
    folder = os.path.dirname(path)
    if os.path.basename(folder).startswith(_PREFIX) and os.path.basename(path) == "q":
        with suppress(OSError):
            os.unlink(path)
            os.rmdir(folder)


def _listen(
    listener: socket.socket, context: RunContext, orphans: tuple[str, ...], answers: list[threading.Thread]
) -> None:
    while True:
        try:
            asking, _ = listener.accept()
        except OSError:
            return
        answers[:] = [answer for answer in answers if answer.is_alive()]
        answer = threading.Thread(target=_answer, args=(asking, context, orphans), daemon=True)
        answers.append(answer)
        answer.start()


def _answer(asking: socket.socket, context: RunContext, orphans: tuple[str, ...]) -> None:
    with asking, suppress(OSError):
        if not _same_user(asking):
            return
        asking.settimeout(_ASKING_S)
        with asking.makefile("rb") as lines:
            question = _read_question(lines.readline(_QUESTION_BYTES))
        if question is None:
            return
        asking.settimeout(None)
        header, body = _reply(question, context, orphans)
        asking.sendall(json.dumps(header).encode() + b"\n" + body)


def _read_question(line: bytes) -> dict[str, Any] | None:
    try:
        question = json.loads(line)
    except ValueError:
        return None
    return question if isinstance(question, dict) else None


def _same_user(asking: socket.socket) -> bool:
    credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", credentials)[1]
    return user == os.getuid()


def _reply(question: dict[str, Any], context: RunContext, orphans: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    """Answer from a copy of what the run knows: nothing of the run itself is touched."""
    states = dict(context.states)
    if question.get("ask") == "states":
        return {"states": [_pack(state) for state in states.values()], "orphans": orphans}, b""
    beside = replace(context, states=states, listeners=[])
    try:
        form = question.get("form")
        table = run_query(beside, str(question.get("sql")), form if form in FORMS else FORMS[0])
    except HeadwaterError as error:
        return {"error": {"what": error.what, "fix": error.fix, "line": error.line, "column": error.column}}, b""
    return {"rows": table.num_rows}, _to_stream(table)


def _to_stream(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _pack(state: TableState) -> dict[str, Any]:
    return {
        "name": state.name,
        "columns": [asdict(column) for column in state.columns],
        "commit": asdict(state.commit) if state.commit else None,
        "position": state.position,
        "location": state.location,
        "size_bytes": state.size_bytes,
        "foreign": state.foreign,
    }


def _unpack(data: dict[str, Any]) -> TableState:
    columns = tuple(Column(**column) for column in data["columns"])
    commit = Commit(**data["commit"]) if data["commit"] else None
    return TableState(**{**data, "columns": columns, "commit": commit})


# --------------------------------------------------------------------------------------------------------- asking


def ask_states(path: str) -> tuple[dict[str, TableState], tuple[str, ...]] | None:
    """Ask a run for the state of every table and for the orphans; None when nobody answers.

    The states can be compared and shown, not scanned: `scan` is empty.
    """
    answered = _ask(path, {"ask": "states"})
    if answered is None:
        return None
    header, _ = answered
    return {data["name"]: _unpack(data) for data in header["states"]}, tuple(header["orphans"])


def ask_query(path: str, sql: str, form: str = FORMS[0]) -> Any:
    """Have a run answer one SELECT in a form of `run_query`: an Arrow table, or None when nobody answers.

    Raises:
        ProjectError: As for `run_query`.
    """
    answered = _ask(path, {"ask": "query", "sql": sql, "form": form})
    if answered is None:
        return None
    header, body = answered
    if "error" in header:
        raise ProjectError(**header["error"])
    import pyarrow as pa

    return pa.ipc.open_stream(pa.py_buffer(body)).read_all()


def _ask(path: str, question: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    if not path or not Path(path).is_socket():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError):
        asking.connect(path)
        asking.sendall(json.dumps(question).encode() + b"\n")
        asking.shutdown(socket.SHUT_WR)
        with asking.makefile("rb") as answer:
            header = answer.readline()
            return (json.loads(header), answer.read()) if header else None
    return None
