"""A connector outside the tree: counts to the number in a file. No line of Headwater knows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import Chunk, ChunkEnd, Reading, TableDescription
from headwater.core.commit import Column
from headwater.core.layers import Family
from headwater.core.specs import Spec
from headwater.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.contracts import ReadRequest

CHUNK_ROWS = 10


class CounterSpec(Spec):
    """Where the number stands."""

    file: str


class CounterTable(Spec):
    """Every `step`-th number."""

    step: int = 1


class Counter:
    """Numbers from 1 to the one in a file.

    Emits: `n` BIGINT and `square` BIGINT, in chunks of ten numbers.
    Units and time zone: none.
    State: the last number read.
    Delivery: each number once.
    Raises: ConnectorError when the file holds no number.
    Source: this file.
    """

    kind: ClassVar[str] = "counter"
    family: ClassVar[Family] = Family.APIS
    connection_spec: ClassVar[type[Spec]] = CounterSpec
    table_spec: ClassVar[type[Spec]] = CounterTable

    def __init__(self, spec: Any, root: str) -> None:
        self.file = Path(root) / spec.file

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        columns = (Column("n", "BIGINT"), Column("square", "BIGINT"))
        return {name: TableDescription(columns, ("n",), version=str(self._end())) for name in tables}

    def read(self, table: str, request: ReadRequest) -> Reading:
        end = int(request.manifest["end"]) if request.manifest else self._end()
        return Reading({"end": end}, self._chunks(request, end))

    def _chunks(self, request: ReadRequest, end: int) -> Iterator[Chunk]:
        first = int(request.position.get("cursor", 0)) + 1
        for start in range(first, end + 1, CHUNK_ROWS):
            last = min(start + CHUNK_ROWS - 1, end)
            if f"from {start}" not in request.finished:
                query = (
                    f"SELECT range AS n, range * range AS square FROM range({start}, {last + 1}) "
                    f"WHERE range % {request.options.step} = 0"
                )
                yield Chunk(f"from {start}", query, lambda last=last: ChunkEnd({"cursor": last}))

    def _end(self) -> int:
        try:
            return int(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConnectorError(f"{self.file.name} holds no number: {error}", fix="write one into it") from None
