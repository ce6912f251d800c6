"""Rows on their way from the server into a temporary table: by DuckDB's scanner, or by COPY where that is not there.

Both read one snapshot per table. The scanner is a wheel, `duckdb-extension-postgres-scanner`, and works only with the
very version of DuckDB that it was made for.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from headwater.core.fragments import quote_identifier, quote_text
from headwater.postgres import find_scanner
from headwater.sources.postgres.types import from_text, server_sql, unfit_sql
from headwater.sql.transaction import in_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import psycopg
    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.postgres import Server
    from headwater.sources.postgres.catalogue import ServerTable
    from headwater.sources.postgres.types import ServerColumn

_COPY_BATCH_ROWS = 50_000
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What is read of a table: the columns asked for, as they are asked for.

    Attributes:
        table: The table.
        columns: The columns to yield.
        undeclared: Columns of the table that have no place: a row with a value in one is a reject.
        infinite: SQL of a cursor without a place in the order though it is not NULL, or "".
        shows_values: The reason of a reject may show the value that does not fit.
    """

    table: ServerTable
    columns: tuple[Column, ...]
    undeclared: tuple[ServerColumn, ...] = ()
    infinite: str = ""
    shows_values: bool = False

    def server_query(self, where: str, *, text: bool) -> str:
        """Return the SELECT that the server runs: c0, c1, … and why a row does not fit; all as text if so wished."""
        selected, tests = [], []
        for index, (column, found) in enumerate(self._pairs()):
            if found is not None:
                name = quote_identifier(found.name)
                plain = text or column.type != found.column.type
                value = f"{name}::text" if plain else server_sql(found.type, name)
                selected.append(f"{value} AS c{index}")
                unfit = [] if plain else unfit_sql(found.type, name)
                tests += [(test, f"column {name} holds {what}") for test, what in unfit]
        unknown = [(f"{q} IS NOT NULL", f"column {q} is not declared") for q in self._undeclared()]
        if self.infinite:
            tests.append((self.infinite, "the cursor is infinite or NaN, and has no place in the order"))
        selected += [f"{_reasons(tests)} AS bad", f"{_reasons(unknown)} AS undeclared"]
        return f"SELECT {', '.join(selected)} FROM {self.table.sql}{f' WHERE {where}' if where else ''}"

    def client_query(self, catalog: str, server_query: str) -> str:
        """Return the SELECT over `server_query` that DuckDB runs, where the server is attached as `catalog`."""
        selected = [
            f"CAST(c{index} AS VARCHAR) AS c{index}"
            if found.type.name in ("uuid", "json", "jsonb") and not found.type.array
            else f"c{index}"
            for index, (_, found) in enumerate(self._pairs())
            if found is not None
        ]
        columns = ", ".join([*selected, "bad", "undeclared"])
        return f"SELECT {columns} FROM postgres_query({quote_text(catalog)}, {quote_text(server_query)})"

    def heap_query(self, catalog: str) -> tuple[str, str]:
        """Return a SELECT of the whole table for a parallel scan, and one that tells whether the server must help.

        Both are empty when a column needs the server's help.
        """
        pairs = [(column, found) for column, found in self._pairs() if found is not None]
        names = [quote_identifier(found.name) for _, found in pairs]
        exact = all(column.type == found.column.type for column, found in pairs)
        sent = [server_sql(found.type, name) for (_, found), name in zip(pairs, names, strict=True)]
        if not (self.table.heap and exact and sent == names) or self.undeclared or self.infinite:
            return "", ""
        tests = [test for (_, found), q in zip(pairs, names, strict=True) for test, _ in unfit_sql(found.type, q)]
        exists = f"EXISTS (SELECT 1 FROM {self.table.sql} WHERE {' OR '.join(f'({test})' for test in tests)})"
        return self._heap_scan(catalog), f"SELECT {exists if tests else 'false'} AS found"

    def _heap_scan(self, catalog: str) -> str:
        selected = [
            f"CAST({quote_identifier(found.name)} AS VARCHAR) AS c{index}"
            if found.column.type == "VARCHAR"
            else f"{quote_identifier(found.name)} AS c{index}"
            for index, (_, found) in enumerate(self._pairs())
            if found is not None
        ]
        selected += ["NULL::VARCHAR AS bad", "NULL::VARCHAR AS undeclared"]
        return f"SELECT {', '.join(selected)} FROM {catalog}.{self.table.sql}"

    def names(self) -> list[str]:
        """Return the columns of `server_query`."""
        given = [f"c{index}" for index, (_, found) in enumerate(self._pairs()) if found is not None]
        return [*given, "bad", "undeclared"]

    def projection(self, source: str, *, text: bool, carried: Sequence[str] = ()) -> str:
        """Return the SELECT over the arrived rows: columns as asked for, `_rule` and `_reason`, and those carried."""
        inner: list[str] = []
        outer: list[str] = []
        failed: list[str] = []
        for index, (column, found) in enumerate(self._pairs()):
            name = quote_identifier(column.name)
            outer.append(f"v{index} AS {name}")
            if found is None:
                inner.append(
                    f"CAST(NULL AS {'DOUBLE' if column.type.startswith('EPOCH') else column.type}) AS v{index}"
                )
            elif text or column.type != found.column.type:
                inner.append(f"{from_text(column.type, f'c{index}', found.type)} AS v{index}")
                shown = f"' ', left(c{index}, {_SHOWN_CHARACTERS})" if self.shows_values else "' a value'"
                reason = (
                    f"concat({quote_text(f'column {name} holds')}, {shown}, {quote_text(f', not a {column.type}')})"
                )
                failed.append(f"CASE WHEN c{index} IS NOT NULL AND v{index} IS NULL THEN {reason} END")
            else:
                fits = f"CASE WHEN bad IS NULL THEN c{index} END" if unfit_sql(found.type) else f"c{index}"
                inner.append(f"{fits} AS v{index}")
        why = f"nullif(concat_ws('; ', bad, {', '.join(failed)}), '')" if failed else "bad"
        rule = f"CASE WHEN {why} IS NOT NULL THEN 'type' WHEN undeclared IS NOT NULL THEN 'unknown_column' END"
        outer += [f"{rule} AS _rule", f"coalesce({why}, undeclared) AS _reason", *carried]
        return f"SELECT {', '.join(outer)} FROM (SELECT *, {', '.join(inner)} FROM {source})"

    def _pairs(self) -> Iterator[tuple[Column, ServerColumn | None]]:
        return ((column, self.table.find(column.name)) for column in self.columns)

    def _undeclared(self) -> list[str]:
        return [quote_identifier(column.name) for column in self.undeclared]


