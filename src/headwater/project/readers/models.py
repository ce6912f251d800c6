"""Models: one SQL or Python file each."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from headwater.core.dataset import Dataset
from headwater.core.fingerprint import Fingerprint
from headwater.core.graph import Location, Node, Role, node_name
from headwater.core.layers import Family
from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.core.policies import Materialization
from headwater.core.project import Model, Reference
from headwater.core.specs import CheckSpec, ModelSpec
from headwater.documents import Document, parse_document, read_text
from headwater.errors import ProjectError
from headwater.plugins import load_store
from headwater.project.cache import digest
from headwater.project.readers.queries import judge_query
from headwater.project.readers.reader import Declared, FolderReader
from headwater.project.references import plain
from headwater.project_code import imported_files
from headwater.sql.header import split_header
from headwater.sql.placeholders import CLOCK, column_before, fill_placeholders, find_placeholders, literal
from headwater.sql.tokens import drop_semicolons
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headwater.documents import Key
    from headwater.project.readers.reader import LoadContext
    from headwater.sql.placeholders import Shift

_NO_REBUILD = {"description", "owner", "tags", "checks", "schedule", "lookback"}
"""Header keys that say nothing of the rows."""


@dataclass(slots=True)
class ModelReader:
    """Reads the model files of one project; `context` is the project so far."""

    context: LoadContext

    def read_all(self) -> Iterator[Model]:
        """Read every model that has no problems."""
        places: dict[str, str] = {}
        for file in self.context.files("models", ".sql", ".py"):
            if file.name.startswith(("_", ".")):
                continue
            path = self.context.path_of(file)
            name = self.context.full_name(_name_of(PurePosixPath(file.relative_to(self.context.base))))
            if other := places.get(name):
                what = f"two models are named {name}: the other is {other}"
                self.context.error(Location(path, 1), what, "rename one file")
                continue
            places[name] = path
            if (model := self.read(file, name)) is not None:
                yield model

    def read(self, file: Path, name: str) -> Model | None:
        """Read one model; None when it has problems (added to `errors`)."""
        path = self.context.path_of(file)
        try:
            text = read_text(file, path)
            return (
                self._read_sql(text, path, name) if file.suffix == ".sql" else self._read_python(file, text, path, name)
            )
        except ProjectError as error:
            self.context.errors.append(error)
            return None

    # ------------------------------------------------------------------------------------------------------- SQL

    def _read_sql(self, text: str, path: str, name: str) -> Model | None:
        try:
            header, header_line, body = split_header(text)
        except ValueError as error:
            raise ProjectError(str(error), fix="/* headwater and */ each stand on a line", path=path, line=1) from None
        document = parse_document(header, path, header_line or 1)
        spec = validate(ModelSpec, document.data, document, (), self.context.errors, self.context.stores)
        found = find_placeholders(body)
        query, shifts = self._fill_variables(drop_semicolons(body), path)
        entry = judge_query(query, self.context.cache)
        if "error" in entry:
            what, fix, line, column = entry["error"]
            raise ProjectError(what, fix=fix, path=path, line=line, column=column_before(shifts, line, column))

        def place(line: int, column: int) -> Location:
            return Location(path, line, column_before(shifts, line, column))

        for what, fix, line, column in entry["refused"]:
            self.context.errors.append(ProjectError.at(place(line, column), what, fix))
        if spec is None:
            return None
        if spec.materialize == Materialization.VIEW and self.context.domain != ROOT:
            for bare, line, column in entry["bare"]:  # the engine would look for it in the domain of who asks
                what = f"{name} reads {bare.partition('.')[2]} without its namespace, in a view of a domain"
                self.context.error(place(line, column), what, f"write {bare}")
        self._check_interval(spec, body, found, path)
        return Model(
            name=name,
            language="sql",
            text=query,
            spec=spec,
            references=tuple(Reference(table, place(line, column)) for table, line, column in entry["tables"]),
            location=Location(path, header_line or 1),
            fingerprint=fingerprint_model(spec, entry["canonical"]),
            volatile=() if spec.volatile == "ignore" else tuple(entry["volatile"]),
            uses=tuple(word for word in CLOCK if any(word == other for _, _, other in found)),
            shifts=shifts,
            mentions=tuple((offset, name) for offset, name in entry["mentions"]),
            domain=self.context.domain,
        )

    def _check_interval(self, spec: ModelSpec, body: str, found: list[tuple[int, int, str]], path: str) -> None:
        """`$interval_start` and `$interval_end` have a value only where there are intervals."""
        if spec.materialize == Materialization.INCREMENTAL and spec.time:
            return
        for start, _, word in found:
            if word in ("interval_start", "interval_end"):
                what = f"${word} has a value only in a model with intervals"
                fix = "use materialize: incremental with time, every and start"
                self.context.errors.append(ProjectError.at(_place(path, body, start), what, fix))

    def _fill_variables(self, body: str, path: str) -> tuple[str, tuple[Shift, ...]]:
        for start, _, name in find_placeholders(body):
            known = [*self.context.variables, *CLOCK]
            if name not in known and not self.context.any_variable:
                fix = f"{suggest(name, known)} or add it to vars in headwater.yaml"
                raise ProjectError.at(_place(path, body, start), f"unknown variable ${name}", fix)
        return fill_placeholders(
            body, lambda name: None if name in CLOCK else literal(self.context.variables.get(name))
        )

    # ---------------------------------------------------------------------------------------------------- Python

    def _read_python(self, file: Path, text: str, path: str, name: str) -> Model | None:
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            raise ProjectError(
                f"Python: {error.msg}",
                fix="mend the syntax",
                path=path,
                line=error.lineno or 1,
                column=error.offset or 0,
            ) from None
        found = [(f, d) for f in tree.body if isinstance(f, ast.FunctionDef) for d in _decorators(f)]
        if len(found) != 1:
            what = "no function is decorated with @hw.model(…)" if not found else "more than one @hw.model in one file"
            raise ProjectError(what, fix="a model is one file with one decorated function", path=path, line=1)
        function, decorator = found[0]
        arguments = _literals(decorator, path)
        inputs = arguments.pop("inputs", {})
        self._check_parameters(function, inputs, path)
        arguments.setdefault("description", ast.get_docstring(function) or "")
        line = decorator.lineno
        places: dict[Key, Location] = {
            (k.arg or "",): Location(path, k.lineno, k.col_offset + 1) for k in decorator.keywords
        }
        document = Document(path, arguments, places, line)
        spec = validate(ModelSpec, arguments, document, (), self.context.errors, self.context.stores)
        if spec is None:
            return None
        if spec.materialize == Materialization.VIEW:
            raise ProjectError("a Python model cannot be a view", fix="use materialize: table", path=path, line=line)
        sources = "\n".join(imported_sources(file, self.context.root, function.name))
        at = places.get(("inputs",), Location(path, line))
        return Model(
            name=name,
            language="python",
            text=text,
            spec=spec,
            references=tuple(Reference(str(table), at) for table in inputs.values()),
            location=Location(path, line),
            fingerprint=fingerprint_model(spec, digest(sources), json.dumps(inputs)),
            arguments={str(key): str(value) for key, value in inputs.items()},
            function=function.name,
            domain=self.context.domain,
        )

    @staticmethod
    def _check_parameters(function: ast.FunctionDef, inputs: Any, path: str) -> None:
        parameters = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
        if not isinstance(inputs, dict) or sorted(parameters) != sorted(inputs):
            raise ProjectError(
                f"the parameters of {function.name}() are not those of inputs",
                fix=f"inputs names {sorted(inputs)}, the function takes {sorted(parameters)}",
                path=path,
                line=function.lineno,
            )


def _name_of(path: PurePosixPath) -> str:
    """Return what the model in a file is called: the first folder below models/ is its namespace."""
    return f"{path.parts[1] if len(path.parts) > 2 else 'main'}.{path.stem}"


def _declare(model: Model, context: LoadContext) -> Declared:
    """Return the dataset of a model: rows are transformed and stored, or only transformed, where it is a view."""
    place = context.stores.get(model.spec.store or context.spec.defaults.store)
    name = "" if model.is_view else (model.spec.store or context.spec.defaults.store)
    dataset = Dataset(model, model.spec.materialize, Role.TRANSFORM, name, model.inputs)
    writer = node_name(model.name, Role.TRANSFORM)
    nodes = [Node(writer, Family.PROCESSING, model.spec.materialize, Role.TRANSFORM, model, model.location)]
    if name and place is not None:
        family = load_store(place.kind).family
        nodes.append(Node(model.name, family, place.name, Role.DATASET, model, model.location))
    return Declared(dataset, f"folder models/{model.name.split('.')[-2]}", tuple(nodes), model.references)


MODELS = FolderReader(
    "models",
    "model",
    lambda context: [_declare(model, context) for model in ModelReader(context).read_all()],
    _name_of,
    lambda: ModelSpec.model_json_schema(by_alias=True),
)


def _place(path: str, text: str, offset: int) -> Location:
    """Return the place of a character offset in a file's text."""
    return Location(path, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def fingerprint_model(spec: ModelSpec, *parts: str) -> Fingerprint:
    """Return the hash of what makes a model's rows, and the hash of its checks."""
    rows = {key: plain(value) for key, value in spec.model_dump(exclude=_NO_REBUILD, exclude_defaults=True).items()}
    typed = {name: column["type"] for name, column in rows.pop("columns", {}).items() if "type" in column}
    if typed:
        rows["columns"] = typed
    made_by = digest(json.dumps(rows, sort_keys=True, default=str), *parts)
    return Fingerprint.of(made_by, fingerprint_checks(spec.all_checks()))


def fingerprint_checks(checks: tuple[CheckSpec, ...]) -> str:
    """Return the hash of checks."""
    if not checks:
        return "0"
    dumped = [plain(check.model_dump(exclude_defaults=True)) for check in checks]
    return digest(json.dumps(dumped, sort_keys=True, default=str))[:16]


def _decorators(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        target = decorator.func
        named = isinstance(target, ast.Name) and target.id == "model"
        if named or (isinstance(target, ast.Attribute) and target.attr == "model"):
            yield decorator


def _literals(decorator: ast.Call, path: str) -> dict[str, Any]:
    if decorator.args:
        raise ProjectError("@hw.model takes keywords only", fix="name the argument", path=path, line=decorator.lineno)
    found = {}
    for keyword in decorator.keywords:
        try:
            found[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError):
            raise ProjectError(
                f"{keyword.arg or '**'}: not a literal",
                fix="the decorator is read without running the file: write the value out",
                path=path, line=keyword.lineno,
            ) from None  # fmt: skip
    return found


def imported_sources(file: Path, root: Path, model: str = "", seen: set[Path] | None = None) -> list[str]:
    """Return the code of a Python file and of every project file it imports, in a fixed order.

    Comments, layout, docstrings and the decorator of the function `model` are left out: they make no rows.
    """
    seen = set() if seen is None else seen
    if file in seen:
        return []
    seen.add(file)
    text = read_text(file, file.relative_to(root).as_posix())
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return [text]
    found = list(imported_files(file, root, tree))
    texts = [_code_of(tree, model)]
    for imported in found:
        texts += imported_sources(imported, root, "", seen)
    return texts


def _code_of(tree: ast.Module, model: str) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.FunctionDef) and node.name == model:
                named = list(_decorators(node))
                node.decorator_list = [decorator for decorator in node.decorator_list if decorator not in named]
    return ast.unparse(tree)
