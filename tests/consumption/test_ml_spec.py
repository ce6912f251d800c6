"""What a declaration of a model that learns may say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from headwater.consumption.ml.consumer import LearnedModel
from headwater.consumption.ml.spec import LearnedModelSpec
from headwater.consumption.ml.words import MetricName
from headwater.core.consumer import DeclaredConsumer
from headwater.core.graph import Location
from headwater.documents import parse_document
from headwater.errors import ProjectError
from headwater.validate import validate
from tests.consumption.learning import DECLARED, Learning

CHURN = """\
kind: model
spine: {from: marts.churn_labels, key: customer_id, time: as_of, label: churned}
features:
  - {from: marts.order_history, columns: [orders_so_far, spent_so_far], available: ordered_at, max_age: 365d}
train: churn.py:train                     # def train(rows: pyarrow.Table) -> estimator
split: {test_from: 2025-06-01, gap: 90d}   # the label looks 90 days ahead
metrics: [roc_auc]
baseline: most_frequent
score: {rows: marts.churn_labels, into: lakehouse}   # gives ml.churn_scores
"""
TRAIN = "def train(rows):\n    return rows\n"


def read(text: str) -> tuple[LearnedModelSpec | None, list[ProjectError]]:
    """Read a declaration as the loader reads those of other kinds: `kind` is not the kind's own key."""
    document = parse_document(text, "ml/churn.yaml")
    errors: list[ProjectError] = []
    data = {key: value for key, value in document.data.items() if key != "kind"}
    return validate(LearnedModelSpec, data, document, (), errors), errors


def test_the_example_is_accepted_as_it_stands(tmp_path: Path) -> None:
    spec, errors = read(CHURN)
    assert errors == []
    assert spec is not None
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml/churn.py").write_text(TRAIN, encoding="utf-8")
    model = LearnedModel(
        DeclaredConsumer(
            "ml.churn", "model", spec, Location("ml/churn.yaml", 1), str(tmp_path), folder=str(tmp_path / "ml")
        )
    )
    assert [query.name for query in model.queries()] == ["training", "score"]
    assert model.files() == (str(tmp_path / "ml/churn.py"),)
    assert list(spec.reads()) == ["marts.churn_labels", "marts.order_history"]
    model.check_types(
        {
            "marts.churn_labels": {"customer_id": "BIGINT", "as_of": "DATE", "churned": "BOOLEAN"},
            "marts.order_history": {
                "customer_id": "BIGINT", "ordered_at": "TIMESTAMP", "orders_so_far": "BIGINT",
                "spent_so_far": "DECIMAL(38,2)",
            },
        }
    )  # fmt: skip


