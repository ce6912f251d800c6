"""Who may still commit rows below a bound: transactions that are open, but for this process's own reads.

Sessions that read are known by a name that ends in a mark drawn at random, which the server shows to everybody. All of
them are read only by a setting of the session, so what is left out never writes a row. Of any other session nothing is
known: one that has only read so far may write next, with a time that it took when its transaction began.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import quote_text
from headwater.postgres import READER_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

NAMED_AFTER = timedelta(minutes=1)
"""How long a transaction is open before a plan names it."""

_SHOWN = 3
_VIRTUAL = "locktype = 'virtualxid' AND granted AND virtualxid = virtualtransaction"
"""The lock that every open transaction holds on its own number; everybody may see it."""

_ACTIVITY = f"""
SELECT pid, application_name, usename::text, state, xact_start, clock_timestamp() - xact_start, number
FROM pg_catalog.pg_stat_activity
LEFT JOIN (SELECT pid AS of, virtualtransaction AS number FROM pg_catalog.pg_locks WHERE {_VIRTUAL}) ON of = pid
WHERE {{where}} ORDER BY xact_start NULLS LAST
"""
_OPEN = """
datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, '') NOT IN ('autovacuum worker', 'walsender', 'parallel worker')
  AND (xact_start IS NOT NULL
    OR number IS NOT NULL AND usesysid IS NOT NULL AND coalesce(state, 'disabled') <> 'idle')
"""
"""Open with a start, or with one that is not shown: to this user, or of a session that had track_activities off."""

_PREPARED = """
SELECT gid, owner::text, prepared, clock_timestamp() - prepared
FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() ORDER BY prepared
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A session with an open transaction; what the server does not show is None."""

    pid: int
    name: str | None
    user: str | None
    state: str | None
    start: datetime | None
    age: timedelta | None
    number: str | None
    """Of its transaction, as the server's locks have it."""

    @property
    def is_passing(self) -> bool:
        """Whether its end is waited for: its start is not shown, or it is about to begin and has run nothing yet.

        A session of PostgreSQL 18 shows the transaction in which it begins, before it has a state.
        """
        return self.start is None or self.state is None

    @property
    def is_own(self) -> bool:
        """Whether it is one of this process's that only read."""
        return READER_MARK in (self.name or "")

    def __str__(self) -> str:
        since = ""
        if self.start is not None and self.age is not None:
            since = f", its transaction open for {_length(self.age)}, since {_moment(self.start)}"
        user, state = self.user or "not shown", self.state or "state not shown"
        return f"pid {self.pid} ({self.name or 'no application_name'}, user {user}, {state}{since})"


def list_holders(session: psycopg.Connection[Any]) -> list[Holder]:
    """Return the transactions of others that are open in the database, the oldest first, those of unknown start last.

    Raises:
        psycopg.Error: The server fails.
    """
    rows = session.execute(_ACTIVITY.format(where=_OPEN).encode()).fetchall()
    return [holder for holder in (Holder(*row) for row in rows) if not holder.is_own]


def open_sql(holders: Sequence[Holder]) -> str:
    """Return a SELECT whether one of their transactions is still open."""
    numbers = ", ".join(f"({holder.pid}, {quote_text(holder.number)})" for holder in holders if holder.number)
    if not numbers:
        return "SELECT false"
    these = f"{_VIRTUAL} AND (pid, virtualtransaction) IN ({numbers})"
    return f"SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE {these})"


def list_writers(session: psycopg.Connection[Any], pids: str) -> list[str]:
    """Say which sessions of a SELECT of process ids, and which prepared transactions, may write.

    Raises:
        psycopg.Error: The server fails.
    """
    rows = session.execute(_ACTIVITY.format(where=f"pid IN ({pids})").encode()).fetchall()
    prepared = session.execute(_PREPARED.encode()).fetchall()
    return [*(str(Holder(*row)) for row in rows), *(_tell_prepared(*row) for row in prepared)]


def tell_holders(holders: Sequence[Holder | str]) -> str:
    """Say who holds a bound back, and since when; never what they do."""
    more = f" and {len(holders) - _SHOWN} more" if len(holders) > _SHOWN else ""
    return "; ".join(map(str, holders[:_SHOWN])) + more


def _tell_prepared(name: str, owner: str, start: datetime, age: timedelta) -> str:
    return f"the prepared transaction {name} (user {owner}, open for {_length(age)}, since {_moment(start)})"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _length(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if seconds < 120:
        return f"{max(age.total_seconds(), 0):.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"
