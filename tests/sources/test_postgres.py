"""PostgreSQL on a real server: catalogue, bounds and running transactions, chunks, keys, and connections that break."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import ValidationError

from headwater.core.layers import Family
from headwater.errors import ConnectorError, ProjectError, Retryable
from headwater.sources.postgres import bounds as postgres_bounds
from headwater.sources.postgres import rows as postgres_rows
from headwater.sources.postgres.source import Postgres, PostgresConnection, PostgresTable
from headwater.sources.postgres.types import ServerColumn, ServerType
from headwater.testing.sources import SourceContract
from tests.services.postgres import PASSWORD

from .harness import read, request
from .postgres_database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .harness import Outcome


ORDERS = (
    "CREATE TABLE t (id int PRIMARY KEY, item text, at timestamptz)",
    "INSERT INTO t SELECT n, 'item ' || n, '2024-01-01 00:00:00+00'::timestamptz + n * interval '1 hour' "
    "FROM generate_series(1, 9) AS n",
)
MERGE = {"load": "incremental", "key": ["id"], "cursor": "at", "lag": "0s"}
APPEND = {"load": "incremental", "cursor": "at"}


class PostgresContract(SourceContract):
    table_options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _server(self, db: Database) -> None:
        self.db = db

    def make_source(self, folder: Path) -> Postgres:
        schema = "s" + uuid.uuid5(uuid.NAMESPACE_URL, str(folder)).hex
        self.db.sql(
            f"CREATE SCHEMA IF NOT EXISTS {schema}",
            f"CREATE TABLE IF NOT EXISTS {schema}.items (id int PRIMARY KEY, changed int, name text)",
            f"CREATE OR REPLACE VIEW {schema}.shown AS SELECT * FROM {schema}.items",
            f"ALTER DATABASE {self.db.name} SET search_path = {schema}",
        )
        return Postgres(PostgresConnection(connection=self.db.dsn, database_schema=schema), str(folder))

    def options(self) -> PostgresTable:
        return PostgresTable.model_validate(self.table_options)

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        self.make_source(folder)
        with psycopg.connect(self.db.dsn) as session, session.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO items VALUES (%s, %s, %s) "
                "ON CONFLICT (id) DO UPDATE SET changed = excluded.changed, name = excluded.name",
                rows,
            )


class TestTable(PostgresContract):
    pass


class TestByCopy(PostgresContract):
    @pytest.fixture(autouse=True)
    def _by_copy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_rows, "find_scanner", lambda: (None, "slow"))


class TestView(PostgresContract):
    many_chunks = False
    table_options: ClassVar[Mapping[str, Any]] = {"table": "shown"}


class TestQuery(PostgresContract):
    many_chunks = False
    table_options: ClassVar[Mapping[str, Any]] = {"query": "SELECT id, changed, name FROM items -- all of them"}


# ------------------------------------------------------------------------------------------------------- catalogue


def test_it_is_a_database() -> None:
    assert (Postgres.kind, Postgres.family) == ("postgres", Family.DATABASES)
    with pytest.raises(ValidationError, match="not both"):
        PostgresTable(table="a", query="SELECT 1")


def test_a_mapping_and_words_reach_the_same_server(db: Database) -> None:
    db.sql("CREATE TABLE t (id int)")
    words = {"host": "127.0.0.1", "port": db.server.port, "user": "postgres", "dbname": db.name, "password": PASSWORD}
    text = " ".join(f"{key}={value}" for key, value in words.items())
    for connection in (words, text, db.dsn):
        source = Postgres(PostgresConnection(connection=connection), "")
        assert source.describe({"t": PostgresTable()})["t"].columns


def test_the_catalogue_gives_types_key_and_rows(db: Database) -> None:
    db.sql(
        "CREATE DOMAIN cents AS numeric(10,2)",
        "CREATE DOMAIN price AS cents",
        'CREATE TABLE "T 1" (b int, gone int, a int, "Name" varchar(9), p price, twice int GENERATED ALWAYS AS (a * 2) '
        "STORED, PRIMARY KEY (a, b))",
        'ALTER TABLE "T 1" DROP COLUMN gone',
        'INSERT INTO "T 1" (a, b) VALUES (1, 1), (1, 2)',
    )
    found = db.describe(table="T 1")
    assert [(c.name, c.type, c.source_type) for c in found.columns] == [
        ("b", "INTEGER", "integer"),
        ("a", "INTEGER", "integer"),
        ("Name", "VARCHAR", "character varying(9)"),
        ("p", "DECIMAL(10,2)", "price"),
        ("twice", "INTEGER", "integer"),
    ]
    assert (found.key, found.estimated_rows, found.version) == (("a", "b"), 2, None)
    asked = db.describe(query='SELECT p, 1.5 AS x FROM "T 1"')
    assert [c.type for c in asked.columns] == ["DECIMAL(10,2)", "VARCHAR"]
    assert "exact digits" in asked.notes[0]


def test_partitions_are_one_table(db: Database, con) -> None:
    db.sql(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (100)",
        "INSERT INTO t SELECT generate_series(1, 99)",
        "ANALYZE",
    )
    assert db.describe().estimated_rows == 99
    found = db.load(con, chunk_rows=40)
    assert found.chunks == ["rows-00000", "rows-00001", "rows-00002"]
    assert sorted(row["id"] for row in found.rows) == list(range(1, 100))


@pytest.mark.parametrize(
    ("statement", "options", "text"),
    [
        ("CREATE TABLE orders ()", {"table": "ordes"}, "orders"),
        ("CREATE SCHEMA other; CREATE TABLE other.t ()", {}, "it is in the schema other"),
        ("SELECT 1", {"query": "SELECT nothing"}, 'column "nothing" does not exist'),
    ],
)
def test_what_is_not_there_is_told_with_what_is(db: Database, statement: str, options: Any, text: str) -> None:
    db.sql(*statement.split("; "))
    with pytest.raises(ConnectorError) as caught:
        db.describe(**options)
    assert text in str(caught.value)
    assert not isinstance(caught.value, Retryable)


# ---------------------------------------------------------------------------------------------------------- bounds


def test_an_open_transaction_holds_the_bound_back(db: Database, con, route: str) -> None:
    db.sql(*ORDERS)
    db.sql("INSERT INTO t VALUES (10, 'before', now())")
    with psycopg.connect(db.dsn) as open_one:
        open_one.execute("INSERT INTO t VALUES (11, 'late', now())")
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        first = db.load(con, MERGE)
        assert [row["id"] for row in first.rows] == [*range(1, 11)]
        open_one.commit()
    second = db.load(con, MERGE, position=first.position)
    assert {11, 12} <= {row["id"] for row in second.rows}
    assert {row["id"] for row in second.rows} <= {10, 11, 12}


def test_a_transaction_that_only_began_holds_the_bound_back(db: Database, con) -> None:
    db.sql(*ORDERS)
    with psycopg.connect(db.dsn) as open_one:
        open_one.execute("SELECT now()")
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        first = db.load(con, APPEND)
        open_one.execute("INSERT INTO t VALUES (11, 'late', now())")
        open_one.commit()
    second = db.load(con, APPEND, position=first.position)
    assert [row["id"] for row in first.rows] == [*range(1, 10)]
    assert {row["id"] for row in second.rows} == {11, 12}


@pytest.mark.parametrize("kind", ["timestamp", "date"])
def test_a_time_without_zone_steps_back_by_the_age_of_the_transaction(db: Database, con, kind: str) -> None:
    local = f"(now() AT TIME ZONE 'America/Lima')::{kind}"
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at {kind})", f"INSERT INTO t VALUES (1, {local})")
    with psycopg.connect(db.dsn) as open_one:
        open_one.execute(f"INSERT INTO t VALUES (2, {local})".encode())
        db.sql(f"INSERT INTO t VALUES (3, {local})")
        first = db.load(con, MERGE)
        open_one.commit()
    second = db.load(con, MERGE, position=first.position)
    assert {row["id"] for row in second.rows} >= {2, 3}
    assert 2 not in {row["id"] for row in first.rows}


@pytest.mark.parametrize("ingest", [{"load": "incremental", "cursor": "id"}, {**MERGE, "cursor": "id", "lag": None}])
def test_a_number_waits_for_writers_of_its_table(db: Database, con, monkeypatch, ingest: dict[str, Any]) -> None:
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.05)
    ingest = {key: value for key, value in ingest.items() if value is not None}
    db.sql(*ORDERS, "DELETE FROM t WHERE id > 4", "CREATE TABLE other (id int)")
    with psycopg.connect(db.dsn) as elsewhere:
        elsewhere.execute("INSERT INTO other VALUES (1)")
        first = db.load(con, ingest)
    assert first.position == {"cursor": "4"}
    with psycopg.connect(db.dsn) as open_one:
        open_one.execute("INSERT INTO t VALUES (5, 'late', now())")
        db.sql("INSERT INTO t VALUES (6, 'after', now())")
        held = db.load(con, ingest, position=first.position)
        assert held.position in ({}, first.position)
        assert {row["id"] for row in held.rows} == ({4, 6} if "key" in ingest else {4})
        open_one.commit()
    second = db.load(con, ingest, position={**first.position, **held.position})
    assert {row["id"] for row in second.rows} == {4, 5, 6}
    assert second.position == {"cursor": "6"}


def test_a_prepared_transaction_keeps_the_position(db: Database, con, monkeypatch) -> None:
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.05)
    db.sql(*ORDERS)
    db.sql("BEGIN", "INSERT INTO t VALUES (11, 'late', now())", f"PREPARE TRANSACTION '{db.name}'")
    try:
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        held = db.load(con, MERGE)
        assert held.position == {}
        assert len(held.rows) == 10
    finally:
        db.sql(f"COMMIT PREPARED '{db.name}'")
    second = db.load(con, MERGE)
    assert len(second.rows) == 11


def test_a_standby_waits_for_the_writers_of_its_primary(db: Database, con, monkeypatch, route: str) -> None:
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.05)
    db.sql(*ORDERS)
    with db.server.standby() as standby:

        def load(rows: int, ingest: dict[str, Any], **more: Any) -> Outcome:
            replica = Database.of(standby, db.name)
            while replica.sql("SELECT count(*) FROM t") != [(rows,)]:
                time.sleep(0.02)
            return replica.load(con, ingest, **more)

        first = load(9, APPEND)
        assert [row["id"] for row in first.rows] == [*range(1, 10)]
        with psycopg.connect(db.dsn) as open_one:
            open_one.execute("INSERT INTO t VALUES (11, 'late', now())")
            db.sql("INSERT INTO t VALUES (12, 'after', now())")
            held = load(10, APPEND, position=first.position)
            merged = load(10, MERGE, position=first.position)
            open_one.commit()
        second = load(11, APPEND, position=first.position)
    assert held.position in ({}, first.position)
    assert 12 not in {row["id"] for row in held.rows}
    assert merged.position in ({}, first.position)
    assert 12 in {row["id"] for row in merged.rows}
    assert {row["id"] for row in second.rows} == {9, 11, 12}


@pytest.fixture
def unseen(db: Database, request: pytest.FixtureRequest) -> Iterator[tuple[Postgres, str]]:
    """A source and the connection of another session, whose transactions' start the source is not shown."""
    user = f"u_{db.name}"
    db.sql(*ORDERS, f"CREATE ROLE {user} LOGIN PASSWORD 'pw-{user}'", f"GRANT SELECT ON t TO {user}")
    if request.param == "right":
        yield db.source(db.server.dsn(db.name, user, f"pw-{user}")), db.dsn
    else:
        yield db.source(), make_conninfo(db.dsn, options="-c track_activities=off")
    db.sql(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


@pytest.mark.parametrize("unseen", ["right", "setting"], indirect=True)
@pytest.mark.parametrize("ingest", [MERGE, APPEND], ids=["merge", "append"])
def test_a_transaction_whose_start_is_not_shown_keeps_the_position(
    db: Database, con, monkeypatch, unseen: tuple[Postgres, str], ingest: dict[str, Any]
) -> None:
    """Whatever it has done so far: one that has only read may write next, with the time of its start."""
    source, dsn = unseen
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.05)
    columns = {c.name: c.type for c in db.describe().columns}
    with psycopg.connect(dsn) as open_one:
        open_one.execute("SELECT now()")
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        held = read(source, request(con, PostgresTable(), columns, ingest))
        assert held.position == {}
        assert f"pid {open_one.info.backend_pid}" in held.reading.notes[0]
        assert "grant pg_read_all_stats, set track_activities on" in held.reading.notes[0]
        open_one.execute("INSERT INTO t VALUES (11, 'late', now())")
        open_one.commit()
        second = read(source, request(con, PostgresTable(), columns, ingest))
    assert {11, 12} <= {row["id"] for row in second.rows}
    assert second.position["cursor"] > "2026"
    assert not second.reading.notes


