from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.contracts import Change, Select
from headwater.core.commit import Column, Commit
from headwater.errors import BusyError, ConnectorError, StateError
from headwater.storage.warehouse.store import Warehouse
from headwater.testing.stores import COLUMNS, MemorySession, StoreContract, Writer, rows_of

from .children import hold_file, make_writer

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestContract(StoreContract):
    store_class = Warehouse


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "warehouse.duckdb")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("warehouse", path)
    yield writer
    writer.session.close()


class CountingSession(MemorySession):
    """Counts the statements that run on its cursors."""

    statements = 0

    def cursor(self) -> Any:
        session, connection = self, super().cursor()

        class Cursor:
            def execute(self, *arguments: Any) -> Any:
                session.statements += 1
                return connection.execute(*arguments)

            def close(self) -> None:
                connection.close()

        return Cursor()


def test_a_file_held_by_another_process(path: str, writer: Writer) -> None:
    context = multiprocessing.get_context("forkserver")
    release = context.Event()
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=hold_file, args=(sender, path, release))
    child.start()
    try:
        holder = receiver.recv()
        with pytest.raises(BusyError) as caught:
            writer.write("append", rows_of({1: "a"}))
        assert caught.value.process_id == holder == child.pid
        assert caught.value.exit_code == 3
        assert path in str(caught.value)
        with pytest.raises(BusyError):
            writer.store.describe()
    finally:
        release.set()
        child.join(60)
    assert writer.read() == [(1, "a")]


def test_a_file_held_by_another_session_of_this_process(path: str, writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}))
    other = make_writer("warehouse", path)
    with pytest.raises(BusyError) as caught:
        other.store.describe()
    assert caught.value.process_id == os.getpid()
    other.session.close()


def test_a_session_holds_several_warehouses(writer: Writer, tmp_path: Path) -> None:
    """Tables of one name in both: each file has its own, in this session and when it is opened alone."""
    path = str(tmp_path / "other.duckdb")
    other = Writer(Warehouse(path, writer.session), writer.session)
    writer.write("append", rows_of({1: "a"}))
    other.write("append", rows_of({2: "b"}))
    staged = other.store.stage(other.load("load-2"), {}, "c", rows_of({3: "c"}))
    staged.finish_chunk({"position": {}})
    assert (writer.read(), other.read()) == ([(1, "a")], [(2, "b")])
    writer.session.close()
    alone = MemorySession()
    again = Writer(Warehouse(path, alone), alone)
    assert again.read() == [(2, "b")]
    assert again.described.staging is not None
    (part,) = again.described.staging.parts
    assert again.fetch(part.query) == [(3, "c")]
    again.write("append", rows_of({4: "d"}), load=again.load("load-2"))
    assert again.described.staging is None
    alone.close()


def test_a_missing_file_is_empty_when_nothing_may_be_written(path: str) -> None:
    session = MemorySession(read_only=True)
    assert Warehouse(path, session).describe() == {}
    assert not Path(path).exists()
    session.close()


def test_a_file_of_somebody_else_is_left_alone(path: str, writer: Writer) -> None:
    import duckdb

    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 42 AS mine")
        connection.execute("CREATE VIEW shop.seen AS SELECT 1 AS one")
    assert writer.store.describe() == {}
    for table in ("shop.orders", "shop.seen", "shop.orders"):
        other = Writer(writer.store, writer.session, table)
        with pytest.raises(StateError, match="did not make"):
            other.write("replace", rows_of({1: "a"}))
        assert writer.store.describe() == {}
    assert writer.fetch("SELECT mine FROM _hw.shop.orders") == [(42,)]


def test_a_table_made_by_somebody_else_in_between(writer: Writer) -> None:
    Writer(writer.store, writer.session, "shop.first").write("append", rows_of({1: "a"}))
    writer.store.describe()
    writer.connection.execute("CREATE TABLE _hw.shop.orders AS SELECT 42 AS mine")
    with pytest.raises(StateError, match="did not make"):
        writer.write("replace", rows_of({1: "a"}))
    assert writer.fetch("SELECT mine FROM _hw.shop.orders") == [(42,)]


