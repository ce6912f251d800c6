"""Objects of the lake: read once, never written twice, whole or not there."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from headwater.storage.lake import objects as lake_objects
from headwater.storage.lake.store import Lake
from headwater.testing.store_objects import CATALOGUE, rows_of_objects
from headwater.testing.stores import rows_of

from .children import make_writer, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headwater.testing.stores import Writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = make_writer("lake", str(tmp_path / "lake"))
    yield writer
    writer.session.close()


def lake_of(writer: Writer) -> Lake:
    assert isinstance(writer.store, Lake)
    return writer.store


def stored(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder / "lake").as_posix() for path in folder.glob("lake/shop/orders/_objects/*/*"))


NAMES = {
    "a.png": ".png",
    "a.PNG": ".png",
    "a.tar.gz": ".gz",
    "a": "",
    ".hidden": "",
    "a.b c": "",
    "a.é": "",
    "a.x'y": "",
    f"a.{'x' * 17}": "",
}


@pytest.mark.parametrize(("name", "suffix"), NAMES.items())
def test_a_place_is_the_hash_and_a_plain_extension(tmp_path: Path, writer: Writer, name: str, suffix: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    place = lake_of(writer).keep_object("shop.orders", str(tmp_path / name)).place
    assert place == f"shop/orders/_objects/{sha256[:2]}/{sha256}{suffix}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than four bytes are large, and are read in blocks of three."""
    monkeypatch.setattr(lake_objects, "_SMALL_BYTES", 4)
    monkeypatch.setattr(lake_objects, "_BLOCK_BYTES", 3)


def test_a_large_file_is_copied_in_blocks_and_only_once(tmp_path: Path, writer: Writer, small: None) -> None:
    for name, content in {"a.mp4": b"0123456789", "b.mp4": b"0123456789", "c.mp4": b"9876543210"}.items():
        (tmp_path / name).write_bytes(content)
        copy = lake_of(writer).keep_object("shop.orders", str(tmp_path / name))
        assert (tmp_path / "lake" / copy.place).read_bytes() == content
        assert copy.sha256 == hashlib.sha256(content).hexdigest()
        assert copy.size_bytes == 10
    assert len(stored(tmp_path)) == 2
    inodes = {place: (tmp_path / "lake" / place).stat().st_ino for place in stored(tmp_path)}
    again = Lake(str(tmp_path / "lake"), writer.session)
    for name in ("a.mp4", "c.mp4"):
        again.keep_object("shop.orders", str(tmp_path / name))
    assert {place: (tmp_path / "lake" / place).stat().st_ino for place in stored(tmp_path)} == inodes


def test_an_object_that_is_named_again_is_young(tmp_path: Path, writer: Writer) -> None:
    (tmp_path / "a").write_bytes(b"x")
    place = tmp_path / "lake" / lake_of(writer).keep_object("shop.orders", str(tmp_path / "a")).place
    os.utime(place, (0, 0))
    lake_of(writer).keep_object("shop.orders", str(tmp_path / "a"))
    (tmp_path / "b").write_bytes(b"named")
    named = lake_of(writer).keep_object("shop.orders", str(tmp_path / "b"))
    writer.write("append", rows_of_objects({"b": named}), columns=CATALOGUE)
    assert writer.store.maintain(["shop.orders"], {"age_s": 60.0})["shop.orders"].files_removed == 0
    os.utime(place, (0, 0))
    assert writer.store.maintain(["shop.orders"], {"age_s": 60.0})["shop.orders"].files_removed == 1
    assert stored(tmp_path) == [named.place]


def _lose_file(folder: Path) -> None:
    next(folder.glob("load=00000001/*.parquet")).unlink()


def _cut_file(folder: Path) -> None:
    os.truncate(next(folder.glob("load=00000001/*.parquet")), 8)


def _spoil_file(folder: Path) -> None:
    place = next(folder.glob("load=00000001/*.parquet"))
    place.write_bytes(bytes(place.stat().st_size))


