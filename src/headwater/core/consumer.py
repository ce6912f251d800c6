"""A consumer as a project declares it: a dashboard, a model that learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.core.fingerprint import NO_FINGERPRINT
from headwater.core.graph import Location
from headwater.core.names import ROOT
from headwater.core.specs import DescribedSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.fingerprint import Fingerprint
    from headwater.core.fragments import SelectSql
    from headwater.core.metrics import SemanticModel
    from headwater.core.specs import Spec


@dataclass(frozen=True, slots=True)
class ConsumerQuery:
    """One question that a consumer asks of the project's datasets.

    Attributes:
        name: Its name in the consumer; unique there.
        sql: The SELECT, datasets named as in models, parameters replaced by typed literals.
        location: File and line of its first line.
        reads: The datasets it reads, in the order of first mention; filled in when the project is loaded.
        names: The dataset behind every name that is written otherwise than in full; filled in likewise.
        volatile: Functions that make it give other rows at another time; filled in likewise.
        metrics: The metrics that it was written from, if it was.
    """

    name: str
    sql: SelectSql
    location: Location
    reads: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    volatile: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def place(self, line: int, column: int = 0) -> Location:
        """Return the place in the file of a line and column (from 1) of the query; its first line without one.

        A query that is written from metrics has the one place where these are asked for.
        """
        first = self.location
        return Location(first.path, first.line + line - 1, column) if line and not self.metrics else first


@dataclass(frozen=True, slots=True)
class DeclaredConsumer:
    """One declaration of a consumer.

    Attributes:
        name: Its name, `namespace.name`: `dashboards.revenue`, `ml.churn`.
        kind: What makes it.
        options: The keys of its declaration, validated by its kind.
        location: Where it is declared.
        root: The project's folder, absolute.
        text: The Markdown below the head of a `.md` file, its first line the file's first line (the head is blanked);
            "" for a YAML file.
        folder: The folder of its file, absolute: files that it names lie there.
        queries: What it asks.
        fingerprint: Hash of its declaration, its text and the files it is made by.
        spec: What it says of itself: description, owner, tags.
        domain: The domain that owns it.
        models: The semantic models of its domain.
    """

    name: str
    kind: str
    options: Spec = field(repr=False)
    location: Location
    root: str
    text: str = field(default="", repr=False)
    folder: str = ""
    queries: tuple[ConsumerQuery, ...] = ()
    fingerprint: Fingerprint = NO_FINGERPRINT
    spec: DescribedSpec = field(default_factory=lambda: DescribedSpec(), repr=False)
    domain: str = ROOT
    models: tuple[SemanticModel, ...] = ()

    @property
    def source(self) -> str:
        """It is made by the project itself."""
        return ""


@dataclass(frozen=True, slots=True)
class DeclaredScores:
    """The table of the scores that a consumer's artefact gives.

    Attributes:
        name: Its name, the consumer's with `_scores` behind it.
        consumer: Whose artefact gives them.
        query: The rows that get scores.
        spec: What it says of itself.
    """

    name: str
    consumer: DeclaredConsumer
    query: ConsumerQuery
    spec: DescribedSpec = field(default_factory=lambda: DescribedSpec(), repr=False)

    @property
    def source(self) -> str:
        """It is made by the project itself."""
        return ""

    @property
    def location(self) -> Location:
        """Where the consumer is declared."""
        return self.consumer.location

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the consumer."""
        return self.consumer.fingerprint
