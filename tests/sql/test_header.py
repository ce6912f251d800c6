"""The header is cut off, line numbers stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sql.header import split_header

YAML = "materialize: view\ndescription: a */ in a line, /* too\n"


@pytest.mark.parametrize(
    ("text", "header", "line", "query"),
    [
        ("select 1", "", 0, "select 1"),
        ("\ufeffselect 1", "", 0, "select 1"),
        (f"/* headwater\n{YAML}*/\nselect 1", YAML, 2, "\n\n\n\nselect 1"),
        (f"\ufeff\n  /*headwater  \n{YAML}  */  \nselect 1", YAML, 3, "\n\n\n\n\nselect 1"),
        ("/* headwater\r\na: 1\r\n*/\r\nselect 1", "a: 1\r\n", 2, "\n\n\r\nselect 1".replace("\r", "")),
        ("/* headwater */\nselect 1\n/* a note\n*/", "", 1, "\nselect 1\n/* a note\n*/"),
        ("/* headwater materialize: view */ select 1", "", -1, ""),
        ("/* headwater materialize: view */\nselect 1\n/*\n*/", "materialize: view", 1, "\nselect 1\n/*\n*/"),
        ("/* headwater\n*/", "", 2, "\n"),
        ("/* headwaters */ select 1", "", 0, "/* headwaters */ select 1"),
        ("-- first\n/* headwater\n*/\nselect 1", "", 0, "-- first\n/* headwater\n*/\nselect 1"),
        ("/* plain */ select 1", "", 0, "/* plain */ select 1"),
    ],
)
def test_header_and_query(text: str, header: str, line: int, query: str) -> None:
    if line < 0:
        with pytest.raises(ValueError, match="YAML beside"):
            split_header(text)
        return
    assert split_header(text) == (header, line, query)


@pytest.mark.parametrize("text", ["/* headwater\na: 1\nselect 1", "/* headwater\na: 1 */\nselect 1", "/* headwater"])
def test_a_header_that_is_not_ended_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not ended"):
        split_header(text)


LINES = st.lists(st.text(st.sampled_from("ab:# */-"), max_size=6).filter(lambda t: t.strip() != "*/"), max_size=5)


@given(st.integers(0, 3), LINES, LINES)
def test_lines_stay_where_they_are(blank: int, header: list[str], query: list[str]) -> None:
    lines = [*[""] * blank, "/* headwater", *header, "*/", *query]
    found, line, rest = split_header("\n".join(lines))
    assert found.split("\n")[:-1] == header
    assert line == blank + 2
    assert rest.split("\n")[blank + len(header) + 2 :] == query
    assert rest.split("\n")[: blank + len(header) + 2] == [""] * (blank + len(header) + 2)
