"""Unit tests: one YAML file each, about a model that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.graph import Role
from headwater.core.names import ROOT, local_name
from headwater.core.near import suggest
from headwater.core.project import UnitTest
from headwater.core.specs import UnitTestSpec
from headwater.project.domains import DomainNames
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from headwater.core.dataset import Dataset
    from headwater.documents import Document
    from headwater.project.readers import LoadContext


def read_unit_tests(
    context: LoadContext, datasets: Mapping[str, Dataset], domains: Collection[str], broken: Collection[str]
) -> tuple[UnitTest, ...]:
    """Read the files of tests/ of a domain; problems are added to the context."""
    tests, names = [], DomainNames(datasets, domains)
    for file in context.files("tests", ".yaml", ".yml"):
        document = context.open_document(file)
        spec = validate(UnitTestSpec, document.data, document, (), context.errors) if document else None
        if document is None or spec is None:
            continue
        given = {names.find(context.domain, name) or name: rows for name, rows in spec.given.items()}
        spec = spec.model_copy(update={"model": context.full_name(spec.model), "given": given})
        _check_test(context, spec, document, datasets, broken)
        name = file.relative_to(context.base / "tests").with_suffix("").as_posix()
        name = name if context.domain == ROOT else f"{context.domain}/{name}"
        tests.append(UnitTest(name, spec, document.place(("model",))))
    return tuple(tests)


def _check_test(
    context: LoadContext, spec: UnitTestSpec, document: Document, datasets: Mapping[str, Dataset],
    broken: Collection[str],
) -> None:  # fmt: skip
    """See that a test is about a model that exists, and gives rows of datasets that the model reads."""
    models = [name for name, dataset in datasets.items() if dataset.role is Role.TRANSFORM]
    if spec.model in broken:
        return
    if spec.model not in models:
        context.error(document.place(("model",)), f"no model is named {spec.model}", suggest(spec.model, models))
        return
    read, queue = set[str](), [spec.model]
    while queue:
        for name in datasets[queue.pop()].inputs:
            if name not in read and name in datasets and not datasets[name].is_stored:
                queue.append(name)
            read.add(name)
    for name in spec.given if not read & set(broken) else ():
        if name not in read:
            what = "does not read" if name in datasets else "reads no dataset named"
            context.error(
                document.place(("given", local_name(name))), f"{spec.model} {what} {name}", suggest(name, read)
            )
