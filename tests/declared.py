"""Stores as a project declares them, nowhere in particular: the built-in ones and another package's."""

from __future__ import annotations

from headwater.core.stores import DeclaredStore
from headwater.plugins import load_store

STORES = {
    **{
        kind: DeclaredStore(kind, kind, "", load_store(kind).capabilities)
        for kind in ("lake", "lakehouse", "warehouse")
    },
    "other": DeclaredStore("other", "other", ""),
}
