"""A loaded project: what the folder of YAML, SQL and Python declares, validated and connected."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from headwater.core.fragments import SelectSql
from headwater.core.graph import Role
from headwater.core.names import ROOT
from headwater.core.policies import Materialization

if TYPE_CHECKING:
    from collections.abc import Collection

    from headwater.core.dataset import Dataset
    from headwater.core.fingerprint import Fingerprint
    from headwater.core.graph import Graph, Location
    from headwater.core.metrics import SemanticModel
    from headwater.core.specs import EngineSpec, IngestSpec, ModelSpec, ProjectSpec, Spec, UnitTestSpec
    from headwater.core.stores import DeclaredStore


DeclaredT = TypeVar("DeclaredT")


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table of a source.

    Attributes:
        name: Dataset name, `source.table`.
        kind: The connector.
        connection: What the source's file says beside its tables, validated by the connector.
        store: The store it lands in.
        options: The table's keys that belong to the connector, validated by it.
        ingest: The table's keys that every kind has.
        location: Where the table is declared.
        fingerprint: Hash of all of the above; secrets enter as their references, never as values.
    """

    name: str
    kind: str
    connection: Spec = field(repr=False)
    options: Spec = field(repr=False)
    ingest: IngestSpec = field(repr=False)
    location: Location
    fingerprint: Fingerprint
    store: DeclaredStore = field(repr=False)

    @property
    def spec(self) -> IngestSpec:
        """How it is ingested."""
        return self.ingest

    @property
    def source(self) -> str:
        """The source's name, its domain before it: what its datasets have in common."""
        return self.name.rpartition(".")[0]

    @property
    def table(self) -> str:
        """The table's name within its source."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Reference:
    """A dataset named in a model, and the line and column of the first place, in the file.

    `written` is the name as it stands there: in a domain it may be shorter than `name`, once that is known.
    """

    name: str
    location: Location
    written: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        name: Dataset name, `namespace.dataset`.
        language: "sql" or "python".
        text: The query without header, variables replaced by typed literals; or the Python source. Its first line is
            the file's first line: the header is blanked, so that line numbers stay.
        spec: The validated header.
        references: Every dataset it reads, in the order of first mention.
        arguments: Python: parameter name to dataset.
        function: Python: name of the decorated function.
        volatile: Functions that make it never skippable.
        uses: Which of `now`, `interval_start`, `interval_end` it mentions.
        shifts: (line, column, by): in `text`, what stands on the line from the column on stands `by` columns further
            left in the file, because a variable's literal is longer than its name.
        mentions: (offset in `text`, dataset) of every place where SQL without `$now` and the like names a dataset; the
            offset is -1 where the namespace is not written there.
        location: Where it is declared.
        fingerprint: Hash of header and canonical text (and, for Python, the project files it imports).
    """

    name: str
    language: str
    text: str
    spec: ModelSpec
    references: tuple[Reference, ...]
    location: Location
    fingerprint: Fingerprint
    arguments: dict[str, str] = field(default_factory=dict)
    function: str = ""
    volatile: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    shifts: tuple[tuple[int, int, int], ...] = ()
    mentions: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    domain: str = ROOT

    @property
    def names(self) -> dict[str, str]:
        """The dataset behind every name that is written otherwise than in full."""
        return {one.written: one.name for one in self.references if one.written not in ("", one.name)}

    @property
    def source(self) -> str:
        """It is made by the project itself."""
        return ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the datasets it reads."""
        return tuple(reference.name for reference in self.references)

    def text_in(self, catalog: str, datasets: Collection[str]) -> SelectSql | None:
        """Return `text` with some of the datasets named in a catalogue; None when it cannot be done by name alone."""
        places = [offset for offset, name in self.mentions if name in datasets]
        found = {name for _, name in self.mentions}
        if -1 in places or not found.issuperset(name for name in self.inputs if name in datasets):
            return None
        text = self.text
        for offset in sorted(places, reverse=True):
            text = f"{text[:offset]}{catalog}.{text[offset:]}"
        return SelectSql(text)

    @property
    def is_view(self) -> bool:
        """Whether it is expanded into its readers instead of stored."""
        return self.spec.materialize == Materialization.VIEW

    @property
    def is_timed(self) -> bool:
        """Whether it is computed interval by interval."""
        return self.spec.materialize == Materialization.INCREMENTAL and self.spec.time is not None


@dataclass(frozen=True, slots=True)
class UnitTest:
    """One file of tests/."""

    name: str
    spec: UnitTestSpec
    location: Location


@dataclass(frozen=True)
class Project:
    """The whole declaration; everything in it knows its file and line.

    Attributes:
        root: The project's folder, absolute.
        spec: headwater.yaml.
        environment: The chosen environment, "" for the default one.
        stores: The stores by name, in the chosen environment.
        engine: The engine, in the chosen environment.
        datasets: Every dataset that is declared, by name: tables of sources, then models.
        consumers: Every consumer that is declared, by name.
        domains: Names of the domains below `domains/`, sorted.
        semantic_models: What metrics/ declares, sources by their full names.
        tests: Unit tests in the order of their files.
        graph: The one graph.
        warnings: Problems that do not stop a run, as text with file and line.
        secrets: Resolved secret values, to be removed from every text that leaves the process.
    """

    root: str
    spec: ProjectSpec
    stores: dict[str, DeclaredStore]
    engine: EngineSpec
    datasets: dict[str, Dataset]
    tests: tuple[UnitTest, ...]
    graph: Graph
    environment: str = ""
    warnings: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    consumers: dict[str, Dataset] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    semantic_models: tuple[SemanticModel, ...] = ()

    @property
    def name(self) -> str:
        """The project's name."""
        return self.spec.name

    @property
    def stated_stores(self) -> frozenset[str]:
        """The stores whose place the chosen environment states or shares; the default environment has all."""
        chosen = self.spec.environments.get(self.environment)
        return frozenset([*chosen.shared, *chosen.stores] if chosen else self.stores)

    @property
    def object_folders(self) -> tuple[str, ...]:
        """The folders of the stores that keep objects, in the chosen environment, absolute."""
        return tuple(store.path for store in self.stores.values() if store.capabilities.keeps_objects)

    @cached_property
    def everything(self) -> dict[str, Dataset]:
        """Everything that is written and stored under a name: datasets, then consumers."""
        return {**self.datasets, **self.consumers}

    @cached_property
    def root_ports(self) -> frozenset[str]:
        """The ports that the root publishes: every domain sees them."""
        return frozenset(n for n, one in self.datasets.items() if one.role is Role.PUBLISH and one.domain == ROOT)

    def find(self, name: str) -> Dataset | None:
        """Return the dataset or the consumer of a name."""
        return self.datasets.get(name) or self.consumers.get(name)

    def declared(self, kind: type[DeclaredT]) -> dict[str, DeclaredT]:
        """Return what is declared of one kind, by dataset name."""
        return {
            name: dataset.declaration
            for name, dataset in self.everything.items()
            if isinstance(dataset.declaration, kind)
        }

    def view(self, name: str) -> Model | None:
        """Return the model whose query stands in a dataset's place where it is read; None for what is stored."""
        dataset = self.datasets.get(name)
        found = dataset.declaration if dataset is not None and not dataset.is_stored else None
        return found if isinstance(found, Model) else None

    def store_of(self, dataset: str) -> str:
        """Return the name of the store that holds a dataset, or what a consumer makes; "" for a view."""
        return self._get(dataset).store

    def place_of(self, dataset: str) -> DeclaredStore | None:
        """Return the store that holds a dataset; None for a view."""
        return self.stores.get(self._get(dataset).store)

    def stores_in(self, dataset: str, store: str) -> bool:
        """Whether a dataset, or a consumer, is declared and lives in a store."""
        found = self.find(dataset)
        return found is not None and found.store == store

    def readers_of(self, dataset: str) -> tuple[str, ...]:
        """Return the datasets and consumers that read a dataset themselves, sorted."""
        return tuple(sorted(other.name for other in self.everything.values() if dataset in other.inputs))

    def physical_inputs(self, dataset: str) -> tuple[str, ...]:
        """Return the stored datasets that a dataset or consumer is made of, views replaced by what they read."""
        found: dict[str, None] = {}
        queue = list(self._get(dataset).inputs)
        while queue:
            name = queue.pop(0)
            view = self.datasets.get(name)
            if view is not None and not view.is_stored:
                queue.extend(view.inputs)
            else:
                found[name] = None
        return tuple(found)

    def _get(self, name: str) -> Dataset:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found
