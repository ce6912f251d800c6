"""A source of changes for tests: a log in a Python list that a run reads from its position on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from headwater import plugins
from headwater.contracts import Chunk, ChunkEnd, Reading, TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import quote_text
from headwater.core.layers import Family
from headwater.core.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

    from headwater.contracts import ReadRequest

COLUMNS = (Column("id", "BIGINT"), Column("name", "VARCHAR"), Column("body", "VARCHAR"))

Entry = tuple[str, int | None, str | None, str | None, tuple[str, ...]]
"""Operation, id, name, body, columns that are not repeated."""


class NothingSpec(Spec):
    """No keys of its own."""


class ChangeLog:
    """Reads the class's `log` from the position on, `chunk` entries at a time; `reported` is what it was told."""

    kind: ClassVar[str] = "changelog"
    family: ClassVar[Family] = Family.DATABASES
    connection_spec: ClassVar[type[Spec]] = NothingSpec
    table_spec: ClassVar[type[Spec]] = NothingSpec
    loads = ("full", "incremental", "cdc")
    log: ClassVar[list[Entry]] = []
    chunk: ClassVar[int] = 1_000
    reported: ClassVar[list[Any]] = []

    def __init__(self, spec: Any, root: str) -> None:
        del spec, root

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        return {name: TableDescription(columns=COLUMNS) for name in tables}

    def read(self, table: str, request: ReadRequest) -> Reading:
        del table
        begin = int(request.position.get("at", 0))
        return Reading(
            {"upto": len(self.log)},
            self._chunks(begin, request),
            ("_hw_op", "_hw_seq", "_hw_unchanged"),
            report=lambda position: self.reported.append(position.get("at")),
        )

    def _chunks(self, begin: int, request: ReadRequest) -> Iterator[Chunk]:
        upto = (request.manifest or {"upto": len(self.log)})["upto"]
        for start in range(begin, upto, self.chunk):
            end = min(start + self.chunk, upto)
            if f"c{start}" not in request.finished:
                rows = ", ".join(_row(number, self.log[number]) for number in range(start, end))
                names = "id, name, body, _hw_op, _hw_seq, _hw_unchanged"
                query = f"SELECT * FROM (VALUES {rows}) AS t({names})"
                yield Chunk(f"c{start}", query, lambda end=end: ChunkEnd({"at": end}))  # type: ignore[misc]


def _row(number: int, entry: Entry) -> str:
    op, key, name, body, unchanged = entry
    texts = ["NULL" if value is None else quote_text(value) for value in (name, body)]
    said = ", ".join(quote_text(column) for column in unchanged)
    return (
        f"({'NULL' if key is None else key}::BIGINT, {texts[0]}::VARCHAR, {texts[1]}::VARCHAR, "
        f"{quote_text(op)}, {number + 1}::BIGINT, [{said}]::VARCHAR[])"
    )


def install(monkeypatch: pytest.MonkeyPatch, chunk: int = 1_000) -> list[Entry]:
    """Register the kind `changelog` and return its empty log."""
    log: list[Entry] = []
    monkeypatch.setattr(ChangeLog, "log", log)
    monkeypatch.setattr(ChangeLog, "chunk", chunk)
    monkeypatch.setattr(ChangeLog, "reported", [])
    monkeypatch.setitem(plugins._points("sources"), "changelog", SimpleNamespace(load=lambda: ChangeLog))  # type: ignore[arg-type]
    return log


def replay(log: list[Entry]) -> list[tuple[int, str | None, str | None]]:
    """What the table holds after a log: the plain model."""
    table: dict[int, tuple[str | None, str | None]] = {}
    for op, key, name, body, unchanged in log:
        if op == "truncate":
            table.clear()
        elif op == "delete":
            table.pop(key or 0, None)
        else:
            old = table.get(key or 0, (None, None))
            table[key or 0] = (old[0] if "name" in unchanged else name, old[1] if "body" in unchanged else body)
    return sorted((key, *values) for key, values in table.items())
