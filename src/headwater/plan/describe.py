"""What is known of one dataset: declared, stored and traced. `show`, `status`, the map and OpenLineage say it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts import SYSTEM_COLUMNS
from headwater.sql.lineage import ColumnLineage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.commit import Column, Commit, TableState
    from headwater.core.dataset import Dataset
    from headwater.core.project import Project
    from headwater.plan.lineage import Lineage
    from headwater.sql.lineage import Leaf

_NOT_DECLARED = "it is not declared any more"


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """One column.

    Attributes:
        name: Its name.
        type: Its type; "" when it is not known yet.
        source_type: Its type in the source; "" when it was computed.
        description: What its declaration says of it.
        made_of: The columns its values are made of, one step up.
        unknown: Why `made_of` is not, or not fully, known; "" when it is.
    """

    name: str
    type: str = ""
    source_type: str = ""
    description: str = ""
    made_of: tuple[Leaf, ...] = ()
    unknown: str = ""

    @property
    def is_system(self) -> bool:
        """Whether it is added to every table that is loaded."""
        return self.name in SYSTEM_COLUMNS


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """One dataset.

    Attributes:
        dataset: What is declared.
        state: What its store says; None when it says nothing.
        columns: Its columns as they are stored, else as they will be.
        traced: Its column lineage: what decides over its rows, and what is unknown.
    """

    dataset: Dataset
    state: TableState | None
    columns: tuple[ColumnDescription, ...]
    traced: ColumnLineage

    @property
    def commit(self) -> Commit | None:
        """Its last commit."""
        return self.state.commit if self.state else None

    @property
    def rows(self) -> int | None:
        """How many rows it has; None when it holds nothing."""
        return self.commit.rows if self.commit else None

    @property
    def version(self) -> int | None:
        """Its version; None when it holds nothing."""
        return self.commit.version if self.commit else None


def describe_dataset(
    project: Project,
    name: str,
    state: TableState | None = None,
    schema: Sequence[Column] | None = None,
    lineage: Lineage | None = None,
) -> DatasetDescription:
    """Describe a dataset.

    Args:
        project: The project that declares it.
        name: The dataset.
        state: What its store says.
        schema: Its columns as they will be, for one that is not stored yet.
        lineage: Column lineage of the project.
    """
    known = lineage.datasets.get(name) if lineage else None
    traced = known.traced if known else ColumnLineage(())
    stored = state.columns if state is not None else ()
    return DatasetDescription(
        project.everything[name],
        state,
        tuple(_columns(project.everything[name], stored or schema or (), traced)),
        traced,
    )


def _columns(dataset: Dataset, columns: Sequence[Column], traced: ColumnLineage) -> list[ColumnDescription]:
    told = {name.lower(): column.description for name, column in dataset.spec.columns.items()}
    made_of = {column.name.lower(): column for column in traced.columns}
    if not columns:  # not known but by name, from the query
        return [
            ColumnDescription(c.name, "", "", told.get(c.name.lower(), ""), c.leaves, c.unknown) for c in traced.columns
        ]
    found = []
    for column in columns:
        origin = made_of.get(column.name.lower())
        lost = "" if column.name in SYSTEM_COLUMNS else _NOT_DECLARED
        found.append(
            ColumnDescription(
                column.name,
                column.type,
                column.source_type,
                told.get(column.name.lower(), ""),
                origin.leaves if origin else (),
                origin.unknown if origin else lost,
            )
        )
    return found
