"""Dashboards in a run: bound at their lines, made of one set of versions, the last one kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import headwater
from headwater.core.run import Status, StepResult
from headwater.errors import ProjectErrors

Write = Callable[[dict[str, str]], Path]

PAGE = """---
title: Revenue
owner: ann
params: {currency: {default: EUR}}
---
# Revenue in $currency

```sql revenue
select day, revenue from marts.daily
where currency = $currency
order by day
```

```big_number
{query: revenue, value: revenue, agg: sum, label: Revenue}
```

```table
{query: revenue, rows: 2}
```
"""

PROJECT = {
    "models/marts/daily.sql": (
        "select date '2024-01-01' + range::integer as day, 'EUR' as currency,\n"
        "(range * 1.10)::decimal(20,2) as revenue\n"
        "from range(4)"
    ),
    "dashboards/revenue.md": PAGE,
}


def page(folder: Path) -> str:
    return (folder / "data" / "artefacts" / "dashboards" / "revenue" / "latest" / "index.html").read_text()


def result_of(loaded: headwater.LoadedProject, step: str = "dashboards.revenue") -> StepResult:
    return next(result for result in loaded.run().results if result.step == step)


def test_a_page_is_made_skipped_and_made_again(write_project: Write) -> None:
    folder = write_project(PROJECT)
    assert result_of(headwater.load(folder)).status is Status.DONE
    assert "6.60" in page(folder)
    assert "Revenue in <bdi>EUR</bdi>" in page(folder)
    assert "marts.daily" in page(folder)
    assert "<script" not in page(folder)
    assert result_of(headwater.load(folder)).status is Status.SKIPPED
    write_project({"dashboards/revenue.md": PAGE.replace("EUR}}", "USD}}")})
    assert result_of(headwater.load(folder)).status is Status.DONE
    assert "Revenue in <bdi>USD</bdi>" in page(folder)
    write_project({"models/marts/daily.sql": PROJECT["models/marts/daily.sql"].replace("'EUR'", "'USD'")})
    assert result_of(headwater.load(folder)).status is Status.DONE
    assert "6.60" in page(folder)


def test_wrong_sql_is_an_error_at_its_line(write_project: Write) -> None:
    folder = write_project({**PROJECT, "dashboards/revenue.md": PAGE.replace("where currency", "where curency")})
    with pytest.raises(ProjectErrors) as caught:
        headwater.load(folder).check()
    (error,) = caught.value.errors
    assert (error.path, error.line) == ("dashboards/revenue.md", 10)
    assert "currency" in str(error)


def test_wrong_words_and_parameters_are_errors_at_their_lines(write_project: Write) -> None:
    text = PAGE.replace("agg: sum", "ag: sum").replace("where currency = $currency", "where currency = $curency")
    with pytest.raises(ProjectErrors) as caught:
        headwater.load(write_project({**PROJECT, "dashboards/revenue.md": text}))
    told = [(error.line, str(error)) for error in caught.value.errors]
    assert [line for line, _ in told] == [10, 15]
    assert "did you mean 'currency'" in told[0][1] or "currency" in told[0][1]
    assert "agg" in told[1][1]


def test_a_block_that_fails_shows_it_in_its_place_and_fails_the_step(write_project: Write) -> None:
    broken = PAGE.replace(
        "```big_number", "```sql broken\nselect error('no luck') as x from marts.daily\n```\n\n```big_number", 1
    ).replace("```table\n{query: revenue", "```table\n{query: broken", 1)
    folder = write_project({**PROJECT, "dashboards/revenue.md": broken})
    for _ in range(2):
        failed = result_of(headwater.load(folder))
        assert failed.status is Status.FAILED
        assert "dashboards/revenue.md:15" in failed.error
        assert "6.60" in page(folder)
        assert "no luck" in page(folder)
    write_project({"dashboards/revenue.md": PAGE})
    assert result_of(headwater.load(folder)).status is Status.DONE


def test_a_failed_input_leaves_the_last_page(write_project: Write) -> None:
    folder = write_project(PROJECT)
    headwater.load(folder).run()
    before = page(folder)
    checked = "/* headwater\nchecks:\n  - row_count: {min: 100}\n*/\n"
    write_project({"models/marts/daily.sql": checked + PROJECT["models/marts/daily.sql"].replace("1.10", "2.20")})
    assert result_of(headwater.load(folder)).status is Status.BLOCKED
    assert page(folder) == before


def test_all_blocks_are_of_one_version(write_project: Write) -> None:
    """Two queries of a page agree, though the table is written again and again."""
    again = "```sql again\nselect sum(revenue) as s from marts.daily\n```\n\n"
    two = PAGE.replace("```big_number", f"{again}```big_number", 1)
    two += "\n```big_number\n{query: again, value: s, label: Again}\n```\n"
    folder = write_project({**PROJECT, "dashboards/revenue.md": two})
    assert result_of(headwater.load(folder)).status is Status.DONE
    assert len(re.findall(r"6\.60", page(folder))) >= 2


def test_a_dashboard_in_a_domain(write_project: Write) -> None:
    moved = {f"domains/shop/{name}": text for name, text in PROJECT.items()}
    folder = write_project(moved)
    loaded = headwater.load(folder)
    assert result_of(loaded, "shop.dashboards.revenue").status is Status.DONE
    place = folder / "data" / "artefacts" / "shop__dashboards" / "revenue" / "latest" / "index.html"
    assert "6.60" in place.read_text()
    assert loaded.lineage().datasets["shop.dashboards.revenue"].column("revenue.revenue").leaves == (  # type: ignore[union-attr]
        ("shop.marts.daily", "revenue"),
    )


@pytest.mark.parametrize("by_view", [False, True])
def test_a_page_that_asks_for_the_day_is_never_skipped(write_project: Write, by_view: bool) -> None:
    """ "The last seven days" would else be those before the last change of the data."""
    view = "/* headwater\nmaterialize: view\n*/\nselect *, current_date as today from marts.daily"
    query = (
        "select day, revenue, today from marts.seen" if by_view else "select day, revenue, now() as t from marts.daily"
    )
    text = PAGE.replace("select day, revenue from marts.daily", query)
    folder = write_project({**PROJECT, "models/marts/seen.sql": view, "dashboards/revenue.md": text})
    assert result_of(headwater.load(folder)).status is Status.DONE
    again = result_of(headwater.load(folder))
    assert again.status in (Status.DONE, Status.UNCHANGED)
    assert "calls" in again.reason


NAMING = """```sql q
select day, revenue as "Total" from marts.daily
```

```big_number
{query: q, value: %s, agg: sum, compare: total}
```

```table
{query: q, columns: [day, %s], labels: {DAY: on}}
```

```chart
{query: q, mark: bar, x: day, y: %s}
```

```chart
{query: q, spec: {mark: bar, encoding: {x: {field: "%s"}}}}
```

```text
{query: q, text: "{day} {%s:,.2f}", empty: none}
```
"""


def test_check_sees_every_column_that_a_block_names(write_project: Write) -> None:
    lines = {"big_number": 5, "table": 9, "chart": 13, "spec": 17, "text": 21}
    for place, line in enumerate(lines.values()):
        names = ["Total"] * 5
        names[place] = "revenue"
        loaded = headwater.load(write_project({**PROJECT, "dashboards/revenue.md": NAMING % tuple(names)}))
        with pytest.raises(ProjectErrors) as told:
            loaded.check()
        (error,) = told.value.errors
        assert str(error).startswith(f"dashboards/revenue.md:{line}: ")
        assert "revenue" in str(error)
    headwater.load(write_project({**PROJECT, "dashboards/revenue.md": NAMING % (("Total",) * 5)})).check()
