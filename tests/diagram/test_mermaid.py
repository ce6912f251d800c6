"""Mermaid: nothing in a name is syntax, and what is too much for Mermaid says so."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Node, Role
from headwater.core.layers import Family
from headwater.diagram import draw

from .graphs import check_golden, reference_graph, shop_graph, shop_results


def _draw() -> str:
    return draw(shop_graph(), format="mermaid", results=shop_results())


def test_golden() -> None:
    check_golden("shop_datasets.mmd", _draw())
    check_golden("reference.mmd", draw(reference_graph(), level="architecture", format="mermaid"))


def test_layers_are_subgraphs() -> None:
    assert _draw().startswith("flowchart LR\n")
    assert re.findall(r"^  subgraph (\w+)", _draw(), re.MULTILINE) == [
        *("sources", "ingestion", "processing", "storage", "consumption")
    ]
    assert _draw().count("\n  end\n") == 5


def test_the_architecture_has_labelled_arrows_from_top_to_bottom() -> None:
    text = draw(reference_graph(), level="architecture", format="mermaid")
    assert text.startswith("flowchart TB\n")
    assert len(re.findall(r'n\d+ -->\|"[^"]+"\| n\d+', text)) == 13
    assert '-->|"Structured #38; Aggregated Data"|' in text


def test_shapes_and_statuses() -> None:
    text = _draw()
    assert '[/"shop.orders<br/>sqlite"/]' in text
    assert '["shop.orders<br/>extract · sqlite<br/>✓ 336,776 rows · 12 rejected"]' in text
    assert '[("shop.orders<br/>lakehouse<br/>✓ 336,776 rows · 3 min ago")]' in text
    assert '(["boards.revenue<br/>dashboard<br/>– skipped"])' in text
    failed = re.search(r'(n\d+)\["marts.revenue<br/>transform · table<br/>✕ failed', text)
    assert failed
    assert f"  class {failed[1]} failed\n" in text


def test_nothing_failed_and_no_class_for_it() -> None:
    assert "failed" not in draw(shop_graph(), format="mermaid")


def test_arrows_by_direction_and_mode() -> None:
    ids = {m[2]: m[1] for m in re.finditer(r'(n\d+)\W+"([\w.]+<br/>[\w ·]+)', draw(shop_graph(), format="mermaid"))}
    text = draw(shop_graph(), format="mermaid")
    orders, staging = ids["shop.orders<br/>lakehouse"], ids["staging.orders<br/>transform · view"]
    marts = ids["marts.revenue<br/>transform · table"]
    assert f"  {orders} -.-> {staging}\n" in text
    assert f"  {staging} -.-> {marts}\n" in text
    assert f"  {ids['shop.orders<br/>sqlite']} --> {ids['shop.orders<br/>extract · sqlite']}\n" in text
    assert f"  {ids['web.clicks<br/>kafka']} ==> {ids['web.clicks<br/>extract · kafka']}\n" in text


@pytest.mark.parametrize(("arrows", "warned"), [(500, False), (501, True)])
def test_more_than_500_arrows_warn(arrows: int, warned: bool) -> None:
    nodes = [Node(f"a.{i}", Family.LAKE, "", Role.DATASET) for i in range(arrows + 1)]
    text = draw(Graph(nodes, [Edge("a.0", f"a.{i + 1}", "") for i in range(arrows)]), format="mermaid")
    assert ("  %% 501 arrows: Mermaid draws 500 unless its setting maxEdges is raised" in text) is warned


def test_more_than_50_000_characters_warn() -> None:
    node = Node("a." + "b" * 50_000, Family.LAKE, "", Role.DATASET)
    assert re.search(r"\n  %% 50,\d+ characters: Mermaid reads 50,000 ", draw(Graph([node], []), format="mermaid"))


@given(st.text(min_size=1, max_size=30))
def test_a_name_is_never_syntax(name: str) -> None:
    text = draw(Graph([Node(name, Family.LAKE, "lake", Role.DATASET)], []), format="mermaid")
    line = text.split("\n")[2]
    match = re.fullmatch(r'    n1\[\("(.*)<br/>lake"\)\]|    n1\[\("lake"\)\]', line)
    assert match
    assert not set(match[1] or "") & set('"<>`&[]{}|\\')
