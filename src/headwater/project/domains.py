"""DomainNames within and across domains: what a name that is written in one of them means, and what it may not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from headwater.core.consumer import DeclaredConsumer, DeclaredScores
from headwater.core.graph import Location, Role
from headwater.core.names import MAIN_SCHEMA, ROOT, full_name
from headwater.core.near import suggest
from headwater.core.port import Port
from headwater.core.project import Model, SourceTable
from headwater.core.specs import DescribedSpec
from headwater.core.texts import visible
from headwater.errors import ProjectError
from headwater.project.names import FIX_NAME, RESERVED_NAMESPACES, folded, name_problem
from headwater.project.readers.reader import DOMAINS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headwater.core.consumer import ConsumerQuery
    from headwater.core.dataset import Dataset, Declaration
    from headwater.core.project import Reference
    from headwater.core.specs import CheckSpec
    from headwater.project.readers import Declared, LoadContext


DescribedT = TypeVar("DescribedT", bound=DescribedSpec)


@dataclass(frozen=True, slots=True)
class DomainNames:
    """What names mean in each domain of a project.

    Attributes:
        datasets: Everything that is declared, by full name.
        domains: The domains.
    """

    datasets: Mapping[str, Dataset]
    domains: Collection[str]

    def find(self, domain: str, written: str) -> str | None:
        """Return the dataset that a name means in a domain, whether it may be read there or not; None for nothing.

        A domain's own names come first, then ports.
        """
        parts = written.split(".")
        if len(parts) == 2:
            candidates = [full_name(domain, written)]
            if parts[0] == MAIN_SCHEMA:
                candidates.append(f"{domain}.{parts[1]}")
            candidates.append(written)
        else:
            candidates = [written, *([f"{parts[0]}.{parts[2]}"] if parts[1:2] == [MAIN_SCHEMA] else [])]
        return next((name for name in candidates if name in self.datasets), None)

    def reads(self, domain: str, dataset: str) -> bool:
        """Whether a domain sees a dataset: its own, and every port."""
        found = self.datasets[dataset]
        return found.domain == domain or found.role is Role.PUBLISH

    def seen(self, domain: str) -> list[str]:
        """Return the names that a domain may write."""
        own = f"{domain}." if domain != ROOT else ""
        return [name.removeprefix(own) for name in self.datasets if self.reads(domain, name)]


def list_domains(context: LoadContext) -> tuple[str, ...]:
    """Return the domains of a project, those whose names are refused too; problems are added to the context."""
    folder = context.root / DOMAINS
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    seen: dict[str, str] = {}
    found = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        place = Location(context.path_of(entry))
        if not entry.is_dir():
            context.error(place, f"{entry.name} is no folder of a domain", f"move it into {DOMAINS}/<domain>/")
            continue
        name, twin = entry.name, seen.setdefault(folded(entry.name), entry.name)
        if problem := name_problem(name):
            context.error(place, f"the domain {visible(name)!r} {problem}", FIX_NAME)
        elif name.lower() in {ROOT, *RESERVED_NAMESPACES} or "__" in name or "." in name or name.startswith("_"):
            context.error(place, f"a domain cannot be named {name}", "choose another name")
        elif twin != name:
            context.error(place, f"the domains {twin} and {name} differ only in case", "rename one")
        else:
            found.append(name)
    return tuple(found)


def resolve_references(
    one: Declared, names: DomainNames, errors: list[ProjectError], broken: Collection[str]
) -> Declared:
    """Return what a reader has found with the full names of all it reads; what it may not read is an error."""
    found = []
    for reference in one.references:
        name = resolve_name(reference, one.dataset.name, one.dataset.domain, names, errors, broken)
        found.append(replace(reference, name=name, written=reference.name))
    return _with_references(one, found)


def resolve_name(
    reference: Reference, reader: str, domain: str, names: DomainNames, errors: list[ProjectError],
    broken: Collection[str],
) -> str:  # fmt: skip
    """Return the full name of what is read in a domain; what nothing declares, or may not be read, is an error."""
    written = reference.name
    name = names.find(domain, written)
    if name is None:
        if not {full_name(domain, written), *_namespaces(domain, written)} & set(broken):
            what = f"{reader} reads {written}, which nothing declares"
            errors.append(ProjectError.at(reference.location, what, suggest(written, names.seen(domain))))
        return written
    if not names.reads(domain, name):
        errors.append(_private(reader, names.datasets[name], reference.location))
    return name


def _namespaces(domain: str, written: str) -> tuple[str, ...]:
    """Return the namespaces, or the domain, that a name that is not known might stand in."""
    first = written.partition(".")[0]
    return (full_name(domain, first), first, written.rpartition(".")[0])


def _private(reader: str, read: Dataset, place: Location) -> ProjectError:
    whose = "the root" if read.domain == ROOT else f"the domain {read.domain}"
    folder = "products/" if read.domain == ROOT else f"domains/{read.domain}/products/"
    return ProjectError.at(
        place,
        f"{reader} reads {read.name}, which is private to {whose} ({read.location})",
        f"read a port of {whose}, or publish one in {folder}",
    )


def _with_references(one: Declared, references: Sequence[Reference]) -> Declared:
    full = {reference.written: reference.name for reference in references}
    inputs = tuple(dict.fromkeys(full.get(name, name) for name in one.dataset.inputs))
    declared = one.dataset.declaration
    if isinstance(declared, Model):
        declared = replace(
            declared,
            references=tuple(references),
            arguments={key: full.get(name, name) for key, name in declared.arguments.items()},
            mentions=tuple(_mention(offset, name, full) for offset, name in declared.mentions),
        )
    elif isinstance(declared, Port):
        declared = replace(declared, model=replace(declared.model, references=tuple(references)))
    elif isinstance(declared, DeclaredConsumer):
        declared = replace(declared, queries=tuple(_query(query, full) for query in declared.queries))
    elif isinstance(declared, DeclaredScores):
        declared = replace(declared, query=_query(declared.query, full))
    else:
        return replace(one, references=tuple(references))
    nodes = tuple(replace(node, spec=declared) for node in one.nodes)
    dataset = replace(one.dataset, declaration=declared, inputs=inputs)
    return replace(one, dataset=dataset, nodes=nodes, references=tuple(references))


def _query(query: ConsumerQuery, full: Mapping[str, str]) -> ConsumerQuery:
    return replace(
        query,
        reads=tuple(dict.fromkeys(full.get(name, name) for name in query.reads)),
        names={name: full[name] for name in query.reads if full.get(name, name) != name},
    )


def _mention(offset: int, name: str, full: Mapping[str, str]) -> tuple[int, str]:
    meant = full.get(name, name)
    return (offset if meant == name else -1, meant)


def resolve_checks(one: Declared, names: DomainNames, errors: list[ProjectError]) -> Declared:
    """Return what was found with the full names of the datasets that its checks look into."""
    declared, domain = one.dataset.declaration, one.dataset.domain
    looked = {check.relationship.to for check in one.dataset.checks if check.relationship}
    full: dict[str, str] = {}
    for written in sorted(looked):
        name = names.find(domain, written)
        if name is not None and name != written:
            full[written] = name
        if name is not None and not names.reads(domain, name):
            errors.append(_private(one.dataset.name, names.datasets[name], one.dataset.location))
    if not full or not isinstance(declared, Model | SourceTable | Port):
        return one

    made: Declaration
    if isinstance(declared, Model):
        made = replace(declared, spec=_with_full_names(declared.spec, full))
    elif isinstance(declared, SourceTable):
        made = replace(declared, ingest=_with_full_names(declared.ingest, full))
    else:
        made = replace(declared, spec=_with_full_names(declared.spec, full))
    nodes = tuple(replace(node, spec=made) for node in one.nodes)
    return replace(one, dataset=replace(one.dataset, declaration=made), nodes=nodes)


def _with_full_names(spec: DescribedT, full: Mapping[str, str]) -> DescribedT:
    def resolved(checks: Sequence[CheckSpec]) -> list[CheckSpec]:
        return [
            check.model_copy(update={"relationship": to.model_copy(update={"to": full.get(to.to, to.to)})})
            if (to := check.relationship)
            else check
            for check in checks
        ]

    columns = {n: c.model_copy(update={"checks": resolved(c.checks)}) for n, c in spec.columns.items()}
    return spec.model_copy(update={"checks": resolved(spec.checks), "columns": columns})
