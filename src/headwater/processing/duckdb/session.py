"""The DuckDB session of one process: an in-memory catalogue with one view per dataset."""

from __future__ import annotations

import os
import threading
from contextlib import closing, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from headwater.contracts import SYSTEM_COLUMNS
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.names import ROOT, TablePlace, flat_name
from headwater.sql.catalogs import Catalogs, quote_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import TableState
    from headwater.core.specs import EngineSpec

WHOLE = "_system"
"""Schema behind `system.<source>__<table>`: DuckDB has a catalog named system, so a schema cannot be."""

_MEMORY_SHARE = 0.6
"""Share of the machine's memory DuckDB may use when nothing is declared: room for Arrow, Delta and the system."""


class DuckDBSession:
    """One DuckDB instance for a process; connections to it see the same views.

    Args:
        engine: Declared memory limit and threads; the machine's by default.
        spill: Folder for what does not fit in memory.
        read_only: Warehouse files are attached read-only.
        wait_s: How long to wait for a warehouse's file that another process holds.
        tell: Called with a line about who is waited for.
        leaves_notes: Stores may write down beside their files what they have found out.
        catalogs: The project's domains, a catalogue each.
    """

    def __init__(
        self, engine: EngineSpec, spill: Path, *, read_only: bool = False, wait_s: float = 0.0,
        tell: Callable[[str], None] = lambda _: None, leaves_notes: bool = True, catalogs: Catalogs | None = None,
    ) -> None:  # fmt: skip
        import duckdb

        connection = duckdb.connect(
            config={
                "threads": engine.threads or len(os.sched_getaffinity(0)),
                "memory_limit": engine.memory_limit or f"{machine_memory_bytes() * _MEMORY_SHARE / 2**20:.0f}MiB",
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "python_enable_replacements": False,
                "enable_external_file_cache": False,  # 1.5: parts of a file as it was a second ago
            }
        )
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self.wait_s = wait_s
        self.tell = tell
        self.leaves_notes = leaves_notes
        self._begin(connection, read_only, catalogs or Catalogs())

    def _begin(self, connection: DuckDBPyConnection, read_only: bool, catalogs: Catalogs) -> None:
        self.read_only = read_only
        self.catalogs = catalogs
        catalogs.attach(connection)
        self._lock = threading.Lock()
        self._shown: dict[TablePlace, str] = {}
        self._at_close: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._asides = count()
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self, domain: str = ROOT) -> DuckDBPyConnection:
        """Return a connection of its own to the shared instance, on which names mean what they mean in a domain."""
        connection = self._connection.cursor()
        self.catalogs.use(connection, domain)
        return connection

    def seal(self, places: Iterable[str | Path]) -> None:
        """Let the instance reach these files and folders only, from now on, and lock its settings.

        Args:
            places: Where the stores are, and where what does not fit in memory goes.
        """
        reached = {path for place in places for path in (os.path.abspath(place), os.path.realpath(place))}
        listed = ", ".join(quote_text(path) for path in sorted(reached))
        files = ", ".join(quote_text(f"{path}{ending}") for path in sorted(reached) for ending in ("", ".wal"))
        for statement in (
            f"SET GLOBAL allowed_directories = [{listed}]",
            f"SET GLOBAL allowed_paths = [{files}]",
            "SET GLOBAL enable_external_access = false",
            "SET GLOBAL lock_configuration = true",
        ):
            self._connection.execute(statement)

    @contextmanager
    def aside(self) -> Iterator[DuckDBSession]:
        """Lend a session on the same instance whose views are its own: what it shows is seen by nobody else."""
        name = f"_aside_{next(self._asides)}"
        with closing(self.cursor()) as connection:
            connection.execute(f"ATTACH ':memory:' AS {name}")
            own = Catalogs(self.catalogs.domains, self.catalogs.shared, name, f"{name}_")
            try:
                yield _Aside(connection, own, read_only=self.read_only)
            finally:
                connection.execute("USE memory")
                own.detach(connection)
                connection.execute(f"DETACH {name}")

    def close(self) -> None:
        """Close the instance; open cursors become unusable."""
        calls, self._at_close = self._at_close, []
        for before, _ in calls:
            before()
        self._connection.close()
        for _, after in calls:
            after()

    def at_close(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        """Have something done right before the instance is closed, and once it is."""
        self._at_close.append((before, after))

    def show_table(self, state: TableState, *, loaded: bool = False) -> None:
        """Make a dataset readable by its name, as it is in `state`.

        System columns are left out; a loaded table is whole as `system.<source>__<table>`, its rejects are
        `quarantine.<source>__<table>`.
        """
        if not state.scan:
            return
        hidden = set(SYSTEM_COLUMNS) if loaded else set()
        columns = ", ".join(quote_identifier(column.name) for column in state.columns if column.name not in hidden)
        self.show_query(state.name, SelectSql(f"SELECT {columns} FROM ({state.scan})"))
        if loaded:
            whole, quarantine = self._system_places(state.name)
            self._replace_view(whole, state.scan)
            if state.rejects:
                self._replace_view(quarantine, state.rejects)

    def show_query(self, dataset: str, query: SelectSql) -> None:
        """Make a query readable under a dataset's name: a view model, or a table seen through its columns."""
        own, *repeated = self.catalogs.places(dataset)
        self._replace_view(own, query)
        for place in repeated:
            self._replace_view(place, SelectSql(f"SELECT * FROM {quote_place(own)}"))

    def _replace_view(self, place: TablePlace, query: SelectSql) -> None:
        with self._lock:
            if self._shown.get(place) == query:
                return
            self.catalogs.make_schema(self._connection, place)
            self._connection.execute(f"CREATE OR REPLACE VIEW {quote_place(place)} AS {query}")
            self._shown[place] = query

    def forget(self, dataset: str) -> None:
        """Have the dataset's views made again when it is next shown (its table was rewritten)."""
        with self._lock:
            for place in (*self.catalogs.places(dataset), *self._system_places(dataset)):
                self._shown.pop(place, None)

    def _system_places(self, dataset: str) -> tuple[TablePlace, TablePlace]:
        """Return where a loaded table is whole, and where its rejects are."""
        root, flat = self.catalogs.catalog_of(ROOT), flat_name(dataset)
        return TablePlace(root, WHOLE, flat), TablePlace(root, "quarantine", flat)


class _Aside(DuckDBSession):
    """The views of a few databases of the instance.

    Args:
        connection: Its own connection to the instance.
        catalogs: The databases.
        read_only: As the instance's.
    """

    def __init__(self, connection: DuckDBPyConnection, catalogs: Catalogs, *, read_only: bool) -> None:
        self.wait_s = 0.0
        self.tell = lambda _: None
        self._begin(connection, read_only, catalogs)
        catalogs.use(connection, ROOT)


def machine_memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or the control group's limit when that is lower."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(physical, int(file.read()))
    except (OSError, ValueError):
        return physical
