"""Questions to a run that holds the warehouse: a socket of the user's own, over which another process may ask.

The run listens on a Unix socket in its temporary folder, which only the user can enter; the lease names it. One
question per connection: a line of JSON, answered by a line of JSON and, for a query, an Arrow stream and one more line.
A question is one parsed SELECT or the states of all tables; nothing can be changed by it, and nothing of the run waits
for it: when the run ends, what is being answered is broken off and the asker goes on by himself.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.commit import Column, Commit, TableState
from headwater.core.plan import Orphan
from headwater.core.secrets import redact
from headwater.errors import HeadwaterError, ProjectError
from headwater.temporary import folder_named, temporary_folder
from headwater.workspace.query import FORMS, Answer, AnswerEndedError, run_query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.plan.observe import Held
    from headwater.run.catalogue import Catalogue
    from headwater.state import Lease

_SOCKET = "q"
_QUESTION_BYTES = 1_000_000
_ASKING_S = 5.0
"""How long an asker may take to put the question."""

_HEARD_S = 10.0
"""How long an asker waits for a sign that the run hears him: a stopped one does not."""

_MOST_ASKERS = 32
"""Who is one too many is turned away and asks again."""

_LAST_ANSWERS_S = 2.0
"""How long the end of a run waits for answers that it has broken off, all together."""


@dataclass(slots=True)
class Questions:
    """The questions that a run is asked.

    Attributes:
        catalogue: What answers are taken from; the run sets another one as it learns more.
        orphans: Tables that nothing declares, as the plan names them.
    """

    catalogue: Catalogue
    orphans: tuple[Orphan, ...]
    ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _askers: dict[threading.Thread, socket.socket] = field(default_factory=dict)
    _queries: list[DuckDBPyConnection] = field(default_factory=list)

    def listen(self, listener: socket.socket) -> None:
        """Answer whoever asks, each in a thread of his own, until the listener is shut down."""
        while True:
            try:
                asking, _ = listener.accept()
            except OSError:
                return
            answer = threading.Thread(target=self._answer, args=(asking,), daemon=True)
            with self._lock:
                too_many = self.ending.is_set() or len(self._askers) >= _MOST_ASKERS
                if not too_many:
                    self._askers[answer] = asking
            if too_many:
                asking.close()
            else:
                answer.start()

    def end(self) -> None:
        """Break off what is being answered and drop who has not asked yet."""
        self.ending.set()
        with self._lock:
            askers = dict(self._askers)
        for asking in askers.values():
            with suppress(OSError):
                asking.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + _LAST_ANSWERS_S
        while (alive := [thread for thread in askers if thread.is_alive()]) and time.monotonic() < until:
            with self._lock:
                for connection in self._queries:  # again and again: one that comes between two queries is not heard
                    connection.interrupt()
            alive[0].join(0.02)

    def _answer(self, asking: socket.socket) -> None:
        try:
            with asking, suppress(OSError):
                if not _same_user(asking):
                    return
                question = _read_question(asking)
                asking.settimeout(None)
                if question is not None:
                    self._reply(question, asking)
        finally:
            with self._lock:
                self._askers.pop(threading.current_thread(), None)

    def _reply(self, question: dict[str, Any], asking: socket.socket) -> None:
        """Answer from a copy of what the run knows, through views of its own: nothing of the run itself is touched."""
        _send(asking, {"heard": True})
        own = self.catalogue.apart()
        if question.get("ask") == "states":
            states, orphans = [_pack(state) for state in own.states.values()], [asdict(one) for one in self.orphans]
            _send(asking, {"states": states, "orphans": orphans})
            return
        try:
            with own.session.aside() as session, session.cursor() as connection, self._asked(connection):
                own = own.apart(session)
                form = question.get("form")
                answer = run_query(own, connection, str(question.get("sql")), form if form in FORMS else FORMS[0])
                _send(asking, {"answer": True})
                _send_batches(asking, answer)
                _send(asking, {"whole": True})
        except HeadwaterError as error:
            self._send_error(asking, error)
        except OSError:
            raise
        except Exception as error:
            self._send_error(asking, HeadwaterError(f"{type(error).__name__}: {error}"))

    def _send_error(self, asking: socket.socket, error: HeadwaterError) -> None:
        if self.ending.is_set():  # it was broken off, not wrong
            return
        what, fix = (redact(text, self.catalogue.project.secrets) for text in (error.what, error.fix))
        _send(asking, {"error": {"what": what, "fix": fix, "line": error.line, "column": error.column}})

    @contextmanager
    def _asked(self, connection: DuckDBPyConnection) -> Iterator[None]:
        with self._lock:
            if self.ending.is_set():
                raise AnswerEndedError("the run has ended")
            self._queries.append(connection)
        try:
            yield
        finally:
            with self._lock:
                self._queries.remove(connection)


@contextmanager
def answer_questions(catalogue: Catalogue, orphans: tuple[Orphan, ...], lease: Lease) -> Iterator[Questions]:
    """Answer questions while a run is on its way; without a place for a socket it is not asked."""
    questions = Questions(catalogue, orphans)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder(catalogue.project.root))
            with _reached(folder) as path:
                listener.bind(path)
                os.chmod(path, 0o600)
            listener.listen(_MOST_ASKERS)
        except OSError:
            yield questions
            return
        lease.announce(folder.name)
        listening = threading.Thread(target=questions.listen, args=(listener,), daemon=True)
        listening.start()
        try:
            yield questions
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            questions.end()


@contextmanager
def _reached(folder: Path) -> Iterator[str]:
    """Give the path of a folder's socket in a spelling that is short enough for one, however deep the folder lies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _read_question(asking: socket.socket) -> dict[str, Any] | None:
    """Read one line of JSON; who takes longer than is allowed for all of it, or sends anything else, is dropped."""
    until, line = time.monotonic() + _ASKING_S, b""
    while not line.endswith(b"\n"):
        asking.settimeout(max(until - time.monotonic(), 0.001))
        piece = asking.recv(65_536)
        line += piece
        if not piece or len(line) > _QUESTION_BYTES or time.monotonic() > until:
            break
    try:
        question = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return question if isinstance(question, dict) else None


