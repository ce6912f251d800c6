"""The folder of YAML, SQL and Python becomes a Project, or every problem in it at once."""

from __future__ import annotations

import difflib
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from headwater.errors import ProjectError, ProjectErrors
from headwater.model.graph import Location
from headwater.model.project import Project, SourceTable, UnitTest
from headwater.model.specs import EngineSpec, IngestSpec, ProjectSpec, Spec, StoresSpec, UnitTestSpec
from headwater.plugins import list_kinds, load_source
from headwater.project.cache import ParseCache, digest
from headwater.project.documents import Document, parse_document, read_text
from headwater.project.models import ModelReader
from headwater.project.references import References, find_plain_secrets, plain
from headwater.project.validate import validate
from headwater.project.wiring import build_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.model.project import Model

PROJECT_FILE = "headwater.yaml"
SCHEMA_SUFFIX = ".schema.yaml"
RESERVED_NAMESPACES = {"system", "quarantine", "information_schema", "pg_catalog", "temp", "memory"}


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
    root = find_root(folder)
    chosen = os.environ.get("HEADWATER_ENV", "") if environment is None else environment
    return _Loader(root, chosen).load()


class _Loader:
    def __init__(self, root: Path, environment: str) -> None:
        self.root, self.environment = root, environment
        self.errors: list[ProjectError] = []
        self.warnings: list[str] = []
        self.references = References(root)
        self.cache = ParseCache(root / ".headwater" / "cache" / "parsed.json")

    def load(self) -> Project:
        spec = self._project_spec()
        if spec is None:
            raise ProjectErrors(self.errors)
        stores, engine = self._environment(spec)
        sources = self._sources(spec)
        models = self._models(spec)
        self._check_names(sources, models)
        tests = self._tests(models)
        project = Project(
            root=str(self.root), spec=spec, stores=stores, engine=engine, sources=sources, models=models, tests=tests,
            graph=build_graph({}, {}, str, []), environment=self.environment,
            secrets=frozenset(self.references.secrets),
        )  # fmt: skip
        graph = build_graph(sources, models, project.store_of, self.errors)
        if self.errors:
            raise ProjectErrors(sorted(self.errors, key=lambda error: (error.path, error.line, error.column)))
        self.cache.save()
        import dataclasses

        return dataclasses.replace(project, graph=graph, warnings=tuple(self.warnings))

    def _document(self, file: Path) -> Document | None:
        path = file.relative_to(self.root).as_posix()
        try:
            document = parse_document(read_text(file, path), path)
        except ProjectError as error:
            self.errors.append(error)
            return None
        self.warnings += find_plain_secrets(document)
        return document

    def _project_spec(self) -> ProjectSpec | None:
        document = self._document(self.root / PROJECT_FILE)
        if document is None:
            return None
        data = self.references.resolve(document, document.data or {}, (), self.errors)
        return validate(ProjectSpec, data, document, (), self.errors)

    def _environment(self, spec: ProjectSpec) -> tuple[StoresSpec, EngineSpec]:
        if not self.environment:
            return spec.stores, spec.engine
        chosen = spec.environments.get(self.environment)
        if chosen is None:
            known = ", ".join(spec.environments) or "none is declared"
            self.errors.append(
                ProjectError(f"unknown environment {self.environment!r}", fix=f"known: {known}", path=PROJECT_FILE)
            )
            return spec.stores, spec.engine
        shared = {name: getattr(spec.stores, name) for name in chosen.shared}
        stores: dict[Any, Any] = {**dict.fromkeys(StoresSpec.model_fields), **shared, **chosen.stores}
        missing = [name for name, store in stores.items() if store is None]
        if missing:
            self.errors.append(
                ProjectError(
                    f"environment {self.environment!r} does not say where {', '.join(missing)} is",
                    fix="state the store's path, or list it in shared: […]", path=PROJECT_FILE,
                )
            )  # fmt: skip
            return spec.stores, spec.engine
        return StoresSpec.model_validate(stores), chosen.engine or spec.engine

    # --------------------------------------------------------------------------------------------------- sources

    def _sources(self, spec: ProjectSpec) -> dict[str, SourceTable]:
        tables: dict[str, SourceTable] = {}
        for file in self._files("sources", ".yaml", ".yml"):
            if file.name.endswith(SCHEMA_SUFFIX):
                continue
            document = self._document(file)
            if document is not None:
                for table in self._source(document, file, spec):
                    tables[table.name] = table
        return tables

    def _source(self, document: Document, file: Path, spec: ProjectSpec) -> Iterable[SourceTable]:
        data = document.data if isinstance(document.data, dict) else {}
        kind = str(data.get("kind") or "")
        if kind not in list_kinds("sources"):
            place = document.place(("kind",))
            near = difflib.get_close_matches(kind, list_kinds("sources"), 1)
            self.errors.append(
                ProjectError(
                    f"unknown kind {kind!r}" if kind else "`kind` is missing",
                    fix=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(list_kinds('sources'))}",
                    path=place.path, line=place.line, column=place.column,
                )
            )  # fmt: skip
            return
        resolved = self.references.resolve(document, data, (), self.errors)
        connector = load_source(kind)
        rest = {key: value for key, value in resolved.items() if key not in ("kind", "tables")}
        connection = validate(connector.connection_spec, rest, document, (), self.errors)
        table_type = table_spec_of(kind)
        schemas = self._schemas(file)
        declared = resolved.get("tables")
        if not isinstance(declared, dict) or not declared:
            place = document.place(("tables",))
            self.errors.append(ProjectError("`tables` is missing", path=place.path, line=place.line))
            return
        for name, body in declared.items():
            defaults = {} if "into" in (body or {}) else {"into": spec.defaults.into}
            if "into" in table_type.model_fields and table_type.model_fields["into"].default != "lakehouse":
                defaults = {}
            values = {**defaults, **(body or {})}
            if not values.get("columns") and name in schemas:
                values["columns"] = schemas[name]
            table = validate(table_type, values, document, ("tables", name), self.errors)
            if table is not None and connection is not None:
                raw = {key: value for key, value in data.items() if key != "tables"}
                print_of = json.dumps(plain([kind, raw, data["tables"][name], schemas.get(name)]), sort_keys=True)
                assert isinstance(table, IngestSpec)
                yield SourceTable(
                    name=f"{file.stem}.{name}", kind=kind, connection=connection, options=table, ingest=table,
                    location=document.place(("tables", name)), fingerprint=digest(print_of),
                )  # fmt: skip

    def _schemas(self, file: Path) -> dict[str, Any]:
        schema_file = file.with_name(file.stem + SCHEMA_SUFFIX)
        if not schema_file.is_file():
            return {}
        document = self._document(schema_file)
        data = document.data if document else None
        return {name: table.get("columns", {}) for name, table in data.items()} if isinstance(data, dict) else {}

    # ---------------------------------------------------------------------------------------------------- models

    def _models(self, spec: ProjectSpec) -> dict[str, Model]:
        reader = ModelReader(self.root, spec.vars, self.cache, self.errors, self.warnings)
        models: dict[str, Model] = {}
        places: dict[str, Path] = {}
        base = self.root / "models"
        for file in self._files("models", ".sql", ".py"):
            if file.name.startswith(("_", ".")):
                continue
            parts = file.relative_to(base).parts
            name = f"{parts[0] if len(parts) > 1 else 'main'}.{file.stem}"
            if name in places:
                path, other = file.relative_to(self.root).as_posix(), places[name].relative_to(self.root).as_posix()
                self.errors.append(
                    ProjectError(
                        f"two models are named {name}: the other is {other}", fix="rename one file", path=path, line=1
                    )
                )
                continue
            places[name] = file
            if (model := reader.read(file, name)) is not None:
                models[name] = model
        return models

    def _tests(self, models: dict[str, Model]) -> tuple[UnitTest, ...]:
        tests = []
        for file in self._files("tests", ".yaml", ".yml"):
            document = self._document(file)
            if document is None:
                continue
            spec = validate(UnitTestSpec, document.data, document, (), self.errors)
            if spec is None:
                continue
            place = document.place(("model",))
            if spec.model not in models and not any(error.path.startswith("models/") for error in self.errors):
                near = difflib.get_close_matches(spec.model, models, 1)
                self.errors.append(
                    ProjectError(
                        f"no model is named {spec.model}", fix=f"did you mean {near[0]!r}?" if near else "",
                        path=place.path, line=place.line,
                    )
                )  # fmt: skip
            tests.append(UnitTest(file.relative_to(self.root / "tests").with_suffix("").as_posix(), spec, place))
        return tuple(tests)

    def _files(self, folder: str, *suffixes: str) -> list[Path]:
        base = self.root / folder
        return sorted(f for f in base.rglob("*") if f.suffix in suffixes and f.is_file()) if base.is_dir() else []

    # ----------------------------------------------------------------------------------------------------- names

    def _check_names(self, sources: dict[str, SourceTable], models: dict[str, Model]) -> None:
        owners: dict[str, tuple[str, Location]] = {}
        lower: dict[str, str] = {}
        everything = [(t.name, "the source", t.location) for t in sources.values()]
        everything += [(m.name, "the folder models/", m.location) for m in models.values()]
        for name, owner, place in everything:
            namespace = name.partition(".")[0]
            known = owners.setdefault(namespace, (owner, place))
            if known[0] != owner:
                self._name_error(
                    f"the namespace {namespace} belongs to {known[0]} ({known[1]}) and to {owner}", "rename one", place
                )
            if namespace.lower() in RESERVED_NAMESPACES:
                self._name_error(f"the namespace {namespace} is reserved", "choose another name", place)
            if "__" in name or name.count(".") != 1:
                self._name_error(f"{name}: `__` or a dot in a name", "use single underscores", place)
            if lower.setdefault(name.lower(), name) != name:
                self._name_error(f"{name} and {lower[name.lower()]} differ only in case", "rename one", place)

    def _name_error(self, what: str, fix: str, place: Location) -> None:
        self.errors.append(ProjectError(what, fix=fix, path=place.path, line=place.line, column=place.column))


@cache
def table_spec_of(kind: str) -> type[Spec]:
    """Return the model of a source table of a kind: the connector's keys and those of every kind."""
    own = load_source(kind).table_spec
    bases = (own,) if issubclass(own, IngestSpec) else (own, IngestSpec)
    return create_model(f"{kind.capitalize()}Table", __base__=bases)
