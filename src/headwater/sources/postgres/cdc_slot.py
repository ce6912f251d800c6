"""A table's publication and replication slot: checked, made, dropped, moved on, and how far they are behind."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_identifier, quote_text
from headwater.errors import ProjectError
from headwater.postgres import PostgresError, PostgresUnavailableError
from headwater.sources.postgres.pgoutput import read_lsn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from headwater.postgres import Server
    from headwater.sources.postgres.catalogue import ServerTable
    from headwater.sources.postgres.slot_names import Slot

WAL_SEGMENT_BYTES = 16 * 2**20
"""The server lets go of its log in segments of this size."""

BEGIN_LIMIT_S = 30
"""How long a new slot waits for the transactions that are open."""

_WARN_BYTES = 10**9
_THEN_ANEW = "then headwater run --full and the table's name, where it was loaded before"
_SERVER = """
SELECT current_setting('wal_level'),
  (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
  current_setting('server_version_num')::int, pg_catalog.pg_is_in_recovery()
"""
_RELATION = """
SELECT c.relkind::text, c.relreplident::text, n.nspname, c.relname,
  coalesce((SELECT array_agg(a.attname::text) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])
    WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END), '{}'),
  coalesce((SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attgenerated = 'v'
      OR a.attgenerated = 's' AND current_setting('server_version_num')::int < 180000)), '{}')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
