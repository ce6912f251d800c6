"""PostgreSQL's logical replication messages, as the plugin pgoutput writes them (protocol version 1).

Source: PostgreSQL, "Logical Replication Message Formats";
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BCRIUDT"
"""First byte of the messages that count; Origin, Type and logical messages are passed over."""

UNCHANGED = b"\x00unchanged"
"""Stands for a value that the server did not repeat; no text of the server holds a NUL."""

_KEY, _OLD, _NULL, _TEXT = b"KOnt"
_SHORT, _INT, _LSN = Struct(">h"), Struct(">i"), Struct(">Q")
_RELATION_ID = Struct(">I")
_COLUMN = Struct(">Ii")
_HEAD = 5
"""Bytes of a row message before its first tuple: the kind, and the relation."""

SentValue = bytes | None


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as the log has it: its type's oid and modifier, and whether it identifies a row."""

    name: str
    type: int
    typmod: int
    identifies: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was when the rows that follow were written."""

    oid: int
    schema: str
    name: str
    columns: tuple[RelationColumn, ...]


class RowChange(NamedTuple):
    """The tuples of one row's change.

    Attributes:
        old: The row before: its identifying columns, or all of them when `whole`. None when they are the new ones.
        new: The row after; None for a delete.
        whole: `old` has every column (REPLICA IDENTITY FULL).
    """

    old: list[SentValue] | None
    new: list[SentValue] | None
    whole: bool


def read_lsn(text: str) -> int:
    """Return the number of a log position in the server's text (`16/B374D848`)."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def write_lsn(lsn: int) -> str:
    """Return a log position as the server writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def read_begin(message: bytes) -> int:
    """Return where the commit of the transaction that begins lies in the log."""
    return int(_LSN.unpack_from(message, 1)[0])


def read_relation_id(message: bytes) -> int:
    """Return which relation a message of a row, or a Relation message, is about."""
    return int(_RELATION_ID.unpack_from(message, 1)[0])


def read_truncated(message: bytes) -> tuple[int, ...]:
    """Return the relations that a Truncate empties."""
    count = _INT.unpack_from(message, 1)[0]
    return tuple(_RELATION_ID.unpack_from(message, 6 + 4 * number)[0] for number in range(count))


def read_relation(message: bytes) -> Relation:
    """Read a Relation message."""
    schema, name = _read_names(message)
    at = _HEAD + len(schema) + len(name) + 3
    count, at = _SHORT.unpack_from(message, at)[0], at + 2
    columns = []
    for _ in range(count):
        end = message.index(0, at + 1)
        kind, typmod = _COLUMN.unpack_from(message, end + 1)
        columns.append(RelationColumn(message[at + 1 : end].decode(), kind, typmod, bool(message[at] & 1)))
        at = end + 9
    return Relation(read_relation_id(message), schema.decode() or "pg_catalog", name.decode(), tuple(columns))


def _read_names(message: bytes) -> tuple[bytes, bytes]:
    middle = message.index(0, _HEAD)
    return message[_HEAD:middle], message[middle + 1 : message.index(0, middle + 1)]


def read_row(message: bytes) -> RowChange:
    """Read an Insert, an Update or a Delete."""
    kind, mark = message[0], message[_HEAD]
    if kind == INSERT:
        return RowChange(None, read_tuple(message, _HEAD + 1)[0], whole=False)
    whole = mark == _OLD
    if kind == DELETE:
        return RowChange(read_tuple(message, _HEAD + 1)[0], None, whole)
    if mark in (_KEY, _OLD):
        old, at = read_tuple(message, _HEAD + 1)
        return RowChange(old, read_tuple(message, at + 1)[0], whole)
    return RowChange(None, read_tuple(message, _HEAD + 1)[0], whole=False)


def read_tuple(message: bytes, at: int) -> tuple[list[SentValue], int]:
    """Read a tuple's values as text: (values, where it ends)."""
    count = _SHORT.unpack_from(message, at)[0]
    at += 2
    values: list[SentValue] = []
    add, length_at = values.append, _INT.unpack_from
    for _ in range(count):
        kind = message[at]
        if kind == _TEXT:
            start = at + 5
            at = start + length_at(message, at + 1)[0]
            add(message[start:at])
        else:
            add(None if kind == _NULL else UNCHANGED)
            at += 1
    return values, at
