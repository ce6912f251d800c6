"""The rows as a model gets them: the same types whatever they hold, in training and ever after.

Numbers and booleans are doubles, NULL is NaN; text is text, dates and timestamps are what they are, NULL is null.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from headwater.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class Shape(StrEnum):
    """What a column is to a model."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    BOOLEAN = "boolean"
    INTEGER = "integer"


_NUMBERS = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
    "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN",
}  # fmt: skip
_OTHERS = {
    "VARCHAR": Shape.TEXT, "ENUM": Shape.TEXT, "JSON": Shape.TEXT, "DATE": Shape.DATE, "TIMESTAMP": Shape.TIMESTAMP,
    "TIMESTAMP_S": Shape.TIMESTAMP, "TIMESTAMP_MS": Shape.TIMESTAMP, "TIMESTAMP WITH TIME ZONE": Shape.INSTANT,
}  # fmt: skip
_LABELS = {"BOOLEAN": Shape.BOOLEAN, "VARCHAR": Shape.TEXT, "ENUM": Shape.TEXT}


def base_type(type_name: str) -> str:
    """Return a type of DuckDB's without what stands in parentheses; "" for lists and arrays."""
    return "" if type_name.endswith("]") else type_name.partition("(")[0].strip().upper()


def shape_of_feature(type_name: str) -> Shape | None:
    """Return what a feature of one of DuckDB's types is to a model; None when it can be none."""
    base = base_type(type_name)
    return Shape.NUMBER if base in _NUMBERS else _OTHERS.get(base)


def shape_of_label(type_name: str) -> Shape | None:
    """Return what a label of one of DuckDB's types is: a boolean, an integer, a number or a text; None: no label."""
    base = base_type(type_name)
    if base in _NUMBERS - {"FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT", "UBIGINT", "BOOLEAN"}:
        return Shape.INTEGER
    return _LABELS.get(base) or (Shape.NUMBER if base in _NUMBERS else None)


def cast_for(shape: Shape) -> str:
    """Return DuckDB's type in which a column of a shape is handed over."""
    return {
        Shape.NUMBER: "DOUBLE",
        Shape.TEXT: "VARCHAR",
        Shape.DATE: "DATE",
        Shape.TIMESTAMP: "TIMESTAMP",
        Shape.INSTANT: "TIMESTAMP WITH TIME ZONE",
        Shape.BOOLEAN: "BOOLEAN",
        Shape.INTEGER: "BIGINT",
    }[shape]


def shaped(table: pa.Table, shapes: Mapping[str, Shape]) -> pa.Table:
    """Return the columns that are named, each in the type of its shape.

    Raises:
        StepError: A column is missing, or its values are of another shape.
    """
    import pyarrow as pa

    columns = {}
    for name, shape in shapes.items():
        if name not in table.column_names:
            raise StepError(f"the rows have no column {name!r}", fix="train the model again")
        try:
            columns[name] = _shaped(table[name], shape)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            what = f"the column {name!r} is {table[name].type}, where the model knows a {shape}"
            raise StepError(what, fix="train the model again") from None
    return pa.table(columns)


def _shaped(column: Any, shape: Shape) -> Any:
    """Cast a chunked array; numbers get NaN for NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.combine_chunks() if not isinstance(column, pa.ChunkedArray) else column
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    is_text = _is_text(column.type)
    if is_text != (shape is Shape.TEXT):
        raise pa.ArrowInvalid("text where there was none, or none where there was text")
    if shape is Shape.NUMBER:
        if pa.types.is_temporal(column.type):
            raise pa.ArrowInvalid("a time where there was a number")
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        return pc.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
    return column.cast(_types()[shape])


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _types() -> Mapping[Shape, Any]:
    import pyarrow as pa

    return {
        Shape.TEXT: pa.string(),
        Shape.DATE: pa.date32(),
        Shape.TIMESTAMP: pa.timestamp("us"),
        Shape.INSTANT: pa.timestamp("us", "UTC"),
        Shape.BOOLEAN: pa.bool_(),
        Shape.INTEGER: pa.int64(),
    }


def as_input(table: pa.Table, estimator: Any) -> Any:
    """Return the features as an estimator is asked by them.

    One that was fitted on named columns (`feature_names_in_`) gets a frame; any other gets a matrix of the features
    in their declared order, of doubles, or of objects where one is no number. One that was fitted on texts and not on
    columns (a vectorizer stands first) gets the texts of the only feature.
    """
    import numpy as np

    if hasattr(estimator, "feature_names_in_"):
        return _frame(table)
    arrays = [column.to_numpy() for column in table.columns]
    if len(arrays) == 1 and not hasattr(estimator, "n_features_in_"):
        return arrays[0]
    kind = np.float64 if all(array.dtype == np.float64 for array in arrays) else object
    matrix = np.empty((table.num_rows, len(arrays)), dtype=kind)
    for at, array in enumerate(arrays):
        matrix[:, at] = array
    return matrix


def _frame(table: pa.Table) -> Any:
    """Return a frame of pandas or, where that is not installed, of polars."""
    if importlib.util.find_spec("pandas"):
        return table.to_pandas()
    import polars

    return polars.from_arrow(table)
