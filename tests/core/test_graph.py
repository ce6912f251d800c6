"""The graph: unique names, known ends, an order without cycles, walks and boxes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Location, Mode, Node, Role, node_name
from headwater.core.layers import LOOKS, Family, Layer, arrow_label


def node(name: str, family: Family = Family.PROCESSING) -> Node:
    return Node(name, family, "table", Role.TRANSFORM)


def graph(*pairs: tuple[str, str], alone: str = "") -> Graph:
    names = dict.fromkeys([*alone, *(name for pair in pairs for name in pair)])
    return Graph([node(name) for name in names], [Edge(up, down, "") for up, down in pairs])


PAIRS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12)


@given(PAIRS)
def test_the_order_has_every_node_after_what_it_reads_or_names_a_cycle(pairs: list[tuple[str, str]]) -> None:
    found = graph(*pairs, alone="abcdef")
    cycle = found.find_cycle()
    if cycle:
        assert cycle[0] == cycle[-1]
        assert set(pairwise(cycle)) <= set(pairs)
        with pytest.raises(ValueError, match=f"^cycle: {' -> '.join(cycle)}$"):
            _ = found.order
    else:
        position = {name: index for index, name in enumerate(found.order)}
        assert sorted(position) == list("abcdef")
        assert all(position[up] < position[down] for up, down in pairs)


@given(PAIRS, st.sampled_from("abcdef"), st.integers(0, 3))
def test_walks_stop_after_so_many_hops(pairs: list[tuple[str, str]], start: str, hops: int) -> None:
    found = graph(*pairs, alone="abcdef")
    reached, edge = {start}, {start}
    for _ in range(hops):
        edge = {down for up, down in pairs if up in edge} - reached
        reached |= edge
    assert found.descendants([start], hops) == reached - {start}
    backwards = graph(*((down, up) for up, down in pairs), alone="abcdef")
    assert backwards.ancestors([start], hops) == reached - {start}
    assert found.descendants([start]) >= found.descendants([start], hops)


def test_neighbours_in_the_order_of_edges() -> None:
    found = graph(("a", "c"), ("b", "c"), ("a", "c"), ("c", "d"))
    assert (found.upstream("c"), found.downstream("c"), found.upstream("a")) == (("a", "b"), ("d",), ())


def test_names_are_unique_and_ends_are_known() -> None:
    with pytest.raises(ValueError, match="two nodes are named a"):
        Graph([node("a"), node("a")], [])
    with pytest.raises(ValueError, match="edge a -> z: no node named z"):
        Graph([node("a")], [Edge("a", "z", "")])


def test_boxes_and_the_arrows_between_them() -> None:
    nodes = [
        node("s", Family.FILES),
        node("e", Family.INGESTION),
        node("e2", Family.INGESTION),
        node("m", Family.WAREHOUSE),
    ]
    edges = [Edge("s", "e", ""), Edge("s", "e2", ""), Edge("e", "e2", ""), Edge("e", "m", "", Mode.STREAM)]
    found = Graph(nodes, edges)
    assert found.family_edges() == {
        (Family.FILES, Family.INGESTION): "Flat Files & Logs", (Family.INGESTION, Family.WAREHOUSE): "Reads",
    }  # fmt: skip
    assert found.families() == (Family.FILES, Family.INGESTION, Family.WAREHOUSE)


def test_names_of_nodes() -> None:
    assert node_name("a.b", Role.DATASET) == node_name("a.b", Role.CONSUMER) == "a.b"
    assert node_name("a.b", Role.LOAD) == "a.b/load"
    assert (node("a.b/load").dataset, node("a.b").dataset) == ("a.b", "a.b")
    assert node("a", Family.LAKE).layer is Layer.STORAGE


def test_locations_show_what_is_known() -> None:
    assert [str(Location("a.sql", *where)) for where in [(), (3,), (3, 7)]] == ["a.sql", "a.sql:3", "a.sql:3:7"]


def test_layers_and_labels() -> None:
    assert [layer.heading for layer in Layer][:2] == ["Data Sources", "Ingestion"]
    assert set(LOOKS) == set(Layer)
    assert Family.MESH.label == "Data Mesh"
    assert {family.layer for family in Family} == set(Layer)
    assert arrow_label(Family.LAKE, Family.MACHINE_LEARNING) == "Big Data Processing"
    assert arrow_label(Family.LAKE, Family.BI) == "Reads"
