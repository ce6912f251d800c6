"""A publish is one transaction: what readers see, who may publish, and what is written of a table with a key."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy

from headwater.consumption.postgres import publish as publishes
from headwater.errors import ConnectorError, HeadwaterError, StateError, StepError
from tests.consumption.publishing import Publishing
from tests.services.postgres import PASSWORD, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

TWO = {"a": {"from": "marts.a"}, "b": {"from": "marts.b"}}
ASK = (
    "SELECT (SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM gold.a), "
    "(SELECT min(v) || ' ' || max(v) FROM gold.b)"
)


def read_on(publishing: Publishing, isolation: psycopg.IsolationLevel, stop: threading.Event, seen: list[Any]) -> None:
    """Read both tables in one statement, twice per transaction, until told to stop."""
    with psycopg.connect(publishing.dsn) as session:
        session.isolation_level = isolation
        while not stop.is_set():
            with session.transaction():
                pair = [session.execute(ASK).fetchone() for _ in range(2)]
            seen.append(pair)


@pytest.mark.parametrize("key", [[], ["n"]])
@pytest.mark.parametrize(
    "isolation", [psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ], ids=["rc", "rr"]
)
@pytest.mark.parametrize(
    ("publishes", "readers"),
    [(20, 2), pytest.param(200, 4, marks=[pytest.mark.kill, pytest.mark.timeout(1800)])],
)
def test_readers_see_no_empty_mixed_or_moved_state(
    publishing: Publishing, isolation: psycopg.IsolationLevel, key: list[str], publishes: int, readers: int
) -> None:
    one = publishing.declared(tables={name: {**table, "key": key} for name, table in TWO.items()})

    def publish(version: int) -> None:
        for table in ("marts.a", "marts.b"):
            one.give(f"SELECT n, {version} AS v, repeat('x', 50) AS filler FROM range(2000) t(n)", table)
        one.publish()

    publish(0)
    stop = threading.Event()
    seen: list[list[Any]] = [[] for _ in range(readers)]
    threads = [threading.Thread(target=read_on, args=(one, isolation, stop, found)) for found in seen]
    for thread in threads:
        thread.start()
    for version in range(1, publishes + 1):
        publish(version)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(len(found) > 20 for found in seen)
    for pair in (pair for found in seen for pair in found):
        for first, second in pair:
            count, low, high = first.split()
            assert (count, low) == ("2000", high)
            assert second == f"{low} {high}"
        if isolation is psycopg.IsolationLevel.REPEATABLE_READ:
            assert pair[0] == pair[1]
    assert len({str(pair) for found in seen for pair in found}) > 3  # they did see several versions


def test_one_that_began_before_another_publishes_nothing(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.give("SELECT 1 AS n").publish()
    stale = publishing.declared()
    whole = publishes.publish

    def overtaken(server: Any, publication: publishes.Publication) -> int:
        monkeypatch.setattr("headwater.consumption.postgres.consumer.publish", whole)
        publishing.give("SELECT 2 AS n").publish()
        return whole(server, publication)

    monkeypatch.setattr("headwater.consumption.postgres.consumer.publish", overtaken)
    with pytest.raises(StateError, match="somebody else has published"):
        stale.publish()
    assert publishing.ask("SELECT n FROM gold.t") == [(2,)]
    assert publishing.ask("SELECT sequence, tables FROM _headwater.commits") == [(2, ["t"])]


def test_two_first_publishes_at_once_one_wins(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.give("SELECT 1 AS n")
    barrier, answers = threading.Barrier(2), []  # type: tuple[threading.Barrier, list[str]]
    whole = publishes.publish

    def together(server: Any, publication: publishes.Publication) -> int:
        barrier.wait(20)
        return whole(server, publication)

    monkeypatch.setattr("headwater.consumption.postgres.consumer.publish", together)

    def one() -> None:
        try:
            publishing.declared(duck=publishing.duck.cursor()).publish()
            answers.append("done")
        except HeadwaterError as error:
            answers.append(type(error).__name__)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answers) == {"done": 1, "StateError": 1}
    assert publishing.ask("SELECT count(*) FROM gold.t") == [(1,)]


def test_with_a_key_only_what_differs_is_written(publishing: Publishing) -> None:
    keyed = publishing.declared(tables={"t": {"from": "marts.t", "key": ["day", "N"]}})
    keyed.give("SELECT date '2026-01-01' AS day, n, 'same' AS word, 0.0::double AS x FROM range(100) t(n)").publish()
    before = dict(keyed.ask("SELECT n, ctid::text || ' ' || xmin::text FROM gold.t"))
    keyed.give(
        "SELECT date '2026-01-01' AS day, n, CASE n WHEN 7 THEN NULL ELSE 'same' END AS word, "
        "CASE n WHEN 8 THEN '-0.0'::double ELSE 0.0 END AS x FROM range(3, 103) t(n)"
    ).publish()
    after = dict(keyed.ask("SELECT n, ctid::text || ' ' || xmin::text FROM gold.t"))
    assert sorted(after) == list(range(3, 103))
    assert {n for n in range(3, 100) if before[n] != after[n]} == {7, 8}
    assert keyed.ask("SELECT word, x::text FROM gold.t WHERE n IN (7, 8) ORDER BY n") == [(None, "0"), ("same", "-0")]


def test_rows_that_others_changed_are_put_right(publishing: Publishing) -> None:
    keyed = publishing.declared(tables={"t": {"from": "marts.t", "key": "n"}})
    keyed.give("SELECT n, 'w' AS word FROM range(5) t(n)").publish()
    keyed.ask("INSERT INTO gold.t SELECT * FROM gold.t WHERE n = 1")
    keyed.ask("INSERT INTO gold.t VALUES (NULL, 'odd'), (99, 'odd')")
    keyed.ask("UPDATE gold.t SET word = 'odd' WHERE n = 2")
    keyed.ask("DELETE FROM gold.t WHERE n = 3")
    keyed.publish()
    assert keyed.ask("SELECT n, word FROM gold.t ORDER BY n") == [(n, "w") for n in range(5)]


@pytest.mark.parametrize(
    ("rows", "what"),
    [("VALUES (1, 2), (1, 3)", "more than one row"), ("VALUES (1, 2), (NULL, 3)", "is NULL in some rows")],
)
def test_a_key_that_is_none_changes_nothing(publishing: Publishing, rows: str, what: str) -> None:
    keyed = publishing.declared(tables={"t": {"from": "marts.t", "key": ["n"]}})
    keyed.give("SELECT * FROM (VALUES (1, 1)) t(n, v)").publish()
    keyed.give(f"SELECT * FROM ({rows}) t(n, v)")
    with pytest.raises(StepError, match=what):
        keyed.publish()
    assert keyed.ask("SELECT n, v FROM gold.t") == [(1, 1)]
    with pytest.raises(StepError, match="the key names m, which is no column"):
        keyed.declared(tables={"t": {"from": "marts.t", "key": ["m"]}}).publish()


@pytest.mark.parametrize("key", [[], ["n"]])
def test_columns_come_go_and_change_their_type(publishing: Publishing, key: list[str]) -> None:
    one = publishing.declared(tables={"t": {"from": "marts.t", "key": key}})
    one.give("SELECT n, 'a' AS a, 1 AS b FROM range(3) t(n)").publish()
    one.ask("CREATE VIEW public.kept AS SELECT n, a FROM gold.t")
    one.give("SELECT n, 'a' AS a, 1 AS b, n * 2 AS c FROM range(4) t(n)").publish()
    assert one.ask("SELECT n, a, b, c FROM gold.t ORDER BY n") == [(n, "a", 1, n * 2) for n in range(4)]
    one.give("SELECT n, 'a' AS a, 'text' AS b FROM range(2) t(n)").publish()
    assert one.types() == {"n": "bigint", "a": "text", "b": "text"}
    assert one.ask("SELECT n, a, b FROM gold.t ORDER BY n") == [(n, "a", "text") for n in range(2)]
    one.give("SELECT n, 'text' AS b FROM range(2) t(n)")
    with pytest.raises(ConnectorError, match=r"drop or change what needs the column.*view kept"):
        one.publish()
    assert one.ask("SELECT n, a FROM public.kept ORDER BY n") == [(0, "a"), (1, "a")]
    assert one.ask("SELECT sequence FROM _headwater.commits") == [(3,)]


def test_a_reader_in_the_way_of_a_new_type(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishes, "LOCK_LIMIT_MS", 200)
    monkeypatch.setattr(publishes, "PAUSES_S", (0.1, 0.1))
    publishing.give("SELECT 1 AS n").publish()
    publishing.give("SELECT 'one' AS n")
    with psycopg.connect(publishing.dsn) as reader:
        assert reader.execute("SELECT n FROM gold.t").fetchall() == [(1,)]
        began = time.monotonic()
        with pytest.raises(StepError, match="stayed in use; nothing was changed"):
            publishing.publish()
        assert 0.6 < time.monotonic() - began < 10
        assert reader.execute("SELECT n FROM gold.t").fetchall() == [(1,)]
        monkeypatch.setattr(publishes, "PAUSES_S", (0.1,) * 50)
        late = threading.Timer(0.5, reader.rollback)
        late.start()
        publishing.publish()
        late.join()
    assert publishing.ask("SELECT n FROM gold.t") == [("one",)]


def test_a_reader_is_not_in_the_way_of_rows(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishes, "PAUSES_S", ())
    publishing.give("SELECT 1 AS n").publish()
    with psycopg.connect(publishing.dsn) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("SELECT n FROM gold.t").fetchall() == [(1,)]
        publishing.give("SELECT 2 AS n").publish()
        assert reader.execute("SELECT n FROM gold.t").fetchall() == [(1,)]
    assert publishing.ask("SELECT n FROM gold.t") == [(2,)]


def test_one_wrong_table_keeps_all_as_they_were(publishing: Publishing) -> None:
    both = publishing.declared(tables=TWO)
    both.give("SELECT 1 AS n", "marts.a").give("SELECT date '2026-01-01' AS n", "marts.b").publish()
    both.give("SELECT 2 AS n", "marts.a").give("SELECT date '5877642-06-25 (BC)' AS n", "marts.b")
    with pytest.raises(StepError, match=r"gold\.b\.n has a value that PostgreSQL's type date does not have"):
        both.publish()
    assert both.ask("SELECT n FROM gold.a") == [(1,)]


def test_a_table_of_somebody_else_is_not_touched(publishing: Publishing) -> None:
    publishing.ask("CREATE SCHEMA gold")
    publishing.ask("CREATE TABLE gold.t AS SELECT 5 AS n")
    publishing.give("SELECT 1 AS n")
    with pytest.raises(StateError, match=r"gold\.t is there already"):
        publishing.publish()
    assert publishing.ask("SELECT n FROM gold.t") == [(5,)]
    assert publishing.ask("SELECT to_regclass('_headwater.commits')") == [(None,)]
    publishing.declared(schema="silver").publish()
    with pytest.raises(StateError, match=r"silver\.t is there already"):
        publishing.declared(schema="silver", name="dashboards.other").publish()
    publishing.ask("DROP TABLE silver.t")
    publishing.ask("CREATE VIEW silver.t AS SELECT 1 AS n")
    with pytest.raises(StateError, match=r"silver\.t is there already"):
        publishing.declared(schema="silver").publish()


def test_a_table_that_was_dropped_is_made_again(publishing: Publishing) -> None:
    publishing.give("SELECT 1 AS n").publish()
    publishing.ask("DROP TABLE gold.t")
    publishing.publish()
    assert publishing.ask("SELECT n FROM gold.t") == [(1,)]


def test_grants_are_given_and_given_again(publishing: Publishing) -> None:
    role = f"analyst {publishing.dsn[-6:]}"
    publishing.ask(f'CREATE ROLE "{role}"')
    granted = publishing.declared(tables={"t": {"from": "marts.t", "grants": [role, "public"]}}).give("SELECT 1 AS n")
    asked = f"SELECT has_schema_privilege('{role}', 'gold', 'USAGE'), has_table_privilege('{role}', 'gold.t', 'SELECT')"
    try:
        granted.publish()
        assert granted.ask(asked) == [(True, True)]
        granted.ask(f'REVOKE ALL ON gold.t FROM PUBLIC, "{role}"')
        assert granted.ask(asked) == [(True, False)]
        granted.publish()
        assert granted.ask(asked) == [(True, True)]
        granted.give("SELECT 2 AS n")
        with pytest.raises(ConnectorError, match="make the role, or take it out of grants"):
            granted.declared(tables={"t": {"from": "marts.t", "grants": ["nobody here"]}}).publish()
        assert granted.ask("SELECT n FROM gold.t") == [(1,)]
    finally:
        granted.ask(f'DROP OWNED BY "{role}"')
        granted.ask(f'DROP ROLE "{role}"')


def test_errors_of_connecting_tell_no_secret(publishing: Publishing, postgres: Postgres) -> None:
    publishing.give("SELECT 1 AS n")
    wrong = [
        (publishing.dsn.replace(PASSWORD, "Wr0ng-secret"), "check user and password"),
        (postgres.dsn("not_there"), "check the database"),
        (publishing.dsn.replace(f":{postgres.port}/", f":{free_port()}/"), "run again when the server answers"),
    ]
    for dsn, what in wrong:
        with pytest.raises(ConnectorError, match=what) as caught:
            publishing.declared(dsn=dsn).publish()
        assert not any(word in str(caught.value) for word in (PASSWORD, "Wr0ng-secret"))


def test_a_user_without_rights_is_told_which(publishing: Publishing, postgres: Postgres) -> None:
    user = f"poor_{publishing.dsn[-6:]}"
    publishing.ask(f"CREATE ROLE {user} LOGIN PASSWORD 'p00r-secret'")
    poor = publishing.declared(dsn=postgres.dsn(publishing.dsn.rpartition("/")[2], user, "p00r-secret"))
    try:
        with pytest.raises(ConnectorError, match="GRANT CREATE ON DATABASE") as caught:
            poor.give("SELECT 1 AS n").publish()
        assert "p00r-secret" not in str(caught.value)
        database = publishing.dsn.rpartition("/")[2]
        publishing.ask(f"GRANT CREATE ON DATABASE {database} TO {user}")
        poor.publish()
        publishing.ask(f"REVOKE CREATE ON DATABASE {database} FROM {user}")
        poor.give("SELECT 2 AS n").publish()
        assert publishing.ask("SELECT n FROM gold.t") == [(2,)]
    finally:
        publishing.ask(f"DROP OWNED BY {user}")
        publishing.ask(f"DROP ROLE {user}")


def test_a_client_encoding_of_the_connection_changes_no_text(publishing: Publishing) -> None:
    odd = publishing.declared(dsn=f"{publishing.dsn}?client_encoding=LATIN1").give("SELECT 'Zürich €' AS word")
    odd.publish()
    assert publishing.ask("SELECT word FROM gold.t") == [("Zürich €",)]


def test_the_artefact_says_what_was_published(publishing: Publishing, tmp_path: Path) -> None:
    made = publishing.declared(more={"files": ["pbids"]}).give("SELECT 1 AS n, 'a' AS a").publish(tmp_path)
    table = {"from": "marts.t", "rows": 1, "columns": {"n": "integer", "a": "text"}}
    assert made.details == {"database_schema": "gold", "sequence": 1, "tables": {"t": table}}
    assert made.rows == 1
    written = (tmp_path / "tables.json").read_text() + (tmp_path / "connection.pbids").read_text()
    assert '"rows": 1' in written
    assert '"protocol": "postgresql"' in written
    assert PASSWORD not in written


def test_other_clients_find_the_tables(publishing: Publishing) -> None:
    one = publishing.declared(tables={name: {**table, "key": ["n"]} for name, table in TWO.items()})
    for table in ("marts.a", "marts.b"):
        values = "1 AS n, 1.50::decimal(9,2) AS amount, 'ä' AS word, timestamptz '2024-01-01 00:00:00+00' AS seen"
        one.give(f"SELECT {values}", table)
    one.publish()
    url = sqlalchemy.make_url(one.dsn).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, connect_args={"options": "-c TimeZone=UTC"})
    with engine.connect() as connection:
        found = sqlalchemy.MetaData(schema="gold")
        found.reflect(connection)
        assert sorted(found.tables) == ["gold.a", "gold.b"]
        columns = {column.name: str(column.type) for column in found.tables["gold.a"].columns}
        assert columns == {"n": "INTEGER", "amount": "NUMERIC(9, 2)", "word": "TEXT", "seen": "TIMESTAMP"}
        rows = connection.execute(sqlalchemy.select(found.tables["gold.b"])).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(1, Decimal("1.50"), "ä", datetime(2024, 1, 1, tzinfo=UTC))]
