"""A connector outside the tree: entries of an append-only text file. No line of Headwater knows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import Chunk, ChunkEnd, Reading, TableDescription
from headwater.core.commit import Column
from headwater.core.layers import Family
from headwater.core.specs import Spec
from headwater.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.contracts import ReadRequest

COLUMNS = (Column("id", "BIGINT"), Column("changed", "BIGINT"), Column("name", "VARCHAR"))


class LedgerSpec(Spec):
    """Where the ledgers lie."""

    folder: str = "."


class LedgerTable(Spec):
    """One ledger: a file of lines `[id, changed, name]`."""

    file: str
    first: int = 0


class Ledger:
    """Entries of an append-only file, a JSON list a line.

    Emits: `id` BIGINT, `changed` BIGINT, `name` VARCHAR, in the order of the lines, in chunks of `chunk_rows`.
    Units and time zone: none.
    State: how many lines were read.
    Delivery: each line once.
    Raises: ConnectorError for a line that is no entry.
    Source: this file.
    """

    kind: ClassVar[str] = "ledger"
    family: ClassVar[Family] = Family.APIS
    connection_spec: ClassVar[type[Spec]] = LedgerSpec
    table_spec: ClassVar[type[Spec]] = LedgerTable

    def __init__(self, spec: Any, root: str) -> None:
        self.folder = Path(root) / spec.folder

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        return {
            name: TableDescription(COLUMNS, ("id",), version=str(len(self._lines(options))))
            for name, options in tables.items()
        }

    def read(self, table: str, request: ReadRequest) -> Reading:
        manifest = dict(request.manifest or {"end": len(self._lines(request.options))})

        def keys(_: Sequence[str]) -> str:
            return self._select(request, self._entries(request.options), "ledger_keys")

        return Reading(manifest, self._chunks(request, int(manifest["end"])), keys=keys)

    def _chunks(self, request: ReadRequest, end: int) -> Iterator[Chunk]:
        entries = self._entries(request.options)[:end]
        begin = int(request.position.get("lines", 0))
        for start in range(begin, end, request.chunk_rows):
            last = min(start + request.chunk_rows, end)
            if f"from {start}" not in request.finished:
                query = self._select(request, entries[start:last], f"ledger_{start}")
                yield Chunk(f"from {start}", query, lambda last=last: ChunkEnd({"lines": last}))

    def _select(self, request: ReadRequest, entries: list[list[Any]], name: str) -> str:
        import pyarrow as pa

        columns = list(zip(*entries, strict=True)) or [(), (), ()]
        types = (pa.int64(), pa.int64(), pa.string())
        arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
        request.connection.register(name, pa.table(arrays, names=[column.name for column in COLUMNS]))
        return f"SELECT id, changed, name FROM {name} WHERE id >= {request.options.first}"

    def _entries(self, options: Any) -> list[list[Any]]:
        entries = []
        for number, line in enumerate(self._lines(options), 1):
            try:
                identifier, changed, name = json.loads(line)
            except ValueError:
                raise ConnectorError(f"{options.file}:{number} is no entry", fix="write [id, changed, name]") from None
            entries.append([identifier, changed, name])
        return entries

    def _lines(self, options: Any) -> list[str]:
        file = self.folder / options.file
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
