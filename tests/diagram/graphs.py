"""Graphs to draw: a small project, one with every box and arrow of the reference picture, and random ones."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

from headwater.core.graph import Edge, Graph, Mode, Node, Role, node_name
from headwater.core.layers import ARROWS, Family, arrow_label
from headwater.core.run import Status
from headwater.diagram import NodeStatus

GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Compare a text with a golden file; UPDATE_GOLDEN=1 writes the file instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; UPDATE_GOLDEN=1 accepts the new text"


class GraphBuilder:
    """Collects nodes and edges in the way a loaded project has them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def add(self, dataset: str, role: Role, family: Family, kind: str, domain: str = "main") -> str:
        name = node_name(dataset, role)
        self.nodes.append(Node(name, family, kind, role, domain=domain))
        return name

    def link(self, upstream: str, downstream: str, mode: Mode = Mode.BATCH) -> None:
        families = {node.name: node.family for node in self.nodes}
        self.edges.append(Edge(upstream, downstream, arrow_label(families[upstream], families[downstream]), mode))

    def source(
        self,
        dataset: str,
        family: Family = Family.FILES,
        kind: str = "files",
        store: Family = Family.LAKEHOUSE,
        domain: str = "main",
        mode: Mode = Mode.BATCH,
    ) -> None:
        names = [
            self.add(dataset, Role.SOURCE, family, kind, domain),
            self.add(dataset, Role.EXTRACT, Family.INGESTION, kind, domain),
            self.add(dataset, Role.LOAD, Family.PROCESSING, "batch", domain),
            self.add(dataset, Role.DATASET, store, store.name.lower(), domain),
        ]
        for upstream, downstream in pairwise(names):
            self.link(upstream, downstream, mode)

    def model(
        self,
        dataset: str,
        inputs: list[str],
        kind: str = "table",
        store: Family = Family.WAREHOUSE,
        domain: str = "main",
    ) -> None:
        transform = self.add(dataset, Role.TRANSFORM, Family.PROCESSING, kind, domain)
        stored = {node.name for node in self.nodes}
        for name in inputs:
            self.link(name if name in stored else node_name(name, Role.TRANSFORM), transform)
        if kind != "view":
            self.link(transform, self.add(dataset, Role.DATASET, store, store.name.lower(), domain))

    def consumer(self, name: str, inputs: list[str], family: Family, kind: str, domain: str = "main") -> None:
        self.add(name, Role.CONSUMER, family, kind, domain)
        for dataset in inputs:
            self.link(dataset, name)

    def graph(self) -> Graph:
        return Graph(self.nodes, self.edges)


def shop_graph() -> Graph:
    """A small project: two source tables, a view, two models, two consumers, one of them in a domain."""
    build = GraphBuilder()
    build.source("shop.orders", Family.DATABASES, "sqlite")
    build.source("web.clicks", Family.STREAMS, "kafka", Family.LAKE, mode=Mode.STREAM)
    build.model("staging.orders", ["shop.orders"], "view")
    build.model("marts.revenue", ["staging.orders", "web.clicks"])
    build.model("reports.weekly", ["marts.revenue"], "incremental", domain="marketing")
    build.consumer("boards.revenue", ["marts.revenue"], Family.BI, "dashboard")
    build.consumer("apps.mailer", ["reports.weekly"], Family.APPLICATIONS, "api", domain="marketing")
    return build.graph()


def shop_results() -> dict[str, NodeStatus]:
    """What a run of the small project left behind."""
    return {
        "shop.orders/extract": NodeStatus(Status.DONE, rows=336_776, rejected=12),
        "shop.orders": NodeStatus(Status.DONE, rows=336_776, freshness="3 min ago", version=7),
        "web.clicks": NodeStatus("stale", rows=1, freshness="2 days ago"),
        "marts.revenue/transform": NodeStatus(Status.FAILED, error="\nno column named amuont\n  in line 3"),
        "marts.revenue": NodeStatus(Status.UNCHANGED, rows=40, version=3),
        "reports.weekly/transform": NodeStatus(Status.BLOCKED),
        "reports.weekly": NodeStatus("never"),
        "boards.revenue": NodeStatus(Status.SKIPPED),
        "apps.mailer": NodeStatus(Status.STOPPED),
    }


def reference_graph(without: tuple[Family, Family] | None = None) -> Graph:
    """A graph with nodes of every family and every arrow of the reference picture; or all arrows but one."""
    build = GraphBuilder()
    sources = {
        Family.DATABASES: Family.WAREHOUSE,
        Family.APIS: Family.LAKEHOUSE,
        Family.STREAMS: Family.LAKE,
        Family.FILES: Family.LAKEHOUSE,
    }
    for family, store in sources.items():
        build.source(f"{family.name.lower()}.rows", family, "some", store)
    build.model("marts.rows", ["databases.rows"], store=Family.WAREHOUSE)
    build.model("product.rows_v1", ["files.rows"], store=Family.MESH)
    build.consumer("ml.churn", ["streams.rows"], Family.MACHINE_LEARNING, "training")
    build.consumer("boards.sales", ["marts.rows", "apis.rows"], Family.BI, "dashboard")
    build.consumer("apps.shop", ["product.rows_v1"], Family.APPLICATIONS, "api")
    families = {node.name: node.family for node in build.nodes}
    kept = [edge for edge in build.edges if (families[edge.upstream], families[edge.downstream]) != without]
    assert without is None or (without in ARROWS and len(kept) < len(build.edges))
    return Graph(build.nodes, kept)


def random_graph(nodes: int, seed: int) -> Graph:
    """A project of about so many nodes with names of all lengths, models that read anything, and three domains."""
    rng = random.Random(seed)
    build = GraphBuilder()
    datasets: list[str] = []
    while len(build.nodes) < nodes:
        domain = rng.choice(["main", "main", "ops", "marketing"])
        name = f"{rng.choice(['raw', 'staging', 'marts'])}.{'x' * rng.randint(1, 60)}_{len(build.nodes)}"
        inputs = rng.sample(datasets, min(len(datasets), rng.randint(0, 3)))
        choice = rng.random()
        if choice < 0.4:
            build.source(name, rng.choice(list(Family)[:4]), domain=domain, mode=rng.choice(list(Mode)))
        elif choice < 0.8:
            build.model(name, inputs, rng.choice(["table", "view"]), rng.choice(list(Family)[6:10]), domain)
        else:
            build.consumer(name, inputs, rng.choice(list(Family)[10:]), "some", domain)
        if any(node.name == name and node.role is Role.DATASET for node in build.nodes[-1:]):
            datasets.append(name)
    return build.graph()


def random_results(graph: Graph, seed: int) -> dict[str, NodeStatus]:
    """A status for most nodes, with long and short texts."""
    rng = random.Random(seed)
    words: list[str] = [*(str(status) for status in Status), "stale", "never"]
    results = {}
    for name in graph.nodes:
        word = rng.choice(words)
        status = Status(word) if word in set(Status) else word
        rows = rng.choice([None, 0, 1, 10 ** rng.randint(1, 12)])
        results[name] = NodeStatus(status, rows, rng.choice([0, 99_999]), "3 min ago", "wrong " * rng.randint(0, 40))  # type: ignore[arg-type]
    return results
