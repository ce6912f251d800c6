"""Data files that others removed or replaced: the step fails and says which, what reads it is blocked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from headwater.api import load
from tests.run.runner import NOW, put, rows, run, run_well, statuses


@pytest.mark.parametrize("store", ["lake", "lakehouse"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_data_file_is_not_as_it_was_written(tmp_path: Path, store: str, replaced: bool) -> None:
    put(
        tmp_path,
        {
            "models/m/x.sql": f"/* headwater\nstore: {store}\n*/\nselect i from range(5) t(i)\n",
            "models/m/y.sql": "select sum(i) as s from m.x\n",
        },
    )
    run_well(tmp_path)
    assert set(statuses(run(tmp_path)).values()) == {"skipped"}
    (file,) = (tmp_path / "data" / store).rglob("*.parquet")
    file.unlink()
    if replaced:
        duckdb.execute(f"COPY (SELECT i * 7 AS i, 'more' AS j FROM range(5) t(i)) TO '{file}' (FORMAT parquet)")
    says = f"{file} has" if replaced else f"{file} is gone"
    assert says in load(tmp_path).plan().steps[0].reason
    results = run(tmp_path)
    assert statuses(results) == {"m.x/transform": "failed", "m.y/transform": "blocked"}
    assert says in results["m.x/transform"].error
    assert says in run(tmp_path, select=["m.y"], full=["m.y"])["m.y/transform"].error
    load(tmp_path).reset(["m.x"])
    run_well(tmp_path)
    assert rows(tmp_path, "from m.y") == [(10,)]


HEADER = "/* headwater\nmaterialize: snapshot\nkey: id\n*/\n"


def test_a_snapshot_s_advice_and_plan_say_that_history_goes(tmp_path: Path) -> None:
    put(tmp_path, {"models/m/s.sql": f"{HEADER}select 1 as id, 'a' as name, 'x' as extra\n"})
    run_well(tmp_path)
    put(tmp_path, {"models/m/s.sql": f"{HEADER}select 1 as id, 'b' as name\n"})
    (note,) = (note for note in load(tmp_path).plan().notes if "extra" in note)
    assert "null as extra" in note
    error = run(tmp_path)["m.s/transform"].error
    assert "null as extra" in error
    assert "forgets its history" in error
    assert load(tmp_path).plan(full=["m.s"]).steps[0].reason == "asked for with --full: its history is forgotten"
    put(tmp_path, {"models/m/s.sql": f"{HEADER}select 1 as id, 'b' as name, null as extra\n"})
    put(tmp_path, {"models/m/below.sql": "select upper(extra) as e from m.s\n"})
    run_well(tmp_path, now=NOW - timedelta(days=400))
    found = rows(tmp_path, "select name, extra, valid_to is null, valid_to > valid_from from m.s")
    assert found == [("a", "x", False, True), ("b", None, True, None)]
