"""The SVG: well-formed, self-contained, readable without colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Node, Role
from headwater.core.layers import Family, Layer
from headwater.core.run import Status
from headwater.diagram import NodeStatus, draw, node_id

from .graphs import check_golden, random_graph, random_results, reference_graph, shop_graph, shop_results

SVG = "{http://www.w3.org/2000/svg}"
LEVELS = pytest.mark.parametrize("level", ["architecture", "domains", "datasets"])


def _draw(level: str = "datasets", title: str = "shop") -> str:
    return draw(shop_graph(), level=level, results=shop_results(), title=title)


def _groups(svg: str) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return {node.attrib["data-node"]: node for node in root.iter(f"{SVG}g") if "data-node" in node.attrib}


def _texts(element: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


@LEVELS
def test_golden(level: str) -> None:
    check_golden(f"shop_{level}.svg", _draw(level))


def test_golden_reference() -> None:
    check_golden("reference.svg", draw(reference_graph(), level="architecture"))


@LEVELS
def test_a_big_drawing_is_well_formed_and_its_ids_are_unique(level: str) -> None:
    graph = random_graph(200, 7)
    root = ElementTree.fromstring(draw(graph, level=level, results=random_results(graph, 7)))
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert level != "datasets" or {node_id(name) for name in graph.nodes} <= set(ids)


@LEVELS
def test_it_loads_and_runs_nothing(level: str) -> None:
    svg = _draw(level)
    assert not re.search(r"<script|<foreignObject|<image|href|@import|@font-face|\son\w+=|javascript:", svg)
    assert set(re.findall(r"url\([^)]*\)", svg)) == {"url(#headwater-head)"}
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]


def test_it_says_what_it_is() -> None:
    root = ElementTree.fromstring(_draw())
    assert root.attrib["role"] == "img"
    named = {element.attrib["id"]: element for element in root if "id" in element.attrib}
    assert root.attrib["aria-labelledby"].split() == list(named)
    assert [element.tag.removeprefix(SVG) for element in named.values()] == ["title", "desc"]
    assert named["headwater-title"].text == "shop"
    assert (named["headwater-desc"].text or "").startswith("15 nodes, 14 arrows, ")
    assert ElementTree.fromstring(_draw(title=""))[0].text == "Data architecture, datasets"


def test_nodes_are_lists_by_layer() -> None:
    root = ElementTree.fromstring(_draw())
    lists = [element for element in root if element.attrib.get("role") == "list"]
    assert [element.attrib["aria-label"] for element in lists] == [layer.heading for layer in Layer]
    assert {item.attrib["role"] for element in lists for item in element} == {"listitem"}
    assert sum(len(element) for element in lists) == len(shop_graph().nodes)


def test_a_layer_without_nodes_is_no_list() -> None:
    graph = Graph([Node("a.b", Family.LAKE, "lake", Role.DATASET)], [])
    assert draw(graph).count('role="list"') == 1


def test_a_node_has_a_status_in_class_icon_text_and_title() -> None:
    node = _groups(_draw())["shop.orders"]
    assert node.attrib["class"] == "node status-done"
    assert node.attrib["id"] == "n-shop.orders"
    assert [path.attrib["class"] for path in node.iter(f"{SVG}path")][-1] == "icon icon-done"
    assert _texts(node) == ["shop.orders", "lakehouse", "336,776 rows · 3 min ago"]
    assert (node[0].tag, node[0].text) == (
        f"{SVG}title",
        "shop.orders, lakehouse, Data Lakehouse: done, 336,776 rows, 3 min ago, version 7",
    )


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("shop.orders/extract", "done", "336,776 rows · 12 rejected"),
        ("marts.revenue/transform", "failed", "failed: no column named amuont"),
        ("reports.weekly/transform", "blocked", "blocked"),
        ("reports.weekly", "never", "never run"),
        ("boards.revenue", "skipped", "skipped"),
        ("apps.mailer", "stopped", "stopped"),
        ("web.clicks", "stale", "stale · 1 row · 2 days ago"),
        ("marts.revenue", "unchanged", "unchanged · 40 rows"),
    ],
)
def test_statuses(name: str, status: str, text: str) -> None:
    node = _groups(_draw())[name]
    assert node.attrib["class"] == f"node status-{status}"
    assert f"icon icon-{status}" in [path.attrib["class"] for path in node.iter(f"{SVG}path")]
    assert _texts(node)[-1] == text


def test_icons_differ_in_form_and_failure_is_dashed() -> None:
    svg = _draw()
    root = ElementTree.fromstring(svg)
    icons = {p.attrib["class"]: p.attrib["d"] for p in root.iter(f"{SVG}path") if "icon" in p.attrib["class"]}
    assert len(icons) == len(set(icons.values())) == 8
    assert re.search(r"\.status-failed \.shape \{[^}]*stroke-dasharray", svg)


def test_a_node_without_status_has_neither_class_nor_icon() -> None:
    node = _groups(_draw())["shop.orders/source"]
    assert node.attrib["class"] == "node"
    assert _texts(node) == ["shop.orders", "sqlite"]


def test_shapes_are_those_of_the_reference_picture() -> None:
    groups = _groups(_draw())
    shapes = {name: node[1].tag.removeprefix(SVG) for name, node in groups.items()}
    assert shapes["shop.orders/source"] == "polygon"
    assert shapes["shop.orders/extract"] == shapes["shop.orders/load"] == "rect"
    assert shapes["shop.orders"] == "path"
    assert shapes["boards.revenue"] == "ellipse"


def test_arrows_say_what_they_join() -> None:
    root = ElementTree.fromstring(_draw())
    arrows = {p[0].text: p.attrib["class"] for p in root.iter(f"{SVG}path") if "arrow" in p.attrib["class"] and len(p)}
    assert arrows["shop.orders/source to shop.orders/extract: Structured Data"] == "arrow forward"
    assert arrows["web.clicks/source to web.clicks/extract: Real-time Data"] == "arrow forward stream"
    assert arrows["shop.orders to staging.orders/transform: Reads"] == "arrow return"
    assert arrows["staging.orders/transform to marts.revenue/transform: Reads"] == "arrow within"
    assert len(arrows) == len(shop_graph().edges)


def test_an_arrow_without_label_says_its_ends() -> None:
    nodes = [Node("a.b", Family.LAKE, "lake", Role.DATASET), Node("c.d", Family.BI, "board", Role.CONSUMER)]
    assert "<title>a.b to c.d</title>" in draw(Graph(nodes, [Edge("a.b", "c.d", "")]))


def test_labels_of_the_architecture_are_drawn() -> None:
    root = ElementTree.fromstring(draw(reference_graph(), level="architecture"))
    labels = [text.text for text in root.iter(f"{SVG}text") if text.attrib["class"] == "label"]
    assert len(labels) == 13
    assert {"Transformed Data", "Raw & Semi-Structured Data"} <= set(labels)


def test_the_legend_explains_what_occurs() -> None:
    root = ElementTree.fromstring(_draw())
    legend = next(element for element in root if element.attrib.get("class") == "legend-line")
    assert _texts(legend) == [
        *("data flows forward", "within a layer", "a stored table is read again", "stream"),
        *("failed", "blocked", "stopped", "stale", "done", "unchanged", "skipped", "never run"),
    ]
    plain = Graph([Node("a.b", Family.LAKE, "lake", Role.DATASET)], [])
    root = ElementTree.fromstring(draw(plain))
    assert not list(next(element for element in root if element.attrib.get("class") == "legend-line"))


def test_colours_follow_the_readers_preference_and_hold_for_this_drawing_only() -> None:
    sheet = ElementTree.fromstring(_draw()).find(f"{SVG}style")
    assert sheet is not None
    rules = [line for line in (sheet.text or "").splitlines() if "{" in line]
    assert [line for line in rules if line.startswith("@")] == ["@media (prefers-color-scheme: dark) {"]
    selectors = [s for line in rules if not line.startswith("@") for s in line.split("{")[0].split(",")]
    assert all(selector.strip().startswith(".headwater ") for selector in selectors)


def test_a_name_that_is_too_long_is_shortened_and_whole_in_the_title() -> None:
    name = "marts." + "very_" * 30 + "long"
    node = _groups(draw(Graph([Node(name, Family.LAKE, "lake", Role.DATASET)], [])))[name]
    assert "…" in _texts(node)[0]
    assert _texts(node)[0].endswith("long")
    assert (node[0].text or "").startswith(name)


@pytest.mark.parametrize("name", ['<b>&"quote"\'', "a.]]>", "漢字.表 😀", "a\x00b\x1b", "new\nline.\ttab", ""])
def test_odd_names_stay_text(name: str) -> None:
    node = Node(name, Family.APIS, name, Role.SOURCE, domain=name)
    other = Node("x.y", Family.BI, "board", Role.CONSUMER)
    graph = Graph([node, other], [Edge(name, "x.y", name)])
    results = {name: NodeStatus(Status.FAILED, freshness=name, error=name)}
    for level in ("architecture", "domains", "datasets"):
        root = ElementTree.fromstring(draw(graph, level=level, results=results, title=name))
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text"),
            *("line", "polygon", "ellipse"),
        }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5, unique=True), st.text(max_size=40))
def test_any_name_gives_a_well_formed_drawing(names: list[str], text: str) -> None:
    families = list(Family)
    nodes = [Node(n, families[i * 3], text, list(Role)[i], domain=text if i else "main") for i, n in enumerate(names)]
    graph = Graph(nodes, [Edge(names[0], name, text) for name in names[1:]])
    results = {name: NodeStatus(Status.FAILED, error=text, freshness=text) for name in names}
    root = ElementTree.fromstring(draw(graph, results=results, title=text))
    assert len([g for g in root.iter(f"{SVG}g") if g.attrib.get("role") == "listitem"]) == len(names)
