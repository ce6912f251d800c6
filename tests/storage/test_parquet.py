from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from headwater.core.commit import Column
from headwater.storage.common.parquet import DataFile, cast_rows, scan_files, write_parquet
from headwater.testing.stores import MemorySession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


@pytest.fixture
def connection() -> Iterator[DuckDBPyConnection]:
    session = MemorySession()
    yield session.cursor()
    session.close()


NARROW = (Column("id", "INTEGER"), Column("amount", "DECIMAL(5,2)"))
WIDE = (Column("id", "BIGINT"), Column("amount", "DECIMAL(18,2)"), Column("note", "VARCHAR"), Column("day", "DATE"))


@pytest.fixture
def scan(connection: DuckDBPyConnection, tmp_path: Path) -> str:
    """A file with fewer, narrower columns in another order, and one with all but `day`."""
    old = "SELECT (range / 100)::DECIMAL(5,2) AS amount, range::INTEGER AS id FROM range(50000)"
    new = "SELECT 'n' || range AS note, range + 50000 AS id, range::DECIMAL(18,2) AS amount FROM range(50000)"
    files = write_parquet(connection, old, tmp_path / "old") + write_parquet(connection, new, tmp_path / "new")
    return scan_files(WIDE, [file.path for file in files])


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("true", 100_000),
        ("note IS NULL", 50_000),
        ("note IS NOT NULL", 50_000),
        ("note = 'n7'", 1),
        ("note > 'n'", 50_000),
        ("day IS NULL", 100_000),
        ("day IS NOT NULL", 0),
        ("day = DATE '2013-01-01'", 0),
        ("id = 49999", 1),
        ("id >= 99999", 1),
        ("id > 2147483648", 0),
        ("amount = 499.99", 1),
        ("amount > 40000", 9_999),
        ("amount <= 1.00 AND id < 50000", 101),
        ("coalesce(note, 'x') = 'x'", 50_000),
        ("id IN (1, 60000, 200000)", 2),
    ],
)
def test_filters_on_files_that_differ(connection: DuckDBPyConnection, scan: str, where: str, count: int) -> None:
    assert connection.sql(f"SELECT count(*) FROM ({scan}) WHERE {where}").fetchall() == [(count,)]


def test_the_scan_has_the_columns_asked_for(connection: DuckDBPyConnection, scan: str) -> None:
    described = connection.execute(f"DESCRIBE {scan}").fetchall()
    assert [(row[0], row[1]) for row in described] == [(column.name, column.type) for column in WIDE]
    joined = f"SELECT count(*) FROM ({scan}) AS a JOIN ({scan}) AS b USING (id) WHERE a.note IS NOT NULL"
    assert connection.sql(joined).fetchall() == [(50_000,)]


def test_no_files_are_no_rows(connection: DuckDBPyConnection) -> None:
    for column in ("", "place"):
        query = scan_files(WIDE, [], file_column=column)
        assert connection.sql(query).to_arrow_table().num_rows == 0
        assert connection.sql(query).columns == [c.name for c in WIDE] + [column] * bool(column)


def test_each_row_may_tell_its_file(connection: DuckDBPyConnection, tmp_path: Path) -> None:
    files = [write_parquet(connection, f"SELECT {n} AS filename", tmp_path / f"it's {n}")[0] for n in range(2)]
    query = scan_files((Column("filename", "INTEGER"),), [file.path for file in files], file_column="place")
    assert sorted(connection.sql(query).fetchall()) == [(0, files[0].path), (1, files[1].path)]


def test_a_registered_stream_is_read_once(connection: DuckDBPyConnection, tmp_path: Path) -> None:
    table = pa.table({"id": list(range(1000))})
    connection.register("stream", table.to_reader(100))
    columns = (Column("id", "BIGINT"),)
    assert connection.execute("DESCRIBE SELECT * FROM stream").fetchall()[0][0] == "id"
    files = write_parquet(connection, cast_rows("SELECT * FROM stream", columns, columns), tmp_path / "x")
    assert sum(file.rows for file in files) == 1000


def test_a_file_knows_its_size(connection: DuckDBPyConnection, tmp_path: Path) -> None:
    [file] = write_parquet(connection, "SELECT 1 AS a", tmp_path / "x")
    assert (file.rows, file.size_bytes) == (1, Path(file.path).stat().st_size)
    assert not file.is_damaged()
    assert DataFile.from_dict(tmp_path / "x", file.to_dict()) == file
    Path(file.path).write_bytes(b"cut")
    assert file.is_damaged()
    assert file.at(tmp_path / "none").is_damaged()


def test_rows_are_cast_and_named_in_order(connection: DuckDBPyConnection) -> None:
    given = (Column("a b", "INTEGER"), Column("c", "VARCHAR"))
    query = cast_rows("SELECT 1 AS x, 2 AS y", given, (Column("c", "VARCHAR"), Column("a b", "BIGINT")))
    assert connection.execute(f"DESCRIBE {query}").fetchall()[0][:2] == ("a b", "BIGINT")
    assert connection.execute(query).fetchall() == [(1, "2")]


def test_large_results_become_several_files(
    connection: DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.storage.common.parquet.FILE_SIZE", "1MB")
    rows = "SELECT range AS id, md5(range::VARCHAR) AS text FROM range(400000)"
    files = write_parquet(connection, rows, tmp_path / "x")
    assert len(files) > 1
    assert sum(file.rows for file in files) == 400_000
    assert len({file.path for file in files}) == len(files)
