"""Values on a page are the values of the data: every digit, and no text that is more than a text."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.consumption.dashboards.blocks import Aggregate
from headwater.consumption.dashboards.numbers import aggregate, show_number
from headwater.consumption.dashboards.parameters import Parameters, ParamSpec
from headwater.consumption.dashboards.results import ResultColumn
from headwater.core.fragments import quote_text
from headwater.core.graph import Location
from headwater.core.texts import visible
from headwater.errors import ProjectError
from tests.consumption.pages import Page, connect, make

if TYPE_CHECKING:
    from headwater.core.fragments import SelectSql

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
NASTY = st.one_of(
    TEXTS, st.text("'\"$\\`|<>&{}[]()*_~#-\n\r\t;aE\u202e\u200b\u2028", max_size=30),
    st.sampled_from(["$$", "'; drop table x; --", "<script>", "E'\\'", "$a", "{a}", "**b**", "`c`", "[x](y)", "1\n2"]),
)  # fmt: skip


def fill(value: object, sql: str, type_: str | None = None) -> SelectSql:
    errors: list[ProjectError] = []
    params = Parameters.of({"a": ParamSpec(default=value, type=type_)})
    query = params.fill_sql(sql, Location("p.md", 1), errors)
    assert errors == []
    return query


@given(NASTY)
@settings(max_examples=120, deadline=None)
def test_a_text_reaches_sql_as_it_is(value: str) -> None:
    query = fill(value, "select $a as one, '$a' as two -- $a", "varchar")
    assert duckdb.sql(query).fetchall() == [(value, "$a")]
    assert query.count("\n") == 0


@given(
    st.one_of(
        st.integers(-(10**37), 10**37),
        st.decimals(allow_nan=False, allow_infinity=False, places=6, max_value=10**20, min_value=-(10**20)),
    )
)
@settings(max_examples=80, deadline=None)
def test_a_number_reaches_sql_exactly(value: int | Decimal) -> None:
    rows = duckdb.sql(
        fill(str(value), "select $a", "decimal(38,6)" if isinstance(value, Decimal) else "hugeint")
    ).fetchall()
    assert rows == [(value,)]


@given(NASTY)
@settings(max_examples=80, deadline=None)
def test_a_parameter_is_only_a_text_on_the_page(value: str) -> None:
    text = "---\nparams: {a: {default: %s, type: varchar}}\n---\n# A $a\n\n**b** $a c | $a\n"
    quoted = '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    with TemporaryDirectory() as folder:
        page = make(text % quoted, Path(folder))
    main = re.search(r"<main>\n(.*)</main>", page.html, re.DOTALL)
    assert main
    shown = [unescape(found) for found in re.findall(r"<bdi>(.*?)</bdi>", main[1])]
    assert shown == [visible(value, one_line=True)] * 3
    rest = re.sub(r"<bdi>.*?</bdi>", "", main[1])
    assert rest == "<h1>A </h1>\n<p><strong>b</strong>  c | </p>\n"


@given(NASTY)
@settings(max_examples=80, deadline=None)
def test_a_text_of_the_data_is_only_a_text_on_the_page(value: str) -> None:
    sql = f"select {quote_text(value)} as v, 'x' as w"
    if "\n" in value or "\r" in value or "`" in value or "$" in value:
        sql = "select " + " || ".join(f"chr({ord(c)})" for c in value) + " as v, 'x' as w" if value else sql
    text = f"````````````````````````````````sql q\n{sql}\n````````````````````````````````\n\n"
    text += "```table\n{query: q, columns: v}\n```\n\n```big_number\n{query: q, value: v}\n```\n\n"
    text += '```text\n{query: q, text: "**{v}**"}\n```\n'
    with TemporaryDirectory() as folder:
        page = make(text, Path(folder))
    assert page.made.problems == ()
    wanted = visible(value, one_line=True)
    for pattern in (r"<td>(.*?)</td>", r'<div class="value">(.*?)</div>', r"<p><strong><bdi>(.*?)</bdi></strong></p>"):
        found = re.search(pattern, page.html)
        assert found, pattern
        assert "<" not in found[1]
        assert unescape(found[1]) == wanted


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, max_value=10**28, min_value=-(10**28)))
def test_grouping_keeps_every_digit(value: Decimal) -> None:
    text = format(value, "f")
    assert show_number(text).replace(",", "") == text


def test_what_is_no_plain_number_stays() -> None:
    assert [show_number(text) for text in ("NaN", "-Infinity", "1e+20", "", "-0.5", "1234", "-1234567")] == [
        "NaN", "-Infinity", "1e+20", "", "-0.5", "1,234", "-1,234,567",
    ]  # fmt: skip
    assert [show_number(text, at_least=5) for text in ("2024", "12345")] == ["2024", "12,345"]


DECIMALS = st.lists(
    st.decimals(places=4, max_value=10**30, min_value=-(10**30), allow_nan=False, allow_infinity=False), min_size=1
)


@given(DECIMALS)
def test_sums_of_decimals_are_exact(values: list[Decimal]) -> None:
    column = ResultColumn("v", "DECIMAL(38,4)")
    cells = [format(value, "f") for value in values]
    told = aggregate(cells, column, Aggregate.SUM)
    assert told is not None
    assert Fraction(told) == sum(map(Fraction, values))
    average = aggregate(cells, column, Aggregate.AVG)
    assert average is not None
    assert abs(Fraction(average) - sum(map(Fraction, values), Fraction(0)) / len(values)) <= Fraction(1, 2 * 10**6)
    assert aggregate(cells, column, Aggregate.MAX) == format(max(values), "f")


@given(st.lists(st.floats(), min_size=1), st.randoms())
def test_sums_of_doubles_do_not_depend_on_the_order(values: list[float], random: object) -> None:
    column = ResultColumn("v", "DOUBLE")
    written = [
        "NaN" if math.isnan(v) else "Infinity" if v == math.inf else "-Infinity" if v == -math.inf else repr(v)
        for v in values
    ]
    try:
        told = aggregate(written, column, Aggregate.SUM)
    except ProjectError:
        return
    random.shuffle(written)  # type: ignore[attr-defined]
    assert aggregate(written, column, Aggregate.SUM) == told


def test_aggregates_leave_nulls_out_and_none_is_null() -> None:
    column = ResultColumn("v", "BIGINT")
    cells = [None, "9223372036854775807", "9223372036854775807", None]
    assert aggregate(cells, column, Aggregate.SUM) == "18446744073709551614"
    assert aggregate(cells, column, Aggregate.COUNT) == "2"
    assert aggregate(cells, column, Aggregate.FIRST) is None
    assert aggregate([None], column, Aggregate.SUM) is None
    assert aggregate([], column, Aggregate.LAST) is None
    assert aggregate(["b", "a"], ResultColumn("v", "VARCHAR"), Aggregate.MIN) == "a"
    assert aggregate(["1", "NaN"], ResultColumn("v", "DOUBLE"), Aggregate.MAX) == "NaN"
    with pytest.raises(ProjectError, match="sum is for numbers"):
        aggregate(["b"], ResultColumn("v", "VARCHAR"), Aggregate.SUM)
    with pytest.raises(ProjectError, match="cannot be found"):
        aggregate(["0044-03-15 (BC)"], ResultColumn("v", "DATE"), Aggregate.MIN)


def number(page: Page) -> str:
    found = re.search(r'<div class="value">(.*?)</div>', page.html)
    assert found
    return unescape(re.sub("<[^>]*>", "", found[1]))


BIG = "```sql q\n%s\n```\n\n```big_number\n{query: q, value: v%s}\n```\n"


@pytest.mark.parametrize(
    ("sql", "keys", "shown"),
    [
        ("select 9007199254740993 as v", "", "9,007,199,254,740,993"),
        (
            "select 12345678901234567890123456789.123456789::decimal(38,9) as v",
            "",
            "12,345,678,901,234,567,890,123,456,789.123456789",
        ),
        (
            "select '-170141183460469231731687303715884105728'::hugeint as v",
            "",
            "-170,141,183,460,469,231,731,687,303,715,884,105,728",
        ),
        ("select 0.1::decimal(2,1) as v from range(10)", ", agg: sum", "1.0"),
        ("select 9223372036854775807 as v from range(3)", ", agg: sum", "27,670,116,110,564,327,421"),
        ("select 0.1::double as v from range(10)", ", agg: sum", "1.0"),
        ("select i as v from range(3) t(i)", ", agg: avg", "1.00"),
        ("select i as v from range(2000) t(i)", ", agg: count", "2,000"),
        ("select i as v from range(3) t(i) order by i desc", ", agg: first", "2"),
        ("select i as v from range(3) t(i) order by i desc", ", agg: last", "0"),
        ("select NULL::integer as v", "", "–"),
        ("select 1 as v where false", "", "–"),
        ("select 'nan'::double as v", "", "NaN"),
        ("select '-inf'::double as v", "", "-Infinity"),
        ("select '' as v", "", ""),
        ("select date '2026-01-31' as v", "", "2026-01-31"),
        ("select 1234.565 as v", ", format: '{:,.2f} €'", "1,234.57 €"),
        ("select 0.1234 as v", ", format: '{:.1%}'", "12.3%"),
        ("select 1234 as v", ", format: '{:f}'", "1234"),
    ],
)
def test_one_number(sql: str, keys: str, shown: str, tmp_path: Path) -> None:
    page = make(BIG % (sql, keys), tmp_path / "p")
    assert page.made.problems == ()
    assert number(page) == shown


@pytest.mark.parametrize(
    ("sql", "keys", "what"),
    [
        ("select i as v from range(2) t(i)", "", "the query gives 2 rows, and one number is shown (fix: say agg"),
        ("select 1 as w", "", "no column is named 'v' (fix: known: w)"),
        ("select 'x' as v", ", agg: sum", "v is VARCHAR: sum is for numbers"),
        ("select 'x' as v", ", format: '{:.1f}'", "the format {:.1f} is for numbers"),
        ("select 1 as v, 'x' as w", ", compare: w", "compare is for numbers; w is VARCHAR"),
        ("select i as v from range(1000001) t(i)", ", agg: sum", "more than 1,000,000 rows (fix: aggregate in SQL)"),
    ],
)
def test_no_number_where_it_would_be_a_wrong_one(sql: str, keys: str, what: str, tmp_path: Path) -> None:
    page = make(BIG % (sql, keys), tmp_path / "p")
    (told,) = page.made.problems
    assert what in told
    assert "cannot be shown" in page.html
    assert '<div class="value">' not in page.html


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("select 110.5 as v, 100 as w", "▲ +10.5 (+10.5%) against w 100"),
        ("select 90 as v, 100 as w", "▼ -10 (-10.0%) against w 100"),
        ("select 100 as v, 100 as w", "0 (+0.0%) against w 100"),
        ("select 5 as v, 0 as w", "▲ +5 against w 0"),
        ("select 5 as v, null::integer as w", "– against w –"),
    ],
)
def test_a_number_is_compared(sql: str, shown: str, tmp_path: Path) -> None:
    page = make(BIG % (sql, ", compare: w"), tmp_path / "p")
    found = re.search(r'<div class="compare ?(up|down|same|)">(.*?)</div>', page.html)
    assert found
    sign = {"up": "▲ ", "down": "▼ "}.get(found[1], "")
    assert sign + re.sub("<[^>]*>", "", found[2]) == shown


TABLE = "```sql q\n%s\n```\n\n```table\n{query: q, rows: %d}\n```\n"


def test_tables_say_how_much_they_show_and_tell_null_from_empty(tmp_path: Path) -> None:
    sql = "select i as year, NULL as n, '' as e, i * 1000.5 as d from range(2024, 3258) t(i)"
    page = make(TABLE % (sql, 3), tmp_path / "p")
    assert "3 of 1,234 rows" in page.html
    rows = re.findall("<tr>(<td.*?)</tr>", page.html)
    assert len(rows) == 3
    null = '<span class="null" aria-label="no value">–</span>'
    assert rows[0] == f'<td class="n">2024</td><td class="n">{null}</td><td></td><td class="n">2,025,012.0</td>'


def test_a_query_without_order_is_ordered(tmp_path: Path) -> None:
    con = connect()
    con.execute("SET preserve_insertion_order = false")
    sql = "select (i * 7919) % 1000003 as v from range(1000003) t(i) where i % 3 = 0"
    pages = {make(TABLE % (sql, 5), tmp_path / str(n), con).html for n in range(3)}
    (html,) = pages
    shown = [int(cell.replace(",", "")) for cell in re.findall(r'<td class="n">(.*?)</td>', html)]
    assert shown == sorted(shown)
    assert len(shown) == 5
