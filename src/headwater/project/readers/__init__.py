"""Readers of the project's folders: one per folder gives declarations, datasets, nodes and what they read."""

from headwater.project.readers.consumers import DASHBOARDS, LEARNED
from headwater.project.readers.models import MODELS
from headwater.project.readers.products import PRODUCTS
from headwater.project.readers.reader import DOMAINS, Declared, FolderReader, LoadContext
from headwater.project.readers.sources import SOURCES

READERS: tuple[FolderReader, ...] = (SOURCES, MODELS, PRODUCTS, DASHBOARDS, LEARNED)
"""In the order in which their datasets are shown."""

__all__ = ["DOMAINS", "READERS", "Declared", "FolderReader", "LoadContext"]
