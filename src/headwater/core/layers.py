"""The reference picture: five layers, 13 boxes (families) and 13 labelled arrows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Layer(StrEnum):
    """The five layers, in the order data flows through them."""

    SOURCES = "sources"
    INGESTION = "ingestion"
    PROCESSING = "processing"
    STORAGE = "storage"
    CONSUMPTION = "consumption"

    @property
    def heading(self) -> str:
        """What a lane of the diagram is headed with."""
        return "Data Sources" if self is Layer.SOURCES else self.value.capitalize()


class Family(StrEnum):
    """The 13 boxes; the value is the box's id in the reference picture."""

    DATABASES = "A1"
    APIS = "A2"
    STREAMS = "A3"
    FILES = "A4"
    INGESTION = "B"
    PROCESSING = "C"
    LAKE = "D1"
    WAREHOUSE = "D2"
    LAKEHOUSE = "D3"
    MESH = "D4"
    BI = "E1"
    MACHINE_LEARNING = "E2"
    APPLICATIONS = "E3"

    @property
    def layer(self) -> Layer:
        """The layer this box stands in."""
        return _LAYER_OF_LETTER[self.value[0]]

    @property
    def label(self) -> str:
        """The box's label in the reference picture."""
        return _LABELS[self]


@dataclass(frozen=True, slots=True)
class Look:
    """How a layer's boxes are drawn (Graphviz names)."""

    shape: str
    fill: str


_LAYER_OF_LETTER = {
    "A": Layer.SOURCES,
    "B": Layer.INGESTION,
    "C": Layer.PROCESSING,
    "D": Layer.STORAGE,
    "E": Layer.CONSUMPTION,
}

_LABELS = {
    Family.DATABASES: "Databases (SQL, NoSQL)",
    Family.APIS: "APIs & Web Services",
    Family.STREAMS: "IoT & Streaming Data",
    Family.FILES: "Files & Logs",
    Family.INGESTION: "Data Ingestion (ETL/ELT)",
    Family.PROCESSING: "Processing (Batch/Stream)",
    Family.LAKE: "Data Lake",
    Family.WAREHOUSE: "Data Warehouse",
    Family.LAKEHOUSE: "Data Lakehouse",
    Family.MESH: "Data Mesh",
    Family.BI: "BI & Analytics",
    Family.MACHINE_LEARNING: "Machine Learning",
    Family.APPLICATIONS: "Operational Applications",
}

LOOKS = {
    Layer.SOURCES: Look("parallelogram", "lightblue"),
    Layer.INGESTION: Look("box", "lightgray"),
    Layer.PROCESSING: Look("box", "lightgray"),
    Layer.STORAGE: Look("cylinder", "lightyellow"),
    Layer.CONSUMPTION: Look("ellipse", "lightgreen"),
}

ARROWS: dict[tuple[Family, Family], str] = {
    (Family.DATABASES, Family.INGESTION): "Structured Data",
    (Family.APIS, Family.INGESTION): "API Calls",
    (Family.STREAMS, Family.INGESTION): "Real-time Data",
    (Family.FILES, Family.INGESTION): "Flat Files & Logs",
    (Family.INGESTION, Family.PROCESSING): "Transformed Data",
    (Family.PROCESSING, Family.LAKE): "Raw & Semi-Structured Data",
    (Family.PROCESSING, Family.WAREHOUSE): "Structured & Aggregated Data",
    (Family.PROCESSING, Family.LAKEHOUSE): "Unified Storage & Processing",
    (Family.PROCESSING, Family.MESH): "Decentralized Data Management",
    (Family.LAKE, Family.MACHINE_LEARNING): "Big Data Processing",
    (Family.WAREHOUSE, Family.BI): "Querying & Dashboards",
    (Family.LAKEHOUSE, Family.BI): "BI & AI Workloads",
    (Family.MESH, Family.APPLICATIONS): "Decentralized Use Cases",
}

OTHER_ARROW = "Reads"
"""Label of a forward arrow outside the 13."""


def arrow_label(upstream: Family, downstream: Family) -> str:
    """Return the reference picture's label for an arrow, or "Reads" for one outside the 13."""
    return ARROWS.get((upstream, downstream), OTHER_ARROW)
