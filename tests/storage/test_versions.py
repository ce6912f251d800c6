"""A version of the Delta log is ours when it says so itself, whatever came after it or went with it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import RunError, StateError
from headwater.storage.common.claims import retire_claims
from headwater.storage.delta import clean as delta_clean
from headwater.storage.delta import compact as delta_compact
from headwater.storage.delta import store as delta_store
from headwater.storage.delta.log import commit_delta, compact_delta
from headwater.storage.delta.write import place_files
from headwater.storage.lakehouse.store import Lakehouse
from headwater.testing.stores import Writer, rows_of

from .children import make_writer, run_child, write_and_die

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headwater.storage.delta.log import DeltaChange
    from headwater.storage.delta.write import Base, Written

MODES = ["append", "merge", "replace", "overwrite_where", "record"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("lakehouse", path)
    writer.write("append", rows_of({1: "a"}))
    writer.write("append", rows_of({2: "b"}))
    yield writer
    writer.session.close()


@pytest.fixture
def other(writer: Writer, path: str) -> Writer:
    return Writer(Lakehouse(path, writer.session), writer.session)


def folder_of(path: str) -> Path:
    return Path(path, "shop", "orders")


def after_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen when the version is in the log and its writer has not looked yet."""

    def late(*args: Any) -> None:
        monkeypatch.undo()
        commit_delta(*args)
        act()

    monkeypatch.setattr(delta_store, "commit_delta", late)


def before_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen right before the version is written."""

    def late(*args: Any) -> None:
        monkeypatch.undo()
        act()
        commit_delta(*args)

    monkeypatch.setattr(delta_store, "commit_delta", late)


@pytest.mark.parametrize("mode", MODES)
def test_somebody_commits_after_it(writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    after_commit(monkeypatch, lambda: other.write("append", rows_of({4: "later"})))
    rows = "" if mode == "record" else rows_of({3: "c"})
    receipt = writer.write(mode, rows, key=("id",), where="id = 2", version=2)
    assert receipt.commit.sequence == 3
    state = writer.described
    assert state.commit is not None
    assert (state.commit.sequence, state.commit.previous, state.foreign) == (4, 3, "")
    wanted = {"replace": [3], "record": [1, 2], "overwrite_where": [1, 3]}.get(mode, [1, 2, 3])
    assert [row[0] for row in writer.read()] == sorted([*wanted, 4])


def test_somebody_replaces_it_and_maintains(writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace() -> None:
        other.write("replace", rows_of({4: "later"}))
        other.store.maintain([other.table], {"age_s": 0.0})

    after_commit(monkeypatch, replace)
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3
    assert writer.read() == [(4, "later")]


def test_somebody_drops_it(writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    after_commit(monkeypatch, lambda: other.store.maintain([other.table], {"drop": True}))
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3
    assert writer.store.describe() == {}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_table_that_was_dropped_gets_no_version_of_before(
    path: str, monkeypatch: pytest.MonkeyPatch, again: bool, first: bool
) -> None:
    writer = make_writer("lakehouse", path)
    other = Writer(Lakehouse(path, writer.session), writer.session)
    if not first:
        for number in range(5):
            writer.write("append", rows_of({number: "a"}))

    def drop() -> None:
        other.store.maintain([other.table], {"drop": True})
        if again:
            other.write("append", rows_of({9: "anew"}))

    before_commit(monkeypatch, drop)
    with pytest.raises(RunError):
        writer.write("append", rows_of({3: "c"}))
    if again:
        assert other.read() == [(9, "anew")]
        other.write("append", rows_of({10: "anew"}))
        assert sorted(other.read()) == [(9, "anew"), (10, "anew")]
    else:
        assert other.store.describe() == {}
        other.write("append", rows_of({8: "anew"}))
        assert other.read() == [(8, "anew")]
    writer.session.close()


def test_a_drop_that_a_first_load_meets_leaves_no_table(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is written after the drop found no log, and before it takes the claims away."""
    writer = make_writer("lakehouse", path)
    other = Writer(Lakehouse(path, writer.session), writer.session)
    placed, go = threading.Event(), threading.Event()
    said: list[int] = []

    def place(base: Base, written: Written) -> DeltaChange:
        change = place_files(base, written)
        placed.set()
        assert go.wait(60)
        return change

    def retire(folder: Path, claims: Sequence[Path]) -> None:
        go.set()
        first.join(60)
        retire_claims(folder, claims)

    monkeypatch.setattr(delta_store, "place_files", place)
    monkeypatch.setattr(delta_clean, "retire_claims", retire)
    first = threading.Thread(
        target=lambda: said.append(writer.write("append", rows_of({1: "a"})).commit.sequence), daemon=True
    )
    first.start()
    assert placed.wait(60)
    assert other.store.maintain([other.table], {"drop": True})[other.table].dropped
    monkeypatch.undo()
    assert said == [1]
    assert other.store.describe() == {}
    assert not [*folder_of(path).glob("*.parquet")]
    other.write("append", rows_of({2: "anew"}))
    assert other.read() == [(2, "anew")]
    writer.session.close()


