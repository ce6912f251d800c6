"""The reference picture: 13 boxes, 13 arrows, exactly."""

from __future__ import annotations

import re

import pytest

from headwater.core.graph import Graph
from headwater.core.layers import ARROWS, Family
from headwater.diagram import draw

from .graphs import GOLDEN, GraphBuilder, reference_graph

_NODE = re.compile(r"^\t(\w+) \[(.*)\]$")
_EDGE = re.compile(r"^\t(\w+) -> (\w+) \[label=(.*)\]$")
_ATTRIBUTE = re.compile(r'(\w+)=("[^"]*"|\w+)')

LABELS = {
    "A1": "Databases (SQL, NoSQL)",
    "A2": "APIs & Web Services",
    "A3": "IoT & Streaming Data",
    "A4": "Files & Logs",
    "B": "Data Ingestion (ETL/ELT)",
    "C": "Processing (Batch/Stream)",
    "D1": "Data Lake",
    "D2": "Data Warehouse",
    "D3": "Data Lakehouse",
    "D4": "Data Mesh",
    "E1": "BI & Analytics",
    "E2": "Machine Learning",
    "E3": "Operational Applications",
}
LOOKS = {
    "A": ("parallelogram", "lightblue"),
    "B": ("box", "lightgray"),
    "C": ("box", "lightgray"),
    "D": ("cylinder", "lightyellow"),
    "E": ("ellipse", "lightgreen"),
}
EDGES = {
    ("A1", "B"): "Structured Data",
    ("A2", "B"): "API Calls",
    ("A3", "B"): "Real-time Data",
    ("A4", "B"): "Flat Files & Logs",
    ("B", "C"): "Transformed Data",
    ("C", "D1"): "Raw & Semi-Structured Data",
    ("C", "D2"): "Structured & Aggregated Data",
    ("C", "D3"): "Unified Storage & Processing",
    ("C", "D4"): "Decentralized Data Management",
    ("D1", "E2"): "Big Data Processing",
    ("D2", "E1"): "Querying & Dashboards",
    ("D3", "E1"): "BI & AI Workloads",
    ("D4", "E3"): "Decentralized Use Cases",
}


def _nodes(dot: str) -> dict[str, dict[str, str]]:
    found = (_NODE.match(line) for line in dot.splitlines() if "->" not in line)
    return {m[1]: {k: v.strip('"') for k, v in _ATTRIBUTE.findall(m[2])} for m in found if m and m[1] != "graph"}


def _edges(dot: str) -> dict[tuple[str, str], str]:
    return {(m[1], m[2]): m[3].strip('"') for line in dot.splitlines() if (m := _EDGE.match(line))}


def _draw(graph: Graph) -> str:
    return draw(graph, level="architecture", format="dot")


def test_text_equals_the_golden_file_written_by_hand() -> None:
    assert _draw(reference_graph()) == (GOLDEN / "reference.dot").read_text()


def test_direction_is_top_to_bottom() -> None:
    assert "\tgraph [rankdir=TB]\n" in _draw(reference_graph())


def test_every_box_has_its_id_label_shape_and_fill() -> None:
    expected = {
        box: {"label": label, "shape": LOOKS[box[0]][0], "fillcolor": LOOKS[box[0]][1], "style": "filled"}
        for box, label in LABELS.items()
    }
    assert _nodes(_draw(reference_graph())) == expected


def test_every_arrow_has_its_label() -> None:
    assert _edges(_draw(reference_graph())) == EDGES


@pytest.mark.parametrize("arrow", list(ARROWS), ids=lambda arrow: "-".join(arrow))
def test_without_the_edges_behind_an_arrow_the_other_twelve_are_drawn(arrow: tuple[Family, Family]) -> None:
    ends = (arrow[0].value, arrow[1].value)
    expected = {pair: label for pair, label in EDGES.items() if pair != ends}
    dot = _draw(reference_graph(without=arrow))
    assert _edges(dot) == expected
    assert set(_nodes(dot)) == set(LABELS)


def test_a_box_without_nodes_is_left_out() -> None:
    build = GraphBuilder()
    build.source("shop.orders", Family.DATABASES, "sqlite")
    dot = _draw(build.graph())
    assert set(_nodes(dot)) == {"A1", "B", "C", "D3"}
    assert set(_edges(dot)) == {("A1", "B"), ("B", "C"), ("C", "D3")}


def test_a_forward_arrow_outside_the_thirteen_reads() -> None:
    build = GraphBuilder()
    build.source("shop.orders", Family.DATABASES, "sqlite")
    build.consumer("apps.shop", ["shop.orders"], Family.APPLICATIONS, "api")
    assert _edges(_draw(build.graph()))[("D3", "E3")] == "Reads"


def test_returns_and_arrows_within_a_layer_are_listed_but_not_drawn() -> None:
    build = GraphBuilder()
    build.source("shop.orders", Family.DATABASES, "sqlite")
    build.model("staging.orders", ["shop.orders"], "view")
    build.model("marts.revenue", ["staging.orders"])
    build.consumer("ml.churn", ["marts.revenue"], Family.MACHINE_LEARNING, "training")
    build.consumer("boards.churn", ["ml.churn"], Family.BI, "dashboard")
    graph = build.graph()
    assert not {("D3", "C"), ("C", "C"), ("E2", "E1")} & set(_edges(_draw(graph)))
    text = draw(graph, level="architecture", format="text")
    assert "\nReturns\n  Data Lakehouse → Processing (Batch/Stream): Reads\n" in text
    within = text[text.index("Within a layer") : text.index("Returns")]
    assert "Processing (Batch/Stream) → Processing (Batch/Stream): Reads" in within
    assert "Machine Learning → BI & Analytics: Reads" in within


def test_an_empty_graph_draws_no_box() -> None:
    assert _nodes(_draw(Graph([], []))) == {}
