"""The folder of YAML, SQL and Python becomes a Project, or every problem in it at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from headwater.core.graph import Graph, Location, Role
from headwater.core.names import ROOT, full_name
from headwater.core.near import suggest
from headwater.core.project import Project
from headwater.core.secrets import redact
from headwater.core.specs import EngineSpec, ProjectSpec
from headwater.core.texts import visible
from headwater.errors import ProjectError, ProjectErrors
from headwater.plugins import list_kinds
from headwater.project.cache import ParseCache
from headwater.project.checks import judge_checks
from headwater.project.domains import DomainNames, list_domains, resolve_checks, resolve_references
from headwater.project.metrics import FOLDER as METRICS
from headwater.project.metrics import read_metrics, resolve_metrics
from headwater.project.names import FIX_NAME, check_names, folded, name_problem
from headwater.project.readers import DOMAINS, READERS, LoadContext
from headwater.project.references import References
from headwater.project.stores import PROJECT_FOLDERS, read_stores
from headwater.project.unit_tests import read_unit_tests
from headwater.project.wiring import build_graph
from headwater.sql.placeholders import CLOCK, literal
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headwater.core.metrics import SemanticModel
    from headwater.documents import Document
    from headwater.project.readers import Declared

PROJECT_FILE = "headwater.yaml"


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
        domains = list_domains(context)
        models = {domain: read_metrics(self._context(domain)) for domain in (ROOT, *domains)}
        found = [one for domain, own in models.items() for one in self._read_domain(domain, own)]
        check_names(context, found, domains)
        names = DomainNames({one.dataset.name: one.dataset for one in found}, domains)
        resolved = [
            one for own in models.values() for one in resolve_metrics(own, names, context.errors, self._broken_names())
        ]
        found = self._resolve(found, names)
        everything = {one.dataset.name: one.dataset for one in found}
        datasets = {name: one for name, one in everything.items() if one.role is not Role.CONSUMER}
        consumers = {name: one for name, one in everything.items() if one.role is Role.CONSUMER}
        judge_checks(context, datasets, self._broken_names())
        self._check_folders(domains)
        tests = tuple(
            test
            for domain in (ROOT, *domains)
            for test in read_unit_tests(self._context(domain), datasets, domains, self._broken_names())
        )
        project = Project(
            root=str(context.root), spec=spec, stores=stores, engine=spec.engine, datasets=datasets, tests=tests,
            graph=Graph((), ()), environment=context.environment, secrets=frozenset(context.references.secrets),
            consumers=consumers, domains=domains, semantic_models=tuple(resolved),
        )  # fmt: skip
        graph = build_graph(found, datasets, context.errors)
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

    def _context(self, domain: str) -> LoadContext:
        """Return the context of a domain; all share what is found."""
        return dataclasses.replace(self.context, domain=domain)

    def _read_domain(self, domain: str, models: tuple[SemanticModel, ...]) -> Iterator[Declared]:
        context = dataclasses.replace(self._context(domain), models=models)
        for reader in READERS:
            for one in reader.read(context):
                nodes = tuple(dataclasses.replace(node, domain=domain) for node in one.nodes)
                yield dataclasses.replace(one, dataset=dataclasses.replace(one.dataset, domain=domain), nodes=nodes)

    def _resolve(self, found: Sequence[Declared], names: DomainNames) -> list[Declared]:
        """Return what was found with the full names of all it reads."""
        broken = self._broken_names()
        resolved = (resolve_references(one, names, self.context.errors, broken) for one in found)
        return [resolve_checks(one, names, self.context.errors) for one in resolved]

    def _broken_names(self) -> set[str]:
        """Return what the files with problems declare: what reads it is not to blame."""
        readers, found = {reader.folder: reader for reader in READERS}, set[str]()
        for error in self.context.errors:
            domain, path = ROOT, PurePosixPath(error.path)
            if path.parts[:1] == (DOMAINS,) and len(path.parts) > 3:
                domain, path = path.parts[1], PurePosixPath(*path.parts[2:])
            if path.parts and path.parts[0] in readers:
                found.add(full_name(domain, readers[path.parts[0]].names(path)))
        return found

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
                self.context.error(place, f"the environment {visible(name)!r} {problem}", FIX_NAME)
            elif twin != name:
                self.context.error(place, f"the environments {twin} and {name} differ only in case", "rename one")
            elif name == "default":
                self.context.error(place, "the environment default has the name of the one without a name", FIX_NAME)

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
        used = {dataset.store for dataset in project.everything.values()}
        stated = {*chosen.shared, *chosen.stores}
        if missing := [store for store in project.stores if store in used and store not in stated]:
            self.context.error(
                document.place(("environments", name)),
                f"environment {name!r} does not say where {', '.join(missing)} is",
                "state the store's path, or list it in shared: […]",
            )
        return chosen.engine or spec.engine

    def _check_folders(self, domains: Sequence[str]) -> None:
        """A file in a folder that nothing reads yet is an error, never silently accepted."""
        known = {"tests", METRICS, DOMAINS, *(reader.folder for reader in READERS)}
        places = [(self.context, folder) for folder in PROJECT_FOLDERS if not folder.startswith(".")]
        for domain in domains:
            context = self._context(domain)
            places += [(context, folder.name) for folder in sorted(context.base.iterdir()) if folder.is_dir()]
        for context, folder in places:
            nested = folder == DOMAINS and context.domain != ROOT
            if (folder in known and not nested) or folder.startswith((".", "_")):
                continue
            if found := [file for file in context.files(folder) if not file.name.startswith(".")]:
                place = Location(self.context.path_of(found[0]))
                path = context.base.joinpath(folder).relative_to(context.root)
                what = f"nothing reads the folder {path}/ in this version"
                self.context.error(place, what, "move it out of the project")
