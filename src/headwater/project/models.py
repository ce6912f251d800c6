"""Models: one SQL or Python file each."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.errors import ProjectError
from headwater.model.graph import Location
from headwater.model.project import Model, Reference
from headwater.model.specs import CheckSpec, ModelSpec
from headwater.project.cache import ParseCache, digest
from headwater.project.documents import Document, parse_document, read_text
from headwater.project.references import plain
from headwater.project.validate import suggest, validate
from headwater.sql.header import split_header
from headwater.sql.placeholders import CLOCK, find_placeholders, literal, replace_placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headwater.project.documents import Key

_NO_REBUILD = {"description", "owner", "tags", "checks", "schedule", "lookback"}
"""Header keys that say nothing of the rows."""

_CANONICAL = re.compile(
    r"""(?P<keep>[eE]'(?:\\.|[^'\\]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"""
    r"""|--[^\n]*|/\*.*?\*/|\s+""",
    re.DOTALL,
)


@dataclass(slots=True)
class ModelReader:
    """Reads model files of one project; problems are collected in `errors` and `warnings`."""

    root: Path
    variables: dict[str, Any]
    cache: ParseCache
    errors: list[ProjectError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, file: Path, name: str) -> Model | None:
        """Read one model; None when it has problems (added to `errors`)."""
        path = file.relative_to(self.root).as_posix()
        try:
            text = read_text(file, path)
            return (
                self._read_sql(text, path, name) if file.suffix == ".sql" else self._read_python(file, text, path, name)
            )
        except ProjectError as error:
            if not error.path:
                error = ProjectError(error.what, fix=error.fix, path=path, line=error.line, column=error.column)
            self.errors.append(error)
            return None

    # ------------------------------------------------------------------------------------------------------- SQL

    def _read_sql(self, text: str, path: str, name: str) -> Model | None:
        try:
            header, header_line, body = split_header(text)
        except ValueError as error:
            raise ProjectError(str(error), path=path, line=1) from None
        document = self._header(header, path, header_line or 1)
        spec = validate(ModelSpec, document.data, document, (), self.errors)
        names = [name for _, _, name in find_placeholders(body)]
        query = self._fill_variables(body, path)
        entry = self.cache.get(digest("query", query), lambda: self._parse(query))
        if "error" in entry:
            what, fix, line, column = entry["error"]
            raise ProjectError(what, fix=fix, path=path, line=line, column=column)
        for reader, line, column in entry["readers"]:
            self.errors.append(
                ProjectError(
                    f"{reader}() reads data that no source declares",
                    fix="declare it in sources/ and name the dataset here",
                    path=path, line=line, column=column,
                )
            )  # fmt: skip
        if spec is None:
            return None
        return Model(
            name=name,
            language="sql",
            text=query,
            spec=spec,
            references=tuple(Reference(table, Location(path, line, column)) for table, line, column in entry["tables"]),
            location=Location(path, header_line or 1),
            fingerprint=fingerprint_model(spec, entry["canonical"]),
            volatile=() if spec.volatile == "ignore" else tuple(entry["volatile"]),
            uses=tuple(word for word in CLOCK if word in names),
        )

    def _header(self, header: str, path: str, line: int) -> Document:
        if not header.strip():
            return Document(path, {}, {}, line)
        return parse_document(header, path, line)

    def _fill_variables(self, body: str, path: str) -> str:
        def value_of(name: str) -> str | None:
            if name in CLOCK:
                return None
            if name not in self.variables:
                raise _UnknownVariableError(name)
            return literal(self.variables[name])

        try:
            return replace_placeholders(body, value_of)
        except _UnknownVariableError as unknown:
            start = next(start for start, _, name in find_placeholders(body) if name == unknown.name)
            known = [*self.variables, *CLOCK]
            raise ProjectError(
                f"unknown variable ${unknown.name}",
                fix=suggest(unknown.name, known) + " or add it to vars in headwater.yaml",
                path=path,
                line=body.count("\n", 0, start) + 1,
                column=start - body.rfind("\n", 0, start),
            ) from None

    @staticmethod
    def _parse(query: str) -> dict[str, Any]:
        from headwater.sql.parse import parse_query

        probe = replace_placeholders(
            query, lambda name: "TIMESTAMPTZ '2000-01-01'" if name == "now" else "TIMESTAMP '2000-01-01'"
        )
        try:
            parsed = parse_query(probe)
        except ProjectError as error:
            return {"error": [error.what, error.fix, error.line, error.column]}
        return {
            "tables": [[place.name, place.line, place.column] for place in parsed.tables],
            "volatile": [place.name for place in parsed.volatile],
            "readers": [[place.name, place.line, place.column] for place in parsed.readers],
            "canonical": digest(canonical_text(query)),
        }

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
        found = [(f, d) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for d in _decorators(f)]
        if len(found) != 1:
            what = "no function is decorated with @hw.model(…)" if not found else "more than one @hw.model in one file"
            raise ProjectError(what, fix="a model is one file with one decorated function", path=path, line=1)
        function, decorator = found[0]
        arguments = _literals(decorator, path)
        inputs = arguments.pop("inputs", {})
        self._check_parameters(function, inputs, path)
        arguments.setdefault("description", ast.get_docstring(function) or "")
        line = decorator.lineno
        places: dict[Key, Location] = {(k.arg or "",): Location(path, k.lineno) for k in decorator.keywords}
        document = Document(path, arguments, places, line)
        spec = validate(ModelSpec, arguments, document, (), self.errors)
        if spec is None:
            return None
        if spec.materialize == "view":
            raise ProjectError("a Python model cannot be a view", fix="use materialize: table", path=path, line=line)
        sources = "\n".join(imported_sources(file, self.root))
        input_line = places.get(("inputs",), Location(path, line)).line
        return Model(
            name=name,
            language="python",
            text=text,
            spec=spec,
            references=tuple(Reference(str(table), Location(path, input_line)) for table in inputs.values()),
            location=Location(path, line),
            fingerprint=fingerprint_model(spec, digest(sources), json.dumps(inputs)),
            arguments={str(key): str(value) for key, value in inputs.items()},
            function=function.name,
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


class _UnknownVariableError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def canonical_text(query: str) -> str:
    """Return a query without comments and with single spaces: what a change of layout does not change."""
    return _CANONICAL.sub(lambda match: match["keep"] or " ", query).strip()


def fingerprint_model(spec: ModelSpec, *parts: str) -> str:
    """Return `rows.checks`: the hash of what makes a model's rows, and the hash of its checks."""
    rows = {key: plain(value) for key, value in spec.model_dump(exclude=_NO_REBUILD, exclude_defaults=True).items()}
    for column in rows.get("columns", {}).values():
        column.pop("checks", None)
        column.pop("description", None)
    return f"{digest(json.dumps(rows, sort_keys=True, default=str), *parts)}.{fingerprint_checks(spec.all_checks())}"


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
        except ValueError:
            raise ProjectError(
                f"{keyword.arg}: not a literal",
                fix="the decorator is read without running the file: write the value out",
                path=path, line=keyword.lineno,
            ) from None  # fmt: skip
    return found


def imported_sources(file: Path, root: Path, seen: set[Path] | None = None) -> list[str]:
    """Return the source of a Python file and of every project file it imports, in a fixed order."""
    seen = set() if seen is None else seen
    if file in seen:
        return []
    seen.add(file)
    text = file.read_text(encoding="utf-8")
    texts = [text]
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return texts
    for module in sorted(_imports(tree)):
        for base in (file.parent, root):
            target = base.joinpath(*module.split("."))
            for candidate in (target.with_suffix(".py"), target / "__init__.py"):
                if candidate.is_file():
                    texts += imported_sources(candidate, root, seen)
    return texts


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names.add(module)
            names.update(f"{module}.{alias.name}".strip(".") for alias in node.names)
    names.discard("")
    return names
