"""Compaction: the same rows in fewer files, at the same version, whoever else writes and whenever it is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pytest

from headwater.core.commit import Column
from headwater.errors import StateError
from headwater.storage.delta import compact as delta_compact
from headwater.storage.delta.log import compact_delta
from headwater.storage.lakehouse.store import Lakehouse
from headwater.testing.stores import COLUMNS, Writer, rows_of

from .children import make_writer, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPACT = {"compact": "only"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lake house")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("lakehouse", path)
    fill(writer)
    yield writer
    writer.session.close()


def fill(writer: Writer) -> None:
    for number in range(1, 6):
        rejects = f"SELECT 'k{number}', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
        position = {"files": {f"{number}.csv": number}}
        writer.write("append", rows_of({number: "x"}), position=position, rejects=rejects)


def compact(writer: Writer, **keep: Any) -> int:
    return writer.store.maintain([writer.table], {**COMPACT, **keep})[writer.table].files_compacted


def files_of(path: str) -> list[str]:
    return [Path(name).name for name in deltalake.DeltaTable(str(Path(path, "shop", "orders"))).file_uris()]


def lying_about(path: str) -> list[str]:
    return [entry.name for entry in Path(path, "shop", "orders").glob("*.parquet")]


def test_only_the_files_change(writer: Writer, path: str) -> None:
    before, rows, rejects = writer.described, writer.read(), writer.fetch(writer.described.rejects)
    assert before.small_files == 5
    assert compact(writer) == 5
    after = writer.described
    assert (after.commit, after.position, after.columns, after.foreign) == (
        before.commit,
        before.position,
        before.columns,
        "",
    )
    assert after.small_files == len(files_of(path)) == 1
    assert writer.read() == rows
    assert writer.fetch(after.rejects) == rejects
    assert writer.fetch(before.scan) == rows, "a reader that knows the old files goes on reading them"
    assert compact(writer) == 0


def test_other_readers_are_told_that_no_data_changed(writer: Writer, path: str) -> None:
    compact(writer)
    table = deltalake.DeltaTable(str(Path(path, "shop", "orders")))
    assert table.transaction_version(writer.table) == 5
    assert len(table.to_pyarrow_table()) == 5
    log = Path(path, "shop", "orders", "_delta_log", f"{table.version():020d}.json").read_text().splitlines()
    changes = [entry for line in log for name, entry in json.loads(line).items() if name in ("add", "remove")]
    assert [entry["dataChange"] for entry in changes] == [False] * 6
    [stats] = [json.loads(entry["stats"]) for entry in changes if "stats" in entry]
    assert (stats["numRecords"], stats["minValues"]["id"], stats["maxValues"]["id"]) == (5, 1, 5)


@pytest.mark.parametrize("mode", ["append", "merge", "replace", "overwrite_where", "record"])
def test_the_next_commit_follows(writer: Writer, mode: str) -> None:
    compact(writer)
    where = {"where": "id = 3"} if mode == "overwrite_where" else {}
    receipt = writer.write(mode, "" if mode == "record" else rows_of({3: "y"}), key=("id",), **where)
    kept = [(number, "x") for number in range(1, 6)]
    wanted = {
        "append": [*kept, (3, "y")],
        "replace": [(3, "y")],
        "record": kept,
    }.get(mode, [row for row in kept if row[0] != 3] + [(3, "y")])
    assert writer.read() == sorted(wanted)
    assert receipt.commit.previous == 5
    assert writer.described.commit == receipt.commit
    assert receipt.commit.rows == len(wanted)


def test_ranges_of_changes_are_as_without_it(writer: Writer) -> None:
    columns = (Column("id", "BIGINT"), Column("day", "DATE"))
    writer.write("replace", "SELECT 1::BIGINT AS id, DATE '2030-01-01' AS day", columns=columns)
    version = writer.described.version
    assert version is not None
    for day in (2, 3):
        last = writer.described.commit
        assert last is not None
        rows = f"SELECT {day}::BIGINT AS id, DATE '2030-01-0{day}' AS day"
        writer.write("append", rows, columns=columns, recent=last.history())
        compact(writer)
    commit = writer.described.commit
    assert commit is not None
    changes = commit.changes_since(version)
    assert changes is not None
    assert [times and times["day"] for times in changes] == [["2030-01-02", "2030-01-02"], ["2030-01-03", "2030-01-03"]]
    assert commit.rows == 3


def test_files_of_before_a_column_was_added(writer: Writer) -> None:
    wider = (*COLUMNS, Column("price", "DOUBLE"))
    writer.write("append", "SELECT 6::BIGINT AS id, 'c' AS name, 1.5::DOUBLE AS price", columns=wider)
    rows = writer.read()
    assert compact(writer) == 6
    assert writer.read() == rows
    assert rows[-1] == (6, "c", 1.5)


def test_large_files_are_left_alone(writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compact(writer)
    [large] = files_of(path)
    size_bytes = Path(path, "shop", "orders", large).stat().st_size
    writer.write("append", "SELECT 6::BIGINT AS id, NULL::VARCHAR AS name")
    writer.write("append", "SELECT 7::BIGINT AS id, NULL::VARCHAR AS name")
    monkeypatch.setattr(delta_compact, "SMALL_FILE_BYTES", size_bytes)
    assert compact(writer) == 2
    assert large in files_of(path)
    assert len(writer.read()) == 7


def test_a_writer_from_before_is_refused(writer: Writer, path: str) -> None:
    other = Writer(Lakehouse(path, writer.session), writer.session)

    def interfere(boundary: str) -> None:
        if boundary == "claimed":
            assert compact(other) == 5

    with pytest.raises(StateError, match="another writer came in between"):
        writer.write("append", rows_of({6: "late"}), load=writer.load(notify=interfere))
    assert writer.read() == [(number, "x") for number in range(1, 6)]
    writer.write("append", rows_of({6: "again"}))
    assert len(writer.read()) == 6


def interfering(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen between the writing of the joined files and their commit."""

    def late(*args: Any) -> None:
        monkeypatch.undo()
        act()
        compact_delta(*args)

    monkeypatch.setattr(delta_compact, "compact_delta", late)


