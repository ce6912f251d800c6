"""Views over what is not there yet must not fail a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tests.run.runner import HEADER, put, rows, run, run_well, source, statuses

if TYPE_CHECKING:
    from pathlib import Path

VIEW = "/* headwater\nmaterialize: view\n*/\n"


def test_views_over_a_failed_load(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "sources/shop.yaml": source("warehouse", "max_rejected: 0"),
            "in/1.csv": HEADER + "1,a,oops\n",
            "models/v/a.sql": f"{VIEW}select * from shop.orders\n",
            "models/v/b.sql": f"{VIEW}select * from v.a\n",
            "models/m/one.sql": "select 1 as one\n",
        },
    )
    assert statuses(run(tmp_path))["shop.orders/load"] == "failed"
    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n"})
    run_well(tmp_path)
    assert rows(tmp_path, "select id from v.b") == [(1,)]
    put(tmp_path, {"sources/shop.yaml": source("lakehouse")})
    run_well(tmp_path)
    assert rows(tmp_path, "select id from v.b") == [(1,)]


def stored(folder: Path, sql: str) -> list[tuple[object, ...]]:
    """Read the warehouse's file alone."""
    with duckdb.connect(str(folder / "data/warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_stored_view_follows_the_columns_it_stands_on(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "models/m/a.sql": "select 1 as one\n",
            "models/v/a.sql": f"{VIEW}select * from m.a\n",
            "models/v/b.sql": f"{VIEW}select * from v.a\n",
        },
    )
    run_well(tmp_path)
    assert stored(tmp_path, "from v.b") == [(1,)]
    put(tmp_path, {"models/m/a.sql": "select 1 as one, 2 as two\n"})
    run_well(tmp_path)
    assert stored(tmp_path, "from v.b") == [(1, 2)]
    put(tmp_path, {"models/v/a.sql": "select * from m.a\n"})
    run_well(tmp_path)
    assert stored(tmp_path, "from v.b") == [(1, 2)]
    (tmp_path / "models/v/b.sql").unlink()
    run_well(tmp_path)
    assert stored(tmp_path, "select view_name from duckdb_views() where schema_name = 'v'") == []


def test_a_view_that_does_not_fit_its_failed_input_is_told(tmp_path: Path) -> None:
    put(tmp_path, {"models/m/a.sql": "select 1 as one\n", "models/v/a.sql": f"{VIEW}select one from m.a\n"})
    run_well(tmp_path)
    changed = "select 1 as two, error('no') as no\n"
    put(tmp_path, {"models/m/a.sql": changed, "models/v/a.sql": f"{VIEW}select two from m.a\n"})
    told: list[str] = []
    results = run(tmp_path, listeners=[lambda e: told.append(e.data["text"]) if e.name == "warning" else None])
    assert statuses(results) == {"m.a/transform": "failed"}
    assert len(told) == 1
    assert 'not stored in the warehouse\'s file: SQL: Referenced column "two" not found' in told[0]
    assert stored(tmp_path, "from v.a") == [(1,)]
