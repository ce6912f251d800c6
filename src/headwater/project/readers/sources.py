"""Sources: one YAML file each, with the schema file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, create_model

from headwater.core.dataset import Dataset
from headwater.core.fingerprint import Fingerprint
from headwater.core.graph import Location, Node, Role, node_name
from headwater.core.layers import Family
from headwater.core.near import suggest
from headwater.core.policies import DeletePolicy, LoadMode
from headwater.core.project import SourceTable
from headwater.core.specs import IngestSpec, SourceColumns, Spec
from headwater.errors import ProjectError
from headwater.plugins import list_kinds, load_source, load_store
from headwater.project.cache import digest
from headwater.project.readers.reader import Declared, FolderReader
from headwater.project.references import plain
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headwater.contracts import Source
    from headwater.documents import Document
    from headwater.project.readers.reader import LoadContext

SCHEMA_SUFFIX = ".schema.yaml"
_YAML = (".yaml", ".yml")

_ONLY_WORDS = {"description", "owner", "tags"}
"""Keys of a table or column that say nothing of its rows."""


class SchemaTable(Spec):
    """One table of `sources/<source>.schema.yaml`."""

    columns: SourceColumns


@dataclass(slots=True)
class SourceReader:
    """Reads the source files of one project.

    Attributes:
        context: The project so far.
        claimed: What only one table may have, and where that one is declared.
    """

    context: LoadContext
    claimed: dict[str, str] = field(default_factory=dict)

    def read_all(self) -> Iterator[SourceTable]:
        """Read every source: its tables without problems."""
        files: dict[str, str] = {}
        for file in self.context.files("sources", *_YAML):
            path = self.context.path_of(file)
            if file.name.endswith(SCHEMA_SUFFIX):
                if not any(file.with_name(file.name.removesuffix(SCHEMA_SUFFIX) + end).is_file() for end in _YAML):
                    what = "a schema file without its source"
                    self.context.error(Location(path, 1), what, "name it like the source's file")
            elif other := files.get(file.stem):
                what = f"two sources are named {file.stem}: the other is {other}"
                self.context.error(Location(path, 1), what, "rename one file")
            else:
                files[file.stem] = path
                yield from self.read(file)

    def read(self, file: Path) -> Iterator[SourceTable]:
        """Read one source: its tables without problems."""
        document = self.context.open_document(file)
        if document is None:
            return
        data = document.data if isinstance(document.data, dict) else {}
        kind = self._kind(document, data)
        if not kind:
            return
        resolved = self.context.references.resolve(document, data, (), self.context.errors)
        connector = load_source(kind)
        own = {key: value for key, value in resolved.items() if key not in ("kind", "tables")}
        connection = validate(connector.connection_spec, own, document, (), self.context.errors)
        tables = resolved.get("tables")
        if not isinstance(tables, dict) or not tables:
            self._error(document, ("tables",), "`tables` is missing", "name the tables: tables: {orders: {…}}")
            return
        schemas = self._schemas(file, list(tables))
        raw = {key: value for key, value in data.items() if key != "tables"}
        read = {name: self._table(document, kind, name, body, schemas.get(name)) for name, body in tables.items()}
        self._check_together(document, connector, read)
        for name, table in read.items():
            if table is None or connection is None:
                continue
            self._claim(document, connector, connection, name, table)
            declared = fingerprint_source(kind, raw, data["tables"][name], schemas.get(name))
            yield SourceTable(
                name=self.context.full_name(f"{file.stem}.{name}"), kind=kind, connection=connection, options=table,
                ingest=table, location=document.place(("tables", name)), fingerprint=declared,
                store=self.context.stores[table.into],
            )  # fmt: skip

    def _kind(self, document: Document, data: dict[str, Any]) -> str:
        kind, known = str(data.get("kind") or ""), list_kinds("sources")
        if kind in known:
            return kind
        what = f"unknown kind {kind!r}" if kind else "`kind` is missing"
        self._error(document, ("kind",), what, suggest(kind, known))
        return ""

    def _table(
        self, document: Document, kind: str, name: str, body: Any, schema: dict[str, Any] | None
    ) -> IngestSpec | None:
        if not isinstance(body, dict | None):
            self._error(document, ("tables", name), f"{name}: a table is a mapping", f"write {name}: {{…}}")
            return None
        table_type = table_spec_of(kind)
        values = dict(body or {})
        if "into" not in values and table_type.model_fields["into"].default == IngestSpec.model_fields["into"].default:
            values["into"] = self.context.spec.defaults.into
        if not values.get("columns") and schema:
            values["columns"] = schema
        spec = validate(table_type, values, document, ("tables", name), self.context.errors, self.context.stores)
        if spec is not None:
            self._check_load(document, kind, name, spec)
            self._check_expressions(document, name, spec)
        return spec

    def _check_expressions(self, document: Document, name: str, spec: IngestSpec) -> None:
        """An expression sees one row, and asks nothing else of the engine."""
        for key, sql, order in expressions_of(spec):
            for what, fix in self._judge(sql, order=order):
                self._error(document, ("tables", name, *key), f"{name}: {'.'.join(map(str, key))}: {what}", fix)

    def _judge(self, sql: str, *, order: bool) -> list[list[str]]:
        def judge() -> list[list[str]]:
            from headwater.sql.parse import parse_expression

            try:
                parsed = parse_expression(sql, order=order)
            except ProjectError as error:
                return [[error.what, error.fix]]
            errors = [found.error(declared=True) for found in parsed.refused]
            read = [f"it reads {table.name}" for table in parsed.tables]
            return [[e.what, e.fix] for e in errors] + [[what, "an expression sees its own row only"] for what in read]

        key = digest("expression judged", "order" if order else "", sql)
        return list(self.context.cache.get(key, judge))

    def _check_load(self, document: Document, kind: str, name: str, spec: IngestSpec) -> None:
        """Refuse what no load of the kind can do, before one is begun."""
        connector = load_source(kind)
        for key, problem in connector.check_table(spec).items():
            self._error(document, ("tables", name, key), f"{name}: {problem.what}", problem.fix)
        if spec.load == LoadMode.INCREMENTAL and spec.deletes != DeletePolicy.IGNORE and not connector.lists_keys:
            what = (
                f"deletes: {spec.deletes} of an incremental load needs the keys that are there, and {kind} lists none"
            )
            self._error(
                document, ("tables", name, "deletes"), f"{name}: {what}", "use load: full, or leave deletes out"
            )
        if spec.load == LoadMode.INCREMENTAL and connector.needs_cursor and not (spec.cursor or spec.key):
            what = "load: incremental, and nothing shows which rows are new"
            fix = "add cursor: a column that grows; or key: what a row is merged by; or load: full"
            self._error(document, ("tables", name, "load"), f"{name}: {what}", fix)

    def _check_together(
        self, document: Document, connector: type[Source], tables: dict[str, IngestSpec | None]
    ) -> None:
        """Refuse what tables say of each other, as the connector sees it; a table that is wrong itself is enough."""
        if None in tables.values():
            return
        for name, problem in connector.check_tables(tables).items():
            self._error(document, ("tables", name), problem.what, problem.fix)

    def _claim(
        self, document: Document, connector: type[Source], connection: Spec, name: str, table: IngestSpec
    ) -> None:
        """Refuse a table that takes what another one of the project has where both are read."""
        place = ("tables", name)
        try:
            claimed = connector.claims(connection, table, self.context.environment)
        except ProjectError as error:
            self._error(document, place, f"{name}: {error.what}", error.fix)
            return
        for claim in claimed:
            other = self.claimed.setdefault(claim, str(document.place(place)))
            if other != str(document.place(place)):
                self._error(document, place, f"{name}: {other} has {claim}, too", "give each table its own")

    def _schemas(self, file: Path, tables: list[str]) -> dict[str, dict[str, Any]]:
        """Return the columns of each table in the schema file beside a source."""
        schema_file = file.with_name(file.stem + SCHEMA_SUFFIX)
        document = self.context.open_document(schema_file) if schema_file.is_file() else None
        if document is None or document.data is None:
            return {}
        if not isinstance(document.data, dict):
            self._error(document, (), "a schema file maps tables to columns", "write orders: {columns: {…}}")
            return {}
        found = {}
        for name, body in document.data.items():
            if name not in tables:
                self._error(document, (name,), f"unknown table {name!r}", suggest(name, tables))
            elif validate(SchemaTable, body, document, (name,), self.context.errors) is not None:
                found[name] = dict(body["columns"])
        return found

    def _error(self, document: Document, key: tuple[str | int, ...], what: str, fix: str) -> None:
        self.context.error(document.place(key), what, fix)


def _declare(table: SourceTable) -> Declared:
    """Return the dataset of a source's table: rows come from the source, are extracted, loaded and stored."""
    dataset = Dataset(table, table.kind, Role.LOAD, table.ingest.into, origin=f"{table.source} ({table.kind})")
    at, store = table.location, table.store
    nodes = (
        Node(node_name(table.name, Role.SOURCE), load_source(table.kind).family, table.kind, Role.SOURCE, table, at),
        Node(node_name(table.name, Role.EXTRACT), Family.INGESTION, table.kind, Role.EXTRACT, table, at),
        Node(node_name(table.name, Role.LOAD), Family.PROCESSING, table.ingest.load, Role.LOAD, table, at),
        Node(table.name, load_store(store.kind).family, store.name, Role.DATASET, table, at),
    )
    return Declared(dataset, f"source {table.source}", nodes)


