"""What may pass is tried again: a file that is still being written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.core.run import Event, Status
from headwater.run.steps import extract
from tests.run.kill import NOW, read_tables
from tests.run.projects import files_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "RETRY_PAUSES_S", (0.01, 0.01))


def test_a_file_that_grows_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.sources.files.source import Files

    folder = files_project(tmp_path, "warehouse", "append")
    original, reads = Files.read, []

    def read(self: Files, table: str, request: object) -> object:
        reading = original(self, table, request)  # type: ignore[arg-type]
        reads.append(table)
        if len(reads) < 3:
            with (folder / "in" / "3.csv").open("a") as file:
                file.write(f"{50 + len(reads)},late,1.00,2026-01-03\n")
        return reading

    monkeypatch.setattr(Files, "read", read)
    warnings: list[str] = []

    def listen(event: Event) -> None:
        if event.name == "warning":
            warnings.append(str(event.data["text"]))

    run = load(folder).run(now=NOW, workers=1, listeners=[listen])
    assert run.status is Status.DONE
    assert len(reads) == 3
    assert len(warnings) == 2
    assert "3.csv" in warnings[0]
    rows = read_tables(load(folder))["shop.orders"]
    assert sum("late" in str(row) for row in rows) == 2


def test_a_file_that_never_rests_fails_the_step_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.sources.files.source import Files

    folder = files_project(tmp_path, "warehouse", "append")
    original = Files.read

    def read(self: Files, table: str, request: object) -> object:
        reading = original(self, table, request)  # type: ignore[arg-type]
        with (folder / "in" / "3.csv").open("a") as file:
            file.write("50,late,1.00,2026-01-03\n")
        return reading

    monkeypatch.setattr(Files, "read", read)
    run = load(folder).run(now=NOW, workers=1)
    assert run.result("shop.orders/extract").status is Status.FAILED
    assert read_tables(load(folder))["shop.orders"] == ["no table"]
