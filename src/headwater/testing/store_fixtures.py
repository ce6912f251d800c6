"""Session, writer and fixtures of the conformance suite of stores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from headwater.contracts import Change, Load, Select, Staged
from headwater.core.commit import Column, Commit, TableState
from headwater.core.fragments import SelectSql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Store
    from headwater.core.commit import Receipt

_OF_CHANGE = (*Change.__dataclass_fields__, "parts")

COLUMNS = (Column("id", "BIGINT"), Column("name", "VARCHAR"))
"""Columns of most tables in the suite."""


class MemorySession:
    """A DuckDB session in memory, for tests."""

    def __init__(self, *, read_only: bool = False) -> None:
        import duckdb

        self.read_only = read_only
        self._connection = duckdb.connect(config={"threads": 2, "python_enable_replacements": False})
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection of its own to the shared instance."""
        return self._connection.cursor()

    def close(self) -> None:
        """Close the instance."""
        self._connection.close()


def rows_of(values: dict[int, str | None]) -> SelectSql:
    """Return a SELECT of `id` and `name` that yields the given rows."""
    if not values:
        return SelectSql("SELECT CAST(NULL AS BIGINT) AS id, CAST(NULL AS VARCHAR) AS name WHERE false")
    listed = ", ".join(f"({key}, {'NULL' if text is None else repr(text)})" for key, text in values.items())
    return SelectSql(
        f"SELECT CAST(id AS BIGINT) AS id, CAST(name AS VARCHAR) AS name FROM (VALUES {listed}) AS v(id, name)"
    )


class Writer:
    """Writes one table the way a run does: each commit follows the last one described.

    Args:
        store: The store to write to.
        session: Its session.
        table: The dataset's name.
    """

    def __init__(self, store: Store, session: MemorySession, table: str = "shop.orders") -> None:
        self.store = store
        self.table = table
        self.session = session
        self.connection = session.cursor()
        self.boundaries: list[str] = []

    def load(self, load_id: str = "load-1", **events: Callable[[str], None]) -> Load:
        """Return a load of the table; `audit` and `notify` may be given."""
        events.setdefault("notify", self.boundaries.append)
        return Load(self.table, self.table, load_id, self.connection, **events)

    def next_commit(self, **fields: Any) -> Commit:
        """Return the commit that follows the table's last one."""
        last = self.state.commit if self.state else None
        sequence = last.sequence + 1 if last else 1
        base = Commit(
            producer=self.table,
            sequence=sequence,
            previous=last.sequence if last else None,
            run_id="run-1",
            fingerprint="f",
            now="2030-01-01T00:00:00+00:00",
            version=sequence,
        )
        return replace(base, **fields)

    @property
    def state(self) -> TableState | None:
        """The table as the store describes it."""
        return self.store.describe([self.table]).get(self.table)

    @property
    def described(self) -> TableState:
        """The table as the store describes it; it must be known."""
        state = self.state
        assert state is not None, f"{self.table} is not described"
        return state

    def write(self, mode: Any, rows: str = "", *, load: Load | None = None, **fields: Any) -> Receipt:
        """Commit one change; fields of `Change` and of `Commit` may be given."""
        of_change = {name: fields.pop(name) for name in list(fields) if name in _OF_CHANGE}
        if mode != "record":
            of_change.setdefault("columns", COLUMNS)
        parts = of_change.pop("parts", None)
        change = Change(
            mode, Select(SelectSql(rows)) if parts is None else Staged(SelectSql(rows), tuple(parts)), **of_change
        )
        return self.store.commit(load or self.load(), change, self.next_commit(**fields))

    def read(self) -> list[tuple[Any, ...]]:
        """Return the table's rows in order."""
        return self.fetch(self.described.scan)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return a query's rows in order."""
        table = self.connection.sql(query).to_arrow_table()
        rows = [tuple(row[name] for name in table.column_names) for row in table.to_pylist()]
        return sorted(rows, key=repr)


class StoreFixtures:
    """What the tests of the suite are given."""

    store_class: ClassVar[type[Store]]

    @pytest.fixture
    def session(self) -> Iterator[MemorySession]:
        """The session of the store under test."""
        session = MemorySession()
        yield session
        session.close()

    @pytest.fixture
    def store_path(self, tmp_path: Path) -> str:
        """Where the store lives; nothing is there yet."""
        return str(tmp_path / "data of mine" / "store")

    @pytest.fixture
    def make_store(self, session: MemorySession, store_path: str) -> Callable[[], Store]:
        """Makes a new instance on the same path, as a later process would."""
        return lambda: self.store_class(store_path, session)

    @pytest.fixture
    def writer(self, make_store: Callable[[], Store], session: MemorySession) -> Writer:
        """A writer of `shop.orders`."""
        return Writer(make_store(), session)

    def need(self, mode: str) -> None:
        """Skip a test of a change mode that the store does not have."""
        if mode not in self.store_class.capabilities.modes:
            pytest.skip(f"{self.store_class.kind} has no {mode}")
