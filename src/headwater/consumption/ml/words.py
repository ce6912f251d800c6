"""The words of a model's declaration: metrics, baselines, and what is foretold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What a model foretells."""

    CLASSES = "classification"
    NUMBER = "regression"


class MetricName(StrEnum):
    """A metric, as scikit-learn names it."""

    ROC_AUC = "roc_auc"
    AVERAGE_PRECISION = "average_precision"
    LOG_LOSS = "log_loss"
    BRIER_SCORE = "brier_score"
    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced_accuracy"
    F1 = "f1"
    PRECISION = "precision"
    RECALL = "recall"
    MAE = "mae"
    MSE = "mse"
    RMSE = "rmse"
    MEDIAN_AE = "median_ae"
    R2 = "r2"


class Needs(StrEnum):
    """What a metric is computed of."""

    PREDICTION = "the class or the number that is foretold"
    RANKING = "how sure the model is, in any unit"
    PROBABILITY = "the probability of each class"


@dataclass(frozen=True, slots=True)
class MetricKind:
    """What a metric says and needs; `greater` when more of it is better."""

    task: Task
    needs: Needs
    greater: bool = True


METRICS = {
    MetricName.ROC_AUC: MetricKind(Task.CLASSES, Needs.RANKING),
    MetricName.AVERAGE_PRECISION: MetricKind(Task.CLASSES, Needs.RANKING),
    MetricName.LOG_LOSS: MetricKind(Task.CLASSES, Needs.PROBABILITY, greater=False),
    MetricName.BRIER_SCORE: MetricKind(Task.CLASSES, Needs.PROBABILITY, greater=False),
    MetricName.ACCURACY: MetricKind(Task.CLASSES, Needs.PREDICTION),
    MetricName.BALANCED_ACCURACY: MetricKind(Task.CLASSES, Needs.PREDICTION),
    MetricName.F1: MetricKind(Task.CLASSES, Needs.PREDICTION),
    MetricName.PRECISION: MetricKind(Task.CLASSES, Needs.PREDICTION),
    MetricName.RECALL: MetricKind(Task.CLASSES, Needs.PREDICTION),
    MetricName.MAE: MetricKind(Task.NUMBER, Needs.PREDICTION, greater=False),
    MetricName.MSE: MetricKind(Task.NUMBER, Needs.PREDICTION, greater=False),
    MetricName.RMSE: MetricKind(Task.NUMBER, Needs.PREDICTION, greater=False),
    MetricName.MEDIAN_AE: MetricKind(Task.NUMBER, Needs.PREDICTION, greater=False),
    MetricName.R2: MetricKind(Task.NUMBER, Needs.PREDICTION),
}


class Baseline(StrEnum):
    """What a model is compared with: a rule that looks at no feature (scikit-learn's dummy estimators)."""

    MOST_FREQUENT = "most_frequent"
    PRIOR = "prior"
    MEAN = "mean"
    MEDIAN = "median"

    @property
    def task(self) -> Task:
        """What it foretells."""
        return Task.CLASSES if self in (Baseline.MOST_FREQUENT, Baseline.PRIOR) else Task.NUMBER
