"""What was known at the time: for every row of the spine the latest row of each feature, as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.consumption.ml.ties import hash_of
from headwater.core.fragments import PredicateSql, SelectSql, quote_dataset, quote_identifier, quote_identifiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from headwater.consumption.ml.spec import FeatureSpec, LearnedModelSpec
    from headwater.core.fragments import IdentifierSql

Ties = tuple[int, ...] | None
"""Hashes of key and time that several rows of a feature have; None when they are not known, or too many."""


@dataclass(frozen=True, slots=True)
class Spine:
    """Rows that features are joined to.

    Attributes:
        dataset: Where they are.
        key: The column of each column of the key, by the name it is given.
        time: The column of the time.
        time_name: The name it is given.
        label: The column of the label; "" when it is not asked for.
    """

    dataset: str
    key: Mapping[str, str]
    time: str
    time_name: str
    label: str = ""

    def column_of(self, name: str) -> str:
        """Return its column for what the declaration calls by a name of the spine."""
        return self.key.get(name, name)


def training_spine(spec: LearnedModelSpec) -> Spine:
    """Return the rows that are learned from."""
    spine = spec.spine
    return Spine(spine.from_, {name: name for name in spine.key}, spine.time, spine.time, spine.label)


def score_spine(spec: LearnedModelSpec) -> Spine | None:
    """Return the rows that get scores, key and time under the spine's names; None when nothing is said of them."""
    if spec.score is None:
        return None
    key = dict(zip(spec.spine.key, spec.score.key or spec.spine.key, strict=True))
    return Spine(spec.score.rows, key, spec.score.time or spec.spine.time, spec.spine.time)


def feature_key(spec: LearnedModelSpec, feature: FeatureSpec) -> Mapping[str, str]:
    """Return what a feature is found by: its column by the spine's."""
    return feature.key or {name: name for name in spec.spine.key}


def point_in_time(spec: LearnedModelSpec, spine: Spine, ties: Sequence[Ties] | None = None) -> SelectSql:
    """Return the SELECT of a spine's rows, each with what was known of it at its time: key, time, features, label.

    Every row of the spine is there once, as often as it is in the spine. Of a feature it gets the row of its key with
    the latest `available` that is not after its time; NULL where there is none, or it is older than `max_age`. Of
    several of one `available` it gets the highest by the feature's columns in their order, NULL the lowest.

    Args:
        spec: The declaration.
        spine: The rows.
        ties: For each feature the hashes of the rows that have a key and `available` with another one (`find_ties`), as
            they are now; None for one, or for all: it may be any row. The fewer there are the faster it is.
    """
    columns = [f"spine.{quote_identifier(column)} AS {quote_identifier(name)}" for name, column in spine.key.items()]
    columns.append(f"spine.{quote_identifier(spine.time)} AS {quote_identifier(spine.time_name)}")
    joins = []
    for number, feature in enumerate(spec.features):
        join = _Join(feature, feature_key(spec, feature), spine, number + 1, None if ties is None else ties[number])
        columns += join.columns()
        joins += join.joins()
    if spine.label:
        columns.append(f"spine.{quote_identifier(spine.label)} AS {quote_identifier(spine.label)}")
    listed = ",\n  ".join(columns)
    return SelectSql(f"SELECT\n  {listed}\nFROM {quote_dataset(spine.dataset)} AS spine\n" + "\n".join(joins))


def halves(spec: LearnedModelSpec, column: IdentifierSql) -> tuple[PredicateSql, PredicateSql]:
    """Return the conditions of the training half and of the test half on a column of times."""
    if spec.split is None:
        return PredicateSql(f"{column} IS NOT NULL"), PredicateSql("false")
    ends, begins = spec.split.moment - spec.split.gap, spec.split.moment
    kind = "TIMESTAMP" if begins.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
    return (
        PredicateSql(f"{column} < {kind} '{ends.isoformat(' ')}'"),
        PredicateSql(f"{column} >= {kind} '{begins.isoformat(' ')}'"),
    )


def _interval(age: timedelta) -> str:
    return f"INTERVAL '{age.days * 86_400_000_000 + age.seconds * 1_000_000 + age.microseconds} microseconds'"


@dataclass(frozen=True, slots=True)
class _Join:
    """One feature at a spine's rows."""

    feature: FeatureSpec
    key: Mapping[str, str]
    spine: Spine
    number: int
    ties: Ties

    @property
    def _latest(self) -> str:
        """What the latest row is called."""
        return f"feature_{self.number}"

    @property
    def _highest(self) -> str:
        """What the row is called that is taken in its place, where there are several of one time."""
        return f"highest_{self.number}"

    def columns(self) -> list[str]:
        """The feature's columns, each under its name."""
        return [f"{self._value(column)} AS {quote_identifier(name)}" for name, column in self.feature.columns.items()]

    def joins(self) -> list[str]:
        """What follows the spine behind FROM."""
        feature, spine = self.feature, self.spine
        available = quote_identifier(feature.available)
        conditions = [
            f"spine.{quote_identifier(spine.column_of(ours))} = {self._latest}.{quote_identifier(theirs)}"
            for ours, theirs in self.key.items()
        ]
        conditions.append(f"spine.{quote_identifier(spine.time)} >= {self._latest}.{available}")
        rows = f"({self._chosen()})" if self.ties is None else quote_dataset(feature.from_)
        joins = [f"ASOF LEFT JOIN {rows} AS {self._latest}\n  ON {' AND '.join(conditions)}"]
        if self.ties:
            hashes = ", ".join(map(str, self.ties))
            chosen = self._chosen(f"WHERE {hash_of([*self.key.values(), feature.available])} IN ({hashes})")
            same = [
                f"{self._latest}.{quote_identifier(column)} = {self._highest}.{quote_identifier(column)}"
                for column in dict.fromkeys([*self.key.values(), feature.available])
            ]
            joins.append(f"LEFT JOIN ({chosen}) AS {self._highest}\n  ON {' AND '.join(same)}")
        return joins

    def _value(self, column: str) -> str:
        available = quote_identifier(self.feature.available)
        value = f"{self._latest}.{quote_identifier(column)}"
        if self.ties:
            higher = f"{self._highest}.{quote_identifier(column)}"
            value = f"CASE WHEN {self._highest}.{available} IS NOT NULL THEN {higher} ELSE {value} END"
        if self.feature.max_age is not None:
            oldest = f"spine.{quote_identifier(self.spine.time)} - {_interval(self.feature.max_age)}"
            value = f"CASE WHEN {self._latest}.{available} >= {oldest} THEN {value} END"
        return value

    def _chosen(self, where: str = "") -> str:
        """One row of each key and `available`: the highest by its columns in their order."""
        of_one = [*self.key.values(), self.feature.available]
        values = dict.fromkeys(self.feature.columns.values())
        order = ", ".join(f"{quote_identifier(column)} DESC NULLS LAST" for column in values)
        columns = quote_identifiers(dict.fromkeys([*of_one, *values]))
        return (
            f"\n  SELECT {columns}\n  FROM {quote_dataset(self.feature.from_)}\n  {where}\n"
            f"  QUALIFY row_number() OVER (PARTITION BY {quote_identifiers(of_one)} ORDER BY {order}) = 1\n"
        ).replace("\n  \n", "\n")
