"""YAML 1.2 with positions: text in, plain values and the line and column of every key out.

Unquoted scalars come as `Plain` text, to be typed by the schema they meet, so `NO`, `12:30` and `0123` stay what they
look like. Source: YAML 1.2.2, https://yaml.org/spec/1.2.2/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from headwater.core.files import read_regular
from headwater.core.graph import Location
from headwater.core.values import Plain
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

Key = tuple[str | int, ...]

MAX_DEPTH = 100
"""How deep a document may be nested."""

MAX_REPEATED = 10_000
"""How many values aliases may repeat in a document."""

_NULLS = {"", "null", "Null", "NULL", "~"}
_UNQUOTED_REFERENCE = re.compile(r"""[{\[,]\s*(?:(?:"[^"]*"|'[^']*'|[^\s"'{}\[\],:]+)\s*:\s*)?\$\{(?:env|file):""")


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document: its values, and where each key stands.

    `places` maps a path of keys and list indexes to the location of the key (or of the list item).
    """

    path: str
    data: Any
    places: dict[Key, Location] = field(default_factory=dict)
    first_line: int = 1

    def place(self, key: Key) -> Location:
        """Return where a key stands, or the nearest enclosing one that has a place."""
        for length in range(len(key), 0, -1):
            if (found := self.places.get(key[:length])) is not None:
                return found
        return Location(self.path, self.first_line)


def read_text(file: Path, path: str) -> str:
    """Read a file as UTF-8.

    Raises:
        ProjectError: It cannot be read, or it is not UTF-8; the message gives the line.
    """
    try:
        raw = read_regular(file)
    except OSError as error:
        raise ProjectError(f"cannot be read: {error.strerror}", fix="see its permissions", path=path) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ProjectError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} cannot be read",
            fix="save the file as UTF-8",
            path=path,
            line=line,
        ) from None


def parse_document(text: str, path: str, first_line: int = 1) -> Document:
    """Parse one YAML document whose first line is `first_line` of the file `path`.

    Raises:
        ProjectError: Not YAML, a tab as indentation, a key twice, an unquoted `${env:…}` in a flow mapping, a tag,
            more than one document.
    """
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    if not text.strip():
        return Document(path, None, {}, first_line)
    places: dict[Key, Location] = {}
    try:
        node = _parser().compose(text)
        data = _Converter(path, first_line, places).convert(node, ()) if node is not None else None
    except MarkedYAMLError as error:
        raise _yaml_error(text, path, first_line, error) from None
    except RecursionError:
        raise ProjectError(
            "not YAML: it is nested too deeply", fix="write it flatter", path=path, line=first_line
        ) from None
    except ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        what = f"not YAML: the character {chr(error.character)!r} is not allowed"
        raise ProjectError(what, fix="remove it", path=path, line=line) from None
    return Document(path, data, places, first_line)


def _parser() -> Any:
    """Return a parser that gives up where a document is nested too deeply: its work grows with the depth squared."""
    from ruamel.yaml import YAML

    parser = YAML(typ="rt", pure=True)
    parser.Scanner = _bounded_scanner()
    return parser


@cache
def _bounded_scanner() -> Any:
    from ruamel.yaml.scanner import RoundTripScanner, ScannerError

    class Bounded(RoundTripScanner):  # type: ignore[misc,unused-ignore]
        def fetch_flow_collection_start(self, *arguments: Any, **more: Any) -> None:
            super().fetch_flow_collection_start(*arguments, **more)
            self._check(len(self.flow_context))

        def add_indent(self, column: int) -> bool:
            added = bool(super().add_indent(column))
            self._check(len(self.indents))
            return added

        def _check(self, depth: int) -> None:
            if depth > MAX_DEPTH:
                raise ScannerError(None, None, "it is nested too deeply", self.reader.get_mark())

    return Bounded


def _yaml_error(text: str, path: str, first_line: int, error: Any) -> ProjectError:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    lines = text.split("\n")
    around = "\n".join(lines[max(0, line - 1) : line + 1])
    place = Location(path, first_line + line, (mark.column + 1) if mark else 0)
    if _UNQUOTED_REFERENCE.search(around):
        return ProjectError.at(place, "an unquoted ${…} in a flow mapping is not YAML", 'quote it: "${env:NAME}"')
    if line < len(lines) and "\t" in lines[line][: len(lines[line]) - len(lines[line].lstrip())]:
        return ProjectError.at(place, "a tab as indentation", "indent with spaces")
    return ProjectError.at(place, f"not YAML: {error.problem or error.context}", "mend the syntax at this place")


class _Converter:
    """Turns YAML nodes into plain values and notes where keys stand."""

    def __init__(self, path: str, first_line: int, places: dict[Key, Location]) -> None:
        self.path, self.first_line, self.places = path, first_line, places
        self._open: list[Any] = []
        self._met: dict[int, Any] = {}
        self._repeated = 0

    def location(self, node: Any) -> Location:
        return Location(self.path, self.first_line + node.start_mark.line, node.start_mark.column + 1)

    def convert(self, node: Any, key: Key) -> Any:
        from ruamel.yaml.nodes import ScalarNode, SequenceNode

        if str(node.tag or "").startswith("!"):
            raise self.error(f"the tag {node.tag} is not known", "write the value without a tag", node)
        if id(node) in self._met:
            self._repeat(node)
        if isinstance(node, ScalarNode):
            return self._met.setdefault(id(node), self.scalar(node))
        self._met.setdefault(id(node), None)
        if any(node is outer for outer in self._open):
            raise self.error("an alias stands within what it names", "write the value out", node)
        self._open.append(node)
        convert = self.sequence if isinstance(node, SequenceNode) else self.mapping
        value = convert(node, key)
        self._open.pop()
        return value

    def _repeat(self, node: Any) -> None:
        """Count what aliases make of a document: a few lines could name more than any memory holds."""
        self._repeated += 1
        if self._repeated > MAX_REPEATED:
            raise self.error(f"aliases repeat more than {MAX_REPEATED:,} values", "write the values out", node)

    def sequence(self, node: Any, key: Key) -> list[Any]:
        for index, item in enumerate(node.value):
            self.places[(*key, index)] = self.location(item)
        return [self.convert(item, (*key, index)) for index, item in enumerate(node.value)]

    def mapping(self, node: Any, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, value in node.value:
            name = self.name(name_node)
            if name in result:
                first = self.places[(*key, name)]
                raise self.error(f"the key {name!r} stands twice (first in line {first.line})", "keep one", name_node)
            self.places[(*key, name)] = self.location(name_node)
            result[name] = self.convert(value, (*key, name))
        return result

    def name(self, node: Any) -> str:
        if not isinstance(node.value, str):
            raise self.error("a key is one word, not a list or a mapping", "write a plain key", node)
        return str(node.value)

    def scalar(self, node: Any) -> Any:
        if node.style is not None:
            return str(node.value)
        return None if node.value in _NULLS else Plain(node.value)

    def error(self, what: str, fix: str, node: Any) -> ProjectError:
        return ProjectError.at(self.location(node), what, fix)