def _same_user(asking: socket.socket) -> bool:
    credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", credentials)[1]
    return user == os.getuid()


def _send(asking: socket.socket, said: dict[str, Any]) -> None:
    asking.sendall(json.dumps(said).encode() + b"\n")


def _send_batches(asking: socket.socket, answer: Answer) -> None:
    """Send an Arrow stream; it is brought to its end even when an error cuts it, so that a line can follow."""
    import pyarrow as pa

    with asking.makefile("wb") as sink, pa.ipc.new_stream(sink, answer.schema) as writer:
        for batch in answer.batches:
            writer.write_batch(batch)


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


def ask_states(root: str, folder: str) -> Held | None:
    """Ask a run for the state of every table and for the orphans; None when nobody answers.

    The states can be compared and shown, not scanned: `scan` is empty.

    Args:
        root: The project's folder.
        folder: The run's temporary folder, as its lease names it.
    """
    with _ask(root, folder, {"ask": "states"}) as (header, _):
        if header is None:
            return None
        states = {data["name"]: _unpack(data) for data in header["states"]}
        return states, tuple(Orphan(**orphan) for orphan in header["orphans"])


def ask_query(root: str, folder: str, sql: str, form: str, stack: ExitStack) -> Answer | None:
    """Have a run answer one SELECT in a form of `run_query`; None when nobody answers.

    The rows come as they are taken, until `stack` is closed.

    Raises:
        ProjectError: As for `run_query`.
    """
    import pyarrow as pa

    with ExitStack() as asked:
        header, stream = asked.enter_context(_ask(root, folder, {"ask": "query", "sql": sql, "form": form}))
        if header is None:
            return None
        if "error" in header:
            raise ProjectError(**header["error"])
        try:
            reader = pa.ipc.open_stream(stream)
        except (OSError, pa.ArrowInvalid):
            return None
        stack.push(asked.pop_all())
        return Answer(reader.schema, _batches(reader, stream))


def _batches(reader: Any, stream: Any) -> Iterator[Any]:
    """Yield batches; the line behind them says that they are all, or what went wrong."""
    import pyarrow as pa

    said: dict[str, Any] = {}
    with suppress(OSError, pa.ArrowInvalid):
        yield from reader
        with suppress(ValueError):
            said = json.loads(stream.readline() or "{}")
    if "error" in said:
        raise ProjectError(**said["error"])
    if not said:
        raise AnswerEndedError("the run that was answering has ended before the answer was whole", fix="ask again")


@contextmanager
def _ask(root: str, folder: str, question: dict[str, Any]) -> Iterator[tuple[dict[str, Any] | None, Any]]:
    """Put a question; gives the first line of the answer, and the stream behind it."""
    place = folder_named(root, folder)
    header, stream = None, None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        if place is not None:
            with suppress(OSError, ValueError):
                asking.settimeout(_HEARD_S)
                with _reached(place) as path:
                    asking.connect(path)
                _send(asking, question)
                asking.shutdown(socket.SHUT_WR)
                stream = asking.makefile("rb")
                if json.loads(stream.readline()):  # it has heard; the answer takes as long as it takes
                    asking.settimeout(None)
                    header = json.loads(stream.readline())
        try:
            yield header, stream
        finally:
            if stream is not None:
                stream.close()
