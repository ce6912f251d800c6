"""Widths of text and what is done with text that is too wide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.diagram.metrics import clean, fit_end, fit_middle, text_width

TEXT = st.text(max_size=60)
WIDTHS = st.floats(min_value=20, max_value=400)


def test_width_grows_with_size_and_is_that_of_the_wider_font() -> None:
    assert text_width("W", 1000) == 989
    assert text_width("staging.flights", 10) == pytest.approx(71.19)
    assert text_width("staging.flights", 20) == pytest.approx(142.38)


def test_ideographs_and_emoji_count_double() -> None:
    assert text_width("漢", 10) >= 2 * text_width("o", 10)
    assert text_width("😀", 10) >= 2 * text_width("o", 10)


def test_accents_add_no_width() -> None:
    assert text_width("é", 10) == text_width("e\u0301", 10) == text_width("e", 10)


def test_letters_of_other_scripts_are_taken_as_wide() -> None:
    assert text_width("Ж", 10) >= 10


def test_text_that_fits_is_left_alone() -> None:
    assert fit_end("orders", 10, 100) == fit_middle("orders", 10, 100) == "orders"


def test_text_is_shortened_at_its_end_or_in_its_middle() -> None:
    text = "staging.flights_with_weather"
    assert fit_end(text, 10, 60) == "staging.fli…"
    assert fit_middle(text, 10, 80) == "stagin…eather"


@given(TEXT, WIDTHS)
def test_what_is_shortened_fits(text: str, width: float) -> None:
    for fitted in (fit_end(text, 10, width), fit_middle(text, 10, width)):
        assert text_width(fitted, 10) <= width
        assert fitted == text or "…" in fitted


@given(TEXT)
def test_cleaned_text_is_one_line_without_control_characters(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert not any(ord(char) < 32 for char in cleaned)


def test_white_space_becomes_one_space_and_control_characters_are_replaced() -> None:
    assert clean(" a\n\tb\x00\ud800\uffff ") == "a b\ufffd\ufffd\ufffd"
