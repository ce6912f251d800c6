"""The parts of a nested type, `STRUCT(a INTEGER, b DECIMAL(5,2)[])` as DuckDB writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.fragments import quote_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator


def list_element(type_text: str) -> str | None:
    """Return the type of a list's or array's elements, None when the type is neither."""
    return type_text[: type_text.rindex("[")] if type_text.endswith("]") else None


def struct_fields(type_text: str) -> list[tuple[str, str]] | None:
    """Return the names and types of a STRUCT's fields, None when the type is no STRUCT."""
    if not type_text.startswith("STRUCT(") or not type_text.endswith(")"):
        return None
    fields = []
    for part in _split(type_text[len("STRUCT(") : -1]):
        if part.startswith('"'):
            end = _quoted_end(part)
            fields.append((part[1 : end - 1].replace('""', '"'), part[end:].strip()))
        else:
            name, _, kind = part.partition(" ")
            fields.append((name, kind.strip()))
    return fields


def map_types(type_text: str) -> tuple[str, str] | None:
    """Return the types of a MAP's keys and values, None when the type is no MAP."""
    if not type_text.startswith("MAP(") or not type_text.endswith(")"):
        return None
    key, value = _split(type_text[len("MAP(") : -1])
    return key, value


def is_nested(type_text: str) -> bool:
    """Whether the type is a list, an array, a STRUCT or a MAP."""
    return any(of(type_text) is not None for of in (list_element, struct_fields, map_types))


def json_twin(type_text: str) -> object:
    """Return the shape as DuckDB's `json_transform` takes it, with VARCHAR in the place of every plain type."""
    if (element := list_element(type_text)) is not None:
        return [json_twin(element)]
    if (fields := struct_fields(type_text)) is not None:
        return {name: json_twin(kind) for name, kind in fields}
    return text_twin(type_text)


def text_twin(type_text: str) -> str:
    """Return the same shape with VARCHAR in the place of every plain type."""
    element = list_element(type_text)
    if element is not None:
        return f"{text_twin(element)}{type_text[len(element) :]}"
    if (fields := struct_fields(type_text)) is not None:
        return "STRUCT(" + ", ".join(f"{quote_identifier(name)} {text_twin(kind)}" for name, kind in fields) + ")"
    if (pair := map_types(type_text)) is not None:
        return f"MAP({text_twin(pair[0])}, {text_twin(pair[1])})"
    return "VARCHAR"


def _split(text: str) -> Iterator[str]:
    """Split at the commas that stand in no brackets and no quotes."""
    depth = start = index = 0
    while index < len(text):
        character = text[index]
        if character in "\"'":
            index += _quoted_end(text[index:]) - 1
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and not depth:
            yield text[start:index].strip()
            start = index + 1
        index += 1
    yield text[start:].strip()


def _quoted_end(text: str) -> int:
    """Return where the quoted text ends that begins at 0; a doubled quote stands for itself."""
    quote, index = text[0], 1
    while index < len(text):
        if text[index] == quote:
            if text[index + 1 : index + 2] != quote:
                return index + 1
            index += 1
        index += 1
    return len(text)