_PUBLISHED = """
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = %s),
  EXISTS (SELECT 1 FROM pg_catalog.pg_publication_tables WHERE pubname = %s AND schemaname = %s AND tablename = %s)
"""
_PUBLICATION = """
SELECT pubviaroot, array_remove(ARRAY[CASE WHEN NOT pubinsert THEN 'insert' END, CASE WHEN NOT pubupdate THEN 'update'
  END, CASE WHEN NOT pubdelete THEN 'delete' END, CASE WHEN NOT pubtruncate THEN 'truncate' END], NULL)
FROM pg_catalog.pg_publication WHERE pubname = %s
"""
_LISTED = """
SELECT attnames::text[], rowfilter FROM pg_catalog.pg_publication_tables
WHERE pubname = %s AND schemaname = %s AND tablename = %s
"""
_SLOT = """
SELECT confirmed_flush_lsn::text, coalesce(wal_status, 'reserved'), plugin::text, database::text, active
FROM pg_catalog.pg_replication_slots WHERE slot_name = %s
"""
_LAG = """
SELECT slot_name::text, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
  coalesce(wal_status, 'reserved'), safe_wal_size, current_setting('max_slot_wal_keep_size')
FROM pg_catalog.pg_replication_slots WHERE slot_name = ANY(%s) AND NOT pg_catalog.pg_is_in_recovery()
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """A table that the server logs.

    Attributes:
        schema: Its schema.
        name: Its name.
        partitioned: Its rows are in partitions.
        identity: Columns that a logged delete names; empty when it names all.
        version: The server's version number.
    """

    schema: str
    name: str
    partitioned: bool
    identity: tuple[str, ...]
    version: int


def check_logged(
    session: psycopg.Connection[Any], name: str, table: ServerTable, key: Sequence[str], wanted: Sequence[str]
) -> Logged:
    """Check that the server logs a table in a way that its changes can be followed.

    Raises:
        ProjectError: It is no table, or a key or a column is not in the log.
        PostgresError: The server, the user or the table is not set up for it.
    """
    level, may, version, standby = session.execute(_SERVER).fetchone() or ("", False, 0, False)
    if level != "logical":
        raise PostgresError(
            f"load: cdc needs wal_level = logical; the server has {level}",
            fix="ALTER SYSTEM SET wal_level = logical, then restart the server",
        )
    if not may:
        raise PostgresError(
            "load: cdc needs a user that may replicate", fix="ALTER ROLE with the attribute REPLICATION"
        )
    if standby:
        raise PostgresError(
            "load: cdc reads from a primary server, and this is a standby", fix="connect to the primary"
        )
    row = session.execute(_RELATION, [table.oid]).fetchone() if table.oid else None
    if row is None or row[0] not in "rp":
        raise ProjectError(
            f"table {name!r}: only a table has a log of its changes, not a view or a query",
            fix="name a table, or use load: incremental",
        )
    kind, identity, schema, relation, columns, generated = row
    _check_identity(name, table.sql, identity, columns, [k for k in key if table.find(k)])
    missing = sorted({column.lower() for column in wanted} & {column.lower() for column in generated})
    if missing:
        raise ProjectError(
            f"table {name!r}: column {missing[0]!r} is generated, and the server does not log it",
            fix="list the columns to load under columns:, without it, and compute it in a model",
        )
    return Logged(schema, relation, kind == "p", () if identity == "f" else tuple(columns), version)


def _check_identity(name: str, sql: str, identity: str, columns: Sequence[str], key: Sequence[str]) -> None:
    """Check that deletes say which row they mean, by the key that rows are merged by."""
    if identity == "f":
        return
    if identity == "n" or not columns:
        raise PostgresError(
            f"table {name!r} has no replica identity: the log would not say which row was changed or deleted",
            fix=f"ALTER TABLE {sql} REPLICA IDENTITY DEFAULT (it needs a primary key), or REPLICA IDENTITY FULL",
        )
    known = {column.lower() for column in columns}
    outside = [column for column in key if column.lower() not in known]
    if outside:
        raise PostgresError(
            f"table {name!r}: key column {outside[0]!r} is not in the replica identity ({', '.join(sorted(columns))}): "
            "a logged delete does not name it",
            fix=f"use the identity's columns as key, or ALTER TABLE {sql} REPLICA IDENTITY FULL",
        )


# ------------------------------------------------------------------------------------------------------ publication


def ensure_publication(session: psycopg.Connection[Any], slot: Slot, logged: Logged) -> None:
    """Make the table's publication, or put the table into the one that is there.

    Raises:
        PostgresError: The one that is there does not publish a partitioned table as one.
        psycopg.Error: The server refuses.
    """
    there, published = _published(session, slot, logged)
    table = f"{quote_identifier(logged.schema)}.{quote_identifier(logged.name)}"
    name = quote_identifier(slot.publication)
    if there and not published:
        _check_root(session, slot, logged)
        session.execute(f"ALTER PUBLICATION {name} ADD TABLE {table}".encode())
    elif not there:
        options = ["publish_via_partition_root = true"] if logged.partitioned else []
        options += ["publish_generated_columns = stored"] if logged.version >= 180000 else []
        how = f" WITH ({', '.join(options)})" if options else ""
        session.execute(f"CREATE PUBLICATION {name} FOR TABLE {table}{how}".encode())


def _check_root(session: psycopg.Connection[Any], slot: Slot, logged: Logged) -> None:
    row = session.execute(_PUBLICATION, [slot.publication]).fetchone()
    if logged.partitioned and row is not None and not row[0]:
        raise PostgresError(
            f"the publication {slot.publication} publishes the partitions of table {slot.table!r}, each under its name",
            fix=f"ALTER PUBLICATION {quote_identifier(slot.publication)} SET (publish_via_partition_root = true)",
        )


def check_publication(
    session: psycopg.Connection[Any], slot: Slot, logged: Logged, table: ServerTable, wanted: Sequence[str]
) -> None:
    """Check that a publication, which may be somebody else's, has every change of every row and column.

    Raises:
        PostgresError: It leaves some out.
        psycopg.Error: The server fails.
    """
    _check_root(session, slot, logged)
    name = quote_identifier(slot.publication)
    row = session.execute(_PUBLICATION, [slot.publication]).fetchone()
    if row is not None and row[1]:
        raise PostgresError(
            f"the publication {slot.publication} leaves out {', '.join(row[1])}: the tables would differ",
            fix=f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate'), {_THEN_ANEW}",
        )
    if logged.version < 150000:
        return
    listed = session.execute(_LISTED, [slot.publication, logged.schema, logged.name]).fetchone()
    columns, where = listed or ([], None)
    asked = {column.lower() for column in wanted}
    missing = [column.name for column in table.columns if column.name.lower() in asked and column.name not in columns]
    if where is not None or missing:
        what = f"column {missing[0]!r}" if missing else f"rows that are not {where}"
        raise PostgresError(
            f"the publication {slot.publication} leaves out {what} of table {slot.table!r}",
            fix=f"publish the whole table, {_THEN_ANEW}; or leave publication out, to have one made",
        )


def _published(session: psycopg.Connection[Any], slot: Slot, logged: Logged) -> tuple[bool, bool]:
    row = session.execute(_PUBLISHED, [slot.publication, slot.publication, logged.schema, logged.name]).fetchone()
    return (row[0], row[1]) if row else (False, False)


# ------------------------------------------------------------------------------------------------------------- slot


def create_slot(target: Server, slot: Slot) -> tuple[psycopg.Connection[Any], str, str]:
    """Make the slot anew: (the session that holds its snapshot, its starting point, the snapshot).

    Raises:
        ConnectorError: The server refuses, or a transaction stays open.
    """
    import psycopg

    drop_slot(target, slot)
    session = target.connect_replication(BEGIN_LIMIT_S)
    try:
        row = session.execute(
            f"CREATE_REPLICATION_SLOT {quote_identifier(slot.name)} LOGICAL pgoutput EXPORT_SNAPSHOT".encode()
        ).fetchone()
    except psycopg.errors.ConfigurationLimitExceeded:
        session.close()
        raise PostgresUnavailableError(
            "every replication slot of the server is taken (max_replication_slots)",
            fix="drop one that nobody reads (pg_replication_slots shows them), or raise max_replication_slots",
        ) from None
    except psycopg.errors.LockNotAvailable:
        session.close()
        raise PostgresUnavailableError(
            f"a new slot begins when the transactions that are open have ended; one did not within {BEGIN_LIMIT_S} s",
            fix="end it (pg_stat_activity, pg_prepared_xacts show it), and run again",
        ) from None
    except psycopg.Error as error:
        session.close()
        raise target.explain(error) from None
    assert row is not None
    return session, str(row[1]), str(row[2])


def drop_slot(target: Server, slot: Slot) -> None:
    """Drop the slot when it is there and is ours.

    Raises:
        ConnectorError: It is in use, or is not one of pgoutput in this database.
    """
    import psycopg

    try:
        with closing(target.connect_writing()) as session:
            row = session.execute(_SLOT, [slot.name]).fetchone()
            if row is None:
                return
            here = session.execute("SELECT current_database()").fetchone()
            if row[2] != "pgoutput" or here != (row[3],):
                raise PostgresError(
                    f"the slot {slot.name} is of {row[2]} in database {row[3]}, not of this table",
                    fix="give the table another slot: name",
                )
            session.execute("SELECT pg_drop_replication_slot(%s)", [slot.name])
    except psycopg.errors.ObjectInUse:
        raise in_use(slot) from None
    except psycopg.Error as error:
        raise target.explain(error) from None


def in_use(slot: Slot) -> PostgresUnavailableError:
    """Return the error that somebody else reads from the slot."""
    return PostgresUnavailableError(
        f"the slot {slot.name} is being read by another session", fix="run again when it has ended"
    )


def check_slot(
    session: psycopg.Connection[Any], slot: Slot, logged: Logged, position: Mapping[str, Any], oid: int
) -> None:
    """Check that the log after a position can be had from the slot.

    Raises:
        PostgresError: It cannot; the text says what is lost and the way out.
    """
    at = str(position["lsn"])
    if position.get("slot") != slot.name:
        raise slot.lost(f"the slot was {position.get('slot')} and is now {slot.name}", at)
    if position.get("oid") not in (None, oid):
        raise slot.lost("the table was dropped and made again", at)
    row = session.execute(_SLOT, [slot.name]).fetchone()
    now = session.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone() or ("0/0",)
    behind = read_lsn(now[0]) - read_lsn(at)
    if behind < 0:
        raise slot.lost(
            f"the server's log ends at {now[0]}, before the last load: another server, or a restored one", at
        )
    size = f"{_size(behind)} of log, up to {now[0]}"
    if row is None:
        raise slot.lost(f"the slot {slot.name} is not there any more ({size})", at)
    if row[1] == "lost":
        raise slot.lost(f"the server has invalidated the slot {slot.name} ({size})", at)
    if read_lsn(row[0]) > read_lsn(at):
        raise slot.lost(f"somebody else moved the slot {slot.name} on, to {row[0]}", at)
    if not _published(session, slot, logged)[1]:
        raise slot.lost(f"the publication {slot.publication} is gone, or has lost the table", at)


def advance_slot(target: Server, slot: Slot, lsn: str) -> None:
    """Let the server drop what lies before a position.

    Raises:
        ConnectorError: The server fails.
    """
    import psycopg

    try:
        with closing(target.connect()) as session:
            where = f"slot_name = {quote_text(slot.name)} AND confirmed_flush_lsn < {quote_text(lsn)}::pg_lsn"
            session.execute(
                f"SELECT pg_catalog.pg_replication_slot_advance(slot_name, {quote_text(lsn)}) "
                f"FROM pg_catalog.pg_replication_slots WHERE {where}".encode()
            )
    except psycopg.errors.ObjectInUse:
        raise in_use(slot) from None
    except psycopg.Error as error:
        raise target.explain(error) from None


def lag_notes(session: psycopg.Connection[Any], slots: Mapping[str, Sequence[Slot]]) -> dict[str, list[str]]:
    """Say of every slot of a table that is there how far it is behind; a warning when it is far, or in danger."""
    names = sorted({slot.name for several in slots.values() for slot in several})
    found = {row[0]: row for row in session.execute(_LAG, [names]).fetchall()}
    return {
        table: [_lag_note(*found[name]) for name in dict.fromkeys(slot.name for slot in several) if name in found]
        for table, several in slots.items()
    }


def _lag_note(name: str, behind: int | None, status: str, safe: int | None, keep: str) -> str:
    limit = "and the server keeps all of it (max_slot_wal_keep_size = -1)" if keep == "-1" else f"of at most {keep}"
    left = f", {_size(safe)} until it is invalidated" if safe is not None else ""
    text = f"slot {name} is {_size(behind or 0)} of log behind, {limit}{left}; wal_status {status}"
    if status == "lost":
        return f"warning: {text}: changes are lost, read the table anew with --full"
    return (
        f"warning: {text}: run the load soon, or drop the slot"
        if (behind or 0) > _WARN_BYTES or status != "reserved"
        else text
    )


def _size(size_bytes: int) -> str:
    if size_bytes < 10**6:
        return f"{max(size_bytes, 0) / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 10**9 else f"{size_bytes / 1e9:.1f} GB"
