"""The neutral copy of a graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Mode, Node, Role
from headwater.core.layers import Family, Layer
from headwater.core.run import Status
from headwater.diagram import NodeStatus, node_id
from headwater.diagram.picture import Direction, Picture, copy_graph
from headwater.diagram.status import Badge

from .graphs import GraphBuilder, shop_graph, shop_results


def _picture(level: str = "datasets") -> Picture:
    return copy_graph(shop_graph(), level, shop_results(), "shop")


def test_a_source_table_is_four_boxes_and_a_model_two() -> None:
    layers = {box.id: box.layer for box in _picture().boxes}
    assert [layers[f"shop.orders{role}"] for role in ("/source", "/extract", "/load", "")] == list(Layer)[:4]
    assert layers["marts.revenue/transform"] is Layer.PROCESSING
    assert layers["marts.revenue"] is Layer.STORAGE
    assert "staging.orders" not in layers


def test_the_second_line_says_role_and_kind() -> None:
    details = {box.id: box.detail for box in _picture().boxes}
    assert details["shop.orders/source"] == "sqlite"
    assert details["shop.orders/extract"] == "extract · sqlite"
    assert details["staging.orders/transform"] == "transform · view"
    assert details["boards.revenue"] == "dashboard"


def test_the_second_line_does_not_say_the_same_twice() -> None:
    nodes = [Node("a.b/load", Family.PROCESSING, "load", Role.LOAD), Node("a.b/publish", Family.MESH, "", Role.PUBLISH)]
    assert [box.detail for box in copy_graph(Graph(nodes, []), "datasets", None, "").boxes] == ["load", "publish"]


def test_the_title_has_everything() -> None:
    titles = {box.id: box.title for box in _picture().boxes}
    assert titles["shop.orders/source"] == "shop.orders/source, sqlite, Databases (SQL, NoSQL)"
    assert titles["shop.orders"] == "shop.orders, lakehouse, Data Lakehouse: done, 336,776 rows, 3 min ago, version 7"
    assert titles["reports.weekly"] == "reports.weekly, warehouse, Data Warehouse, domain marketing: never run"


def test_a_dataset_does_not_take_the_status_of_its_writer() -> None:
    results = {"marts.revenue/transform": NodeStatus(Status.FAILED)}
    badges = {box.id: box.badge for box in copy_graph(shop_graph(), "datasets", results, "").boxes}
    assert badges["marts.revenue/transform"] == Badge("failed", "failed")
    assert badges["marts.revenue"] is None


def test_what_comes_from_a_source_stands_above_what_a_model_makes_and_the_root_domain_is_first() -> None:
    stored = [box.id for box in _picture().in_layer(Layer.STORAGE)]
    assert stored == ["shop.orders", "web.clicks", "marts.revenue", "reports.weekly"]


def test_arrows_know_where_they_lead() -> None:
    arrows = {(arrow.upstream, arrow.downstream): arrow for arrow in _picture().arrows}
    assert arrows["shop.orders/load", "shop.orders"].direction is Direction.FORWARD
    assert arrows["shop.orders", "staging.orders/transform"].direction is Direction.RETURN
    assert arrows["staging.orders/transform", "marts.revenue/transform"].direction is Direction.WITHIN
    assert arrows["web.clicks/source", "web.clicks/extract"].stream
    assert not arrows["web.clicks", "marts.revenue/transform"].stream


def test_two_edges_between_two_nodes_are_one_arrow_which_streams_when_one_does() -> None:
    build = GraphBuilder()
    build.source("a.b")
    edges = [*build.edges, Edge("a.b/load", "a.b", "Again", Mode.STREAM), Edge("a.b/load", "a.b", "Zulu", Mode.BATCH)]
    arrows = copy_graph(Graph(build.nodes, edges), "datasets", None, "").arrows
    assert [(arrow.label, arrow.stream) for arrow in arrows if arrow.downstream == "a.b"] == [("Again", True)]


def test_domains_are_a_box_per_family_and_domain() -> None:
    picture = _picture("domains")
    assert [box.id for box in picture.in_layer(Layer.STORAGE)] == ["main/D1", "main/D2", "main/D3", "marketing/D2"]
    box = next(box for box in picture.boxes if box.id == "marketing/C")
    assert (box.name, box.detail) == ("Processing (Batch/Stream), domain marketing", "1 node")
    assert box.title == "Processing (Batch/Stream), domain marketing, 1 node: 1 blocked"
    assert box.badge == Badge("blocked", "1 blocked")
    assert ("main/D2", "marketing/C") in {(arrow.upstream, arrow.downstream) for arrow in picture.drawn}


def test_a_box_that_passes_data_on_to_itself_draws_no_arrow() -> None:
    arrows = _picture("domains")
    assert ("main/C", "main/C") in {(arrow.upstream, arrow.downstream) for arrow in arrows.arrows}
    assert ("main/C", "main/C") not in {(arrow.upstream, arrow.downstream) for arrow in arrows.drawn}


def test_an_architecture_box_has_no_status_without_results_for_its_nodes() -> None:
    boxes = {box.id: box for box in _picture("architecture").boxes}
    assert boxes["A1"].badge is None
    assert boxes["D2"].badge == Badge("unchanged", "1 unchanged · 1 never")


def test_the_summary_counts_what_is_drawn() -> None:
    assert _picture().summary == (
        "15 nodes, 14 arrows, 1 blocked, 2 done, 1 failed, 1 never, 1 skipped, 1 stale, 1 stopped, 1 unchanged"
    )
    assert copy_graph(shop_graph(), "architecture", None, "").summary == "9 nodes, 8 arrows"


@given(st.lists(st.text(max_size=8), unique=True))
def test_ids_differ_when_names_differ(names: list[str]) -> None:
    ids = {node_id(name) for name in names}
    assert len(ids) == len(names)
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for text in ids)


def test_ids_are_readable() -> None:
    assert node_id("nyc.flights/load") == "n-nyc.flights--load"
    assert node_id("a-b c") == "n-a-2d-b-20-c"
