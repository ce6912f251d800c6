"""The warehouse's file: attached to the session, its catalog, its locks and its errors."""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from headwater.core.files import read_regular
from headwater.core.fragments import IdentifierSql, quote_identifier, quote_text
from headwater.errors import BusyError, ConnectorError, StateError
from headwater.sql.transaction import in_transaction
from headwater.storage.common.disk import explain_full_disk
from headwater.storage.common.folders import leaves_notes
from headwater.storage.warehouse.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection, Error

    from headwater.contracts import Session
    from headwater.errors import HeadwaterError

_LOCK = threading.RLock()
"""Attaching and creating schemas from two threads at once conflicts."""


def _create_catalog(catalog: Catalog) -> tuple[str, ...]:
    return (
        *(f"CREATE SCHEMA IF NOT EXISTS {catalog.name}._headwater{part}" for part in ("", "_staging", "_quarantine")),
        f"CREATE TABLE IF NOT EXISTS {catalog.commits} "
        "(producer VARCHAR PRIMARY KEY, dataset VARCHAR, sequence BIGINT, commit JSON)",
        f"CREATE TABLE IF NOT EXISTS {catalog.history} (producer VARCHAR, sequence BIGINT, position JSON)",
        f"CREATE TABLE IF NOT EXISTS {catalog.staging} (dataset VARCHAR, load_id VARCHAR, sequence BIGINT, "
        "manifest JSON, staged_at TIMESTAMP WITH TIME ZONE, PRIMARY KEY (dataset, load_id))",
        f"CREATE TABLE IF NOT EXISTS {catalog.staged_chunks} (dataset VARCHAR, load_id VARCHAR, chunk VARCHAR, "
        "table_name VARCHAR, ending JSON, staged_at TIMESTAMP WITH TIME ZONE, PRIMARY KEY (dataset, load_id, chunk))",
    )


_LEFT = ".left"
"""Ending of the file that says how a session left the warehouse's file: only a cache, it may be deleted."""


class DamagedStoreError(StateError):
    """The warehouse's file cannot be read: nothing is known of any of its tables."""


@runtime_checkable
class _Closes(Protocol):
    """A session that tells before it is closed, and afterwards."""

    def at_close(self, before: Callable[[], None], after: Callable[[], None]) -> None: ...


@runtime_checkable
class _Waits(Protocol):
    """A session that says how long to wait for a file that another process holds, and whom to tell about it."""

    wait_s: float
    tell: Callable[[str], None]


_PAUSE_S = 0.1
"""Pause between two tries to have a file that another process holds."""


