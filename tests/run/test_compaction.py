"""A run compacts the tables that it left in many small files; nothing that reads them runs again for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.core.run import Event, Status
from headwater.run import compaction
from headwater.storage.delta import compact as delta_compact
from tests.run.runner import HEADER, NOW, put, rows, run_well, source, statuses, version

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compaction, "MANY_SMALL_FILES", 2)
    put(tmp_path, {"sources/shop.yaml": source("lakehouse", "load: incremental"), "models/m/reader.sql": READER})
    for number in (1, 2):
        add(tmp_path, number)
    return tmp_path


READER = "select count(*) as n from shop.orders\n"


def add(folder: Path, number: int) -> None:
    put(folder, {f"in/{number}.csv": f"{HEADER}{number},x,1.00\n"})
    run_well(folder)


def small_files(folder: Path) -> int:
    return load(folder).states()["shop.orders"].small_files


def test_a_run_compacts_what_it_left_in_many_files(folder: Path) -> None:
    assert small_files(folder) == 2
    add(folder, 3)
    assert small_files(folder) == 1
    assert (version(folder, "shop.orders"), rows(folder, "from m.reader")) == (3, [(3,)])
    assert rows(folder, "select _file from system.shop__orders") == [("in/1.csv",), ("in/2.csv",), ("in/3.csv",)]
    assert set(statuses(run_well(folder)).values()) == {"skipped"}
    add(folder, 4)
    assert rows(folder, "from m.reader") == [(4,)]


def test_a_compaction_that_fails_is_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delta_compact, "compact_delta", fail)
    put(folder, {"in/3.csv": f"{HEADER}3,x,1.00\n"})
    events: list[Event] = []
    run = load(folder).run(now=NOW, workers=1, listeners=[events.append])
    assert run.status is Status.DONE
    [text] = [event.data["text"] for event in events if event.name == "warning"]
    assert "shop.orders was not compacted" in text
    assert "No space left" in text
    assert (small_files(folder), rows(folder, "from m.reader")) == (3, [(3,)])


def test_maintain_joins_unless_it_is_told_not_to(folder: Path) -> None:
    assert load(folder).maintain(compact=False)["shop.orders"].files_compacted == 0
    assert load(folder).maintain()["shop.orders"].files_compacted == 2
    assert rows(folder, "from m.reader") == [(2,)]