def test_a_table_replaced_by_somebody_else(writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}))
    commit = writer.next_commit()
    writer.connection.execute("CREATE OR REPLACE TABLE _hw.shop.orders AS SELECT 1::BIGINT AS id, 'x' AS name")
    state = writer.described
    assert "replaced by somebody else" in state.foreign
    assert "run --reset shop.orders" in state.foreign
    assert state.commit is not None
    with pytest.raises(StateError, match="--reset"):
        writer.store.commit(writer.load(), Change("append", Select(rows_of({2: "b"})), COLUMNS), commit)
    assert writer.read() == [(1, "x")]
    writer.store.maintain([writer.table], {"drop": True})
    writer.write("append", rows_of({3: "c"}))
    assert writer.described.foreign == ""


def test_a_table_replaced_before_a_new_process_is_never_written(path: str, writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}))
    commit = writer.next_commit()
    writer.session.close()
    import duckdb

    with duckdb.connect(path) as connection:
        connection.execute("CREATE OR REPLACE TABLE shop.orders AS SELECT 1::BIGINT AS id, 'x' AS name")
    later = make_writer("warehouse", path)
    for mode in ("append", "replace"):
        with pytest.raises(StateError, match="not as Headwater left it"):
            later.store.commit(later.load(), Change(mode, Select(rows_of({2: "b"})), COLUMNS), commit)  # type: ignore[arg-type]
    assert later.read() == [(1, "x")]
    later.session.close()


def test_a_dropped_table_is_described_without_a_commit(writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}), position={"files": {"a": 1}})
    stale = writer.next_commit()
    writer.connection.execute("DROP TABLE _hw.shop.orders")
    state = writer.described
    assert (state.commit, state.scan, state.position, state.foreign) == (None, "", {}, "")
    with pytest.raises(StateError):
        writer.store.commit(writer.load(), Change("append", Select(rows_of({2: "b"})), COLUMNS), stale)
    receipt = writer.write("append", rows_of({3: "c"}))
    assert receipt.commit.sequence == 2
    assert writer.read() == [(3, "c")]
    assert writer.described.position == {}


def test_a_thousand_tables_take_as_many_queries_as_one(path: str) -> None:
    session = CountingSession()
    store = Warehouse(path, session)
    plain = MemorySession.cursor(session)
    store._file.open(write=True)
    plain.execute("CREATE SCHEMA _hw.many")
    for number in range(40):
        plain.execute(f"CREATE TABLE _hw.many.t{number} AS SELECT {number} AS n")
        commit = Commit(f"many.t{number}", 1, None, "r", "f", "n", 1)
        plain.execute("INSERT INTO _hw._headwater.commits VALUES ($1, $1, 1, $2)", [commit.producer, commit.to_json()])
        plain.execute(f"COMMENT ON TABLE _hw.many.t{number} IS '{commit.commit_id}'")
    counts = []
    for names in (["many.t1"], [f"many.t{number}" for number in range(40)], None):
        session.statements = 0
        states = store.describe(names)
        counts.append(session.statements)
    assert len(states) == 40
    assert not any(state.foreign for state in states.values())
    assert counts[0] == counts[1]
    assert counts[2] <= counts[1] + 1
    session.close()


def test_commits_of_other_tables_run_in_parallel(writer: Writer) -> None:
    errors: list[BaseException] = []

    def write(thread: int) -> None:
        writers = [Writer(writer.store, writer.session, f"par{n % 3}.t{thread}_{n}") for n in range(4)]
        try:
            for turn in range(6):
                for each in writers:
                    mode = ["append", "merge", "replace"][turn % 3]
                    each.write(mode, rows_of({turn: "x"}), key=("id",), position={"files": {str(turn): 1}})
                    writer.store.describe()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    states = writer.store.describe()
    assert len(states) == 8
    assert {state.commit.sequence for state in states.values() if state.commit} == {6}
    assert not any(state.foreign for state in states.values())


def test_two_threads_that_make_the_same_table(writer: Writer) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def write(value: str) -> None:
        each = Writer(writer.store, writer.session)
        commit = each.next_commit()
        barrier.wait()
        try:
            each.store.commit(each.load(), Change("append", Select(rows_of({1: value})), COLUMNS), commit)
            outcomes.append("written")
        except StateError:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(value,)) for value in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "written"]
    assert len(writer.read()) == 1


