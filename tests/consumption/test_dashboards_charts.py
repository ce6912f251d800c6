"""Charts: what may not be declared, what would be drawn wrongly, who draws, and what of a drawing reaches the page."""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from headwater.consumption.dashboards.drawing import draw_charts
from headwater.consumption.dashboards.svg import clean_svg
from headwater.consumption.dashboards.vega import CONFIG, PALETTE, VARIABLES, escape_field
from headwater.errors import HeadwaterError, ProjectError, ProjectErrors
from tests.consumption.pages import PATH, Page, connect, declare, make

SPEC = {"mark": "bar", "encoding": {"x": {"field": "a"}}, "data": {"values": [{"a": "b"}]}}
CHART = "```sql q\n%s\n```\n\n```chart\n%s\n```\n"


def chart(sql: str, keys: str, folder: Path) -> Page:
    return make(CHART % (sql, keys), folder / "p")


def drawing(page: Page) -> str:
    assert page.made.problems == ()
    (found,) = re.findall(r"<svg.*?</svg>", page.html, re.DOTALL)
    return str(found)


def texts(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall("<text[^>]*>([^<]*)</text>", svg)]


# ------------------------------------------------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("{mark: bar, data: {url: 'file:///etc/passwd'}}", "has no 'data'"),
        ("{mark: bar, datasets: {a: []}}", "has no 'datasets'"),
        ("{layer: [{mark: bar, encoding: {href: {field: a}}}]}", "has no 'href'"),
        ("{mark: {type: bar, href: 'http://a'}}", "has no 'href'"),
        ("{mark: {type: image, url: x}}", "has no 'url'"),
        ("{mark: image}", "does not load: 'image'"),
        ("{layer: [{mark: {type: Image}}]}", "does not load: 'Image'"),
        ("{mark: bar, config: {image: {}}}", "has no 'image'"),
        ("{mark: bar, encoding: {URL: {field: a}}}", "has no 'URL'"),
        ("{mark: bar, transform: [{lookup: a, from: {data: {url: x}}}]}", "has no 'data'"),
        ("{mark: {type: bar, color: 'url(http://a/b)'}}", "does not load: 'url(http://a/b)'"),
        ("{mark: bar, encodng: {}}", "unknown word 'encodng'"),
        ("{mark: bar, encoding: {colour: {field: a}}}", "unknown channel 'colour'"),
        ("{layer: [{mark: bar, encoding: {z: {field: a}}}]}", "unknown channel 'z'"),
        ("{encoding: {x: {field: a}}}", "the spec draws nothing"),
        ("{mark: {type: bar, opacity: 1e999}}", "inf is no number of JSON"),
    ],
)
def test_a_spec_brings_no_data_and_loads_nothing(spec: str, what: str) -> None:
    with pytest.raises(ProjectError) as caught:
        declare(CHART % ("select 1 as a", f"query: q\nspec: {spec}"))
    error = caught.value.errors[0] if isinstance(caught.value, ProjectErrors) else caught.value
    assert what in str(caught.value)
    assert (error.path, error.line) == (PATH, 7)
    assert error.fix


@pytest.mark.parametrize(
    ("sql", "keys", "what"),
    [
        ("select 1 as a, 2 as b", "{query: q, mark: line, x: a, y: c}", "no column is named 'c' (fix: known: a, b)"),
        ("select 1 as a, 'x' as b", "{query: q, mark: line, x: a, y: b}", "line draws numbers; b is VARCHAR"),
        ("select 'y' as a, 'x' as b", "{query: q, mark: bar, x: a, y: b}", "bar draws numbers; b is VARCHAR"),
        ("select 1 as a, 2 as b from range(2)", "{query: q, mark: bar, x: a, y: b}", "two rows stand at x = 1"),
        ("select 1 as a, 'k' as b from range(2)", "{query: q, mark: bar, x: a, y: b}", "two rows stand at y = k"),
        ("select 1 as a, i as b from range(11) t(i)", "{query: q, mark: line, x: a, y: b, color: b}", "color has 11"),
        ("select i as a, i as b from range(5001) t(i)", "{query: q, mark: line, x: a, y: b}", "gives 5,001 rows"),
        ("select i as a, i as b, i as c from range(2501) t(i)", "{query: q, mark: line, x: a, y: [b, c]}", "2,501"),
        ("select 1 as a, 2 as b", "query: q\nspec: {mark: bar, encoding: {x: {field: A}}}", "field 'A' is no column"),
        ("select 1 as \"a.b\"", "query: q\nspec: {mark: bar, encoding: {x: {field: a.b}}}", "(fix: write 'a\\\\.b')"),
        ("select 1 as \"a\\b\"", "query: q\nspec: {mark: bar, encoding: {x: {field: 'a\\\\b'}}}", "name it without"),
        ("select 1 as a", "query: q\nspec: {mark: nothing, encoding: {x: {field: a}}}", "it was not drawn: "),
    ],
)  # fmt: skip
def test_a_wrong_drawing_is_refused(sql: str, keys: str, what: str, tmp_path: Path) -> None:
    page = chart(sql, keys, tmp_path)
    (told,) = page.made.problems
    assert told.startswith(f"{PATH}:5: chart: ")
    assert what in told
    assert "<svg" not in page.html
    assert "This chart cannot be shown." in page.html