def _lose_first(folder: Path) -> None:
    shutil.rmtree(folder / "load=00000001")


def _lose_last(folder: Path) -> None:
    shutil.rmtree(folder / "load=00000002")


@pytest.mark.parametrize("damage", [_lose_file, _cut_file, _spoil_file, _lose_first, _lose_last])
def test_no_object_goes_while_it_is_not_certain_what_is_named(
    tmp_path: Path, writer: Writer, damage: Callable[[Path], None]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        copy = lake_of(writer).keep_object("shop.orders", str(tmp_path / name))
        writer.write("append", rows_of_objects({name: copy}), columns=CATALOGUE)
        os.utime(tmp_path / "lake" / copy.place, (0, 0))
    kept = stored(tmp_path)
    damage(tmp_path / "lake/shop/orders")
    cleaned = writer.store.maintain(["shop.orders"], {"age_s": 60.0})["shop.orders"]
    assert "nothing was removed" in cleaned.problem
    assert cleaned.files_removed == 0
    assert stored(tmp_path) == kept


def test_a_damaged_replaced_load_that_stays_keeps_everything(tmp_path: Path, writer: Writer) -> None:
    for _ in range(3):
        writer.write("replace", rows_of({1: "a"}))
    folder = tmp_path / "lake/shop/orders"
    os.truncate(next(folder.glob("load=00000002/*.parquet")), 8)
    cleaned = writer.store.maintain(["shop.orders"], {"age_s": 0.0, "versions": 2})["shop.orders"]
    assert (cleaned.files_removed, "nothing was removed" in cleaned.problem) == (0, True)
    assert writer.store.maintain(["shop.orders"], {"age_s": 0.0})["shop.orders"].files_removed == 2
    assert not writer.store.maintain(["shop.orders"], {"age_s": 0.0, "versions": 2})["shop.orders"].problem


def _keep(sender: Any, folder: str, path: str, limit: int, deadly: bool) -> None:
    """Keep a file where no file may grow beyond `limit` bytes: an error as of a full disk, or a kill at that byte."""
    writer = make_writer("lake", folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        lake_of(writer).keep_object("shop.orders", path)
    except BaseException as error:
        sender.send((type(error).__name__, str(error)))


@pytest.mark.parametrize("size_bytes", [3 << 20, 40 << 20])
def test_a_full_disk_leaves_nothing_and_is_named(tmp_path: Path, size_bytes: int) -> None:
    (tmp_path / "film.mp4").write_bytes(bytes(size_bytes))
    code, sent = run_child(_keep, str(tmp_path / "lake"), str(tmp_path / "film.mp4"), 2 << 20, False)
    assert code == 0
    assert sent[0] == "ConnectorError", sent
    assert "free space" in sent[1]
    assert str(tmp_path / "lake") in sent[1]
    assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file()] == []


def test_a_copy_that_is_killed_in_the_middle_is_not_there(tmp_path: Path, writer: Writer) -> None:
    (tmp_path / "film.mp4").write_bytes(os.urandom(3 << 20))
    code, _ = run_child(_keep, str(tmp_path / "lake"), str(tmp_path / "film.mp4"), 2 << 20, True)
    assert code == -signal.SIGXFSZ
    assert stored(tmp_path) == []
    left = [path.stat().st_size for path in (tmp_path / "lake").rglob("object")]
    assert left == [2 << 20]
    copy = lake_of(writer).keep_object("shop.orders", str(tmp_path / "film.mp4"))
    writer.write("append", rows_of_objects({"film": copy}), columns=CATALOGUE)
    writer.store.maintain(["shop.orders"], {"age_s": 0.0})
    assert list((tmp_path / "lake").rglob("object")) == []
    assert (tmp_path / "lake" / copy.place).read_bytes() == (tmp_path / "film.mp4").read_bytes()
