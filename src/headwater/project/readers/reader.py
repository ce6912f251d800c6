"""What a reader of one folder of the project gets, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.names import ROOT, full_name
from headwater.core.specs import ProjectSpec
from headwater.documents import parse_document, read_text
from headwater.errors import ProjectError
from headwater.project.references import find_plain_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path, PurePosixPath

    from headwater.core.dataset import Dataset
    from headwater.core.graph import Location, Node
    from headwater.core.metrics import SemanticModel
    from headwater.core.project import Reference
    from headwater.core.stores import DeclaredStore
    from headwater.documents import Document
    from headwater.project.cache import ParseCache
    from headwater.project.references import References

DOMAINS = "domains"
"""The folder in which each domain has a folder of its own."""


@dataclass(slots=True)
class LoadContext:
    """What is known of a project while its folders are read; problems are collected in `errors`.

    Attributes:
        root: The project's folder.
        environment: The chosen environment.
        references: Resolves `${env:…}` and `${file:…}`.
        cache: What was parsed before.
        spec: headwater.yaml; one without anything when it is broken.
        stores: The stores by name.
        variables: The variables' values; None for one that is wrong.
        any_variable: It is not known which variables there are: none is refused.
        domain: The domain that is read.
        models: Its semantic models.
        errors: Problems found.
        warnings: What does not stop a run.
    """

    root: Path
    environment: str
    references: References
    cache: ParseCache
    spec: ProjectSpec = field(default_factory=lambda: ProjectSpec(name="project"))
    stores: Mapping[str, DeclaredStore] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    any_variable: bool = False
    errors: list[ProjectError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    domain: str = ROOT
    models: tuple[SemanticModel, ...] = ()

    @property
    def base(self) -> Path:
        """The folder whose folders are read: the project's, or the domain's."""
        return self.root if self.domain == ROOT else self.root / DOMAINS / self.domain

    def full_name(self, local: str) -> str:
        """Return the full name of what the domain calls `namespace.name`."""
        return full_name(self.domain, local)

    def open_document(self, file: Path) -> Document | None:
        """Read a YAML file; None when it has problems."""
        path = self.path_of(file)
        try:
            document = parse_document(read_text(file, path), path)
        except ProjectError as error:
            self.errors.append(error)
            return None
        self.warnings += find_plain_secrets(document)
        return document

    def files(self, folder: str, *suffixes: str) -> list[Path]:
        """Return the files below a folder of the domain, sorted; all, or those with a suffix."""
        base = self.base / folder
        found = (file for file in base.rglob("*") if not suffixes or file.suffix in suffixes) if base.is_dir() else ()
        return sorted(file for file in found if file.is_file())

    def path_of(self, file: Path) -> str:
        """Return how people call a file: its path within the project."""
        return file.relative_to(self.root).as_posix()

    def error(self, place: Location, what: str, fix: str) -> None:
        """Add a problem."""
        self.errors.append(ProjectError.at(place, what, fix))


@dataclass(frozen=True, slots=True)
class Declared:
    """One dataset, as a reader found it.

    Attributes:
        dataset: The dataset.
        owner: Whose its namespace is, for people.
        nodes: Its nodes in the order in which rows pass them.
        references: What its first node reads.
    """

    dataset: Dataset
    owner: str
    nodes: tuple[Node, ...]
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Reads one folder.

    Attributes:
        folder: Its name in the project.
        word: What one of its declarations is called, also in the name of its JSON Schema.
        read: Returns what the folder declares, but for what is broken.
        names: Returns what its domain calls the dataset that a file declares, or the namespace of several; takes a path
            in the domain.
        json_schema: Returns the schema of a declaration, for editors.
    """

    folder: str
    word: str
    read: Callable[[LoadContext], list[Declared]]
    names: Callable[[PurePosixPath], str]
    json_schema: Callable[[], dict[str, Any]]