def test_fields_that_a_transform_makes_are_known(tmp_path: Path) -> None:
    spec = "{mark: bar, transform: [{calculate: datum.a * 2, as: twice}], encoding: {x: {field: twice, type: ordinal}}}"
    assert "4" in texts(drawing(chart("select 2 as a", f"query: q\nspec: {spec}", tmp_path)))


@pytest.mark.parametrize("name", ["a.b", "a[0]", "it's", 'say "x"', "Ä ö"])
def test_a_field_of_any_name_can_be_written(name: str, tmp_path: Path) -> None:
    field = escape_field(name).replace("'", "''")
    quoted = name.replace('"', '""')
    keys = (
        f"query: q\nspec:\n  mark: bar\n  encoding: {{x: {{field: '{field}', type: nominal, axis: {{title: null}}}}}}"
    )
    assert "hello" in texts(drawing(chart(f"select 'hello' as \"{quoted}\"", keys, tmp_path)))


# -------------------------------------------------------------------------------------------------------- what is drawn


def test_the_table_beside_a_chart_is_exact_and_the_chart_says_what_it_leaves_out(tmp_path: Path) -> None:
    sql = """select * from (values (1, 12345678901234567890.12), (2, NULL), (3, 5)) t(a, b) order by a"""
    page = chart(sql, "{query: q, mark: line, x: a, y: b, title: 'T <b>'}", tmp_path)
    drawing(page)
    assert '<td class="n">12,345,678,901,234,567,890.12</td>' in page.html
    assert "1 row has a value that cannot be drawn (none, NaN or infinite)." in page.html
    assert "<figcaption>T &lt;b&gt; " in page.html
    assert 'aria-label="T &lt;b&gt;"' in page.html


def test_texts_of_data_in_a_drawing_are_texts(tmp_path: Path) -> None:
    sql = "select '<script>alert(1)</script>' as a, 1 as b union all select chr(8238) || 'x&\"', 2"
    svg = drawing(chart(sql, "{query: q, mark: bar, x: b, y: a, color: a}", tmp_path))
    assert "<script" not in svg
    assert "<script>alert(1)</script>" in texts(svg)
    assert '\\u202ex&"' in texts(svg)


def test_colours_are_variables_of_the_page(tmp_path: Path) -> None:
    sql = "select i as a, i as b, 'k' || (i % 3) as c from range(9) t(i)"
    svg = drawing(chart(sql, "{query: q, mark: line, x: a, y: b, color: c}", tmp_path))
    assert {f"var(--c{n})" for n in (1, 2, 3)} <= set(re.findall(r'"(var\(--\w+\))"', svg))
    assert not set(re.findall("#[0-9a-f]{6}", svg)) & set(VARIABLES)
    assert len(PALETTE) == len(set(PALETTE)) == 10


