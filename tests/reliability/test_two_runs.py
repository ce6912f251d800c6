"""Two runs at once, zombies, tables that somebody else changed, a full disk."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.project import SourceTable
from headwater.core.run import Event, Status
from headwater.errors import BusyError
from headwater.state import Lease
from tests.run.kill import NOW, read_tables
from tests.run.projects import change_files, files_project, models_project, write

if TYPE_CHECKING:
    from pathlib import Path

PAUSED = """
import pathlib, sys, time
from headwater.api import load
folder, signal, name = sys.argv[1:4]
def listen(event):
    if event.name == name and event.step.endswith("/load"):
        pathlib.Path(signal + ".there").touch()
        while not pathlib.Path(signal + ".go").exists():
            time.sleep(0.01)
run = load(folder).run(listeners=[listen], workers=1)
for result in run.results:
    print(result.step, result.status.value, result.error)
"""


def run(folder: Path, **options: Any) -> dict[str, Any]:
    """Run a project in this process; return results by step."""
    return {r.step: r for r in load(folder).run(now=NOW, workers=1, **options).results}


def wait_for(file: Path) -> None:
    """Wait until a child has come to its pause."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} did not appear"
        time.sleep(0.01)


def share_stores(folder: Path, stores: Path) -> None:
    """Have a project keep its stores elsewhere, so that two folders write the same tables."""
    lines = [f"  {kind}: {{path: {stores / kind}}}" for kind in ("lake", "lakehouse")]
    lines.append(f"  warehouse: {{path: {stores / 'warehouse.duckdb'}}}")
    write(folder, {"headwater.yaml": "\n".join(["name: shared", "stores:", *lines, ""])})


@pytest.mark.parametrize("store", ["lake", "lakehouse"])
@pytest.mark.parametrize("boundary", ["before_commit", "chunk_read"])
def test_a_zombie_is_refused(tmp_path: Path, store: str, boundary: str) -> None:
    """A writer sleeps before its commit, another run commits, the sleeper wakes up: refused, nothing twice."""
    one = files_project(tmp_path / "one", store, "append")
    share_stores(one, tmp_path / "stores")
    run(one)
    change_files(one, "append")
    other = shutil.copytree(one, tmp_path / "other")
    signal = tmp_path / "signal"
    step = "extract" if boundary == "chunk_read" else "load"
    script = PAUSED.replace("/load", f"/{step}")
    zombie = subprocess.Popen(
        [sys.executable, "-c", script, str(one), str(signal), boundary], stdout=subprocess.PIPE, text=True
    )
    wait_for(signal.with_name("signal.there"))
    assert run(other)["shop.orders/load"].status is Status.DONE
    wanted = read_tables(load(other))
    signal.with_name("signal.go").touch()
    out, _ = zombie.communicate(timeout=60)
    assert "shop.orders/load failed" in out
    assert "another writer" in out or "not as Headwater left it" in out
    assert read_tables(load(other)) == wanted
    assert all(r.status in (Status.SKIPPED, Status.UNCHANGED, Status.DONE) for r in run(one).values())
    assert read_tables(load(one)) == wanted


def test_a_second_process_at_the_same_warehouse_exits_3(tmp_path: Path) -> None:
    one = files_project(tmp_path / "one", "warehouse", "append")
    share_stores(one, tmp_path / "stores")
    run(one)
    change_files(one, "append")
    other = shutil.copytree(one, tmp_path / "other")
    signal = tmp_path / "signal"
    holder = subprocess.Popen([sys.executable, "-c", PAUSED, str(one), str(signal), "before_commit"])
    wait_for(signal.with_name("signal.there"))
    for command in (["run"], ["query", "from shop.orders"], ["plan"]):
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "-p", str(other), *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 3, done.stdout + done.stderr
        assert str(holder.pid) in done.stderr
    signal.with_name("signal.go").touch()
    assert holder.wait(60) == 0
    assert all(r.status is Status.SKIPPED for r in run(other).values())


