"""What a terminal would obey is written out, and JSON stays what it was."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.core.texts import is_hidden, visible, visible_json

ANY = st.text(st.characters(exclude_categories=()), max_size=50)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("good\rbad", r"good\rbad"),
        ("a\bb\x7f", r"a\x08b\x7f"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("a\u200bb\ufeffc\u200dd", r"a\u200bb\ufeffc\u200dd"),
        ("a\u2028b\u2029c\u0085d", r"a\u2028b\u2029c\x85d"),
        ("\ud800x\udfff", r"\ud800x\udfff"),
        ("\U000e0041", r"\U000e0041"),
        ("a\tb\nc", "a\tb\nc"),
        ("größe 注文 🔑 ñ", "größe 注文 🔑 ñ"),
    ],
    ids=ascii,
)
def test_what_would_be_obeyed_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(text, one_line=True) == shown.replace("\t", r"\t").replace("\n", r"\n")


@given(ANY)
@example("".join(map(chr, range(0x100))))
def test_nothing_that_is_shown_is_obeyed(text: str) -> None:
    for shown in (visible(text), visible_json(text)):
        assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown if c not in "\t\n")
        assert all(
            unicodedata.bidirectional(c) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
            for c in shown
        )
        shown.encode()
    assert not any(map(is_hidden, visible(text, one_line=True)))


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=5))
def test_json_that_is_shown_holds_the_same(value: object) -> None:
    for ascii_only in (True, False):
        assert json.loads(visible_json(json.dumps(value, ensure_ascii=ascii_only))) == value
