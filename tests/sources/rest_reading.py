"""Reading a table of an API in a test: the good rows, the rejects, the position, the chunks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.contracts import ReadRequest
from headwater.core.commit import Column, merge_positions
from headwater.core.specs import IngestSpec
from headwater.sources.rest.source import Rest
from headwater.sources.rest.spec import RestConnection, RestTable

if TYPE_CHECKING:
    from tests.services.http import Server

NOW = datetime(2026, 1, 10, tzinfo=UTC)
COLUMNS = {"id": "BIGINT", "name": "VARCHAR"}


@dataclass
class Found:
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[tuple[Any, ...]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    position: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    ends: dict[str, Any] = field(default_factory=dict)


def connection_of(server: Server, **more: Any) -> RestConnection:
    return RestConnection.model_validate({"connection": server.url, **more})


def read(
    spec: RestConnection,
    table: dict[str, Any],
    *,
    columns: dict[str, str] = COLUMNS,
    ingest: dict[str, Any] | None = None,
    tables: dict[str, dict[str, Any]] | None = None,
    stop_after: int | None = None,
    **more: Any,
) -> Found:
    """Read a table to its end, or up to a number of chunks."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    request = ReadRequest(
        options=RestTable.model_validate({"records": "$.data", **table}),
        ingest=IngestSpec.model_validate({"into": "warehouse", **(ingest or {})}),
        columns=tuple(Column(name, type_text) for name, type_text in columns.items()),
        connection=connection,
        tables={name: RestTable.model_validate(body) for name, body in (tables or {}).items()},
        **{"position": {}, "now": NOW, **more},
    )
    found = Found()
    positions = []
    try:
        reading = Rest(spec, "").read("items", request)
        found.manifest = reading.manifest
        for chunk in reading.chunks:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE chunk AS {chunk.query}")
            end = chunk.finish()
            shown = (f'CAST("{n}" AS VARCHAR)' if "ZONE" in t else f'"{n}"' for n, t in columns.items())
            names = ", ".join(shown)
            found.rows += connection.execute(f"SELECT {names} FROM chunk WHERE _rule IS NULL").fetchall()
            found.rejects += connection.execute("SELECT _rule, _reason FROM chunk WHERE _rule NOTNULL").fetchall()
            found.raw += [row[0] for row in connection.execute("SELECT _raw FROM chunk").fetchall()]
            found.ids.append(chunk.id)
            found.ends[chunk.id] = end.resume
            positions.append(end.position)
            if stop_after == len(found.ids):
                reading.chunks.close()  # type: ignore[attr-defined]
                break
        found.position = merge_positions(positions)
    finally:
        connection.close()
    return found
