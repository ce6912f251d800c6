from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pyarrow as pa
import pytest

from headwater.contracts import Change, Select
from headwater.core.commit import Column
from headwater.errors import ConnectorError, StateError
from headwater.storage.delta.log import open_delta
from headwater.storage.lakehouse.store import Lakehouse
from headwater.testing.stores import COLUMNS, StoreContract, Writer, rows_of

from .children import make_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TestContract(StoreContract):
    store_class = Lakehouse


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lake house")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("lakehouse", path)
    writer.write("append", rows_of({1: "a", 2: "b"}), position={"files": {"a": 1}})
    yield writer
    writer.session.close()


@pytest.fixture
def folder(path: str) -> Path:
    return Path(path, "shop", "orders")


def delta(folder: Path) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(str(folder))


def read_by_others(folder: Path) -> list[tuple[Any, ...]]:
    """Read a table as any Delta reader would."""
    rows = delta(folder).to_pyarrow_table().to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def commits_of(folder: Path) -> list[str]:
    return sorted(entry.name for entry in (folder / "_headwater" / "commits" / "shop~2Eorders").iterdir())


THEIRS = pa.table({"id": [9], "name": ["theirs"]})
FOREIGN: dict[str, Callable[[Path], Any]] = {
    "append": lambda folder: deltalake.write_deltalake(str(folder), THEIRS, mode="append"),
    "overwrite": lambda folder: deltalake.write_deltalake(str(folder), THEIRS, mode="overwrite"),
    "delete": lambda folder: delta(folder).delete("id = 1"),
    "update": lambda folder: delta(folder).update({"name": "'x'"}),
    "restore": lambda folder: delta(folder).restore(0),
}


@pytest.mark.parametrize("operation", FOREIGN)
def test_an_operation_of_somebody_else_is_seen(writer: Writer, folder: Path, operation: str) -> None:
    writer.write("append", rows_of({3: "c"}))
    commit = writer.next_commit()
    assert writer.described.foreign == ""
    FOREIGN[operation](folder)
    state = writer.described
    assert "run --reset shop.orders" in state.foreign
    assert "version 2 was made by" in state.foreign
    assert state.commit is not None
    assert state.commit.sequence == 2
    there = read_by_others(folder)
    for mode in ("append", "replace", "merge", "record"):
        change = Change(mode, Select("" if mode == "record" else rows_of({4: "d"})), COLUMNS, key=("id",))  # type: ignore[arg-type]
        with pytest.raises(StateError, match="not as Headwater left it"):
            writer.store.commit(writer.load(), change, commit)
    assert read_by_others(folder) == there
    writer.store.maintain([writer.table], {"drop": True})
    writer.write("append", rows_of({5: "e"}))
    assert writer.read() == [(5, "e")]


def test_upkeep_by_somebody_else_is_harmless(writer: Writer, folder: Path) -> None:
    for number in range(3, 8):
        writer.write("append", rows_of({number: "x"}))
    before = writer.read()
    delta(folder).optimize.compact()
    assert len(delta(folder).file_uris()) == 1
    delta(folder).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert writer.described.foreign == ""
    assert writer.read() == before
    writer.write("merge", rows_of({3: "y"}), key=("id",))
    writer.write("append", rows_of({8: "z"}))
    assert writer.read() == read_by_others(folder)
    assert (3, "y") in writer.read()


def test_a_table_made_by_somebody_else_is_not_ours(writer: Writer, path: str) -> None:
    other = Path(path, "shop", "theirs")
    deltalake.write_deltalake(str(other), THEIRS)
    assert set(writer.store.describe()) == {"shop.orders"}
    mine = Writer(writer.store, writer.session, "shop.theirs")
    with pytest.raises(StateError, match="did not make"):
        mine.write("replace", rows_of({1: "a"}))
    assert read_by_others(other) == [(9, "theirs")]


def test_a_table_made_anew_by_somebody_else(writer: Writer, folder: Path) -> None:
    shutil.rmtree(folder / "_delta_log")
    deltalake.write_deltalake(str(folder), THEIRS)
    state = writer.described
    assert "no commit of ours" in state.foreign
    with pytest.raises(StateError):
        writer.write("append", rows_of({3: "c"}))
    assert read_by_others(folder) == [(9, "theirs")]


