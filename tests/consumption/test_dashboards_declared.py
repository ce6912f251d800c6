"""What a dashboard's file may say, and where it is said to be wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from headwater.contracts.consumer import Consumer
from headwater.core.layers import Family
from headwater.errors import ProjectError, ProjectErrors
from tests.consumption.pages import PATH, declare

if TYPE_CHECKING:
    from collections.abc import Sequence

SQL = "```sql q\nselect 1 as a, 2 as b\n```\n\n"
REVENUE = """---
title: Revenue
params: {currency: {default: EUR}}
---
# Revenue in $currency

```sql revenue
select day, revenue from marts.daily_revenue where currency = $currency order by day
```

```big_number
{query: revenue, value: revenue, agg: sum, label: Revenue}
```

```chart
{query: revenue, mark: line, x: day, y: revenue}
```

```table
{query: revenue, rows: 20}
```
"""


def problems(text: str) -> Sequence[ProjectError]:
    with pytest.raises(ProjectError) as caught:
        declare(text)
    error = caught.value
    return (
        [one for one in error.errors if isinstance(one, ProjectError)] if isinstance(error, ProjectErrors) else [error]
    )


def problem(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, [str(one) for one in found]
    return str(found[0])


def test_a_dashboard_is_a_consumer_of_bi() -> None:
    dashboard = declare(REVENUE)
    assert isinstance(dashboard, Consumer)
    assert (dashboard.kind, dashboard.family, dashboard.files()) == ("dashboard", Family.BI, ())


def test_queries_have_literals_and_the_line_of_their_first_line() -> None:
    (query,) = declare(REVENUE).queries()
    assert (query.name, str(query.location)) == ("revenue", f"{PATH}:8")
    assert query.sql.strip().endswith("where currency = 'EUR' order by day")


def test_texts_comments_and_quoted_names_keep_their_dollars() -> None:
    text = "---\nparams: {a: {default: 7}}\n---\n```sql q\nselect $a, '$a', \"$a\", $$ $a $$ -- $a\n/* $a */\n```\n"
    (query,) = declare(text).queries()
    assert query.sql == "select 7, '$a', \"$a\", $$ $a $$ -- $a\n/* $a */\n"


@pytest.mark.parametrize(
    ("written", "literal"),
    [
        ("EUR", "'EUR'"),
        ("O'Hara", "'O''Hara'"),
        ("12", "12"),
        ("-1.50", "(-1.50)"),
        ("true", "TRUE"),
        ("null", "NULL"),
        ("2026-01-31", "DATE '2026-01-31'"),
        ("'2026-01-31 10:00'", "TIMESTAMP '2026-01-31 10:00:00'"),
        ("'007'", "'007'"),
        ('"a; drop table x"', "'a; drop table x'"),
    ],
)
def test_values_become_typed_literals(written: str, literal: str) -> None:
    (query,) = declare(f"---\nparams: {{a: {{default: {written}}}}}\n---\n```sql q\nselect $a\n```\n").queries()
    assert query.sql == f"select {literal}\n"


def test_a_type_is_kept() -> None:
    text = '---\nparams: {a: {default: 1.5, type: "decimal(9,4)"}}\n---\n```sql q\nselect $a\n```\n'
    assert declare(text).queries()[0].sql == "select CAST('1.5' AS DECIMAL(9,4))\n"


def test_line_ends_of_any_kind_count_as_one() -> None:
    for end in ("\r\n", "\r", "\n"):
        (query,) = declare(("a\n\n```sql q\nselect 1,\n\t2\n```\n").replace("\n", end)).queries()
        assert (query.sql, query.location.line) == ("select 1,\n\t2\n", 4)


def test_a_longer_fence_holds_a_shorter_one() -> None:
    (query,) = declare("````sql q\nselect '\n```sql p\n'\n````\n").queries()
    assert query.sql == "select '\n```sql p\n'\n"
    assert len(declare("~~~sql q\nselect 1\n~~~\n").queries()) == 1


def test_a_fence_in_other_code_is_code() -> None:
    assert declare("~~~~markdown\n```sql q\nselect 1\n```\n~~~~\n").queries() == ()
    assert declare("```python\nx = '$nothing'\n```\n\n`$nothing` and \\$nothing\n").queries() == ()


WRONG = [
    ("# a\n\n```sql q\nselect 1\n", "3: the block is not closed", "end it with a line that is only ```"),
    ("```sql q\nselect 1\n    ```\n", "1: the block is not closed", ""),
    ("```sql q\nselect 1\n~~~\n", "1: the block is not closed", ""),
    ("```python\nprint()\n", "1: the block is not closed", ""),
    ("```sql\nselect 1\n```\n", "1: the query has no name", "write ```sql NAME"),
    ("```sql a b\nselect 1\n```\n", "1: 'a b' is no name of a query", ""),
    ("```sql q\n\n```\n", "1: the query q is empty", "write a SELECT"),
    (SQL + "x\n\n```sql Q\nselect 2\n```\n", "7: two queries are named Q: the other is in line 1", "name one"),
    ("- a\n  ```sql q\n  select 1\n  ```\n", "2: a block stands within a list", "left margin"),
    ("> ```chart\n> {}\n> ```\n", "1: a block stands within a list", "left margin"),
    ("```bignumber\n{}\n```\n", "1: 'bignumber' is no block", "did you mean 'big_number'?"),
    ("```Charts\n{}\n```\n", "1: 'Charts' is no block", "did you mean 'chart'?"),
    ("a\n\nb ![x](http://a/b.png)\n", "3: a page shows no images", "chart"),
    ("a\nb\nsee $curency\n", "3: $curency is no parameter of this dashboard", "declare it under params"),
    ("a\n\n| x |\n|---|\n| $b |\n", "5: $b is no parameter", ""),
    ("```sql q\nselect 1,\n  $b\n```\n", "3:3: $b is no parameter", "declare it under params"),
    ("a\x00b\n", "1: the file holds a NUL character", "remove it"),
    (SQL + "```table\n{query: p}\n```\n", "5: table: no query of this page is named 'p'", ""),
    ("```table\n{query: p}\n```\n", "1: table: no query of this page is named 'p'", "write a block ```sql NAME"),
    (SQL + "```table now\n{query: q}\n```\n", "5: nothing stands behind table", "keys"),
    (SQL + "```table\n```\n", "6: a block shows a query or metrics", "write one of query and metric"),
    (SQL + "```table\nquery: q\nrow: 3\n```\n", "7:1: unknown word 'row'", "did you mean 'rows'?"),
    (SQL + "```table\nquery: q\nrows: many\n```\n", "7:1: rows", "many"),
    (SQL + "```table\n{query: q, rows: 0}\n```\n", "6:12: rows", "0"),
    (SQL + "```table\n{query: q\n```\n", "not YAML", "mend"),
    (SQL + "```table\nquery: q\nformats: {a: '%d'}\n```\n", "7:11: formats.a: '%d' is no format", ""),
    (SQL + "```big_number\n{query: q, value: a, agg: mean}\n```\n", "6:22: agg: 'mean' is not known", "known: avg"),
    (SQL + "```big_number\n{query: q, value: a, label: in $x}\n```\n", "6:22: $x is no parameter", ""),
    (SQL + "```text\n{query: q, text: in $x}\n```\n", "6:12: $x is no parameter", ""),
    (SQL + "```text\n{query: q, text: a, empty: '{a}'}\n```\n", "6:21: empty stands where there is no row", ""),
    (SQL + "```chart\n{query: q, mark: line, x: a}\n```\n", "a chart needs mark, x and y", ""),
    (SQL + "```chart\n{query: q, mark: pie, x: a, y: b}\n```\n", "6:12: mark: 'pie' is not known", "known: area, bar"),
    (SQL + "```chart\n{query: q, mark: line, x: a, y: [a, b], color: a}\n```\n", "have a colour each", ""),
    (SQL + "```chart\n{query: q, mark: rect, x: a, y: b}\n```\n", "rect needs color", ""),
    (SQL + "```chart\n{query: q, x: a, spec: {mark: bar}}\n```\n", "beside spec stands x", ""),
    ("---\nparams: {now: {default: 1}}\n---\n", "$now is the clock of a run", ""),
    ("---\nparams: {'a b': {default: 1}}\n---\n", "'a b' is no name of a parameter", ""),
    ("---\nparams: {a: {default: [1]}}\n---\n", "a parameter is one number, text, date or boolean", ""),
    ('---\nparams: {a: {default: "x\\0y"}}\n---\n', "that no SQL holds", ""),
    ("---\nparams: {a: {default: x, type: integer}}\n---\n", "x is no INTEGER", ""),
    ("---\nparams: {a: {}}\n---\n", "'default' is missing", ""),
    ("---\ntitel: x\n---\n", "2:1: unknown word 'titel'", "did you mean 'title'?"),
    ("---\ntitle: in $x\n---\n", "$x is no parameter", ""),
]


@pytest.mark.parametrize(("text", "what", "fix"), WRONG)
def test_what_is_wrong_is_said_with_its_place(text: str, what: str, fix: str) -> None:
    found = problem(text)
    assert found.startswith(f"{PATH}:")
    assert what in found
    assert fix in found


def test_several_problems_come_together_in_the_order_of_lines() -> None:
    found = problems("$a\n\n```sql q\nselect $b\n```\n\n```table\n{query: x}\n```\n\n$c\n")
    assert [error.line for error in found] == [1, 4, 7, 11]


@pytest.mark.parametrize(
    "line", ["x " * 5_000_000, "> " * 5_000_000, "[" * 10_000_000, "```sql q\n" + "a\n" * 5_000_000]
)
def test_ten_megabytes_are_refused_at_once(line: str) -> None:
    begun = time.monotonic()
    assert "a dashboard has 200,000 at most" in problem(line)
    assert time.monotonic() - begun < 2