def wait_and_run(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "headwater", "-p", str(folder), "run", "--wait"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_process_at_the_same_warehouse_waits(tmp_path: Path) -> None:
    one = files_project(tmp_path / "one", "warehouse", "append")
    share_stores(one, tmp_path / "stores")
    run(one)
    change_files(one, "append")
    other = shutil.copytree(one, tmp_path / "other")
    signal = tmp_path / "signal"
    holder = subprocess.Popen([sys.executable, "-c", PAUSED, str(one), str(signal), "before_commit"])
    wait_for(signal.with_name("signal.there"))
    waiter = wait_and_run(other)
    assert waiter.stderr is not None
    file = tmp_path / "stores" / "warehouse.duckdb"
    assert waiter.stderr.readline() == f"waiting for process {holder.pid}, which holds {file}\n"
    signal.with_name("signal.go").touch()
    assert holder.wait(60) == 0
    out, _ = waiter.communicate(timeout=60)
    assert waiter.returncode == 0, out
    assert all(r.status is Status.SKIPPED for r in run(one).values())


def test_two_first_runs_at_one_warehouse_come_one_after_the_other(tmp_path: Path) -> None:
    one = files_project(tmp_path / "one", "warehouse", "append")
    share_stores(one, tmp_path / "stores")
    other = shutil.copytree(one, tmp_path / "other")
    running = [wait_and_run(folder) for folder in (one, other)]
    told = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    tables = read_tables(load(one))
    assert len(tables["shop.orders"]) == 1 + 4
    assert all(r.status is Status.SKIPPED for r in run(other).values())


def test_a_warehouse_moved_away_while_it_is_held_is_said(tmp_path: Path) -> None:
    """Rows that go into a file that nobody will read are not called done."""
    one = files_project(tmp_path / "one", "warehouse", "append")
    file = one / "data" / "warehouse.duckdb"

    def move(event: Event) -> None:
        if event.name == "claimed" and event.step == "shop.orders/load":
            file.rename(one / "aside")

    results = {r.step: r for r in load(one).run(now=NOW, workers=1, listeners=[move]).results}
    assert results["shop.orders/load"].status is Status.FAILED
    assert "moved away or replaced" in results["shop.orders/load"].error


def test_a_warehouse_that_is_gone_is_said(tmp_path: Path) -> None:
    one = files_project(tmp_path / "one", "warehouse", "append")
    run(one)
    wanted = read_tables(load(one))
    (one / "data" / "warehouse.duckdb").unlink()
    assert any("warehouse.duckdb is gone" in note for note in load(one).plan().notes)
    assert "gone from its store" in load(one).node_statuses()["shop.orders"].error
    told: list[str] = []
    loaded = load(one)
    loaded.run(now=NOW, listeners=[lambda event: told.append(event.data.get("text", ""))])
    assert any("warehouse.duckdb is gone" in text for text in told)
    assert read_tables(load(one)) == wanted
    assert load(one).plan().notes == ()
    assert load(one).node_statuses()["shop.orders"].error == ""


@pytest.mark.parametrize("store", ["lake", "lakehouse"])
def test_a_file_that_is_gone_is_said_everywhere(tmp_path: Path, store: str) -> None:
    one = files_project(tmp_path / "one", store, "append")
    run(one)
    table = one / "data" / store / "shop" / "orders"
    for lost in ("*/_rejects/*.parquet" if store == "lake" else "_headwater/rejects/*.parquet", "**/part-*.parquet"):
        next(iter(table.glob(lost))).unlink()
        assert "is gone" in load(one).plan().steps[0].reason
        assert "is gone" in load(one).node_statuses()["shop.orders"].error
        results = run(one)
        assert results["shop.orders/extract"].status is Status.FAILED
        assert "is gone" in results["shop.orders/extract"].error
        load(one).reset(["shop.orders"])
        assert run(one)["shop.orders/load"].status is Status.DONE


def test_a_run_with_an_earlier_clock_says_so_and_forgets_nothing(tmp_path: Path) -> None:
    one = write(
        files_project(tmp_path / "one", "lakehouse", "merge"),
        {
            "models/marts/daily.sql": "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\n"
            "start: 2026-01-01\nstore: lakehouse\n*/\n"
            "select day, sum(price) as total from shop.orders group by all\n"
        },
    )
    run(one)
    write(one, {"in/1.csv": "id,item,price,day\n1,a,1.50,2026-01-01\n2,b,9.00,2026-01-04\n"})
    told: list[str] = []
    early = NOW.replace(day=2)
    assert any("marts.daily" in note for note in load(one).plan(now=early).notes)
    loaded = load(one)
    loaded.run(now=early, workers=1, listeners=[lambda event: told.append(event.data.get("text", ""))])
    assert any("2026-01-02 00:00:00 UTC, is before" in text and "2026-01-10 00:00:00 UTC" in text for text in told)
    run(one)
    rows = (
        load(one).query("select day::varchar as day, total::varchar as total from marts.daily order by 1").to_pylist()
    )
    assert [(row["day"], row["total"]) for row in rows] == [
        ("2026-01-01", "1.50"), ("2026-01-02", "3.00"), ("2026-01-03", "5.00"), ("2026-01-04", "9.00"),
    ]  # fmt: skip


def test_two_runs_of_one_project(tmp_path: Path) -> None:
    folder = files_project(tmp_path, "lakehouse", "append")
    with Lease(folder / ".headwater"):
        with pytest.raises(BusyError) as caught:
            run(folder)
        assert caught.value.process_id == os.getpid()
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "-p", str(folder), "run", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert str(os.getpid()) in json.loads(done.stdout)["errors"][0]["what"]
    assert run(folder)["shop.orders/load"].status is Status.DONE


@pytest.mark.parametrize("store", ["warehouse", "lakehouse", "lake"])
def test_without_the_journal_everything_unchanged_is_skipped(tmp_path: Path, store: str) -> None:
    folder = files_project(tmp_path, store, "append")
    run(folder)
    versions = {name: state.version for name, state in load(folder).states().items()}
    shutil.rmtree(folder / ".headwater")
    assert {r.status for r in run(folder).values()} == {Status.SKIPPED}
    assert {name: state.version for name, state in load(folder).states().items()} == versions


def test_a_table_dropped_by_hand_is_made_again(tmp_path: Path) -> None:
    import duckdb

    folder = models_project(tmp_path, "warehouse")
    run(folder)
    wanted = read_tables(load(folder))
    with duckdb.connect(str(folder / "data" / "warehouse.duckdb")) as connection:
        connection.execute("DROP TABLE marts.by_key")
    results = run(folder)
    assert results["marts.by_key/transform"].status is Status.DONE
    assert results["raw.events/transform"].status is Status.SKIPPED
    assert read_tables(load(folder)) == wanted


def test_a_lakehouse_table_deleted_by_hand_is_made_again(tmp_path: Path) -> None:
    folder = files_project(tmp_path, "lakehouse", "merge")
    run(folder)
    wanted = read_tables(load(folder))
    shutil.rmtree(folder / "data" / "lakehouse" / "shop" / "orders")
    assert run(folder)["shop.orders/load"].status is Status.DONE
    assert read_tables(load(folder)) == wanted


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_a_table_overwritten_by_hand_stops_and_reset_is_the_way_out(tmp_path: Path, store: str) -> None:
    folder = files_project(tmp_path, store, "append")
    run(folder)
    wanted = read_tables(load(folder))
    if store == "warehouse":
        import duckdb

        with duckdb.connect(str(folder / "data" / "warehouse.duckdb")) as connection:
            connection.execute("CREATE OR REPLACE TABLE shop.orders AS SELECT 1 AS id")
    else:
        from deltalake import DeltaTable

        DeltaTable(str(folder / "data" / "lakehouse" / "shop" / "orders")).delete("id = 1")
    change_files(folder, "append")
    failed = run(folder)
    assert failed["shop.orders/extract"].status is Status.FAILED
    assert "run --reset shop.orders" in failed["shop.orders/extract"].error
    assert failed["marts.totals/transform"].status is Status.BLOCKED
    load(folder).reset(["shop.orders"])
    assert run(folder)["shop.orders/load"].status is Status.DONE
    after = read_tables(load(folder))
    assert len(after["shop.orders"]) > len(wanted["shop.orders"])


def test_a_restored_delta_table_is_seen(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    folder = files_project(tmp_path, "lakehouse", "append")
    run(folder)
    change_files(folder, "append")
    run(folder)
    DeltaTable(str(folder / "data" / "lakehouse" / "shop" / "orders")).restore(0)
    write(folder, {"in/9.csv": "id,item,price,day\n70,z,1.00,2026-02-01\n"})
    failed = run(folder)
    assert failed["shop.orders/extract"].status is Status.FAILED
    assert "run --reset" in failed["shop.orders/extract"].error


FULL_DISK = """
import resource, sys
from headwater.api import load
import duckdb, pyarrow, deltalake
loaded = load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
run = loaded.run(workers=1)
for result in run.results:
    print(result.step, result.status.value, result.error)
"""


@pytest.mark.parametrize("store", ["warehouse", "lakehouse", "lake"])
def test_a_full_disk_loses_nothing(tmp_path: Path, store: str) -> None:
    folder = files_project(tmp_path, store, "append")
    run(folder)
    before = read_tables(load(folder))
    rows = "".join(f"{n},item {n * 7919 % 100_003},{n % 900}.25,2026-02-01\n" for n in range(100, 90_000))
    write(folder, {"in/8.csv": f"id,item,price,day\n{rows}"})
    biggest = max(
        f.stat().st_size for f in folder.rglob("*") if f.is_file() and "data" in f.parts and f.suffix != ".csv"
    )
    limit = max(biggest + 4096, 40_000)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder), str(limit)], capture_output=True, text=True, check=False
    )
    assert "shop.orders/load failed" in done.stdout, done.stdout + done.stderr
    assert read_tables(load(folder)) == before
    assert run(folder)["shop.orders/load"].status is Status.DONE
    assert len(read_tables(load(folder))["shop.orders"]) == len(before["shop.orders"]) + 89_900