def _reasons(tests: Sequence[tuple[str, str]]) -> str:
    if not tests:
        return "NULL::text"
    cases = ", ".join(f"CASE WHEN {test} THEN {quote_text(reason)} END" for test, reason in tests)
    return f"CASE WHEN {' OR '.join(f'({test})' for test, _ in tests)} THEN concat_ws('; ', {cases}) END"


class Reader(Protocol):
    """One transaction on the server from which tables are filled."""

    def fill(self, connection: DuckDBPyConnection, target: str, plan: RowPlan, where: str) -> None:
        """Make the temporary table `target` of the rows that match."""
        ...

    def close(self) -> None:
        """End the transaction."""
        ...


def open_reader(target: Server, snapshot: str = "") -> Reader:
    """Return the fastest reader there is; it adopts a snapshot that was exported, or takes one at the first row.

    Raises:
        ConnectorError: The server cannot be reached.
    """
    file, _ = find_scanner()
    return ScannerReader(target, file, snapshot) if file is not None else CopyReader(target, snapshot)


def _open_snapshot(target: Server, snapshot: str) -> psycopg.Connection[Any]:
    """Open a session whose transaction reads one snapshot: one that was exported, or that of its first statement."""
    import psycopg

    session = target.connect()
    try:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if snapshot:
            session.execute(f"SET TRANSACTION SNAPSHOT {quote_text(snapshot)}".encode())
    except psycopg.Error as error:
        session.close()
        raise target.explain(error) from None
    return session


