"""A lake's writer, drop or maintenance that is overtaken at its worst moment: nothing is lost, nothing said wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import RunError, StateError
from headwater.storage.lake import clean as lake_clean
from headwater.storage.lake import store as lake
from headwater.storage.lake.store import Lake
from headwater.testing.store_objects import CATALOGUE, rows_of_objects
from headwater.testing.stores import Writer, rows_of

from .children import make_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headwater.contracts import ObjectCopy

REJECT = "SELECT 'k', 'b', now(), 'f', 1, 'r', 'why', 'raw'"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def writer(path: str) -> Iterator[Writer]:
    writer = make_writer("lake", path)
    writer.write("append", rows_of({1: "a"}))
    writer.write("append", rows_of({2: "b"}), rejects=REJECT)
    yield writer
    writer.session.close()


@pytest.fixture
def other(writer: Writer, path: str) -> Writer:
    return Writer(Lake(path, writer.session), writer.session)


def folder_of(path: str) -> Path:
    return Path(path, "shop", "orders")


def around_rename(
    monkeypatch: pytest.MonkeyPatch, *, before: Callable[[], object] = int, after: Callable[[], object] = int
) -> None:
    """Let something happen right before or right after a load is made visible."""
    rename = lake.make_visible

    def late(*args: Any) -> None:
        monkeypatch.undo()
        before()
        rename(*args)
        after()

    monkeypatch.setattr(lake, "make_visible", late)


@pytest.mark.parametrize("mode", ["append", "replace", "record"])
def test_somebody_commits_after_it(writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    around_rename(monkeypatch, after=lambda: other.write("append", rows_of({4: "later"})))
    receipt = writer.write(mode, "" if mode == "record" else rows_of({3: "c"}), version=2)
    assert receipt.commit.sequence == 3
    wanted = {"append": [1, 2, 3], "replace": [3], "record": [1, 2]}[mode]
    assert receipt.state is not None
    assert [row[0] for row in writer.fetch(f"SELECT id FROM ({receipt.state.scan}) ORDER BY 1")] == wanted
    assert [row[0] for row in writer.read()] == [*wanted, 4]


@pytest.mark.parametrize("again", [False, True])
def test_a_table_that_was_dropped_gets_no_load_of_before(
    writer: Writer, other: Writer, path: str, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    def drop() -> None:
        other.store.maintain([other.table], {"drop": True})
        if again:
            other.write("append", rows_of({9: "anew"}))

    around_rename(monkeypatch, before=drop)
    with pytest.raises(StateError):
        writer.write("append", rows_of({3: "c"}))
    if not again:
        assert writer.store.describe() == {}
        assert other.write("append", rows_of({9: "anew"})).commit.sequence == 4  # 3 was seen, for a moment
    assert writer.described.foreign == ""
    assert writer.read() == [(9, "anew")]


def test_a_writer_that_remembers_its_number_takes_no_drop_back(
    writer: Writer, other: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = lake.note_number

    def late(*args: Any) -> None:
        monkeypatch.undo()
        other.store.maintain([other.table], {"drop": True})
        note(*args)

    monkeypatch.setattr(lake, "note_number", late)
    assert writer.write("append", rows_of({3: "c"})).commit.sequence == 3
    assert all(state.commit is None for state in writer.store.describe().values())
    writer.write("append", rows_of({9: "anew"}))
    assert writer.read() == [(9, "anew")]


def test_a_drop_takes_nothing_that_is_made_after_it(
    writer: Writer, other: Writer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = lake_clean.note_dropped

    def late(*args: Any) -> None:
        monkeypatch.undo()
        note(*args)
        other.store.stage(other.load("two"), {}, "1", rows_of({9: "anew"})).finish_chunk({})
        other.write("append", rows_of({9: "anew"}), rejects=REJECT)

    monkeypatch.setattr(lake_clean, "note_dropped", late)
    assert writer.store.maintain([writer.table], {"drop": True})[writer.table].dropped
    state = writer.described
    assert state.foreign == ""
    assert writer.read() == [(9, "anew")]
    assert writer.fetch(f"SELECT count(*) FROM ({state.rejects})") == [(1,)]


@pytest.mark.parametrize("lost", ["part-*.parquet", "_rejects/*.parquet"])
def test_files_that_are_gone_before_the_rename(
    writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def lose(name: str) -> None:
        if name == "claimed":
            for file in folder_of(path).glob(f"_headwater/scratch/*/load/{lost}"):
                file.unlink()

    reject = REJECT.replace("'k'", "'k2'")
    with pytest.raises(RunError, match="nothing was changed"):
        writer.write("append", rows_of({3: "c"}), rejects=reject, load=writer.load(notify=lose))
    assert [row[0] for row in writer.read()] == [1, 2]
    assert writer.described.foreign == ""


@pytest.mark.parametrize("lost", ["part-*.parquet", "_commit.json", "_rejects/*.parquet"])
def test_files_that_are_gone_after_the_rename(
    writer: Writer, path: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def lose() -> None:
        for file in folder_of(path).glob(f"load=00000003/{lost}"):
            file.unlink()

    around_rename(monkeypatch, after=lose)
    with pytest.raises(StateError, match="was made, but"):
        writer.write("append", rows_of({3: "c"}), rejects=REJECT.replace("'k'", "'k2'"))


def test_maintenance_beside_a_writer_takes_nothing_from_it(writer: Writer, other: Writer) -> None:
    def maintain(_: str) -> None:
        other.store.maintain([other.table], {"age_s": 0.0})

    writer.write("append", rows_of({3: "c"}), rejects=REJECT.replace("'k'", "'k2'"), load=writer.load(notify=maintain))
    state = writer.described
    assert state.foreign == ""
    assert [row[0] for row in writer.read()] == [1, 2, 3]
    assert writer.fetch(f"SELECT count(*) FROM ({state.rejects})") == [(2,)]


def test_a_reject_file_that_is_gone_is_said(writer: Writer, path: str) -> None:
    shutil.rmtree(folder_of(path) / "load=00000002" / "_rejects")
    assert "_rejects" in writer.described.foreign


# ------------------------------------------------------------------------------------------------------------ objects


@pytest.fixture
def keep(path: str, tmp_path: Path) -> Callable[[Writer, str], ObjectCopy]:
    def write(writer: Writer, name: str) -> ObjectCopy:
        (tmp_path / name).write_text(name)
        assert isinstance(writer.store, Lake)
        return writer.store.keep_object("img.a", str(tmp_path / name))

    return write


def catalogue(writer: Writer) -> Writer:
    return Writer(writer.store, writer.session, "img.a")


def test_an_object_that_maintenance_removed_is_not_named(
    writer: Writer, keep: Callable[[Writer, str], ObjectCopy], path: str
) -> None:
    """Nobody is about to commit while rows are read: what is old by its clock goes, and the commit is refused."""
    images = catalogue(writer)
    kept = {name: keep(images, name) for name in ("a", "b")}
    images.write("append", rows_of_objects({"a": kept["a"]}), columns=CATALOGUE)
    images.store.maintain(["img.a"], {"age_s": 0.0})
    with pytest.raises(StateError, match="nothing was changed"):
        images.write("append", rows_of_objects({"b": kept["b"]}), columns=CATALOGUE)
    assert images.read() == [("a", kept["a"].place)]


@pytest.mark.parametrize("whole", [False, True])
def test_an_object_that_is_gone_is_said(
    writer: Writer, keep: Callable[[Writer, str], ObjectCopy], path: str, whole: bool
) -> None:
    images = catalogue(writer)
    kept = {name: keep(images, name) for name in ("a", "b")}
    images.write("append", rows_of_objects(kept), columns=CATALOGUE)
    assert images.described.foreign == images.described.foreign == ""
    lost = Path(path, kept["a"].place)
    if whole:
        shutil.rmtree(lost.parent.parent)
    else:
        lost.unlink()
    for _ in range(2):
        assert "_objects/" in images.described.foreign
        assert "is gone" in images.described.foreign


@pytest.mark.parametrize("drop", [False, True])
def test_an_object_that_is_named_while_maintenance_sleeps_stays(
    writer: Writer, other: Writer, keep: Callable[[Writer, str], ObjectCopy], path: str,
    monkeypatch: pytest.MonkeyPatch, drop: bool,
) -> None:  # fmt: skip
    images, rival = catalogue(writer), catalogue(other)
    copy = keep(images, "a")
    images.write("append", rows_of_objects({"a": copy}), columns=CATALOGUE)
    if not drop:  # nobody names it any more
        images.write("replace", rows_of_objects({"a": keep(images, "b")}), columns=CATALOGUE)
        for file in Path(path, "img", "a", "load=00000001").glob("*.parquet"):
            file.unlink()
    remove = lake_clean.remove_objects

    def late(*args: Any) -> Any:
        monkeypatch.undo()
        assert keep(rival, "a") == copy
        rival.write("append", rows_of_objects({"again": copy}), columns=CATALOGUE)
        return remove(*args)

    monkeypatch.setattr(lake_clean, "remove_objects", late)
    images.store.maintain(["img.a"], {"drop": True} if drop else {"age_s": 0.0})
    assert Path(path, copy.place).read_text() == "a"
    assert ("again", copy.place) in rival.read()


def test_two_first_loads_are_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first load that was overtaken by another after it had read that there is none does not follow it unseen."""
    slow, quick = make_writer("lake", path), make_writer("lake", path)
    number = lake.Loads.next_number

    def overtaken(loads: lake.Loads, previous: int | None) -> int:
        monkeypatch.undo()
        quick.write("append", rows_of({1: "quick"}))
        return number(loads, previous)

    monkeypatch.setattr(lake.Loads, "next_number", overtaken)
    with pytest.raises(StateError):
        slow.write("append", rows_of({1: "slow"}))
    state = quick.store.describe()["shop.orders"]
    assert (state.commit and state.commit.sequence, state.foreign) == (1, "")
    assert quick.read() == [(1, "quick")]
    for one in (slow, quick):
        one.session.close()
