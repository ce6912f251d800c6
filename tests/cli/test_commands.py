"""Every command: its exit codes, its JSON, its help."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.cli import _COMMANDS, group
from headwater.state import Lease

from .conftest import Call

BROKEN = "select nonsense from shop.orders"


def test_init_makes_a_project_that_checks_tests_and_runs_unedited(call: Call) -> None:
    made = call("init", "--json")
    assert made.json["files"] == [
        "headwater.yaml", ".gitignore", "files/orders.csv", "sources/shop.yaml", "models/marts/daily_sales.sql",
        "tests/daily_sales.yaml",
    ]  # fmt: skip
    checked = call("check")
    assert (checked.code, checked.error) == (0, "")
    assert "1 source tables, 1 models, 1 unit tests; 2 of 2 schemas known; no problems" in checked.text
    assert call("test").text == "✓ daily_sales\n1 passed, 0 failed\n"
    ran = call("run", "--now", "2026-01-08")
    assert ran.code == 0
    assert "✓ marts.daily_sales/transform  3 rows, +3" in ran.text
    rows = call("query", "select day::varchar as day, sales, orders from marts.daily_sales order by day", "--json").json
    assert rows == [
        {"day": "2026-01-05", "sales": "55.50", "orders": 2},
        {"day": "2026-01-06", "sales": "12.25", "orders": 1},
        {"day": "2026-01-07", "sales": "99.90", "orders": 1},
    ]


def test_init_in_a_named_folder_and_not_twice(call: Call) -> None:
    assert call("init", "2nd shop!").code == 0
    assert (Path("2nd shop!") / "headwater.yaml").read_text(encoding="utf-8") == "name: p_2nd_shop\n"
    assert call("-p", "2nd shop!", "check").code == 0
    again = call("init", "2nd shop!")
    assert (again.code, again.error) == (2, "2nd shop!/headwater.yaml is there already\n  fix: name another folder\n")
    assert call("init", "2nd shop!", "--json").json["errors"][0]["fix"] == "name another folder"


SALES = """kind: product
ports:
  sales: {version: 1.0.0, from: marts.daily_sales, strict: false, columns: {day: date}}
