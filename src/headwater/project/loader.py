"""The folder of YAML, SQL and Python becomes a Project, or every problem in it at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from headwater.core.graph import Graph, Location
from headwater.core.near import suggest
from headwater.core.project import Project
from headwater.core.secrets import redact
from headwater.core.specs import EngineSpec, ProjectSpec
from headwater.core.texts import visible
from headwater.errors import ProjectError, ProjectErrors
from headwater.plugins import list_kinds
from headwater.project.cache import ParseCache
from headwater.project.checks import judge_checks
from headwater.project.names import folded, name_problem
from headwater.project.readers import READERS, LoadContext
from headwater.project.references import References
from headwater.project.stores import PROJECT_FOLDERS, read_stores
from headwater.project.unit_tests import read_unit_tests
from headwater.project.wiring import build_graph
from headwater.sql.placeholders import CLOCK, literal
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.documents import Document
    from headwater.project.readers import Declared

PROJECT_FILE = "headwater.yaml"
RESERVED_NAMESPACES = {
    "system", "_system", "quarantine", "information_schema", "pg_catalog", "temp", "memory", "_hw", "_headwater",
}  # fmt: skip
_FIX_NAME = "name it with letters, digits, - and _"


def find_root(folder: str | os.PathLike[str]) -> Path:
    """Return the nearest folder with headwater.yaml, from `folder` upwards.

    Raises:
        ProjectError: There is none.
    """
    start = Path(folder).resolve()
    for candidate in (start, *start.parents):
        if (candidate / PROJECT_FILE).is_file():
            return candidate
    raise ProjectError(
        f"no {PROJECT_FILE} in {start} or above it", fix="`headwater init` makes a project; -p names another folder"
    )


def load_project(folder: str | os.PathLike[str] = ".", environment: str | None = None) -> Project:
    """Load a project.

    Args:
        folder: The project's folder, or one below it.
        environment: A named environment; default: HEADWATER_ENV, else the one without a name.

    Raises:
        ProjectErrors: Everything that is wrong, each with file, line, column and a way to mend it.
    """
    project, errors = read_project(folder, environment)
    if errors or project is None:
        raise ProjectErrors(errors)
    return project


def read_project(
    folder: str | os.PathLike[str] = ".", environment: str | None = None
) -> tuple[Project | None, list[ProjectError]]:
    """Load a project as far as it goes; arguments as for `load_project`.

    Returns:
        The project without what is broken (None when headwater.yaml itself is), and everything that is wrong.
    """
    root = find_root(folder)
    chosen = os.environ.get("HEADWATER_ENV", "") if environment is None else environment
    return _Loader(root, chosen).load()


def _keep_right(data: Any) -> ProjectSpec:
    """Return of a headwater.yaml that is wrong somewhere what is right in it: who names its stores is not to blame."""
    kept: dict[str, Any] = {"name": "project"}
    for key in ("stores", "defaults") if isinstance(data, Mapping) else ():
        with suppress(ValidationError):
            ProjectSpec.model_validate({**kept, key: data.get(key, {})})
            kept[key] = data.get(key, {})
    return ProjectSpec.model_validate(kept)


class _Loader:
    def __init__(self, root: Path, environment: str) -> None:
        cache = ParseCache(root / ".headwater" / "cache" / "parsed.json")
        self.context = LoadContext(root, environment, References(root), cache)

    def load(self) -> tuple[Project | None, list[ProjectError]]:
        context = self.context
        document = context.open_document(context.root / PROJECT_FILE)
        declared = self._project_spec(document)
        context.any_variable = declared is None
        context.spec = spec = declared or context.spec
        context.stores = stores = read_stores(spec, context.root, context.environment, document, context.errors)
        found = [one for reader in READERS for one in reader.read(context)]
        self._check_names(found)
        datasets = {one.dataset.name: one.dataset for one in found}
        judge_checks(context, datasets, self._broken_names())
        self._check_folders()
        tests = read_unit_tests(context, datasets, self._broken_names())
        project = Project(
            root=str(context.root), spec=spec, stores=stores, engine=spec.engine, datasets=datasets, tests=tests,
            graph=Graph((), ()), environment=context.environment, secrets=frozenset(context.references.secrets),
        )  # fmt: skip
        graph = build_graph(found, datasets, context.errors, self._broken_names())
        if document is None or declared is None:
            return None, self._all_errors()
        engine = self._environment(project, document)
        environment = context.environment if context.environment in declared.environments else ""
        if not context.errors:
            context.cache.save()
        project = dataclasses.replace(
            project, graph=graph, engine=engine, environment=environment, warnings=tuple(context.warnings)
        )
        return project, self._all_errors()

    def _broken_names(self) -> set[str]:
        """Return what the files with problems declare: what reads it is not to blame."""
        readers = {reader.folder: reader for reader in READERS}
        paths = {PurePosixPath(error.path) for error in self.context.errors}
        return {readers[path.parts[0]].names(path) for path in paths if path.parts and path.parts[0] in readers}

    def _all_errors(self) -> list[ProjectError]:
        """Return the problems in the order of files and lines, free of secrets."""
        for error in self.context.errors:
            error.what = redact(error.what, self.context.references.secrets)
            error.fix = redact(error.fix, self.context.references.secrets)
        return sorted(self.context.errors, key=lambda error: (error.path, error.line, error.column))

    # ----------------------------------------------------------------------------------------------- the project

    def _project_spec(self, document: Document | None) -> ProjectSpec | None:
        if document is None:
            return None
        data = self.context.references.resolve(document, document.data, (), self.context.errors)
        spec = validate(ProjectSpec, data, document, (), self.context.errors)
        if spec is None:
            self.context.spec = _keep_right(data)
        self._check_environments(spec.environments if spec else (), document)
        self._check_engines(spec, document)
        for name, value in spec.vars.items() if spec else ():
            place = document.place(("vars", name))
            if name in CLOCK:
                self.context.error(place, f"${name} is Headwater's own and cannot be a variable", "choose another name")
            try:
                literal(value)
                self.context.variables[name] = value
            except ValueError as error:
                self.context.variables[name] = None
                self.context.error(place, f"{name}: {error}", "write a number, a text, a list, or {value: …, type: …}")
        return spec

    def _check_environments(self, names: Iterable[str], document: Document) -> None:
        """An environment's name is part of the names of its journal and lease."""
        seen: dict[str, str] = {}
        for name in names:
            place, twin = document.place(("environments", name)), seen.setdefault(folded(name), name)
            if problem := name_problem(name):
                self.context.error(place, f"the environment {visible(name)!r} {problem}", _FIX_NAME)
            elif twin != name:
                self.context.error(place, f"the environments {twin} and {name} differ only in case", "rename one")
            elif name == "default":
                self.context.error(place, "the environment default has the name of the one without a name", _FIX_NAME)

    def _check_engines(self, spec: ProjectSpec | None, document: Document) -> None:
        if spec is None:
            return
        engines: dict[tuple[str, ...], EngineSpec | None] = {("engine",): spec.engine}
        engines |= {("environments", name, "engine"): chosen.engine for name, chosen in spec.environments.items()}
        known = list_kinds("engines")
        for key, engine in engines.items():
            if engine is not None and engine.kind not in known:
                place = document.place((*key, "kind"))
                self.context.error(place, f"unknown engine {engine.kind!r}", suggest(engine.kind, known))

    def _environment(self, project: Project, document: Document) -> EngineSpec:
        """Return the engine of the chosen environment, in which every store that is used is stated, or shared."""
        spec, name = project.spec, self.context.environment
        if not name:
            return spec.engine
        chosen = spec.environments.get(name)
        if chosen is None:
            known = ", ".join(spec.environments) or "none is declared"
            self.context.error(document.place(("environments",)), f"unknown environment {name!r}", f"known: {known}")
            return spec.engine
        used = {dataset.store for dataset in project.datasets.values()}
        stated = {*chosen.shared, *chosen.stores}
        if missing := [store for store in project.stores if store in used and store not in stated]:
            self.context.error(
                document.place(("environments", name)),
                f"environment {name!r} does not say where {', '.join(missing)} is",
                "state the store's path, or list it in shared: […]",
            )
        return chosen.engine or spec.engine

    def _check_folders(self) -> None:
        """A file in a folder that nothing reads yet is an error, never silently accepted."""
        for folder in PROJECT_FOLDERS:
            if folder.startswith(".") or folder == "tests" or folder in {reader.folder for reader in READERS}:
                continue
            if found := [file for file in self.context.files(folder) if not file.name.startswith(".")]:
                place = Location(self.context.path_of(found[0]))
                self.context.error(
                    place, f"nothing reads the folder {folder}/ in this version", "move it out of the project"
                )

    # ----------------------------------------------------------------------------------------------------- names

    def _check_names(self, found: Sequence[Declared]) -> None:
        owners: dict[str, tuple[str, Location]] = {}
        spellings: dict[str, str] = {}
        for one in found:
            name, owner, place = one.dataset.name, one.owner, one.dataset.location
            for part in name.split("."):
                if problem := name_problem(part):
                    self.context.error(place, f"the name {visible(part)!r} {problem}", _FIX_NAME)
            namespace = name.partition(".")[0]
            known, first = owners.setdefault(folded(namespace), (owner, place))
            if known != owner:
                what = f"the namespace {namespace} belongs to the {known} ({first}) and to the {owner}"
                self.context.error(place, what, "rename one; names that differ only in case are the same")
            elif (twin := spellings.setdefault(folded(name), name)) != name:
                self.context.error(place, f"{name} and {twin} differ only in case", "rename one")
            if namespace.lower() in RESERVED_NAMESPACES:
                self.context.error(place, f"the namespace {namespace} is reserved", "choose another name")
            if "__" in name or name.count(".") != 1:
                self.context.error(place, f"{name}: `__` or a dot in a name", "use single underscores")