class ScannerReader:
    """DuckDB's scanner: binary COPY decoded in C++, by several connections that adopt one snapshot.

    The server is attached to the session under a name of its own; what is secret of the connection goes there by a
    DuckDB secret that is dropped at once, so that no catalogue shows it.
    """

    def __init__(self, target: Server, file: Path, snapshot: str = "") -> None:
        import psycopg

        self._target = target
        self._file = file
        self._catalog = f"hw_postgres_{uuid.uuid4().hex[:12]}"
        self._attached: DuckDBPyConnection | None = None
        self._session = _open_snapshot(target, snapshot)
        try:
            row = self._session.execute("SELECT pg_export_snapshot()").fetchone()
        except psycopg.Error as error:
            self._session.close()
            raise target.explain(error) from None
        self._snapshot = str(row[0]) if row else ""

    def fill(self, connection: DuckDBPyConnection, target: str, plan: RowPlan, where: str) -> None:
        """Make the temporary table `target` of the rows that match.

        Raises:
            ConnectorError: The server fails.
        """
        import duckdb
        import psycopg

        try:
            self._attach(connection)
            rows = plan.projection(f"({self._query(plan, where)})", text=False)
            self._run(connection, f"CREATE OR REPLACE TEMP TABLE {quote_identifier(target)} AS {rows}")
        except (duckdb.Error, psycopg.Error) as error:
            raise self._target.explain(error) from None

    def _attach(self, connection: DuckDBPyConnection) -> None:
        if self._attached is not None:
            return
        public, secret = self._target.split_secrets()
        connection.execute(f"LOAD {quote_text(str(self._file))}")
        options = "TYPE postgres, READ_ONLY"
        if secret:
            words = ", ".join(f"{name} {quote_text(value)}" for name, value in secret.items())
            connection.execute(f"CREATE TEMPORARY SECRET {self._catalog} (TYPE postgres, {words})")
            options += f", SECRET {self._catalog}"
        try:
            connection.execute(f"ATTACH {quote_text(public)} AS {self._catalog} ({options})")
        finally:
            if secret:
                connection.execute(f"DROP SECRET {self._catalog}")
        self._attached = connection

    def _run(self, connection: DuckDBPyConnection, statement: str) -> None:
        """Run a statement in a transaction that reads the snapshot."""
        adopt = f"SET TRANSACTION SNAPSHOT {quote_text(self._snapshot)}"
        with in_transaction(connection):
            connection.execute(f"CALL postgres_execute({quote_text(self._catalog)}, {quote_text(adopt)})")
            connection.execute(statement)

    def _query(self, plan: RowPlan, where: str) -> str:
        """Scan a whole table in parallel when every value arrives as it is; else have the server prepare the rows."""
        scan, unfit = plan.heap_query(self._catalog) if not where else ("", "")
        if scan and self._session.execute(unfit.encode()).fetchone() == (False,):
            return scan
        return plan.client_query(self._catalog, plan.server_query(where, text=False))

    def close(self) -> None:
        """Let the snapshot go and detach the server."""
        import duckdb

        self._session.close()
        if self._attached is not None:
            with contextlib.suppress(duckdb.Error):
                self._attached.execute(f"DETACH {self._catalog}")


class CopyReader:
    """COPY of the server's texts, read as `from_text` says."""

    def __init__(self, target: Server, snapshot: str = "") -> None:
        self._target = target
        self._session = _open_snapshot(target, snapshot)

    def fill(self, connection: DuckDBPyConnection, target: str, plan: RowPlan, where: str) -> None:
        """Make the temporary table `target` of the rows that match.

        Raises:
            ConnectorError: The server fails.
        """
        import psycopg

        query = f"COPY ({plan.server_query(where, text=True)}) TO STDOUT"
        begun = False
        try:
            with self._session.cursor() as cursor, cursor.copy(query.encode()) as copy:
                rows: list[tuple[Any, ...]] = []
                for row in copy.rows():
                    rows.append(row)
                    if len(rows) == _COPY_BATCH_ROWS:
                        self._append(connection, target, plan, rows, begun=begun)
                        begun, rows = True, []
                if rows or not begun:
                    self._append(connection, target, plan, rows, begun=begun)
        except psycopg.Error as error:
            raise self._target.explain(error) from None

    def _append(
        self,
        connection: DuckDBPyConnection,
        target: str,
        plan: RowPlan,
        rows: list[tuple[Any, ...]],
        *,
        begun: bool,
    ) -> None:
        import pyarrow as pa

        names = plan.names()
        cells = zip(*rows, strict=True) if rows else [()] * len(names)
        batch = pa.table({name: pa.array(list(cell), pa.string()) for name, cell in zip(names, cells, strict=True)})
        view = f"{target}_arrow"
        connection.register(view, batch)
        try:
            into = quote_identifier(target)
            verb = f"INSERT INTO {into}" if begun else f"CREATE OR REPLACE TEMP TABLE {into} AS"
            connection.execute(f"{verb} {plan.projection(quote_identifier(view), text=True)}")
        finally:
            connection.unregister(view)

    def close(self) -> None:
        """End the transaction."""
        self._session.close()
