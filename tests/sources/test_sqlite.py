"""SQLite: types that lie, cursors with lag, cuts, keys, locks, and files that are no database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.core.layers import Family
from headwater.errors import ConnectorError, ProjectError, Retryable
from headwater.ingestion import compile_prepare
from headwater.sources.sqlite import source as module
from headwater.sources.sqlite.cursor import step_back
from headwater.sources.sqlite.source import Sqlite, SqliteConnection, SqliteTable
from headwater.sources.sqlite.types import convert_column, landed_type
from tests.declared import STORES

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from pathlib import Path


def source(folder: Path) -> Sqlite:
    return Sqlite(SqliteConnection(path="ü #?%20.db"), str(folder))


def sql(folder: Path, *statements: str, rows: Any = None) -> None:
    with closing(sqlite3.connect(folder / "ü #?%20.db")) as database:
        for statement in statements[:-1]:
            database.execute(statement)
        if rows is None:
            database.execute(statements[-1])
        else:
            database.executemany(statements[-1], rows)
        database.commit()


def describe(folder: Path, **options: Any):
    return source(folder).describe({"t": SqliteTable(**options)})["t"]


def load(con, folder: Path, ingest: Any = None, columns: dict[str, str] | None = None, **more: Any) -> Outcome:
    options = more.pop("options", SqliteTable())
    if columns is None:
        columns = {c.name: c.type for c in source(folder).describe({"t": options})["t"].columns}
    return read(source(folder), request(con, options, columns, ingest, **more))


def one_column(folder: Path, declared: str, *cells: Any) -> None:
    sql(
        folder,
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (v {declared})",
        "INSERT INTO t VALUES (?)",
        rows=[(c,) for c in cells],
    )


def test_it_is_a_database(tmp_path):
    assert (Sqlite.kind, Sqlite.family) == ("sqlite", Family.DATABASES)
    with pytest.raises(ValidationError, match="not both"):
        SqliteTable(table="a", query="SELECT 1")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("INTEGER", "BIGINT"),
        ("int", "BIGINT"),
        ("UNSIGNED BIG INT", "BIGINT"),
        ("VARCHAR(20)", "VARCHAR"),
        ("TEXT", "VARCHAR"),
        ("", "VARCHAR"),
        ("BLOB", "BLOB"),
        ("REAL", "DOUBLE"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("NUMERIC", "DOUBLE"),
        ("DECIMAL(10,2)", "DECIMAL(10,2)"),
        ("numeric( 38 , 10 )", "DECIMAL(38,10)"),
        ("DECIMAL(60,2)", "DOUBLE"),
        ("BOOLEAN", "BOOLEAN"),
        ("DATE", "DATE"),
        ("DATETIME", "TIMESTAMP"),
        ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"),
        ("UUID", "UUID"),
        ("JSON", "JSON"),
        ("geometry", "VARCHAR"),
    ],
)
def test_declared_types(declared, expected):
    assert landed_type(declared) == expected


CELLS = [
    ("INTEGER", [2**63 - 1, -(2**63), None, "12"], ["x", b"1", 1.5]),
    ("REAL", [1.5, -0.0, 5, "inf", None], ["x", b"1"]),
    ("TEXT", ["", "ü 😀", "5", None], [b"\x00"]),
    ("BLOB", [b"\xff\x00", "text", b""], [5]),
    ("BOOLEAN", [0, 1, "t", "F", "true", "No", None], [2, "maybe", 0.5]),
    (
        "DATE",
        ["0001-01-01", "9999-12-31", "2024-01-01 00:00:00", 86400, 2440588.5],
        ["2024-02-30", "01.02.2024", "2024-01-01 10:00", 5],
    ),
    (
        "DATETIME",
        ["0001-01-01 00:00:00", "9999-12-31T23:59:59.999999", "2024-01-01T00:00:00Z", 1700000000, 2440587.75],
        ["noon", "2024-13-01", 10**15, "2024-01-01 00:00:00.0000001", b"2024-01-01", 1700000000.5],
    ),
    ("TIMESTAMPTZ", ["2024-01-01 00:00:00+02:00", "2024-01-01"], ["x"]),
    ("DECIMAL(10,2)", [1, 1.1, "12345678.91", -0.01], [1.111, 123456789, "x"]),
    ("DECIMAL(38,10)", [0.1, 10**15], ["x"]),
    ("UUID", ["00000000-0000-0000-0000-00000000000a"], ["x", 5]),
    ("JSON", ['{"a": 1.10}'], [b"x"]),
]


@pytest.mark.parametrize(("declared", "good", "bad"), CELLS)
def test_cells_fit_or_are_rejects(con, tmp_path, declared, good, bad):
    one_column(tmp_path, declared, *good, *bad)
    outcome = load(con, tmp_path)
    assert len(outcome.rows) == len(good)
    assert outcome.rules == ["type"] * len(bad)
    assert all('"v"' in reject["reason"] for reject in outcome.rejects)


def values(con, folder: Path, declared: str, *cells: Any) -> list[Any]:
    one_column(folder, declared, *cells)
    return [row["v"] for row in load(con, folder).rows]


def test_values_are_exact(con, tmp_path):
    assert values(con, tmp_path, "INTEGER", 2**63 - 1, -(2**63)) == [2**63 - 1, -(2**63)]
    assert values(con, tmp_path, "DECIMAL(10,2)", 1.1, 19.99) == [Decimal("1.10"), Decimal("19.99")]
    assert values(con, tmp_path, "BOOLEAN", "t", 0) == [True, False]
    assert values(con, tmp_path, "DATE", "9999-12-31", 86400, 2440588.5) == [
        date(9999, 12, 31),
        date(1970, 1, 2),
        date(1970, 1, 2),
    ]
    assert values(con, tmp_path, "DATETIME", "2024-01-01T02:00:00+02:00", 60, "0001-01-01 00:00:00.000001") == [
        datetime(2024, 1, 1),
        datetime(1970, 1, 1, 0, 1),
        datetime(1, 1, 1, 0, 0, 0, 1),
    ]
    assert values(con, tmp_path, "TIMESTAMPTZ", "2024-01-01 00:00:00+02:00") == ["2023-12-31 22:00:00+00"]
    assert values(con, tmp_path, "TEXT", "a\nb", " ") == ["a\nb", " "]


def test_a_reject_shows_the_value_unless_something_is_hidden(con, tmp_path):
    one_column(tmp_path, "INTEGER", "SECRET")
    assert "holds text 'SECRET', which is not a BIGINT" in load(con, tmp_path).rejects[0]["reason"]
    sql(tmp_path, "ALTER TABLE t ADD COLUMN w TEXT")
    hidden = load(con, tmp_path, {"prepare": [{"drop": "v"}]})
    assert hidden.rules == ["type"]
    assert "SECRET" not in str(hidden.rejects)


def test_text_that_is_not_utf8_and_nul_are_rejects(con, tmp_path):
    sql(
        tmp_path,
        "CREATE TABLE t (v TEXT)",
        "INSERT INTO t VALUES (CAST(x'61ff' AS TEXT)), (CAST(x'6100' AS TEXT)), ('ü')",
    )
    outcome = load(con, tmp_path)
    assert [row["v"] for row in outcome.rows] == ["ü"]
    assert outcome.rules == ["nul_byte", "type"]


def test_describe_says_what_lies(tmp_path):
    sql(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, flag BOOLEAN, day DATE, fine TEXT)",
        "INSERT INTO t VALUES (?, ?, ?, ?)",
        rows=[(1, "t", 0, "x"), (2, 1, None, "y"), (9, "f", "2024-01-01", None)],
    )
    found = describe(tmp_path)
    assert [(c.name, c.type, c.source_type) for c in found.columns] == [
        ("id", "BIGINT", "INTEGER"),
        ("flag", "BOOLEAN", "BOOLEAN"),
        ("day", "DATE", "DATE"),
        ("fine", "VARCHAR", "TEXT"),
    ]
    assert found.key == ("id",)
    assert found.estimated_rows == 9
    assert found.notes == (
        "column 'flag' is declared BOOLEAN and holds 2 cells of text in a sample",
        "column 'day' is declared DATE and holds 1 cells of integer in a sample",
    )
    assert not found.proposed


def test_views_queries_and_names(con, tmp_path):
    sql(
        tmp_path,
        'CREATE TABLE "or""der 😀" ("sel ect" INTEGER, "quo""te" TEXT, rowid TEXT, π REAL)',
        "INSERT INTO \"or\"\"der 😀\" VALUES (1, 'x', 'r', 0.5), (2, 'y', 's', 1.5)",
    )
    sql(tmp_path, 'CREATE VIEW v AS SELECT "sel ect" AS a, count(*) AS n FROM "or""der 😀" GROUP BY 1')
    table = load(con, tmp_path, options=SqliteTable(table='OR"DER 😀'), chunk_rows=1)
    assert len(table.chunks) == 2
    assert table.values("sel ect", 'quo"te', "rowid", "π") == [(1, "x", "r", 0.5), (2, "y", "s", 1.5)]
    view = load(con, tmp_path, options=SqliteTable(table="v"))
    assert view.values("a", "n") == [(1, "1"), (2, "1")]
    query = load(con, tmp_path, options=SqliteTable(query='SELECT "sel ect" AS a FROM "or""der 😀" WHERE a > 1; '))
    assert query.values("a") == [(2,)]
    assert describe(tmp_path, table="v").estimated_rows == 2


def test_generated_columns_and_tables_without_rowid(con, tmp_path):
    sql(
        tmp_path,
        "CREATE TABLE t (a TEXT, b INTEGER, c INTEGER AS (b * 2), PRIMARY KEY (a, b)) WITHOUT ROWID",
        "INSERT INTO t VALUES ('x', 1), ('x', 2), ('y', 1), ('z', 5)",
    )
    outcome = load(con, tmp_path, chunk_rows=2)
    assert outcome.values("a", "b", "c") == [("x", 1, 2), ("x", 2, 4), ("y", 1, 2), ("z", 5, 10)]
    assert len(outcome.chunks) == 2
    assert describe(tmp_path).key == ("a", "b")


def test_zero_rows(con, tmp_path):
    sql(tmp_path, "CREATE TABLE t (a INTEGER, changed DATETIME)")
    assert load(con, tmp_path).rows == []
    outcome = load(con, tmp_path, {"load": "incremental", "cursor": "changed"})
    assert (outcome.rows, outcome.position) == ([], {})
    assert describe(tmp_path).estimated_rows == 0


# --------------------------------------------------------------------------------------------------------- cursors


def items(folder: Path, *rows: tuple[Any, ...], kind: str = "DATETIME") -> None:
    sql(
        folder,
        f"CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, changed {kind})",
        "INSERT OR REPLACE INTO t VALUES (?, ?)",
        rows=rows,
    )


INCREMENTAL = {"load": "incremental", "key": ["id"], "cursor": "changed"}


def test_the_default_lag_reads_five_minutes_again(con, tmp_path):
    items(tmp_path, (1, "2024-01-01 10:00:00"), (2, "2024-01-01 10:05:00.5"))
    first = load(con, tmp_path, INCREMENTAL)
    assert first.position == {"cursor": "2024-01-01 10:05:00.5"}
    items(tmp_path, (3, "2024-01-01 10:00:00.4"), (4, "2024-01-01 10:00:30"), (5, "2024-01-01 10:06:00"))
    second = load(con, tmp_path, INCREMENTAL, position=first.position)
    assert second.values("id") == [(1,), (2,), (3,), (4,), (5,)]
    third = load(con, tmp_path, {**INCREMENTAL, "lag": "10s"}, position=second.position)
    assert third.values("id") == [(5,)]


def test_without_a_key_the_last_value_is_read_again_and_no_more(con, tmp_path):
    items(tmp_path, (1, 5), (2, 6), kind="INTEGER")
    ingest = {"load": "incremental", "cursor": "changed"}
    first = load(con, tmp_path, ingest)
    items(tmp_path, (3, 6), (4, 5))
    assert load(con, tmp_path, ingest, position=first.position).values("id") == [(2,), (3,)]


def test_null_cursors_are_rejects_each_time(con, tmp_path):
    items(tmp_path, (1, None), (2, "2024-01-01"))
    outcome = load(con, tmp_path, INCREMENTAL)
    assert outcome.values("id") == [(2,)]
    assert outcome.rules == ["null_cursor"]
    assert outcome.chunks == ["nulls", "rows-00000"]


@pytest.mark.parametrize(
    ("last", "type_text", "expected"),
    [
        ("2024-01-01 00:05:00", "TIMESTAMP", "2024-01-01 00:00:00"),
        ("2024-01-01T00:05:00.123Z", "TIMESTAMP", "2024-01-01T00:00:00"),
        ("2024-01-01 00:05:00+02:00", "TIMESTAMP", "2024-01-01 00:00:00"),
        ("2024-01-02", "DATE", "2024-01-01"),
        ("2024-01-02", "TIMESTAMP", "2024-01-01 23:55:00"),
        (1000, "TIMESTAMP", 700),
        (2440588.5, "TIMESTAMP", 2440588.5 - 5 / 1440),
        ("0001-01-01 00:00:01", "TIMESTAMP", "0001-01-01 00:00:00"),
    ],
)
def test_lag_in_the_form_the_column_has(last, type_text, expected):
    if last == "2024-01-02" and type_text == "TIMESTAMP":
        assert step_back(last, type_text, timedelta(minutes=5)) <= "2024-01-01"[:10] + " 23:55:00"
    else:
        assert step_back(last, type_text, timedelta(minutes=5)) == expected


@settings(max_examples=80, deadline=None)
@given(
    st.datetimes(),
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)),
    st.sampled_from(" T"),
    st.sampled_from(["", "Z"]),
)
def test_a_text_lag_never_skips_a_row(moment, lag, separator, zone):
    def text(value: datetime) -> str:
        return value.isoformat(sep=separator) + zone

    bound = step_back(text(moment), "TIMESTAMP", lag)
    if moment - datetime.min >= lag:
        assert bound <= text(moment - lag)
    assert bound <= text(moment)


@pytest.mark.parametrize(
    ("ingest", "position", "error"),
    [
        ({**INCREMENTAL, "lag": "5m"}, {"cursor": 5}, ProjectError),
        ({**INCREMENTAL, "cursor": "nope"}, {}, ProjectError),
    ],
)
def test_wrong_cursors_are_errors(con, tmp_path, ingest, position, error):
    items(tmp_path, (1, 5), kind="INTEGER")
    with pytest.raises(error):
        load(con, tmp_path, ingest, position=position)


def test_a_cursor_that_is_no_time_has_no_lag(con, tmp_path):
    items(tmp_path, (1, "2024-01-01"))
    with pytest.raises(ConnectorError, match="not a date or time"):
        load(con, tmp_path, INCREMENTAL, position={"cursor": "yesterday"})


@settings(max_examples=25, deadline=None)
@given(
    cells=st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=25),
    size=st.integers(1, 7),
    last=st.one_of(st.none(), st.integers(0, 5)),
)
def test_cuts_give_every_row_once(tmp_path_factory, cells, size, last):
    import duckdb

    folder = tmp_path_factory.mktemp("cuts")
    items(folder, *enumerate(cells), kind="INTEGER")
    with closing(duckdb.connect()) as con:
        con.execute("SET TimeZone = 'UTC'")
        position = {} if last is None else {"cursor": last}
        outcome = load(con, folder, {"load": "incremental", "cursor": "changed"}, chunk_rows=size, position=position)
        full = load(con, folder, chunk_rows=size)
    expected = [(i, c) for i, c in enumerate(cells) if c is not None and (last is None or c >= last)]
    assert sorted((row["id"], row["changed"]) for row in outcome.rows) == expected
    assert len(outcome.rejects) == cells.count(None)
    assert sorted(row["id"] for row in full.rows) == list(range(len(cells)))
    assert all(chunk.startswith(("rows", "nulls")) for chunk in outcome.chunks)


# ------------------------------------------------------------------------------------------ consistency, and trouble


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_read_is_one_snapshot(con, tmp_path, mode):
    items(tmp_path, (1, "2024-01-01"), (2, "2024-01-01"), (3, "2024-01-01"))
    sql(tmp_path, f"PRAGMA journal_mode = {mode}")
    asked = request(con, SqliteTable(), {"id": "bigint", "changed": "timestamp"}, {}, chunk_rows=1)
    reading = source(tmp_path).read("t", asked)
    seen = []
    with closing(sqlite3.connect(tmp_path / "ü #?%20.db", timeout=0)) as writer:
        for chunk in reading.chunks:
            try:
                writer.execute("UPDATE t SET id = id + 10")
                writer.commit()
            except sqlite3.OperationalError:
                writer.rollback()
            seen += con.execute(chunk.query).fetchall()
            chunk.finish()
        assert [row[0] for row in seen] == [1, 2, 3]
        writer.execute("DELETE FROM t")
        writer.commit()


def test_keys_are_read_after_the_rows(con, tmp_path):
    items(tmp_path, (1, "2024-01-01"), (2, "2024-01-02"))
    ingest = {**INCREMENTAL, "deletes": "compare_keys", "prepare": [{"rename": {"id": "key_id"}}], "key": ["key_id"]}
    asked = request(con, SqliteTable(), {"id": "bigint", "changed": "timestamp"}, ingest)
    reading = source(tmp_path).read("t", asked)
    prepared = compile_prepare(asked.ingest, asked.columns, store=STORES["warehouse"], extra=reading.extra)
    for chunk in reading.chunks:
        con.execute(chunk.query).fetchall()
        chunk.finish()
    sql(tmp_path, "DELETE FROM t WHERE id = 1")
    assert reading.keys is not None
    assert con.sql(prepared.keys(reading.keys(prepared.key_origins))).fetchall() == [(2,)]


def test_a_locked_file_is_waited_for_then_a_retryable_error(con, tmp_path, monkeypatch):
    items(tmp_path, (1, "2024-01-01"))
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "ü #?%20.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConnectorError, match="locked by a writer") as caught:
            load(con, tmp_path)
        assert isinstance(caught.value, Retryable)
        writer.execute("ROLLBACK")
    assert len(load(con, tmp_path).rows) == 1


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to have a header" * 10, b"SQLite format 3\0" + b"\xff" * 200]
)
def test_a_file_that_is_no_database(con, tmp_path, content):
    (tmp_path / "ü #?%20.db").write_bytes(content)
    with pytest.raises(ConnectorError, match="not a SQLite database") as caught:
        describe(tmp_path)
    assert not isinstance(caught.value, Retryable)


def test_a_missing_file_is_not_created(tmp_path):
    with pytest.raises(ConnectorError, match="there is no file"):
        describe(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_table_names_those_there_are(con, tmp_path):
    items(tmp_path, (1, None))
    with pytest.raises(ConnectorError, match="no table 'orders'") as caught:
        describe(tmp_path, table="orders")
    assert caught.value.fix == "set table to one of: t"
    with pytest.raises(ConnectorError, match="no such column"):
        describe(tmp_path, query="SELECT nope FROM t")


def test_reading_writes_nothing(con, tmp_path):
    items(tmp_path, (1, "2024-01-01"))
    before = (tmp_path / "ü #?%20.db").read_bytes()
    load(con, tmp_path)
    describe(tmp_path, query="SELECT * FROM t")
    assert (tmp_path / "ü #?%20.db").read_bytes() == before


def test_the_version_in_each_journal_mode(tmp_path):
    items(tmp_path, (1, "2024-01-01"))
    first = describe(tmp_path).version
    assert first == describe(tmp_path).version
    items(tmp_path, (1, "2024-01-02"))
    assert describe(tmp_path).version != first
    sql(tmp_path, "PRAGMA journal_mode = wal")
    assert describe(tmp_path).version is None


def test_columns_by_policy(con, tmp_path):
    sql(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)", "INSERT INTO t VALUES (1, NULL), (2, 'x')")
    declared = {"a": "bigint", "gone": "varchar"}
    evolved = load(con, tmp_path, {}, declared)
    assert evolved.values("a", "gone", "b") == [(1, None, None), (2, None, "x")]
    discarded = load(con, tmp_path, {"schema": "discard_row"}, declared)
    assert discarded.values("a", "gone") == [(1, None)]
    assert discarded.rules == ["unknown_column"]
    with pytest.raises(ProjectError, match="new: b; missing: gone"):
        load(con, tmp_path, {"schema": "freeze"}, declared)
    assert load(con, tmp_path, {"schema": "freeze"}).values("a") == [(1,), (2,)]


def test_declared_types_win_over_the_catalogue(con, tmp_path):
    sql(
        tmp_path,
        "CREATE TABLE t (a INTEGER, b TEXT, c INTEGER)",
        "INSERT INTO t VALUES (1700000000, '12', 300), (0, 'x', 5)",
    )
    outcome = load(con, tmp_path, {}, {"a": "epoch_s", "b": "smallint", "c": "tinyint"})
    assert outcome.rows == []
    sql(tmp_path, "UPDATE t SET b = '7', c = 3")
    outcome = load(con, tmp_path, {}, {"a": "epoch_s", "b": "smallint", "c": "tinyint"})
    assert outcome.values("a", "b", "c") == [("1970-01-01 00:00:00+00", 7, 3), ("2023-11-14 22:13:20+00", 7, 3)]


@given(
    st.lists(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary())
    ),
    st.sampled_from(["BIGINT", "DOUBLE", "VARCHAR", "BLOB", "BOOLEAN", "DATE", "TIMESTAMP", "DECIMAL(10,2)", "JSON"]),
)
def test_a_cell_is_kept_or_unfit_never_changed_to_null(cells, type_text):
    array, unfit = convert_column(cells, type_text)
    assert len(array) == len(cells)
    for row, cell in enumerate(cells):
        assert array[row].is_valid == (cell is not None and row not in unfit)
