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

from headwater.sql.placeholders import quote_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

UNREAD = "unread"
_NAME = "hw_json_texts"
_LOCK = Lock()


def texts_sql(connection: DuckDBPyConnection, text: str, columns: Sequence[tuple[str, bool]]) -> str:
    """Return SQL of VARCHAR[]: `UNREAD` where a text is not strict JSON, else NULL; then each column's text.

    Args:
        connection: Where the SQL runs; the function is made there unless it is there already. It belongs to the
            whole session, and outlives the connection: DuckDB does not keep a function alive, so it is this module's.
        text: SQL of the text of an object.
        columns: The keys, each with whether it is nested and typed: then its numbers are put in quotes, so that they
            pass through another reader unchanged.
    """
    import duckdb
    from duckdb.func import FunctionNullHandling, PythonUDFType

    with _LOCK, suppress(duckdb.CatalogException, duckdb.NotImplementedException):  # it is there already
        connection.create_function(
            _NAME, _texts, ["VARCHAR", "VARCHAR"], "VARCHAR[]", type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )  # fmt: skip
    return f"{_NAME}({text}, {quote_text(json.dumps(list(columns), ensure_ascii=False))})"


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
            found.append([None, *(_text(bytes(values.get(key, nothing)), nested) for key, nested in columns)])
        except (msgspec.DecodeError, ValueError, RecursionError):
            found.append([UNREAD, *(None for _ in columns)])
    return pa.array(found, pa.list_(pa.string()))


@lru_cache(maxsize=256)
def _columns(text: str) -> tuple[tuple[str, bool], ...]:
    return tuple((key, nested) for key, nested in json.loads(text))


def _text(value: bytes, nested: bool) -> str | None:
    import msgspec

    if value in (b"", b"null"):
        return None
    if value.startswith(b'"'):
        return str(msgspec.json.decode(value))
    if value[:1] in b"[{":
        if nested:
            return json.dumps(json.loads(value, parse_float=str, parse_int=str), ensure_ascii=False)
        return msgspec.json.format(value, indent=-1).decode()
    return value.decode()
