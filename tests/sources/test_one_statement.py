"""Queries as people write them for a server: what ends them is cut, and a second statement is refused."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.common.one_statement import one_statement

ENDS = ("", ";", " ;\n", " -- all", "; -- the open ones", ";;/* a; b */", "\n/* done */ ;\n-- end\n", "; -- it's")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "select ';' as a, '--' as b",
        "select 'it''s; /*' as a",
        'select 1 as "a;b"',
        "-- first; this\nselect /* ; */ 1",
    ],
)
def test_what_ends_a_query_is_cut(query: str, end: str) -> None:
    assert one_statement(query + end) == query
    assert one_statement(query + end, sqlite=True) == query
    assert (
        sqlite3.connect(":memory:").execute(f"SELECT * FROM ({one_statement(query + end, sqlite=True)}\n)").fetchall()
    )


@pytest.mark.parametrize(
    ("query", "sqlite"),
    [
        (r"select E'\'; drop table t; --'", False),
        ("select $$a; b$$, $x$ $$; $x$", False),
        ("select 1 /* a /* nested; */ still; */ + 1", False),
        ("select [a;b], `c;d` from t", True),
        ("select a$1 from t", False),
        ("select 1 -- no end", True),
    ],
)
def test_each_servers_own_quotes(query: str, sqlite: bool) -> None:
    wanted = query.removesuffix(" -- no end")
    assert one_statement(f"{query}\n; ", sqlite=sqlite) == wanted


@pytest.mark.parametrize("sqlite", [True, False])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select 1; select 2", "a second statement begins in line 1"),
        ("select 1;\n-- then\ndelete from t", "line 3"),
        ("; -- nothing", "no statement"),
        ("", "no statement"),
        ("select 'open", "does not end"),
    ],
)
def test_what_is_not_one_statement_is_refused(query: str, said: str, sqlite: bool) -> None:
    with pytest.raises(ValueError, match=said):
        one_statement(query, sqlite=sqlite)


@given(st.text(alphabet="ab;'\"-/*$[]`\n \\eE1", max_size=30))
def test_whatever_is_written_what_is_left_is_a_part_of_it(text: str) -> None:
    for sqlite in (False, True):
        try:
            found = one_statement(text, sqlite=sqlite)
        except ValueError:
            continue
        assert found
        assert found in text
        assert one_statement(found, sqlite=sqlite) == found
