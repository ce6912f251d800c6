"""The rows a model is trained and measured on: counted, checked, and written as Parquet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from headwater.consumption.ml.arrow import Shape, cast_for
from headwater.consumption.ml.failures import hide_values
from headwater.consumption.ml.point_in_time import halves
from headwater.consumption.ml.spec import SPLIT
from headwater.consumption.ml.types import feature_shapes, label_shape
from headwater.consumption.ml.words import Task
from headwater.core.fragments import quote_dataset, quote_identifier, quote_identifiers, quote_text
from headwater.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.consumption.ml.spec import LearnedModelSpec
    from headwater.consumption.ml.types import ColumnTypes
    from headwater.core.fragments import SelectSql
    from headwater.core.graph import Location


def read_types(spec: LearnedModelSpec, connection: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return the types of all columns of the datasets that a model learns from."""
    return {
        dataset: {
            name: kind
            for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {quote_dataset(dataset)}").fetchall()
        }
        for dataset in dict.fromkeys([spec.spine.from_, *(feature.from_ for feature in spec.features)])
    }


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the rows of the spine.

    Attributes:
        train: Rows of the training half.
        test: Rows of the test half.
        without_time: Rows of neither, for they have no time.
        without_label: Rows of neither, for they have no label: what would come true is not known yet.
        in_gap: Rows of neither, for they lie in the gap.
        train_classes: Different labels in the training half.
        odd_labels: Labels that are no number (NaN, infinite).
    """

    train: int
    test: int
    without_time: int
    without_label: int
    in_gap: int
    train_classes: int
    odd_labels: int

    def to_json(self) -> dict[str, Any]:
        """Return what `show` says of them."""
        counts = asdict(self)
        dropped = {name: counts[name] for name in ("without_time", "without_label", "in_gap")}
        return {"rows": {"train": self.train, "test": self.test}, "dropped": dropped}


class TrainingRows:
    """The training rows of one declaration; the types of its columns have been checked."""

    def __init__(self, spec: LearnedModelSpec, types: ColumnTypes, at: Location) -> None:
        self._spec = spec
        self._at = at
        self._features = feature_shapes(spec, types)
        kinds = types[spec.spine.from_]
        self._wide = [name.casefold() for name, kind in kinds.items() if kind in ("HUGEINT", "UHUGEINT")]
        self._label = Shape.NUMBER if spec.task is Task.NUMBER else label_shape(spec, types)

    def request(self) -> dict[str, Any]:
        """Return what a process has to know of them."""
        shapes = {name: shape.value for name, shape in self._features.items()}
        return {"features": shapes, "label": self._spec.spine.label, "label_shape": self._label.value}

    def count(self, connection: DuckDBPyConnection) -> RowCounts:
        """Count the rows of the spine by what becomes of them.

        Raises:
            StepError: There is nothing to learn from, or to measure on.
        """
        spine = self._spec.spine
        time, label = quote_identifier(spine.time), quote_identifier(spine.label)
        train, test = halves(self._spec, time)
        known = f"{time} IS NOT NULL AND {label} IS NOT NULL"
        odd = f"NOT isfinite({label}::DOUBLE)" if self._label is Shape.NUMBER else "false"
        row = connection.execute(
            f"SELECT count(*) FILTER ({known} AND {train}), count(*) FILTER ({known} AND {test}), "
            f"count(*) FILTER ({time} IS NULL), count(*) FILTER ({time} IS NOT NULL AND {label} IS NULL), "
            f"count(*) FILTER ({known} AND NOT ({train}) AND NOT ({test})), "
            f"count(DISTINCT {label}) FILTER ({known} AND {train}), count(*) FILTER ({known} AND {odd}) "
            f"FROM {quote_dataset(spine.from_)}"
        ).fetchone()
        assert row is not None
        counts = RowCounts(*row)
        self._check(counts)
        return counts

    def write(self, connection: DuckDBPyConnection, query: SelectSql, path: Path, counts: RowCounts) -> None:
        """Write the rows of both halves, in an order of their own whatever the order they are stored in.

        Raises:
            StepError: A feature is NULL in all rows of the training half, or rows are missing.
        """
        spine = self._spec.spine
        time, label = quote_identifier(spine.time), quote_identifier(spine.label)
        train, test = halves(self._spec, time)
        features = [
            f"{quote_identifier(name)}::{cast_for(shape)} AS {quote_identifier(name)}"
            for name, shape in self._features.items()
        ]
        labelled = f"{label}::{cast_for(self._label)} AS {label}"
        columns = [*(self._key(name) for name in spine.key), time, *features, labelled]
        order = quote_identifiers([spine.time, *spine.key, spine.label, *self._features])
        written = connection.execute(
            f"COPY (SELECT {', '.join(columns)}, CASE WHEN {train} THEN 'train' ELSE 'test' END AS {SPLIT} "
            f"FROM (\n{query}\n) WHERE {label} IS NOT NULL AND ({train} OR {test}) ORDER BY {order}) "
            f"TO {quote_text(str(path))} (FORMAT parquet)"
        ).fetchone()
        if written is None or written[0] != counts.train + counts.test:
            raise StepError("the training rows are not the rows of the spine", fix="run again: did the spine change?")
        self._check_known(connection, path)

    def hider(self, path: Path) -> Callable[[str], str]:
        """Return what takes the texts of written rows out of a text."""

        def hide(text: str) -> str:
            import pyarrow.compute as pc
            import pyarrow.parquet as pq

            shapes = {**self._features, self._spec.spine.label: self._label}
            names = [name for name, shape in shapes.items() if shape is Shape.TEXT]
            table = pq.read_table(path, columns=names)
            return hide_values(text, {word for name in names for word in pc.unique(table[name]).to_pylist() if word})

        return hide

    def _key(self, name: str) -> str:
        """A column of the key; Parquet has no integer of 128 bits, and DuckDB would write a double."""
        column = quote_identifier(name)
        return f"{column}::VARCHAR AS {column}" if name.casefold() in self._wide else column

    def _check(self, counts: RowCounts) -> None:
        spine, split = self._spec.spine, self._spec.split
        if not counts.train:
            before = f" before {(split.moment - split.gap).isoformat(' ')}" if split else ""
            raise self._error(
                f"the training half is empty: {spine.from_} has no row with {spine.time} and {spine.label}{before}",
                "set split.test_from later, or see what fills the spine",
            )
        if split and not counts.test:
            raise self._error(
                f"the test half is empty: {spine.from_} has no row with {spine.label} from {split.test_from} on",
                "set split.test_from earlier, or see what fills the spine",
            )
        if counts.odd_labels:
            raise self._error(
                f"{spine.from_}.{spine.label} is NaN or infinite in {counts.odd_labels} rows",
                "make it NULL where it is not known: such rows are left out",
            )
        if counts.train_classes < 2 and self._spec.task is not Task.NUMBER:
            raise self._error(
                f"all {counts.train} rows of the training half have one {spine.label}: there is nothing to tell apart",
                "set split.test_from later, or see how the label is made",
            )

    def _check_known(self, connection: DuckDBPyConnection, path: Path) -> None:
        counted = ", ".join(f"count({quote_identifier(name)})" for name in self._features)
        row = connection.execute(
            f"SELECT {counted} FROM read_parquet({quote_text(str(path))}) WHERE {SPLIT} = 'train'"
        ).fetchone()
        assert row is not None
        unknown = [name for name, count in zip(self._features, row, strict=True) if not count]
        if unknown:
            raise self._error(
                f"{', '.join(unknown)}: NULL in all rows of the training half, so nothing was known at their time",
                "see key, available and max_age of the feature, or leave it out",
            )

    def _error(self, what: str, fix: str) -> StepError:
        return StepError.at(self._at, what, fix)
