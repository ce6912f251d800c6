"""Cursors of SQLite whose own order is not the order of what lands: every row comes, and comes once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.sources.sqlite.source import Sqlite, SqliteConnection, SqliteTable
from tests.run.runner import put, rows, run, run_well
from tests.sources.harness import read, request

if TYPE_CHECKING:
    from pathlib import Path

WITH_KEY, WITHOUT = "load: incremental, key: id, cursor: u", "load: incremental, cursor: u"


def insert(folder: Path, *cells: tuple[int, Any], declared: str = "timestamp") -> None:
    with closing(sqlite3.connect(folder / "in.db")) as database, database:
        database.execute(f"CREATE TABLE IF NOT EXISTS m (id INTEGER PRIMARY KEY, u {declared})")
        database.executemany("INSERT OR REPLACE INTO m VALUES (?, ?)", cells)


def project(folder: Path, ingest: str, columns: str = "") -> None:
    more = f", columns: {{{columns}}}" if columns else ""
    put(folder, {"sources/db.yaml": f"kind: sqlite\npath: in.db\ntables:\n  m: {{into: warehouse, {ingest}{more}}}\n"})


def ids(folder: Path) -> list[int]:
    return [row[0] for row in rows(folder, "select id from db.m")]


@pytest.mark.parametrize("ingest", [WITH_KEY, f"{WITH_KEY}, lag: 0s", WITHOUT])
@pytest.mark.parametrize(
    ("declared", "columns"),
    [
        ("timestamp", ""),
        ("timestamptz", ""),
        ("", "id: bigint, u: timestamptz"),
        ("TEXT", "id: bigint, u: timestamp"),
        ("TEXT", "id: bigint, u: timestamp_s"),
        ("DATETIME COLLATE NOCASE", "id: bigint, u: timestamp_ms"),
    ],
)
def test_instants_in_several_spellings(tmp_path: Path, ingest: str, declared: str, columns: str) -> None:
    project(tmp_path, ingest, columns)
    insert(tmp_path, (1, "2023-10-29T02:45:00+02:00"), declared=declared)
    run_well(tmp_path)
    insert(tmp_path, (2, "2023-10-29T02:05:00+01:00"), (3, "2023-10-29 01:10:00"), (4, "2023-10-29T01:10:00Z"))
    run_well(tmp_path)
    assert ids(tmp_path) == [1, 2, 3, 4]
    insert(tmp_path, (5, "2023-10-28T23:10:00-02:00"), (6, "2023-10-29 01:10:00.000"), (7, "2023-10-29 01:09:00Z"))
    run_well(tmp_path)
    assert ids(tmp_path) == [1, 2, 3, 4, 5, 6, *([7] if ingest == WITH_KEY else [])]
    insert(tmp_path, (8, "2023-10-29T00:00:00-05:00"))
    run_well(tmp_path)
    run_well(tmp_path)
    assert ids(tmp_path)[-1] == 8
    assert len(ids(tmp_path)) == len(set(ids(tmp_path)))


@pytest.mark.parametrize("ingest", [WITH_KEY, WITHOUT])
@pytest.mark.parametrize(
    ("declared", "columns", "runs"),
    [
        ("date", "", [["2024-03-01T00:00:00"], ["2024-03-01", "2024-03-02"], [1709337600, "2024-03-03 00:00:00"]]),
        (
            "timestamp",
            "",
            [["2024-03-01 10:00:00.5"], ["2024-03-01 10:00:00.500"], [1709290801, "2024-03-01T10:00:02"]],
        ),
        ("TEXT", "id: bigint, u: bigint", [["8", "9"], ["10", "9"], ["10", "100", " 100"]]),
        ("", "id: bigint, u: double", [[9, "8.5"], ["10", 9.0], [11, "1e2", 100]]),
        ("", 'id: bigint, u: "decimal(9,2)"', [["9.5"], ["10", 9.5], ["10.00", 11]]),
        ("TEXT", "id: bigint, u: smallint", [["8", "9"], ["10"], ["10", "100"]]),
        ("", "id: bigint, u: bigint", [[1, "x"], [2], [3, "2"]]),
        ("TEXT", "id: bigint, u: time", [["09:00"], ["9:00:00", "10:00"], ["10:00:00.0", "11:00"]]),
        ("INTEGER", "id: bigint, u: timestamp", [[1.5e9, 7], [1500000000, 1500000001], [1500000001]]),
    ],
)
def test_numbers_texts_and_both(
    tmp_path: Path, ingest: str, declared: str, columns: str, runs: list[list[Any]]
) -> None:
    project(tmp_path, f"{ingest}, max_rejected: 100%", columns)
    good, number = [], 0
    for cells in runs:
        for cell in cells:
            number += 1
            insert(tmp_path, (number, cell), declared=declared)
            good += [number] if cell != "x" else []
        run_well(tmp_path)
        assert ids(tmp_path) == good


def test_one_cell_that_does_not_fit_hides_nothing(tmp_path: Path) -> None:
    project(tmp_path, f"{WITHOUT}, max_rejected: 100%")
    insert(tmp_path, (1, "2024-03-01 10:00:00"), (2, "unknown"), (3, "9999-99-99 99:99:99"))
    run_well(tmp_path)
    insert(tmp_path, (4, "2024-03-02 10:00:00"))
    run_well(tmp_path)
    assert ids(tmp_path) == [1, 4]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["2024-03-10T09:00:00+02:00"], ["2024-03-10T08:30:00+01:00", "2024-03-10T08:10:00Z"]),
        ([7, 9], [10, 11]),
        (["9"], ["10", 11]),
    ],
)
def test_texts_without_a_type_come_by_key_and_need_one(tmp_path: Path, old: list[Any], new: list[Any]) -> None:
    project(tmp_path, WITH_KEY)
    insert(tmp_path, *enumerate(old), declared="")
    run_well(tmp_path)
    insert(tmp_path, *enumerate(new, len(old)))
    run_well(tmp_path)
    assert ids(tmp_path) == list(range(len(old) + len(new)))
    project(tmp_path, WITHOUT)
    insert(tmp_path, (99, new[-1]))
    error = "".join(result.error for result in run(tmp_path).values())
    assert "times or numbers in several spellings" in error
    assert "declare its type" in error


@pytest.mark.parametrize(
    "cells",
    [
        ["a", "bb", "B", "ccc"],
        ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5e-0000-7000-8000-00000000000a"],
        ["2024-03-01 10:00:00", "2024-03-01 10:00:00.25", "2024-03-01 10:00:01"],
        ["0009", "0010"],
        [10, 11],
        ["2024-03-01T10:00:00+02:00", "2024-03-01T10:00:01+02:00"],
    ],
)
def test_texts_in_their_own_order_need_no_key(tmp_path: Path, cells: list[Any]) -> None:
    project(tmp_path, WITHOUT)
    insert(tmp_path, *enumerate(cells), declared="COLLATE NOCASE")
    run_well(tmp_path)
    insert(tmp_path, (98, max(cells)), (99, max(cells)))
    run_well(tmp_path)
    assert run_well(tmp_path)["db.m/load"].rows_inserted in (None, 0)
    assert ids(tmp_path) == [*range(len(cells)), 98, 99]


def spell(moment: datetime, minutes: int, form: str) -> str:
    local = moment + timedelta(minutes=minutes)
    if form == "Z":
        return f"{moment.isoformat()}Z"
    if form == "plain":
        return moment.isoformat(" ")
    hours, rest = divmod(abs(minutes), 60)
    return f"{local.isoformat('T' if form == 'T' else ' ')}{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 250_000, 1_000_000, 2_400_000_000]),
            st.integers(-14 * 60, 14 * 60),
            st.sampled_from(["Z", "plain", "T", " "]),
        ),
        max_size=4,
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.sampled_from(["timestamp", "timestamptz"]), st.integers(1, 4))
def test_random_offsets_come_in_every_run(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[tuple[int, int, str]]], declared: str, size: int
) -> None:
    """Without a key a read gives what is new and the rows at the last instant, however they are spelled."""
    folder = tmp_path_factory.mktemp("offsets")
    now, number, position = datetime(2024, 3, 30, 23), 0, {}
    instants: dict[int, datetime] = {}
    insert(folder, declared=declared)
    source = Sqlite(SqliteConnection(path="in.db"), str(folder))
    with closing(duckdb.connect()) as con:
        con.execute("SET TimeZone = 'UTC'")
        for cells in steps:
            last = max(instants.values(), default=datetime.min)
            for step, minutes, form in cells:
                now, number = now + timedelta(microseconds=step), number + 1
                instants[number] = now
                insert(folder, (number, spell(now, minutes, form)))
            asked = request(
                con,
                SqliteTable(table="m"),
                {"id": "bigint", "u": declared},
                {"load": "incremental", "cursor": "u"},
                position=position,
                chunk_rows=size,
            )
            outcome = read(source, asked)
            assert sorted(row["id"] for row in outcome.rows) == [n for n, at in instants.items() if at >= last]
            assert not outcome.rejects
            position = {**position, **outcome.position}
