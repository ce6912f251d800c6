"""A database of its own on the tests' PostgreSQL, and reading its table `t`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg

from headwater.sources.postgres.source import Postgres, PostgresConnection, PostgresTable

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from tests.services.postgres import Postgres as Server


class Database:
    """A database of its own on the shared server."""

    def __init__(self, server: Server) -> None:
        self.name = f"d{uuid.uuid4().hex[:12]}"
        self.server = server
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {self.name}".encode())
        self.dsn = server.dsn(self.name)

    @classmethod
    def of(cls, server: Server, name: str) -> Database:
        """A database that is there, as on a standby."""
        found = cls.__new__(cls)
        found.name, found.server, found.dsn = name, server, server.dsn(name)
        return found

    def drop(self) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {self.name} WITH (FORCE)".encode())

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; rows of the last one."""
        with psycopg.connect(self.dsn, autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def source(self, dsn: str = "") -> Postgres:
        return Postgres(PostgresConnection(connection=dsn or self.dsn), "")

    def describe(self, **options: Any):
        return self.source().describe({"t": PostgresTable(**options)})["t"]

    def load(self, con, ingest: Any = None, columns: dict[str, str] | None = None, **more: Any) -> Outcome:
        options = more.pop("options", PostgresTable())
        if columns is None:
            columns = {c.name: c.type for c in self.source().describe({"t": options})["t"].columns}
        return read(self.source(), request(con, options, columns, ingest, **more))