def test_the_documentation_shows_what_is_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs/machine-learning.md").read_text(encoding="utf-8")
    shown = page.partition("```yaml\n")[2].partition("```")[0]
    assert read(shown)[1] == []
    metrics = set(re.findall(r"`(\w+)`", page.partition("## What is measured")[2].partition("Of two")[0]))
    assert metrics == {name.value for name in MetricName}
    assert set(re.findall(r"^\| `(\w+)", page.partition("## What was known")[0], re.MULTILINE)) | {"owner", "kind"} == {
        *(info.alias or name for name, info in LearnedModelSpec.model_fields.items()), "kind",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        (("label: churned", "label: churned, lable: x"), "unknown word 'lable'", "did you mean 'label'?"),
        (("metrics: [roc_auc]", "metrics: [roc_acu]"), "'roc_acu' is not known", "did you mean 'roc_auc'?"),
        (("metrics: [roc_auc]", "metrix: [roc_auc]"), "unknown word 'metrix'", "did you mean 'metrics'?"),
        (("max_age: 365d", "max_ages: 365d"), "unknown word 'max_ages'", "did you mean 'max_age'?"),
        (("365d", "0d"), "nothing is that young", ""),
        (("2025-06-01", "June"), "'June' is not an ISO date", ""),
        (("churn.py:train", "churn.py"), "write it as file.py:function", ""),
        (("churn.py:train", "../churn.py:train"), "beside the declaration", ""),
        (("churn.py:train", "/etc/churn.py:train"), "beside the declaration", ""),
        (
            ("[orders_so_far, spent_so_far]", "[orders_so_far, churned]"),
            "'churned' is the name of the spine's label",
            "",
        ),
        (("[orders_so_far, spent_so_far]", "[orders_so_far, Customer_ID]"), "is the name of the spine's key", ""),
        (("[orders_so_far, spent_so_far]", "[a, a]"), "'a' stands twice", ""),
        (("[orders_so_far, spent_so_far]", "{a: x, A: y}"), "'A' is the name of", ""),
        (("[orders_so_far, spent_so_far]", "[]"), "no column is named", ""),
        (("[orders_so_far, spent_so_far]", "[split]"), "'split' is the name of", ""),
        (("[roc_auc]", "[roc_auc, rmse]"), "do not go together", ""),
        (("most_frequent", "mean"), "do not go together", ""),
        (("metrics: [roc_auc]\n", ""), "a split is for metrics", ""),
        (("split: {test_from: 2025-06-01, gap: 90d}", ""), "metrics are measured on the test half", ""),
        (("baseline: most_frequent", "must_beat_baseline: true"), "needs a `baseline`", ""),
        (
            ("order_history, columns: [orders_so_far, spent_so_far]", "churn_labels, columns: {x: churned}"),
            "itself",
            "",
        ),
        (("key: customer_id", "key: score"), "'score' is a column of every table of scores", ""),
        (("into: lakehouse", "into: lakehouse, key: [a, b]"), "score.key names as many", ""),
        (("gap: 90d", "gap: 9000000d"), "", ""),
    ],
)
def test_what_is_refused(change: tuple[str, str], what: str, fix: str) -> None:
    assert change[0] in CHURN
    text = CHURN.replace(*change)
    spec, errors = read(text)
    assert spec is None
    assert what in errors[0].what
    assert fix in errors[0].fix
    assert errors[0].line


def declare(learning: Learning, text: str | None, train: str = "other.py:train") -> ProjectError:
    if text is not None:
        learning.write(text, "other.py")
    with pytest.raises(ProjectError) as failed:
        learning.model(train=train)
    return failed.value


def test_a_file_that_is_not_there(learning: Learning) -> None:
    error = declare(learning, None, "lern.py:train")
    assert error.where == "ml/test.yaml:1"
    assert error.what == "train: there is no file ml/lern.py"
    assert error.fix == "did you mean 'learn.py'?"


def test_a_function_that_is_not_there(learning: Learning) -> None:
    error = declare(learning, "def trains(rows): ...\n")
    assert (error.what, error.fix) == ("train: ml/other.py has no function train", "did you mean 'trains'?")


def test_a_file_that_is_no_python(learning: Learning) -> None:
    error = declare(learning, "\n\ndef train(rows:\n")
    assert (error.path, error.line) == ("ml/other.py", 3)
    assert declare(learning, "x = '\0'\n").path == "ml/other.py"


@pytest.mark.parametrize("parameters", ["", "a, b", "*, rows", "rows, *, seed"])
def test_a_function_of_other_parameters(learning: Learning, parameters: str) -> None:
    error = declare(learning, f"\ndef train({parameters}): ...\n")
    assert (error.path, error.line) == ("ml/other.py", 2)
    assert "does not take one argument" in error.what


@pytest.mark.parametrize("parameters", ["rows", "rows, seed=1", "*rows", "rows, *, seed=1", "rows, /", "rows=None"])
def test_a_function_that_takes_the_rows(learning: Learning, parameters: str) -> None:
    learning.write(f"def train({parameters}): ...\n", "other.py")
    assert learning.model(train="other.py:train").kind == "model"


def test_the_files_it_is_made_by(learning: Learning) -> None:
    learning.write("import shared\nfrom package.inner import x\nimport numpy\ndef train(rows): ...\n", "other.py")
    learning.write("import more\n", "shared.py")
    (learning.root / "more.py").write_text("import shared\n", encoding="utf-8")
    (learning.root / "ml/package").mkdir()
    learning.write("", "package/__init__.py")
    learning.write("not Python\n", "package/inner.py")
    found = [
        Path(file).relative_to(learning.root).as_posix() for file in learning.model(train="other.py:train").files()
    ]
    assert found == ["ml/other.py", "ml/package/__init__.py", "ml/package/inner.py", "ml/shared.py", "more.py"]


