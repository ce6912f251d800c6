"""A random sequence of changes leaves the same rows in a store as in a plain list."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.commit import Column
from headwater.testing.stores import MemorySession, Writer

from .children import STORES

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = st.integers(0, 6)
VALUES = st.sampled_from(["a", "b", None])
Row = tuple[int, str | None, int | None]
Rows = list[Row]
ROWS = st.lists(st.tuples(KEYS, VALUES, st.none() | st.integers(0, 1)), max_size=5)
UNIQUE = st.dictionaries(KEYS, st.tuples(VALUES, st.none() | st.integers(0, 1)), max_size=4)
NARROW, WIDE = (Column("k", "BIGINT"), Column("v", "VARCHAR")), Column("extra", "BIGINT")

STEPS = st.one_of(
    st.tuples(st.just("append"), ROWS),
    st.tuples(st.just("replace"), ROWS),
    st.tuples(st.just("merge"), UNIQUE.map(lambda rows: [(k, v, e) for k, (v, e) in rows.items()]), st.sets(KEYS)),
    st.tuples(st.just("overwrite_where"), ROWS, KEYS, st.booleans()),
    st.tuples(st.just("record")),
    st.tuples(st.just("staged"), ROWS),
    st.tuples(st.just("widen")),
    st.tuples(st.just("maintain")),
)


class Model:
    """The rows as a plain list."""

    def __init__(self) -> None:
        self.rows: Rows = []
        self.columns = NARROW

    def apply(self, step: tuple[Any, ...]) -> tuple[int, int]:
        """Apply a step; return rows inserted and deleted."""
        before = Counter(self.rows)
        new = [(k, v, e if len(self.columns) == 3 else None) for k, v, e in step[1]]
        keep = {
            "append": lambda row: True,
            "replace": lambda row: False,
            "merge": lambda row: row[0] not in {key for key, *_ in new} | step[2],
            "overwrite_where": lambda row: not (row[0] >= step[2] and (row[1] == "a" or not step[3])),
        }[step[0]]
        kept = [row for row in self.rows if keep(row)]
        self.rows = kept + new
        return len(new), sum((before - Counter(kept)).values())

    def query(self, rows: Rows) -> str:
        names = [column.name for column in self.columns]
        parts = [
            "SELECT " + ", ".join(f"{'NULL' if value is None else repr(value)}" for value in row[: len(names)])
            for row in rows
        ]
        empty = "SELECT " + ", ".join(f"CAST(NULL AS {c.type}) AS {c.name}" for c in self.columns)
        listed = " UNION ALL ".join(parts) or f"{empty} WHERE false"
        casts = ", ".join(f"CAST({c.name} AS {c.type}) AS {c.name}" for c in self.columns)
        return f"SELECT {casts} FROM ({listed}) AS t({', '.join(names)})"


def run_step(writer: Writer, model: Model, step: tuple[Any, ...]) -> None:
    if step[0] == "maintain":
        writer.store.maintain([writer.table], {"age_s": 0.0})
        return
    if step[0] == "widen":
        model.columns = (*NARROW, WIDE)
        return
    if step[0] == "record":
        writer.write("record", version=0)
        return
    rows = model.query(step[1])
    options: dict[str, Any] = {"columns": model.columns}
    mode = step[0]
    if mode == "staged":
        mode, load = "append", writer.load("staged")
        result = writer.store.stage(load, {}, "1", rows)
        result.finish_chunk({})
        rows, options = result.query, {**options, "parts": ("1",), "load": load}
    elif mode == "merge":
        keys = ", ".join(f"({key})" for key in step[2])
        options |= {"key": ("k",), "deletes": f"SELECT k::BIGINT AS k FROM (VALUES {keys}) AS d(k)" if keys else ""}
    elif mode == "overwrite_where":
        options["where"] = f"k >= {step[2]}" + (" AND v = 'a'" if step[3] else "")
    receipt = writer.write(mode, rows, **options)
    inserted, deleted = model.apply((mode, *step[1:]))
    assert receipt.rows_inserted == inserted
    assert receipt.rows_deleted in ((None, deleted) if mode == "replace" else (deleted,))
    assert receipt.commit.rows == len(model.rows)


@pytest.fixture(scope="module")
def session() -> Iterator[MemorySession]:
    session = MemorySession()
    yield session
    session.close()


@pytest.mark.parametrize("kind", STORES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=1, max_size=8))
def test_a_store_holds_what_a_list_would(kind: str, session: MemorySession, steps: list[tuple[Any, ...]]) -> None:
    folder = tempfile.mkdtemp()
    store = STORES[kind](f"{folder}/store", session)
    writer, model = Writer(store, session), Model()
    versions = [0]
    try:
        writer.write("replace", model.query([(0, "a", None)]), columns=model.columns)
        model.rows = [(0, "a", None)]
        for step in steps:
            if step[0] in ("merge", "overwrite_where") and step[0] not in store.capabilities.modes:
                continue
            run_step(writer, model, step)
            state = writer.described
            wide = len(state.columns) == 3
            found = writer.fetch(
                f"SELECT k, v, {'extra' if wide else 'CAST(NULL AS BIGINT) AS extra'} FROM ({state.scan})"
            )
            assert Counter(found) == Counter(model.rows)
            assert state.commit is not None
            assert state.foreign == ""
            assert state.commit.version >= versions[-1]
            versions.append(state.commit.version)
    finally:
        if kind == "warehouse":
            writer.connection.execute("DETACH _hw")
        writer.connection.close()
        shutil.rmtree(folder)