@pytest.mark.parametrize("unseen", ["right", "setting"], indirect=True)
def test_a_transaction_that_is_prepared_while_its_end_is_waited_for_keeps_the_position(
    db: Database, con, monkeypatch, unseen: tuple[Postgres, str]
) -> None:
    source, dsn = unseen
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.5)
    columns = {c.name: c.type for c in db.describe().columns}
    with psycopg.connect(dsn, autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN")
        other.execute("SELECT now()")
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        reading = pool.submit(read, source, request(con, PostgresTable(), columns, APPEND))
        time.sleep(0.2)
        other.execute("INSERT INTO t VALUES (11, 'late', now())")
        other.execute(f"PREPARE TRANSACTION '{db.name}'".encode())
        try:
            held = reading.result()
        finally:
            other.execute(f"COMMIT PREPARED '{db.name}'".encode())
    assert held.position == {}
    second = read(source, request(con, PostgresTable(), columns, APPEND))
    assert {11, 12} <= {row["id"] for row in second.rows}


def test_a_transaction_that_was_not_tracked_when_it_began_is_waited_for(db: Database, con, monkeypatch) -> None:
    monkeypatch.setattr(postgres_bounds, "WRITERS_WAIT_S", 0.05)
    db.sql(*ORDERS)
    with psycopg.connect(make_conninfo(db.dsn, options="-c track_activities=off")) as other:
        other.execute("SELECT now()")
        other.execute("SET track_activities = on")
        db.sql("INSERT INTO t VALUES (12, 'after', now())")
        assert db.load(con, APPEND).position == {}
        other.execute("INSERT INTO t VALUES (11, 'late', now())")
    assert {11, 12} <= {row["id"] for row in db.load(con, APPEND).rows}


@pytest.mark.parametrize("kind", ["timestamptz", "date"])
def test_a_session_that_begins_is_waited_for(db: Database, con, kind: str) -> None:
    """It holds nothing back, and what a trigger of its login writes is not missed."""
    db.sql(
        f"CREATE TABLE t (id int PRIMARY KEY, at {kind})",
        f"INSERT INTO t VALUES (1, now()::{kind})",
        "CREATE FUNCTION greet() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF current_setting('application_name') <> 'slow' THEN RETURN; END IF; "
        f"PERFORM pg_sleep(0.4); INSERT INTO t VALUES (2, now()::{kind}); END $$",
        "CREATE EVENT TRIGGER greeting ON login EXECUTE FUNCTION greet()",
        "ALTER EVENT TRIGGER greeting ENABLE ALWAYS",
    )
    with ThreadPoolExecutor(1) as pool:
        beginning = pool.submit(psycopg.connect, make_conninfo(db.dsn, application_name="slow"))
        while not db.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'slow' AND xact_start IS NOT NULL"):
            time.sleep(0.01)
        db.sql(f"INSERT INTO t VALUES (3, now()::{kind})")
        found = db.load(con, MERGE)
        beginning.result().close()
    assert {row["id"] for row in found.rows} == {1, 2, 3}
    assert not found.reading.notes


def test_lag_and_cursors_without_a_place(db: Database, con, route: str) -> None:
    db.sql(*ORDERS, "INSERT INTO t VALUES (20, 'null', NULL), (21, 'end', 'infinity'), (22, 'start', '-infinity')")
    first = db.load(con, MERGE)
    assert (first.position, first.rules) == ({"cursor": "2024-01-01 09:00:00+00"}, ["null_cursor", "type", "type"])
    back = db.load(con, {**MERGE, "lag": "90m"}, position=first.position)
    assert sorted(row["id"] for row in back.rows) == [8, 9]
    with pytest.raises(ProjectError, match="length of time"):
        db.load(con, {**MERGE, "cursor": "id", "lag": "5m"}, position={"cursor": "3"})


def test_a_cursor_has_the_order_of_the_landed_values(db: Database, con, route: str) -> None:
    db.sql("CREATE EXTENSION citext", "CREATE TABLE t (n numeric, e money, c citext, s text)")
    db.sql("INSERT INTO t VALUES (9, 1, 'B', 'B')")
    for name, fix in (("n", "decimal"), ("e", "casts it"), ("c", "casts it")):
        with pytest.raises(ProjectError, match=fix) as caught:
            db.load(con, {"load": "incremental", "cursor": name})
        assert "another order" in str(caught.value)
    db.sql("INSERT INTO t VALUES (10, 2, 'a', 'a')")
    first = db.load(con, {"load": "incremental", "cursor": "n"}, {"n": "decimal(10,2)"})
    assert first.position == {"cursor": "10"}
    assert db.load(con, {"load": "incremental", "cursor": "s"}).position == {"cursor": "a"}
    db.sql("INSERT INTO t VALUES (11, 3, 'A', 'A'), (12, 4, 'b', 'b')")
    later = db.load(con, {"load": "incremental", "cursor": "s"}, position={"cursor": "a"})
    assert (sorted(later.values("s")), later.position) == ([("a",), ("b",)], {"cursor": "b"})
    column = ServerColumn("s", ServerType("text"), "text")
    tests = postgres_bounds.range_sql(column, {"lower": "a", "upper": "b"})[1:]
    assert all('("s")::text COLLATE "C"' in test for test in tests)


def test_nothing_tells_new_rows(db: Database, con) -> None:
    db.sql(*ORDERS)
    with pytest.raises(ProjectError, match="nothing shows which"):
        db.load(con, {"load": "incremental"})
    with pytest.raises(ProjectError, match="has no column 'nope'"):
        db.load(con, {**MERGE, "cursor": "nope"})


def test_a_full_read_is_one_snapshot(db: Database, con, route: str) -> None:
    db.sql(*ORDERS)
    columns = {c.name: c.type for c in db.describe().columns}
    reading = db.source().read("t", request(con, PostgresTable(), columns, chunk_rows=3))
    seen = []
    for number, chunk in enumerate(reading.chunks):
        seen += con.execute(f"SELECT id, item FROM ({chunk.query})").fetchall()
        assert chunk.finish().rejects == ""
        if number == 0:
            db.sql("UPDATE t SET item = 'changed'", "DELETE FROM t WHERE id = 9", "INSERT INTO t VALUES (10)")
        assert chunk.release is not None
        chunk.release()
    assert sorted(seen) == [(n, f"item {n}") for n in range(1, 10)]
    assert reading.keys is not None
    keys = con.execute(f"SELECT id FROM ({reading.keys(('id',))})").fetchall()
    assert sorted(keys) == [*((n,) for n in range(1, 9)), (10,)]


def test_chunks_are_cut_at_ties(db: Database, con) -> None:
    db.sql(
        "CREATE TABLE t (id text PRIMARY KEY, at date)",
        "INSERT INTO t SELECT n, '2024-01-01' FROM generate_series(1,50) n",
    )
    found = db.load(con, MERGE, chunk_rows=20)
    assert found.chunks == ["rows-00000", "rows-00001", "rows-00002"]
    assert len({row["id"] for row in found.rows}) == len(found.rows) == 50


def test_policies_for_columns(db: Database, con, route: str) -> None:
    db.sql(*ORDERS, "UPDATE t SET item = NULL WHERE id > 2")
    declared = {"id": "varchar", "missing": "date"}
    assert set(db.load(con, columns=declared).rows[0]) >= {"id", "missing", "item", "at"}
    with pytest.raises(ProjectError, match="new: item, at; missing: missing"):
        db.load(con, {"schema": "freeze"}, columns=declared)
    found = db.load(con, {"schema": "discard_row"}, columns={"id": "bigint", "at": "timestamptz"})
    assert (found.rules, len(found.rows)) == (["unknown_column"] * 2, 7)


# --------------------------------------------------------------------------------------------- what may break


def _retryable(act: Callable[[], Any], secret: str = PASSWORD) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        act()
    assert isinstance(caught.value, Retryable), caught.value
    assert secret not in str(caught.value)
    return caught.value


def test_a_wrong_password_is_final_and_never_shown(db: Database) -> None:
    wrong = db.server.dsn(db.name, password="wr0ng-word")
    with pytest.raises(ConnectorError) as caught:
        db.source(wrong).describe({"t": PostgresTable()})
    assert not isinstance(caught.value, Retryable)
    assert "wr0ng-word" not in str(caught.value)
    assert "check user and password" in str(caught.value)
    with pytest.raises(ConnectorError, match=r"database .* does not exist"):
        db.source(db.server.dsn("nowhere")).describe({})
    with pytest.raises(ProjectError) as unreadable:
        db.source("host=x wr0ng-word").describe({})
    assert "wr0ng-word" not in str(unreadable.value)


def test_a_missing_right_is_final(db: Database) -> None:
    user = f"u_{db.name}"
    db.sql(*ORDERS, f"CREATE ROLE {user} LOGIN PASSWORD 'pw-{user}'")
    with pytest.raises(ConnectorError, match=r"must not read public\.t") as caught:
        db.source(db.server.dsn(db.name, user, f"pw-{user}")).describe({"t": PostgresTable()})
    assert not isinstance(caught.value, Retryable)
    db.sql(f"DROP ROLE {user}")


def test_a_cut_connection_may_pass(db: Database, con, route: str) -> None:
    db.sql(*ORDERS)
    columns = {c.name: c.type for c in db.describe().columns}
    reading = db.source().read("t", request(con, PostgresTable(), columns, chunk_rows=3))
    chunk = next(reading.chunks)
    staged = con.execute(f"SELECT id FROM ({chunk.query})").fetchall()
    chunk.finish()
    db.sql("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name LIKE 'headwater%'")
    _retryable(lambda: next(reading.chunks))
    resumed = db.load(con, columns=columns, manifest=reading.manifest, finished=frozenset([chunk.id]), chunk_rows=3)
    assert sorted(staged + resumed.values("id")) == [(n,) for n in range(1, 10)]


def test_the_session_shows_nothing_secret_and_keeps_nothing_attached(db: Database, con) -> None:
    db.sql(*ORDERS)
    columns = {c.name: c.type for c in db.describe().columns}
    reading = db.source().read("t", request(con, PostgresTable(), columns, chunk_rows=3))
    attached = "SELECT database_name, path FROM duckdb_databases() WHERE type = 'postgres'"
    for chunk in reading.chunks:
        chunk.finish()
        ((_, path),) = con.execute(attached).fetchall()
        assert f"dbname={db.name}" in path
        assert PASSWORD not in path
        assert con.execute("SELECT * FROM duckdb_secrets()").fetchall() == []
    assert con.execute(attached).fetchall() == []


def test_a_cancelled_statement_may_pass(db: Database, con, route: str) -> None:
    db.sql(*ORDERS)
    slow = f"{db.dsn}?options=-c%20statement_timeout%3D200"
    options = PostgresTable(query="SELECT id, pg_sleep(0.1)::text AS p FROM t")
    columns = {"id": "integer", "p": "varchar"}
    _retryable(lambda: read(db.source(slow), request(con, options, columns)))


def test_a_port_that_is_none_does_not_pass() -> None:
    with pytest.raises(ProjectError, match="the port of the connection is not a number"):
        Postgres(PostgresConnection(connection="host=localhost port=abc"), "").describe({"t": PostgresTable()})


@pytest.mark.parametrize(
    ("connection", "near"),
    [
        ("host=h pasword=geheim", "'password'"),
        ({"host": "h", "pasword": "geheim"}, "'password'"),
        ("postgresql://u:geheim@h/d?sslmod=require", "'sslmode'"),
        ("host=h password=ge heim=1", ""),
        ("postgresql://u@h/d?geheim=1", ""),
        ("geheim", ""),
    ],
)
def test_a_word_that_libpq_does_not_know_is_told_but_for_what_may_be_of_a_password(connection: Any, near: str) -> None:
    with pytest.raises(ProjectError, match="libpq") as caught:
        Postgres(PostgresConnection(connection=connection), "").describe({"t": PostgresTable()})
    assert "heim" not in str(caught.value)
    assert (near or "write postgresql://") in caught.value.fix


def test_a_server_that_is_away_may_pass(con) -> None:
    from tests.services.postgres import Postgres as Started
    from tests.services.postgres import ServerUnavailableError

    try:
        with Started.start() as server:
            database = Database(server)
            database.sql(*ORDERS)
            columns = {c.name: c.type for c in database.describe().columns}
            first = database.load(con, MERGE, columns)
            server.stop()
            error = _retryable(database.describe)
            assert "127.0.0.1" in str(error)
            server.resume()
            database.sql("INSERT INTO t VALUES (30, 'new', '2024-02-01')")
            again = database.load(con, MERGE, columns, position=first.position)
            assert {row["id"] for row in again.rows} == {9, 30}
    except ServerUnavailableError as error:
        pytest.skip(str(error))


def test_a_scanner_for_another_duckdb_is_told(db: Database, con, monkeypatch) -> None:
    import duckdb

    db.sql(*ORDERS)
    assert db.describe().notes == ()
    monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    assert "pip install duckdb==" in db.describe().notes[0]
    assert len(db.load(con).rows) == 9


def test_nothing_of_the_connection_stays_in_the_session(db: Database, con) -> None:
    db.sql(*ORDERS)
    with closing(con.cursor()) as other:
        db.load(con)
        shown = other.execute("SELECT path FROM duckdb_databases()").fetchall()
        assert PASSWORD not in str(shown)
