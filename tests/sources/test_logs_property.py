"""Logs that begin alike: whatever rotation does to them between runs, every line lands once."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.commit import merge_positions
from headwater.sources.logs.source import Logs
from headwater.sources.logs.spec import LogsConnection, LogsTable
from tests.sources import harness

BANNER = "".join(f"service 4.2 starts, option {number:02d} = default value\n" for number in range(40))
assert len(BANNER) > 1500


class Folder:
    """Logs of services, and what was written to them; each begins with the same banner."""

    def __init__(self, path: Path, banner: str) -> None:
        self.path = path
        self.banner = banner
        self.written: Counter[str] = Counter()
        self.number = 0

    def append(self, name: str, count: int) -> None:
        """Write lines; a log that does not begin yet begins with the banner."""
        file = self.path / f"{name}.log"
        begin = self.banner if not file.exists() or not file.stat().st_size else ""
        lines = []
        for _ in range(count):
            self.number += 1
            lines.append(f"line {self.number:05d}\n")
        with file.open("a", encoding="utf-8") as log:
            log.write(begin + "".join(lines))
        self.written.update((begin + "".join(lines)).splitlines())

    def rotate(self, name: str, how: str) -> None:
        """Rotate a log away: older ones get the next number."""
        log = self.path / f"{name}.log"
        if not log.exists():
            return
        rotated = sorted(self.path.glob(f"{name}.log.*"), key=lambda p: -int(p.name.removesuffix(".gz").split(".")[2]))
        for old in rotated:
            ending = ".gz" if old.suffix == ".gz" else ""
            number = int(old.name.removesuffix(".gz").split(".")[2])
            old.rename(self.path / f"{name}.log.{number + 1}{ending}")
        first = self.path / f"{name}.log.1"
        if how == "rename":
            log.rename(first)
        elif how == "copytruncate":
            shutil.copyfile(log, first)
            os.truncate(log, 0)
        else:
            (self.path / f"{name}.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
            log.unlink()

    def pack(self, name: str) -> None:
        """Compress the newest rotated log, as `delaycompress` does."""
        first = self.path / f"{name}.log.1"
        if first.exists():
            (self.path / f"{name}.log.1.gz").write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()

    def restore(self, name: str) -> None:
        """Put a log back from a backup: the same bytes in another file."""
        log = self.path / f"{name}.log"
        if log.exists():
            shutil.copyfile(log, self.path / "backup")
            log.unlink()
            (self.path / "backup").rename(log)


CONNECTION = duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})
OPTIONS = LogsTable(path="*.log*", pattern="^(?P<text>.*)$")


def read_all(folder: Folder, position: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Read what is new since a position; return the lines and the next position."""
    asked = harness.request(CONNECTION, OPTIONS, {"text": "varchar"}, {"load": "incremental"}, position=position)
    found = harness.read(Logs(LogsConnection(path=str(folder.path)), "/"), asked)
    assert not found.rejects
    return [row["text"] for row in found.rows], merge_positions([position, found.position])


NAMES = st.sampled_from(["web1", "web2", "2026-01-02"])
STEPS = st.one_of(
    st.tuples(st.just("append"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("rotate"), NAMES, st.sampled_from(["rename", "gzip", "copytruncate"])),
    st.tuples(st.just("pack"), NAMES, st.none()),
    st.tuples(st.just("restore"), NAMES, st.none()),
    st.tuples(st.just("run"), st.none(), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=3, max_size=20), long=st.booleans())
def test_every_line_lands_once(steps: list[tuple[str, Any, Any]], long: bool) -> None:
    path = Path(tempfile.mkdtemp())
    try:
        folder = Folder(path, BANNER if long else BANNER[: BANNER.index("\n") + 1])
        position: dict[str, Any] = {}
        landed: Counter[str] = Counter()
        for step, *given_ in [*steps, ("run", None, None)]:
            if step == "run":
                lines, position = read_all(folder, position)
                landed.update(lines)
            else:
                getattr(folder, step)(*(value for value in given_ if value is not None))
        assert landed == folder.written
    finally:
        shutil.rmtree(path)
