"""One publish: every table of a declaration in one transaction, with its number by compare-and-set.

Rows are deleted and copied in place: readers see those before or those after, whatever they read in one snapshot.
No view or table is put in the place of another, and nothing is truncated: both would show an empty or a mixed state.
Tables are locked against readers only to change their columns, last of all and with their rows waiting in the database.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.consumption.postgres.table import TableChange, name_refused, plan_change
from headwater.core.fragments import quote_identifier
from headwater.errors import HeadwaterError, StateError, StepError

if TYPE_CHECKING:
    import psycopg

    from headwater.consumption.postgres.staging import StagedTable
    from headwater.postgres import Server

LOCK_LIMIT_MS = 2_000
"""So long a publish waits for a lock; readers that come after it wait as long."""

PAUSES_S = (0.5, 1.0, 2.0)
"""How long it pauses before it tries again."""

_AGAIN = ("55P03", "40001", "40P01", "42P06", "42P07", "23505")
"""A lock was not to be had, a deadlock, or somebody made the same schema or row at the same moment."""

_COMMITS = "_headwater.commits"
_MAKE = (
    "CREATE SCHEMA IF NOT EXISTS _headwater",
    f"CREATE TABLE IF NOT EXISTS {_COMMITS} (consumer text, database_schema text, sequence bigint NOT NULL, "
    "tables text[] NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (consumer, database_schema))",
)
_SWAP = f"""
INSERT INTO {_COMMITS} AS c (consumer, database_schema, sequence, tables)
SELECT %(consumer)s, %(schema)s, %(next)s, %(tables)s
WHERE %(previous)s = 0 OR EXISTS (SELECT FROM {_COMMITS} WHERE consumer = %(consumer)s AND database_schema = %(schema)s)
ON CONFLICT (consumer, database_schema) DO UPDATE
SET sequence = excluded.sequence, at = now(),
  tables = ARRAY(SELECT unnest(c.tables) UNION SELECT unnest(excluded.tables) ORDER BY 1)
WHERE c.sequence = %(previous)s
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published.

    Attributes:
        consumer: Whose tables they are.
        schema: The schema in which they stand.
        tables: The tables.
        previous: The number of the publish after which this one comes; 0 before the first.
    """

    consumer: str
    schema: str
    tables: tuple[StagedTable, ...]
    previous: int


def read_sequence(server: Server, consumer: str, schema: str) -> int:
    """Return the number of a consumer's last publish into a schema, 0 before the first.

    Raises:
        ConnectorError: The server refuses, or cannot be reached.
    """
    import psycopg

    with closing(server.connect_writing()) as session:
        try:
            found = _last(session, consumer, schema)
        except psycopg.Error as error:
            raise server.explain(error) from None
    return found[0]


def publish(server: Server, publication: Publication) -> int:
    """Publish every table, or none; return the number of this publish.

    Raises:
        ConnectorError: The server refuses, cannot be reached, or broke off.
        StateError: Somebody else has published since `previous`, or a table is not this consumer's.
        StepError: A value has no place in its column, or a table stayed in use.
    """
    import psycopg

    for pause_s in (*PAUSES_S, None):
        with closing(server.connect_writing()) as session:
            try:
                return _publish_once(session, publication)
            except psycopg.Error as error:
                if error.sqlstate not in _AGAIN or pause_s is None:
                    raise _explain(server, publication, error) from None
        time.sleep(pause_s)
    raise AssertionError


def _publish_once(session: psycopg.Connection[Any], publication: Publication) -> int:
    with session.transaction():
        session.execute(f"SET LOCAL lock_timeout = {LOCK_LIMIT_MS}")
        session.execute("SET LOCAL client_encoding = 'UTF8'")  # COPY's own encoding is not that of its binary form
        known = _last(session, publication.consumer, publication.schema)[1]
        sequence = _swap(session, publication)
        _make_schema(session, publication.schema)
        changes = [
            plan_change(session, publication.schema, table, number, known=table.name in known)
            for number, table in enumerate(publication.tables)
        ]
        for change in changes:
            change.prepare(session)
        for change in sorted(changes, key=_locks_readers):
            change.apply(session)
        for table in publication.tables:
            _grant(session, publication.schema, table)
    return sequence


def _locks_readers(change: TableChange) -> bool:
    return change.locks_readers


def _last(session: psycopg.Connection[Any], consumer: str, schema: str) -> tuple[int, frozenset[str]]:
    there = session.execute("SELECT to_regclass(%s)", (_COMMITS,)).fetchone()
    if there is None or there[0] is None:
        return 0, frozenset()
    row = session.execute(
        f"SELECT sequence, tables FROM {_COMMITS} WHERE consumer = %s AND database_schema = %s", (consumer, schema)
    ).fetchone()
    return (int(row[0]), frozenset(row[1])) if row else (0, frozenset())


def _swap(session: psycopg.Connection[Any], publication: Publication) -> int:
    """Set the number of this publish where it is still the one before; others who would do so wait from now on."""
    there = session.execute("SELECT to_regclass(%s)", (_COMMITS,)).fetchone()
    if there is None or there[0] is None:
        for statement in _MAKE:
            session.execute(statement)
    values = {
        "consumer": publication.consumer,
        "schema": publication.schema,
        "next": publication.previous + 1,
        "previous": publication.previous,
        "tables": [table.name for table in publication.tables],
    }
    if session.execute(_SWAP, values).rowcount != 1:
        what = f"somebody else has published {publication.consumer} since this run began; nothing was changed"
        raise StateError(what, fix="run again")
    return publication.previous + 1


def _make_schema(session: psycopg.Connection[Any], schema: str) -> None:
    """Make a schema that is missing; `IF NOT EXISTS` alone asks for the right to make one that is there."""
    there = session.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (schema,)).fetchone()
    if there is None:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(schema)}")


def _grant(session: psycopg.Connection[Any], schema: str, table: StagedTable) -> None:
    """Let roles read a table, and use its schema."""
    where, name = quote_identifier(schema), quote_identifier(table.name)
    for role in table.grants:
        to = "PUBLIC" if role.casefold() == "public" else quote_identifier(role)
        session.execute(f"GRANT USAGE ON SCHEMA {where} TO {to}")
        session.execute(f"GRANT SELECT ON TABLE {where}.{name} TO {to}")


def _explain(server: Server, publication: Publication, error: psycopg.Error) -> HeadwaterError:
    state, schema = error.sqlstate or "", publication.schema
    if state in _AGAIN:
        what = f"{schema}: its tables stayed in use; nothing was changed"
        return StepError(what, fix="end the sessions that read them (pg_stat_activity names them), or run again later")
    if state.startswith("22") and (refused := name_refused(publication.tables, error)):
        return StepError(f"{schema}.{refused}; nothing was changed", fix="change it in a model, and publish that")
    explained = server.explain(error)
    if state == "2BP01":
        told = " ".join((error.diag.message_detail or "").split())
        explained.fix = f"drop or change what needs the column, then run again ({told})"
    elif state == "42501":
        explained.fix = (
            "let the user of the connection make schemas in the database (GRANT CREATE ON DATABASE), or own these"
        )
    elif state == "42704":
        explained.fix = "make the role, or take it out of grants"
    return explained
