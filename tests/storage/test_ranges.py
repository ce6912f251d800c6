from __future__ import annotations

import pytest

from headwater.contracts.commits import Effect, evolve_columns, merges_positions, seal_commit, spell_as
from headwater.contracts.ranges import group_ranges, join_ranges, list_time_columns, ranges_of_files, read_ranges
from headwater.core.commit import Column, Commit
from headwater.storage.common.parquet import DataFile
from headwater.testing.stores import MemorySession

COLUMNS = [Column("day", "DATE"), Column('a"t', "TIMESTAMP WITH TIME ZONE"), Column("n", "BIGINT")]
ROWS = """(SELECT * FROM (VALUES
    (DATE '2013-01-02', TIMESTAMPTZ '2013-01-01 00:00:00+02', 1, 'x'),
    (DATE '2013-01-01', NULL, 2, 'x'),
    (NULL, NULL, 3, 'y')) AS v(day, "a""t", n, g))"""


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_ranges_are_read_in_one_scan(zone: str) -> None:
    session = MemorySession()
    connection = session.cursor()
    connection.execute(f"SET TimeZone = '{zone}'")
    count, ranges = read_ranges(connection, COLUMNS, ROWS)
    assert count == 3
    instant = "2012-12-31T22:00:00+00:00"
    assert ranges == {"day": ("2013-01-01", "2013-01-02"), 'a"t': (instant, instant)}
    counts, groups = group_ranges(connection, COLUMNS, ROWS, "g")
    assert counts == {"x": 2, "y": 1}
    assert join_ranges(groups) == {"day": ["2013-01-01", "2013-01-02"], 'a"t': [instant, instant]}
    session.close()


def test_ranges_of_files_come_from_their_footers() -> None:
    known = {
        '"day"': {"min": "2013-01-01", "max": "2013-01-02"},
        '"a""t"': {"min": "2012-12-31 22:00:00+00", "max": "2012-12-31 22:00:00.25+00"},
    }
    files = [DataFile("a", 1, 1, known), DataFile("b", 1, 1, {'"day"': {"null_count": "1"}})]
    assert ranges_of_files(files, COLUMNS) == [
        {
            "day": ("2013-01-01", "2013-01-02"),
            'a"t': ("2012-12-31T22:00:00+00:00", "2012-12-31T22:00:00.25+00:00"),
        },
        {},
    ]


@pytest.mark.parametrize("text", ["infinity", "0044-03-15 (BC)", "290309-12-22"])
def test_a_date_without_iso_text_is_unknown(text: str) -> None:
    files = [DataFile("a", 1, 1, {'"day"': {"min": "2013-01-01", "max": text}})]
    [ranges] = ranges_of_files(files, COLUMNS)
    assert ranges == {"day": None}
    assert join_ranges([{"day": ("2013-01-01", "2013-01-01")}, ranges, {"day": ("2012-01-01",) * 2}]) == {}


def test_system_columns_have_no_range() -> None:
    columns = [Column("_loaded_at", "TIMESTAMP"), Column("day", "DATE"), Column("n", "TIME")]
    assert [column.name for column in list_time_columns(columns)] == ["day"]


def commit(**fields: object) -> Commit:
    return Commit(**{**{"producer": "p", "sequence": 5, "previous": 4, "run_id": "r", "fingerprint": "f", "now": "n",
                        "version": 5}, **fields})  # type: ignore[arg-type]  # fmt: skip


def test_a_commit_is_sealed() -> None:
    prior = commit(sequence=4, previous=3, version=2, rows=10, times={"day": ["a", "b"]})
    same = seal_commit(commit(replaces_all=True), Effect(), prior)
    assert (same.version, same.rows, same.replaces_all) == (2, 10, False)
    changed = seal_commit(commit(version=2), Effect(3, 1, ranges=[{"day": ("x", "y")}]), prior)
    assert (changed.version, changed.rows, changed.times) == (5, 12, {"day": ["x", "y"]})
    assert seal_commit(commit(), Effect(3, None, ranges=None), prior).rows is None
    assert seal_commit(commit(), Effect(3, None, ranges=None), prior).times is None
    assert seal_commit(commit(), Effect(schema_changed=True), prior).version == 5
    assert seal_commit(commit(), Effect(2), commit(rows=None)).rows is None
    assert seal_commit(commit(), Effect(2), None).rows == 2


@pytest.mark.parametrize(
    ("previous", "sequence", "merges"),
    [(None, 1, False), (48, 49, False), (49, 50, True), (48, 57, True), (50, 51, False)],
)
def test_positions_are_merged_now_and_then(previous: int | None, sequence: int, merges: bool) -> None:
    assert merges_positions(commit(previous=previous, sequence=sequence)) is merges


def test_columns_never_vanish() -> None:
    from headwater.contracts import Change

    old = (Column("id", "BIGINT"), Column("name", "VARCHAR"))
    new = (Column("NAME", "TEXT"), Column("x", "DATE"))
    assert evolve_columns(old, Change("append", columns=new)) == (old[0], new[0], new[1])
    assert evolve_columns(old, Change("replace", columns=new)) == new
    assert evolve_columns((), Change("append", columns=new)) == new
    assert spell_as(old, new) == (Column("name", "TEXT"), new[1])
