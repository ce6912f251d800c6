"""Merging: one row per key, idempotent, equal to a dictionary; deletes, digests and ties."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts import REJECT_COLUMNS
from headwater.core.commit import Column
from headwater.ingestion.merge import compile_deletes, compile_merge, digest_query
from headwater.ingestion.ties import compile_fresh, compile_new_rejects, compile_ties, merge_ties

COLUMNS = (Column("k", "INTEGER"), Column("c", "INTEGER"), Column("v", "VARCHAR"))
SYSTEM = (Column("_batch", "VARCHAR"), Column("_loaded_at", "TIMESTAMP WITH TIME ZONE"))
Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def con():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE target (k INTEGER, c INTEGER, v VARCHAR, _batch VARCHAR)")
    connection.execute(
        "CREATE TABLE incoming (k INTEGER, c INTEGER, v VARCHAR, _batch VARCHAR, _loaded_at TIMESTAMPTZ)"
    )
    connection.execute("ALTER TABLE incoming ADD COLUMN _file VARCHAR")
    connection.execute("ALTER TABLE incoming ADD COLUMN _line BIGINT")
    yield connection
    connection.close()


def fill(con, table: str, rows: list[Row]) -> None:
    con.execute(f"DELETE FROM {table}")
    for line, row in enumerate(rows):
        if table == "target":
            con.execute("INSERT INTO target VALUES (?, ?, ?, 'old')", row)
        else:
            con.execute("INSERT INTO incoming VALUES (?, ?, ?, 'new', now(), 'f', ?)", [*row, line])


def merge(con, rows: list[Row], target: list[Row] | None, cursor: str = "c", located: bool = True):
    fill(con, "incoming", rows)
    fill(con, "target", target or [])
    place = "" if located else "EXCLUDE (_file, _line)"
    queries = compile_merge(
        f"SELECT * {place} FROM incoming", None if target is None else "SELECT * FROM target", COLUMNS, ["k"], cursor,
        system_columns=SYSTEM, located=located,
    )  # fmt: skip
    con.execute(f"CREATE OR REPLACE TEMP TABLE m AS {queries.classified}")
    return queries


def written(con, queries) -> list[Row]:
    return sorted(con.sql(f"SELECT k, c, v FROM ({queries.rows('m')})").fetchall())


def counted(con, queries) -> dict[str, int]:
    relation = con.sql(queries.counts("m"))
    return dict(zip(relation.columns, relation.fetchone(), strict=True))


def test_the_highest_cursor_wins_and_the_rest_is_counted(con):
    queries = merge(con, [(1, 5, "new"), (1, 4, "old"), (1, None, "none"), (2, 1, "x")], [(2, 1, "x"), (3, 1, "z")])
    assert written(con, queries) == [(1, 5, "new")]
    assert counted(con, queries) == {"new": 1, "changed": 0, "unchanged": 1, "superseded": 2, "duplicate": 0}
    assert con.sql(queries.rejects("m")).fetchall() == []


def test_without_cursor_the_first_in_the_file_wins_and_the_others_are_rejects(con):
    queries = merge(con, [(1, 1, "z first"), (1, 2, "a second"), (1, 1, "z first")], [(1, 9, "old")], cursor="")
    assert written(con, queries) == [(1, 1, "z first")]
    relation = con.sql(queries.rejects("m"))
    assert [(n, str(t)) for n, t in zip(relation.columns, relation.types, strict=True)] == list(REJECT_COLUMNS)
    found = con.sql(f"SELECT _file, _line, rule, raw FROM ({queries.rejects('m')}) ORDER BY _line").fetchall()
    assert found == [
        ("f", 1, "duplicate_key", '{"k":1,"c":2,"v":"a second"}'),
        ("f", 2, "duplicate_key", '{"k":1,"c":1,"v":"z first"}'),
    ]


def test_a_full_load_has_one_row_per_key_too(con):
    queries = merge(con, [(1, 1, "a"), (1, 2, "b"), (2, 1, "c")], None)
    assert written(con, queries) == [(1, 2, "b"), (2, 1, "c")]
    assert counted(con, queries) == {"new": 2, "changed": 0, "unchanged": 0, "superseded": 1, "duplicate": 0}
    queries = merge(con, [(1, 1, "a"), (1, 2, "b")], None, cursor="")
    assert written(con, queries) == [(1, 1, "a")]
    assert counted(con, queries)["duplicate"] == 1


def test_rows_equal_to_the_table_change_nothing_null_for_null(con):
    same = [(1, None, None), (2, 3, "x")]
    queries = merge(con, same, same)
    assert written(con, queries) == []
    assert counted(con, queries)["unchanged"] == 2
    queries = merge(con, [(1, None, "")], [(1, None, None)])
    assert written(con, queries) == [(1, None, "")]


def test_a_column_that_the_table_does_not_have_yet(con):
    fill(con, "incoming", [(1, 1, None), (2, 1, "v")])
    con.execute("CREATE OR REPLACE TEMP TABLE narrow AS SELECT * FROM (VALUES (1, 1), (2, 1)) t(K, c)")
    queries = compile_merge(
        "SELECT * FROM incoming", "SELECT * FROM narrow", COLUMNS, ["k"], "c", current_columns=["K", "c"], located=True
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE m AS {queries.classified}")
    assert written(con, queries) == [(2, 1, "v")]


def test_a_table_of_keys_only_and_of_special_floats(con):
    columns = (Column("k", "DOUBLE"), Column("v", "DOUBLE"))
    rows = "SELECT * FROM (VALUES ('nan'::DOUBLE, 'nan'::DOUBLE), ('inf', NULL)) t(k, v)"
    queries = compile_merge(rows, rows, columns, ["k"])
    con.execute(f"CREATE OR REPLACE TEMP TABLE m AS {queries.classified}")
    assert counted(con, queries)["unchanged"] == 2
    queries = compile_merge("SELECT 1 AS k", "SELECT 2 AS k", columns[:1], ["k"])
    con.execute(f"CREATE OR REPLACE TEMP TABLE m AS {queries.classified}")
    assert counted(con, queries)["new"] == 1


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(["", "a", None])), max_size=10)
TARGET = st.dictionaries(st.integers(0, 4), st.tuples(st.integers(0, 3), st.sampled_from(["", "a", None])), max_size=5)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, target=TARGET, with_cursor=st.booleans())
def test_a_merge_equals_a_dictionary_and_is_idempotent(con, rows, target, with_cursor):
    expected = dict(target)
    winners: dict[int, Row] = {}
    for row in rows:
        if row[0] not in winners or (with_cursor and row[1] > winners[row[0]][1]):
            winners[row[0]] = row
    for key, row in winners.items():
        if not (with_cursor and key in target and row[1] < target[key][0]):
            expected[key] = row[1:]
    before = [(key, *rest) for key, rest in target.items()]
    queries = merge(con, rows, before, "c" if with_cursor else "")
    after = {row[0]: row for row in before} | {row[0]: row for row in written(con, queries)}
    assert {key: row[1:] for key, row in after.items()} == expected
    counts = counted(con, queries)
    assert sum(counts.values()) == len(rows)
    assert counts["duplicate" if with_cursor else "superseded"] == 0
    again = merge(con, rows, list(after.values()), "c" if with_cursor else "")
    assert written(con, again) == []


def test_a_row_below_the_tables_cursor_is_superseded_unless_the_tables_row_goes(con):
    fill(con, "incoming", [(1, 1, "late"), (2, 1, "late"), (3, 5, "late")])
    fill(con, "target", [(1, 5, "new"), (2, 5, "new"), (3, 5, "new")])
    queries = compile_merge("SELECT * FROM incoming", "SELECT * FROM target", COLUMNS, ["k"], "c", leaving="k = 2")
    con.execute(f"CREATE OR REPLACE TEMP TABLE m AS {queries.classified}")
    assert written(con, queries) == [(2, 1, "late"), (3, 5, "late")]
    assert counted(con, queries)["superseded"] == 1


def test_deletes_are_the_keys_the_source_no_longer_has(con):
    current = "SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (2, 'b')) t(k, j)"
    deletes = compile_deletes("SELECT * FROM (VALUES (2, 'b'), (9, 'z')) t(k, j)", current, ["k", "j"])
    assert sorted(con.sql(deletes).fetchall()) == [(1, "a"), (2, "a")]


# -------------------------------------------------------------------------------------------------------- digests


def digest(con, rows: list[Row], columns: tuple[Column, ...] = COLUMNS) -> str:
    fill(con, "target", rows)
    return con.sql(digest_query("SELECT * FROM target", columns)).fetchone()[0]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, other=ROWS)
def test_a_digest_is_that_of_a_multiset(con, rows, other):
    assert digest(con, rows) == digest(con, list(reversed(rows)))
    same = sorted(map(repr, rows)) == sorted(map(repr, other))
    assert (digest(con, rows) == digest(con, other)) is same


def test_a_digest_knows_names_types_nulls_and_places(con):
    rows = [(1, 2, None)]
    assert digest(con, rows) != digest(con, [(1, 2, "")])
    assert digest(con, rows) != digest(con, [(2, 1, None)])
    assert digest(con, [(1, 2, "x"), (2, 1, "y")]) != digest(con, [(1, 1, "x"), (2, 2, "y")])
    assert digest(con, rows) != digest(con, rows, (Column("k", "BIGINT"), *COLUMNS[1:]))
    assert digest(con, []) != digest(con, [], COLUMNS[:2])


# ----------------------------------------------------------------------------------------------------------- ties


def load_fresh(con, seen: list[Row], ties: dict[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """One load of `seen` (what the source gives for `cursor >= last`) without a key."""
    fill(con, "incoming", seen)
    fresh = compile_fresh("SELECT k, c, v FROM incoming", COLUMNS, "c", ties)
    found = con.sql(compile_ties(fresh, COLUMNS, "c")).fetchall()
    return con.sql(fresh).fetchall(), merge_ties(ties, found)


@settings(max_examples=40, deadline=None)
@given(loads=st.lists(ROWS, max_size=4))
def test_without_a_key_ties_are_neither_lost_nor_repeated(con, loads):
    source: list[Row] = []
    target: list[Row] = []
    ties: dict[str, Any] = {}
    for new in loads:
        last = max((row[1] for row in source), default=None)
        source += [row for row in new if last is None or row[1] >= last]
        seen = [row for row in source if last is None or row[1] >= last]
        rows, ties = load_fresh(con, seen, ties)
        target += rows
    assert sorted(map(repr, target)) == sorted(map(repr, source))


def test_a_new_column_does_not_repeat_ties(con):
    _, ties = load_fresh(con, [(1, 1, None)], {})
    wide = (*COLUMNS, Column("new", "VARCHAR"))
    fresh = compile_fresh("SELECT k, c, v, NULL::VARCHAR AS new FROM incoming", wide, "c", ties)
    assert con.sql(fresh).fetchall() == []


def test_rejects_that_are_known_are_not_repeated(con):
    found = compile_new_rejects("SELECT 'a' AS _reject_key UNION ALL SELECT 'b'", "SELECT 'a' AS _reject_key")
    assert con.sql(found).fetchall() == [("b",)]
    assert compile_new_rejects("SELECT 1", "") == "SELECT 1"
