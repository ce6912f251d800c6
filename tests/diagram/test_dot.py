"""Graphviz: the levels below the reference picture (which has a file of its own)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Node, Role
from headwater.core.layers import Family
from headwater.core.run import Status
from headwater.diagram import NodeStatus, draw

from .graphs import check_golden, shop_graph, shop_results

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.]+|-?\d[\d.]*|->|[{}\[\]=]|(?P<odd>\S)')


def _draw() -> str:
    return draw(shop_graph(), format="dot", results=shop_results(), title="shop")


def test_golden() -> None:
    check_golden("shop_datasets.dot", _draw())
    check_golden("shop_domains.dot", draw(shop_graph(), level="domains", format="dot"))


def test_layers_are_clusters_from_left_to_right() -> None:
    dot = _draw()
    assert "rankdir=LR" in dot
    assert re.findall(r"subgraph (\w+) \{\n\t\tgraph \[label=(.*)\]", dot) == [
        ("cluster_sources", '"Data Sources"'),
        ("cluster_ingestion", "Ingestion"),
        ("cluster_processing", "Processing"),
        ("cluster_storage", "Storage"),
        ("cluster_consumption", "Consumption"),
    ]


def test_a_node_says_its_status_and_a_failed_one_is_dashed() -> None:
    line = next(line for line in _draw().splitlines() if '"n-marts.revenue--transform" [' in line)
    assert r'label="marts.revenue\ntransform · table\n✕ failed: no column named amuont"' in line
    assert 'style="filled,dashed"' in line


def test_arrows_that_do_not_lead_forward_are_dashed_or_dotted_and_streams_thick() -> None:
    lines = {line.split(" [")[0].strip(): line for line in _draw().splitlines() if "->" in line}
    assert "style=dashed" in lines['"n-shop.orders" -> "n-staging.orders--transform"']
    assert "style=dotted" in lines['"n-staging.orders--transform" -> "n-marts.revenue--transform"']
    assert "style" not in lines['"n-shop.orders--source" -> "n-shop.orders--extract"']
    assert "penwidth=3" in lines['"n-web.clicks--source" -> "n-web.clicks--extract"']


def test_odd_names_stay_text() -> None:
    names = ["<b>bold<b>", "back\\slash\\", 'quo"te', "port:n", "\\N \\G", "strict", "a -> b;"]
    nodes = [Node(name, Family.LAKE, "lake", Role.DATASET) for name in names]
    edges = [Edge(names[0], name, "<i>") for name in names[1:]]
    dot = draw(Graph(nodes, edges), format="dot", title="<b>")
    assert r'label="<b>bold<b>\nlake"' in dot
    assert r'label="back\\slash\\\nlake"' in dot
    assert r'label="quo\"te\nlake"' in dot
    assert r'label="\\N \\G\nlake"' in dot
    assert 'label="<b>"' in dot
    assert 'tooltip="<i>"' in dot
    assert dot.count("->") == len(edges) + 2  # the name with an arrow in it: label and tooltip
    assert '-> "n-port-3a-n"' in dot


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=2, max_size=4, unique=True), st.text(max_size=20))
def test_any_name_gives_tokens_of_the_language(names: list[str], text: str) -> None:
    nodes = [Node(name, Family.LAKE, text, Role.DATASET) for name in names]
    graph = Graph(nodes, [Edge(names[0], name, text) for name in names[1:]])
    dot = draw(graph, format="dot", results={names[0]: NodeStatus(Status.FAILED, error=text)}, title=text)
    assert not [match[0] for match in _TOKEN.finditer(dot) if match["odd"]]
    assert len(re.findall(r"^\t\tn-|^\t\t\"n-", dot, re.MULTILINE)) == len(names)