def test_a_table_whose_log_is_gone_is_described_without_a_commit(writer: Writer, folder: Path) -> None:
    stale = writer.next_commit()
    shutil.rmtree(folder / "_delta_log")
    state = writer.described
    assert (state.commit, state.scan, state.position, state.foreign) == (None, "", {}, "")
    with pytest.raises(StateError):
        writer.store.commit(writer.load(), Change("append", Select(rows_of({3: "c"})), COLUMNS), stale)
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 2
    assert writer.read() == [(3, "c")]


def test_the_note_of_the_newest_version_is_an_aid(
    writer: Writer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged one counts for none, one that cannot be written fails no commit, a log may grow while it is opened."""
    note = folder / "_headwater" / "version.json"
    for damage in ("{", '{"log":1}', ""):
        note.write_text(damage)
        assert not make_writer("lakehouse", str(folder.parent.parent)).described.foreign
    note.unlink()
    note.mkdir()
    writer.write("append", rows_of({3: "c"}))
    assert not make_writer("lakehouse", str(folder.parent.parent)).described.foreign
    note.rmdir()

    def open_slowly(place: Path) -> deltalake.DeltaTable | None:
        found = open_delta(place)
        with monkeypatch.context() as patch:
            patch.setattr("headwater.storage.delta.versions.open_delta", open_delta)
            make_writer("lakehouse", str(folder.parent.parent)).write("append", rows_of({4: "d"}))
        return found

    monkeypatch.setattr("headwater.storage.delta.versions.open_delta", open_slowly)
    reader = make_writer("lakehouse", str(folder.parent.parent))
    assert not reader.described.foreign


def test_a_table_without_our_files_is_foreign(writer: Writer, folder: Path) -> None:
    shutil.rmtree(folder / "_headwater" / "commits")
    assert writer.store.describe() == {}
    (folder / "_headwater" / "commits" / "shop~2Eorders").mkdir(parents=True)
    later = make_writer("lakehouse", str(folder.parent.parent))
    assert "is gone from _headwater/commits" in later.described.foreign
    with pytest.raises(StateError):
        later.write("append", rows_of({3: "c"}))
    later.session.close()


def test_a_table_with_deletion_vectors_or_column_mapping_is_foreign(writer: Writer, folder: Path) -> None:
    log = folder / "_delta_log" / f"{1:020d}.json"
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    info = {"timestamp": 0, "operation": "OPTIMIZE"}
    log.write_text(json.dumps({"commitInfo": info}) + "\n" + json.dumps({"protocol": protocol}) + "\n")
    state = writer.described
    assert "deletionVectors" in state.foreign
    assert state.scan == ""
    with pytest.raises(StateError):
        writer.write("append", rows_of({3: "c"}))


def test_a_claim_that_was_never_committed_is_passed_over(writer: Writer, folder: Path) -> None:
    for number in (2, 3):
        (folder / "_headwater" / "commits" / "shop~2Eorders" / f"{number:08d}.json").write_text('{"torn')
    receipt = writer.write("append", rows_of({3: "c"}), position={"files": {"c": 1}})
    assert (receipt.commit.sequence, receipt.commit.version, receipt.commit.previous) == (4, 4, 1)
    assert delta(folder).transaction_version("shop.orders") == 4
    later = make_writer("lakehouse", str(folder.parent.parent))
    assert later.described.position == {"files": {"a": 1, "c": 1}}
    assert later.write("record", version=4).commit.sequence == 5
    later.session.close()


def test_a_writer_that_wakes_up_late_writes_nothing(writer: Writer, folder: Path) -> None:
    other = Writer(Lakehouse(str(folder.parent.parent), writer.session), writer.session)

    def overtake(boundary: str) -> None:
        if boundary == "claimed":
            other.write("append", rows_of({3: "rival"}))

    with pytest.raises(StateError, match="another writer came in between"):
        writer.write("append", rows_of({4: "late"}), load=writer.load(notify=overtake))
    assert commits_of(folder) == ["00000001.json", "00000002.json", "00000003.json"]
    assert writer.described.commit is not None
    assert writer.described.commit.sequence == 3
    live = {Path(uri).name for uri in delta(folder).file_uris()}
    assert {entry.name for entry in folder.glob("*.parquet")} == live
    assert writer.read() == [(1, "a"), (2, "b"), (3, "rival")]


def test_an_upkeep_in_between_refuses_the_commit_and_the_next_one_succeeds(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({3: "c"}))

    def compact(boundary: str) -> None:
        if boundary == "before_commit":
            delta(folder).optimize.compact()

    with pytest.raises(StateError):
        writer.write("merge", rows_of({1: "z"}), key=("id",), load=writer.load(notify=compact))
    writer.write("merge", rows_of({1: "z"}), key=("id",))
    assert writer.read() == [(1, "z"), (2, "b"), (3, "c")]


def test_a_missing_staged_file_is_an_error(writer: Writer, folder: Path) -> None:
    load = writer.load("staged")
    result = writer.store.stage(load, {}, "1", rows_of({3: "c"}))
    result.finish_chunk({})
    [staged] = (folder / "_headwater" / "staging" / "staged").glob("*/*.parquet")
    staged.unlink()
    with pytest.raises(ConnectorError, match="missing or cut short"):
        writer.write("append", result.query, parts=("1",), load=load)
    assert writer.described.staging is not None
    assert writer.described.staging.parts == ()
    with pytest.raises(ConnectorError, match="'2'"):
        writer.write("append", rows_of({3: "c"}), parts=("2",), load=load)
    assert writer.read() == [(1, "a"), (2, "b")]


def test_a_file_lost_before_the_log_is_written_is_an_error(writer: Writer, folder: Path) -> None:
    def lose(boundary: str) -> None:
        if boundary == "claimed":
            for file in (folder / "_headwater" / "scratch").rglob("*.parquet"):
                os.truncate(file, 3)

    with pytest.raises(ConnectorError, match="cut short"):
        writer.write("append", rows_of({3: "c"}), load=writer.load(notify=lose))
    assert read_by_others(folder) == writer.read() == [(1, "a"), (2, "b")]


def test_staged_files_are_taken_as_they_are(writer: Writer, folder: Path) -> None:
    load = writer.load("staged")
    result = writer.store.stage(load, {}, "1", rows_of({3: "c"}))
    result.finish_chunk({})
    [staged] = (folder / "_headwater" / "staging" / "staged").glob("*/*.parquet")
    inode = staged.stat().st_ino
    writer.write("append", "SELECT error('not run')::BIGINT AS id, '' AS name", parts=("1",), load=load)
    assert inode in {entry.stat().st_ino for entry in folder.glob("*.parquet")}
    assert read_by_others(folder) == writer.read() == [(1, "a"), (2, "b"), (3, "c")]


def test_parts_of_other_types_are_written_anew(writer: Writer, folder: Path) -> None:
    load = writer.load("staged")
    result = writer.store.stage(load, {}, "1", "SELECT 3::INTEGER AS id, 'c' AS name")
    result.finish_chunk({})
    writer.write("append", result.query, parts=("1",), load=load)
    assert read_by_others(folder) == writer.read() == [(1, "a"), (2, "b"), (3, "c")]


def test_other_readers_see_every_mode(writer: Writer, folder: Path) -> None:
    writer.write("merge", rows_of({2: "B", 3: "C"}), key=("id",), deletes="SELECT 1 AS id")
    assert read_by_others(folder) == [(2, "B"), (3, "C")]
    wider = (*COLUMNS, Column("at", "TIMESTAMP"))
    rows = "SELECT 4::BIGINT AS id, 'D' AS name, TIMESTAMP '2013-01-01' AS at"
    writer.write("append", rows, columns=wider)
    assert [row[:2] for row in read_by_others(folder)] == [(2, "B"), (3, "C"), (4, "D")]
    writer.write("overwrite_where", rows, columns=wider, where="id < 3")
    assert [row[0] for row in read_by_others(folder)] == [3, 4, 4]
    assert writer.read() == read_by_others(folder)
    writer.write("record", version=4)
    assert delta(folder).version() == 5  # one more: the first timestamp without zone needs a feature of the protocol
    writer.write("replace", rows_of({}))
    assert read_by_others(folder) == []
    assert [field.name for field in delta(folder).schema().fields] == ["id", "name"]


def test_a_first_timestamp_without_zone_leaves_the_table_readable(writer: Writer, folder: Path) -> None:
    wider = (*COLUMNS, Column("seen", "STRUCT(moment TIMESTAMP)[]"))
    rows = "SELECT 3::BIGINT AS id, 'c' AS name, [{'moment': TIMESTAMP '2013-01-01'}] AS seen"

    def overtake(boundary: str) -> None:
        if boundary == "before_commit":
            Writer(writer.store, writer.session).write("append", rows_of({4: "rival"}))

    with pytest.raises(StateError):
        writer.write("append", rows, columns=wider, load=writer.load(notify=overtake))

    def end(boundary: str) -> None:
        if boundary == "claimed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write("append", rows, columns=wider, load=writer.load(notify=end))
    assert read_by_others(folder) == writer.read() == [(1, "a"), (2, "b"), (4, "rival")]
    writer.write("append", rows, columns=wider)
    assert writer.read() == read_by_others(folder)
    assert len(writer.read()) == 4
    assert writer.described.foreign == ""


def test_a_merge_rewrites_only_the_files_it_touches(writer: Writer, folder: Path) -> None:
    writer.write("append", rows_of({3: "c", 4: "d"}))
    writer.write("append", rows_of({5: "e"}))
    before = set(delta(folder).file_uris())
    writer.write("merge", rows_of({3: "C", 5: "E"}), key=("id",))
    after = set(delta(folder).file_uris())
    assert len(before & after) == 1
    assert writer.read() == [(1, "a"), (2, "b"), (3, "C"), (4, "d"), (5, "E")]
    assert sorted(delta(folder).get_add_actions().column("num_records").to_pylist()) == [1, 2, 2]


def test_a_new_column_copies_no_data(writer: Writer, folder: Path) -> None:
    inodes = {entry.stat().st_ino for entry in folder.glob("*.parquet")}
    wider = (*COLUMNS, Column("price", "DOUBLE"))
    writer.write("append", "SELECT 3::BIGINT AS id, 'c' AS name, 1.0::DOUBLE AS price", columns=wider)
    live = {Path(uri.replace("%20", " ")) for uri in delta(folder).file_uris()}
    assert inodes <= {entry.stat().st_ino for entry in live}
    assert delta(folder).version() == 1
    assert read_by_others(folder) == writer.read() == [(1, "a", None), (2, "b", None), (3, "c", 1.0)]


def test_statistics_hold_only_what_cannot_be_wrong(writer: Writer, folder: Path) -> None:
    columns = (Column("n", "BIGINT"), Column("day", "DATE"), Column("t", "VARCHAR"), Column("at", "TIMESTAMP"))
    rows = "SELECT * FROM (VALUES (3::BIGINT, DATE '2013-01-01', 'x', TIMESTAMP '2013-01-01'), (9, NULL, NULL, NULL))"
    writer.write("replace", rows, columns=columns)
    log = (folder / "_delta_log" / f"{2:020d}.json").read_text().splitlines()
    [added] = [json.loads(line)["add"] for line in log if '"add"' in line]
    assert json.loads(added["stats"]) == {
        "numRecords": 2,
        "minValues": {"n": 3, "day": "2013-01-01"},
        "maxValues": {"n": 9, "day": "2013-01-01"},
        "nullCount": {"n": 0, "day": 1, "t": 1, "at": 1},
    }


@pytest.mark.parametrize("type_text", ["TIME", "INTERVAL", "UBIGINT", "UNION(a BIGINT, b VARCHAR)"])
def test_a_type_that_delta_lacks(writer: Writer, type_text: str) -> None:
    columns = (Column("odd", type_text),)
    with pytest.raises(ConnectorError, match="'odd'"):
        writer.write("replace", f"SELECT CAST(NULL AS {type_text}) AS odd", columns=columns)
    assert writer.read() == [(1, "a"), (2, "b")]


def test_maintenance_removes_old_files_and_keeps_our_own(writer: Writer, folder: Path) -> None:
    rejects = "SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    writer.write("replace", rows_of({3: "c"}), rejects=rejects)
    (folder / "left.parquet").write_text("left by a killed writer")
    (folder / "_headwater" / "rejects" / "left.parquet").write_text("left")
    writer.store.stage(writer.load("staged"), {}, "1", rows_of({4: "d"})).finish_chunk({})
    young = writer.store.maintain([writer.table], {})[writer.table]
    assert (young.files_removed, young.staging_removed) == (0, 0)
    assert writer.described.staging is not None
    old = writer.store.maintain([writer.table], {"age_s": 0.0})[writer.table]
    assert old.files_removed >= 3
    assert old.bytes_removed > 0
    assert len(list(folder.glob("*.parquet"))) == 1
    state = writer.described
    assert (state.foreign, state.staging) == ("", None)
    assert writer.read() == [(3, "c")]
    assert writer.fetch(f"SELECT _reject_key FROM ({state.rejects})") == [("k",)]
    assert commits_of(folder) == ["00000001.json", "00000002.json"]
    assert old.staging_removed == 1


def test_a_drop_leaves_a_number_only(writer: Writer, folder: Path) -> None:
    writer.store.maintain([writer.table], {"drop": True})
    assert [str(entry.relative_to(folder)) for entry in folder.rglob("*") if entry.is_file()] == [
        "_headwater/commits/shop~2Eorders/00000001.retired"
    ]


def test_a_log_that_did_not_grow_is_not_read_again(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    state = writer.described
    opened: list[Path] = []
    monkeypatch.setattr("headwater.storage.delta.store.open_noted", opened.append)
    assert writer.described == state
    assert opened == []


def test_commits_of_others_are_seen_at_once(writer: Writer, path: str) -> None:
    other = Writer(Lakehouse(path, writer.session), writer.session)
    for number in range(3, 30):
        (writer if number % 2 else other).write("append", rows_of({number: "x"}))
        assert len(writer.read()) == len(other.read()) == number
    assert writer.described == other.described


def test_commits_of_other_tables_run_in_parallel(writer: Writer) -> None:
    errors: list[BaseException] = []

    def write(thread: int) -> None:
        writers = [Writer(writer.store, writer.session, f"par.t{thread}_{n}") for n in range(4)]
        try:
            for turn in range(3):
                for each in writers:
                    each.write(["append", "merge", "replace"][turn], rows_of({turn: "x"}), key=("id",))
                    writer.store.describe()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(writer.store.describe()) == 9


def test_many_rejects_are_merged_into_few_files(writer: Writer, folder: Path) -> None:
    for number in range(52):
        writer.write("record", version=1, rejects=f"SELECT 'k{number}', 'b', now(), 'f', 1, 'r', 'why', 'raw'")
    state = writer.described
    assert len(writer.fetch(state.rejects)) == 52
    assert state.rejects.count(".parquet") <= 50
    assert writer.store.maintain([writer.table], {"age_s": 0.0})[writer.table].files_removed >= 50
    assert len(writer.fetch(writer.described.rejects)) == 52


@pytest.mark.parametrize("name", ["50%", "a%b", "a b", "[x]*?", "é💶", "it's", 'quo"te'])
def test_folders_with_odd_names(tmp_path: Path, name: str) -> None:
    writer = make_writer("lakehouse", str(tmp_path / name))
    for number in (1, 2):
        writer.write("append", rows_of({number: "a"}))
    writer.write("merge", rows_of({1: "b"}), key=("id",))
    assert writer.read() == read_by_others(tmp_path / name / "shop" / "orders") == [(1, "b"), (2, "a")]
    writer.session.close()


def test_a_folder_that_delta_would_take_for_another(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="%20"):
        make_writer("lakehouse", str(tmp_path / "a%20b"))