def test_a_column_named_rowid_can_only_be_replaced(writer: Writer) -> None:
    columns = (Column("rowid", "BIGINT"), Column("name", "VARCHAR"))
    rows = "SELECT 7::BIGINT AS rowid, 'a' AS name"
    writer.write("replace", rows, columns=columns)
    writer.write("replace", rows, columns=columns)
    with pytest.raises(ConnectorError, match="rowid"):
        writer.write("merge", rows, columns=columns, key=("rowid",))
    assert writer.read() == [(7, "a")]


def test_delivered_text_is_kept_as_it_came(writer: Writer) -> None:
    """A new table with delivered text is made in another way than others; what reads itself is replaced."""
    columns = (
        Column('odd "name', "DECIMAL(38,10)"), Column("list of", "STRUCT(a BIGINT, b VARCHAR[])"), Column("at", "TIME"),
        Column("_raw", "VARCHAR"),
    )  # fmt: skip
    rows = (
        "SELECT 0.0000000001::DECIMAL(38,10) + i AS \"odd \"\"name\", {'a': i, 'b': ['x', NULL]}::STRUCT(a BIGINT, "
        "b VARCHAR[]) AS \"list of\", TIME '23:59:59.999999' AS at, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' "
        "WHEN 2 THEN 'ä' || chr(0) || '€' ELSE repeat(i || ' long ', 20000) END AS _raw FROM range(400) AS _(i)"
    )
    expected = writer.fetch(rows)
    writer.write("replace", rows, columns=columns)
    assert writer.read() == expected
    table = '_hw."shop"."orders"'
    assert [row[:2] for row in writer.connection.execute(f"DESCRIBE {table}").fetchall()] == [
        (c.name, c.type) for c in columns
    ]
    writer.write("replace", f'SELECT * FROM {table} WHERE "list of" IS NOT NULL', columns=columns)
    assert writer.read() == expected


def test_a_small_replace_runs_no_more_statements_than_it_must(path: str) -> None:
    session = MemorySession()
    writer = Writer(Warehouse(path, session), session)
    writer.write("replace", rows_of({1: "a"}))
    commit = writer.next_commit()
    seen: list[str] = []

    class Spy:
        def execute(self, statement: str, *arguments: Any) -> Any:
            seen.append(statement.split()[0])
            return writer.connection.execute(statement, *arguments)

    load = writer.load()
    spied = type(load)(load.table, load.producer, load.load_id, Spy())  # type: ignore[arg-type]  # a connection's place
    writer.store.commit(spied, Change("replace", Select(rows_of({2: "b"})), COLUMNS), commit)
    assert seen == ["BEGIN", "CREATE", "DESCRIBE", "SELECT", "UPDATE", "COMMENT", "COMMIT"]


def test_the_file_stands_alone(path: str, writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}))
    writer.session.close()
    import duckdb

    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("SELECT * FROM shop.orders").fetchall() == [(1, "a")]
        found = connection.execute("SELECT producer, dataset, sequence FROM _headwater.commits").fetchall()
    assert found == [("shop.orders", "shop.orders", 1)]


def test_positions_are_kept_in_few_rows(writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}), position={"files": {"0": 0}})
    for number in range(1, 55):
        writer.write("record", version=1, position={"files": {str(number): number}})
    assert writer.fetch("SELECT count(*) FROM _hw._headwater.history") == [(6,)]
    assert len(writer.described.position["files"]) == 55


def test_a_load_without_position_writes_no_history(writer: Writer) -> None:
    writer.write("append", rows_of({1: "a"}))
    assert writer.fetch("SELECT count(*) FROM _hw._headwater.history") == [(0,)]


def test_an_error_of_the_rows_passes_as_it_is(writer: Writer) -> None:
    import duckdb

    writer.write("append", rows_of({1: "a"}))
    with pytest.raises(duckdb.ConversionException):
        writer.write("append", "SELECT CAST('x' AS BIGINT) AS id, 'b' AS name")
    writer.write("append", rows_of({2: "b"}))
    assert len(writer.read()) == 2
