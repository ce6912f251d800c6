"""Ports: published with their contract or not at all, read by everybody, kept when a check fails, compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

import headwater
from headwater.cli import group
from headwater.core.run import Run, Status, StepResult
from headwater.errors import HeadwaterError, PlanError, ProjectErrors, StateError
from headwater.plan.ports import read_published

Write = Callable[[dict[str, str]], Path]

PRODUCT = """kind: product
owner: sales@example.com
description: Revenue per day.
ports:
  daily:
    version: 1.0.0
    from: marts.daily
    columns:
      day: {type: date, required: true}
      currency: {type: varchar, required: true}
      revenue: {type: "decimal(20,2)"}
    checks: [{unique: [day, currency]}, {range: {min: 0}, column: revenue}]
    sla: {freshness: 26h}
"""

DAILY = (
    "select date '2024-01-01' + range::integer as day, 'EUR' as currency, (range * 1.10)::decimal(20,2) as revenue\n"
    "from range(4)"
)

PROJECT = {
    "models/marts/daily.sql": DAILY,
    "products/revenue.yaml": PRODUCT,
    "domains/marketing/models/reports/weekly.sql": (
        "/* headwater\nowner: bob\n*/\n"
        "select date_trunc('week', day) as week, sum(revenue) as revenue from main.daily_v1 group by all"
    ),
}


@pytest.fixture
def load(write_project: Write) -> Callable[..., headwater.LoadedProject]:
    def make(**changed: str) -> headwater.LoadedProject:
        return headwater.load(write_project({**PROJECT, **changed}))

    return make


def results(run: Run) -> dict[str, StepResult]:
    return {result.step: result for result in run.results}


def rows(loaded: headwater.LoadedProject, sql: str) -> list[dict[str, object]]:
    return loaded.query(sql).to_pylist()


def test_a_port_is_published_and_read_by_another_domain(load: Callable[..., headwater.LoadedProject]) -> None:
    loaded = load()
    run = loaded.run()
    assert run.status is Status.DONE, [one.error for one in run.results]
    assert results(run)["main.daily_v1/publish"].rows == 4
    assert rows(loaded, "select sum(revenue)::varchar as s from marketing.reports.weekly") == [{"s": "6.60"}]
    assert rows(loaded, "select count(*) as n from main.daily_v1") == [{"n": 4}]
    place = Path(loaded.project.root, "data", "mesh", "main", "daily_v1")
    assert DeltaTable(str(place)).to_pyarrow_table().num_rows == 4
    assert {one.status for one in loaded.run().results} == {Status.SKIPPED}
    kept = loaded.states()["main.daily_v1"].position["contract"]
    assert (kept["version"], kept["owner"]) == ("1.0.0", "sales@example.com")
    assert loaded.lineage().upstream("marketing.reports.weekly", "revenue") == (("main.daily_v1", "revenue"),)
    assert loaded.lineage().upstream("main.daily_v1", "revenue") == (("marts.daily", "revenue"),)


def test_a_port_of_a_domain_is_read_by_the_root_and_others(load: Callable[..., headwater.LoadedProject]) -> None:
    moved = {f"domains/sales/{name}": PROJECT[name] for name in ("models/marts/daily.sql", "products/revenue.yaml")}
    loaded = load(
        **moved,
        **{
            "models/marts/total.sql": "select sum(revenue) as s from sales.daily_v1",
            "domains/marketing/models/reports/total.sql": "select count(*) as n from sales.daily_v1",
            "domains/sales/models/marts/again.sql": (
                "select count(*) as n from sales.daily_v1 join marts.daily using (day)"
            ),
        },
    )
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "select s::varchar as s, a.n, t.n as m from marts.total, marketing.reports.total as t, "
                "sales.marts.again as a") == [{"s": "6.60", "n": 4, "m": 4}]  # fmt: skip
    assert Path(loaded.project.root, "data", "mesh", "sales", "daily_v1").is_dir()


def test_a_failed_check_publishes_nothing_and_keeps_the_rows_that_broke_it(
    load: Callable[..., headwater.LoadedProject],
) -> None:
    load().run()
    loaded = load(**{"models/marts/daily.sql": DAILY.replace("range * 1.10", "(range - 1) * 1.10")})
    run = loaded.run()
    failed = results(run)["main.daily_v1/publish"]
    assert failed.status is Status.FAILED
    assert "range" in failed.error
    assert results(run)["marketing.reports.weekly/transform"].status is Status.BLOCKED
    assert rows(loaded, "select sum(revenue)::varchar as s from main.daily_v1") == [{"s": "6.60"}]
    kept, refused = loaded.rejects("main.daily_v1")
    assert refused
    (only,) = kept.to_pylist()
    assert json.loads(only["raw"]) == {"day": "2024-01-01", "currency": "EUR", "revenue": -1.1}
    assert "range" in only["rule"]
    assert load().run().status is Status.DONE
    assert loaded.rejects("main.daily_v1")[0].num_rows == 0


def test_a_hidden_column_is_in_no_report(load: Callable[..., headwater.LoadedProject]) -> None:
    secret = PRODUCT.replace("currency: {type: varchar", "currency: {type: varchar, hidden: true")
    secret = secret.replace("{unique: [day, currency]}", "{accepted_values: [USD], column: currency}")
    loaded = load(**{"products/revenue.yaml": secret})
    failed = results(loaded.run())["main.daily_v1/publish"]
    assert failed.status is Status.FAILED
    assert "EUR" not in failed.error
    assert "EUR" not in json.dumps(loaded.rejects("main.daily_v1")[0].select(["raw", "reason", "rule"]).to_pylist())
    assert loaded.rejects("main.daily_v1")[0].num_rows == 4


def test_a_check_that_fails_on_a_hidden_value_does_not_show_it(load: Callable[..., headwater.LoadedProject]) -> None:
    secret = PRODUCT.replace("currency: {type: varchar", "currency: {type: varchar, hidden: true")
    check = '{sql: "select * from this where cast(currency as integer) = 1"}'
    loaded = load(**{"products/revenue.yaml": secret.replace("{unique: [day, currency]}", check)})
    failed = results(loaded.run())["main.daily_v1/publish"]
    assert failed.status is Status.FAILED
    assert "withheld" in failed.error
    assert "EUR" not in failed.error
    journal = Path(loaded.project.root, ".headwater", "journal.db")
    assert not any(b"EUR" in path.read_bytes() for path in journal.parent.glob("journal*"))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"decimal(20,2)"', "double", "column revenue is DECIMAL(20,2), promised as DOUBLE"),
        ("      currency: {type: varchar, required: true}\n", "", "marts.daily has currency, which is not promised"),
        ('"decimal(20,2)"}', '"decimal(20,2)"}\n      more: {type: varchar}', "more"),
        ("day: {type: date", "day: {type: integer", "bigint"),
    ],
)  # fmt: skip
def test_what_the_dataset_does_not_give_is_told_before_anything_runs(
    load: Callable[..., headwater.LoadedProject], before: str, after: str, told: str
) -> None:
    checks = PRODUCT.replace("    checks: [{unique: [day, currency]}, {range: {min: 0}, column: revenue}]\n", "")
    with pytest.raises(HeadwaterError) as caught:
        load(**{"products/revenue.yaml": checks.replace(before, after)}).check()
    assert told in str(caught.value)
    assert "products/revenue.yaml" in str(caught.value)


def test_columns_that_are_not_promised_pass_unseen(load: Callable[..., headwater.LoadedProject]) -> None:
    product = PRODUCT.replace("    checks:", "    strict: false\n    checks:")
    more = DAILY.replace(" as revenue", " as revenue, 1 as more")
    loaded = load(**{"models/marts/daily.sql": more, "products/revenue.yaml": product})
    assert loaded.run().status is Status.DONE
    assert loaded.query("from main.daily_v1").column_names == ["day", "currency", "revenue"]


@pytest.mark.parametrize(
    ("before", "after", "told", "hit"),
    [
        ('      revenue: {type: "decimal(20,2)"}\n', "", "column revenue is gone", "weekly.revenue (value, bob)"),
        ('"decimal(20,2)"', '"decimal(20,3)"', "revenue was DECIMAL(20,2) and is DECIMAL(20,3)", "weekly.revenue"),
        ("day: {type: date, required: true}", "day: {type: date}", "day was required and may hold NULL", "weekly.week"),
        ("{min: 0}", "{min: -1}", "revenue", "weekly.revenue"),
        ("freshness: 26h", "freshness: 48h", "freshness", ""),
        ("    sla: {freshness: 26h}\n", "", "freshness", ""),
    ],
)  # fmt: skip
def test_a_broken_promise_is_refused_and_names_who_reads_it(
    load: Callable[..., headwater.LoadedProject], before: str, after: str, told: str, hit: str
) -> None:
    load().run()
    text = PRODUCT.replace(before, after)
    if "revenue:" not in text:
        text = text.replace(", {range: {min: 0}, column: revenue}", "")
    model = DAILY.replace("decimal(20,2)", "decimal(20,3)") if "20,3" in after else DAILY
    model = model if "revenue:" in text else DAILY.replace(", (range * 1.10)::decimal(20,2) as revenue", "")
    loaded = load(**{"products/revenue.yaml": text, "models/marts/daily.sql": model})
    for act in (loaded.plan, loaded.run):
        with pytest.raises(PlanError) as caught:
            act()
        assert told in str(caught.value)
        assert hit in str(caught.value)
        assert "_v<major>" in str(caught.value)
    assert rows(load(), "select count(*) as n from main.daily_v1") == [{"n": 4}]


def test_a_new_major_stands_beside_the_old_one_which_retires(
    load: Callable[..., headwater.LoadedProject], write_project: Write
) -> None:
    load().run()
    old, new = PRODUCT.split("  daily:\n")[1], PRODUCT.split("  daily:\n")[1].replace("1.0.0", "2.0.0")
    head = PRODUCT.split("  daily:\n")[0]
    both = f"{head}  daily_v1:\n{old}  daily_v2:\n{new.replace('26h', '48h')}"
    loaded = load(**{"products/revenue.yaml": both})
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "select count(*) as n from main.daily_v2") == [{"n": 4}]
    weekly = PROJECT["domains/marketing/models/reports/weekly.sql"].replace("daily_v1", "daily_v2")
    gone = {
        "products/revenue.yaml": f"{head}  daily_v2:\n{new.replace('26h', '48h')}",
        "domains/marketing/models/reports/weekly.sql": weekly,
    }
    loaded = load(**gone)
    with pytest.raises(PlanError, match="major 1 was published and only 2 is declared"):
        loaded.run()
    loaded.plan(retire=["main.daily_v1"])
    with pytest.raises(PlanError, match=r"no port that is declared no longer is named main\.dayly_v1"):
        loaded.reset([], retire=["main.dayly_v1"])
    with pytest.raises(PlanError, match="is declared: it cannot be retired"):
        loaded.reset([], retire=["main.daily_v2"])
    loaded.reset([], retire=["main.daily_v1"])
    assert loaded.run().status is Status.DONE
    assert not [one for one in loaded.plan().orphans if one.dataset == "main.daily_v1"]


def test_a_changed_contract_is_recorded_without_new_rows(load: Callable[..., headwater.LoadedProject]) -> None:
    load().run()
    loaded = load(**{"products/revenue.yaml": PRODUCT.replace("1.0.0", "1.1.0").replace("26h", "20h")})
    done = results(loaded.run())["main.daily_v1/publish"]
    assert (done.status, done.version) == (Status.UNCHANGED, 1)
    state = loaded.states()["main.daily_v1"]
    assert state.position["contract"]["version"] == "1.1.0"
    assert {one.status for one in loaded.run().results} == {Status.SKIPPED}


def test_what_is_promised_of_time_is_told_when_it_is_late(load: Callable[..., headwater.LoadedProject]) -> None:
    late = PRODUCT.replace("{freshness: 26h}", "{freshness: {column: day, max: 2d}, frequency: 1d}")
    loaded = load(**{"products/revenue.yaml": late})
    texts: list[str] = []
    listen = [lambda event: texts.append(str(event.data.get("text", "")))]
    loaded.run(now=datetime(2024, 1, 5, 12, tzinfo=UTC), listeners=listen)
    assert not [text for text in texts if "promised" in text]
    loaded.run(now=datetime(2024, 1, 7, tzinfo=UTC), listeners=listen)
    told = [text for text in texts if "promised" in text]
    assert told == [
        "main.daily_v1: freshness: the newest day is 3d old, promised 2d",
        "main.daily_v1: frequency: published 36h ago, promised 1d",
    ]
    status = CliRunner().invoke(group, ["-p", loaded.project.root, "status", "--json"])
    about = {one["dataset"]: one for one in json.loads(status.output)["datasets"]}
    assert any("freshness" in warning for warning in about["main.daily_v1"]["warnings"])


def test_the_contract_is_exported(load: Callable[..., headwater.LoadedProject], tmp_path: Path) -> None:
    loaded = load()
    done = CliRunner().invoke(group, ["-p", loaded.project.root, "contract", "export", "main.daily_v1"])
    assert done.exit_code == 0
    assert "kind: DataContract" in done.output
    assert "apiVersion: v3.1.0" in done.output
    target = tmp_path / "contract.yaml"
    CliRunner().invoke(group, ["-p", loaded.project.root, "contract", "export", "main.daily_v1", "-o", str(target)])
    assert target.read_text().strip() == done.output.strip()
    wrong = CliRunner().invoke(group, ["-p", loaded.project.root, "contract", "export", "main.daily_v2"])
    assert "did you mean 'main.daily_v1'" in str(wrong.exception)


def test_a_port_cannot_have_the_name_of_a_dataset_or_read_itself(load: Callable[..., headwater.LoadedProject]) -> None:
    with pytest.raises(ProjectErrors, match=r"has the name of main\.daily_v1"):
        load(**{"models/daily_v1.sql": "select 1 as a"})
    with pytest.raises(ProjectErrors, match="a cycle"):
        load(**{"models/marts/daily.sql": "select day, currency, revenue from main.daily_v1"})


def test_on_an_empty_environment_the_exported_contract_counts(load: Callable[..., headwater.LoadedProject]) -> None:
    loaded = load()
    done = CliRunner().invoke(group, ["-p", loaded.project.root, "contract", "export", "main.daily_v1"])
    beside = {"products/daily.odcs.yaml": done.output}
    assert not load(**beside).plan().breaks
    widened = load(**beside, **{"products/revenue.yaml": PRODUCT.replace("{min: 0}", "{min: -1}")})
    with pytest.raises(PlanError, match="revenue"):
        widened.plan()
    assert load(**beside).run().status is Status.DONE


def test_a_contract_is_looked_at_again_when_what_its_checks_look_into_changes(
    load: Callable[..., headwater.LoadedProject],
) -> None:
    known = "select unnest(['EUR', 'USD']) as code"
    product = PRODUCT.replace(
        "checks: [", "checks: [{relationship: {to: marts.known, field: code}, column: currency}, "
    )
    loaded = load(**{"models/marts/known.sql": known, "products/revenue.yaml": product})
    assert loaded.run().status is Status.DONE
    assert {one.status for one in loaded.run().results} == {Status.SKIPPED}
    loaded = load(**{"models/marts/known.sql": known.replace("'EUR', ", ""), "products/revenue.yaml": product})
    failed = results(loaded.run())["main.daily_v1/publish"]
    assert failed.status is Status.FAILED
    assert "marts.known" in failed.error


def test_a_relationship_is_looked_at_again_when_its_target_changes(
    load: Callable[..., headwater.LoadedProject],
) -> None:
    """Of a model, too: its rows stay, and the check is evaluated on them."""
    known = "select unnest(['EUR', 'USD']) as code"
    header = "/* headwater\nchecks: [{relationship: {to: marts.known, field: code}, column: currency}]\n*/\n"
    files = {"models/marts/known.sql": known, "models/marts/daily.sql": header + DAILY}
    loaded = load(**files)
    assert loaded.run().status is Status.DONE
    assert {one.status for one in loaded.run().results} == {Status.SKIPPED}
    added = load(**{**files, "models/marts/known.sql": known.replace("'USD'", "'USD', 'CHF'")})
    checked = results(added.run())["marts.daily/transform"]
    assert (checked.status, checked.version) == (Status.UNCHANGED, 1)
    assert "its checks look into marts.known" in checked.reason
    gone = load(**{**files, "models/marts/known.sql": known.replace("'EUR', ", "")})
    assert results(gone.run())["marts.daily/transform"].status is Status.FAILED
    assert results(gone.run())["marts.daily/transform"].status is Status.FAILED


def test_a_column_that_is_not_there_is_told_at_the_port(load: Callable[..., headwater.LoadedProject]) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load(
            **{"products/revenue.yaml": PRODUCT.replace("      currency:", "      zz: varchar\n      currency:")}
        ).check()
    (error,) = caught.value.errors
    assert (error.path, error.line, error.column) == ("products/revenue.yaml", 5, 3)
    assert "zz" in error.what


def test_a_published_contract_that_cannot_be_read_is_told(load: Callable[..., headwater.LoadedProject]) -> None:
    loaded = load()
    loaded.run()
    states = loaded.states()
    state = states["main.daily_v1"]
    later = {**state.position, "contract": {**state.position["contract"], "form": 99}}
    with pytest.raises(StateError, match="of the form 99") as caught:
        read_published({"main.daily_v1": replace(state, position=later)})
    assert caught.value.fix == "headwater run --reset main.daily_v1"


def test_only_ports_go_into_the_mesh(load: Callable[..., headwater.LoadedProject]) -> None:
    with pytest.raises(ProjectErrors, match="'mesh' is not known"):
        load(**{"models/marts/off.sql": "/* headwater\nstore: mesh\n*/\nselect 1 as a"})
