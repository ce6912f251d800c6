"""What an engine is asked for: the rows of a model as a change of its table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from headwater.core.fragments import NO_SELECT, SelectSql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.contracts.store import Change
    from headwater.core.commit import Column, TableState
    from headwater.core.plan import Interval
    from headwater.core.project import Model
    from headwater.core.stores import DeclaredStore


@dataclass(frozen=True, slots=True)
class Target:
    """The table a model writes: its store, its columns and the SELECT of its rows; empty when there is none."""

    store: DeclaredStore
    columns: tuple[Column, ...] = ()
    scan: SelectSql = NO_SELECT


@dataclass(frozen=True, slots=True)
class Computation:
    """What an engine is to compute.

    Attributes:
        model: The model.
        connection: Connection of the session, on which datasets have their names and the change can be read.
        target: The table it writes, as it is.
        now: The run's clock.
        span: The interval to compute, of a model with intervals.
        first: The span is all there is: what it gives is the whole table.
        text: The query to run instead of the model's own: inputs that are not committed yet are named in it.
        columns: The query's columns, when they are known.
        inputs: The state of every stored dataset it reads, by name.
        root: The project's folder, for Python.
        object_folders: The folders of the stores that keep objects, for Python that opens them.
    """

    model: Model
    connection: DuckDBPyConnection
    target: Target
    now: datetime
    span: Interval | None = None
    first: bool = False
    text: SelectSql | None = None
    columns: tuple[Column, ...] | None = None
    inputs: Mapping[str, TableState] = field(default_factory=dict)
    root: str = ""
    object_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of it: the change, and an object that has to stay alive until the change is committed."""

    change: Change
    alive: Any = None


@runtime_checkable
class Engine(Protocol):
    """What runs models. A class is registered by an entry point (group `headwater.engines`), named by `engine.kind`."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        """Nothing is started before the first computation."""

    def compute(self, asked: Computation) -> Computed:
        """Return a model's rows as a change of its table; nothing is visible before the store has committed it.

        Raises:
            UserCodeError: The model cannot be run, or gives rows that its table cannot have.
            ProjectError: The store cannot hold a type.
        """
        ...
