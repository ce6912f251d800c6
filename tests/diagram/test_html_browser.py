"""The map in a browser: roles and names, the walk by keys, themes, no request, no overlap, and how fast it is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect

from headwater.core.graph import Graph
from headwater.diagram import draw
from headwater.diagram.html import NOTHING
from headwater.project.loader import load_project

from .browser import Visit, open_browser, overlapping_labels, visit
from .graphs import random_graph, random_results, shop_graph, shop_results

EXAMPLE = Path(__file__).parents[2] / "examples" / "nycflights"

ABOUT: dict[str, Any] = {
    "shop.orders": {
        **NOTHING, "description": "Orders </script><b>as</b> they come in.", "owner": "sales", "tags": ["core"],
        "kind": "sqlite", "store": "lakehouse", "rows": 336_776, "version": 7, "declared": "sources/shop.yaml:3:3",
        "read_by": ["staging.orders"], "rules": ["rename who: customer", "mask mail"],
        "columns": [
            {"name": "id", "type": "BIGINT", "description": "The key.", "from": [["shop.orders/source", "id"]],
             "unknown": ""},
            {"name": "amount", "type": "DECIMAL(9,2)", "description": "", "from": [["shop.orders/source", "amt"]],
             "unknown": ""},
        ],
    },
    "staging.orders": {**NOTHING, "kind": "view", "reads": ["shop.orders"], "read_by": ["marts.revenue"]},
    "marts.revenue": {
        **NOTHING, "description": "Revenue a day.", "kind": "table", "reads": ["staging.orders", "web.clicks"],
        "columns": [
            {"name": "total", "type": "DECIMAL(38,2)", "description": "", "from": [["shop.orders", "amount"]],
             "unknown": ""},
            {"name": "odd", "type": "INTEGER", "description": "", "from": [], "unknown": "PIVOT is not followed"},
        ],
        "decided": {"filter": [["shop.orders", "id"]]},
        "checks": [
            {"name": "unique(day)", "severity": "error", "passed": False, "failing": 3, "rows": 40},
            {"name": "not_null(day)", "severity": "error", "passed": True, "failing": 0, "rows": 40},
            {"name": "late", "severity": "error", "passed": None, "failing": 0, "rows": 0},
        ],
        "runs": [{"started": "2024-01-10T12:00:00+00:00", "status": "failed", "duration_s": 1.5, "reason": "",
                  "error": "no column named amuont", "changed": ""}],
        "code": "select sum(amount) as total -- all of it\nfrom staging.orders where kind = 'x<y'", "language": "sql",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("map"), shop_graph(), results=shop_results(), datasets=ABOUT)


def write(folder: Path, graph: Graph, **more: Any) -> Path:
    path = folder / "map.html"
    path.write_text(draw(graph, format="html", title="A shop & more", **more), encoding="utf-8")
    return path


@pytest.fixture
def shop(browser: Browser, file: Path) -> Iterator[Page]:
    """The page; afterwards nothing was complained of, and nothing but the file was asked for."""
    found = visit(browser, file)
    yield found.page
    quiet(found, file)


def quiet(found: Visit, file: Path) -> None:
    found.page.close()
    assert found.complaints == []
    assert {url.partition("#")[0] for url in found.requests} == {file.as_uri()}


def box(page: Page, name: str) -> Any:
    return page.locator(f'#world > g:not([hidden]) .node[data-node="{name}"]')


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.dataset?.node ?? document.activeElement.id"))


def test_roles_and_names(shop: Page) -> None:
    expect(shop).to_have_title("A shop & more · Headwater")
    expect(shop.get_by_role("heading", level=1)).to_have_text("A shop & more")
    expect(shop.get_by_role("radio", name="Datasets")).to_be_checked()
    expect(shop.get_by_role("combobox", name="Search datasets and columns")).to_be_visible()
    expect(shop.get_by_role("group", name="Map of A shop & more")).to_be_visible()
    storage = shop.get_by_role("group", name="Storage", exact=True)
    expect(storage.get_by_role("button")).to_have_count(4)
    expect(shop.get_by_role("button", name=re.compile("^marts.revenue.transform, .*failed: no column"))).to_be_visible()
    for name in ("Zoom in", "Zoom out", "Show everything", "Theme: as the system", "Keys"):
        expect(shop.get_by_role("button", name=name)).to_be_visible()
    expect(shop.get_by_role("complementary", name="Details")).to_be_hidden()


def test_a_click_shows_all_that_is_known(shop: Page) -> None:
    box(shop, "marts.revenue").click()
    panel = shop.get_by_role("complementary", name="Details")
    expect(panel.get_by_role("heading", level=2)).to_have_text("marts.revenue")
    for text in ("Revenue a day.", "DECIMAL(38,2)", "shop.orders.amount", "✕ failed", "3 of 40", "✓ passed", "not run"):
        expect(panel.get_by_text(text, exact=True).first).to_be_visible()
    expect(panel.get_by_text("unknown", exact=True)).to_have_attribute("title", "PIVOT is not followed")
    expect(panel.locator("pre")).to_have_text(
        "select sum(amount) as total -- all of it\nfrom staging.orders where kind = 'x<y'"
    )
    expect(panel.locator("pre .k")).to_have_text(["select", "as", "from", "where"])
    expect(panel.locator("pre .c")).to_have_text("-- all of it")
    expect(
        panel.get_by_role("row", name=re.compile("2024-01-10 12:00.*failed.*no column named amuont.*1.50 s"))
    ).to_be_visible()
    assert shop.evaluate("location.hash") == "#marts.revenue"


def test_what_lies_above_and_below_is_highlighted(shop: Page) -> None:
    box(shop, "marts.revenue").click()
    lit = {name: shop.locator(f"#level-datasets .node.{name}") for name in ("up", "down", "self")}
    assert sorted(lit["self"].evaluate_all("all => all.map(one => one.dataset.node)")) == ["marts.revenue"]
    assert set(lit["down"].evaluate_all("all => all.map(one => one.dataset.node)")) == {
        "boards.revenue", "reports.weekly/transform", "reports.weekly", "apps.mailer",
    }  # fmt: skip
    expect(lit["up"]).to_have_count(10)
    expect(box(shop, "marts.revenue")).to_have_attribute("aria-pressed", "true")
    expect(shop.get_by_role("status")).to_contain_text("10 above, 4 below")
    shop.keyboard.press("Escape")
    expect(shop.locator(".on")).to_have_count(0)
    expect(shop.get_by_role("complementary")).to_be_hidden()
    assert shop.evaluate("location.hash") == ""


def test_a_column_is_followed_both_ways(shop: Page) -> None:
    box(shop, "shop.orders").click()
    panel = shop.get_by_role("complementary")
    expect(panel.get_by_text("Orders </script><b>as</b> they come in.")).to_be_visible()
    panel.get_by_role("button", name="amount", exact=True).click()
    path = panel.locator(".path")
    expect(path.get_by_role("button")).to_have_text(["shop.orders (source).amt", "marts.revenue.total"])
    names = shop.locator("#level-datasets .node.on").evaluate_all("all => all.map(one => one.dataset.node)")
    assert {"shop.orders/source", "shop.orders", "marts.revenue"} <= set(names)
    assert "web.clicks" not in names
    assert shop.evaluate("location.hash") == "#shop.orders.amount"
    path.get_by_role("button", name="marts.revenue.total").click()
    expect(panel.get_by_role("heading", level=2)).to_have_text("marts.revenue")
    expect(panel.locator("tr.traced")).to_contain_text("total")


def test_the_walk_by_keys(shop: Page) -> None:
    first = str(shop.locator("#level-datasets .node[tabindex='0']").get_attribute("data-node"))
    for _ in range(12):
        shop.keyboard.press("Tab")
        if focused(shop) == first:
            break
    assert focused(shop) == first == "shop.orders/source"
    walked = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "ArrowUp"):
        shop.keyboard.press(key)
        walked.append(focused(shop))
    assert walked == [
        "shop.orders/extract", "shop.orders/load", "shop.orders", "shop.orders/load", "web.clicks/load",
        "shop.orders/load", "shop.orders/load",
    ]  # fmt: skip
    shop.keyboard.press("Enter")
    expect(shop.get_by_role("complementary").get_by_role("heading", level=2)).to_have_text("shop.orders")
    expect(shop.locator("[tabindex='0'].node")).to_have_count(1)
    shop.keyboard.press("Escape")
    assert focused(shop) == "shop.orders/load"
    ring = box(shop, "shop.orders/load").locator(".shape").evaluate("one => getComputedStyle(one).strokeWidth")
    assert ring == "4px"


def test_levels_and_what_a_box_of_one_holds(shop: Page) -> None:
    shop.keyboard.press("1")
    expect(shop.get_by_role("radio", name="Architecture")).to_be_checked()
    expect(shop.locator("#level-datasets")).to_be_hidden()
    box(shop, "C").click()
    members = shop.get_by_role("complementary").get_by_role("row")
    expect(members).to_have_count(6)
    shop.keyboard.press("ArrowUp")
    assert focused(shop) == "B"
    shop.get_by_role("radio", name="Domains").check()
    expect(box(shop, "marketing/C")).to_be_visible()
    box(shop, "main/D2").click()
    shop.get_by_role("complementary").get_by_role("button", name="marts.revenue").click()
    expect(shop.get_by_role("radio", name="Datasets")).to_be_checked()
    expect(box(shop, "marts.revenue")).to_have_attribute("aria-pressed", "true")


def test_search(shop: Page) -> None:
    shop.keyboard.press("/")
    search = shop.get_by_role("combobox")
    expect(search).to_be_focused()
    shop.keyboard.type("amou")
    option = shop.get_by_role("option")
    expect(option).to_have_count(1)
    expect(option).to_contain_text("column of shop.orders")
    shop.keyboard.press("Enter")
    expect(shop.locator("tr.traced")).to_contain_text("amount")
    shop.keyboard.press("/")
    shop.keyboard.type("orders")
    expect(option.first).to_have_attribute("aria-selected", "true")
    before = search.get_attribute("aria-activedescendant")
    shop.keyboard.press("ArrowDown")
    assert search.get_attribute("aria-activedescendant") != before
    shop.keyboard.press("Escape")
    expect(shop.get_by_role("listbox")).to_be_hidden()
    shop.keyboard.press("/")
    shop.keyboard.type("no such thing")
    expect(option).to_have_text("nothing found")


def test_zoom_and_pan(shop: Page) -> None:
    scale = "Number(document.getElementById('world').getAttribute('transform').match(/scale\\((.*)\\)/)[1])"
    before = shop.evaluate(scale)
    shop.get_by_role("button", name="Zoom in").click()
    assert shop.evaluate(scale) == pytest.approx(before * 1.25)
    shop.mouse.move(700, 450)
    shop.mouse.wheel(0, 400)
    shop.wait_for_function(f"() => {scale} < {before}")
    place = box(shop, "marts.revenue").bounding_box()
    shop.mouse.move(20, 300)
    shop.mouse.down()
    shop.mouse.move(120, 340, steps=4)
    shop.mouse.up()
    moved = box(shop, "marts.revenue").bounding_box()
    assert place
    assert moved
    assert (round(moved["x"] - place["x"]), round(moved["y"] - place["y"])) == (100, 40)
    expect(shop.get_by_role("complementary")).to_be_hidden()
    shop.keyboard.press("0")
    assert shop.evaluate(scale) <= before


def test_help_is_a_dialog(shop: Page) -> None:
    shop.keyboard.press("?")
    expect(shop.get_by_role("dialog", name="Keys")).to_be_visible()
    shop.keyboard.press("Escape")
    expect(shop.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize(
    ("fragment", "heading"),
    [("#web.clicks", "web.clicks"), ("#shop.orders/extract", "shop.orders"), ("#marts.revenue.total", "marts.revenue"),
     ("#nowhere", ""), ("#%E0%A4%A", "")],
)  # fmt: skip
def test_a_deep_link(browser: Browser, file: Path, fragment: str, heading: str) -> None:
    found = visit(browser, file, fragment)
    panel = found.page.get_by_role("complementary")
    if heading:
        expect(panel.get_by_role("heading", level=2)).to_have_text(heading)
    else:
        expect(panel).to_be_hidden()
    quiet(found, file)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_by_preference_and_by_the_switch(browser: Browser, file: Path, scheme: Any) -> None:
    found = visit(browser, file, color_scheme=scheme)
    fill = "getComputedStyle(document.querySelector('.layer-storage .shape')).fill"
    grounds = {"light": "rgb(255, 255, 224)", "dark": "rgb(66, 60, 18)"}
    assert found.page.evaluate(fill) == grounds[scheme]
    for name in ("light", "dark"):
        found.page.locator("#theme").click()
        expect(found.page.get_by_role("button", name=f"Theme: {name}")).to_be_visible()
        assert found.page.evaluate(fill) == grounds[name]
        assert found.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == name
    found.page.reload()
    expect(found.page.get_by_role("button", name="Theme: dark")).to_be_visible()
    found.page.emulate_media(media="print")
    assert found.page.evaluate(fill) == grounds["light"]
    expect(found.page.locator(".zoom")).to_be_hidden()
    quiet(found, file)


def test_paper_shows_the_whole_level(browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path, random_graph(200, 5))
    found = visit(browser, path)
    found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert found.page.locator("#map").get_attribute("viewBox")
    assert found.page.locator("#world").get_attribute("transform") is None
    found.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert found.page.locator("#world").get_attribute("transform")
    assert found.page.pdf().startswith(b"%PDF")
    quiet(found, path)


@pytest.mark.parametrize("level", ["architecture", "domains", "datasets"])
def test_no_two_labels_overlap(browser: Browser, tmp_path: Path, level: str) -> None:
    graph = random_graph(200, 5)
    path = write(tmp_path, graph, level=level, results=random_results(graph, 5))
    found = visit(browser, path)
    assert overlapping_labels(found.page) == []
    quiet(found, path)


def test_no_two_labels_of_the_example_overlap(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "nycflights", ignore=shutil.ignore_patterns("data", ".headwater"))
    path = write(tmp_path, load_project(tmp_path / "nycflights").graph)
    found = visit(browser, path)
    for key in "321":
        found.page.keyboard.press(key)
        assert overlapping_labels(found.page) == []
    quiet(found, path)


def test_the_rule_sees_labels_that_overlap(shop: Page) -> None:
    assert overlapping_labels(shop) == []
    shop.evaluate("document.querySelector('#level-datasets .name').setAttribute('transform', 'translate(0 12)')")
    assert len(overlapping_labels(shop)) >= 1


def test_a_thousand_nodes_are_painted_within_a_second(browser: Browser, tmp_path: Path) -> None:
    graph = random_graph(1000, 5)
    assert len(graph.nodes) >= 1000
    path = write(tmp_path, graph, results=random_results(graph, 5))
    times = []
    for _ in range(3):
        found = visit(browser, path)
        found.page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        expect(found.page.locator("#level-datasets .node").last).to_be_attached()
        times.append(found.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        quiet(found, path)
    assert min(times) < 1000, times
