"""Which file is which log: alike, copied, restored, rotated while it is read, or known from an earlier version."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.contracts import ReadRequest
from headwater.core.commit import merge_positions
from headwater.errors import ConnectorError
from headwater.sources.logs import follow as logs_follow
from headwater.sources.logs.digest import BLOCK_BYTES, Prefix, tail_begins
from headwater.sources.logs.source import Logs
from headwater.sources.logs.spec import LogsConnection, LogsTable
from tests.sources import harness

BANNER = "".join(f"# build 7, setting {number:03d} is off\n" for number in range(60))
OLD = 1_600_000_000


class Reader:
    """Reads a folder of logs again and again."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path, **options: Any) -> None:
        self.con = con
        self.folder = folder
        self.source = Logs(LogsConnection(path=str(folder)), "/")
        self.options = LogsTable(path="**/*.log*", pattern="^(?P<text>.*)$", **options)
        self.position: dict[str, Any] = {}
        self.rejects: list[dict[str, Any]] = []

    def request(self) -> ReadRequest:
        return harness.request(
            self.con, self.options, {"text": "varchar"}, {"load": "incremental"}, position=self.position
        )

    def run(self) -> list[str]:
        """Return the new lines, without the banner's."""
        found = harness.read(self.source, self.request())
        self.position = merge_positions([self.position, found.position])
        self.rejects = found.rejects
        return sorted(row["text"] for row in found.rows if not row["text"].startswith("#"))