@pytest.mark.parametrize(
    ("first", "step", "labels"),
    [
        ("2024-01-01", "1 year", {"2024", "2025", "2026"}),
        ("2024-01-01", "1 month", {"Jan 2024", "Feb 2024", "Mar 2024"}),
        ("2024-01-30", "1 day", {"Jan 30, 2024", "Jan 31, 2024", "Feb 01, 2024"}),
    ],
)
def test_bars_of_time_are_as_wide_as_their_time(first: str, step: str, labels: set[str], tmp_path: Path) -> None:
    sql = f"select (date '{first}' + i * interval '{step}')::date as d, 5 as n from range(3) t(i) order by d"
    svg = drawing(chart(sql, "{query: q, mark: bar, x: d, y: n}", tmp_path))
    assert labels <= set(texts(svg))
    bars = [float(width) for width in re.findall(r'd="M[-0-9.]+,[-0-9.]+h([0-9.]+)v', svg)]
    assert len([width for width in bars if 200 < width < 300]) == 3


def test_times_are_drawn_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    sql = "select timestamptz '2024-01-01 00:00:00+00' + i * interval 1 hour as t, i as n from range(3) t(i) order by t"
    svg = drawing(chart(sql, "{query: q, mark: bar, x: t, y: n}", tmp_path))
    assert any("01:00" in text or "Jan 01, 2024 01:00" in text for text in texts(svg)), texts(svg)
    assert not any("Dec" in text for text in texts(svg))


@pytest.mark.parametrize(("hole", "dots"), [("i % 3 = 1", 33), ("false", 0), ("i = 1", 99)])
def test_a_value_between_gaps_is_seen(hole: str, dots: int, tmp_path: Path) -> None:
    """A line of many values has no dots, but where a line through its neighbours would not show one."""
    sql = f"select i as a, if({hole}, null, i * 1.5) as b from range(100) t(i) order by a"
    if hole == "i % 3 = 1":
        sql = "select i as a, if(i % 3 = 1, i * 1.5, null) as b from range(100) t(i) order by a"
    svg = drawing(chart(sql, "{query: q, mark: line, x: a, y: b}", tmp_path))
    assert len(re.findall(r'd="M2[.0-9]*,0A2', svg)) == dots


def test_no_rows_are_no_failure(tmp_path: Path) -> None:
    page = chart("select 1 as a, 2 as b where false", "{query: q, mark: bar, x: a, y: b}", tmp_path)
    assert page.made.problems == ()
    assert "No rows." in page.html


@pytest.mark.parametrize("mark", ["line", "area", "bar", "point"])
@pytest.mark.parametrize("rest", ["", ", color: c", ", color: c, stack: false"])
def test_every_mark_is_drawn(mark: str, rest: str, tmp_path: Path) -> None:
    sql = "select i // 2 as a, i * 1.5 as b, 'k' || (i % 2) as c from range(8) t(i)"
    if not rest:
        sql = "select i as a, i * 1.5 as b from range(8) t(i)"
    assert "<path" in drawing(chart(sql, f"{{query: q, mark: {mark}, x: a, y: b{rest}}}", tmp_path))


# ------------------------------------------------------------------------------------------------------------ who draws


def child(tmp_path: Path, body: str) -> Path:
    file = tmp_path / "child.py"
    file.write_text(f"import json, os, sys, time\nrequest = json.load(sys.stdin)\nspecs = request['specs']\n{body}")
    return file


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


def test_a_process_that_dies_costs_the_chart_at_which_it_died(tmp_path: Path) -> None:
    body = """
for spec in specs:
    if spec["n"] == 1:
        os.kill(os.getpid(), 9)
    print(json.dumps({"svg": str(spec["n"])}), flush=True)
"""
    drawn = draw_charts(numbered(4), {}, child=child(tmp_path, body))
    assert [one.svg for one in drawn] == ["0", "", "2", "3"]
    assert drawn[1].problem == "the process that draws was ended by signal 9"


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    body = """
for spec in specs:
    if spec["n"] == 1:
        time.sleep(60)
    print(json.dumps({"svg": str(spec["n"])}), flush=True)
"""
    drawn = draw_charts(numbered(3), {}, limit_s=1.5, child=child(tmp_path, body))
    assert [one.svg for one in drawn] == ["0", "", "2"]
    assert drawn[1].problem == "it was not drawn within 1.5 s"