def _json_schema() -> dict[str, Any]:
    """Return the schema of sources/*.yaml: one alternative per registered kind."""
    alternatives, definitions = [], {}
    for kind in list_kinds("sources"):
        connector = load_source(kind)
        connection = connector.connection_spec.model_json_schema(by_alias=True)
        table = table_spec_of(kind).model_json_schema(by_alias=True)
        definitions.update(connection.pop("$defs", {}))
        definitions.update(table.pop("$defs", {}))
        definitions[f"{kind}_table"] = table
        properties = {
            "kind": {"const": kind},
            **connection.get("properties", {}),
            "tables": {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{kind}_table"}, "minProperties": 1},
        }
        alternatives.append(
            {
                "type": "object",
                "title": kind,
                "description": (connector.__doc__ or "").strip().partition("\n")[0],
                "properties": properties,
                "required": ["kind", "tables", *connection.get("required", [])],
                "additionalProperties": False,
            }
        )
    return {"title": "Headwater source", "oneOf": alternatives, "$defs": definitions}


SOURCES = FolderReader(
    "sources",
    "source",
    lambda context: [_declare(table) for table in SourceReader(context).read_all()],
    lambda path: path.name.partition(".")[0],
    _json_schema,
)


def expressions_of(spec: IngestSpec) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """Yield (key, SQL, whether it is an order) of every expression that a table is declared with."""
    for rule, sql in spec.reject_if.items():
        yield ("reject_if", rule), sql, False
    for index, step in enumerate(spec.prepare):
        for column, sql in (step.sql or {}).items():
            yield ("prepare", index, "sql", column), sql, False
        if step.dedupe is not None and step.dedupe.order:
            yield ("prepare", index, "dedupe", "order"), step.dedupe.order, True


@cache
def table_spec_of(kind: str) -> type[IngestSpec]:
    """Return the model of a source table of a kind: the connector's keys and those of every kind."""
    connector = load_source(kind)
    own: Any = connector.table_spec
    bases = (own,) if issubclass(own, IngestSpec) else (own, IngestSpec)
    words: Any = Literal[tuple(str(word) for word in connector.loads)]
    default = own.model_fields["load"].default if issubclass(own, IngestSpec) else LoadMode.FULL
    load: Any = (Annotated[words, AfterValidator(LoadMode)], LoadMode(default))
    return cast("type[IngestSpec]", create_model(f"{kind.capitalize()}Table", __base__=bases, load=load))


def fingerprint_source(kind: str, connection: Any, table: Any, schema: Any) -> Fingerprint:
    """Return the hash of what makes a table's rows; secrets enter as their references.

    Descriptions, owners and tags do not count; the order of columns does, for files without a header.
    """
    declared = _facts({key: value for key, value in (table or {}).items() if key != "columns"})
    columns = [[name, _facts(column)] for name, column in ((table or {}).get("columns") or schema or {}).items()]
    return Fingerprint(digest(json.dumps(plain([kind, connection, declared, columns]), sort_keys=True, default=str)))


def _facts(declared: Any) -> Any:
    if not isinstance(declared, Mapping):
        return {"type": declared}
    return {key: value for key, value in declared.items() if key not in _ONLY_WORDS}