@pytest.mark.parametrize("mode", ["append", "merge", "replace", "record"])
def test_a_compaction_that_comes_late_changes_nothing(
    writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    other = Writer(Lakehouse(path, writer.session), writer.session)
    interfering(
        monkeypatch, lambda: other.write(mode, "" if mode == "record" else rows_of({3: "new"}), key=("id",), version=5)
    )
    with pytest.raises(StateError, match="nothing was changed"):
        compact(writer)
    state = writer.described
    assert state.commit is not None
    assert (state.commit.sequence, state.foreign) == (6, "")
    assert ((3, "new") in writer.read()) is (mode != "record")
    assert len(writer.read()) == {"append": 6, "replace": 1}.get(mode, 5)
    assert set(lying_about(path)) >= set(files_of(path))


def test_two_compactions_at_once(writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Writer(Lakehouse(path, writer.session), writer.session)
    interfering(monkeypatch, lambda: compact(other))
    with pytest.raises(StateError, match="run it again"):
        compact(writer)
    assert len(files_of(path)) == 1
    assert len(lying_about(path)) == 6
    assert writer.read() == [(number, "x") for number in range(1, 6)]


def compact_and_die(_: Any, path: str, before: bool) -> None:
    """Compact and be killed right before or right after the commit."""
    writer = make_writer("lakehouse", path)

    def die(*args: Any) -> None:
        if not before:
            compact_delta(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    delta_compact.compact_delta = die
    compact(writer)


@pytest.mark.parametrize("before", [True, False])
def test_a_compaction_that_is_killed(writer: Writer, path: str, before: bool) -> None:
    commit, rows = writer.described.commit, writer.read()
    code, _ = run_child(compact_and_die, path, before)
    assert code == -signal.SIGKILL
    assert len(files_of(path)) == (5 if before else 1)
    assert len(lying_about(path)) == 6
    state = writer.described
    assert (state.commit, state.foreign) == (commit, "")
    assert writer.read() == rows
    result = writer.store.maintain([writer.table], {"age_s": 0.0})[writer.table]
    assert result.files_removed >= (1 if before else 5)
    assert sorted(lying_about(path)) == sorted(files_of(path))
    assert list(Path(path, "shop", "orders", "_headwater", "scratch").iterdir()) == []
    assert writer.read() == rows


def test_maintenance_compacts_and_then_removes_the_old_files(writer: Writer, path: str) -> None:
    young = writer.store.maintain([writer.table], {"compact": True})[writer.table]
    assert (young.files_compacted, young.files_removed) == (5, 0)
    old = writer.store.maintain([writer.table], {"compact": True, "age_s": 0.0})[writer.table]
    assert (old.files_compacted, old.files_removed) == (0, 5)
    assert len(lying_about(path)) == 1
    assert len(writer.read()) == 5


def test_without_compact_files_stay(writer: Writer, path: str) -> None:
    assert writer.store.maintain([writer.table], {})[writer.table].files_compacted == 0
    assert len(files_of(path)) == 5


def test_a_table_that_somebody_else_changed_is_left_alone(writer: Writer, path: str) -> None:
    deltalake.DeltaTable(str(Path(path, "shop", "orders"))).delete("id = 1")
    assert compact(writer) == 0
    assert writer.described.foreign != ""
    assert writer.store.maintain(["no.such"], COMPACT)["no.such"].files_compacted == 0


def test_many_rounds_across_checkpoints_of_the_log(writer: Writer, path: str) -> None:
    for number in range(6, 36):
        writer.write("append", rows_of({number: "x"}))
        if number % 3 == 0:
            assert compact(writer) >= 2
    assert writer.read() == sorted(((number, "x") for number in range(1, 36)), key=repr)
    fresh = Writer(Lakehouse(path, writer.session), writer.session)
    assert fresh.described.foreign == ""
    assert fresh.described.commit == writer.described.commit
