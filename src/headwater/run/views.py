"""View models as views of the warehouse's file, for tools that open it alone."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from headwater.contracts import ViewStore
from headwater.core.fragments import quote_dataset, quote_identifier, quote_text
from headwater.core.graph import Role, node_name
from headwater.core.names import ROOT
from headwater.core.run import EventName
from headwater.core.secrets import redact
from headwater.project.cache import digest
from headwater.sql.binding import explain_error
from headwater.sql.placeholders import fill_clock

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.project import Model, Project
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


def stored_views(project: Project, store: str) -> list[str]:
    """Return the views that can stand in a store: all they read is there; inputs come first."""
    found: list[str] = []
    for name in project.graph.order:
        node = project.graph.nodes[name]
        view = project.view(node.dataset) if node.role is Role.TRANSFORM else None
        if (
            view is not None
            and view.domain == ROOT
            and not view.uses
            and all(i in found or project.stores_in(i, store) for i in view.inputs)
        ):
            found.append(view.name)
    return found


def _sync(context: RunContext, *, create: bool) -> None:
    for name, store in context.catalogue.connectors.stores.items():
        if isinstance(store, ViewStore) and context.project.stores[name].capabilities.keeps_views:
            _sync_store(context, name, store.catalog, create=create)


def _sync_store(context: RunContext, store: str, catalog: str, *, create: bool) -> None:
    views = {name: context.project.view(name) for name in stored_views(context.project, store)}
    wanted = {name: view for name, view in views.items() if view is not None}
    of_store = f"database_name = '{catalog}'"
    with closing(context.catalogue.session.cursor()) as connection:
        if not connection.execute(f"SELECT 1 FROM duckdb_databases() WHERE {of_store}").fetchall():
            return
        present = {
            f"{schema}.{name}": comment.removeprefix(_MARK)
            for schema, name, comment in connection.execute(
                "SELECT schema_name, view_name, comment FROM duckdb_views() "
                f"WHERE {of_store} AND starts_with(comment, '{_MARK}')"
            ).fetchall()
        }
        tables = {
            f"{schema}.{name}"
            for schema, name in connection.execute(
                f"SELECT schema_name, table_name FROM duckdb_tables() WHERE {of_store}"
            ).fetchall()
        }
        for name in set(present) - set(wanted):
            connection.execute(f"DROP VIEW IF EXISTS {catalog}.{quote_dataset(name)}")
        ready = {name for name, state in context.catalogue.states.items() if state.commit is not None}
        for name, model in wanted.items() if create else ():
            if name not in tables and ready.issuperset(model.inputs):
                ready.add(name)
                mark = _mark(context, model)
                if present.get(name) != mark:
                    _create(context, connection, catalog, model, mark)


def _mark(context: RunContext, model: Model) -> str:
    """Return what changes when the view has to be made again: its SQL, and the columns it stands on."""
    columns = [context.catalogue.states[name].columns for name in context.project.physical_inputs(model.name)]
    return digest(model.fingerprint, *(f"{c.name} {c.type}" for group in columns for c in group))


def _create(context: RunContext, connection: DuckDBPyConnection, catalog: str, model: Model, mark: str) -> None:
    import duckdb

    name, query = model.name, fill_clock(model.text, context.now)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{quote_identifier(name.partition('.')[0])}")
    connection.execute(f"USE {catalog}")
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {quote_dataset(name)} AS {query}")
        connection.execute(f"COMMENT ON VIEW {quote_dataset(name)} IS {quote_text(_MARK + mark)}")
    except duckdb.Error as error:  # a table it reads failed and is not yet as the view wants it
        text = f"the view was not stored in the warehouse's file: {explain_error(str(error)).what}"
        context.emit(EventName.WARNING, node_name(name, Role.TRANSFORM), text=redact(text, context.project.secrets))
    finally:
        connection.execute("USE memory")
