"""The page as text: what it holds, what it must never hold, and what the panel is told of every dataset."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headwater.api import load
from headwater.cli import group
from headwater.diagram import LEVELS, draw
from headwater.diagram.html import NOTHING

from ..house.code import ROOT
from .graphs import reference_graph, shop_graph, shop_results

Write = Callable[[dict[str, str]], Path]


def page_of(**more: Any) -> str:
    drawn = draw(shop_graph(), format="html", results=shop_results(), title="shop", **more)
    assert isinstance(drawn, str)
    return drawn


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_the_page_forbids_and_makes_no_request() -> None:
    page = page_of()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    assert f'content="{policy}"' in page
    assert re.findall(r"(?:src|href)=\"(?!#|data:)", page) == []
    assert re.findall(r"https?://|url\((?!#)|@import|fetch\(|XMLHttpRequest|innerHTML|eval\(", page) == []


def test_every_level_is_in_it_and_one_is_shown() -> None:
    for level in LEVELS:
        page = page_of(level=level)
        data = data_of(page)
        assert data["level"] == level
        shown = [name for name in LEVELS if f'<g id="level-{name}">' in page]
        assert shown == [level]
        assert f'value="{level}" checked' in page
        assert {name: len(part["boxes"]) for name, part in data["levels"].items()} == {
            name: len(re.findall(r'class="node', part))
            for name, part in zip(LEVELS, page.split('<g id="level-')[1:], strict=True)
        }


def test_boxes_of_a_group_name_their_members() -> None:
    boxes = data_of(str(draw(reference_graph(), format="html")))["levels"]
    members = {box["id"]: box["members"] for box in boxes["architecture"]["boxes"]}
    nodes = {box["id"] for box in boxes["datasets"]["boxes"]}
    assert sorted(name for names in members.values() for name in names) == sorted(nodes)
    assert all("members" not in box for box in boxes["datasets"]["boxes"])


def test_no_text_can_end_the_script_or_become_markup() -> None:
    evil = "</script><script>alert(1)</script><!-- & \u2028"
    page = str(
        draw(shop_graph(), format="html", title=evil, datasets={"shop.orders": {**NOTHING, "description": evil}})
    )
    assert data_of(page)["datasets"]["shop.orders"]["description"] == evil
    assert page.count("</script>") == 2
    assert "<script>alert" not in page
    assert "\u2028" not in page.split('id="data">')[1]


def test_a_dataset_of_which_nothing_is_known_has_every_key() -> None:
    datasets = data_of(page_of(datasets={"shop.orders": {**NOTHING, "owner": "me"}}))["datasets"]
    assert datasets["shop.orders"]["owner"] == "me"
    assert datasets["marts.revenue"] == NOTHING


# ------------------------------------------------------------------------------------------------- a project's page

PROJECT = {
    "headwater.yaml": "name: demo\nvars: {rate: 0.2}\n",
    ".env": "MASK_KEY=key-9f3c\nTOKEN=tok-77aa\n",
    "in/a.csv": "id,amount,mail\n1,5,ann@example.org\n2,-1,bob@example.org\n3,7,cy@example.org\n",
    "sources/shop.yaml": """kind: files
tables:
  orders:
    description: Orders, token ${env:TOKEN}.
    owner: sales
    tags: [core]
    path: in/*.csv
    columns: {id: {type: bigint, description: The key.}, amount: bigint, mail: varchar}
    prepare:
      - mask: {columns: [mail], key: "${env:MASK_KEY}"}
      - sql: {vat: amount * 0.2}
      - dedupe: {by: [id], order: amount}
    reject_if: {negative: amount < 0}
    checks:
      - not_null: id
      - {range: {max: 6}, column: amount, severity: warning}
""",
    "models/m/v.sql": "/* headwater\nmaterialize: view\n*/\nselect id, vat from shop.orders",
    "models/m/t.sql": "/* headwater\ndescription: Per order.\n*/\n"
    "select id as k, sum(vat * $rate) as s from m.v group by all",
}  # fmt: skip


@pytest.fixture
def page(write_project: Write) -> str:
    folder = write_project(PROJECT)
    assert load(folder).run().status == "done"
    drawn = load(folder).draw(format="html")
    assert isinstance(drawn, str)
    return drawn


