"""The drawing in words."""

from __future__ import annotations

from headwater.core.graph import Graph
from headwater.diagram import draw

from .graphs import check_golden, reference_graph, shop_graph, shop_results


def test_golden() -> None:
    check_golden("shop_datasets.txt", draw(shop_graph(), format="text", results=shop_results(), title="shop"))
    check_golden("shop_architecture.txt", draw(shop_graph(), level="architecture", format="text"))
    check_golden("shop_domains.txt", draw(shop_graph(), level="domains", format="text"))
    check_golden("reference.txt", draw(reference_graph(), level="architecture", format="text"))


def test_an_empty_graph_names_every_layer() -> None:
    text = draw(Graph([], []), format="text")
    assert text.startswith("Data architecture, datasets\n0 nodes, 0 arrows\n\nData Sources\n  none\n")
    assert text.count("  none\n") == 5
    assert "Forward" not in text
