"""The table of types of a source: what it says, how it lands, and what that does to values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.near import suggest
from headwater.core.policies import SchemaPolicy
from headwater.core.project import SourceTable
from headwater.core.types import Fidelity, landed
from headwater.errors import ProjectError
from headwater.plan.bind import declared_columns, typed_as_declared
from headwater.plan.observe import open_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.contracts import TableDescription
    from headwater.core.project import Project


@dataclass(frozen=True, slots=True)
class ColumnFidelity:
    """One column on its way: the source's type, the type it is read as, and the type it lands as in `store`.

    `fidelity` is exact, widened, lossy or refused, or "cast" and "dropped" where a rule of `prepare` says so.
    """

    table: str
    column: str
    source: str
    read: str
    store: str
    landed: str
    fidelity: str
    remark: str = ""


def column_fidelities(table: SourceTable, description: TableDescription | None) -> list[ColumnFidelity]:
    """Return how each column of a source's table lands; empty when the schema is not known."""
    declared = declared_columns(table)
    described = description.columns if description and not (declared and description.proposed) else ()
    said = {column.name.lower(): column for column in described}
    found = []
    for column in declared or typed_as_declared(table, described):
        source = said.get(column.name.lower())
        source_type = (source.source_type or source.type) if source else column.source_type
        remark = ""
        if declared and described and source is None:
            remark = "declared, and the source has no such column"
        elif source and source.type != column.type:
            remark = f"declared; the source's own is {source.type}"
        elif source and description and (values := description.rejects.get(source.name)):
            remark = f"rejects: {values}"
        found.append(_land(table, column.name, source_type or column.type, column.type, remark))
    if declared:
        names = {column.name.lower() for column in declared}
        found += [
            _undeclared(table, c.name, c.source_type or c.type, c.type) for n, c in said.items() if n not in names
        ]
    return found


def describe_types(project: Project, source: str) -> tuple[list[ColumnFidelity], list[str]]:
    """Ask a source (or one table of it, `source.table`) for its columns; return how they land, and remarks.

    Raises:
        ProjectError: No source has that name.
        ConnectorError: The source cannot be reached.
    """
    declared = project.declared(SourceTable)
    tables = [table for table in declared.values() if source in (table.source, table.name)]
    if not tables:
        known = sorted({*declared, *(table.source for table in declared.values())})
        raise ProjectError(f"no source is named {source}", fix=suggest(source, known))
    described = open_sources(project)[tables[0].source].describe({table.table: table.options for table in tables})
    found = [column for table in tables for column in column_fidelities(table, described.get(table.table))]
    notes = [f"{tables[0].source}.{name}: {note}" for name, about in described.items() for note in about.notes]
    return found, notes


def _land(table: SourceTable, name: str, source: str, read: str, remark: str) -> ColumnFidelity:
    store = table.store
    for rule in reversed(table.ingest.prepare):
        if name in (rule.drop or ()):
            return ColumnFidelity(table.name, name, source, read, store.name, "", "dropped", "by prepare")
        if name in (rule.cast or {}):
            to = landed(str((rule.cast or {})[name]), store.capabilities.types).type
            return ColumnFidelity(
                table.name, name, source, read, store.name, to, "cast", "by prepare; what fails is a reject"
            )
    landing = landed(read, store.capabilities.types)
    if landing.cast_checked:
        remark = "; ".join(part for part in (remark, "a value out of range is a reject") if part)
    if landing.fidelity in (Fidelity.LOSSY, Fidelity.REFUSED):
        remark = f"say so in prepare: - cast: {{{name}: {(landing.type or 'varchar').lower()}}}"
    return ColumnFidelity(table.name, name, source, read, store.name, landing.type, landing.fidelity.value, remark)


def _undeclared(table: SourceTable, name: str, source: str, read: str) -> ColumnFidelity:
    policy = table.ingest.schema_policy
    if policy == SchemaPolicy.EVOLVE:
        return _land(table, name, source, read, "not declared: taken, schema is evolve")
    return ColumnFidelity(table.name, name, source, read, table.ingest.into, "", "left out", f"not declared: {policy}")


def is_lossless(found: Sequence[ColumnFidelity]) -> bool:
    """Whether every column lands as it is, wider, or as a rule says."""
    return not any(column.fidelity in (Fidelity.LOSSY, Fidelity.REFUSED) for column in found)