"""

JSON_CALLS = {
    "check": ["check", "--json"],
    "check offline": ["check", "--offline", "--json"],
    "contract": ["contract", "export", "main.sales_v1", "--json"],
    "doctor": ["doctor", "--json"],
    "draw": ["draw", "--json"],
    "init": ["init", "elsewhere", "--json"],
    "maintain": ["maintain", "--json"],
    "plan": ["plan", "--json"],
    "plan offline": ["plan", "--offline", "--json"],
    "query": ["query", "from marts.daily_sales", "--json"],
    "run": ["run", "--json"],
    "show a model": ["show", "marts.daily_sales", "--json"],
    "show a source": ["show", "shop.orders", "--json"],
    "show rejects": ["show", "shop.orders", "--rejected", "--json"],
    "status": ["status", "--json"],
    "test": ["test", "--json"],
    "types": ["types", "shop", "--json"],
}


@pytest.mark.parametrize("name", JSON_CALLS)
def test_every_command_speaks_json(name: str, done: Call) -> None:
    if name == "contract":
        Path("products").mkdir()
        Path("products/sales.yaml").write_text(SALES)
    outcome = done(*JSON_CALLS[name])
    assert outcome.code == 0
    assert outcome.json is not None


def test_every_command_has_json_and_help(call: Call) -> None:
    assert {name.partition(" ")[0] for name in JSON_CALLS} == set(_COMMANDS)
    assert list(_COMMANDS) == sorted(_COMMANDS)
    whole = call("--help").text
    for name, about in _COMMANDS.items():
        shown = call(name, "--help")
        assert shown.code == 0
        assert f"Usage: headwater {name}" in shown.text
        assert "--json" in shown.text
        assert about.rstrip(".") in " ".join(whole.split())
        assert about.split()[0] in shown.text


def test_an_unknown_command_names_the_nearest(call: Call) -> None:
    outcome = call("chek")
    assert outcome.code == 2
    assert "No such command 'chek'. Did you mean 'check'?" in outcome.error
    assert "Did you mean" not in call("zzz").error
    assert call("plan", "--nothing").code == 2
    assert call("--version").text.startswith("headwater, version ")
    assert group.get_command(None, "zzz") is None  # type: ignore[arg-type]  # the context is not looked at


def test_a_wrong_project_is_2_with_every_problem(project: Call) -> None:
    Path("models/marts/bad.sql").write_text(BROKEN, encoding="utf-8")
    Path("models/marts/worse.sql").write_text(BROKEN, encoding="utf-8")
    for command in (["check"], ["plan"], ["run"]):
        outcome = project(*command)
        assert outcome.code == 2
        assert outcome.error.startswith('models/marts/bad.sql:1:8: marts.bad: SQL: Referenced column "nonsense"')
        assert "models/marts/worse.sql:1:8" in outcome.error
    told = project("check", "--json").json
    assert told["exit_code"] == 2
    assert [(e["path"], e["line"], e["column"]) for e in told["errors"]] == [
        ("models/marts/bad.sql", 1, 8), ("models/marts/worse.sql", 1, 8),
    ]  # fmt: skip


def test_no_project_is_2(call: Call) -> None:
    outcome = call("status")
    assert (outcome.code, outcome.text) == (2, "")
    assert "no headwater.yaml" in outcome.error


def test_a_failed_step_is_1(project: Call) -> None:
    Path("models/marts/never.sql").write_text("select error('no')::int as x", encoding="utf-8")
    Path("models/marts/below.sql").write_text("from marts.never", encoding="utf-8")
    outcome = project("run", "--log", "plain")
    assert outcome.code == 1
    assert "✕ marts.never/transform\n" in outcome.text
    assert "⏸ marts.below/transform  blocked: marts.never/transform failed" in outcome.text
    assert "1 failed, 1 blocked" in outcome.text or "1 blocked" in outcome.text
    assert project("run", "--json").code == 1
    shown = project("status")
    assert "marts.never" in shown.text
    assert "failed" in shown.text


def test_a_failed_unit_test_is_1(project: Call) -> None:
    file = Path("tests/daily_sales.yaml")
    file.write_text(file.read_text(encoding="utf-8").replace("21.50", "21.51"), encoding="utf-8")
    outcome = project("test")
    assert outcome.code == 1
    assert outcome.text == (
        "✕ daily_sales\n  missing:    day: 2026-01-05, sales: 21.51, orders: 2\n"
        "  unexpected: day: 2026-01-05, sales: 21.50, orders: 2\n0 passed, 1 failed\n"
    )
    assert project("test", "--json").code == 1
    file.write_text("model: marts.daily_sales\ngiven: {}\nexpect: [{nothing: 1}]\n", encoding="utf-8")
    assert "tests/daily_sales.yaml:1:1: the model gives no column 'nothing'" in project("test", "daily_sales").text
    assert project("test", "another").code == 2


def test_a_project_that_is_held_is_3(project: Call) -> None:
    with Lease(Path(".headwater")):
        for command in (["run"], ["maintain"]):
            outcome = project(*command)
            assert outcome.code == 3
            assert f"another run holds the project (process {os.getpid()})" in outcome.error
        assert project("run", "--json").json["exit_code"] == 3


def test_a_warehouse_that_another_process_writes_is_3(done: Call) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import duckdb,sys; c=duckdb.connect('data/warehouse.duckdb'); print(1, "
            "flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout
    holder.stdout.readline()
    outcome = done("run")
    holder.communicate()
    assert outcome.code == 3
    assert str(holder.pid) in outcome.error


def test_a_warning_goes_to_standard_error(project: Call) -> None:
    with Path("headwater.yaml").open("a", encoding="utf-8") as file:
        file.write("vars: {password: hunter2}\n")
    outcome = project("check", "--json")
    assert outcome.error.startswith("warning: headwater.yaml:2:8: a password, token or key in plain text")
    assert outcome.json["warnings"]
    assert b"hunter2" not in outcome.output


def test_environments_by_option_and_variable(project: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: demo\nenvironments: {prod: {stores: {warehouse: {path: p/w.duckdb}, lakehouse: {path: p/house}}}}\n"
    Path("headwater.yaml").write_text(text, encoding="utf-8")
    assert project("--env", "live", "check").code == 2
    assert project("--env", "prod", "run").code == 0
    assert sorted(path.name for path in Path("p").iterdir()) == ["house", "w.duckdb", "w.duckdb.left"]
    assert not Path("data").exists()
    monkeypatch.setenv("HEADWATER_ENV", "prod")
    assert "1 skipped" in project("run").text or "skipped" in project("run").text


# --------------------------------------------------------------------------------------------------------------- plan


def test_a_plan_for_people(project: Call) -> None:
    assert project("plan").text == (
        "+ shop.orders/extract          first load (about 4 rows at the source)\n"
        "? shop.orders/load             if the extract finds rows\n"
        "+ marts.daily_sales/transform  first build\n"
    )
    project("run")
    assert project("plan").text == ". 3 steps have nothing to do\n"
    assert project("plan", "--offline").text == (
        ". 3 steps have nothing to do\nnote: offline: sources as they were last observed\n"
    )
    assert "asked for with --full" in project("plan", "--full", "marts.daily_sales").text
    Path("models/marts/daily_sales.sql").unlink()
    Path("tests/daily_sales.yaml").unlink()
    assert "orphan: marts.daily_sales (warehouse) is no longer declared" in project("plan").text
    assert "marts.daily_sales (warehouse): dropped" in project("maintain", "--drop-orphans").text
    assert "orphan" not in project("plan").text


def test_a_plan_shows_intervals(project: Call) -> None:
    header = "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2026-01-05\n*/\n"
    query = "select cast(ordered_at as date) as day, count(*) as n from shop.orders group by all"
    Path("models/marts/daily.sql").write_text(header + query, encoding="utf-8")
    first = project("plan", "--now", "2026-01-08T12:00")
    assert "+ marts.daily/transform        first build [2026-01-05..2026-01-09]" in first.text
    steps = {step["node"]: step for step in project("plan", "--now", "2026-01-08", "--json").json["steps"]}
    assert steps["marts.daily/transform"]["intervals"] == ["2026-01-05T00:00:00/2026-01-09T00:00:00"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--now", "yesterday"], "Invalid value for --now: 'yesterday' is not an ISO date or timestamp"),
        (["maintain", "--keep", "long"], "Invalid value for --keep: 'long' is not a duration"),
        (["plan", "-s", "nothing"], "'nothing' selects nothing"),
        (["run", "--full", "zzz"], "'zzz' selects nothing"),
        (
            ["show", "marts.daily_sale"],
            "no dataset is named marts.daily_sale\n  fix: did you mean 'marts.daily_sales'?",
        ),
        (["query", "select * from marts.daily_sale"], "no dataset is named marts.daily_sale"),
        (["query", "drop table x"], "one SELECT"),
        (["draw", "--format", "gif"], "Invalid value for '--format'"),
    ],
)
def test_what_is_asked_wrongly_is_2(arguments: list[str], message: str, project: Call) -> None:
    outcome = project(*arguments)
    assert outcome.code == 2
    assert message in outcome.error


# -------------------------------------------------------------------------------------------------------------- query

ODD = (
    'select 1 as a, 2 as a, \'x,"y"\' as "b c", null::int as n, 1.50::decimal(8,2) as d, true as t, '
    "timestamp '2026-01-05 09:12:00' as ts"
)


def test_query_as_a_table(done: Call) -> None:
    assert done("query", "select order_id, customer, amount from shop.orders where order_id < 3 order by 1").text == (
        "order_id  customer  amount\n--------  --------  ------\n1         ada       20.00\n2         grace     "
        "35.50\n2 rows\n"
    )
    assert done("query", ODD).text == (
        "a  a_1  b c    n     d     t     ts\n"
        "-  ---  -----  ----  ----  ----  -------------------\n"
        '1  2    x,"y"  NULL  1.50  true  2026-01-05 09:12:00\n1 row\n'
    )
    limited = done("query", "select * from range(5)", "--limit", "2").text
    assert limited.endswith("… 3 more rows (--limit 0 shows all)\n5 rows\n")
    assert "more rows" not in done("query", "select * from range(200)", "--limit", "0").text
    assert "…" in done("query", "select repeat('x', 99) as long").text


def test_query_as_csv(done: Call) -> None:
    assert done("query", ODD, "--format", "csv").text == (
        'a,a_1,b c,n,d,t,ts\n1,2,"x,""y""",,1.50,true,2026-01-05 09:12:00\n'
    )
    written = done("query", ODD, "--format", "csv", "-o", "out.csv")
    assert (written.text, Path("out.csv").read_text(encoding="utf-8").count("\n")) == ("", 2)


