"""Semantic models: files of metrics/, about datasets that exist."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.metrics import Metric, MetricDataset, MetricField, MetricRelationship, SemanticModel
from headwater.core.near import suggest
from headwater.core.project import Reference
from headwater.core.specs.metrics import MetricsFileSpec
from headwater.project.domains import resolve_name
from headwater.project.names import folded
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from headwater.core.graph import Location
    from headwater.core.specs.metrics import MetricDatasetSpec, SemanticModelSpec
    from headwater.documents import Document, Key
    from headwater.errors import ProjectError
    from headwater.project.domains import DomainNames
    from headwater.project.readers import LoadContext

FOLDER = "metrics"

_OF_THE_FILE = ("version", "semantic_model", "dialects", "vendors")


def read_metrics(context: LoadContext) -> tuple[SemanticModel, ...]:
    """Read the files of metrics/ of a domain; problems are added to the context."""
    found: list[SemanticModel] = []
    for file in context.files(FOLDER, ".yaml", ".yml"):
        document = context.open_document(file)
        if document is None:
            continue
        data, prefixes = _listed(document.data)
        spec = validate(MetricsFileSpec, data, document, (), context.errors)
        for one, prefix in zip(spec.semantic_model, prefixes, strict=True) if spec else ():
            found.append(_read_model(context, document, one, prefix))
    models = ((model.name, model.location) for model in found)
    metrics = ((metric.name, metric.location) for model in found for metric in model.metrics.values())
    _refuse_twins(context, "semantic models", models)
    _refuse_twins(context, "metrics", metrics)
    return tuple(found)


def _listed(data: Any) -> tuple[Any, list[Key]]:
    """Return a file's values with its semantic models as a list, and the key below which each stands."""
    if not isinstance(data, dict):
        return data, []
    models = data.get("semantic_model")
    if isinstance(models, list):
        return data, [("semantic_model", at) for at in range(len(models))]
    if isinstance(models, dict):
        return {**data, "semantic_model": [models]}, [("semantic_model",)]
    flat = {key: value for key, value in data.items() if key not in _OF_THE_FILE}
    return {**{key: data[key] for key in _OF_THE_FILE if key in data}, "semantic_model": [flat]}, [()]


def _read_model(context: LoadContext, document: Document, spec: SemanticModelSpec, prefix: Key) -> SemanticModel:
    def place(*key: str | int) -> Location:
        return document.place((*prefix, *key))

    for word, names in {
        "datasets": [one.name for one in spec.datasets],
        "relationships": [one.name for one in spec.relationships],
    }.items():
        _refuse_twins(context, word, [(name, place(word, at)) for at, name in enumerate(names)])
    datasets = {}
    for at, one in enumerate(spec.datasets):
        fields = [(field.name, place("datasets", at, "fields", n)) for n, field in enumerate(one.fields)]
        _refuse_twins(context, f"fields of {one.name}", fields)
        datasets[one.name] = MetricDataset(
            one.name, one.source, tuple(_keys(one)),
            {
                field.name: MetricField(field.name, field.expression.sql, field.is_time, where, field.datatype or "")
                for field, (_, where) in zip(one.fields, fields, strict=True)
            },
            place("datasets", at, "source"), one.time,
        )  # fmt: skip
    relationships = []
    for at, joined in enumerate(spec.relationships):
        where = place("relationships", at)
        columns = tuple(zip(joined.from_columns, joined.to_columns, strict=True))
        made = MetricRelationship(joined.name, joined.from_, joined.to, columns, where)
        if problem := _problem(made, datasets):
            context.error(where, *problem)
        else:
            relationships.append(made)
    metrics = {
        one.name: Metric(one.name, one.expression.sql, one.description, place("metrics", at), one.datatype or "")
        for at, one in enumerate(spec.metrics)
    }
    return SemanticModel(spec.name, datasets, tuple(relationships), metrics, place("name"), context.domain)


def _keys(spec: MetricDatasetSpec) -> Iterator[tuple[str, ...]]:
    if spec.primary_key:
        yield tuple(spec.primary_key)
    yield from (tuple(key) for key in spec.unique_keys)


def _problem(one: MetricRelationship, datasets: dict[str, MetricDataset]) -> tuple[str, str] | None:
    """Say why a relationship would not lead to at most one row, and how to mend it."""
    for name in (one.many, one.one):
        if name not in datasets:
            return f"the relationship {one.name}: no dataset is named {name}", suggest(name, list(datasets))
    if one.many == one.one:
        return f"the relationship {one.name} leads from {one.many} to itself", "declare the dataset twice, by two names"
    keys = datasets[one.one].keys
    columns = {folded(right) for _, right in one.columns}
    if not any({folded(column) for column in key} <= columns for key in keys):
        what = f"the relationship {one.name}: {', '.join(right for _, right in one.columns)} is no key of {one.one}"
        known = " or ".join(f"[{', '.join(key)}]" for key in keys) or "none is declared"
        return what, f"join by a primary_key or one of unique_keys: {known}"
    return None


def _refuse_twins(context: LoadContext, word: str, named: Iterable[tuple[str, Location]]) -> None:
    seen: dict[str, Location] = {}
    for name, place in named:
        if (other := seen.setdefault(folded(name), place)) is not place:
            context.error(place, f"two {word} are named {name}: the other is {other}", "rename one")


def resolve_metrics(
    models: Iterable[SemanticModel], names: DomainNames, errors: list[ProjectError], broken: Collection[str]
) -> tuple[SemanticModel, ...]:
    """Return semantic models with the full names of their sources; what may not be read is an error."""
    found = []
    for model in models:
        reader, datasets = f"the semantic model {model.name}", {}
        for key, one in model.datasets.items():
            reference = Reference(one.source, one.location)
            source = resolve_name(reference, reader, model.domain, names, errors, broken)
            datasets[key] = replace(one, source=source)
        found.append(replace(model, datasets=datasets))
    return tuple(found)
