"""Values against pydantic models: every problem with file, line, column and the nearest known word."""

from __future__ import annotations

import types
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from headwater.core.near import suggest
from headwater.core.specs import STORES
from headwater.core.types import known_types
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from headwater.core.stores import DeclaredStore
    from headwater.documents import Document, Key

_SHOWN_CHARACTERS = 60

SpecT = TypeVar("SpecT", bound=BaseModel)


def validate(
    spec_type: type[SpecT], data: Any, document: Document, prefix: Key, errors: list[ProjectError],
    stores: Mapping[str, DeclaredStore] = MappingProxyType({}),
) -> SpecT | None:  # fmt: skip
    """Validate values under the key `prefix` of a document; problems are added to `errors` and give None.

    Where the values name stores, these are the project's.
    """
    try:
        return spec_type.model_validate(data if data is not None else {}, context={STORES: stores})
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            errors.append(_explain(spec_type, problem, document, prefix))
        return None


def _explain(spec_type: type[BaseModel], problem: Any, document: Document, prefix: Key) -> ProjectError:
    loc: Key = tuple(problem["loc"])
    key: Key = (*prefix, *loc)
    place = document.place(key)
    kind = problem["type"]
    word = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        return ProjectError.at(place, f"unknown word {word!r}", suggest(word, _words_at(spec_type, loc[:-1])))
    if kind == "missing":
        return ProjectError.at(place, f"{word!r} is missing", f"add `{word}: …` here")
    name = f"{_dotted(loc)}: " if loc else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if kind in ("literal_error", "enum"):
        given = _short(problem["input"])
        expected = [text.strip(" '") for text in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return ProjectError.at(place, f"{name}{given} is not known", suggest(given.strip("'"), expected))
    if kind == "model_type":
        words = ", ".join(f"{known}: …" for known in _words_at(spec_type, loc))
        return ProjectError.at(place, f"{name}{_short(problem['input'])} is no mapping", f"write {{{words}}}")
    if "is not a type" in message:
        return ProjectError.at(place, f"{name}{message}", suggest(str(problem["input"]).upper(), known_types()))
    return ProjectError.at(place, f"{name}{message}", f"given: {_short(problem.get('input'))}" if loc else "")


def _dotted(loc: Key) -> str:
    return ".".join(str(part) for part in loc if isinstance(part, str) and "[" not in part)


def _short(value: Any) -> str:
    """Show a value whole or not at all: of a part, nobody could tell any more that it is of a secret."""
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(str(key) for key in value) or 'nothing'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"a text of {len(text)} characters"


def _words_at(annotation: Any, loc: Key) -> list[str]:
    """Return the keys that are known at a place below a model."""
    models = [annotation]
    for part in loc:
        models = [inner for model in models for inner in _below(model, part)]
    return [word for model in models for word in _fields(model)]


def _fields(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [info.alias or name for name, info in annotation.model_fields.items()]
    return []


def _below(annotation: Any, part: str | int) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        named = [info for name, info in annotation.model_fields.items() if part in (name, info.alias)]
        return [alt for info in named for alt in _alternatives(info.annotation)]
    arguments = get_args(annotation)
    return [alt for argument in arguments[-1:] for alt in _alternatives(argument)]


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [alt for argument in get_args(annotation) for alt in _alternatives(argument)]
    if hasattr(annotation, "__metadata__"):
        return _alternatives(get_args(annotation)[0])
    return [annotation]
