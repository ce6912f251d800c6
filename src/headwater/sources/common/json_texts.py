"""The values of JSON objects as the texts they were delivered as, with every digit: a function for DuckDB.

DuckDB reads a number with a fraction or an exponent through a double (1.5.5: `1.10` comes out as `1.1`, 22 digits as
17). msgspec cuts the values out of the text instead. It is slower, so only rows where it can show take this way.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_text
from headwater.sql.nested import list_element, map_types, struct_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

UNREAD = "unread"
_UNFIT = '"unfit"'
_NAME = "hw_json_texts"
_LOCK = Lock()


def texts_sql(connection: DuckDBPyConnection, text: str, columns: Sequence[tuple[str, str]], *, strict: bool) -> str:
    """Return SQL of VARCHAR[]: `UNREAD` where a text is not strict JSON, else NULL; then each column's text.

    The text of a nested type is JSON in which every plain part is a string, so that it passes through another reader
    unchanged; a value that does not have the type's shape is a JSON string.

    Args:
        connection: Where the SQL runs; the function is made there unless it is there already. It belongs to the
            whole session, and outlives the connection: DuckDB does not keep a function alive, so it is this module's.
        text: SQL of the text of an object.
        columns: The keys and their types.
        strict: A key that a STRUCT does not have makes its value unfit.
    """
    import duckdb
    from duckdb.func import FunctionNullHandling, PythonUDFType

    with _LOCK, suppress(duckdb.CatalogException, duckdb.NotImplementedException):  # it is there already
        connection.create_function(
            _NAME, _texts, ["VARCHAR", "VARCHAR"], "VARCHAR[]", type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )  # fmt: skip
    wanted = json.dumps([[key, _shape(kind), strict] for key, kind in columns], ensure_ascii=False)
    return f"{_NAME}({text}, {quote_text(wanted)})"


def _shape(type_text: str) -> Any:
    """Return what a value of a type looks like: {"list": …}, {"struct": {…}}, {"map": …}, "json" or "text"."""
    if (element := list_element(type_text)) is not None:
        return {"list": _shape(element)}
    if (fields := struct_fields(type_text)) is not None:
        return {"struct": {name: _shape(kind) for name, kind in fields}}
    if (pair := map_types(type_text)) is not None:
        return {"map": _shape(pair[1])}
    return "json" if type_text == "JSON" else "text"


def _texts(documents: Any, wanted: Any) -> Any:
    import msgspec
    import pyarrow as pa

    if not len(documents):
        return pa.array([], pa.list_(pa.string()))
    columns = _columns(wanted[0].as_py())
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    nothing = msgspec.Raw()
    found: list[list[str | None] | None] = []
    for document in documents.to_pylist():
        if document is None:
            found.append(None)
            continue
        try:
            values = decode(document)
            found.append([None, *(_text(bytes(values.get(key, nothing)), *how) for key, *how in columns)])
        except (msgspec.DecodeError, ValueError, RecursionError):
            found.append([UNREAD, *(None for _ in columns)])
    return pa.array(found, pa.list_(pa.string()))


@lru_cache(maxsize=256)
def _columns(text: str) -> list[tuple[str, Any, bool]]:
    return [(key, shape, strict) for key, shape, strict in json.loads(text)]


def _text(value: bytes, shape: Any, strict: bool) -> str | None:
    if value in (b"", b"null"):
        return None
    if isinstance(shape, str):
        return _plain(value, shape)
    try:
        return json.dumps(_shaped(value, shape, strict), ensure_ascii=False)
    except _UnfitError:
        return _UNFIT


def _plain(value: bytes, shape: str) -> str:
    import msgspec

    if value.startswith(b'"') and shape == "text":
        return str(msgspec.json.decode(value))
    return msgspec.json.format(value, indent=-1).decode() if value[:1] in b"[{" else value.decode()


def _shaped(value: bytes, shape: Any, strict: bool) -> Any:
    import msgspec

    if value == b"null":
        return None
    if isinstance(shape, str):
        return _plain(value, shape)
    (kind, inner), *_ = shape.items()
    if value[:1] != (b"[" if kind == "list" else b"{"):
        raise _UnfitError
    if kind == "list":
        return [_shaped(bytes(raw), inner, strict) for raw in msgspec.json.decode(value, type=list[msgspec.Raw])]
    parts = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    if len(json.loads(value, object_pairs_hook=list)) != len(parts):
        raise _UnfitError
    if kind == "map":
        return {key: _shaped(bytes(raw), inner, strict) for key, raw in parts.items()}
    lowered = {key.lower() for key in parts}
    if any(name not in parts and name.lower() in lowered for name in inner) or (strict and parts.keys() - inner.keys()):
        raise _UnfitError
    return {name: _shaped(bytes(parts[name]), part, strict) for name, part in inner.items() if name in parts}


class _UnfitError(Exception):
    """A value does not have the shape of its type, or has a key twice or in another case."""
