"""The keys of a model that learns: `ml/*.yaml` with `kind: model`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from headwater.consumption.ml.words import METRICS, Baseline, MetricName, Task
from headwater.core.specs import Spec, StoreName
from headwater.core.values import Duration, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

SPLIT = "split"
"""The column of the training rows that says in which half a row is."""

SCORE_COLUMNS = ("score", "model_version")
"""What a table of scores has beside key and time."""


def _renamed(value: Any) -> Any:
    """Read names that stay what they are: `a` and `[a, b]` are `{a: a, b: b}`."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        return words
    if doubled := next((str(word) for at, word in enumerate(words) if word in words[:at]), ""):
        raise ValueError(f"{doubled!r} stands twice")
    return {str(word): str(word) for word in words}


def _some(names: dict[str, str]) -> dict[str, str]:
    if not names:
        raise ValueError("no column is named")
    return names


Renamed = Annotated[
    dict[str, str],
    BeforeValidator(_renamed),
    AfterValidator(_some),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ]
        }
    ),
]
"""Columns, each under its own name or as `new: old`."""


class SpineSpec(Spec):
    """The rows that are learned from: whose they are, at what time something is to be foretold, and what came true."""

    from_: str = Field(alias="from")
    key: Words = Field(min_length=1)
    time: str
    label: str


class FeatureSpec(Spec):
    """Columns of a dataset, as they were known at the time of a row of the spine.

    Attributes:
        from_: The dataset.
        columns: The columns, or `new: old`.
        available: The column that says since when a row is known.
        max_age: Rows that were known for longer say nothing any more.
        key: The columns it is found by, or `column of the spine: column here`; else the spine's key.
    """

    from_: str = Field(alias="from")
    columns: Renamed
    available: str
    max_age: Duration | None = None
    key: Renamed | None = None

    @field_validator("max_age")
    @classmethod
    def _is_some_time(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value <= timedelta(0):
            raise ValueError("nothing is that young; write a length of time above zero, like 30d")
        return value


class SplitSpec(Spec):
    """Where training ends and the test begins; the rows within `gap` before that are in neither half."""

    test_from: str
    gap: Duration = timedelta(0)

    @field_validator("test_from", mode="before")
    @classmethod
    def _is_moment(cls, value: Any) -> str:
        text = str(value)
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is not an ISO date or timestamp; write it like 2024-01-31") from None
        return text

    @model_validator(mode="after")
    def _reaches_back(self) -> SplitSpec:
        try:
            self.moment - self.gap
        except OverflowError:
            raise ValueError("the gap reaches back beyond the year 1") from None
        return self

    @property
    def moment(self) -> datetime:
        """The first moment of the test half; a date is its midnight."""
        return datetime.fromisoformat(self.test_from)


class ScoreSpec(Spec):
    """The rows that the model gives scores to, and the store of their table; key and time, where named otherwise."""

    rows: str
    into: StoreName
    key: Words = Field(default_factory=list)
    time: str | None = None


class LearnedModelSpec(Spec):
    """A model that learns: what from, by which function, and how good it has to be."""

    description: str = ""
    owner: str = ""
    spine: SpineSpec
    features: list[FeatureSpec] = Field(min_length=1)
    train: str
    split: SplitSpec | None = None
    metrics: list[MetricName] = Field(default_factory=list)
    baseline: Baseline | None = None
    must_beat_baseline: bool = False
    trust: Words = Field(default_factory=list)
    score: ScoreSpec | None = None

    @field_validator("metrics", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("train")
    @classmethod
    def _names_a_function(cls, value: str) -> str:
        file, colon, function = value.rpartition(":")
        path = PurePosixPath(file)
        if not (colon and function.isidentifier() and path.suffix == ".py" and path.stem.isidentifier()):
            raise ValueError("write it as file.py:function, both of them names of Python")
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("the file lies beside the declaration, or below")
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> LearnedModelSpec:
        spine = self.spine
        named = [(name, "the spine's key") for name in spine.key]
        named += [(spine.time, "the spine's time"), (spine.label, "the spine's label")]
        named += [(SPLIT, "the half of a row")]
        named += [(new, f"a feature of {feature.from_}") for feature in self.features for new in feature.columns]
        seen: dict[str, str] = {}
        for name, what in named:
            if other := seen.get(name.casefold()):
                raise ValueError(
                    f"{name!r} is the name of {other} and of {what}; give a feature another: {{new: {name}}}"
                )
            seen[name.casefold()] = what
        taken = [name for name in (*spine.key, spine.time) if name.casefold() in SCORE_COLUMNS]
        if self.score and taken:
            raise ValueError(f"{taken[0]!r} is a column of every table of scores; the spine needs another name for it")
        return self

    @model_validator(mode="after")
    def _knows_no_label(self) -> LearnedModelSpec:
        spine = self.spine
        for feature in self.features:
            if feature.from_ == spine.from_ and spine.label.casefold() in map(str.casefold, feature.columns.values()):
                raise ValueError(f"a feature is {spine.from_}.{spine.label}, the label itself")
        return self

    @model_validator(mode="after")
    def _can_be_measured(self) -> LearnedModelSpec:
        if self.metrics and self.split is None:
            raise ValueError("metrics are measured on the test half: add `split: {test_from: …}`")
        if self.split is not None and not self.metrics:
            raise ValueError("a split is for metrics: add `metrics: […]`")
        if self.baseline and not self.metrics:
            raise ValueError("a baseline is measured by metrics: add `metrics: […]` and `split`")
        if self.must_beat_baseline and not self.baseline:
            raise ValueError("must_beat_baseline needs a `baseline`")
        tasks = {METRICS[name].task: name for name in self.metrics}
        if len(tasks) > 1:
            raise ValueError(f"{' and '.join(tasks.values())} do not go together: one is of classes, one of numbers")
        if self.baseline and self.baseline.task not in tasks:
            raise ValueError(f"the baseline {self.baseline} and the metric {self.metrics[0]} do not go together")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("a metric stands twice")
        return self

    @model_validator(mode="after")
    def _scores_have_a_key(self) -> LearnedModelSpec:
        if self.score and self.score.key and len(self.score.key) != len(self.spine.key):
            raise ValueError("score.key names as many columns as spine.key, in its order")
        return self

    @property
    def task(self) -> Task | None:
        """What is foretold, as far as the metrics say: one of several classes, or a number."""
        return METRICS[self.metrics[0]].task if self.metrics else None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that the model learns from, in their order."""
        return tuple(name for feature in self.features for name in feature.columns)

    def reads(self) -> Iterator[str]:
        """Yield the datasets it reads."""
        names = [self.spine.from_, *(feature.from_ for feature in self.features)]
        yield from dict.fromkeys([*names, self.score.rows] if self.score else names)
