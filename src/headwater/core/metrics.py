"""Metrics as a project declares them: what is counted or summed, over which datasets, and how these are connected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from headwater.core.names import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.graph import Location


class Grain(StrEnum):
    """How coarse a time is taken; a week begins on Monday."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class MetricField:
    """A value of a row: its expression over the columns of its dataset, whether it is a time, and its type in Ossie."""

    name: str
    sql: str
    is_time: bool
    location: Location
    datatype: str = ""


@dataclass(frozen=True, slots=True)
class MetricDataset:
    """A dataset of the project under the name that expressions call it by.

    Attributes:
        name: That name.
        source: The dataset's name, as it is written; in full once the project is loaded.
        keys: Columns that tell its rows apart: the primary key and the unique keys.
        fields: What can be grouped and filtered by.
        location: Where it is declared.
        time: The field that is meant by a grain alone; "" for the only time that it has.
    """

    name: str
    source: str
    keys: tuple[tuple[str, ...], ...]
    fields: Mapping[str, MetricField]
    location: Location
    time: str = ""


@dataclass(frozen=True, slots=True)
class MetricRelationship:
    """Each row of `many` has at most one row of `one`; `columns` are pairs of columns that are equal there."""

    name: str
    many: str
    one: str
    columns: tuple[tuple[str, str], ...]
    location: Location


@dataclass(frozen=True, slots=True)
class Metric:
    """One number: an expression over aggregates of fields, and its type in Ossie."""

    name: str
    sql: str
    description: str
    location: Location
    datatype: str = ""


@dataclass(frozen=True, slots=True)
class SemanticModel:
    """Datasets, how they are connected, and the metrics over them."""

    name: str
    datasets: Mapping[str, MetricDataset]
    relationships: tuple[MetricRelationship, ...]
    metrics: Mapping[str, Metric]
    location: Location
    domain: str = ROOT


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """What is asked of metrics.

    Attributes:
        metrics: Their names; all of one semantic model.
        by: Fields that they are grouped by: `field`, `dataset.field`, `field__month`, or a grain of the dataset's time.
        where: A condition on fields, "" for all rows.
    """

    metrics: tuple[str, ...]
    by: tuple[str, ...] = ()
    where: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the columns that are grouped by: `dataset.field` in full where two have the field's name."""
        short = [term.rpartition(".")[2] for term in self.by]
        return tuple(term if short.count(name) > 1 else name for term, name in zip(self.by, short, strict=True))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the answer's columns."""
        return (*self.groups, *self.metrics)
