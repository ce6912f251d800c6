"""What was known at the time: for every row of the spine the latest row of each feature, as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql, quote_dataset, quote_identifier, quote_identifiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from headwater.consumption.ml.spec import FeatureSpec, LearnedModelSpec
    from headwater.core.fragments import IdentifierSql, PredicateSql

MICROSECOND_S = 1e-6


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


def point_in_time(spec: LearnedModelSpec, spine: Spine, tied: Sequence[bool] | None = None) -> SelectSql:
    """Return the SELECT of a spine's rows, each with what was known of it at its time: key, time, features, label.

    Every row of the spine is there once, as often as it is in the spine. Of a feature it gets the row of its key with
    the latest `available` that is not after its time; NULL where there is none, or it is older than `max_age`. Of
    several of one `available` it gets the highest by the feature's columns in their order, NULL the lowest.

    Args:
        spec: The declaration.
        spine: The rows.
        tied: For each feature whether it may have several rows of one key and `available`; None: all may. Where there
            are none the query is the plain join.
    """
    columns = [f"spine.{quote_identifier(column)} AS {quote_identifier(name)}" for name, column in spine.key.items()]
    columns.append(f"spine.{quote_identifier(spine.time)} AS {quote_identifier(spine.time_name)}")
    joins = []
    for number, feature in enumerate(spec.features):
        alias = f"feature_{number + 1}"
        columns += _feature_columns(feature, spine, alias)
        joins.append(_join(spec, feature, spine, alias, tied is None or tied[number]))
    if spine.label:
        columns.append(f"spine.{quote_identifier(spine.label)} AS {quote_identifier(spine.label)}")
    listed = ",\n  ".join(columns)
    return SelectSql(f"SELECT\n  {listed}\nFROM {quote_dataset(spine.dataset)} AS spine\n" + "\n".join(joins))


def ties(spec: LearnedModelSpec, feature: FeatureSpec) -> SelectSql:
    """Return the SELECT of one row when a feature has several rows of one key and `available`, or of none.

    It compares hashes: two different ones that are taken for the same cost time and change no row.
    """
    hashed = quote_identifiers([*feature_key(spec, feature).values(), feature.available])
    return SelectSql(
        f"SELECT rows FROM (SELECT count(*) AS rows, count(DISTINCT hash({hashed})) AS different "
        f"FROM {quote_dataset(feature.from_)}) WHERE rows > different"
    )


def halves(spec: LearnedModelSpec, column: IdentifierSql) -> tuple[PredicateSql, PredicateSql]:
    """Return the conditions of the training half and of the test half on a column of times."""
    from headwater.core.fragments import PredicateSql

    if spec.split is None:
        return PredicateSql(f"{column} IS NOT NULL"), PredicateSql("false")
    ends, begins = spec.split.moment - spec.split.gap, spec.split.moment
    kind = "TIMESTAMP" if begins.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
    return (
        PredicateSql(f"{column} < {kind} '{ends.isoformat(' ')}'"),
        PredicateSql(f"{column} >= {kind} '{begins.isoformat(' ')}'"),
    )


def _feature_columns(feature: FeatureSpec, spine: Spine, alias: str) -> list[str]:
    columns = []
    for name, column in feature.columns.items():
        value = f"{alias}.{quote_identifier(column)}"
        if feature.max_age is not None:
            oldest = f"spine.{quote_identifier(spine.time)} - {_interval(feature.max_age)}"
            value = f"CASE WHEN {alias}.{quote_identifier(feature.available)} >= {oldest} THEN {value} END"
        columns.append(f"{value} AS {quote_identifier(name)}")
    return columns


def _interval(age: timedelta) -> str:
    return f"INTERVAL '{age.days * 86_400_000_000 + age.seconds * 1_000_000 + age.microseconds} microseconds'"


def _join(spec: LearnedModelSpec, feature: FeatureSpec, spine: Spine, alias: str, tied: bool) -> str:
    key = feature_key(spec, feature)
    same = [
        f"spine.{quote_identifier(spine.column_of(ours))} = {alias}.{quote_identifier(theirs)}"
        for ours, theirs in key.items()
    ]
    known = f"spine.{quote_identifier(spine.time)} >= {alias}.{quote_identifier(feature.available)}"
    rows = f"({_highest(feature, list(key.values()))})" if tied else quote_dataset(feature.from_)
    return f"ASOF LEFT JOIN {rows} AS {alias}\n  ON {' AND '.join([*same, known])}"


def _highest(feature: FeatureSpec, key: Sequence[str]) -> str:
    """One row of each key and `available`: the highest by its columns in their order."""
    of_one = quote_identifiers([*key, feature.available])
    values = dict.fromkeys(feature.columns.values())
    order = ", ".join(f"{quote_identifier(column)} DESC NULLS LAST" for column in values)
    columns = quote_identifiers(dict.fromkeys([*key, feature.available, *values]))
    return (
        f"\n  SELECT {columns}\n  FROM {quote_dataset(feature.from_)}\n"
        f"  QUALIFY row_number() OVER (PARTITION BY {of_one} ORDER BY {order}) = 1\n"
    )
