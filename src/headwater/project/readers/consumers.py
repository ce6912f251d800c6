"""Consumers: a Markdown or YAML file each, in the folders dashboards/ and ml/."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.contracts import Scoring
from headwater.core.consumer import DeclaredConsumer, DeclaredScores
from headwater.core.dataset import Dataset
from headwater.core.fingerprint import Fingerprint
from headwater.core.graph import Location, Node, Role, node_name
from headwater.core.layers import Family
from headwater.core.near import suggest
from headwater.core.project import Reference
from headwater.core.specs import DescribedSpec
from headwater.documents import Document, parse_document, read_text
from headwater.errors import ProjectError, ProjectErrors
from headwater.plugins import list_kinds, load_consumer, load_store
from headwater.project.cache import digest
from headwater.project.readers.models import imported_sources
from headwater.project.readers.queries import judge_query
from headwater.project.readers.reader import Declared, FolderReader
from headwater.project.references import plain
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from headwater.contracts import Consumer, ScoredRows
    from headwater.core.consumer import ConsumerQuery
    from headwater.project.readers.reader import LoadContext

STORE = "artefacts"
"""The store that holds what consumers make."""

MARKDOWN = "dashboard"
"""The kind of a Markdown file that does not say its kind."""

_SUFFIXES = {"dashboards": (".md", ".yaml", ".yml"), "ml": (".yaml", ".yml")}
_HEAD = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_WORDS = ("description", "owner", "tags")


@dataclass(frozen=True, slots=True)
class ConsumerReader:
    """Reads the consumers in one folder of a project; `context` is the project so far."""

    context: LoadContext
    folder: str

    def read_all(self) -> Iterator[Declared]:
        """Read every consumer that has no problems."""
        places: dict[str, str] = {}
        for file in self.context.files(self.folder, *_SUFFIXES[self.folder]):
            if file.name.startswith(("_", ".")):
                continue
            path = self.context.path_of(file)
            name = self.context.full_name(f"{self.folder}.{file.stem}")
            if other := places.get(name):
                what = f"two files are named {name}: the other is {other}"
                self.context.error(Location(path, 1), what, "rename one file")
                continue
            places[name] = path
            try:
                declared = self._read(file, path, name)
            except ProjectError as error:
                several = error.errors if isinstance(error, ProjectErrors) else (error,)
                self.context.errors += [one for one in several if isinstance(one, ProjectError)]
                continue
            yield from declared

    def _read(self, file: Path, path: str, name: str) -> tuple[Declared, ...]:
        document, text = self._open(file, path)
        if document is None:
            return ()
        data = document.data if isinstance(document.data, dict) else {}
        given = str(data.get("kind") or (MARKDOWN if file.suffix == ".md" else ""))
        known = list_kinds("consumers")
        if given not in known:
            what = f"the kind {given!r} is not known" if given else "`kind` is missing"
            self.context.error(document.place(("kind",)), what, suggest(given, known))
            return ()
        shown = file.suffix == ".md"  # what stands in a page is read by people, and no secret
        resolved = data if shown else self.context.references.resolve(document, data, (), self.context.errors)
        made_by = load_consumer(given)
        options = validate(
            made_by.spec, {k: v for k, v in resolved.items() if k != "kind"}, document, (), self.context.errors,
            self.context.stores,
        )  # fmt: skip
        if options is None:
            return ()
        spec = DescribedSpec.model_validate({word: getattr(options, word) for word in _WORDS if hasattr(options, word)})
        root, place = str(self.context.root), Location(path, document.first_line)
        declared = DeclaredConsumer(
            name, given, options, place, root, text, str(file.parent), spec=spec, domain=self.context.domain,
            models=self.context.models,
        )  # fmt: skip
        consumer = made_by(declared)
        declared = replace(declared, fingerprint=self._fingerprint(plain(data), text, consumer))
        scored = consumer.scored() if isinstance(consumer, Scoring) else None
        own = tuple(query for query in consumer.queries() if scored is None or query.name != scored.query)
        queries, references = self._judge(own)
        declared = replace(declared, queries=queries)
        dataset = Dataset(declared, given, Role.CONSUMER, STORE, _names_of(references))
        node = Node(name, made_by.family, given, Role.CONSUMER, declared, place)
        made = Declared(dataset, f"folder {self.folder}/", (node,), references)
        return (made, self._scores(declared, consumer, scored)) if scored is not None else (made,)

    def _scores(self, declared: DeclaredConsumer, consumer: Consumer, scored: ScoredRows) -> Declared:
        """Return the table of the scores that a consumer's artefact gives."""
        rows = tuple(query for query in consumer.queries() if query.name == scored.query)
        (query,), references = self._judge(rows)
        name, place = f"{declared.name}_scores", declared.location
        spec = DescribedSpec(description=f"Scores by {declared.name}.", owner=declared.spec.owner)
        scores = DeclaredScores(name, declared, query, spec)
        references = (*references, Reference(declared.name, place))
        store = self.context.stores[scored.store]
        nodes = (
            Node(node_name(name, Role.SCORE), Family.PROCESSING, "score", Role.SCORE, scores, place),
            Node(name, load_store(store.kind).family, store.name, Role.DATASET, scores, place),
        )
        dataset = Dataset(scores, "scores", Role.SCORE, scored.store, _names_of(references))
        return Declared(dataset, f"folder {self.folder}/", nodes, references)

    def _open(self, file: Path, path: str) -> tuple[Document | None, str]:
        """Return the declaration's YAML, and the Markdown below it with the head blanked."""
        if file.suffix != ".md":
            return self.context.open_document(file), ""
        text = read_text(file, path)
        head = _HEAD.match(text)
        if head is None:
            if text.startswith("---"):
                what, fix = "the head is not ended", "end it with a line that is only ---"
                raise ProjectError(what, fix=fix, path=path, line=1)
            return Document(path, None, {}, 1), text
        blanked = "\n" * text[: head.end()].count("\n") + text[head.end() :]
        return parse_document(head["yaml"], path, 2), blanked

    def _fingerprint(self, data: Any, text: str, consumer: Consumer) -> Fingerprint:
        """Return the hash of the declaration, the text and the code that the consumer is made by."""
        parts = [json.dumps(data, sort_keys=True, default=str), text]
        parts += [query.sql for query in consumer.queries() if query.metrics]  # what they are is not said in the text
        for name in consumer.files():
            file = Path(name)
            is_code = file.suffix == ".py"
            parts += imported_sources(file, self.context.root) if is_code else [digest(file.read_bytes().hex())]
        return Fingerprint.of(digest(*parts), "0")

    def _judge(self, queries: tuple[ConsumerQuery, ...]) -> tuple[tuple[ConsumerQuery, ...], tuple[Reference, ...]]:
        """Return the queries with what they read, and that of all; what is wrong in them is added to the problems."""
        found: dict[str, Reference] = {}
        judged = []
        for query in queries:
            entry = judge_query(query.sql, self.context.cache)
            for what, fix, line, column in [entry["error"]] if "error" in entry else entry["refused"]:
                self.context.errors.append(ProjectError.at(query.place(line, column), what, fix))
            tables = entry.get("tables", ())
            volatile = tuple(entry.get("volatile", ()))
            judged.append(replace(query, reads=tuple(name for name, _, _ in tables), volatile=volatile))
            for name, line, column in tables:
                found.setdefault(name, Reference(name, query.place(line, column)))
        return tuple(judged), tuple(found.values())


def _names_of(references: tuple[Reference, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reference.name for reference in references))


def _reader(folder: str, word: str) -> FolderReader:
    def names(path: PurePosixPath) -> str:
        return f"{folder}.{path.stem}"

    def read(context: LoadContext) -> list[Declared]:
        return list(ConsumerReader(context, folder).read_all())

    return FolderReader(folder, word, read, names, _json_schema)


def _json_schema() -> dict[str, Any]:
    alternatives, definitions = [], {}
    for kind in list_kinds("consumers"):
        schema = load_consumer(kind).spec.model_json_schema(by_alias=True)
        definitions.update(schema.pop("$defs", {}))
        schema["properties"] = {"kind": {"const": kind}, **schema.get("properties", {})}
        alternatives.append({**schema, "required": ["kind", *schema.get("required", [])]})
    return {"title": "Headwater consumer", "oneOf": alternatives, "$defs": definitions}


DASHBOARDS = _reader("dashboards", "dashboard")
LEARNED = _reader("ml", "learned-model")