def test_query_as_json(done: Call) -> None:
    numbers = "'nan'::float as f, [1, 'inf'::double] as l, {'a': '-inf'::float} as s"
    (row,) = done("query", f"select {numbers}, 'ab'::blob as b, 1.5::decimal(3,1) as d", "--format", "json").json
    assert row == {"f": "NaN", "l": [1.0, "Infinity"], "s": {"a": "-Infinity"}, "b": "6162", "d": "1.5"}


def test_two_columns_of_one_name_do_not_swallow_each_other(done: Call) -> None:
    question = "select 1 as x, 2 as x, 3 as X, 4 as x_1;"
    assert done("query", question, "--json").json == [{"x": 1, "x_1": 2, "X_2": 3, "x_1_1": 4}]
    assert done("query", question, "--format", "csv").text == "x,x_1,X_2,x_1_1\n1,2,3,4\n"
    parquet = pq.read_table(io.BytesIO(done("query", question, "--format", "parquet").output))
    assert parquet.to_pylist() == [{"x": 1, "x_1": 2, "X_2": 3, "x_1_1": 4}]


def test_query_as_csv_keeps_empty_texts_and_rows_of_null(done: Call) -> None:
    question = "select * from (values (null, ''), ('a\nb', 'c')) as t(x, y)"
    assert done("query", question, "--format", "csv").text == 'x,y\n,""\n"a\nb",c\n'
    alone = done("query", "select unnest([null, '1']) as x", "--format", "csv").text
    assert [row["x"] for row in csv.DictReader(io.StringIO(alone))] == ["", "1"]
    assert done("query", "select 1 as x where false", "--json").json == []


