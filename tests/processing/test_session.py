"""The session: one DuckDB instance, a view per dataset, nothing but what is declared is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headwater.core.commit import Column, TableState
from headwater.core.specs import EngineSpec
from headwater.processing.duckdb.session import WHOLE, DuckDBSession, machine_memory_bytes

STATE = TableState(
    "shop.orders",
    columns=(Column("id", "INTEGER"), Column("_batch", "VARCHAR"), Column('odd "name"', "VARCHAR")),
    scan='SELECT 1 AS id, \'b\' AS _batch, \'x\' AS "odd ""name"""',
    rejects="SELECT 'bad' AS rule",
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[DuckDBSession]:
    with DuckDBSession(EngineSpec(threads=2, memory_limit="512MiB"), tmp_path / "spill") as session:
        yield session


def setting(session: DuckDBSession, name: str) -> object:
    row = session.cursor().execute("SELECT current_setting(?)", [name]).fetchone()
    assert row is not None
    return row[0]


def test_what_is_declared_is_set(session: DuckDBSession) -> None:
    assert (setting(session, "threads"), setting(session, "memory_limit")) == (2, "512.0 MiB")
    assert setting(session, "TimeZone") == "UTC"
    assert session.read_only is False


def test_the_machine_s_memory_leaves_room_for_others(tmp_path: Path) -> None:
    with DuckDBSession(EngineSpec(), tmp_path / "spill", read_only=True) as session:
        assert session.read_only is True
        assert str(setting(session, "memory_limit")).endswith("iB")
    assert 2**28 < machine_memory_bytes() < 2**50


def test_nothing_is_downloaded(session: DuckDBSession) -> None:
    assert setting(session, "autoinstall_known_extensions") is False
    assert setting(session, "autoload_known_extensions") is False


def test_a_loaded_table_hides_its_system_columns(session: DuckDBSession) -> None:
    session.show_table(STATE, loaded=True)
    cursor = session.cursor()
    assert cursor.execute("SELECT * FROM shop.orders").fetchall() == [(1, "x")]
    assert cursor.execute(f"SELECT * FROM {WHOLE}.shop__orders").fetchall() == [(1, "b", "x")]
    assert cursor.execute("SELECT * FROM quarantine.shop__orders").fetchall() == [("bad",)]


def test_a_model_s_table_shows_all_its_columns(session: DuckDBSession) -> None:
    session.show_table(STATE)
    assert session.cursor().execute("SELECT * FROM shop.orders").fetchall() == [(1, "b", "x")]
    with pytest.raises(duckdb.CatalogException):
        session.cursor().execute("SELECT * FROM quarantine.shop__orders")


def test_a_table_that_is_not_there_is_not_shown(session: DuckDBSession) -> None:
    session.show_table(TableState("shop.orders"))
    with pytest.raises(duckdb.CatalogException):
        session.cursor().execute("SELECT * FROM shop.orders")


def test_a_table_without_rejects_has_no_quarantine(session: DuckDBSession) -> None:
    session.show_table(replace(STATE, rejects=""), loaded=True)
    with pytest.raises(duckdb.CatalogException):
        session.cursor().execute("SELECT * FROM quarantine.shop__orders")


def test_a_view_is_made_again_only_when_it_changed_or_was_forgotten(session: DuckDBSession) -> None:
    session.show_query("m.a", "SELECT 1 AS x")
    cursor = session.cursor()
    session.show_query("m.a", "SELECT 2 AS x")
    assert cursor.execute("FROM m.a").fetchall() == [(2,)]
    cursor.execute("CREATE OR REPLACE VIEW m.a AS SELECT 3 AS x")
    session.show_query("m.a", "SELECT 2 AS x")
    assert cursor.execute("FROM m.a").fetchall() == [(3,)]
    session.forget("m.a")
    session.show_query("m.a", "SELECT 2 AS x")
    assert cursor.execute("FROM m.a").fetchall() == [(2,)]


def test_odd_names_are_quoted(session: DuckDBSession) -> None:
    session.show_query('odd ns.a "b"', "SELECT 1 AS x")
    assert session.cursor().execute('FROM "odd ns"."a ""b"""').fetchall() == [(1,)]


def test_a_variable_of_the_process_is_no_table(session: DuckDBSession) -> None:
    import pyarrow as pa

    orders = pa.table({"x": [1]})
    assert orders.num_rows == 1
    with pytest.raises(duckdb.CatalogException):
        session.cursor().execute("SELECT * FROM orders")


def test_a_sealed_session_reaches_the_stores_and_nothing_else(tmp_path: Path) -> None:
    for name in ("store", "linked", "elsewhere"):
        (tmp_path / name).mkdir()
        duckdb.sql("SELECT 1 AS id").write_parquet(str(tmp_path / name / "x.parquet"))
    (tmp_path / "link").symlink_to("linked")
    (tmp_path / "store" / "out").symlink_to(tmp_path / "elsewhere")
    with DuckDBSession(EngineSpec(threads=1, memory_limit="60MB"), tmp_path / "spill", read_only=True) as session:
        session.seal([tmp_path / "store", tmp_path / "link", tmp_path / "spill", tmp_path / "w.duckdb"])
        connection = session.cursor()
        for folder in ("store", "link"):
            assert connection.execute(f"FROM read_parquet('{tmp_path}/{folder}/x.parquet')").fetchall() == [(1,)]
        session.show_query("m.a", "SELECT 1 AS id")
        with session.aside() as aside:
            aside.show_query("m.b", "SELECT 2 AS id")
            assert aside.cursor().execute("FROM m.b").fetchall() == [(2,)]
        spilled = "SELECT count(*) FROM (SELECT DISTINCT i, md5(i::VARCHAR) FROM range(1000000) t(i))"
        assert connection.execute(spilled).fetchone() == (1_000_000,)
        for statement in (
            f"FROM '{tmp_path}/elsewhere/x.parquet'", f"FROM '{tmp_path}/store/../elsewhere/x.parquet'",
            f"FROM '{tmp_path}/store/out/x.parquet'", "FROM read_text('/etc/hostname')", f"ATTACH '{tmp_path}/x.db'",
            f"COPY (SELECT 1) TO '{tmp_path}/elsewhere/y.csv'", "SET threads = 2", "SET enable_external_access = true",
            "SET GLOBAL lock_configuration = false", "SET allowed_directories = ['/']", "INSTALL httpfs",
        ):  # fmt: skip
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_a_file_is_read_as_it_is_now(session: DuckDBSession, tmp_path: Path) -> None:
    """Not as it was within the same second: DuckDB would keep what it has read of a file that it could not use."""
    file = tmp_path / "f.parquet"
    with session.cursor() as connection:
        connection.execute(f"COPY (SELECT range AS n FROM range(100)) TO '{file}' (FORMAT parquet)")
        whole = file.read_bytes()
        for _ in range(5):
            file.write_bytes(whole[:4] + b"\xff" * 20 + whole[24:])
            with pytest.raises(duckdb.Error):
                connection.execute(f"SELECT n FROM '{file}'").fetchall()
            file.write_bytes(whole)
            assert len(connection.execute(f"SELECT n FROM '{file}'").fetchall()) == 100
