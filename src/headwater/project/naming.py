"""Names of everything that is declared, against each other: two that the engine or a disk takes for one are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.graph import Location, Role
from headwater.core.names import MAIN_SCHEMA, ROOT
from headwater.core.texts import visible
from headwater.project.names import folded, name_problem
from headwater.project.readers import DOMAINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.dataset import Dataset
    from headwater.project.readers import Declared, LoadContext

RESERVED_NAMESPACES = frozenset({
    "system", "_system", "quarantine", "information_schema", "pg_catalog", "temp", "memory", "_hw", "_headwater",
})  # fmt: skip
"""What the engine, or Headwater in it, means by these is something else."""

_FIX_NAME = "name it with letters, digits, - and _"


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
            context.error(place, f"the domain {visible(name)!r} {problem}", _FIX_NAME)
        elif name.lower() in {ROOT, *RESERVED_NAMESPACES} or "__" in name or "." in name or name.startswith("_"):
            context.error(place, f"a domain cannot be named {name}", "choose another name")
        elif twin != name:
            context.error(place, f"the domains {twin} and {name} differ only in case", "rename one")
        else:
            found.append(name)
    return tuple(found)


def check_names(context: LoadContext, found: Sequence[Declared], domains: Sequence[str]) -> None:
    """See that names are names, each the only one of its kind; problems are added to the context."""
    owners: dict[tuple[str, str], tuple[str, Location]] = {}
    spellings: dict[str, str] = {}
    catalogs = {folded(domain): domain for domain in domains}
    twins = {
        (one.dataset.domain, folded(one.dataset.name.rpartition(".")[2])): one.dataset
        for one in found
        if one.dataset.role is not Role.PUBLISH and one.dataset.name.split(".")[-2] == MAIN_SCHEMA
    }
    for one in found:
        name, owner, place, domain = one.dataset.name, one.owner, one.dataset.location, one.dataset.domain
        is_port = one.dataset.role is Role.PUBLISH
        local = name if domain == ROOT and not is_port else name.removeprefix(f"{domain}.")
        for part in local.split("."):
            if problem := name_problem(part):
                context.error(place, f"the name {visible(part)!r} {problem}", _FIX_NAME)
        if is_port:
            _check_port(context, name, place, twins.get((domain, folded(local))))
            continue
        namespace = local.partition(".")[0]
        known, first = owners.setdefault((domain, folded(namespace)), (owner, place))
        if known != owner:
            what = f"the namespace {namespace} belongs to the {known} ({first}) and to the {owner}"
            context.error(place, what, "rename one; names that differ only in case are the same")
        elif (twin := spellings.setdefault(folded(name), name)) != name:
            context.error(place, f"{name} and {twin} differ only in case", "rename one")
        if namespace.lower() in RESERVED_NAMESPACES:
            context.error(place, f"the namespace {namespace} is reserved", "choose another name")
        if folded(namespace) in catalogs:
            what = f"the namespace {namespace} is named like the domain {catalogs[folded(namespace)]}"
            context.error(place, f"{what}: nobody could tell which is meant", "rename one")
        if "__" in name or name.count(".") != (1 if domain == ROOT else 2):
            context.error(place, f"{name}: `__` or a dot in a name", "use single underscores")


def _check_port(context: LoadContext, name: str, place: Location, twin: Dataset | None) -> None:
    """A port stands in the schema `main` of its catalogue, in which other datasets may stand as well."""
    if twin is not None:
        what = f"the port {name} has the name of {twin.name} ({twin.location})"
        context.error(place, what, "rename one: nobody could tell which is meant")
    if "__" in name or name.count(".") != 1:
        context.error(place, f"{name}: `__` or a dot in a name", "use single underscores")
