"""A query of PostgreSQL: where its tables are found, by both ways that rows take, and how it may end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from headwater.errors import ConnectorError
from headwater.sources.postgres.source import Postgres, PostgresConnection, PostgresTable

from .harness import read, request

if TYPE_CHECKING:
    from .postgres_database import Database

SCHEMA = 'Sales, 2\\4 "x'
QUOTED = '"Sales, 2\\4 ""x"'
MERGE = {"load": "incremental", "cursor": "n", "key": ["n"]}


@pytest.fixture(autouse=True)
def _tables(db: Database) -> None:
    db.sql(
        f"CREATE SCHEMA {QUOTED}",
        "CREATE TABLE orders (n int, whose text)",
        "INSERT INTO orders VALUES (1, 'public')",
        "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'",
        f"CREATE TYPE {QUOTED}.mood AS ENUM ('good')",
        f"CREATE TABLE {QUOTED}.orders (n int, whose text, how {QUOTED}.mood DEFAULT 'good')",
        f"INSERT INTO {QUOTED}.orders VALUES (2, 'sales'), (3, 'sales')",
    )


@pytest.mark.parametrize("ingest", [{}, MERGE])
def test_its_tables_are_those_of_the_schema(db: Database, con, route: str, ingest: Any) -> None:
    source = Postgres(PostgresConnection(connection=db.dsn, database_schema=SCHEMA), "")
    options = PostgresTable(query="SELECT n, whose, how, twice(n) AS m FROM orders; -- ours")
    assert [c.name for c in source.describe({"t": options, "orders": PostgresTable()})["t"].columns][2] == "how"
    columns = {"n": "integer", "whose": "varchar", "how": "varchar", "m": "integer"}
    found = read(source, request(con, options, columns, ingest))
    assert found.values("n", "whose", "how", "m") == [(2, "sales", "good", 4), (3, "sales", "good", 6)]
    assert found.reading.keys is not None
    assert [row[0] for row in con.execute(found.reading.keys(["n"])).fetchall()] == [2, 3]


def test_without_a_schema_they_are_the_users(db: Database, con, route: str) -> None:
    db.sql(f"ALTER DATABASE {db.name} SET search_path = {QUOTED}, public")
    found = db.load(con, options=PostgresTable(query="SELECT whose FROM orders"))
    assert {row["whose"] for row in found.rows} == {"sales"}


def test_a_schema_that_is_not_there_is_not_passed_over(db: Database) -> None:
    source = Postgres(PostgresConnection(connection=db.dsn, database_schema="pubic"), "")
    with pytest.raises(ConnectorError, match="no schema 'pubic'") as caught:
        source.describe({"t": PostgresTable(query="SELECT * FROM orders")})
    assert "did you mean 'public'" in str(caught.value)


@pytest.mark.parametrize("end", [";", "; -- all of them", "\n-- all\n", ";;\n/* /* all */ ; */"])
def test_it_may_end_as_it_does_at_the_server(db: Database, con, route: str, end: str) -> None:
    found = db.load(con, options=PostgresTable(query=f"SELECT n, ';' AS s FROM orders{end}"))
    assert found.values("n", "s") == [(1, ";")]


def test_two_statements_are_refused_when_they_are_written() -> None:
    with pytest.raises(ValidationError, match="a second statement begins in line 2"):
        PostgresTable(query="SET work_mem = '1GB';\nSELECT 1")
