"""Names of what is declared: they become names of folders, files and catalogues, are never paths, and told apart."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from headwater.core.graph import Role
from headwater.core.names import MAIN_SCHEMA, ROOT
from headwater.core.texts import is_hidden, visible
from headwater.storage.common.folders import encode_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.dataset import Dataset
    from headwater.core.graph import Location
    from headwater.project.readers import Declared, LoadContext

MAX_BYTES = 200
"""Longest name, as stores spell it: file systems hold 255 bytes, and what is kept beside a table is named after it."""

RESERVED_NAMESPACES = frozenset({
    "system", "_system", "quarantine", "information_schema", "pg_catalog", "temp", "memory", "_hw", "_headwater",
})  # fmt: skip
"""What the engine, or Headwater in it, means by these is something else."""

FIX_NAME = "name it with letters, digits, - and _"

_SEPARATORS = {"/": "a slash", "\\": "a backslash"}


def name_problem(name: str) -> str:
    """Return what is wrong with a name that is to be a folder's or a file's, "" for nothing."""
    hidden = next((character for character in name if is_hidden(character)), "")
    if hidden:
        return f"holds {visible(hidden, one_line=True)}, which nobody sees"
    for character, called in _SEPARATORS.items():
        if character in name:
            return f"holds {called}, and is no path"
    if not name or name[0] == "." or name != name.strip() or name[-1] == ".":
        return "is empty, or begins or ends with a dot or a blank"
    if unicodedata.normalize("NFC", name) != name:
        return "has letters that are put together of parts (not Unicode's form NFC)"
    try:
        size_bytes = len(encode_name(name))
    except UnicodeEncodeError:
        return "holds half a character"
    return f"is too long: {size_bytes} bytes on disk, and {MAX_BYTES} fit" if size_bytes > MAX_BYTES else ""


def folded(name: str) -> str:
    """Return what two names have in common that some file system or the engine takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


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
                context.error(place, f"the name {visible(part)!r} {problem}", FIX_NAME)
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
