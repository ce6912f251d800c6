"""Models of every kind through whole runs: Python, snapshots, keys, intervals, and what stops them."""

from __future__ import annotations

import os
import sys
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.run import Status
from headwater.plan import observe
from headwater.sources.files.source import Files
from tests.run.projects import STORES
from tests.run.runner import HEADER, NOW, put, rows, run, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.contracts import TableDescription

PYTHON = (
    "import headwater as hw\n\n\n@hw.model(inputs={{'orders': 'shop.orders'}}, store='{}')\n"
    "def py(orders: hw.Relation) -> hw.Relation:\n    {}\n"
)


def project(folder: Path, store: str, body: str) -> Path:
    return put(
        folder,
        {
            "sources/shop.yaml": source(store),
            "in/1.csv": HEADER + "1,a,1\n2,b,2\n",
            "models/m/py.py": PYTHON.format(store, body),
            "models/m/n.sql": "select count(*) as n from m.py\n",
        },
    )


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("to", ["", ".to_arrow_table()", ".df()", ".pl()", ".to_arrow_reader()"])
def test_a_python_model_gives_any_kind_of_rows(tmp_path: Path, store: str, to: str) -> None:
    project(tmp_path, store, f"return orders.filter('id > 1'){to}")
    run_well(tmp_path)
    assert rows(tmp_path, "select id from m.py") == [(2,)]
    assert rows(tmp_path, "from m.n") == [(1,)]
    assert set(statuses(run_well(tmp_path)).values()) == {"skipped"}
    project(tmp_path, store, f"return orders.filter('id > 0'){to}")
    changed = run_well(tmp_path)
    assert changed["m.py/transform"].reason == "its SQL or header changed"
    assert rows(tmp_path, "from m.n") == [(2,)]


