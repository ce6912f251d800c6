"""How good a model is: metrics on rows that it has not seen, beside a rule that looks at no feature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.consumption.ml.words import METRICS, MetricName, Needs, Task
from headwater.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a model says of rows.

    Attributes:
        classes: Its classes, in its order; None for numbers.
        predicted: The class or number of each row.
        probabilities: One column per class; None when the model has none.
        decisions: How sure it is, in a unit of its own; None when it does not say.
    """

    classes: Any
    predicted: Any
    probabilities: Any = None
    decisions: Any = None

    @property
    def positive(self) -> Any:
        """How sure the model is of the second of two classes: a probability where it has one."""
        return self.decisions if self.probabilities is None else self.probabilities[:, 1]


def foretell(estimator: Any, rows: Any, task: Task) -> Foretold:
    """Ask an estimator.

    Raises:
        StepError: It cannot say what the task needs.
    """
    import numpy as np

    if task is Task.NUMBER:
        if not hasattr(estimator, "predict"):
            raise StepError("the estimator has no predict", fix="return one that foretells a number")
        numbers = np.asarray(estimator.predict(rows), dtype=np.float64)
        return Foretold(None, numbers.reshape(len(numbers), -1)[:, 0] if numbers.ndim == 2 else numbers)
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise StepError(
            "the estimator has no classes_, and the metrics are of classes",
            fix="return a classifier, or name metrics of numbers: mae, rmse, r2",
        )
    classes = np.asarray(classes)
    if len(classes) < 2:
        raise StepError("the estimator knows one class only", fix="fit it on the rows that train() is given")
    probabilities = np.asarray(estimator.predict_proba(rows)) if hasattr(estimator, "predict_proba") else None
    decisions = None
    if probabilities is None and hasattr(estimator, "decision_function"):
        decisions = np.asarray(estimator.decision_function(rows))
    if hasattr(estimator, "predict"):
        predicted = np.asarray(estimator.predict(rows))
    elif probabilities is not None:
        predicted = classes[probabilities.argmax(axis=1)]
    elif decisions is not None:
        predicted = classes[np.where(decisions > 0, 1, 0) if decisions.ndim == 1 else decisions.argmax(axis=1)]
    else:
        raise StepError("the estimator cannot foretell: it has no predict", fix="return a classifier")
    return Foretold(classes, predicted, probabilities, decisions)


def measure(names: Sequence[MetricName], truth: Any, told: Foretold) -> dict[str, float]:
    """Compute metrics.

    Raises:
        StepError: One cannot be computed of these rows, or is no number.
    """
    measured = {}
    for name in names:
        try:
            value = _measure(name, truth, told)
        except ValueError as error:
            raise StepError(f"{name} cannot be computed on the test half: {error}") from error
        if not math.isfinite(value):
            raise StepError(f"{name} is {value} on the test half", fix="see what the model foretells there")
        measured[name.value] = value
    return measured


def is_better(name: MetricName, value: float, other: float) -> bool:
    """Whether a value of a metric is truly better than another."""
    return value > other if METRICS[name].greater else value < other


def _measure(name: MetricName, truth: Any, told: Foretold) -> float:
    from sklearn import metrics

    if METRICS[name].task is Task.NUMBER:
        functions = {
            MetricName.MAE: metrics.mean_absolute_error,
            MetricName.MSE: metrics.mean_squared_error,
            MetricName.RMSE: metrics.root_mean_squared_error,
            MetricName.MEDIAN_AE: metrics.median_absolute_error,
            MetricName.R2: metrics.r2_score,
        }
        if name is MetricName.R2 and len(truth) < 2:
            raise StepError("r2 needs two rows in the test half", fix="set split.test_from earlier")
        return float(functions[name](truth, told.predicted))
    _check_classes(name, truth, told)
    if METRICS[name].needs is Needs.PREDICTION:
        return _of_classes(name, truth, told)
    return _of_sureness(name, truth, told)


def _check_classes(name: MetricName, truth: Any, told: Foretold) -> None:
    import numpy as np

    needs = METRICS[name].needs
    if needs is Needs.PROBABILITY and told.probabilities is None:
        raise StepError(f"{name} needs an estimator with predict_proba", fix="return one, or drop the metric")
    if needs is Needs.RANKING and told.probabilities is None and told.decisions is None:
        raise StepError(
            f"{name} needs an estimator with predict_proba or decision_function", fix="return one, or drop the metric"
        )
    there = np.unique(truth)
    if needs is not Needs.PREDICTION and not np.isin(there, told.classes).all():
        raise StepError(
            f"{name}: the test half has a class that the model does not know",
            fix="set split.test_from later, or give the estimator the label as it comes",
        )
    if name is MetricName.ROC_AUC and len(there) < (2 if len(told.classes) == 2 else len(told.classes)):
        raise StepError(
            f"{name} needs rows of every class in the test half, and there are rows of {len(there)} "
            f"of {len(told.classes)}",
            fix="set split.test_from earlier, or drop the metric",
        )


def _of_classes(name: MetricName, truth: Any, told: Foretold) -> float:
    """Of two classes the second is the one that is looked for; of more, each counts the same (macro)."""
    from sklearn import metrics

    if name is MetricName.ACCURACY:
        return float(metrics.accuracy_score(truth, told.predicted))
    if name is MetricName.BALANCED_ACCURACY:
        return float(metrics.balanced_accuracy_score(truth, told.predicted))
    function = {
        MetricName.F1: metrics.f1_score,
        MetricName.PRECISION: metrics.precision_score,
        MetricName.RECALL: metrics.recall_score,
    }[name]
    if len(told.classes) == 2:
        return float(function(truth == told.classes[1], told.predicted == told.classes[1], zero_division=0))
    return float(function(truth, told.predicted, average="macro", zero_division=0))


def _of_sureness(name: MetricName, truth: Any, told: Foretold) -> float:
    import numpy as np
    from sklearn import metrics

    two = len(told.classes) == 2
    if name is MetricName.LOG_LOSS:
        return float(metrics.log_loss(truth, told.probabilities, labels=told.classes))
    sure = told.probabilities if told.probabilities is not None else told.decisions
    each = (np.asarray(truth)[:, None] == told.classes[None, :]).astype(float)
    if name is MetricName.BRIER_SCORE:
        off = ((sure - each) ** 2).sum(axis=1).mean()
        return float(off / 2 if two else off)
    if name is MetricName.ROC_AUC:
        if two:
            return float(metrics.roc_auc_score(each[:, 1], told.positive))
        return float(metrics.roc_auc_score(each, sure, average="macro"))
    if two:
        if not each[:, 1].any():
            raise StepError(
                f"{name} needs rows of the second class in the test half", fix="set split.test_from earlier"
            )
        return float(metrics.average_precision_score(each[:, 1], told.positive))
    return float(metrics.average_precision_score(each, sure, average="macro"))
