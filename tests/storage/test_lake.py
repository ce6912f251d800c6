from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.contracts import Change, Select
from headwater.core.commit import Column
from headwater.errors import ConnectorError, StateError
from headwater.storage.lake.store import Lake
from headwater.testing.stores import COLUMNS, StoreContract, Writer, rows_of

from .children import make_writer

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestContract(StoreContract):
    store_class = Lake


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("lake", path)
    writer.write("append", rows_of({1: "a"}))
    yield writer
    writer.session.close()


@pytest.fixture
def folder(path: str) -> Path:
    return Path(path, "shop", "orders")


def loads(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.glob("load=*"))


@pytest.mark.parametrize("mode", ["merge", "overwrite_where"])
def test_a_lake_rewrites_nothing(writer: Writer, mode: str) -> None:
    with pytest.raises(ConnectorError, match=mode):
        writer.write(mode, rows_of({2: "b"}), key=("id",), where="true")
    assert writer.read() == [(1, "a")]


def test_a_load_is_a_folder(writer: Writer, folder: Path) -> None:
    receipt = writer.write("replace", rows_of({2: "b"}))
    assert receipt.commit.replaces_all
    assert not writer.write("append", rows_of({3: "c"})).commit.replaces_all
    assert writer.write("record", version=3).commit.version == 3
    assert loads(folder) == ["load=00000001", "load=00000002", "load=00000003", "load=00000004"]
    assert [entry.name for entry in (folder / "load=00000004").iterdir()] == ["_commit.json"]
    assert writer.read() == [(2, "b"), (3, "c")]


def test_files_that_no_commit_lists_are_not_read(writer: Writer, folder: Path) -> None:
    stray = folder / "load=00000099"
    stray.mkdir()
    for place in (folder, folder / "load=00000001", stray):
        writer.connection.execute(f"COPY (SELECT 9::BIGINT AS id, 'x' AS name) TO '{place}/stray.parquet'")
    (folder / "load=notes").mkdir()
    assert writer.read() == [(1, "a")]
    writer.write("append", rows_of({2: "b"}))
    assert writer.read() == [(1, "a"), (2, "b")]


def test_a_load_removed_by_somebody_else_is_seen(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({2: "b"}))
    writer.write("append", rows_of({3: "c"}))
    shutil.rmtree(folder / "load=00000002")
    state = writer.described
    assert "load=00000002" in state.foreign
    assert "--reset shop.orders" in state.foreign
    with pytest.raises(StateError, match="not as Headwater left it"):
        writer.write("append", rows_of({4: "d"}))


def test_the_last_load_removed_is_the_state_before_it(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({2: "b"}), position={"files": {"b": 1}})
    shutil.rmtree(folder / "load=00000002")
    assert writer.described.position == {}
    receipt = writer.write("append", rows_of({2: "again"}))
    assert writer.read() == [(1, "a"), (2, "again")]
    assert receipt.commit.version == 3  # what was built on the load that is gone is built again
    assert writer.described.foreign == ""


def test_a_table_whose_loads_are_gone_is_described_without_a_commit(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({2: "b"}))
    stale = writer.next_commit()
    for name in loads(folder):
        shutil.rmtree(folder / name)
    state = writer.described
    assert (state.commit, state.scan, state.foreign) == (None, "", "")
    with pytest.raises(StateError):
        writer.store.commit(writer.load(), Change("append", Select(rows_of({3: "c"})), COLUMNS), stale)
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3


def test_a_writer_that_wakes_up_late_writes_nothing(writer: Writer, folder: Path) -> None:
    other = Writer(Lake(str(folder.parent.parent), writer.session), writer.session)

    def overtake(boundary: str) -> None:
        if boundary == "claimed":
            other.write("append", rows_of({2: "rival"}))

    with pytest.raises(StateError, match="another writer came in between"):
        writer.write("append", rows_of({3: "late"}), load=writer.load(notify=overtake))
    assert loads(folder) == ["load=00000001", "load=00000002"]
    assert writer.read() == [(1, "a"), (2, "rival")]


def test_two_first_writers(path: str) -> None:
    writer = make_writer("lake", path)
    other = Writer(Lake(path, writer.session), writer.session)

    def overtake(boundary: str) -> None:
        if boundary == "claimed":
            other.write("append", rows_of({2: "rival"}))

    with pytest.raises(StateError):
        writer.write("append", rows_of({3: "late"}), load=writer.load(notify=overtake))
    assert writer.read() == [(2, "rival")]
    writer.session.close()


def test_expiry_removes_the_data_of_replaced_loads_only(writer: Writer, folder: Path) -> None:
    rejects = "SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    for number in (2, 3, 4):
        writer.write("replace", rows_of({number: "x"}), position={"files": {str(number): 1}}, rejects=rejects)
    writer.write("append", rows_of({5: "y"}))

    def with_data() -> list[str]:
        return [name for name in loads(folder) if list((folder / name).glob("*.parquet"))]

    writer.store.maintain([writer.table], {"versions": 1})
    assert len(with_data()) == 5
    writer.store.maintain([writer.table], {"versions": 2, "age_s": 0.0})
    assert with_data() == ["load=00000003", "load=00000004", "load=00000005"]
    result = writer.store.maintain([writer.table], {"versions": 1, "age_s": 0.0})[writer.table]
    assert (result.files_removed, result.bytes_removed > 0) == (1, True)
    assert with_data() == ["load=00000004", "load=00000005"]
    assert len(loads(folder)) == 5
    state = writer.described
    assert state.foreign == ""
    assert state.position == {"files": {"2": 1, "3": 1, "4": 1}}
    assert writer.fetch(f"SELECT _reject_key FROM ({state.rejects})") == [("k",)]
    assert writer.read() == [(4, "x"), (5, "y")]


def test_a_folder_that_looks_partitioned_adds_no_column(path: str) -> None:
    writer = make_writer("lake", f"{path}/year=2013")
    writer.write("append", rows_of({1: "a"}))
    assert writer.read() == [(1, "a")]
    writer.session.close()


def test_a_drop_that_was_killed_half_way_is_a_drop(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({2: "b"}))
    shutil.copytree(folder / "load=00000002", folder.parent / "aside")
    writer.store.maintain([writer.table], {"drop": True})
    shutil.move(folder.parent / "aside", folder / "load=00000002")
    assert writer.store.describe(["shop.orders"]) == {}
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3
    assert writer.read() == [(3, "c")]


def test_times_of_day_may_be_kept(writer: Writer) -> None:
    columns = (Column("at", "TIME"),)
    writer.write("replace", "SELECT TIME '12:30' AS at", columns=columns)
    assert writer.described.columns == columns
    assert [str(value) for (value,) in writer.read()] == ["12:30:00"]


def test_a_missing_staged_file_is_an_error(writer: Writer, folder: Path) -> None:
    load = writer.load("staged")
    result = writer.store.stage(load, {}, "1", rows_of({3: "c"}))
    result.finish_chunk({})
    [staged] = (folder / "_headwater" / "staging" / "staged").glob("*/*.parquet")
    staged.unlink()
    with pytest.raises(ConnectorError, match="missing or cut short"):
        writer.write("append", result.query, parts=("1",), load=load)
    assert writer.read() == [(1, "a")]


def test_a_removed_staging_folder_is_no_staging(writer: Writer, folder: Path) -> None:
    writer.store.stage(writer.load("staged"), {}, "1", rows_of({3: "c"}))
    assert writer.described.staging is not None
    shutil.rmtree(folder / "_headwater" / "staging")
    assert writer.described.staging is None
