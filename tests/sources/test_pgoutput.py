"""Messages of pgoutput, written here as the protocol says and read back."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.postgres import pgoutput
from headwater.sources.postgres.pgoutput import UNCHANGED, Relation, RelationColumn, RowChange

_values = st.lists(st.one_of(st.none(), st.just(UNCHANGED), st.text().map(str.encode)), max_size=8)


def tuple_of(values: list[bytes | None]) -> bytes:
    parts = [pack(">h", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            parts.append(b"t" + pack(">i", len(value)) + value)
    return b"".join(parts)


@given(_values, _values, st.integers(0, 2**32 - 1))
def test_rows(old: list[bytes | None], new: list[bytes | None], oid: int) -> None:
    head = pack(">I", oid)
    assert pgoutput.read_row(b"I" + head + b"N" + tuple_of(new)) == RowChange(None, new, whole=False)
    assert pgoutput.read_row(b"U" + head + b"N" + tuple_of(new)) == RowChange(None, new, whole=False)
    for mark, whole in ((b"K", False), (b"O", True)):
        update = b"U" + head + mark + tuple_of(old) + b"N" + tuple_of(new)
        assert pgoutput.read_row(update) == RowChange(old, new, whole)
        assert pgoutput.read_row(b"D" + head + mark + tuple_of(old)) == RowChange(old, None, whole)
    assert pgoutput.read_relation_id(b"I" + head) == oid


_names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=20)
_columns = st.builds(RelationColumn, _names, st.integers(0, 2**32 - 1), st.integers(-1, 2**31 - 1), st.booleans())


@given(st.builds(Relation, st.integers(0, 2**32 - 1), _names, _names, st.lists(_columns, max_size=6).map(tuple)))
def test_relations(relation: Relation) -> None:
    message = b"R" + pack(">I", relation.oid)
    message += relation.schema.encode() + b"\0" + relation.name.encode() + b"\0d" + pack(">h", len(relation.columns))
    for column in relation.columns:
        message += bytes([column.identifies]) + column.name.encode() + b"\0" + pack(">Ii", column.type, column.typmod)
    assert pgoutput.read_relation(message) == relation


@given(st.integers(0, 2**64 - 1))
def test_positions(lsn: int) -> None:
    assert pgoutput.read_lsn(pgoutput.write_lsn(lsn)) == lsn
    assert pgoutput.read_begin(b"B" + pack(">Qqi", lsn, 0, 7)) == lsn


@given(st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_truncates(oids: list[int]) -> None:
    message = b"T" + pack(">ib", len(oids), 1) + b"".join(pack(">I", oid) for oid in oids)
    assert pgoutput.read_truncated(message) == tuple(oids)
