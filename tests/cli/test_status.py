"""Status: a failure ends when the step is fine again, warnings of checks are seen, samples show what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Call

MODEL = Path("models/m/prices.sql")
WIDE = ", ".join(f"{n} as c{n}" for n in range(12))


def declare(checks: str, query: str = "select 5 as price") -> None:
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    MODEL.write_text(f"/* headwater\nchecks: [{checks}]\n*/\n{query}\n", encoding="utf-8")


@pytest.fixture
def shop(call: Call) -> Call:
    Path("headwater.yaml").write_text("name: shop\n", encoding="utf-8")
    declare("{column: price, range: {max: 10}}")
    assert call("run").code == 0
    return call


def status(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = call("status", "--json").json["datasets"][0]
    return found


def test_a_failure_is_over_when_the_step_is_skipped_because_all_is_well(shop: Call) -> None:
    declare("{column: price, range: {max: 1}}")
    assert shop("run").code == 1
    assert (status(shop)["status"], "range(price" in status(shop)["error"]) == ("stale", True)
    declare("{column: price, range: {max: 10}}")
    assert status(shop)["status"] == "stale"
    assert "1 skipped" in shop("run").text
    assert (status(shop)["status"], status(shop)["error"]) == ("done", "")
    assert "stale" not in shop("draw", "--format", "text").text
    declare("{column: price, range: {max: 2}}")
    assert shop("run").code == 1
    assert status(shop)["status"] == "stale"


def test_a_source_that_is_well_again_is_not_stale(shop: Call) -> None:
    Path("sources").mkdir()
    Path("sources/s.yaml").write_text("kind: files\ntables: {t: {path: t.csv, columns: {id: bigint}}}\n")
    Path("t.csv").write_text("id\n1\n")
    assert shop("run").code == 0
    Path("t.csv").rename("kept")
    Path("t.csv").mkdir()
    failed = shop("run").code
    Path("t.csv").rmdir()
    Path("kept").rename("t.csv")
    assert shop("run").code == 0
    found = {row["dataset"]: row["status"] for row in shop("status", "--json").json["datasets"]}
    assert (failed, found["s.t"]) == (1, "done")


def test_a_skip_of_another_span_ends_no_failure(shop: Call) -> None:
    timed = "/* headwater\nmaterialize: incremental\ntime: d\nevery: day\nstart: 2026-01-01\nchecks: [{%s}]\n*/\n"
    query = "select unnest(range(date '2026-01-01', date '2026-01-04', interval 1 day))::date as d"
    MODEL.write_text(timed % "row_count: {max: 1}" + query, encoding="utf-8")
    assert shop("run", "--now", "2026-01-04", "--full", "m.prices").code == 1
    shop("run", "--now", "2026-01-04", "--from", "2025-01-01", "--to", "2025-01-02")
    assert status(shop)["status"] != "done"


def test_warnings_of_checks_are_in_status_and_picture(shop: Call) -> None:
    declare("{column: price, range: {max: 1}, severity: warning}, {unique: price}")
    assert shop("run").code == 0
    says = "range(price, ..1): 1 of 1 rows"
    assert status(shop)["warnings"] == [says]
    assert f"  warning: {says}" in shop("status").text
    assert f"warning: {says}" in shop("draw", "--format", "text").text
    assert "1 warning" in shop("draw").text
    assert "1 warning" in shop("draw", "--format", "html").text
    assert "1 warning" in shop("draw", "--level", "architecture").text
    assert "skipped" in shop("run").text
    assert status(shop)["warnings"] == [says]
    declare("{column: price, range: {max: 9}, severity: warning}")
    shop("run")
    assert status(shop)["warnings"] == []
    assert "warning" not in shop("draw", "--format", "text").text


@pytest.mark.parametrize(
    "check",
    ["{column: c11, range: {max: 1}}", "{column: c11, accepted_values: [1]}", "{column: c11, pattern: x}",
     '{sql: "select * from this where \\"C11\\" > 1"}', "{sql: select * from this where c0 = 0 and c11 > 1}"],
)  # fmt: skip
def test_a_sample_shows_the_column_that_is_wrong(shop: Call, check: str) -> None:
    declare(check, f"select {WIDE}")
    told = shop("run").text
    assert ", c11=11)" in told
    assert "(c0=0, c1=1" in told


def test_a_sample_of_what_is_not_null_shows_its_column(shop: Call) -> None:
    declare("{not_null: [c11]}", f"select {WIDE.replace('11 as', 'null as')}")
    assert ", c11=NULL)" in shop("run").text
