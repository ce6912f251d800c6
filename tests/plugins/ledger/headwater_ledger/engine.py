"""An engine that writes what a model gives into Parquet files, as one that runs elsewhere does."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, ClassVar

from headwater.contracts import Change, Computed, WrittenFiles
from headwater.core.commit import Column

if TYPE_CHECKING:
    from headwater.contracts import Computation


class Scribe:
    """Runs SQL of models that are tables; its rows are files until the store has taken them."""

    kind: ClassVar[str] = "scribe"

    def compute(self, asked: Computation) -> Computed:
        """Write the rows of a model into a file, and return the file."""
        folder = tempfile.TemporaryDirectory(prefix="scribe-", dir=os.path.join(asked.root, ".headwater"))
        path = os.path.join(folder.name, "rows.parquet")
        query = asked.text or asked.model.text
        asked.connection.execute(f"COPY (\n{query}\n) TO '{path}' (FORMAT parquet)")
        found = asked.connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()
        columns = tuple(Column(row[0], row[1]) for row in found)
        return Computed(Change("replace", WrittenFiles((path,), columns), columns), alive=folder)