@pytest.fixture
def reader(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> Reader:
    return Reader(con, tmp_path)


def put(file: Path, text: str | bytes, seconds: int = 0) -> Path:
    """Append to a file; `seconds` is its age."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as log:
        log.write(text.encode() if isinstance(text, str) else text)
    if seconds:
        os.utime(file, (OLD - seconds, OLD - seconds))
    return file


def test_a_digest_goes_on_from_its_tail() -> None:
    data = os.urandom(5 * BLOCK_BYTES + 17)
    for size in (0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES - 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 5):
        whole, first = Prefix(), Prefix()
        whole.update(data)
        first.update(data[:size])
        again = Prefix(first.chain)
        again.update(data[tail_begins(size) : size])
        assert again.tail == first.tail
        again.update(data[size:])
        assert (again.chain, again.tail) == (whole.chain, whole.tail)


@pytest.mark.parametrize("size", [2000, 300_000])
def test_a_byte_that_differs_anywhere_makes_another_log(reader: Reader, tmp_path: Path, size: int) -> None:
    text = BANNER + "".join(f"a {n}\n" for n in range(size // 8))
    put(tmp_path / "a.log", text)
    assert len(reader.run()) == size // 8
    (tmp_path / "a.log").unlink()
    middle = text.index("a", len(text) // 2)
    put(tmp_path / "a.log.1", text[:middle] + "b" + text[middle + 1 :])
    assert len(reader.run()) == size // 8


def test_copies_are_logs_of_their_own(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "a.log", BANNER + "1\n2\n")
    put(tmp_path / "b.log", BANNER + "1\n2\n")
    assert reader.run() == ["1", "1", "2", "2"]
    shutil.copyfile(tmp_path / "a.log", tmp_path / "c.log")
    assert reader.run() == ["1", "2"]
    for name in "abc":
        put(tmp_path / f"{name}.log", f"{name}\n")
        (tmp_path / f"{name}.log.1.gz").write_bytes(gzip.compress((tmp_path / f"{name}.log").read_bytes()))
        (tmp_path / f"{name}.log").unlink()
    assert reader.run() == ["a", "b", "c"]
    assert reader.run() == []


def test_links_are_one_log(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "day.log", BANNER + "1\n")
    (tmp_path / "current.log").symlink_to("day.log")
    os.link(tmp_path / "day.log", tmp_path / "hard.log")
    assert reader.run() == ["1"]
    put(tmp_path / "day.log", "2\n")
    assert reader.run() == ["2"]


def test_a_copy_that_is_about_to_replace_its_original(reader: Reader, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", BANNER + "1\n", seconds=10)
    assert reader.run() == ["1"]
    put(log, "2\n", seconds=9)
    put(tmp_path / "a.log.1", log.read_bytes(), seconds=8)
    assert reader.run() == ["2"]
    os.truncate(log, 0)
    put(log, BANNER + "3\n")
    assert reader.run() == ["3"]
    assert reader.rejects == []


def test_what_an_earlier_log_of_the_same_name_held_does_not_hide_a_later_one(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "a.log", "started\n", seconds=10)
    assert reader.run() == ["started"]
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    put(tmp_path / "a.log", "started\n", seconds=5)
    assert reader.run() == ["started"]
    assert reader.run() == []


def test_emptied_and_grown_beyond_where_it_was(reader: Reader, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", BANNER + "1\n")
    assert reader.run() == ["1"]
    os.truncate(log, 0)
    put(log, BANNER + "2\n3\n4\n")
    assert reader.run() == ["2", "3", "4"]
    assert [reject["rule"] for reject in reader.rejects] == ["truncated"]
    put(log, "5\n")
    assert reader.run() == ["5"]
    assert reader.rejects == []


def test_a_copy_of_a_lost_log_that_turns_up_later(reader: Reader, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", BANNER + "1\n")
    reader.run()
    put(log, "2\n")
    saved = log.read_bytes()
    os.truncate(log, 0)
    put(log, BANNER + "3\n")
    assert reader.run() == ["3"]
    assert [reject["rule"] for reject in reader.rejects] == ["truncated"]
    put(tmp_path / "a.log.1", saved)
    assert reader.run() == ["2"]
    assert reader.rejects == []


@pytest.mark.parametrize("size", [0, 200_000])
def test_restored_from_a_backup(reader: Reader, tmp_path: Path, size: int) -> None:
    for name in "ab":
        put(tmp_path / f"{name}.log", BANNER + "same line\n" * (size // 10) + f"{name}\n")
    reader.run()
    for name in "ab":
        (tmp_path / f"{name}.log").rename(tmp_path / name)
        shutil.copyfile(tmp_path / name, tmp_path / f"{name}.log")
        put(tmp_path / f"{name}.log", f"new {name}\n")
    assert reader.run() == ["new a", "new b"]
    assert reader.run() == []
    assert [log[5] for log in reader.position["logs"]] == [(tmp_path / f"{name}.log").stat().st_ino for name in "ab"]


def test_moved_into_an_archive_and_packed(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "a.log", BANNER + "1\n")
    put(tmp_path / "b.log", BANNER + "2\n")
    assert reader.run() == ["1", "2"]
    for name in "ab":
        put(tmp_path / "old" / f"{name}-2026.log.gz", gzip.compress((tmp_path / f"{name}.log").read_bytes()))
        (tmp_path / f"{name}.log").unlink()
    assert reader.run() == []


def test_a_packed_log_that_is_still_being_written(reader: Reader, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log.1", BANNER + "".join(f"{hashlib.md5(b'%d' % n).hexdigest()}\n" for n in range(500)))
    packed = gzip.compress(log.read_bytes())
    for size in (5, len(packed) // 2):
        (tmp_path / "a.log.1.gz").write_bytes(packed[:size])
        assert len(reader.run()) == (500 if size == 5 else 0)
    (tmp_path / "a.log.1.gz").write_bytes(packed)
    log.unlink()
    assert reader.run() == []


def test_more_logs_than_are_kept_when_they_are_gone(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_follow, "KEPT_LOGS", 2)
    for number in range(6):
        put(tmp_path / f"s{number}.log", f"{number}\n", seconds=100 + number)
    assert len(reader.run()) == 6
    put(tmp_path / "s9.log", "9\n")
    assert reader.run() == ["9"]
    for number in range(6):
        (tmp_path / f"s{number}.log").unlink()
    put(tmp_path / "s9.log", "10\n")
    assert reader.run() == ["10"]
    assert len(reader.position["logs"]) == 3


def test_a_last_line_that_nobody_ends(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "a.log", "only", seconds=1)
    put(tmp_path / "b.log.gz", gzip.compress(b"packed"))
    put(tmp_path / "c.log", "not yet")
    assert reader.run() == ["only", "packed"]
    assert reader.run() == []


@pytest.mark.parametrize("how", ["renamed", "packed", "emptied"])
def test_rotated_between_listing_and_reading(reader: Reader, tmp_path: Path, how: str) -> None:
    log = put(tmp_path / "a.log", BANNER + "1\n")
    reader.run()
    put(log, "2\n")
    reading = reader.source.read("t", reader.request())
    if how == "renamed":
        log.rename(tmp_path / "a.log.1")
    elif how == "packed":
        (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
    else:
        shutil.copyfile(log, tmp_path / "a.log.1")
        os.truncate(log, 0)
    put(log, BANNER + "33\n")
    if how == "renamed":
        (chunk,) = reading.chunks
        assert reader.con.sql(chunk.query).fetchone() == ("2", "a.log", 62, None, None)
        reader.position = chunk.finish().position
    else:
        with pytest.raises(ConnectorError, match="while it was read"):
            list(reading.chunks)
        assert reader.run() == ["2", "33"]
        return
    assert reader.run() == ["33"]


def test_a_log_that_grows_between_listing_and_reading(reader: Reader, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", BANNER + "1\n")
    reading = reader.source.read("t", reader.request())
    put(log, "2\n")
    (chunk,) = reading.chunks
    assert reader.con.sql(f"SELECT count(*) FROM ({chunk.query})").fetchone() == (61,)
    reader.position = chunk.finish().position
    assert reader.run() == ["2"]


# ------------------------------------------------------------------------------------- positions of an earlier version


def as_before(file: Path, folder: Path, offset: int | None = None) -> list[Any]:
    """What an earlier version kept of a log that it read, unpacked, to its end or an offset."""
    packed = file.name.endswith(".gz")
    text = gzip.decompress(file.read_bytes()) if packed else file.read_bytes()
    head, status = text[:1024], file.stat()
    read = len(text) if offset is None else offset
    return [
        len(head), hashlib.sha256(head).hexdigest()[:32], read, text[:read].count(b"\n"),
        str(file.relative_to(folder)), 0 if packed else status.st_ino, status.st_size, status.st_mtime_ns,
    ]  # fmt: skip


@pytest.mark.parametrize("text", [BANNER + "1\n", "1\n"])
@pytest.mark.parametrize("how", ["grown", "renamed", "packed", "packed before", "restored", "beside"])
def test_an_earlier_position_goes_on(reader: Reader, tmp_path: Path, text: str, how: str) -> None:
    log = put(tmp_path / "a.log", text)
    if how == "packed before":
        log = put(tmp_path / "a.log.1.gz", gzip.compress(log.read_bytes()))
        (tmp_path / "a.log").unlink()
    reader.position = {"logs": [as_before(log, tmp_path)]}
    if how != "packed before":
        put(log, "2\n")
    if how == "renamed":
        log.rename(tmp_path / "a.log.1")
    elif how in ("packed", "beside"):
        put(tmp_path / "a.log.1.gz", gzip.compress(log.read_bytes()))
        log.rename(tmp_path / "a.log.1") if how == "beside" else log.unlink()
    elif how == "restored":
        saved = log.read_bytes()
        log.rename(tmp_path / "keeps the inode")
        put(log, saved)
    assert reader.run() == ([] if how == "packed before" else ["2"])
    put(tmp_path / "b.log", BANNER + "3\n")
    put(tmp_path / "c.log", BANNER + "4\n")
    assert reader.run() == ["3", "4"], "what was taken over is known as exactly as what is new"
    assert reader.rejects == []


def test_earlier_positions_of_logs_that_begin_alike_are_refused(reader: Reader, tmp_path: Path) -> None:
    put(tmp_path / "a.log", BANNER + "1\n")
    log = put(tmp_path / "b.log", BANNER + "2\n3\n")
    reader.position = {"logs": [as_before(log, tmp_path)]}
    for _ in range(2):
        with pytest.raises(ConnectorError, match=r"a\.log.*begin with the same 1024 bytes") as told:
            reader.run()
        assert "headwater run --full" in told.value.fix
    reader.position = {}
    assert reader.run() == ["1", "2", "3"]


def test_an_earlier_position_of_copies(reader: Reader, tmp_path: Path) -> None:
    """Of two files that hold the same an earlier version read one: the other is new."""
    log = put(tmp_path / "a.log", BANNER + "1\n")
    put(tmp_path / "b.log", BANNER + "1\n")
    reader.position = {"logs": [as_before(log, tmp_path)]}
    assert reader.run() == ["1"]
    assert reader.run() == []


def test_an_earlier_position_of_short_logs_that_begin_alike(reader: Reader, tmp_path: Path) -> None:
    logs = [put(tmp_path / f"{name}.log", "start\n") for name in "ab"]
    reader.position = {"logs": [as_before(log, tmp_path) for log in logs]}
    for log in logs:
        put(log, f"{log.stem}\n")
    assert reader.run() == ["a", "b"]