@pytest.mark.parametrize("left", ["00000000000000000000.json#1", "_commit_x.json.tmp"])
def test_a_first_version_that_was_killed_halfway_is_none(path: str, left: str) -> None:
    run_child(write_and_die, "lakehouse", path, "claimed", "append", rows_of({1: "a"}), {})
    log = folder_of(path) / "_delta_log"
    log.mkdir()
    (log / left).write_text("{")
    writer = make_writer("lakehouse", path)
    assert writer.described.foreign == ""
    writer.write("append", rows_of({1: "a"}))
    assert writer.read() == [(1, "a")]
    writer.session.close()


@pytest.mark.parametrize("left", ["_last_checkpoint", "00000000000000000020.checkpoint.parquet"])
def test_a_log_whose_versions_are_gone_is_damaged(writer: Writer, other: Writer, path: str, left: str) -> None:
    log = folder_of(path) / "_delta_log"
    shutil.rmtree(log)
    log.mkdir()
    (log / left).write_text("{}")
    assert "log" in other.described.foreign


def test_an_error_after_the_version_was_written(writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library fails in what it does once the version is there: the commit stands, though another came after."""

    def fail() -> None:
        other.write("append", rows_of({4: "later"}))
        raise OSError(5, "input/output error")

    after_commit(monkeypatch, fail)
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3
    assert [row[0] for row in writer.read()] == [1, 2, 3, 4]


def test_an_error_before_the_version_was_written(writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "input/output error")

    files = sorted(folder_of(path).glob("*.parquet"))
    before_commit(monkeypatch, fail)
    with pytest.raises(OSError, match="input/output"):
        writer.write("append", rows_of({3: "c"}))
    assert sorted(folder_of(path).glob("*.parquet")) == files
    assert [row[0] for row in writer.read()] == [1, 2]


@pytest.mark.parametrize("lost", ["part-*.parquet", "_headwater/rejects/*.parquet"])
def test_files_that_are_gone_before_the_commit(
    writer: Writer, path: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject = "SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    place = delta_store.place_files
    known = set(folder_of(path).glob(lost))

    def lose(*args: Any) -> Any:
        placed = place(*args)
        for file in set(folder_of(path).glob(lost)) - known:
            file.unlink()
        return placed

    monkeypatch.setattr(delta_store, "place_files", lose)
    with pytest.raises(RunError, match="nothing was changed"):
        writer.write("append", rows_of({3: "c"}), rejects=reject)
    assert [row[0] for row in writer.read()] == [1, 2]
    assert writer.described.foreign == ""


def test_files_that_are_gone_after_the_commit(writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = set(folder_of(path).glob("*.parquet"))

    def lose() -> None:
        for file in set(folder_of(path).glob("*.parquet")) - known:
            file.unlink()

    after_commit(monkeypatch, lose)
    with pytest.raises(StateError, match=r"was written, but its file .* is gone"):
        writer.write("append", rows_of({3: "c"}))


def test_maintenance_beside_a_writer_takes_nothing_from_it(writer: Writer, other: Writer) -> None:
    def maintain(_: str) -> None:
        other.store.maintain([other.table], {"age_s": 0.0})

    reject = "SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'"
    writer.write("append", rows_of({3: "c"}), rejects=reject, load=writer.load(notify=maintain))
    state = writer.described
    assert state.foreign == ""
    assert [row[0] for row in writer.read()] == [1, 2, 3]
    assert writer.fetch(f"SELECT count(*) FROM ({state.rejects})") == [(1,)]


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_compaction_after_which_somebody_commits(
    writer: Writer, other: Writer, path: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The joined files are named by a version of the log: they stay, and so does the joining."""

    def late(*args: Any) -> None:
        monkeypatch.undo()
        compact_delta(*args)
        other.write(mode, rows_of({4: "later"}))
        raise OSError(5, "input/output error")

    monkeypatch.setattr(delta_compact, "compact_delta", late)
    assert writer.store.maintain([writer.table], {"compact": "only"})[writer.table].files_compacted == 2
    assert [row[0] for row in writer.read()] == ([1, 2, 4] if mode == "append" else [4])
    import deltalake

    joined = deltalake.DeltaTable(str(folder_of(path)), version=2).file_uris()
    assert all(Path(uri.removeprefix("file://")).exists() for uri in joined)


def test_a_reject_file_that_is_gone_is_said(writer: Writer, path: str) -> None:
    writer.write("append", rows_of({3: "c"}), rejects="SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'")
    shutil.rmtree(folder_of(path) / "_headwater" / "rejects")
    fresh = Writer(Lakehouse(path, writer.session), writer.session)
    assert "rejects" in fresh.described.foreign
