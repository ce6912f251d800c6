"""What is done in a child process: `train` calls the user's function, `measure` and `score` ask what it has made."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.consumption.ml.arrow import Shape, as_input, shaped
from headwater.consumption.ml.artefact import MODEL, load_model, model_version, untrusted_types
from headwater.consumption.ml.measure import Foretold, foretell, measure
from headwater.consumption.ml.spec import SPLIT
from headwater.consumption.ml.words import Baseline, MetricName, Task
from headwater.errors import StepError, UserCodeError
from headwater.project_code import compile_from_text, load_module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

SEEN: set[str] = set()
"""The texts of the rows that were read: what no error tells."""

LEARN = "learn"
"""Train, and then measure, each in a process of its own."""

TRAIN = "train"
MEASURE = "measure"
SCORE = "score"

_FEW_ROWS = 8


def import_libraries() -> None:
    """Import what every task needs, before the project's folders are on the path."""
    for name in ("numpy", "pyarrow.parquet", "skops.io", "sklearn.metrics", "sklearn.dummy"):
        importlib.import_module(name)


def train(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Call the user's function with the training half and save what it returns as `model.skops`."""
    import skops.io

    label = request["label"]
    rows = shaped(_half(request, "train"), _shapes(request) | {label: Shape(request["label_shape"])})
    _remember_texts(rows)
    function = _user_function(request)
    estimator = function(rows)
    if isinstance(estimator, type) or not (
        hasattr(estimator, "fit")
        and any(hasattr(estimator, name) for name in ("predict", "predict_proba", "decision_function"))
    ):
        what = "a class" if isinstance(estimator, type) else type(estimator).__name__
        raise UserCodeError(
            f"{request['function']}() returned {what}, which is no estimator",
            fix="return what fit(…) of an estimator of scikit-learn returns",
            path=request["file"],
            line=function.__code__.co_firstlineno if hasattr(function, "__code__") else 0,
        )
    try:
        skops.io.dump(estimator, folder / MODEL)
    except Exception as error:
        error.add_note("skops cannot save what it returned; build that of named classes and functions, without lambdas")
        raise
    return {"model_version": model_version(folder / MODEL)}


def measure_model(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Load the saved model and measure it, beside the baseline, on the test half; check before that what is in it."""
    label, shapes = request["label"], _shapes(request)
    model = _load(request)
    test, training = _half(request, "test"), _half(request, "train")
    _remember_texts(shaped(test if test.num_rows else training, shapes))
    task = Task(request["of"]) if request["of"] else _task_of(model)
    few = test if test.num_rows else training.slice(0, _FEW_ROWS)
    told = foretell(model, as_input(shaped(few, shapes), model), task)
    _check_rows(told, few.num_rows)
    answer: dict[str, Any] = {
        "task": task.value, "libraries": _libraries(), "model_version": request["model_version"]
    }  # fmt: skip
    if told.classes is not None:
        answer["classes"] = told.classes.tolist()
    names = [MetricName(name) for name in request["metrics"]]
    label_shape = {label: Shape(request["label_shape"])}
    if names:
        truth = _truth(shaped(test, label_shape), label)
        answer["metrics"] = measure(names, truth, told)
        if request["baseline"]:
            known = _truth(shaped(training, label_shape), label)
            answer["baseline"] = measure(names, truth, _baseline(Baseline(request["baseline"]), known, len(truth)))
    return answer


def score(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Score the batches of `rows.arrow` into `scores.arrow`, one after the other."""
    import numpy as np
    import pyarrow as pa

    model, shapes, task = _load(request), _shapes(request), Task(request["of"])
    label_type = pa.float64()
    with pa.OSFile(str(folder / "rows.arrow")) as rows, pa.OSFile(str(folder / "scores.arrow"), "wb") as scores:
        reader = pa.ipc.open_stream(rows)
        if task is Task.CLASSES and len(getattr(model, "classes_", ())) > 2:
            label_type = pa.array(model.classes_.tolist()).type
        with pa.ipc.new_stream(scores, pa.schema([("score", label_type)])) as writer:
            for batch in reader:
                table = shaped(pa.table(batch), shapes)
                _remember_texts(table)
                if not table.num_rows:
                    continue
                told = foretell(model, as_input(table, model), task)
                _check_rows(told, table.num_rows)
                if label_type != pa.float64() or told.classes is None or len(told.classes) > 2:
                    values = told.predicted
                elif told.positive is not None:
                    values = told.positive
                else:
                    values = (told.predicted == told.classes[1]).astype(np.float64)
                writer.write(pa.record_batch([pa.array(values.tolist(), label_type)], ["score"]))
    return {}


TASKS: Mapping[str, Callable[[Mapping[str, Any], Path], dict[str, Any]]] = {
    TRAIN: train,
    MEASURE: measure_model,
    SCORE: score,
}


def _shapes(request: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: Shape(shape) for name, shape in request["features"].items()}


def _half(request: Mapping[str, Any], half: str) -> pa.Table:
    import pyarrow.parquet as pq

    columns = [*request["features"], request["label"]]
    return pq.read_table(request["training"], columns=columns, filters=[(SPLIT, "=", half)])


def _remember_texts(rows: pa.Table) -> None:
    import pyarrow as pa

    for column in rows.columns:
        if pa.types.is_string(column.type):
            SEEN.update(text for text in column.unique().to_pylist() if text)


def _user_function(request: Mapping[str, Any]) -> Callable[[pa.Table], Any]:
    """Load the user's file by its own name, so that what is saved of its classes is found again."""
    path = _project_on_path(request)
    name = path.stem
    if name in sys.modules:
        raise UserCodeError(
            f"{request['file']} is called like the module {name}, which is loaded already",
            fix="rename the file", path=request["file"],
        )  # fmt: skip
    function = getattr(load_module(name, path), request["function"], None)
    if not callable(function):
        raise UserCodeError(f"{request['file']} has no function {request['function']}", path=request["file"])
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise UserCodeError(
            f"{request['function']}() does not take one argument, the rows",
            fix=f"write def {request['function']}(rows): …",
            path=request["file"],
            line=function.__code__.co_firstlineno if hasattr(function, "__code__") else 0,
        ) from None
    found: Callable[[pa.Table], Any] = function
    return found


def _project_on_path(request: Mapping[str, Any]) -> Path:
    root: str = request["root"]
    path = Path(root, str(request["file"]))
    compile_from_text(root)
    sys.path[:0] = list(dict.fromkeys([str(path.parent), root]))
    return path


def _load(request: Mapping[str, Any]) -> Any:
    """Load a saved model when all that is in it is trusted; only then is anything of the project imported."""
    path, trust = Path(request["model"]), request["trust"]
    unknown = untrusted_types(path, trust)
    if unknown:
        raise UserCodeError(
            f"the model holds {', '.join(unknown)}, which nobody has said to trust",
            fix=f"if you do, add `trust: [{', '.join([*trust, *unknown])}]`; else build it of scikit-learn's classes",
            path=request["declared"], line=request["declared_line"],
        )  # fmt: skip
    _project_on_path(request)
    return load_model(path, trust)


def _task_of(model: Any) -> Task:
    from sklearn.base import is_regressor

    return Task.NUMBER if is_regressor(model) or not hasattr(model, "classes_") else Task.CLASSES


def _check_rows(told: Foretold, count: int) -> None:
    if len(told.predicted) != count:
        raise StepError(
            f"the model foretells {len(told.predicted)} rows, and was asked for {count}",
            fix="it has to be fitted on one row per row, of the features in their declared order",
        )


def _truth(rows: pa.Table, label: str) -> Any:
    import numpy as np

    return np.asarray(rows[label].to_pylist())


def _baseline(baseline: Baseline, known: Any, count: int) -> Foretold:
    import numpy as np
    from sklearn.dummy import DummyClassifier, DummyRegressor

    kind = DummyClassifier if baseline.task is Task.CLASSES else DummyRegressor
    fitted = kind(strategy=baseline.value).fit(np.zeros((len(known), 1)), known)
    return foretell(fitted, np.zeros((count, 1)), baseline.task)


def _libraries() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("numpy", "pyarrow", "scikit-learn", "scipy", "skops"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package that came without its description
            continue
    return found
