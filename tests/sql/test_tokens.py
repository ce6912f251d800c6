"""What layout and comments do not change, and semicolons that end a query."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sql.tokens import canonical_text, drop_semicolons

TOKENS = [
    "select", "a", "'it''s -- no comment'", "e'\\' /* none */'", '"b -- c"', "$$ d -- e $$", "$t$ $$ $t$", "1.5", ",",
    "::", "->>", "(", ")", "'é'", "b'01'", "x'ff'", "=", "<>",
]  # fmt: skip
LAYOUT = [" ", "\n", "\t", " -- it's $x\n", "/* a */", "/* a /* b */ c */", "  \n "]


@given(st.lists(st.tuples(st.sampled_from(TOKENS), st.sampled_from(LAYOUT), st.sampled_from(LAYOUT)), max_size=10))
def test_layout_does_not_change_the_canonical_text(parts: list[tuple[str, str, str]]) -> None:
    one = "".join(f"{token} {layout}" for token, layout, _ in parts)
    other = "".join(f"{token} {layout}" for token, _, layout in parts)
    plain = " ".join(token for token, _, _ in parts)
    if "'" not in plain:
        assert canonical_text(one) == canonical_text(other) == plain
    assert canonical_text(one).split() == canonical_text(canonical_text(one)).split()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select 'a  b'", "select 'a b'"),
        ("select 'a -- b'", "select 'a'"),
        ('select "a  b"', 'select "a b"'),
        ("select $$a  b$$", "select $$a b$$"),
        ("select a b", "select ab"),
        ("select 1 /* a */ + 1", "select 1 /* a + 1 */"),
        ("select 'a'\n'b'", "select 'a'\n'c'"),
    ],
)
def test_what_changes_rows_changes_the_canonical_text(one: str, other: str) -> None:
    assert canonical_text(one) != canonical_text(other)


@pytest.mark.parametrize("layout", ["select  1 ,2", "select 1,2", "SELECT 1,2 -- end", "/**/select 1,\n2"])
def test_layout_between_tokens(layout: str) -> None:
    assert canonical_text(layout.replace("SELECT", "select")) == "select 1 , 2"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select 1", "select 1"),
        ("select 1;", "select 1 "),
        ("select 'é'; -- end;\n;\n", "select 'é'  -- end;\n \n"),
        ("select ';'", "select ';'"),
        ("select ';' -- ;", "select ';' -- ;"),
        ("select 1; select 2", "select 1; select 2"),
        ("select 1; select 2;", "select 1; select 2 "),
        (";;", "  "),
    ],
)
def test_semicolons_at_the_end_are_dropped(query: str, expected: str) -> None:
    assert drop_semicolons(query) == expected


def test_a_query_without_its_semicolon_stands_in_parentheses() -> None:
    query = drop_semicolons("select 1 as x; -- that is all")
    assert duckdb.execute(f"SELECT * FROM (\n{query}\n)").fetchone() == (1,)
