"""DuckDB as the engine of models: SQL on the session's connection, Python with relations of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import Computed
from headwater.core.fragments import SelectSql
from headwater.core.policies import Materialization
from headwater.processing.duckdb.materialize import (
    first_change,
    interval_change,
    key_change,
    land_query,
    replace_change,
    snapshot_change,
)
from headwater.processing.duckdb.python_models import call_model
from headwater.sql.binding import describe_query
from headwater.sql.placeholders import fill_clock

if TYPE_CHECKING:
    from headwater.contracts import Change, Computation
    from headwater.core.commit import Column


class DuckDBEngine:
    """Runs a model on the connection it is given; the change is a SELECT on it, or a temporary table of it."""

    kind: ClassVar[str] = "duckdb"

    def compute(self, asked: Computation) -> Computed:
        """Return a model's rows as a change of its table."""
        query, alive = _query(asked)
        columns = asked.columns or describe_query(asked.connection, query)
        return Computed(_change(asked, *land_query(query, columns, asked.target.store, asked.model.name)), alive)


def _query(asked: Computation) -> tuple[SelectSql, Any]:
    model = asked.model
    if asked.text is not None:
        return asked.text, None
    if model.language == "python":
        return call_model(model, asked.root, asked.connection, asked.object_folders)
    interval = (asked.span.start, asked.span.end) if asked.span else None
    return (fill_clock(model.text, asked.now, interval) if model.uses else SelectSql(model.text)), None


def _change(asked: Computation, query: SelectSql, columns: tuple[Column, ...]) -> Change:
    spec, connection, target = asked.model.spec, asked.connection, asked.target
    if asked.span is not None:
        if asked.first:
            return first_change(connection, spec, query, columns, asked.span)
        return interval_change(connection, spec, target, query, columns, asked.span)
    if spec.materialize == Materialization.SNAPSHOT:
        return snapshot_change(connection, spec, target, query, columns, asked.now)
    if spec.materialize == Materialization.INCREMENTAL:
        return key_change(connection, spec, target, query, columns)
    return replace_change(query, columns)
