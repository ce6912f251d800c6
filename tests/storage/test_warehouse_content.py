"""The warehouse knows its tables again: whatever others write to the file is seen, and nothing that was not written."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.api import load
from headwater.core.commit import Column, TableState
from headwater.storage.warehouse.file import WarehouseFile
from headwater.storage.warehouse.store import Warehouse
from headwater.testing.stores import MemorySession, Writer
from tests.run.runner import put, rows, run, run_well, statuses

COLUMNS = (Column("k", "BIGINT"), Column("v", "VARCHAR"), Column("day", "TIMESTAMP"))
WIDER = (*COLUMNS, Column("more", "DOUBLE"))
KEYS = st.integers(0, 5)
ROWS = st.dictionaries(KEYS, st.sampled_from(["a", "b", None]), max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "replace", "merge", "overwrite_where", "record", "wider"]), ROWS, KEYS),
    min_size=1, max_size=6,
)  # fmt: skip
OUTSIDE = [
    "UPDATE s.t SET v = coalesce(v, '') || 'x' WHERE k = (SELECT max(k) FROM s.t)",
    "UPDATE s.t SET k = k + 100",
    "DELETE FROM s.t WHERE k = (SELECT min(k) FROM s.t)",
    "INSERT INTO s.t (k, v) VALUES (1, NULL)",
    "INSERT INTO s.t SELECT * FROM s.t",
    "ALTER TABLE s.t ADD COLUMN z INTEGER",
    "ALTER TABLE s.t RENAME COLUMN v TO w",
    "ALTER TABLE s.t ALTER COLUMN k TYPE INTEGER",
    "CREATE OR REPLACE TABLE s.t AS SELECT * FROM s.t",
]


def select(values: dict[int, str | None], columns: tuple[Column, ...]) -> str:
    pairs = [f"({k}, {'NULL' if v is None else repr(v)})" for k, v in values.items()] or ["(NULL, NULL)"]
    made = ["CAST(k AS BIGINT) AS k", "CAST(v AS VARCHAR) AS v", "TIMESTAMP '2026-01-01' + to_days(k) AS day"]
    more = ["k / 2 AS more"] if columns == WIDER else []
    return f"SELECT {', '.join([*made, *more])} FROM (VALUES {', '.join(pairs)}) AS x(k, v) WHERE k IS NOT NULL"


def write(file: str, steps: list[tuple[str, dict[int, str | None], int]]) -> None:
    session = MemorySession()
    writer = Writer(Warehouse(file, session), session, "s.t")
    columns = COLUMNS
    writer.write("replace", select({1: "a", 2: "b"}, columns), columns=columns)
    for mode, values, key in steps:
        columns = WIDER if mode == "wider" else columns
        query = select(values, columns)
        if mode == "record":
            writer.write(mode)
        elif mode == "merge":
            gone = f"SELECT CAST({key} AS BIGINT) AS k"
            writer.write(mode, query, columns=columns, key=("k",), deletes=gone)
        elif mode == "overwrite_where":
            writer.write(mode, query, columns=columns, where=f"k >= {key}")
        else:
            writer.write("append" if mode == "wider" else mode, query, columns=columns)
    writer.connection.close()
    session.close()


def look(file: str) -> TableState:
    session = MemorySession(read_only=True)
    try:
        return Warehouse(file, session).describe()["s.t"]
    finally:
        session.close()


def outside(file: str, *statements: str) -> None:
    with duckdb.connect(file) as connection:
        for statement in statements:
            connection.execute(statement)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from(OUTSIDE))
def test_every_change_from_outside_is_seen_and_none_of_our_own(steps: Any, statement: str) -> None:
    folder = tempfile.mkdtemp()
    try:
        file = f"{folder}/w.duckdb"
        write(file, steps)
        state = look(file)
        assert state.foreign == ""
        assert state.commit
        assert state.commit.content
        outside(file, "CREATE TABLE theirs AS SELECT 1 AS x", "CHECKPOINT")
        assert look(file).foreign == ""
        empty = duckdb.connect(file).execute("SELECT count(*) FROM s.t").fetchall() == [(0,)]
        outside(file, statement)
        untouched = empty and statement.startswith(("UPDATE", "DELETE", "INSERT INTO s.t SELECT"))
        assert ("somebody else" in look(file).foreign) != untouched
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("UPDATE s.t SET v = 'c'", "it has 2 rows as before, with other values"),
        ("DELETE FROM s.t WHERE k = 1", "it has 1 rows instead of 2"),
        ("ALTER TABLE s.t DROP COLUMN v", "its columns are other ones, now k BIGINT, day TIMESTAMP"),
    ],
)
def test_it_says_how_the_table_differs(tmp_path: Path, statement: str, how: str) -> None:
    file = str(tmp_path / "w.duckdb")
    write(file, [])
    outside(file, statement)
    assert look(file).foreign == (
        f"s.t was changed by somebody else: {how}; `headwater run --reset s.t` drops it and makes it anew"
    )


def test_what_is_put_back_is_as_it_was(tmp_path: Path) -> None:
    file = str(tmp_path / "w.duckdb")
    write(file, [])
    outside(file, "CREATE TABLE kept AS FROM s.t", "DELETE FROM s.t")
    assert look(file).foreign
    outside(file, "INSERT INTO s.t FROM kept ORDER BY k DESC")
    assert look(file).foreign == ""


def test_a_content_of_another_version_of_the_engine_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "w.duckdb")
    write(file, [])
    monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    assert look(file).foreign == ""


# ------------------------------------------------------------------------------------------------------- whole projects

FILES = {
    "models/m/x.sql": "select i from range(5) t(i)\n",
    "models/m/y.sql": "select sum(i) as s from m.x\n",
    "models/m/snap.sql": "/* headwater\nmaterialize: snapshot\nkey: i\n*/\nselect i from m.x\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = put(tmp_path / "p", FILES)
    run_well(folder)
    return folder


def file_of(folder: Path) -> str:
    return str(folder / "data/warehouse.duckdb")


@pytest.mark.parametrize("forgotten", [[], [".headwater"], ["data/warehouse.duckdb.left"]])
def test_a_changed_table_fails_and_blocks_until_it_is_reset(project: Path, forgotten: list[str]) -> None:
    for name in forgotten:
        shutil.rmtree(project / name) if (project / name).is_dir() else (project / name).unlink()
    assert set(statuses(run(project)).values()) == {"skipped"}
    for name in forgotten:
        shutil.rmtree(project / name) if (project / name).is_dir() else (project / name).unlink()
    outside(file_of(project), "UPDATE m.x SET i = i + 1 WHERE i = 3")
    for _ in range(2):
        assert "with other values" in str(load(project).plan().steps[0].reason)
        found = statuses(run(project))
        assert (found["m.x/transform"], found["m.y/transform"]) == ("failed", "blocked")
    assert "changed by somebody else" in load(project).node_statuses()["m.x"].error
    assert statuses(run(project, select=["m.y"], full=["m.y"])) == {"m.y/transform": "failed"}
    load(project).reset(["m.x"])
    run_well(project)
    assert rows(project, "from m.y") == [(10,)]


def test_advice_for_a_snapshot_says_that_history_goes(project: Path) -> None:
    outside(file_of(project), "DELETE FROM m.snap WHERE i = 1")
    assert "forgets its history" in run(project)["m.snap/transform"].error


def test_what_others_write_before_it_is_noted_how_the_file_was_left_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped when it has let go of the file, and notes how it left it only afterwards."""
    remember = WarehouseFile._remember

    def late(self: WarehouseFile) -> None:
        monkeypatch.undo()
        outside(file_of(project), "UPDATE m.x SET i = i + 1 WHERE i = 3")
        remember(self)

    monkeypatch.setattr(WarehouseFile, "_remember", late)
    run_well(project)
    assert "with other values" in str(load(project).plan().steps[0].reason)


