"""Training, end to end: on a plain connection, in real processes, by scikit-learn and skops themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.errors import HeadwaterError, ProjectError, StepError, UserCodeError
from tests.consumption.learning import Learning

pytestmark = pytest.mark.usefixtures("warm_training")

HEAD = """\
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, LinearRegression
from sklearn.pipeline import make_pipeline

def matrix(rows):
    return np.column_stack([column.to_numpy() for column in rows.drop_columns(["label"]).columns])

"""


def fail(learning: Learning, kind: type[HeadwaterError] = HeadwaterError, **changes: Any) -> HeadwaterError:
    """Make a model that cannot be made; nothing may be left but in the folder, which is not committed."""
    with pytest.raises(kind) as failed:
        learning.make(**changes)
    return failed.value


def test_what_is_made(learning: Learning) -> None:
    made, folder = learning.make(metrics=["roc_auc", "average_precision", "log_loss", "accuracy", "f1"])
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.skops", "training.parquet"]
    assert made.rows == 400
    assert not made.refused
    details = dict(made.details)
    assert details["rows"] == {"train": 214, "test": 186}
    assert details["dropped"] == {"without_time": 0, "without_label": 0, "in_gap": 0}
    assert details["features"] == {"x": "number", "y": "number"}
    assert (details["task"], details["classes"], details["positive"]) == ("classification", [False, True], True)
    assert list(details["metrics"]) == ["roc_auc", "average_precision", "log_loss", "accuracy", "f1"]
    assert details["metrics"]["roc_auc"] > 0.9
    assert details["baseline"]["metrics"]["roc_auc"] == 0.5
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert card["inputs"] == {"m.spine": 3, "m.feature": 7}
    assert set(card["libraries"]) == {"python", "numpy", "pyarrow", "scikit-learn", "scipy", "skops"}
    assert {key: card[key] for key in details} == json.loads(json.dumps(details))


def test_the_metrics_are_those_of_the_rows_that_are_kept(learning: Learning) -> None:
    """What is stored is what was measured: computed again here, from the files alone."""
    import skops.io
    from sklearn import metrics

    made, folder = learning.make(metrics=["roc_auc", "log_loss", "brier_score"], baseline=None)
    rows = pq.read_table(folder / "training.parquet")
    test = rows.filter(pa.compute.equal(rows["split"], "test")).to_pandas()
    model = skops.io.load(folder / "model.skops", trusted=["numpy.dtype"])
    sure = model.predict_proba(test[["x", "y"]].astype(float).to_numpy())
    assert made.details["metrics"] == {
        "roc_auc": pytest.approx(metrics.roc_auc_score(test["label"], sure[:, 1])),
        "log_loss": pytest.approx(metrics.log_loss(test["label"], sure)),
        "brier_score": pytest.approx(metrics.brier_score_loss(test["label"], sure[:, 1])),
    }


def test_a_refit_is_the_same_version_whatever_the_order_of_the_rows(learning: Learning) -> None:
    first, one = learning.make()
    learning.connection.execute(
        "CREATE OR REPLACE TABLE m.spine AS SELECT * FROM m.spine ORDER BY hash(id, label);"
        "CREATE OR REPLACE TABLE m.feature AS SELECT * FROM m.feature ORDER BY hash(x)"
    )
    second, other = learning.make()
    assert first.details == second.details
    assert pq.read_table(one / "training.parquet").equals(pq.read_table(other / "training.parquet"))
    assert (one / "model.json").read_bytes() == (other / "model.json").read_bytes()
    learning.connection.execute("UPDATE m.spine SET label = NOT label WHERE id = 3")
    third, _ = learning.make()
    assert third.details["model_version"] != first.details["model_version"]


def test_the_gap_and_what_is_left_out(learning: Learning) -> None:
    learning.connection.execute(
        """INSERT INTO m.spine VALUES (1, NULL, true), (1, '2024-03-01', NULL), (1, '2024-07-01', NULL),
        (NULL, '2024-03-01 00:00:00.5', true)"""
    )
    made, folder = learning.make(split={"test_from": "2024-06-01", "gap": "10d"})
    assert made.details["dropped"] == {"without_time": 1, "without_label": 2, "in_gap": 20}
    assert made.details["rows"] == {"train": 214 - 20 + 1, "test": 186}
    rows = pq.read_table(folder / "training.parquet").to_pylist()
    assert max(row["at"] for row in rows if row["split"] == "train").isoformat() == "2024-05-21T12:00:00"
    assert min(row["at"] for row in rows if row["split"] == "test").isoformat() == "2024-06-01T00:00:00"
    assert [row["x"] for row in rows if row["id"] is None] == [None]


def test_only_the_training_half_goes_in_and_in_which_types(learning: Learning) -> None:
    learning.connection.execute(
        """
        CREATE OR REPLACE TABLE m.feature AS SELECT *, x::hugeint AS big, x > 500 AS flag, known::date AS day,
          known::timestamptz AS instant, known AS moment, CASE WHEN x > 30 THEN 'große Zahl' END AS words,
          'a'::ENUM('a', 'b') AS kind, '{}'::json AS told, x::utinyint AS small, 1.5::float AS half
        FROM (SELECT id, known, x % 100 AS x, y FROM m.feature)
        """
    )
    columns = ["x", "y", "big", "flag", "small", "half", "words", "kind", "told", "day", "instant", "moment"]
    learning.write(
        HEAD
        + """
