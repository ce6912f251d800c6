"""The conformance suite of stores: what every store must do, as tests that a store's own test class inherits.

    class TestWarehouse(StoreContract):
        store_class = Warehouse

Override the fixture `store_path` when the store does not live in a folder of the file system. A store is tested with
the change modes it names in `capabilities`; what it cannot do is skipped.
"""

from __future__ import annotations

from headwater.testing.store_changes import ChangeContract
from headwater.testing.store_columns import ColumnContract
from headwater.testing.store_commits import CommitContract
from headwater.testing.store_fixtures import COLUMNS, MemorySession, Writer, rows_of
from headwater.testing.store_groups import GroupContract
from headwater.testing.store_loads import LoadContract
from headwater.testing.store_objects import ObjectContract

__all__ = ["COLUMNS", "MemorySession", "StoreContract", "Writer", "rows_of"]


class StoreContract(CommitContract, ChangeContract, ColumnContract, GroupContract, LoadContract, ObjectContract):
    """Everything a store must do: inherit it and set `store_class`."""
