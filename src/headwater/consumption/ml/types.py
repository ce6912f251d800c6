"""Whether the types of columns let a model be trained: no comparison that says something else than it seems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.consumption.ml.arrow import base_type, shape_of_feature, shape_of_label
from headwater.consumption.ml.point_in_time import feature_key, score_spine, training_spine
from headwater.consumption.ml.words import Task
from headwater.core.near import suggest
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.consumption.ml.arrow import Shape
    from headwater.consumption.ml.point_in_time import Spine
    from headwater.consumption.ml.spec import FeatureSpec, LearnedModelSpec
    from headwater.core.graph import Location

    ColumnTypes = Mapping[str, Mapping[str, str]]

_LOCAL = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
_INSTANT = "TIMESTAMP WITH TIME ZONE"
_INTEGERS = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
}  # fmt: skip


def check_types(spec: LearnedModelSpec, types: ColumnTypes, at: Location) -> None:
    """Check a declaration against the types of the columns it reads.

    Args:
        spec: The declaration.
        types: DuckDB's type of each column, by dataset; datasets that are not there are not checked.
        at: Where it is declared.

    Raises:
        ProjectError: A column is missing, or of a type that cannot be used or compared as it would be.
    """
    for what, fix in _problems(spec, types):
        raise ProjectError.at(at, what, fix)


def feature_shapes(spec: LearnedModelSpec, types: ColumnTypes) -> dict[str, Shape]:
    """Return what each feature is to a model; the types have been checked."""
    found = {}
    for feature in spec.features:
        for name, column in feature.columns.items():
            shape = shape_of_feature(_type_of(types, feature.from_, column))
            assert shape is not None
            found[name] = shape
    return found


def label_shape(spec: LearnedModelSpec, types: ColumnTypes) -> Shape:
    """Return what the label is; the types have been checked."""
    shape = shape_of_label(_type_of(types, spec.spine.from_, spec.spine.label))
    assert shape is not None
    return shape


def columns_read(spec: LearnedModelSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns it reads, by dataset."""
    read: dict[str, dict[str, None]] = {}
    spines = [spine for spine in (training_spine(spec), score_spine(spec)) if spine]
    for spine in spines:
        named = [*spine.key.values(), spine.time, *([spine.label] if spine.label else [])]
        joined = [spine.column_of(name) for feature in spec.features for name in feature_key(spec, feature)]
        read.setdefault(spine.dataset, {}).update(dict.fromkeys([*named, *joined]))
    for feature in spec.features:
        named = [*feature_key(spec, feature).values(), feature.available, *feature.columns.values()]
        read.setdefault(feature.from_, {}).update(dict.fromkeys(named))
    return {dataset: tuple(columns) for dataset, columns in read.items()}


def _type_of(types: ColumnTypes, dataset: str, column: str) -> str:
    return {name.casefold(): kind for name, kind in types[dataset].items()}[column.casefold()]


def _problems(spec: LearnedModelSpec, types: ColumnTypes) -> Iterator[tuple[str, str]]:
    read = {dataset: columns for dataset, columns in columns_read(spec).items() if dataset in types}
    for dataset, columns in read.items():
        known = {name.casefold() for name in types[dataset]}
        for column in columns:
            if column.casefold() not in known:
                yield f"{dataset} has no column {column!r}", suggest(column, types[dataset])
    known_features = [feature for feature in spec.features if feature.from_ in types]
    for spine in (training_spine(spec), score_spine(spec)):
        if spine and spine.dataset in types:
            yield from _problems_of_spine(spec, spine, types)
            for feature in known_features:
                yield from _problems_of_join(spec, spine, feature, types)
    for feature in known_features:
        for column in feature.columns.values():
            kind = _type_of(types, feature.from_, column)
            if shape_of_feature(kind) is None:
                fix = "cast it to a number, a text or a timestamp, or take it apart into columns"
                yield f"{feature.from_}.{column} is {kind}, which no model is given", fix


def _problems_of_spine(spec: LearnedModelSpec, spine: Spine, types: ColumnTypes) -> Iterator[tuple[str, str]]:
    time = _type_of(types, spine.dataset, spine.time)
    if time not in (*_LOCAL, _INSTANT):
        yield f"{spine.dataset}.{spine.time} is {time}, which is no time", "cast it to a date, timestamp or timestamptz"
    if spec.split and spec.split.moment.tzinfo is not None and time != _INSTANT:
        what = f"split.test_from has a time zone and {spine.dataset}.{spine.time} is {time}"
        yield what, "write test_from without one, or cast the column to timestamptz"
    if spine.label:
        label = _type_of(types, spine.dataset, spine.label)
        shape, at = shape_of_label(label), f"{spine.dataset}.{spine.label}"
        if shape is None:
            yield f"{at} is {label}, which is no label", "cast it to a boolean, a number or a text"
        elif spec.task is Task.NUMBER and base_type(label) in ("VARCHAR", "ENUM"):
            yield f"{at} is {label}, and {spec.metrics[0]} is a metric of numbers", "name a metric of classes: accuracy"


def _problems_of_join(
    spec: LearnedModelSpec, spine: Spine, feature: FeatureSpec, types: ColumnTypes
) -> Iterator[tuple[str, str]]:
    time, known = _type_of(types, spine.dataset, spine.time), _type_of(types, feature.from_, feature.available)
    ours, theirs = f"{spine.dataset}.{spine.time}", f"{feature.from_}.{feature.available}"
    if known not in (*_LOCAL, _INSTANT):
        yield f"{theirs} is {known}, which is no time", "cast it to a date, timestamp or timestamptz"
    elif (time == _INSTANT) != (known == _INSTANT):
        what = f"{ours} is {time} and {theirs} is {known}: which is later depends on a time zone"
        yield what, "cast one of them, with the zone it was written in: x AT TIME ZONE 'Europe/Berlin'"
    elif known == "DATE" and time != "DATE":
        what = f"{theirs} is a date and {ours} is {time}: the day would count as known from its first moment"
        yield what, "say when it was known: available_at + interval 1 day, or cast to timestamp in the model"
    for left, right in feature_key(spec, feature).items():
        column = spine.column_of(left)
        one, other = _type_of(types, spine.dataset, column), _type_of(types, feature.from_, right)
        if one != other and not {one, other} <= _INTEGERS:
            what = f"{spine.dataset}.{column} is {one} and {feature.from_}.{right} is {other}: they are no one key"
            yield what, "cast one of them in its model"
