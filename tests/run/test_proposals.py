"""A source without columns: proposed when somebody watches, an error with its place when nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.errors import ProjectErrors
from headwater.plan import observe
from tests.run.runner import NOW, put, rows, run, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path


def project(folder: Path) -> Path:
    return put(
        folder,
        {
            "sources/shop.yaml": "kind: files\ntables:\n  orders: {path: in/o*.csv, into: warehouse}\n"
            "  people: {path: in/p*.csv, into: lake}\n",
            "sources/other.yaml": source("lakehouse", "", "columns: {id: bigint}").replace("in/*", "other/*"),
            "other/1.csv": "id\n1\n",
            "in/o.csv": "id,Größe,select,at time\n1,2.5,x,2026-01-01 10:00:00\n",
            "in/p.csv": "name,born\nann,2000-01-01\n",
            "models/m/n.sql": 'select id + 1 as n, "select", "at time"::date as day from shop.orders\n',
        },
    )


def test_without_a_terminal_it_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    project(tmp_path)
    with pytest.raises(ProjectErrors) as caught:
        run(tmp_path)
    places = [(error.path, error.line) for error in caught.value.errors]
    assert places == [("sources/shop.yaml", 3), ("sources/shop.yaml", 4)]
    assert "nothing is inferred unattended" in str(caught.value)
    assert not (tmp_path / "sources/shop.schema.yaml").exists()
    assert not (tmp_path / "data").exists()


def test_with_a_terminal_it_is_written_and_the_run_goes_on(tmp_path: Path) -> None:
    project(tmp_path)
    told: list[str] = []
    first = run_well(tmp_path, propose=told.append)
    assert told == [
        "proposed the schema of shop.orders: 4 columns, in sources/shop.schema.yaml",
        "proposed the schema of shop.people: 2 columns, in sources/shop.schema.yaml",
    ]
    assert set(statuses(first).values()) == {"done"}
    assert rows(tmp_path, 'select "select", day::varchar from m.n') == [("x", "2026-01-01")]
    assert str(load(tmp_path).query("from shop.people").schema.field("born").type) == "date32[day]"
    file = tmp_path / "sources/shop.schema.yaml"
    text, stamp = file.read_text(encoding="utf-8"), file.stat().st_mtime_ns
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    file.write_text(text.replace("born: date", "born: varchar"), encoding="utf-8")
    third = run_well(tmp_path)
    assert {name for name, status in statuses(third).items() if status == "done"} == {
        "shop.people/extract", "shop.people/load",
    }  # fmt: skip
    assert len(told) == 2
    assert file.stat().st_mtime_ns >= stamp


def test_types_for_some_columns_only_are_not_filled_in_from_a_sample(tmp_path: Path) -> None:
    put(tmp_path, {"sources/shop.yaml": source("warehouse", "", "columns: {id: bigint, item: {description: d}}")})
    put(tmp_path, {"in/1.csv": "id,item\n1,2\n"})
    error = run(tmp_path)["shop.orders/extract"].error
    assert error.startswith("sources/shop.yaml:3:")
    assert "not every column has a declared type" in error
    assert "fix: give every column its type: id: bigint, item: bigint" in error


def test_without_a_file_the_schema_is_not_known(tmp_path: Path) -> None:
    put(tmp_path, {"sources/shop.yaml": "kind: files\ntables:\n  orders: {path: in/*.csv}\n"})
    error = run(tmp_path, propose=print)["shop.orders/extract"].error
    assert "shop.orders: its schema is not known" in error
    assert "declare columns in sources/shop.yaml, or add data" in error


def test_an_unreached_source_is_asked_at_run_and_proposes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"sources/shop.yaml": "kind: files\ntables:\n  orders: {path: in/*.csv}\n", "in/1.csv": "id\n1\n"})
    silent = observe._Answers(notes=["source shop did not answer"])
    monkeypatch.setattr(observe, "_ask_sources", lambda *_: silent)
    loaded = load(tmp_path)
    assert loaded.plan(now=NOW).notes == ("source shop did not answer",)
    result = loaded.run(now=NOW, workers=1, propose=print).result("shop.orders/extract")
    assert result.reason == "first load"
    assert "nothing is inferred unattended" in result.error
    assert not (tmp_path / "sources/shop.schema.yaml").exists()
