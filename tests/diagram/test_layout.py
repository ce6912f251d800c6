"""Places: nothing overlaps, nothing is cut, nothing jumps."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.graph import Edge, Graph, Node, Role
from headwater.core.layers import Family, Layer
from headwater.diagram.geometry import CAP, SKEW, Curve, PictureLayout, PlacedBox, Rect
from headwater.diagram.lanes import place_in_lanes
from headwater.diagram.legend import place_legend
from headwater.diagram.picture import Picture, copy_graph
from headwater.diagram.tiers import place_in_tiers

from .graphs import GraphBuilder, random_graph, random_results, reference_graph, shop_graph, shop_results

INGESTED = {Role.SOURCE, Role.EXTRACT, Role.LOAD}


def _pictures() -> dict[str, Picture]:
    found = {"shop": copy_graph(shop_graph(), "datasets", shop_results(), "shop"), "empty": _plain(Graph([], []))}
    for seed in range(4):
        graph = random_graph(200, seed)
        found[f"random {seed}"] = copy_graph(graph, "datasets", random_results(graph, seed), "")
        found[f"random {seed} without results"] = _plain(graph)
        found[f"domains {seed}"] = copy_graph(graph, "domains", random_results(graph, seed), "x" * 300)
    return found


def _plain(graph: Graph) -> Picture:
    return copy_graph(graph, "datasets", None, "")


PICTURES = _pictures()
LAYOUTS = {
    **{name: place_in_lanes(picture) for name, picture in PICTURES.items()},
    "reference": place_in_tiers(copy_graph(reference_graph(), "architecture", None, "Reference")),
    "tiers": place_in_tiers(copy_graph(random_graph(200, 1), "architecture", {}, "")),
    "tiers of shop": place_in_tiers(copy_graph(shop_graph(), "architecture", shop_results(), "shop")),
    "no tier": place_in_tiers(copy_graph(Graph([], []), "architecture", None, "")),
}
EVERY = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


def _inside(placed: PlacedBox, x: float, y: float) -> bool:
    """Whether a point lies in a box's shape, decided from the shape's own equation."""
    rect = placed.rect
    if not (rect.x - 0.1 <= x <= rect.right + 0.1 and rect.y <= y <= rect.bottom):
        return False
    if placed.shape == "parallelogram":
        return SKEW - 0.1 <= (x - rect.x) + SKEW * (y - rect.y) / rect.height <= rect.width + 0.1
    across, down = (x - rect.centre[0]) / (rect.width / 2), (y - rect.centre[1]) / (rect.height / 2)
    if placed.shape == "ellipse":
        return across**2 + down**2 <= 1.01
    if placed.shape == "cylinder":
        rim = CAP * (1 - across**2) ** 0.5 if abs(across) < 1 else 0.0
        return rect.y + CAP + rim <= y <= rect.bottom - CAP + rim
    return True


@EVERY
def test_no_two_boxes_overlap(layout: PictureLayout) -> None:
    assert not [(a.box.id, b.box.id) for a, b in combinations(layout.boxes, 2) if a.rect.overlaps(b.rect)]


@EVERY
def test_no_text_is_cut(layout: PictureLayout) -> None:
    for placed in layout.boxes:
        for line in placed.lines:
            rect = line.rect
            corners = [(x, y) for x in (rect.x, rect.right) for y in (rect.y + line.size * 0.1, line.y)]
            assert all(_inside(placed, x, y) for x, y in corners), (placed.box.id, line)


@EVERY
def test_lines_of_a_box_do_not_overlap(layout: PictureLayout) -> None:
    for placed in layout.boxes:
        assert not [1 for a, b in combinations(placed.lines, 2) if a.rect.overlaps(b.rect)]


@EVERY
def test_everything_is_on_the_sheet(layout: PictureLayout) -> None:
    rects = [placed.rect for placed in layout.boxes] + [band.rect for band in layout.bands]
    lines = [sample.text for sample in layout.legend] + [rule.heading for rule in layout.rules]
    rects += [line.rect for line in [*lines, *([layout.heading] if layout.heading else [])]]
    rects += [Rect(*route.curve.at(share / 20), 0, 0) for route in layout.routes for share in range(21)]
    for rect in rects:
        assert rect.x >= 0
        assert rect.y >= 0
        assert rect.right <= layout.width
        assert rect.bottom <= layout.height


@EVERY
def test_headings_legend_and_boxes_keep_apart(layout: PictureLayout) -> None:
    texts = [band.heading for band in layout.bands] + [rule.heading for rule in layout.rules]
    texts += [sample.text for sample in layout.legend] + [band.empty for band in layout.bands if band.empty]
    texts += [layout.heading] if layout.heading else []
    for line in texts:
        assert not [placed.box.id for placed in layout.boxes if placed.rect.overlaps(line.rect)], line
    assert not [pair for pair in combinations(texts, 2) if pair[0].rect.overlaps(pair[1].rect)]


@EVERY
def test_every_box_stands_on_its_layer(layout: PictureLayout) -> None:
    bands = {band.layer: band.rect for band in layout.bands}
    for placed in layout.boxes:
        band = bands[placed.box.layer]
        assert band.x <= placed.rect.x
        assert placed.rect.right <= band.right
        assert band.y <= placed.rect.y
        assert placed.rect.bottom <= band.bottom


@EVERY
def test_an_arrow_begins_and_ends_at_its_boxes_and_crosses_no_other(layout: PictureLayout) -> None:
    boxes = {placed.box.id: placed for placed in layout.boxes}
    assert {route.arrow for route in layout.routes} == set(layout.picture.drawn)
    for route in layout.routes:
        ends = (boxes[route.arrow.upstream], boxes[route.arrow.downstream])
        for placed, point in zip(ends, (route.curve.at(0), route.curve.at(1)), strict=True):
            assert _near_border(placed, *point), route.arrow
        others = [placed.rect for name, placed in boxes.items() if name not in (ends[0].box.id, ends[1].box.id)]
        points = [route.curve.at(share / 40) for share in range(41)]
        near = [rect for rect in others if any(rect.contains(point) for point in points)]
        assert not near, route.arrow


def _near_border(placed: PlacedBox, x: float, y: float) -> bool:
    around = [(x + dx, y + dy) for dx in (-2, 0, 2) for dy in (-2, 0, 2)]
    return len({_inside_body(placed, *point) for point in around}) == 2


def _inside_body(placed: PlacedBox, x: float, y: float) -> bool:
    """As `_inside`, but a cylinder is taken as its rectangle: arrows do not care for its lid."""
    if placed.shape == "cylinder":
        rect = placed.rect
        return rect.x <= x <= rect.right and rect.y <= y <= rect.bottom
    return _inside(placed, x, y)


@pytest.mark.parametrize("name", ["reference", "tiers", "tiers of shop"])
def test_labels_of_arrows_keep_apart_and_off_the_boxes(name: str) -> None:
    layout = LAYOUTS[name]
    labels = [route.label for route in layout.routes if route.label]
    assert len(labels) == len(layout.routes)
    assert not [pair for pair in combinations(labels, 2) if pair[0].rect.overlaps(pair[1].rect)]
    assert not [line for line in labels for placed in layout.boxes if placed.rect.overlaps(line.rect)]


def test_an_arrow_that_passes_a_tier_goes_beside_its_boxes() -> None:
    build = GraphBuilder()
    for family in list(Family)[:4]:
        build.source(f"{family.name.lower()}.rows", family)
    build.model("marts.rows", ["files.rows"], store=Family.LAKE)
    build.consumer("boards.one", ["files.rows"], Family.BI, "board")
    for upstream in ("databases.rows/source", "apis.rows/extract"):
        build.link(upstream, "boards.one")
    build.link("files.rows/source", "marts.rows")
    layout = place_in_tiers(copy_graph(build.graph(), "architecture", None, ""))
    pieces = {(r.arrow.upstream, r.arrow.downstream): len(r.curve.pieces) for r in layout.routes}
    assert (pieces["A1", "E1"], pieces["B", "E1"], pieces["A4", "D1"], pieces["A1", "B"]) == (7, 5, 5, 1)
    test_an_arrow_begins_and_ends_at_its_boxes_and_crosses_no_other(layout)


def test_a_tier_without_boxes_is_passed_straight() -> None:
    build = GraphBuilder()
    source = build.add("a.b", Role.SOURCE, Family.FILES, "x")
    build.link(source, build.add("c.d", Role.CONSUMER, Family.BI, "x"))
    layout = place_in_tiers(copy_graph(build.graph(), "architecture", None, ""))
    assert [len(route.curve.pieces) for route in layout.routes] == [1]


def test_a_legend_that_is_too_wide_goes_on_in_the_next_line() -> None:
    samples, end = place_legend(PICTURES["shop"], 300, 0)
    assert len({sample.y for sample in samples}) > 2
    assert max(sample.text.rect.right for sample in samples) <= 300
    assert max(sample.y for sample in samples) < end


def test_labels_of_arrows_that_cross_keep_apart() -> None:
    build = GraphBuilder()
    lake, warehouse = (build.add(f"a.{f}", Role.DATASET, f, "x") for f in (Family.LAKE, Family.WAREHOUSE))
    board, training = (build.add(f"c.{f}", Role.CONSUMER, f, "x") for f in (Family.BI, Family.MACHINE_LEARNING))
    build.link(lake, training)
    build.link(warehouse, board)
    layout = place_in_tiers(copy_graph(build.graph(), "architecture", None, ""))
    one, other = (route.label for route in layout.routes)
    assert one
    assert other
    assert not one.rect.overlaps(other.rect)


@pytest.mark.parametrize("name", ["shop", "reference", "tiers of shop"])
def test_text_of_usual_length_is_not_shortened(name: str) -> None:
    assert not [line.text for placed in LAYOUTS[name].boxes for line in placed.lines if "…" in line.text]


def test_a_label_without_a_free_place_is_still_drawn() -> None:
    build = GraphBuilder()
    sources = [build.add(f"s.t{i}", Role.SOURCE, family, "x") for i, family in enumerate(list(Family)[:4])]
    sinks = [build.add(f"c.{i}", Role.CONSUMER, family, "x") for i, family in enumerate(list(Family)[10:])]
    for upstream in sources:
        for downstream in sinks:
            build.link(upstream, downstream)
    layout = place_in_tiers(copy_graph(build.graph(), "architecture", None, ""))
    assert len([route for route in layout.routes if route.label]) == 12


# ----------------------------------------------------------------------------------------------------------- lanes


def test_lanes_stand_in_the_order_of_the_layers_even_when_empty() -> None:
    layout = LAYOUTS["empty"]
    assert [band.layer for band in layout.bands] == list(Layer)
    assert [band.empty.text for band in layout.bands if band.empty] == ["none"] * 5
    xs = [band.rect.x for band in LAYOUTS["shop"].bands]
    assert xs == sorted(xs)


def test_boxes_of_one_dataset_stand_side_by_side() -> None:
    ys = {placed.box.id: placed.rect.y for placed in LAYOUTS["shop"].boxes}
    assert len({ys[f"shop.orders{role}"] for role in ("/source", "/extract", "/load", "")}) == 1
    assert ys["marts.revenue/transform"] == ys["marts.revenue"]


def test_consumers_stand_beside_what_they_read() -> None:
    ys = {placed.box.id: placed.rect.y for placed in LAYOUTS["shop"].boxes}
    assert ys["boards.revenue"] == ys["marts.revenue"]
    assert ys["apps.mailer"] == ys["reports.weekly"]


def test_each_domain_begins_with_a_line_when_there_are_several() -> None:
    layout = LAYOUTS["shop"]
    assert [rule.heading.text for rule in layout.rules] == ["domain main", "domain marketing"]
    ys = {placed.box.id: placed.rect.y for placed in layout.boxes}
    assert ys["marts.revenue"] < layout.rules[1].y < ys["reports.weekly"]
    assert LAYOUTS["empty"].rules == ()


def test_several_boxes_of_a_dataset_in_one_lane_take_a_row_each() -> None:
    build = GraphBuilder()
    for role in (Role.TRANSFORM, Role.PUBLISH):
        build.add("a.b", role, Family.PROCESSING, "x")
    build.add("a.c", Role.TRANSFORM, Family.PROCESSING, "x")
    ys = {placed.box.id: placed.rect.y for placed in place_in_lanes(_plain(build.graph())).boxes}
    assert ys["a.b/transform"] < ys["a.b/publish"] < ys["a.c/transform"]


def test_arrows_that_pass_a_lane_go_between_the_rows() -> None:
    build = GraphBuilder()
    for name in ("a.a", "a.b", "a.c"):
        build.source(name)
    build.link("a.a/source", "a.c")
    build.link("a.c/source", "a.a")
    build.link("a.a", "a.c/source")
    build.link("a.c", "a.a/source")
    layout = place_in_lanes(_plain(build.graph()))
    long = [route for route in layout.routes if len(route.curve.pieces) == 5]
    assert len(long) == 4
    test_an_arrow_begins_and_ends_at_its_boxes_and_crosses_no_other(layout)


def test_arrows_side_by_side_turn_at_different_places() -> None:
    build = GraphBuilder()
    for name in ("a.a", "a.b", "a.c"):
        build.source(name)
    build.model("m.one", ["a.a"])
    build.model("m.two", ["a.b"])
    layout = place_in_lanes(_plain(build.graph()))
    returns = [r.curve for r in layout.routes if r.arrow.downstream in ("m.one/transform", "m.two/transform")]
    turns = {round(curve.pieces[0][0][0]) for curve in returns}
    assert len(turns) == 2


def test_a_curve_passes_its_points() -> None:
    curve = Curve.through([(0, 0), (10, 10), (20, 10)])
    assert [curve.at(share) for share in (0, 0.5, 1)] == [(0, 0), (10, 10), (20, 10)]


# ------------------------------------------------------------------------------------------------------- stability

NAMES = st.sampled_from([f"{a}.{b}" for a in ("raw", "marts", "a", "z") for b in ("a", "b", "c", "é", "Z")])
PARTS = st.tuples(NAMES, st.sampled_from(list(Role)), st.sampled_from(list(Family)), st.sampled_from(["main", "ops"]))


def _node(part: tuple[str, Role, Family, str]) -> Node:
    name, role, family, domain = part
    return Node(f"{name}/{role}-{family}", family, "x", role, domain=domain)


@st.composite
def graphs_and_one_more(draw: st.DrawFn) -> tuple[Graph, Graph, Node]:
    nodes = [_node(part) for part in draw(st.lists(PARTS, min_size=1, max_size=20, unique_by=lambda p: _node(p).name))]
    known = {node.name for node in nodes}
    new = _node(draw(PARTS.filter(lambda part: _node(part).name not in known)))
    pairs = draw(st.lists(st.tuples(st.sampled_from(nodes), st.sampled_from(nodes)), max_size=20))
    edges = [Edge(a.name, b.name, "x") for a, b in pairs if a is not b]
    into = draw(st.lists(st.sampled_from(nodes), max_size=4))
    out_of = draw(st.lists(st.sampled_from(nodes), max_size=4))
    more = [*(Edge(new.name, n.name, "x") for n in into), *(Edge(n.name, new.name, "x") for n in out_of)]
    at = draw(st.integers(0, len(nodes)))
    return Graph(nodes, edges), Graph([*nodes[:at], new, *nodes[at:]], [*more, *edges]), new


@settings(max_examples=150, deadline=None)
@given(graphs_and_one_more())
def test_adding_a_node_reorders_no_other(case: tuple[Graph, Graph, Node]) -> None:
    before, after, new = case
    # A dataset that is loaded from a source only from now on moves among the others, for it has itself changed.
    moved = {new.dataset} if new.role in INGESTED else set()
    old = [name for name in before.nodes if before.nodes[name].dataset not in moved]
    assert _order(after, old) == _order(before, old)


def _order(graph: Graph, names: list[str]) -> dict[Layer, list[str]]:
    placed = sorted(place_in_lanes(_plain(graph)).boxes, key=lambda box: box.rect.y)
    return {layer: [p.box.id for p in placed if p.box.layer is layer and p.box.id in names] for layer in Layer}


@settings(max_examples=60, deadline=None)
@given(graphs_and_one_more(), st.randoms())
def test_the_order_of_declaration_does_not_matter(case: tuple[Graph, Graph, Node], rng) -> None:  # type: ignore[no-untyped-def]
    graph = case[1]
    nodes, edges = list(graph.nodes.values()), list(graph.edges)
    rng.shuffle(nodes)
    rng.shuffle(edges)
    assert place_in_lanes(_plain(Graph(nodes, edges))) == place_in_lanes(_plain(graph))


@settings(max_examples=60, deadline=None)
@given(graphs_and_one_more())
def test_any_graph_is_laid_out_without_overlap(case: tuple[Graph, Graph, Node]) -> None:
    layout = place_in_lanes(_plain(case[1]))
    test_no_two_boxes_overlap(layout)
    test_an_arrow_begins_and_ends_at_its_boxes_and_crosses_no_other(layout)