def test_the_panel_is_told_what_is_declared_stored_traced_and_run(page: str) -> None:
    datasets = data_of(page)["datasets"]
    orders, model, view = (datasets[name] for name in ("shop.orders", "m.t", "m.v"))
    assert (orders["owner"], orders["tags"], orders["kind"], orders["store"]) == (
        "sales",
        ["core"],
        "files",
        "lakehouse",
    )
    assert (orders["rows"], orders["version"], orders["declared"]) == (2, 1, "sources/shop.yaml:3:3")
    assert orders["columns"][0] == {
        "name": "id", "type": "BIGINT", "description": "The key.", "from": [["shop.orders/source", "id"]],
        "unknown": "",
    }  # fmt: skip
    assert [column["name"] for column in orders["columns"]] == ["id", "amount", "mail", "vat"]
    assert orders["rules"] == [
        "mask mail", "sql vat: amount * 0.2", "dedupe id, order amount", "reject negative: amount < 0",
    ]  # fmt: skip
    assert [(c["name"], c["passed"], c["failing"]) for c in orders["checks"]] == [
        ("not_null(id)", True, 0), ("range(amount, ..6)", False, 1),
    ]  # fmt: skip
    assert [(run["status"], run["changed"]) for run in orders["runs"]] == [("done", "+2")]
    assert model["reads"] == ["m.v"]
    assert view["read_by"] == ["m.t"]
    assert (view["kind"], view["store"], view["rows"]) == ("view", "", None)
    assert [column["from"] for column in model["columns"]] == [[["shop.orders", "id"]], [["shop.orders", "vat"]]]
    assert model["decided"] == {"group": [["shop.orders", "id"]]}
    assert "group by all" in model["code"]
    assert [column["name"] for column in view["columns"]] == ["id", "vat"]


def test_no_secret_and_no_value_of_a_row_is_in_it(page: str) -> None:
    assert "token ***." in page
    for secret in ("key-9f3c", "tok-77aa", "ann@", "bob@", "@example.org"):
        assert secret not in page


def test_a_project_that_never_ran_has_a_page(write_project: Write) -> None:
    data = data_of(str(load(write_project(PROJECT)).draw(format="html")))
    model = data["datasets"]["m.t"]
    assert (model["rows"], model["runs"]) == (None, [])
    assert [column["name"] for column in model["columns"]] == ["k", "s"]
    assert [check["passed"] for check in data["datasets"]["shop.orders"]["checks"]] == [None, None]


def test_the_wheel_ships_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    parts = {f"headwater/diagram/page/{file.name}" for file in (ROOT / "src/headwater/diagram/page").iterdir()}
    assert len(parts) == 8
    assert parts <= names


def test_the_command_writes_the_page_and_show_names_where_columns_come_from(write_project: Write) -> None:
    folder = write_project(PROJECT)
    runner = CliRunner()

    def call(*arguments: str) -> str:
        done = runner.invoke(group, ["-p", str(folder), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    call("run")
    file = folder / "map.html"
    assert call("draw", "-o", str(file)).strip() == str(file)
    assert data_of(file.read_text(encoding="utf-8"))["level"] == "datasets"
    assert data_of(call("draw", "--format", "html", "--level", "domains"))["level"] == "domains"
    told = call("show", "m.t")
    assert "name=s, type=DOUBLE, source_type=" not in told
    assert "from=shop.orders.vat" in told
    assert "decided by group: shop.orders.id" in told
    about = json.loads(call("show", "shop.orders", "--json"))
    assert about["columns"][2]["from"] == ["shop.orders/source.mail"]
    assert about["decided_by"] == {"filter": ["shop.orders/source.amount"], "group": ["shop.orders/source.id"],
                                   "sort": ["shop.orders/source.amount"]}  # fmt: skip
    assert [column["name"] for column in json.loads(call("show", "m.v", "--json"))["columns"]] == ["id", "vat"]


def test_the_command_plan_tells_what_a_lost_column_hits(write_project: Write) -> None:
    folder = write_project(PROJECT)
    assert load(folder).run().status == "done"
    write_project({"models/m/t.sql": "select id::varchar as k from m.v", "models/m/u.sql": "select k from m.t"})
    done = CliRunner().invoke(group, ["-p", str(folder), "plan"])
    assert done.exit_code == 0
    assert "! m.t: column k changes from BIGINT to VARCHAR; hits m.u.k (value)" in done.output
    assert "! m.t: column s is gone; nothing reads it" in done.output
    told = json.loads(CliRunner().invoke(group, ["-p", str(folder), "plan", "--json"]).output)["breaks"]
    assert told[0] == {
        "dataset": "m.t", "column": "k", "change": "changes from BIGINT to VARCHAR",
        "hits": [{"dataset": "m.u", "column": "k", "how": "value", "kind": "table", "domain": "main", "owner": ""}],
        "is_promise": False,
    }  # fmt: skip