@pytest.mark.parametrize("changed", ["models/m/py.py", "models/m/_shared.py", "helpers/deep/__init__.py"])
def test_a_changed_file_of_the_same_size_and_second_is_read_anew(
    tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    lines = ("from _shared import A", "from helpers.deep import B", "return orders.filter(f'id > 1 - {A} - {B}')")
    body = "\n    ".join(lines)
    project(tmp_path, "warehouse", body)
    put(tmp_path, {"models/m/_shared.py": "A = 0\n", "helpers/deep/__init__.py": "B = 0\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "from m.n") == [(1,)]
    file = tmp_path / changed
    before = file.stat()
    file.write_text(file.read_text().replace("id > 1 -", "id > 0 -").replace(" = 0", " = 1"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    run_well(tmp_path)
    assert rows(tmp_path, "from m.n") == [(2,)]


def model(name: str, lines: str) -> str:
    return f"import headwater as hw\n\n\n@hw.model(inputs={{}})\ndef {name}():\n    import pyarrow as pa\n    {lines}\n"


def test_models_at_once_get_the_helpers_beside_them(tmp_path: Path) -> None:
    for number in range(8):
        lines = "import time\n    time.sleep(0.01)\n    from _shared import X\n    return pa.table({'x': [X]})"
        put(tmp_path, {f"models/m{number}/_shared.py": f"X = {number}\n", f"models/m{number}/a.py": model("a", lines)})
    put(tmp_path, {"headwater.yaml": "name: p\n"})
    run_well(tmp_path, workers=4)
    assert [rows(tmp_path, f"from m{number}.a") for number in range(8)] == [[(number,)] for number in range(8)]


@pytest.mark.parametrize("place", ["p", "site-packages/p"])
def test_a_package_without_a_file_of_its_own_is_read_anew(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    put(folder, {"headwater.yaml": "name: p\n", "spaces/deep.py": "X = 1\n"})
    put(folder, {"models/m/a.py": model("a", "from spaces import deep\n    return pa.table({'x': [deep.X]})")})
    for value in (1, 22, 333):
        put(folder, {"spaces/deep.py": f"X = {value}\n"})
        run_well(folder)
        assert rows(folder, "from m.a") == [(value,)]


def test_what_python_knows_beside_text_is_imported_as_ever(tmp_path: Path) -> None:
    put(tmp_path, {"headwater.yaml": "name: p\n"})
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed_module.py", "X = 7\n")
    lines = f"import sys\n    sys.path.append({str(tmp_path / 'packed.zip')!r})\n    from packed_module import X\n"
    put(tmp_path, {"models/m/a.py": model("a", f"{lines}    return pa.table({{'x': [X]}})")})
    header = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
    marked = "\n\n@dataclass\nclass Row:\n    kind: ClassVar[str] = 'x'\n    value: int = 5\n\n\n"
    put(tmp_path, {"models/m/b.py": header + marked + model("b", "return pa.table({'x': [Row().value]})")})
    try:
        run_well(tmp_path)
    finally:
        sys.path[:] = [path for path in sys.path if not path.endswith("packed.zip")]
    assert (rows(tmp_path, "from m.a"), rows(tmp_path, "from m.b")) == ([(7,)], [(5,)])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('no such thing')", "models/m/py.py:6: ValueError: no such thing"),
        ("return 7", "py() returned int"),
        ("return orders.filter('idd > 1')", "models/m/py.py:6: "),
        ("return orders.project('error(item) as x')", "models/m/py.py"),
        ("import nothing_here", "ModuleNotFoundError: No module named 'nothing_here'"),
    ],
)
def test_an_error_in_a_python_model_names_its_line(tmp_path: Path, body: str, says: str) -> None:
    results = run(project(tmp_path, "warehouse", body))
    assert says in results["m.py/transform"].error
    assert results["m.n/transform"].status is Status.BLOCKED


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_a_snapshot_keeps_what_was(tmp_path: Path, store: str) -> None:
    head = f"/* headwater\nstore: {store}\nmaterialize: snapshot\nkey: id\n*/\n"
    put(tmp_path, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n2,b,2\n"})
    put(tmp_path, {"models/m/s.sql": f"{head}select id, item from shop.orders\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "1,A,1\n3,c,3\n"})
    run_well(tmp_path, now=NOW + timedelta(days=1))
    found = rows(tmp_path, "select id, item, valid_to is null, (valid_to - valid_from)::varchar from m.s")
    assert found == [(1, "A", True, None), (1, "a", False, "1 day"), (2, "b", True, None), (3, "c", True, None)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_a_model_with_a_key_writes_what_differs(tmp_path: Path, store: str) -> None:
    head = f"/* headwater\nstore: {store}\nmaterialize: incremental\nkey: id\n*/\n"
    put(tmp_path, {"sources/shop.yaml": source(store), "in/1.csv": HEADER + "1,a,1\n2,b,2\n"})
    put(tmp_path, {"models/m/k.sql": f"{head}select id, item from shop.orders\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "1,a,7\n3,c,3\n"})
    result = run_well(tmp_path)["m.k/transform"]
    assert (result.rows, result.rows_inserted, result.rows_deleted) == (2, 1, 1)
    put(tmp_path, {"in/1.csv": HEADER + "1,a,8\n3,c,3\n"})
    assert run_well(tmp_path)["m.k/transform"].status is Status.UNCHANGED
    put(tmp_path, {"in/1.csv": HEADER + "1,a,8\n1,b,8\n"})
    assert "key that stands twice" in run(tmp_path)["m.k/transform"].error


def test_intervals_that_lie_ahead_are_empty(tmp_path: Path) -> None:
    head = "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2030-01-01\n*/\n"
    put(tmp_path, {"models/m/i.sql": f"{head}select date '2030-01-02' as day\n"})
    assert run_well(tmp_path)["m.i/transform"].rows == 0
    assert run_well(tmp_path)["m.i/transform"].status is Status.SKIPPED


@pytest.mark.parametrize("store", STORES)
def test_now_makes_a_model_run_when_the_clock_moves(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"models/m/t.sql": f"/* headwater\nstore: {store}\n*/\nselect $now::varchar as at\n"})
    run_well(tmp_path)
    assert run_well(tmp_path)["m.t/transform"].status is Status.SKIPPED
    assert run_well(tmp_path, now=NOW + timedelta(hours=1))["m.t/transform"].reason == "uses $now"
    assert rows(tmp_path, "from m.t") == [("2026-01-10 01:00:00+00",)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_kept_history_is_not_computed_again(tmp_path: Path, store: str) -> None:
    """Changed SQL is recorded without a row when no interval is due; those to come are computed with it."""
    head = f"/* headwater\nstore: {store}\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2026-01-09\n*/\n"
    query = "select date '2026-01-09' + i::int as day, {} as v from range(9) as r(i)\n"
    put(tmp_path, {"models/m/i.sql": head + query.format(1)})
    run_well(tmp_path)
    put(tmp_path, {"models/m/i.sql": head + query.format(2)})
    kept = run_well(tmp_path, keep_history=True)["m.i/transform"]
    assert (kept.status, kept.reason) == (Status.UNCHANGED, "its SQL or header changed; what is there is kept")
    assert rows(tmp_path, "select v from m.i") == [(1,), (1,)]
    run_well(tmp_path, now=NOW + timedelta(days=1))
    assert rows(tmp_path, "select v from m.i order by day") == [(1,), (1,), (2,)]


def test_a_table_of_others_is_never_written(tmp_path: Path) -> None:
    import duckdb

    put(tmp_path, {"models/m/a.sql": "select 1 as one\n", "models/m/b.sql": "select * from m.a\n"})
    run_well(tmp_path)
    with duckdb.connect(str(tmp_path / "data/warehouse.duckdb")) as connection:
        connection.execute("CREATE OR REPLACE TABLE m.a AS SELECT 7 AS seven")
    results = run(tmp_path)
    assert "was replaced by somebody else" in results["m.a/transform"].error
    assert "headwater run --reset m.a" in results["m.a/transform"].error
    assert results["m.b/transform"].status is Status.BLOCKED
    load(tmp_path).reset(["m.a"])
    run_well(tmp_path)
    assert rows(tmp_path, "from m.b") == [(1,)]


def test_failed_checks_name_every_one_with_its_own_sample(tmp_path: Path) -> None:
    checks = (
        "checks:\n  - {sql: select * from this where n = 1, name: twin}\n"
        "  - {sql: select * from this where n = 2, name: twin}\n"
        "  - {row_count: {min: 9}}\n  - {column: at, freshness: 1d}\n  - {unique: n, severity: warning}\n"
    )
    put(
        tmp_path,
        {"models/m/a.sql": f"/* headwater\n{checks}*/\nselect n, date '2026-01-01' as at from range(3) t(n)\n"},
    )
    error = run(tmp_path)["m.a/transform"].error
    assert error.startswith("models/m/a.sql:")
    assert error.splitlines()[1:] == [
        "  error: twin: 1 of 3 rows, for example (n=1, at=2026-01-01)",
        "  error: twin: 1 of 3 rows, for example (n=2, at=2026-01-01)",
        "  error: row_count(9..): 1 of 3 rows (3 rows)",
        "  error: freshness(at, 1d): 1 of 3 rows (newest is 2026-01-01)",
    ]


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    put(tmp_path, {"models/m/a.sql": "/* headwater\nstore: lake\n*/\nselect 1 as one\n"})
    put(tmp_path, {"sources/shop.yaml": source("lake"), "in/1.csv": HEADER + "1,a,1\n"})
    put(tmp_path, {"data": "a file where the folder should be"})
    results = run(tmp_path)
    assert results["m.a/transform"].error.startswith("models/m/a.sql:")
    assert "data" in results["m.a/transform"].error
    assert results["shop.orders/load"].error.startswith("sources/shop.yaml:3: Not a directory: ")


@pytest.mark.parametrize("mode", ["", "load: incremental"])
def test_a_source_that_says_nothing_of_its_version(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at every run, and writes nothing when there is nothing new."""
    put(tmp_path, {"sources/shop.yaml": source("lake", mode), "in/1.csv": HEADER + "1,a,1\n"})
    describe = Files.describe

    def without_version(*asked: Any) -> dict[str, TableDescription]:
        return {name: replace(about, version=None) for name, about in describe(*asked).items()}

    monkeypatch.setattr(Files, "describe", without_version)
    run_well(tmp_path)
    again = run_well(tmp_path)
    assert again["shop.orders/extract"].reason == "asked at run"
    assert (again["shop.orders/load"].status, again["shop.orders/load"].rows) == (Status.UNCHANGED, 1)
    assert again["shop.orders/load"].reason == "the source gave nothing new"
    assert load(tmp_path).states()["shop.orders"].commit.sequence == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("known", [True, False])
def test_what_was_not_reached_at_plan_is_not_read_again(
    tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked at run, and skipped when it has not changed; what was last observed is no answer."""
    put(tmp_path, {"sources/shop.yaml": source("lake", "load: full"), "in/1.csv": HEADER + "1,a,1\n"})
    if known:
        load(tmp_path).plan(now=NOW)
    monkeypatch.setattr(observe, "_ask_sources", lambda *_: observe._Answers())
    read: list[str] = []

    def listen(event: Any) -> None:
        if event.name == "chunk_read":
            read.append(event.step)

    assert run_well(tmp_path, listeners=[listen])["shop.orders/load"].rows == 1
    again = run_well(tmp_path, listeners=[listen])
    assert [again[f"shop.orders/{step}"].status for step in ("extract", "load")] == [Status.SKIPPED] * 2
    assert again["shop.orders/load"].reason == "the source has not changed"
    assert len(read) == 1
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n2,b,2\n"})
    assert run_well(tmp_path)["shop.orders/load"].rows == 2


def test_a_source_table_of_others_is_never_written(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    put(tmp_path, {"sources/shop.yaml": source("lakehouse"), "in/1.csv": HEADER + "1,a,1\n2,b,2\n"})
    run_well(tmp_path)
    DeltaTable(str(tmp_path / "data/lakehouse/shop/orders")).delete("id = 1")
    error = run(tmp_path)["shop.orders/extract"].error
    assert error.startswith("sources/shop.yaml:")
    assert "headwater run --reset shop.orders" in error
