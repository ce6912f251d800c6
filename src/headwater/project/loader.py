"""The folder of YAML, SQL and Python becomes a Project, or every problem in it at once."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from headwater.core.graph import Graph, Location
from headwater.core.project import Project, UnitTest
from headwater.core.specs import EngineSpec, ProjectSpec, UnitTestSpec
from headwater.core.stores import DeclaredStore
from headwater.core.texts import visible
from headwater.errors import ProjectError, ProjectErrors
from headwater.plugins import list_kinds
from headwater.project.cache import ParseCache, digest
from headwater.project.documents import Document, parse_document, read_text
from headwater.project.models import ModelReader
from headwater.project.names import folded, name_problem
from headwater.project.references import References, find_plain_secrets, redact
from headwater.project.sources import SCHEMA_SUFFIX, SourceReader
from headwater.project.stores import read_stores
from headwater.project.validate import suggest, validate
from headwater.project.wiring import build_graph, model_dataset, table_dataset
from headwater.sql.placeholders import CLOCK, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.core.dataset import Dataset
    from headwater.core.project import Model, SourceTable

PROJECT_FILE = "headwater.yaml"
RESERVED_NAMESPACES = {
    "system", "_system", "quarantine", "information_schema", "pg_catalog", "temp", "memory", "_hw", "_headwater",
}  # fmt: skip
_YAML = (".yaml", ".yml")
_FIX_NAME = "name it with letters, digits, - and _"
LATER_FOLDERS = ("products", "metrics", "dashboards", "ml", "apps", "domains")
"""Folders of the architecture that nothing reads yet: a file in them is an unknown word, never silently accepted."""


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


class _Loader:
    def __init__(self, root: Path, environment: str) -> None:
        self.root, self.environment = root, environment
        self.errors: list[ProjectError] = []
        self.warnings: list[str] = []
        self.variables: dict[str, Any] = {}
        self.references = References(root)
        self.cache = ParseCache(root / ".headwater" / "cache" / "parsed.json")

    def load(self) -> tuple[Project | None, list[ProjectError]]:
        document = self._document(self.root / PROJECT_FILE)
        declared = self._project_spec(document)
        spec = declared or ProjectSpec(name="project")
        stores = read_stores(spec, self.root, self.environment, document, self.errors)
        tables = self._tables(spec, stores)
        models = self._models(stores, any_variable=declared is None)
        self._check_names(tables, models)
        datasets = {table.name: table_dataset(table) for table in tables.values()}
        datasets |= {model.name: model_dataset(model, spec.defaults.store) for model in models.values()}
        self._check_checks(datasets)
        self._check_folders()
        tests = self._tests(datasets, models)
        project = Project(
            root=str(self.root), spec=spec, stores=stores, engine=spec.engine, datasets=datasets, tests=tests,
            graph=Graph((), ()), environment=self.environment, secrets=frozenset(self.references.secrets),
        )  # fmt: skip
        graph = build_graph(tables.values(), models.values(), datasets, stores, self.errors, self._broken_names())
        if document is None or declared is None:
            return None, self._all_errors()
        engine = self._environment(project, document)
        environment = self.environment if self.environment in declared.environments else ""
        if not self.errors:
            self.cache.save()
        project = dataclasses.replace(
            project, graph=graph, engine=engine, environment=environment, warnings=tuple(self.warnings)
        )
        return project, self._all_errors()

    def _broken_names(self) -> set[str]:
        """Return the sources and models whose own files have problems: what reads them is not to blame."""
        names = set()
        for error in self.errors:
            parts = PurePosixPath(error.path).parts
            if parts[:1] == ("sources",):
                names.add(PurePosixPath(error.path).name.partition(".")[0])
            elif parts[:1] == ("models",):
                names.add(f"{parts[1] if len(parts) > 2 else 'main'}.{PurePosixPath(error.path).stem}")
        return names

    def _all_errors(self) -> list[ProjectError]:
        """Return the problems in the order of files and lines, free of secrets."""
        for error in self.errors:
            error.what = redact(error.what, self.references.secrets)
            error.fix = redact(error.fix, self.references.secrets)
        return sorted(self.errors, key=lambda error: (error.path, error.line, error.column))

    def _document(self, file: Path) -> Document | None:
        path = file.relative_to(self.root).as_posix()
        try:
            document = parse_document(read_text(file, path), path)
        except ProjectError as error:
            self.errors.append(error)
            return None
        self.warnings += find_plain_secrets(document)
        return document

    def _error(self, place: Location, what: str, fix: str) -> None:
        self.errors.append(ProjectError.at(place, what, fix))

    # ----------------------------------------------------------------------------------------------- the project

    def _project_spec(self, document: Document | None) -> ProjectSpec | None:
        if document is None:
            return None
        data = self.references.resolve(document, document.data, (), self.errors)
        spec = validate(ProjectSpec, data, document, (), self.errors)
        self._check_environments(spec.environments if spec else (), document)
        self._check_engines(spec, document)
        for name, value in spec.vars.items() if spec else ():
            place = document.place(("vars", name))
            if name in CLOCK:
                self._error(place, f"${name} is Headwater's own and cannot be a variable", "choose another name")
            try:
                literal(value)
                self.variables[name] = value
            except ValueError as error:
                self.variables[name] = None
                self._error(place, f"{name}: {error}", "write a number, a text, a list, or {value: …, type: …}")
        return spec

    def _check_environments(self, names: Iterable[str], document: Document) -> None:
        """An environment's name is part of the names of its journal and lease."""
        seen: dict[str, str] = {}
        for name in names:
            place, twin = document.place(("environments", name)), seen.setdefault(folded(name), name)
            if problem := name_problem(name):
                self._error(place, f"the environment {visible(name)!r} {problem}", _FIX_NAME)
            elif twin != name:
                self._error(place, f"the environments {twin} and {name} differ only in case", "rename one")
            elif name == "default":
                self._error(place, "the environment default has the name of the one without a name", _FIX_NAME)

    def _check_engines(self, spec: ProjectSpec | None, document: Document) -> None:
        if spec is None:
            return
        engines: dict[tuple[str, ...], EngineSpec | None] = {("engine",): spec.engine}
        engines |= {("environments", name, "engine"): chosen.engine for name, chosen in spec.environments.items()}
        known = list_kinds("engines")
        for key, engine in engines.items():
            if engine is not None and engine.kind not in known:
                place = document.place((*key, "kind"))
                self._error(place, f"unknown engine {engine.kind!r}", suggest(engine.kind, known))

    def _environment(self, project: Project, document: Document) -> EngineSpec:
        """Return the engine of the chosen environment, in which every store that is used is stated, or shared."""
        spec, name = project.spec, self.environment
        if not name:
            return spec.engine
        chosen = spec.environments.get(name)
        if chosen is None:
            known = ", ".join(spec.environments) or "none is declared"
            self._error(document.place(("environments",)), f"unknown environment {name!r}", f"known: {known}")
            return spec.engine
        used = {dataset.store for dataset in project.datasets.values()}
        stated = {*chosen.shared, *chosen.stores}
        if missing := [store for store in project.stores if store in used and store not in stated]:
            self._error(
                document.place(("environments", name)),
                f"environment {name!r} does not say where {', '.join(missing)} is",
                "state the store's path, or list it in shared: […]",
            )
        return chosen.engine or spec.engine

    def _check_checks(self, datasets: dict[str, Dataset]) -> None:
        """A check looks into its own table and, a relationship, into one that is declared."""
        broken = self._broken_names()
        for name, dataset in datasets.items():
            for check in dataset.checks:
                to = check.relationship.to if check.relationship else name
                if to not in datasets and not {to, to.partition(".")[0]} & broken:
                    what = f"a relationship to {to}, which nothing declares"
                    self._error(dataset.location, what, suggest(to, datasets))
                if check.sql:
                    self._check_sql(dataset.location, name, check.sql)

    def _check_sql(self, place: Location, name: str, sql: str) -> None:
        """A check's SQL reads its own table, and asks nothing else of the engine."""

        def parse() -> dict[str, Any]:
            from headwater.sql.parse import parse_query

            try:
                parsed = parse_query(sql)
            except ProjectError as error:
                return {"error": error.what}
            errors = [found.error(declared=True) for found in parsed.refused]
            others = [table.name for table in parsed.tables if table.name.lower() != "main.this"]
            return {"others": others, "refused": [[error.what, error.fix] for error in errors]}

        found = self.cache.get(digest("check judged", sql), parse)
        if "error" in found:
            fix = "write one SELECT of the rows that are wrong, from this"
            self._error(place, f"a check's SQL: {found['error']}", fix)
            return
        for what, fix in found["refused"]:
            self._error(place, f"a check of {name}: {what}", fix)
        for other in found["others"]:
            self._error(place, f"a check of {name} reads {other}", "only `this` can be read in a check's SQL")

    def _check_folders(self) -> None:
        for folder in LATER_FOLDERS:
            if found := [file for file in self._files(folder) if not file.name.startswith(".")]:
                place = Location(found[0].relative_to(self.root).as_posix())
                self._error(place, f"nothing reads the folder {folder}/ in this version", "move it out of the project")

    # ------------------------------------------------------------------------------------------- sources, models

    def _tables(self, spec: ProjectSpec, stores: dict[str, DeclaredStore]) -> dict[str, SourceTable]:
        reader = SourceReader(
            self.references, self._document, stores, spec.defaults.into, self.environment, self.errors,
            cache=self.cache,
        )  # fmt: skip
        tables: dict[str, SourceTable] = {}
        files: dict[str, str] = {}
        for file in self._files("sources", *_YAML):
            path = file.relative_to(self.root).as_posix()
            if file.name.endswith(SCHEMA_SUFFIX):
                if not any(file.with_name(file.name.removesuffix(SCHEMA_SUFFIX) + end).is_file() for end in _YAML):
                    self._error(Location(path, 1), "a schema file without its source", "name it like the source's file")
                continue
            if other := files.get(file.stem):
                self._error(
                    Location(path, 1), f"two sources are named {file.stem}: the other is {other}", "rename one file"
                )
                continue
            files[file.stem] = path
            for table in reader.read(file):
                tables[table.name] = table
        return tables

    def _models(self, stores: dict[str, DeclaredStore], *, any_variable: bool) -> dict[str, Model]:
        reader = ModelReader(self.root, self.variables, stores, self.cache, self.errors, any_variable)
        models: dict[str, Model] = {}
        places: dict[str, str] = {}
        base = self.root / "models"
        for file in self._files("models", ".sql", ".py"):
            if file.name.startswith(("_", ".")):
                continue
            parts = file.relative_to(base).parts
            path = file.relative_to(self.root).as_posix()
            name = f"{parts[0] if len(parts) > 1 else 'main'}.{file.stem}"
            if other := places.get(name):
                self._error(Location(path, 1), f"two models are named {name}: the other is {other}", "rename one file")
                continue
            places[name] = path
            if (model := reader.read(file, name)) is not None:
                models[name] = model
        return models

    # ----------------------------------------------------------------------------------------------------- tests

    def _tests(self, datasets: dict[str, Dataset], models: dict[str, Model]) -> tuple[UnitTest, ...]:
        tests = []
        broken = self._broken_names()
        for file in self._files("tests", *_YAML):
            document = self._document(file)
            spec = validate(UnitTestSpec, document.data, document, (), self.errors) if document else None
            if document is None or spec is None:
                continue
            self._check_test(spec, document, datasets, models, broken)
            name = file.relative_to(self.root / "tests").with_suffix("").as_posix()
            tests.append(UnitTest(name, spec, document.place(("model",))))
        return tuple(tests)

    def _check_test(
        self, spec: UnitTestSpec, document: Document, datasets: dict[str, Dataset], models: dict[str, Model],
        broken: set[str],
    ) -> None:  # fmt: skip
        """A test is about a model that exists, and gives rows of datasets that the model reads."""
        if spec.model in broken:
            return
        if spec.model not in models:
            place = document.place(("model",))
            self._error(place, f"no model is named {spec.model}", suggest(spec.model, models))
            return
        read, queue = set[str](), [spec.model]
        while queue:
            for name in datasets[queue.pop()].inputs:
                if name not in read and name in datasets and not datasets[name].is_stored:
                    queue.append(name)
                read.add(name)
        for name in spec.given if not read & broken else ():
            if name not in read:
                what = "does not read" if name in datasets else "reads no dataset named"
                self._error(document.place(("given", name)), f"{spec.model} {what} {name}", suggest(name, read))

    def _files(self, folder: str, *suffixes: str) -> list[Path]:
        base = self.root / folder
        found = (file for file in base.rglob("*") if not suffixes or file.suffix in suffixes) if base.is_dir() else ()
        return sorted(file for file in found if file.is_file())

    # ----------------------------------------------------------------------------------------------------- names

    def _check_names(self, tables: dict[str, SourceTable], models: dict[str, Model]) -> None:
        owners: dict[str, tuple[str, Location]] = {}
        spellings: dict[str, str] = {}
        everything = [(table.name, f"source {table.source}", table.location) for table in tables.values()]
        everything += [
            (name, f"folder models/{name.partition('.')[0]}", model.location) for name, model in models.items()
        ]
        for name, owner, place in everything:
            for part in name.split("."):
                if problem := name_problem(part):
                    self._error(place, f"the name {visible(part)!r} {problem}", _FIX_NAME)
            namespace = name.partition(".")[0]
            known, first = owners.setdefault(folded(namespace), (owner, place))
            if known != owner:
                what = f"the namespace {namespace} belongs to the {known} ({first}) and to the {owner}"
                self._error(place, what, "rename one; names that differ only in case are the same")
            elif (twin := spellings.setdefault(folded(name), name)) != name:
                self._error(place, f"{name} and {twin} differ only in case", "rename one")
            if namespace.lower() in RESERVED_NAMESPACES:
                self._error(place, f"the namespace {namespace} is reserved", "choose another name")
            if "__" in name or name.count(".") != 1:
                self._error(place, f"{name}: `__` or a dot in a name", "use single underscores")