TYPES: dict[str, dict[str, str]] = {
    "m.spine": {"id": "BIGINT", "at": "TIMESTAMP", "label": "BOOLEAN"},
    "m.feature": {"id": "BIGINT", "known": "TIMESTAMP", "x": "BIGINT", "y": "DECIMAL(6,2)"},
}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"known": "DATE"}, "the day would count as known from its first moment"),
        ({"known": "TIMESTAMP WITH TIME ZONE"}, "which is later depends on a time zone"),
        ({"at": "TIMESTAMP WITH TIME ZONE"}, "which is later depends on a time zone"),
        ({"at": "DATE", "known": "TIMESTAMP WITH TIME ZONE"}, "which is later depends on a time zone"),
        ({"known": "VARCHAR"}, "m.feature.known is VARCHAR, which is no time"),
        ({"at": "BIGINT"}, "m.spine.at is BIGINT, which is no time"),
        ({"known": "TIMESTAMP_NS"}, "m.feature.known is TIMESTAMP_NS, which is no time"),
        ({"id": "VARCHAR"}, "they are no one key"),
        ({"x": "STRUCT(a INTEGER)"}, "m.feature.x is STRUCT(a INTEGER), which no model is given"),
        ({"x": "DOUBLE[]"}, "m.feature.x is DOUBLE[], which no model is given"),
        ({"x": "UUID"}, "m.feature.x is UUID"),
        ({"label": "DATE"}, "m.spine.label is DATE, which is no label"),
    ],
)
def test_types_that_do_not_do(learning: Learning, changed: dict[str, str], what: str) -> None:
    types: dict[str, Any] = {dataset: dict(columns) for dataset, columns in TYPES.items()}
    for column, kind in changed.items():
        dataset = "m.feature" if column in ("known", "x") else "m.spine"
        types[dataset][column] = kind
    model = learning.model()
    model.check_types(TYPES)
    with pytest.raises(ProjectError) as failed:
        model.check_types(types)
    assert what in failed.value.what
    assert failed.value.fix
    assert failed.value.where == "ml/test.yaml:1"


def test_a_column_that_is_not_there(learning: Learning) -> None:
    with pytest.raises(ProjectError, match="has no column") as failed:
        learning.model(features=[DECLARED["features"][0] | {"available": "knwon"}]).check_types(TYPES)
    assert failed.value.fix == "did you mean 'known'?"
    learning.model().check_types({})  # nothing is known yet: nothing is said


def test_a_label_of_text_is_no_number(learning: Learning) -> None:
    types = {**TYPES, "m.spine": {**TYPES["m.spine"], "label": "VARCHAR"}}
    learning.model().check_types(types)
    with pytest.raises(ProjectError, match="is a metric of numbers"):
        learning.model(metrics=["rmse"], baseline="mean").check_types(types)


def test_a_zone_needs_instants(learning: Learning) -> None:
    with pytest.raises(ProjectError, match="has a time zone"):
        learning.model(split={"test_from": "2024-06-01T00:00:00+02:00"}).check_types(TYPES)


def test_the_keys_have_a_json_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = LearnedModelSpec.model_json_schema(by_alias=True)
    declared = YAML(typ="safe", pure=True).load(CHURN.replace("2025-06-01", "'2025-06-01'"))
    declared.pop("kind")
    jsonschema.validate(declared, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(declared | {"metrics": ["roc_acu"]}, schema)


def test_nothing_is_left_behind(learning: Learning) -> None:
    """Reading a declaration runs nothing of the user's."""
    learning.write("open('ran', 'w')\nraise RuntimeError\ndef train(rows): ...\n", "other.py")
    learning.model(train="other.py:train").queries()
    assert not Path("ran").exists()
    shutil.rmtree(learning.root / "ml")