def test_a_missing_staged_file_is_said(tmp_path: Path) -> None:
    """A staged Parquet file vanishes between extract and commit: the load fails, the next one reads again."""
    folder = files_project(tmp_path, "lakehouse", "append")
    rows = "".join(f"{n},item,1.25,2026-02-01\n" for n in range(100, 110))
    write(folder, {f"in/big{n}.csv": f"id,item,price,day\n{rows}" for n in range(3)})

    def lose(event: Event) -> None:
        if event.name == "step_started" and event.step == "shop.orders/load":
            for file in (folder / "data" / "lakehouse").rglob("*.parquet"):
                file.unlink()

    loaded = load(folder)
    source = next(iter(loaded.project.declared(SourceTable).values()))
    assert source.name == "shop.orders"
    results = {r.step: r for r in loaded.run(now=NOW, workers=1, listeners=[lose]).results}
    staged = results["shop.orders/load"].status is Status.FAILED
    if staged:
        assert "staged" in results["shop.orders/load"].error
    assert run(folder)["shop.orders/load"].status in (Status.DONE, Status.SKIPPED)
    assert len(read_tables(load(folder))["shop.orders"]) == 1 + 4 + 30


def test_resource_limits_are_ours_alone() -> None:
    """The limit above was set in a child: this process may still write."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