def test_query_writes_types_that_arrow_and_parquet_do_not_have(done: Call) -> None:
    question = (
        "select timetz '09:30:00-03' as t, '0110'::bit as b, 340282366920938463463374607431768211455::uhugeint as u, "
        "interval '1 month 2 days' as i, [timetz '09:30:00+05:30'] as l"
    )
    texts = {"t": "09:30:00-03:00", "b": "0110", "i": "P1M2D"}
    (row,) = done("query", question, "--json").json
    assert row == {**texts, "u": 2**128 - 1, "l": ["09:30:00+05:30"]}
    (line,) = csv.DictReader(io.StringIO(done("query", question, "--format", "csv").text))
    assert line == {**texts, "u": str(2**128 - 1), "l": '["09:30:00+05:30"]'}
    (held,) = pq.read_table(io.BytesIO(done("query", question, "--format", "parquet").output)).to_pylist()
    assert held == {**texts, "u": str(2**128 - 1), "l": '["09:30:00+05:30"]'}


def test_query_of_dates_that_python_does_not_have(done: Call) -> None:
    question = "select unnest(['infinity'::date, '0044-03-15 (BC)'::date, null]) as d, '290000-01-01'::timestamp as ts"
    assert done("query", question, "--format", "csv").text == (
        "d,ts\ninfinity,290000-01-01 00:00:00\n0044-03-15 (BC),290000-01-01 00:00:00\n,290000-01-01 00:00:00\n"
    )
    assert done("query", question, "--format", "json").json[0]["d"] == "infinity"
    assert "0044-03-15 (BC)" in done("query", question).text


