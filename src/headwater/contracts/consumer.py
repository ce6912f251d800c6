"""What a consumer is: it reads datasets and makes files of them, such as a page or a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.core.consumer import ConsumerQuery, DeclaredConsumer
    from headwater.core.fragments import SelectSql
    from headwater.core.layers import Family
    from headwater.core.specs import Spec


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a consumer makes its files of.

    Attributes:
        connection: Every dataset it reads, under its name, all of one set of versions; nothing else may write there.
        queries: Its own queries by name, as they were bound.
        versions: The version of every stored dataset it reads, by name.
        folder: An empty folder; what lies there in the end is committed as a whole.
        now: The run's clock.
        previous: The folder of its last commit; None when there is none.
        details: What `Made.details` of the last commit said.
        temporary: A folder for what is not kept.
    """

    connection: DuckDBPyConnection = field(repr=False)
    queries: Mapping[str, SelectSql]
    versions: Mapping[str, int]
    folder: Path
    now: datetime
    temporary: Path
    previous: Path | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What a consumer has made.

    Attributes:
        rows: How many rows it has read.
        details: What `show` tells of it, kept in the commit: JSON values by name.
        problems: What went wrong in parts of it, each with its place; the files are committed, the step fails.
        refused: Why it may not be published (a model worse than its baseline): nothing is committed, the step fails.
    """

    rows: int
    details: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    refused: str = ""


@runtime_checkable
class Consumer(Protocol):
    """A kind of consumer: registered under `headwater.consumers`, made for one declaration.

    Attributes:
        kind: Its name in declarations.
        family: The box it stands in.
        spec: The keys of its declaration.
        is_its_files: What it makes is in its files: an earlier version is back when they are.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    spec: ClassVar[type[Spec]]
    is_its_files: ClassVar[bool] = True

    def __init__(self, declared: DeclaredConsumer) -> None:
        """Take a declaration; what is wrong in it is a `ProjectError` with file and line."""
        ...

    def queries(self) -> tuple[ConsumerQuery, ...]:
        """Return what it asks; each is bound, and traced by column, before it is run."""
        ...

    def files(self) -> tuple[str, ...]:
        """Return the project's files, beside its declaration, that it is made by: absolute paths."""
        ...

    def make(self, consumption: Consumption) -> Made:
        """Make its files in `consumption.folder`.

        Raises:
            HeadwaterError: It cannot be made; nothing is committed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows to which a consumer's artefact gives scores, kept as a table beside it.

    Attributes:
        query: Name of the consumer's own query that gives them.
        store: Name of the store that keeps the scores.
    """

    query: str
    store: str


@runtime_checkable
class Scoring(Protocol):
    """A consumer whose artefact gives scores to rows."""

    def scored(self) -> ScoredRows | None:
        """Return which rows get scores; None when none do."""
        ...

    def rows_to_score(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return a SELECT of the same rows as the query `scored` names, as fast as it can be on a connection."""
        ...

    def score(self, folder: Path, rows: Any, temporary: Path) -> Any:
        """Return the scores of rows (Arrow, as the query gives them) as an Arrow table, by the artefact in a folder.

        Raises:
            HeadwaterError: There are none.
        """
        ...


@runtime_checkable
class TypeChecking(Protocol):
    """A consumer that looks at the types of what it reads, and says more of them than the engine's binder would."""

    def check_types(self, types: Mapping[str, Mapping[str, str]]) -> None:
        """Look at DuckDB's types of the columns it reads, by dataset (as it is written) and column.

        Datasets whose columns are not known yet are not there.

        Raises:
            ProjectError: A column is missing, or of a type that cannot be used.
        """
        ...


@runtime_checkable
class ColumnChecking(Protocol):
    """A consumer that names columns of its queries outside of their SQL."""

    def check_columns(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Look at the columns that its queries give, by the query's name; those that are not known yet are not there.

        Raises:
            ProjectError: One that it names is not among them; several problems come as `ProjectErrors`.
        """
        ...
