"""The page as a whole: what fails stays in its place, the rest stands, and nothing is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser

from headwater.consumption.dashboards import making
from headwater.consumption.dashboards.page import POLICY
from headwater.consumption.dashboards.results import run_query
from headwater.core.fragments import SelectSql
from headwater.errors import HeadwaterError
from tests.consumption.pages import PATH, connect, declare, make
from tests.consumption.test_dashboards_declared import REVENUE
from tests.diagram.browser import open_browser, visit

FAILING = """# Page

```sql good
select day, revenue from marts.daily_revenue where currency = 'EUR' order by day
```

```sql bad

select cast(currency as integer) as x
from marts.daily_revenue
```

```table
{query: good, rows: 2}
```

```table
{query: bad}
```

```big_number
{query: bad, value: x, agg: sum}
```

```big_number
{query: good, value: revenue, agg: sum}
```
"""

SIX = "# Six\n\n" + "".join(
    f"""```sql q{n}
select day, currency, revenue, orders from marts.daily_revenue order by day, currency
```

```chart
{{query: q{n}, mark: {mark}, x: {x}, y: revenue, color: currency}}
```

"""
    for n, (mark, x) in enumerate([("line", "day"), ("area", "day"), ("bar", "day"), ("point", "orders")] * 2)
    if n < 6
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def test_the_shop_s_page(tmp_path: Path) -> None:
    page = make(REVENUE, tmp_path / "p")
    assert page.made.problems == ()
    assert page.made.rows == 60
    assert page.made.details == {
        "title": "Revenue", "queries": {"revenue": 60}, "charts": 1, "bytes": len(page.html.encode()),
    }  # fmt: skip
    total = connect().sql("SELECT sum(revenue) FROM marts.daily_revenue WHERE currency = 'EUR'").fetchall()[0][0]
    assert f'<div class="value">{total:,}</div>' in page.html
    assert "<h1>Revenue in <bdi>EUR</bdi></h1>" in page.html
    assert page.html.count("<h1>") == 1
    assert "20 of 60 rows" in page.html
    assert "<p>Data: marts.daily_revenue version 7</p>" in page.html
    assert "made 2026-03-01 06:30:00 UTC" in page.html
    assert [file.name for file in (tmp_path / "p").iterdir()] == ["index.html"]


def test_the_same_data_are_the_same_bytes(tmp_path: Path) -> None:
    assert make(REVENUE, tmp_path / "a").html == make(REVENUE, tmp_path / "b").html


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_query_that_fails_stays_in_its_place(in_transaction: bool, tmp_path: Path) -> None:
    con = connect()
    if in_transaction:
        con.begin()
    page = make(FAILING, tmp_path / "p", con)
    where = f"{PATH}:9:8"
    assert [problem.partition(": SQL")[0] for problem in page.made.problems] == [
        f"{where}: table in line 17",
        f"{where}: big_number in line 21",
    ]
    assert all("Could not convert string 'EUR'" in problem for problem in page.made.problems)
    assert page.html.count("cannot be shown.</strong>") == 2
    assert "2 of 60 rows" in page.html
    assert page.html.count('<div class="value">') == 1
    assert page.html.index("2 of 60 rows") < page.html.index("cannot be shown") < page.html.index('class="value"')
    if in_transaction:
        con.commit()


def test_after_a_failed_query_all_is_read_in_one_transaction(tmp_path: Path) -> None:
    """What was read before it failed is read again: DuckDB has given that transaction up."""
    con = connect()
    other = con.cursor()
    con.begin()
    text = FAILING.replace("select cast(currency as integer)", "select error('x')")
    asked: list[str] = []

    def run(connection: duckdb.DuckDBPyConnection, sql: SelectSql, wanted: Any) -> Any:
        if not asked:
            answer = run_query(connection, sql, wanted)
            other.execute("DELETE FROM marts.daily_revenue WHERE day > '2026-01-10'")
        asked.append(sql)
        return run_query(connection, sql, wanted) if len(asked) > 1 else answer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(making, "run_query", run)
        page = make(text, tmp_path / "p", con)
    assert "2 of 10 rows" in page.html
    left = con.sql("SELECT sum(revenue) FROM marts.daily_revenue WHERE currency = 'EUR'").fetchall()[0][0]
    assert f'<div class="value">{left:,}</div>' in page.html


def test_a_query_that_was_not_bound_is_a_problem(tmp_path: Path) -> None:
    page = make(FAILING, tmp_path / "p", queries={})
    assert len(page.made.problems) == 4
    assert all("the query was not bound" in problem for problem in page.made.problems)
    assert page.made.rows == 0


def test_the_bound_query_is_run_not_the_declared_one(tmp_path: Path) -> None:
    text = "```sql q\nselect 1 as a\n```\n\n```table\n{query: q}\n```\n"
    page = make(text, tmp_path / "p", queries={"q": SelectSql("select 42 as a")})
    assert '<td class="n">42</td>' in page.html


def test_what_is_not_one_select_is_not_run(tmp_path: Path) -> None:
    con = connect()
    sql = "select 1) as a; drop table marts.daily_revenue; select * from (select 2"
    text = f"```sql q\n{sql}\n```\n\n```table\n{{query: q}}\n```\n"
    page = make(text, tmp_path / "p", con)
    assert "it is not one SELECT" in page.made.problems[0]
    assert con.sql("SELECT count(*) FROM marts.daily_revenue").fetchall() == [(120,)]


def test_a_query_that_nobody_shows_is_not_run(tmp_path: Path) -> None:
    page = make("```sql q\nselect error('x')\n```\n", tmp_path / "p")
    assert (page.made.problems, page.made.rows) == ((), 0)


def test_a_page_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    text = "```sql q\nselect repeat('x', 6000) as v from range(2000)\n```\n\n```table\n{query: q, rows: 2000}\n```\n"
    with pytest.raises(HeadwaterError, match="the page would have 12,0") as caught:
        make(text, tmp_path / "p")
    assert caught.value.fix
    assert not (tmp_path / "p" / "index.html").exists()


def test_prose_is_text_and_links_lead_to_the_web_only(tmp_path: Path) -> None:
    text = (
        "<script>alert(1)</script> <b onclick=x>b</b>\n\n<div>\n\n[a](https://a.example/?b=c&d) [r](other.html#x) "
        "[m](mailto:a@b.example) [j](javascript:alert(1)) [J](JaVaScRiPt&#58;alert) [d](data:text/html,x) "
        "[f](file:///etc) [v](vbscript:x) [p](//evil.example) [s](\\\\\\\\evil) <javascript:alert> [q](x:y)\n\n"
        '[t](https://t.example "a\\"><script>")\n\n```html\n<script>\n```\n'
    )
    html = make(text, tmp_path / "p").html
    assert re.findall(r'href="([^"]*)"', html) == [
        "https://a.example/?b=c&amp;d", "other.html#x", "mailto:a@b.example", "%5C%5Cevil", "https://t.example",
    ]  # fmt: skip
    assert "<script" not in html
    assert "<b " not in html
    assert html.count("<div>") == 0
    assert 'title="a&quot;&gt;&lt;script&gt;"' in html


def test_the_head_is_text(tmp_path: Path) -> None:
    text = '---\ntitle: "<i>$a</i>"\ndescription: "</style><script>"\nowner: "<o>"\n'
    text += 'params: {a: {default: "<b>"}}\n---\nx\n'
    page = make(text, tmp_path / "p", versions={"a.<b>": 3})
    assert "<title>&lt;i&gt;&lt;b&gt;&lt;/i&gt;</title>" in page.html
    assert "<h1>&lt;i&gt;&lt;b&gt;&lt;/i&gt;</h1>" in page.html
    assert "<script" not in page.html
    assert "a.&lt;b&gt; version 3" in page.html


def test_the_time_is_said_in_utc(tmp_path: Path) -> None:
    now = datetime.fromisoformat("2026-03-01T00:30:00+05:00")
    assert "made 2026-02-28 19:30:00 UTC" in make("x\n", tmp_path / "p", now=now).html
    assert datetime(2026, 1, 1, tzinfo=UTC).isoformat() not in make("x\n", tmp_path / "q").html


def test_a_sentence_has_the_values_of_its_row(tmp_path: Path) -> None:
    text = "```sql q\n%s\n```\n\n```text\n"
    text += '{query: q, text: "**{v}** and {v:,.1f} of \\\\{v} in {w}", empty: "None *yet*"}\n```\n'
    page = make(text % "select 1234.56 as v, NULL as w", tmp_path / "a")
    assert "<p><strong><bdi>1,234.56</bdi></strong> and <bdi>1,234.6</bdi> of {v} in <bdi>–</bdi></p>" in page.html
    assert "<p>None <em>yet</em></p>" in make(text % "select 1 as v, 2 as w where false", tmp_path / "b").html
    page = make(text % "select 1 as v, 2 as w from range(2)", tmp_path / "c")
    assert "the query gives 2 rows; a text is made of one" in page.made.problems[0]
    page = make(text % "select 1 as u, 2 as w", tmp_path / "d")
    assert "no column is named 'v'" in page.made.problems[0]


def test_six_charts_are_small(tmp_path: Path) -> None:
    page = make(SIX, tmp_path / "p")
    assert page.html.count("<svg") == 6
    assert len(page.html.encode()) <= 200_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_asks_for_nothing_and_complains_of_nothing(scheme: str, browser: Browser, tmp_path: Path) -> None:
    make(SIX + FAILING.partition("\n")[2], tmp_path / "p")
    seen = visit(browser, tmp_path / "p" / "index.html", color_scheme=scheme, java_script_enabled=True)
    assert seen.requests == [(tmp_path / "p" / "index.html").as_uri()]
    assert seen.complaints == []
    policy = seen.page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert policy == POLICY
    assert seen.page.locator("script, link, iframe, img, object").count() == 0
    assert seen.page.locator("svg[role=img][aria-label]").count() == 6
    assert seen.page.locator("table caption").count() == seen.page.locator("table").count()
    ink, ground = (
        seen.page.evaluate(f"getComputedStyle(document.documentElement).{name}")
        for name in ("color", "backgroundColor")
    )
    line = seen.page.evaluate("getComputedStyle(document.querySelector('svg path[stroke^=var]')).stroke")
    channels = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, ground, line)]
    assert (channels[0] < channels[1]) is (scheme == "light")
    assert abs(channels[2] - channels[1]) > 60
    seen.page.close()


def test_a_page_is_no_wider_than_a_phone(browser: Browser, tmp_path: Path) -> None:
    text = REVENUE + "\n```sql wide\nselect repeat('wide ', 99) as a, " + ", ".join(f"'{n}' as c{n}" for n in range(40))
    make(text + "\n```\n\n```table\n{query: wide}\n```\n", tmp_path / "p")
    seen = visit(browser, tmp_path / "p" / "index.html", viewport={"width": 380, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 380
    seen.page.close()


def test_the_title_is_the_file_s_name_without_one() -> None:
    assert declare("x\n", "dashboards.sales").queries() == ()