def train(rows):
    print(rows.num_rows)
    for field in rows.schema: print(field.name, field.type, rows[field.name].null_count)
    numbers = rows.select(["x", "y", "label"])
    class Odd(Exception): ...
    raise Odd("stop")
"""
    )
    learning.connection.execute("INSERT INTO m.spine VALUES (77, '2024-03-01', true)")  # nothing is known of it
    error = fail(learning, UserCodeError, features=[{"from": "m.feature", "columns": columns, "available": "known"}])
    printed = error.what.splitlines()[1:]
    assert printed == [
        "215",
        *(f"{name} double 0" for name in columns[:6]),
        "words string " + printed[7].split()[2], "kind string 1", "told string 1", "day date32[day] 1",
        "instant timestamp[us, tz=UTC] 1", "moment timestamp[us] 1", "label bool 0",
    ]  # fmt: skip
    assert int(printed[7].split()[2]) > 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("DELETE FROM m.spine WHERE \"at\" < '2024-06-01'", "the training half is empty"),
        ("DELETE FROM m.spine WHERE \"at\" >= '2024-06-01'", "the test half is empty"),
        ("UPDATE m.spine SET label = NULL WHERE \"at\" >= '2024-06-01'", "the test half is empty"),
        ("DELETE FROM m.spine", "the training half is empty"),
        ("UPDATE m.spine SET label = true WHERE \"at\" < '2024-06-01'", "of the training half have one label"),
        ("UPDATE m.spine SET label = true WHERE \"at\" >= '2024-06-01'", "roc_auc needs rows of every class"),
        ("UPDATE m.feature SET x = NULL", "x: NULL in all rows of the training half"),
        ("UPDATE m.feature SET known = '2030-01-01'", "x, y: NULL in all rows of the training half"),
    ],
)
def test_nothing_to_learn_from(learning: Learning, change: str, what: str) -> None:
    learning.connection.execute(change)
    error = fail(learning, StepError)
    assert what in error.what
    assert error.fix
    assert error.path


def test_a_label_that_is_no_number(learning: Learning) -> None:
    learning.connection.execute(
        "ALTER TABLE m.spine ALTER label TYPE DOUBLE; UPDATE m.spine SET label = 'nan' WHERE id = 1"
    )
    error = fail(learning, metrics=["rmse"], baseline="mean")
    assert error.what == "m.spine.label is NaN or infinite in 10 rows"


def test_a_metric_that_is_no_number(learning: Learning) -> None:
    """A model may foretell NaN; that is never stored."""
    learning.connection.execute("ALTER TABLE m.spine ALTER label TYPE DOUBLE")
    learning.write(
        HEAD
        + """
