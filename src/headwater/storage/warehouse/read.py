"""What the warehouse's catalog says of its tables, in a constant number of queries."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headwater.core.commit import Column, Commit, StagedPart, Staging, TableState, merge_positions
from headwater.core.fragments import SelectSql, quote_text
from headwater.storage.common.sql import split_dataset
from headwater.storage.warehouse.content import tell_difference
from headwater.storage.warehouse.write import read_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.storage.warehouse.catalog import Catalog

_Names = dict[tuple[str, str], Any]


def read_table_states(
    connection: DuckDBPyConnection, catalog: Catalog, tables: Sequence[str] | None
) -> dict[str, TableState]:
    """Describe the tables that were committed or staged, or those among `tables`."""
    listed = ", ".join(quote_text(name) for name in tables or ())
    wanted = "" if tables is None else f" WHERE dataset IN ({listed or 'NULL'})"
    commits = {
        dataset: Commit.from_json(text)
        for dataset, text in connection.execute(
            f"SELECT dataset, commit FROM (SELECT * FROM {catalog.commits}{wanted}) "
            "WHERE commit IS NOT NULL ORDER BY sequence"
        ).fetchall()
    }
    staging = _read_staging(connection, catalog, wanted, commits)
    comments = _read_comments(connection, catalog)
    columns = _read_columns(connection, catalog, None if tables is None or len(tables) > 1 else tables[0])
    positions = _read_positions(connection, catalog, None if tables is None else [c.producer for c in commits.values()])
    states = {}
    for name in sorted({*commits, *staging}):
        state = TableState(name, staging=staging.get(name), location=".".join(split_dataset(name)))
        commit = commits.get(name)
        if commit and split_dataset(name) in comments:
            state = _describe(catalog, name, commit, comments, columns, staging.get(name), positions)
        states[name] = state
    return states


def _describe(
    catalog: Catalog, name: str, commit: Commit, comments: _Names, columns: _Names, staging: Staging | None,
    positions: dict[str, Any],
) -> TableState:  # fmt: skip
    place = split_dataset(name)
    found = comments[place]
    foreign = ""
    if found != commit.commit_id:
        mark = f"it carries the mark {found!r}" if found else "it carries no mark"
        foreign = (
            f"{name} was replaced by somebody else: {mark} instead of {commit.commit_id!r}; "
            f"`headwater run --reset {name}` rebuilds it"
        )
    has_rejects = ("_headwater_quarantine", name.replace(".", "__")) in comments
    return TableState(
        name,
        columns=tuple(columns.get(place, ())),
        commit=commit,
        position=merge_positions(positions.get(commit.producer, [])),
        scan=SelectSql(f"SELECT * FROM {catalog.table(name)}"),
        rejects=SelectSql(f"SELECT * FROM {catalog.quarantine(name)}" if has_rejects else ""),
        location=".".join(place),
        staging=staging,
        foreign=foreign,
    )


def compare_content(connection: DuckDBPyConnection, catalog: Catalog, state: TableState) -> TableState:
    """Return a state that says how the table differs from what its commit left, if it does."""
    import duckdb

    if state.commit is None or not state.commit.content:
        return state
    table, name = catalog.table(state.name), state.name
    try:
        columns = read_columns(connection, table)
        how = tell_difference(connection, table, columns, state.commit.content, state.commit.rows)
    except duckdb.Error as error:
        told = str(error).partition("\n")[0]
        text = f"{name} cannot be read: {told}; `headwater run --reset {name}` drops it and makes it anew"
        return replace(state, foreign=text)
    if not how:
        return state
    text = f"{name} was changed by somebody else: {how}; `headwater run --reset {name}` drops it and makes it anew"
    return replace(state, foreign=text)


def _read_comments(connection: DuckDBPyConnection, catalog: Catalog) -> _Names:
    rows = connection.execute(
        f"SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = '{catalog.name}'"
    ).fetchall()
    return {(schema, table): comment for schema, table, comment in rows}


def _read_columns(connection: DuckDBPyConnection, catalog: Catalog, only: str | None) -> _Names:
    where, parameters = "", []
    if only is not None:
        where, parameters = " AND schema_name = ? AND table_name = ?", list(split_dataset(only))
    rows = connection.execute(
        "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() "
        f"WHERE database_name = '{catalog.name}' AND NOT internal{where} ORDER BY table_oid, column_index",
        parameters,
    ).fetchall()
    columns: defaultdict[tuple[str, str], list[Column]] = defaultdict(list)
    for schema, table, name, type_text, comment in rows:
        columns[schema, table].append(Column(name, type_text, comment or ""))
    return dict(columns)


def _read_positions(
    connection: DuckDBPyConnection, catalog: Catalog, producers: Sequence[str] | None
) -> dict[str, Any]:
    listed = ", ".join(quote_text(name) for name in producers or ())
    wanted = "" if producers is None else f"WHERE producer IN ({listed or 'NULL'}) "
    positions: defaultdict[str, list[Any]] = defaultdict(list)
    for producer, position in connection.execute(
        f"SELECT producer, position FROM {catalog.history} {wanted}ORDER BY producer, sequence"
    ).fetchall():
        positions[producer].append(json.loads(position))
    return positions


def read_taken_names(connection: DuckDBPyConnection, catalog: Catalog) -> set[str]:
    """Return, in one case, every producer and dataset that has or had a commit, and every table and view."""
    rows = connection.execute(
        f"SELECT producer FROM {catalog.commits} UNION SELECT dataset FROM {catalog.commits} UNION "
        f"SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = '{catalog.name}' UNION "
        f"SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE database_name = '{catalog.name}'"
    ).fetchall()
    return {row[0].casefold() for row in rows}


def _read_staging(
    connection: DuckDBPyConnection, catalog: Catalog, wanted: str, commits: dict[str, Commit]
) -> dict[str, Staging]:
    """Return the newest load per table that has staged rows on top of the table's last commit."""
    rows = connection.execute(
        "SELECT s.dataset, s.load_id, s.sequence, s.manifest, c.chunk, c.table_name, c.ending "
        f"FROM (SELECT * FROM {catalog.staging}{wanted}) AS s LEFT JOIN {catalog.staged_chunks} AS c "
        "USING (dataset, load_id) ORDER BY s.staged_at, s.load_id, c.staged_at, c.chunk"
    ).fetchall()
    staging: dict[str, Staging] = {}
    for dataset, load_id, sequence, manifest, chunk, table, ending in rows:
        commit = commits.get(dataset)
        if sequence != (commit.sequence if commit else None):
            continue
        found = staging.get(dataset)
        if found is None or found.load_id != load_id:
            found = Staging(load_id, json.loads(manifest))
        if chunk is not None:
            part = StagedPart(chunk, SelectSql(f"SELECT * FROM {catalog.here(table)}"), json.loads(ending))
            found = Staging(load_id, found.manifest, (*found.parts, part))
        staging[dataset] = found
    return staging