def test_query_as_parquet_and_arrow(done: Call) -> None:
    question = "select order_id, amount from shop.orders order by 1"
    binary = done("query", question, "--format", "parquet").output
    assert pq.read_table(io.BytesIO(binary)).column("order_id").to_pylist() == [1, 2, 3, 4]
    stream = done("query", question, "--format", "arrow").output
    assert pa.ipc.open_stream(stream).read_all().num_rows == 4
    assert done("query", question, "--format", "parquet", "-o", "out.parquet").code == 0
    assert duckdb.execute("SELECT count(*) FROM 'out.parquet'").fetchone() == (4,)


def test_query_shows_system_columns_and_rejects(done: Call) -> None:
    Path("files/orders-2.csv").write_text(
        "order_id,customer,amount,ordered_at\n9,eve,-1,2026-01-09 00:00:00\n", encoding="utf-8"
    )
    assert "1 rejected" in done("run").text
    question = "select count(*) as n from system.shop__orders where _batch is not null"
    assert done("query", question, "--json").json == [{"n": 4}]
    assert done("query", "select rule from quarantine.shop__orders", "--json").json == [{"rule": "negative_amount"}]
    assert "negative_amount" in done("show", "shop.orders", "--rejected").text


def test_the_rejects_of_a_load_that_failed_are_shown_until_one_goes_through(done: Call) -> None:
    source = Path("sources/shop.yaml")
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("reject_if:", "max_rejected: 0\n    reject_if:"), encoding="utf-8")
    file = Path("files/orders-2.csv")
    file.write_text("order_id,customer,amount,ordered_at\n9,eve,-1,2026-01-09 00:00:00\n", encoding="utf-8")
    failed = done("run")
    assert (failed.code, "show --rejected shop.orders" in failed.text) == (1, True)
    shown = done("show", "shop.orders", "--rejected", "--json").json
    assert shown["of"].startswith("a load that failed")
    assert [(row["_file"], row["_line"], row["rule"]) for row in shown["rows"]] == [
        ("files/orders-2.csv", 2, "negative_amount")
    ]
    assert done("query", "select count(*) as n from quarantine.shop__orders", "--json").json == [{"n": 0}]
    file.unlink()
    source.write_text(text, encoding="utf-8")
    assert done("run").code == 0
    shown = done("show", "shop.orders", "--rejected", "--json").json
    assert (shown["of"], shown["rejects"]) == ("what is loaded", [])


def test_a_file_that_cannot_be_written_is_told_without_a_traceback(done: Call) -> None:
    outcome = done("query", "from shop.orders", "-o", "no/such/folder.csv")
    fix = "  fix: make the folder such first, or name a file elsewhere\n"
    assert (outcome.code, outcome.error) == (1, f"no/such/folder.csv: No such file or directory\n{fix}")
    outcome = done("query", "select 1", "--format", "parquet", "-o", "no/x.parquet")
    assert (outcome.code, outcome.error) == (1, f"no/x.parquet: No such file or directory\n{fix.replace('such', 'no')}")
    outcome = done("draw", "-o", "files")
    assert outcome.error == "files: Is a directory\n  fix: name another file, or mend the rights on this one\n"


# -------------------------------------------------------------------------------------------- draw, show, status, run


@pytest.mark.parametrize("level", ["architecture", "domains", "datasets"])
@pytest.mark.parametrize(
    ("form", "begins"),
    [("svg", b"<svg"), ("dot", b"digraph"), ("mermaid", b"flowchart"), ("text", b""), ("png", b"\x89PNG")],
)
def test_draw_in_every_format_and_level(form: str, begins: bytes, level: str, done: Call) -> None:
    drawn = done("draw", "--format", form, "--level", level).output
    assert begins in drawn[:400]
    assert len(drawn) > 100


