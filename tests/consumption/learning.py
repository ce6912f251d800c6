"""A small project on a plain connection: what the tests of learned models share."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from headwater.consumption.ml.consumer import LearnedModel
from headwater.consumption.ml.spec import LearnedModelSpec
from headwater.contracts.consumer import Consumption, Made
from headwater.core.consumer import DeclaredConsumer
from headwater.core.graph import Location

TRAIN = """
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def train(rows):
    matrix = np.column_stack([column.to_numpy() for column in rows.drop_columns(["label"]).columns])
    return make_pipeline(SimpleImputer(), LogisticRegression(random_state=0)).fit(matrix, rows["label"].to_pylist())
"""

DECLARED: dict[str, Any] = {
    "spine": {"from": "m.spine", "key": "id", "time": "at", "label": "label"},
    "features": [{"from": "m.feature", "columns": ["x", "y"], "available": "known"}],
    "train": "learn.py:train",
    "split": {"test_from": "2024-06-01"},
    "metrics": ["roc_auc"],
    "baseline": "most_frequent",
}


@dataclass
class Learning:
    """A folder with `ml/learn.py` and a connection with a spine of 400 rows and a feature that foretells them."""

    root: Path
    connection: duckdb.DuckDBPyConnection
    declared: dict[str, Any] = field(default_factory=dict)
    made: int = 0

    def write(self, text: str, name: str = "learn.py") -> Path:
        path = self.root / "ml" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def model(self, **changes: Any) -> LearnedModel:
        spec = LearnedModelSpec.model_validate(DECLARED | self.declared | changes)
        place = Location("ml/test.yaml", 1)
        folder = self.root / "ml"
        return LearnedModel(DeclaredConsumer("ml.test", "model", spec, place, str(self.root), folder=str(folder)))

    def make(self, **changes: Any) -> tuple[Made, Path]:
        model = self.model(**changes)
        self.made += 1
        folder = self.root / f"made{self.made}"
        folder.mkdir()
        queries = {query.name: query.sql for query in model.queries()}
        consumption = Consumption(
            self.connection, queries, {"m.spine": 3, "m.feature": 7}, folder, datetime(2025, 1, 1, tzinfo=UTC),
            self.root / "tmp",
        )  # fmt: skip
        return model.make(consumption), folder


def new_learning(root: Path) -> Learning:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2; SET preserve_insertion_order = false; CREATE SCHEMA m")
    connection.execute(
        """
        CREATE TABLE m.feature AS
        SELECT i % 40 AS id, timestamp '2024-01-01' + i * interval 1 day AS known,
          (hash(i) % 1000)::bigint AS x, (hash(i + 7) % 100 / 10)::decimal(6, 2) AS y
        FROM range(400) AS t(i);
        CREATE TABLE m.spine AS
        SELECT i % 40 AS id, timestamp '2024-02-15' + i * interval 12 hour AS "at", (hash(i - 1) % 3 = 0) AS label
        FROM range(400) AS t(i);
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TABLE m.spine AS
        SELECT s.id, s."at", coalesce(f.x > 500, s.label) AS label
        FROM m.spine AS s ASOF LEFT JOIN m.feature AS f ON s.id = f.id AND s."at" >= f.known
        """
    )
    learning = Learning(root, connection)
    learning.write(TRAIN)
    return learning