def test_what_others_write_right_before_the_file_is_held_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = WarehouseFile._is_as_left

    def late(self: WarehouseFile) -> bool:
        monkeypatch.undo()
        found = look(self)
        with suppress(duckdb.Error):  # whoever holds the file by now keeps others away
            outside(file_of(project), "UPDATE m.x SET i = i + 1 WHERE i = 3")
        return found

    monkeypatch.setattr(WarehouseFile, "_is_as_left", late)
    run(project)
    changed = rows(project, "select count(*) from m.x where i = 3") == [(0,)]
    assert ("with other values" in str(load(project).plan().steps[0].reason)) is changed


def test_a_file_that_nobody_wrote_to_is_not_compared(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(_: Any, __: Any, state: TableState) -> TableState:
        asked.append(state.name)
        return state

    monkeypatch.setattr("headwater.storage.warehouse.store.compare_content", note)
    with duckdb.connect(file_of(project), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM m.x").fetchall() == [(5,)]
    load(project).plan()
    run_well(project)
    run_well(project, full=["m.y"])
    load(project).query("from m.y")
    assert asked == []
    outside(file_of(project), "CREATE TABLE theirs AS SELECT 1 AS x")
    load(project).plan()
    assert sorted(asked) == ["m.snap", "m.x", "m.y"]
    load(project).plan()
    assert len(asked) == 3


def test_a_change_of_the_delivered_text_alone_is_seen(tmp_path: Path) -> None:
    folder = put(
        tmp_path,
        {
            "headwater.yaml": "name: delivered\n",
            "in/a.jsonl": '{"k": 1}\n{"k": 2}\n',
            "sources/s.yaml": "kind: files\npath: in\ntables:\n"
            "  t: {path: a.jsonl, into: warehouse, columns: {k: bigint}}\n",
        },
    )
    run_well(folder)
    assert load(folder).states()["s.t"].foreign == ""
    outside(str(folder / "data/warehouse.duckdb"), """UPDATE s.t SET _raw = '{"k": 3}' WHERE k = 1""")
    assert "it has 2 rows as before, with other values" in load(folder).states()["s.t"].foreign