@pytest.mark.parametrize(
    ("file", "begins"), [("a.svg", b"<svg"), ("a.gv", b"digraph"), ("a.mmd", b"flowchart"), ("a", b"<svg")]
)
def test_the_file_s_ending_chooses_the_format(file: str, begins: bytes, project: Call) -> None:
    assert project("draw", "-o", file).text == f"{file}\n"
    assert begins in Path(file).read_bytes()[:400]
    refused = project("draw", "-o", "a.x")
    assert refused.code == 2
    assert "Known endings: .svg, .dot" in refused.error


def test_draw_opens_a_browser_or_prints_the_path(project: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("BROWSER", "some")
    assert project("draw", "--open").text.endswith(".headwater/diagram.svg\n")
    assert opened[0].startswith("file:///")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert project("draw", "--open", "--format", "text").text.endswith(".headwater/diagram.txt\n")
    assert len(opened) == 1


def test_draw_as_json_is_the_graph(done: Call) -> None:
    Path("models/marts/v.sql").write_text("/* headwater\nmaterialize: view\n*/\nfrom shop.orders", encoding="utf-8")
    graph = done("draw", "--json").json
    assert [(node["name"], node["family"], node["status"]) for node in graph["nodes"]] == [
        ("shop.orders/source", "A4", "done"), ("shop.orders/extract", "B", "done"), ("shop.orders/load", "C", "done"),
        ("shop.orders", "D3", "done"), ("marts.daily_sales/transform", "C", "done"),
        ("marts.daily_sales", "D2", "done"), ("marts.v/transform", "C", ""),
    ]  # fmt: skip
    assert len(graph["edges"]) == 6
    assert graph["edges"][0]["label"] == "Flat Files & Logs"


def test_show_tells_what_is_known(done: Call) -> None:
    text = done("show", "marts.daily_sales").text
    for line in ("dataset: marts.daily_sales", "reads: shop.orders", "rows: 3", "description: Sales per day."):
        assert f"{line}\n" in text
    about = done("show", "shop.orders", "--json").json
    assert (about["store"], about["rows"], about["version"]) == ("lakehouse", 4, 1)
    assert about["read_by"] == ["marts.daily_sales"]
    assert [run["status"] for run in about["runs"]] == ["done"]


def test_show_a_view_and_what_was_never_built(project: Call) -> None:
    Path("models/marts/v.sql").write_text("/* headwater\nmaterialize: view\n*/\nfrom shop.orders", encoding="utf-8")
    assert project("show", "marts.v", "--json").json["store"] == ""
    assert project("show", "shop.orders", "--json").json["rows"] is None


def test_status_before_and_after_a_run(project: Call) -> None:
    Path("models/marts/v.sql").write_text("/* headwater\nmaterialize: view\n*/\nfrom shop.orders", encoding="utf-8")
    before = project("status", "--json").json
    assert [(row["dataset"], row["status"]) for row in before["datasets"]] == [
        ("shop.orders", "never"), ("marts.daily_sales", "never"),
    ]  # fmt: skip
    project("run")
    after = project("status").text.splitlines()
    assert after[0].split() == ["dataset", "store", "status", "rows", "version", "age", "rejected"]
    assert after[1].split()[:5] == ["shop.orders", "lakehouse", "done", "4", "1"]
    assert after[-1].startswith("run ")


def test_status_counts_the_quarantine_and_not_the_last_loads_rejects(project: Call) -> None:
    with Path("files/orders.csv").open("a", encoding="utf-8") as file:
        file.write("9,eve,1.00,no time\n")
    project("run")
    Path("files/orders_2.csv").write_text(
        "order_id,customer,amount,ordered_at\n8,eve,1.00,2026-01-06 10:00:00\n", encoding="utf-8"
    )
    for _ in range(2):
        orders = project("status", "--json").json["datasets"][0]
        assert (orders["dataset"], orders["rejected"]) == ("shop.orders", 1)
        project("run")


def test_status_and_show_say_why_an_extract_failed(project: Call) -> None:
    Path("sources/api.yaml").write_text(
        "kind: rest\nconnection: http://127.0.0.1:9\nretries: 0\ntables: {t: {path: /t, columns: {id: bigint}}}\n",
        encoding="utf-8",
    )
    project("run", "-s", "api.t")
    api = next(row for row in project("status", "--json").json["datasets"] if row["dataset"] == "api.t")
    assert (api["status"], "Connection refused" in api["error"]) == ("failed", True)
    (run,) = project("show", "api.t", "--json").json["runs"]
    assert (run["status"], "Connection refused" in run["error"]) == ("blocked", True)


def test_the_log_as_json_is_one_object_per_line(project: Call) -> None:
    lines = project("run", "--log", "json").text.splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_finished"
    assert {event["step"] for event in events if event["event"] == "step_finished"} == {
        "shop.orders/extract", "shop.orders/load", "marts.daily_sales/transform",
    }  # fmt: skip


def test_run_selects_resets_and_freezes(done: Call) -> None:
    only = done("run", "-s", "marts.daily_sales", "--json").json
    assert [(r["step"], r["status"]) for r in only["results"]] == [("marts.daily_sales/transform", "skipped")]
    again = done("run", "--reset", "shop.orders", "--json").json
    assert {r["step"]: r["status"] for r in again["results"]} == {
        "shop.orders/extract": "done", "shop.orders/load": "done", "marts.daily_sales/transform": "done",
    }  # fmt: skip
    Path("files/more.csv").write_text("x\n1\n", encoding="utf-8")
    Path("sources/more.yaml").write_text("kind: files\ntables: {t: {path: files/more.csv}}\n", encoding="utf-8")
    frozen = done("run", "--frozen")
    assert frozen.code == 2
    assert "more.t: its schema is not declared, and nothing is inferred unattended" in frozen.error


def test_check_writes_schemas_for_editors(project: Call) -> None:
    text = project("check", "--write-schemas").text
    for name in ("headwater", "model", "source", "test"):
        assert f"schemas/{name}.schema.json" in text
        assert json.loads(Path(f".headwater/schemas/{name}.schema.json").read_text(encoding="utf-8"))


def test_check_notes_what_is_bound_at_run(project: Call) -> None:
    Path("sources/more.yaml").write_text("kind: files\ntables: {t: {path: files/none*.csv}}\n", encoding="utf-8")
    Path("models/marts/x.sql").write_text("select anything from more.t", encoding="utf-8")
    outcome = project("check")
    assert outcome.code == 0
    assert "note: models/marts/x.sql:1: marts.x is bound at run: the schema of more.t is not known yet" in outcome.text
    assert "2 of 4 schemas known; no problems in what was checked, 2 not" in outcome.text
    assert project("check", "--strict").code == 2
    assert project("check", "--json").json["unchecked"][0] == "more.t: no file matches files/none*.csv"
    Path("files/none1.csv").write_text("anything\n1\n", encoding="utf-8")
    Path("sources/more.yaml").write_text(
        "kind: files\ntables: {t: {path: files/none*.csv, columns: {anything: bigint}}}\n", encoding="utf-8"
    )
    assert project("check", "--strict").code == 0


def test_deleting_the_folder_of_the_journal_is_harmless(done: Call) -> None:
    import shutil

    shutil.rmtree(".headwater")
    assert "3 steps have nothing to do" in done("plan").text
    assert done("status", "--json").json["runs"] == []
    assert done("run").code == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom headwater.cli import group\n"
        "try:\n    group.main(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass\n"
        "heavy = {'duckdb', 'pyarrow', 'sqlglot', 'pydantic', 'deltalake', 'ruamel'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "headwater", "status"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("no headwater.yaml")


def test_a_reader_that_leaves_is_no_error(done: Call) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater", "query", "select * from range(300000)", "--limit", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), error) == (0, b"")
