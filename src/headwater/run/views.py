"""View models as views of the warehouse's file, for tools that open it alone."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from headwater.core.graph import Role
from headwater.sql.placeholders import fill_clock, quote_dataset, quote_identifier, quote_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.project import Project
    from headwater.run.context import RunContext

_MARK = "headwater view "


def drop_stale_views(context: RunContext) -> None:
    """Drop the views that are no longer declared as such, so that a table may take the name."""
    _sync(context, create=False)


def create_views(context: RunContext) -> None:
    """Create or replace the views whose inputs are all in the warehouse's file.

    A view names no catalogue, so that it lives when the file is opened alone.
    """
    _sync(context, create=True)


def stored_views(project: Project) -> list[str]:
    """Return the views that can live in the warehouse's file: all they read is there; inputs come first."""
    found: list[str] = []
    for name in project.graph.order:
        node = project.graph.nodes[name]
        model = project.models.get(node.dataset) if node.role is Role.TRANSFORM else None
        if model is not None and model.is_view and not model.uses and all(
            i in found or (i in (*project.sources, *project.models) and project.store_of(i) == "warehouse")
            for i in model.inputs
        ):  # fmt: skip
            found.append(model.name)
    return found


def _sync(context: RunContext, *, create: bool) -> None:
    if not any(state.scan.startswith("SELECT * FROM _hw.") for state in context.states.values()):
        return
    wanted = {name: context.project.models[name] for name in stored_views(context.project)}
    with closing(context.session.cursor()) as connection:
        present = {
            f"{schema}.{name}": comment.removeprefix(_MARK)
            for schema, name, comment in connection.execute(
                "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE database_name = '_hw' "
                f"AND starts_with(comment, '{_MARK}')"
            ).fetchall()
        }
        tables = {
            f"{schema}.{name}"
            for schema, name in connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '_hw'"
            ).fetchall()
        }
        for name in set(present) - set(wanted):
            connection.execute(f"DROP VIEW IF EXISTS _hw.{quote_dataset(name)}")
        for name, model in wanted.items() if create else ():
            ready = all(i in wanted or i in context.states for i in model.inputs)
            if ready and name not in tables and present.get(name) != model.fingerprint:
                _create(connection, name, fill_clock(model.text, context.now), model.fingerprint)


def _create(connection: DuckDBPyConnection, name: str, query: str, fingerprint: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS _hw.{quote_identifier(name.partition('.')[0])}")
    connection.execute("USE _hw")
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {quote_dataset(name)} AS {query}")
        connection.execute(f"COMMENT ON VIEW {quote_dataset(name)} IS {quote_text(_MARK + fingerprint)}")
    finally:
        connection.execute("USE memory")
