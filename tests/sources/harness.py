"""Reads a table the way `run` does: chunk by chunk, prepared, rejects gathered."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.contracts import ReadRequest
from headwater.core.commit import Column, merge_positions
from headwater.core.specs import IngestSpec
from headwater.core.types import normalize_type
from headwater.ingestion import compile_prepare, set_mask_keys
from tests.declared import STORES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from headwater.contracts import Reading, Source

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@dataclass
class Outcome:
    """What a read gave: good rows as dictionaries, rejects, the position, the chunks' ids, and the reading itself."""

    reading: Reading
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    position: dict[str, Any] = field(default_factory=dict)
    chunks: list[str] = field(default_factory=list)

    def values(self, *names: str) -> list[tuple[Any, ...]]:
        return sorted((tuple(row[name] for name in names) for row in self.rows), key=repr)

    @property
    def rules(self) -> list[str]:
        return sorted(reject["rule"] for reject in self.rejects)


def request(
    con: DuckDBPyConnection,
    options: Any,
    columns: Mapping[str, str],
    ingest: Mapping[str, Any] | None = None,
    **more: Any,
) -> ReadRequest:
    spec = IngestSpec.model_validate({"into": "warehouse", **(ingest or {})})
    typed = tuple(Column(name, normalize_type(type_text)) for name, type_text in columns.items())
    values: dict[str, Any] = {"position": {}, "now": NOW, **more}
    return ReadRequest(options=options, ingest=spec, columns=typed, connection=con, **values)


def read(source: Source, asked: ReadRequest, table: str = "t") -> Outcome:
    """Read a table to its end; times with zone are given as text."""
    reading = source.read(table, asked)
    columns = reading.columns or asked.columns
    prepared = compile_prepare(asked.ingest, columns, store=STORES["warehouse"], extra=reading.extra)
    outcome = Outcome(reading)
    set_mask_keys(asked.connection, asked.ingest)
    positions = []
    for chunk in reading.chunks:
        projection = prepared.projection(chunk.query, "batch", "TIMESTAMPTZ '2024-05-01 00:00:00+00'")
        try:
            asked.connection.execute(f"CREATE OR REPLACE TEMP TABLE harness AS {projection}")
        except duckdb.Error as error:
            if isinstance(reading.chunks, Generator):
                reading.chunks.throw(error)
            raise
        end = chunk.finish()
        queries = [prepared.rejected_rows("harness")]
        if end.rejects:
            queries.append(prepared.reader_rejects(end.rejects, "batch", "TIMESTAMPTZ '2024-05-01 00:00:00+00'"))
            counted = asked.connection.execute(f"SELECT count(*) FROM ({end.rejects})").fetchone()
            assert counted == (end.rejected,)
        else:
            assert end.rejected == 0
        for query in queries:
            outcome.rejects += _rows(asked.connection, query)
        outcome.rows += _rows(asked.connection, prepared.good_rows("harness"))
        outcome.chunks.append(chunk.id)
        positions.append(end.position)
    outcome.position = merge_positions(positions)
    return outcome


def _rows(con: DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    relation = con.sql(query)
    names = [
        f'CAST("{name}" AS VARCHAR) AS "{name}"' if "TIME ZONE" in str(kind) else '"' + name.replace('"', '""') + '"'
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]
    con.execute(f"CREATE OR REPLACE TEMP TABLE harness_rows AS {query}")
    return con.sql(f"SELECT {', '.join(names)} FROM harness_rows").to_arrow_table().to_pylist()
