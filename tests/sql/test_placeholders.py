"""Placeholders become typed literals at their tokens and nowhere else; DuckDB itself says what a literal is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.fragments import quote_dataset, quote_identifier, quote_text
from headwater.core.values import Plain
from headwater.sql.placeholders import (
    column_before,
    fill_clock,
    fill_placeholders,
    find_placeholders,
    interval_literal,
    literal,
    replace_placeholders,
    timestamp_literal,
)


@pytest.fixture(scope="module", autouse=True)
def utc() -> None:
    duckdb.execute("SET TimeZone = 'UTC'")


def value_and_type(text: str) -> tuple[Any, str]:
    """Evaluate a literal; an instant comes as the text of its UTC time."""
    row = duckdb.execute(
        f"SELECT {text}, typeof({text})" if "TZ " not in text else f"SELECT {text}::VARCHAR, typeof({text})"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


@pytest.mark.parametrize(
    ("value", "expected", "type_text"),
    [
        (Plain("7"), 7, "INTEGER"),
        (Plain("-7"), -7, "INTEGER"),
        (Plain("+7"), 7, "INTEGER"),
        (Plain("1.10"), Decimal("1.10"), "DECIMAL(3,2)"),
        (Plain("-1.10"), Decimal("-1.10"), "DECIMAL(3,2)"),
        (Plain("1e3"), 1000.0, "DOUBLE"),
        (Plain("true"), True, "BOOLEAN"),
        (False, False, "BOOLEAN"),
        (Plain("NO"), "NO", "VARCHAR"),
        (Plain("0123"), "0123", "VARCHAR"),
        (Plain("12:30"), "12:30", "VARCHAR"),
        ("7", "7", "VARCHAR"),
        ("it's", "it's", "VARCHAR"),
        ("", "", "VARCHAR"),
        (Plain("2024-01-31"), date(2024, 1, 31), "DATE"),
        ("2024-01-31", date(2024, 1, 31), "DATE"),
        ("2024-01-31T12:30", datetime(2024, 1, 31, 12, 30), "TIMESTAMP"),
        ("2024-01-31 12:30:15.25", datetime(2024, 1, 31, 12, 30, 15, 250000), "TIMESTAMP"),
        ("2024-01-31T12:30:00Z", "2024-01-31 12:30:00+00", "TIMESTAMP WITH TIME ZONE"),
        ("2024-01-31T12:30+02:00", "2024-01-31 10:30:00+00", "TIMESTAMP WITH TIME ZONE"),
        ("2024-01-31T12:30+0200", "2024-01-31 10:30:00+00", "TIMESTAMP WITH TIME ZONE"),
        (date(2024, 1, 31), date(2024, 1, 31), "DATE"),
        (Decimal("1.50"), Decimal("1.50"), "DECIMAL(3,2)"),
        (7, 7, "INTEGER"),
        ({"value": Plain("2024-01-31"), "type": Plain("varchar")}, "2024-01-31", "VARCHAR"),
        ({"value": Plain("1.10"), "type": "varchar"}, "1.10", "VARCHAR"),
        ({"value": Plain("NO"), "type": "text"}, "NO", "VARCHAR"),
        ({"value": Plain("7"), "type": "bigint"}, 7, "BIGINT"),
        ({"value": Plain("1"), "type": "decimal(8,2)"}, Decimal("1.00"), "DECIMAL(8,2)"),
        ({"value": None, "type": "date"}, None, "DATE"),
        ([Plain("1"), Plain("2")], [1, 2], "INTEGER[]"),
        (["a", "it's"], ["a", "it's"], "VARCHAR[]"),
        ([Plain("2024-01-31")], [date(2024, 1, 31)], "DATE[]"),
        ([], [], '"NULL"[]'),
    ],
)
def test_a_value_is_a_literal_of_its_type(value: object, expected: object, type_text: str) -> None:
    assert value_and_type(literal(value)) == (expected, type_text)


def test_nothing_is_null() -> None:
    assert literal(None) == "NULL"


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1}, {"value": [1], "type": "int"}, {"value": 1, "type": "intt"}, "2024-13-01", "2024-01-31T25:00",
        float("inf"), float("nan"), object(),
    ],
)  # fmt: skip
def test_a_value_without_a_literal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        literal(value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(TEXTS)
def test_every_text_comes_back_and_stays_on_one_line(text: str) -> None:
    written = literal({"value": text, "type": "varchar"})
    assert value_and_type(written)[0] == text
    plain = literal(f"x{text}")
    assert value_and_type(plain) == (f"x{text}", "VARCHAR")
    assert "\n" not in plain
    assert "\n" not in written


@given(TEXTS.filter(bool))
def test_names_are_quoted(name: str) -> None:
    row = duckdb.execute(f"SELECT 1 AS {quote_identifier(name)}")
    assert [column[0] for column in row.description or ()] == [name]


def test_a_dataset_is_quoted_part_by_part() -> None:
    assert quote_dataset('a b.c"d') == '"a b"."c""d"'
    assert quote_dataset('a b.c"d.e') == '"a b"."c""d"."e"'


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_a_moment_comes_back(moment: datetime, offset_min: int) -> None:
    assert value_and_type(timestamp_literal(moment)) == (moment, "TIMESTAMP")
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    row = duckdb.execute(f"SELECT epoch_us({timestamp_literal(zoned)})").fetchone()
    assert row == ((zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1),)


@given(st.timedeltas(timedelta(0), timedelta(days=10_000)))
def test_a_duration_comes_back(duration: timedelta) -> None:
    assert duckdb.execute(f"SELECT {interval_literal(duration)}").fetchone() == (duration,)


# ---------------------------------------------------------------------------------------------------- where tokens are

NOISE = [
    "'$x'", "'it''s $x'", "e'\\'$x'", '"$x"', '"a""$x"', "$$ $x $$", "$tag$ $x $$ $tag$", "-- $x\n", "/* $x */",
    "/* a /* $x */ $x */", "é", "'é𐍈'", '"é"', " ", "\n", ",", "a", "1.5", "::", "->>", "(", ")", "=", "$$é$$",
]  # fmt: skip


@given(st.lists(st.sampled_from([*NOISE, "$x", "$yy"]), max_size=12))
def test_only_tokens_are_replaced(pieces: list[str]) -> None:
    """Pieces stand apart, so which of them are placeholders is known beforehand."""
    text = " ".join(pieces)
    values = {"x": "<X>", "yy": "<Y>"}
    expected = " ".join({"$x": "<X>", "$yy": "<Y>"}.get(piece, piece) for piece in pieces)
    assert replace_placeholders(text, values.get) == expected
    assert [name for _, _, name in find_placeholders(text)] == [p[1:] for p in pieces if p in ("$x", "$yy")]


@given(st.lists(st.sampled_from([*NOISE, "$x", "$yy", "MARK"]), max_size=12))
def test_columns_are_told_as_before(pieces: list[str]) -> None:
    text = " ".join(pieces)
    filled, shifts = fill_placeholders(text, {"x": "DATE '2024-01-01'", "yy": "1"}.get)

    def places(of: str) -> list[tuple[int, int]]:
        found, start = [], of.find("MARK")
        while start >= 0:
            found.append((of.count("\n", 0, start) + 1, start - of.rfind("\n", 0, start)))
            start = of.find("MARK", start + 1)
        return found

    assert [(line, column_before(shifts, line, column)) for line, column in places(filled)] == places(text)


@pytest.mark.parametrize(
    "text", ["select $a", "select ($a)", "select -$a", "select x=$a", "select [$a]", "select 1+$a;"]
)
def test_a_placeholder_may_touch_operators(text: str) -> None:
    assert replace_placeholders(text, {"a": "1"}.get) == text.replace("$a", "1")


def test_a_name_that_has_no_value_stays() -> None:
    assert replace_placeholders("select $a, $b", {"a": "1"}.get) == "select 1, $b"


def test_a_positional_parameter_and_a_dollar_in_a_name_are_none() -> None:
    assert find_placeholders("select $1, a$b") == []


def test_the_clock_is_filled_in() -> None:
    now = datetime(2024, 1, 31, 12, tzinfo=UTC)
    text = "select $now, $interval_start, $interval_end, '$now'"
    assert fill_clock(text, now) == (
        "select TIMESTAMPTZ '2024-01-31 12:00:00+00:00', $interval_start, $interval_end, '$now'"
    )
    assert fill_clock(text, now, (datetime(2024, 1, 1), datetime(2024, 1, 2))) == (
        "select TIMESTAMPTZ '2024-01-31 12:00:00+00:00', TIMESTAMP '2024-01-01 00:00:00', "
        "TIMESTAMP '2024-01-02 00:00:00', '$now'"
    )


def test_texts_are_quoted() -> None:
    assert quote_text("it's") == "'it''s'"


@pytest.mark.parametrize(
    ("value", "type_text", "expected"),
    [
        ("2026-01-01T01:30:00+02:00", "timestamp", "TIMESTAMP'2025-12-31 23:30:00'"),
        ("2026-01-01 01:30:00.25-0300", "timestamp_ms", "TIMESTAMP_MS'2026-01-01 04:30:00.25'"),
        ("2026-01-01T01:30:00Z", "timestamp", "TIMESTAMP'2026-01-01 01:30:00'"),
        ("['2026-01-01T01:30:00+02:00']", "timestamp[]", "[TIMESTAMP'2025-12-31 23:30:00']"),
        ("2026-01-01T01:30:00+02:00", "timestamptz", "TIMESTAMPTZ'2025-12-31 23:30:00+00'"),
    ],
)
def test_a_typed_time_with_an_offset_is_the_instant(value: str, type_text: str, expected: str) -> None:
    written = literal({"value": value, "type": type_text})
    assert duckdb.execute(f"SELECT {written} = {expected}, typeof({written}) = typeof({expected})").fetchone() == (
        True,
        True,
    )


def test_a_typed_value_that_no_cast_alters_stays_as_it_was_written() -> None:
    assert literal({"value": "2026-01-01T10:00:00", "type": "timestamp"}) == "CAST('2026-01-01T10:00:00' AS TIMESTAMP)"
    assert literal({"value": "1.50", "type": "decimal(9,3)"}) == "CAST('1.50' AS DECIMAL(9,3))"
    assert literal({"value": None, "type": "int"}) == "CAST(NULL AS INTEGER)"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 12345678901234567890123, -(10**38) + 1])
def test_an_integer_beyond_bigint_is_a_decimal(number: int) -> None:
    assert value_and_type(literal(Plain(number))) == (Decimal(number), "DECIMAL(38,0)")
    assert literal([Plain("1"), number]) == f"[1, CAST('{number}' AS DECIMAL(38,0))]"


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_an_integer_within_bigint_stays_as_it_was_written(number: int) -> None:
    assert literal(number).strip("()") == str(number)


@pytest.mark.parametrize("text", ["1" * 39, "-" + "1" * 39, "1." + "1" * 38, "0." + "0" * 38 + "1"])
def test_a_number_of_more_digits_than_a_decimal_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than 38 digits"):
        literal(Plain(text))
