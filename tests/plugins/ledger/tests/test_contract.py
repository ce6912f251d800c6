"""The package's own test: it subclasses the public suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater_ledger import Ledger, LedgerSpec, LedgerTable

from headwater.testing.sources import SourceContract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TestLedger(SourceContract):
    rereads_last = False

    def make_source(self, folder: Path) -> Ledger:
        return Ledger(LedgerSpec(), str(folder))

    def options(self) -> LedgerTable:
        return LedgerTable(file="items.txt")

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        with (folder / "items.txt").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(list(row)) + "\n" for row in rows)