from sklearn.base import BaseEstimator, RegressorMixin
class Odd(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self
    def predict(self, X):
        return np.full(len(X), np.nan)
def train(rows):
    return Odd().fit(matrix(rows), rows["label"].to_numpy())
"""
    )
    error = fail(learning, metrics=["rmse"], baseline="mean", trust=["learn.Odd"])
    assert "rmse cannot be computed on the test half" in error.what
    assert "NaN" in error.what


def test_a_model_no_better_than_the_baseline_is_refused(learning: Learning) -> None:
    learning.write(
        HEAD
        + """
from sklearn.dummy import DummyClassifier
def train(rows):
    return DummyClassifier(strategy="prior").fit(matrix(rows), rows["label"].to_pylist())
"""
    )
    made, _ = learning.make(must_beat_baseline=True)
    assert made.refused == "roc_auc is 0.5 on the test half, no better than 0.5 of the baseline most_frequent"
    made, _ = learning.make(must_beat_baseline=True, metrics=["log_loss"])  # less is better there, and 16 is worse
    assert not made.refused


def test_numbers(learning: Learning) -> None:
    learning.connection.execute(
        'CREATE OR REPLACE TABLE m.spine AS SELECT id, "at", (id * 2)::integer AS label FROM m.spine'
    )
    learning.write(
        HEAD
        + """
def train(rows):
    assert str(rows["label"].type) == "double"
    return make_pipeline(SimpleImputer(), LinearRegression()).fit(matrix(rows), rows["label"].to_numpy())
"""
    )
    made, folder = learning.make(
        metrics=["rmse", "mae", "mse", "median_ae", "r2"], baseline="mean", must_beat_baseline=True,
        score={"rows": "m.spine", "into": "lake"},
    )  # fmt: skip
    assert made.details["task"] == "regression"
    assert "classes" not in made.details
    assert made.details["metrics"]["mse"] == pytest.approx(made.details["metrics"]["rmse"] ** 2)
    assert made.details["baseline"]["metrics"]["r2"] < 0.1
    scores = score(learning, folder)
    assert str(scores.schema.field("score").type) == "double"
    assert len({round(value, 3) for value in scores["score"].to_pylist()}) > 20


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("CASE WHEN id % 3 = 0 THEN 'red' WHEN id % 3 = 1 THEN 'green' ELSE 'blue' END", ["blue", "green", "red"]),
        ("id % 3", [0, 1, 2]),
        ("(id % 3)::hugeint", [0.0, 1.0, 2.0]),
    ],
)
def test_more_than_two_classes(learning: Learning, label: str, classes: list[Any]) -> None:
    learning.connection.execute(
        f'CREATE OR REPLACE TABLE m.spine AS SELECT id, "at", {label} AS label FROM m.spine;'
        "UPDATE m.feature SET x = id % 3 * 100 + x % 50"
    )
    made, folder = learning.make(
        metrics=["roc_auc", "average_precision", "log_loss", "brier_score", "f1", "balanced_accuracy"],
        baseline="prior", score={"rows": "m.spine", "into": "lake"}, must_beat_baseline=True,
    )  # fmt: skip
    assert made.details["classes"] == classes
    assert "positive" not in made.details
    assert made.details["metrics"]["roc_auc"] > 0.8
    assert made.details["baseline"]["metrics"]["roc_auc"] == 0.5
    assert set(score(learning, folder)["score"].to_pylist()) <= set(classes)


@pytest.mark.parametrize(
    ("label", "classes"),
    [("if(label, 'yes', 'no')", ["no", "yes"]), ("label::tinyint", [0, 1]), ("label::double", [0.0, 1.0])],
)
def test_two_classes_of_other_types(learning: Learning, label: str, classes: list[Any]) -> None:
    learning.connection.execute(f'CREATE OR REPLACE TABLE m.spine AS SELECT id, "at", {label} AS label FROM m.spine')
    every = ["roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1", "precision", "recall"]
    made, _ = learning.make(metrics=every)
    assert made.details["classes"] == classes
    assert made.details["positive"] == classes[1]
    plain = Learning(learning.root, learning.connection, made=learning.made)
    plain.connection.execute("ALTER TABLE m.spine ALTER label TYPE BOOLEAN USING label::varchar IN ('yes', '1', '1.0')")
    again, _ = plain.make(metrics=every)
    assert again.details["metrics"] == made.details["metrics"]


def test_svm_has_no_probabilities(learning: Learning) -> None:
    learning.write(
        HEAD
        + """
from sklearn.svm import LinearSVC
def train(rows):
    svc = LinearSVC(random_state=0, dual=False)
    return make_pipeline(SimpleImputer(), svc).fit(matrix(rows), rows["label"].to_pylist())
"""
    )
    made, folder = learning.make(baseline=None, score={"rows": "m.spine", "into": "lake"})
    assert made.details["metrics"]["roc_auc"] > 0.8
    assert min(score(learning, folder)["score"].to_pylist()) < 0
    error = fail(learning, metrics=["log_loss"])
    assert error.what == "log_loss needs an estimator with predict_proba"


def test_without_a_split_all_rows_are_learned_from(learning: Learning) -> None:
    made, folder = learning.make(split=None, metrics=[], baseline=None)
    assert made.details["rows"] == {"train": 400, "test": 0}
    assert "metrics" not in made.details
    assert made.details["task"] == "classification"
    assert set(pq.read_table(folder / "training.parquet")["split"].to_pylist()) == {"train"}


def score(learning: Learning, folder: Path) -> pa.Table:
    model = learning.model(score={"rows": "m.spine", "into": "lake"})
    query = next(query.sql for query in model.queries() if query.name == "score")
    rows = learning.connection.execute(query).to_arrow_reader(100)
    return model.score(folder, rows, learning.root / "tmp")


def test_scores_are_one_per_row_in_their_order(learning: Learning) -> None:
    made, folder = learning.make(score={"rows": "m.spine", "into": "lake"})
    model = learning.model(score={"rows": "m.spine", "into": "lake"})
    query = model.fastest(learning.connection, "score")
    rows = learning.connection.execute(query).to_arrow_table()
    scores = model.score(folder, rows, learning.root / "tmp")
    assert scores.column_names == ["id", "at", "score", "model_version"]
    assert scores.select(["id", "at"]).equals(rows.select(["id", "at"]))
    assert set(scores["model_version"].to_pylist()) == {made.details["model_version"]}
    one_by_one = model.score(folder, pa.Table.from_batches(rows.to_batches(max_chunksize=7)), learning.root / "tmp")
    assert one_by_one["score"].to_pylist() == scores["score"].to_pylist()
    assert score(learning, folder).num_rows == 400
    none = model.score(folder, rows.slice(0, 0), learning.root / "tmp")
    assert (none.num_rows, none.column_names) == (0, scores.column_names)
    assert list((learning.root / "tmp").iterdir()) == []


def test_scores_by_another_model_than_that_of_the_card(learning: Learning) -> None:
    made, folder = learning.make()
    card = folder / "model.json"
    card.write_text(
        card.read_text(encoding="utf-8").replace(str(made.details["model_version"]), "0" * 16), encoding="utf-8"
    )
    with pytest.raises(StepError, match="not the one of its card"):
        score(learning, folder)


def test_scores_of_rows_of_other_types(learning: Learning) -> None:
    _, folder = learning.make()
    learning.connection.execute("ALTER TABLE m.feature ALTER x TYPE VARCHAR")
    with pytest.raises(UserCodeError, match="the column 'x' is string, where the model knows a number"):
        score(learning, folder)


TEXT = """
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
import numpy as np
"""


def with_words(learning: Learning) -> None:
    learning.connection.execute(
        """CREATE OR REPLACE TABLE m.feature AS SELECT *,
        if(x > 500, 'late again and Zwölf', 'on time, ' || x) AS words, if(x % 2 = 0, NULL, 'odd') AS kind
        FROM m.feature"""
    )
    learning.connection.execute("DELETE FROM m.spine WHERE \"at\" < '2024-03-10'")  # before that nothing is known


@pytest.mark.parametrize(
    ("columns", "train"),
    [
        (["words"], "make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(rows['words'].to_pylist(), y)"),
        (["kind"], "make_pipeline(OneHotEncoder(handle_unknown='ignore'), LogisticRegression()).fit("
                   "np.array(rows['kind'].to_pylist(), dtype=object)[:, None], y)"),
        (["x", "words", "kind"], "make_pipeline(ColumnTransformer([('t', TfidfVectorizer(), 1), "
                                 "('k', OneHotEncoder(handle_unknown='ignore'), [2])]), LogisticRegression()).fit("
                                 "np.column_stack([np.array(rows[c].to_pylist(), dtype=object) "
                                 "for c in ('x', 'words', 'kind')]), y)"),
        (["x", "words", "kind"], "make_pipeline(ColumnTransformer([('t', TfidfVectorizer(), 'words'), "
                                 "('k', OneHotEncoder(handle_unknown='ignore'), ['kind'])]), LogisticRegression()).fit("
                                 "rows.drop_columns(['label']).to_pandas(), y)"),
    ],
)  # fmt: skip
def test_text_is_the_estimators_matter(learning: Learning, columns: list[str], train: str) -> None:
    with_words(learning)
    learning.write(f"{TEXT}\ndef train(rows):\n    y = rows['label'].to_pylist()\n    return {train}\n")
    features = [{"from": "m.feature", "columns": columns, "available": "known"}]
    made, folder = learning.make(features=features)
    if "words" in columns:
        assert made.details["metrics"]["roc_auc"] > 0.95
    learning.declared = {"features": features}
    assert score(learning, folder).num_rows == made.rows
    if columns == ["x", "words", "kind"]:
        assert learning.make(features=features)[0].details["model_version"] == made.details["model_version"]


def test_the_type_of_a_feature_is_checked_when_it_is_made(learning: Learning) -> None:
    learning.connection.execute("ALTER TABLE m.feature ALTER known TYPE DATE")
    with pytest.raises(ProjectError, match="known from its first moment"):
        learning.make()