class WarehouseFile:
    """One DuckDB file of a session.

    Attributes:
        catalog: What is in it, by its names in the session.
        trusted: The file is as the last session left it: nobody else has written to it.
        sure: Every table is as its commit left it.
        lost: That the file is gone, though a session left it there; "" when it is not so.
    """

    def __init__(self, path: str, session: Session) -> None:
        self.path = path
        self.lock = _LOCK
        self._session = session
        self._attached = False
        self._ready = False
        self._schemas: set[str] = set()
        self._left: list[int] | None = None
        self._identity: tuple[int, int] | None = None
        self.catalog = Catalog()
        self.lost = ""
        self.trusted = False
        self.sure = False

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection of its own to the session; the caller closes it."""
        return self._session.cursor()

    def exists(self) -> bool:
        """Return whether there is a file."""
        return os.path.exists(self.path)

    def open(self, *, write: bool = False) -> bool:
        """Attach the file if need be; with `write`, create what is missing. Returns whether it holds a catalog."""
        if write and self._session.read_only:
            raise ConnectorError(f"{self.path} is opened for reading only", fix="write with `headwater run`")
        if self._ready:
            return True
        with self.lock, closing(self.cursor()) as connection, self.reading():
            if not self._attached and not self._attach(connection, write=write):
                return False
            if write:
                for statement in _create_catalog(self.catalog):
                    connection.execute(statement)
            found = connection.execute(
                f"SELECT 1 FROM duckdb_tables() WHERE database_name = '{self.catalog.name}' "
                "AND table_name = 'staged_chunks'"
            ).fetchone()
            self._ready = found is not None
        return self._ready

    def _attach(self, connection: DuckDBPyConnection, *, write: bool) -> bool:
        if not self.exists():
            if os.path.exists(self.path + _LEFT):
                self.lost = f"{self.path} is gone: bring it back, or its tables are made anew, without history"
            if not write:
                return False
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self._check_kind()
        new = not self.exists()
        self.catalog = Catalog(_free_name(connection, self.path))
        self._attach_waiting(connection)
        self.trusted = self.sure = new or self._is_as_left()  # asked while it is held: nobody writes after it
        self._attached = True
        self._identity = self._look()
        if not self._session.read_only and isinstance(self._session, _Closes):
            self._session.at_close(self._settle, self._remember)
        return True

    def _check_kind(self) -> None:
        """Refuse what is no file, before the engine waits for it or takes it for a new one.

        Raises:
            DamagedStoreError: There is a folder or pipe in place of the file or its log, or nothing is left in it.
        """
        for path in (self.path, f"{self.path}.wal"):
            if os.path.exists(path) and not os.path.isfile(path):
                raise self._damaged(f"{path} is not a file")
        known = os.path.exists(self.path + _LEFT) or os.path.exists(f"{self.path}.wal")
        if self.exists() and known and not os.path.getsize(self.path):
            raise self._damaged("the file is empty")

    def _damaged(self, why: str) -> DamagedStoreError:
        """Return the error for a file that cannot be read, with the way out: what is in it can be made again."""
        never = (
            "" if os.path.exists(self.path + _LEFT) else "; if it never was a warehouse, give the store another path"
        )
        there = [path for path in (self.path, f"{self.path}.wal") if os.path.lexists(path)] or [self.path]
        moves = "; ".join(f"mv {shlex.quote(path)} {shlex.quote(path)}.damaged" for path in there)
        return DamagedStoreError(
            f"the warehouse {self.path} is damaged: {why}",
            fix=f"restore it, or move it away ({moves}) and run: its models are built again from what they read, its "
            "source tables loaded anew; the history of snapshots, and rows that a source no longer has, are only in "
            f"the old file{never}",
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise whatever the engine cannot do with the file itself as an error that says so.

        Raises:
            ConnectorError: This user may not open it, or it was written by a later version of the engine.
            DamagedStoreError: The file is damaged.
        """
        import duckdb

        try:
            with self.errors():
                yield
        except (duckdb.InterruptException, duckdb.OutOfMemoryException, duckdb.NotImplementedException):
            raise
        except duckdb.Error as error:
            told = str(error).partition("\n")[0]
            needed = os.R_OK if self._session.read_only else os.R_OK | os.W_OK
            if self.exists() and not os.access(self.path, needed, effective_ids=True):
                raise ConnectorError(f"{self.path} may not be opened: {told}", fix="mend the rights on it") from None
            if "database file with version number" in told:
                fix = "it was written by a later DuckDB: upgrade duckdb"
                raise ConnectorError(f"{self.path}: {told}", fix=fix) from None
            raise self._damaged(told) from None

    def _attach_waiting(self, connection: DuckDBPyConnection) -> None:
        """Attach the file; while another process holds it, wait as long as the session says."""
        import duckdb

        options = " (TYPE duckdb, READ_ONLY)" if self._session.read_only else " (TYPE duckdb)"
        statement = f"ATTACH IF NOT EXISTS {quote_text(self.path)} AS {self.catalog.name}{options}"
        patience = self._session if isinstance(self._session, _Waits) else None
        end_s = time.monotonic() + (patience.wait_s if patience else 0.0)
        told = 0
        while True:
            try:
                connection.execute(statement)
                return
            except duckdb.Error as error:
                busy = self._explain(error)
                left_s = end_s - time.monotonic()
                if patience is None or not isinstance(busy, BusyError) or left_s <= 0:
                    raise
                if busy.process_id == os.getpid():  # nobody but this process itself could end that
                    raise
            if busy.process_id != told:
                told = busy.process_id
                patience.tell(f"waiting for process {told}, which holds {self.path}")
            time.sleep(min(_PAUSE_S, left_s))

    def _is_as_left(self) -> bool:
        """Whether the file is as it was when a session that knew all of its tables was closed."""
        left = Path(self.path + _LEFT)
        with suppress(OSError, ValueError):
            return bool(json.loads(read_regular(left)) == self._stamp())
        return False

    def _stamp(self) -> list[int] | None:
        """Return what a write changes. The file is not opened: closing it would end the engine's lock on it."""
        if os.path.exists(f"{self.path}.wal"):
            return None
        about = os.stat(self.path)
        return [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]

    def _settle(self) -> None:
        """Bring everything into the file while it is still held, and see how it is: nobody else has touched it yet."""
        import duckdb

        with suppress(duckdb.Error, OSError), closing(self.cursor()) as connection:
            connection.execute(f"CHECKPOINT {self.catalog.name}")
            self._left = self._stamp()

    def _remember(self) -> None:
        """Write down how the file was left, when every table in it is known to be right; else all are compared again.

        It says what was seen while the file was held: who writes after that, before this is written, is seen.
        """
        with suppress(OSError):
            if self.sure and self._left is not None:
                aside = Path(f"{self.path}{_LEFT}.{os.getpid()}")
                aside.write_text(json.dumps(self._left), encoding="utf-8")
                aside.replace(self.path + _LEFT)

    def remember_read(self) -> None:
        """Do so from a session that only reads, once it has compared everything: nobody can write meanwhile."""
        if self._session.read_only and self.sure and not self.trusted and leaves_notes(self._session):
            self._left = self._stamp()
            self._remember()
            self.trusted = True

    def _look(self) -> tuple[int, int] | None:
        """Return which file lies at the path: it may be moved away and another one made while this one is held."""
        try:
            about = os.stat(self.path)
        except FileNotFoundError:
            return None
        return about.st_dev, about.st_ino

    def _check_there(self, lost: str) -> None:
        if self._look() != self._identity:
            raise StateError(
                f"{self.path} was moved away or replaced while process {os.getpid()} held it: {lost}", fix="run again"
            )

    def create_schema(self, name: str) -> None:
        """Create a schema, outside any transaction."""
        if name in self._schemas:
            return
        with self.lock, closing(self.cursor()) as connection, self.errors():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.catalog.name}.{quote_identifier(name)}")
        self._schemas.add(name)

    def has_table(self, connection: DuckDBPyConnection, table: str) -> bool:
        """Return whether a table or view of that quoted name exists."""
        import duckdb

        try:
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0")
        except (duckdb.CatalogException, duckdb.InvalidInputException):  # the latter: a Python variable of that name
            return False
        return True

    @contextmanager
    def transaction(self, connection: DuckDBPyConnection) -> Iterator[None]:
        """Run a block in one transaction: whatever is raised in it, nothing of it becomes visible."""
        with self.errors():
            self._check_there("nothing was written")
            with in_transaction(connection):
                yield
        self._check_there("what was committed went with it")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the engine's errors about the file as errors of the store; errors of a query pass as they are."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            known = self._explain(error)
            if known is None:
                raise
            raise known from error

    def _explain(self, error: Error) -> HeadwaterError | None:
        import duckdb

        text = str(error)
        if "Could not set lock" in text or "Unique file handle conflict" in text:
            held = re.search(r"\(PID (\d+)\)", text)
            process_id = int(held[1]) if held else os.getpid()
            return BusyError(
                f"{self.path} is held by process {process_id}",
                process_id=process_id,
                fix="wait for it to end, or read while nobody writes",
            )
        full = explain_full_disk(os.path.dirname(self.path), error)
        if full is not None:
            return full
        if isinstance(error, duckdb.CatalogException) and "already exists" in text:
            return StateError(
                f"{self.path} holds a table that Headwater did not make: {text}", fix="rename one of the two"
            )
        if isinstance(error, duckdb.TransactionException) or "primary key constraint" in text:
            return StateError(f"{self.path}: another writer came in between: {text}", fix="run again")
        return None


def _free_name(connection: DuckDBPyConnection, path: str) -> IdentifierSql:
    """Return the name under which a file is attached to a session, or may be: each warehouse has its own."""
    attached = dict(connection.execute("SELECT database_name, path FROM duckdb_databases()").fetchall())
    for name in ("_hw", *(f"_hw{number}" for number in range(2, 1000))):
        if name not in attached or os.path.realpath(attached[name] or "") == os.path.realpath(path):
            return IdentifierSql(name)
    raise ConnectorError(f"{path}: this session holds too many warehouses", fix="take some out of the project")