@pytest.mark.parametrize("output", ["nonsense", "[]", '"svg"', "{", "\\xff"])
def test_an_answer_that_is_none_costs_its_chart(output: str, tmp_path: Path) -> None:
    body = f"""
for spec in specs:
    line = {output!r} if spec["n"] == 0 else json.dumps({{"svg": "x"}})
    print(line, flush=True)
"""
    drawn = draw_charts(numbered(2), {}, child=child(tmp_path, body))
    assert drawn[0].problem == "the process that draws gave no answer that can be read"
    assert drawn[1].svg == "x"


def test_a_process_that_says_nothing_says_why(tmp_path: Path) -> None:
    (drawn,) = draw_charts(numbered(1), {}, child=child(tmp_path, "raise SystemExit('out of memory')"))
    assert drawn.problem == "the process that draws ended: out of memory"
    (drawn,) = draw_charts(numbered(1), {}, child=child(tmp_path, "print(json.dumps({}))"))
    assert drawn.problem == "the drawing is empty"


def test_the_process_gets_specs_by_its_input_and_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    (drawn,) = draw_charts(
        numbered(1), {}, child=child(tmp_path, "print(json.dumps({'svg': repr((sys.argv, dict(os.environ)))}))")
    )
    assert "SECRET_OF_MINE" not in drawn.svg
    assert drawn.svg.startswith(f"(['{tmp_path}/child.py'], ")


def test_a_broken_spec_does_not_stop_the_others() -> None:
    drawn = draw_charts([SPEC, {"mark": "nothing"}, SPEC], CONFIG)
    assert [bool(one.svg) for one in drawn] == [True, False, True]
    assert drawn[0].svg == drawn[2].svg


def test_without_the_extra_the_page_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(HeadwaterError) as caught:
        chart("select 1 as a, 2 as b", "{query: q, mark: bar, x: a, y: b}", tmp_path)
    assert caught.value.fix == "pip install 'headwater[charts]'"
    assert not (tmp_path / "p" / "index.html").exists()
    assert make("# Without charts\n", tmp_path / "w", connect()).made.problems == ()


# ----------------------------------------------------------------------------------------------- what reaches the page

FRAME = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">%s</svg>'


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        "<a xlink:href='http://a'><path d='M0,0'/></a>",
        "<image xlink:href='http://a'/>",
        "<use href='#a'/>",
        "<foreignObject/>",
        "<style>*{}</style>",
        "<animate/>",
        "<path onclick='alert(1)' d='M1'/>",
        "<path ONLOAD='alert(1)' d='M1'/>",
        "<path xlink:href='http://a' d='M1'/>",
        "<path fill='url(http://a/b#c)' d='M1'/>",
        "<path fill='URL ( \"//a\" )' d='M1'/>",
        "<path fill='u\\72l(x)' d='M1'/>",
        "<path clip-path='url(a.svg#b)' d='M1'/>",
        "<!--x--><path d='M1'/>",
        "<![CDATA[x]]>",
        "<?php x?>",
        "<!DOCTYPE svg [<!ENTITY a 'b'>]>",
        "<g>" * 101 + "<path d='M1'/>" + "</g>" * 101,
        "<path",
        "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>1</x:script>",
    ],
)
def test_what_no_drawing_has_is_refused(inner: str) -> None:
    with pytest.raises(HeadwaterError):
        clean_svg(FRAME % inner, "c1-", "label")


def test_what_is_not_known_is_left_out_and_ids_are_the_page_s() -> None:
    inner = (
        "<defs><clipPath id='clip0'><rect x='1' width='2' height='3'/></clipPath></defs>"
        "<g class='a' clip-path='url(#clip0)'>"
        "<text font-family='x' style='color:red' aria-label='y'>a&lt;b</text><path d='' id='q'/></g>"
    )
    assert clean_svg(FRAME % inner, "c1-", 'a"<b') == (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="a&quot;&lt;b" width="9" height="9" '
        'viewBox="0 0 9 9"><defs><clipPath id="c1-clip0"><rect x="1" width="2" height="3"/></clipPath></defs>'
        '<g clip-path="url(#c1-clip0)"><text>a&lt;b</text></g></svg>'
    )


@pytest.mark.parametrize("text", ["", "x", "<svg/>", FRAME.replace("viewBox", "box") % "", "<html/>", "\x00"])
def test_what_is_no_drawing_is_refused(text: str) -> None:
    with pytest.raises(HeadwaterError):
        clean_svg(text, "c1-", "label")
