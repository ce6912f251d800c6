"""The store passes Headwater's public suite."""

from __future__ import annotations

from typing import ClassVar

from headwater_ledger.store import Shelf

from headwater.testing.stores import StoreContract


class TestShelf(StoreContract):
    store_class: ClassVar[type] = Shelf
