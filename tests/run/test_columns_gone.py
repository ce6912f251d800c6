"""A declared column that its source no longer gives, rows that lose against older ones, and files of rejects."""

from __future__ import annotations

import gzip
import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.api import load
from headwater.errors import ProjectErrors
from tests.run.runner import put, rows, run, run_well

MODEL = {"headwater.yaml": "name: gone\n", "models/m/x.sql": "select sku, sum(price) as total from s.t group by all\n"}


def table(options: str, kind: str = "files") -> str:
    return f"kind: {kind}\ntables:\n  t: {{{options}}}\n"


def give(folder: Path, kind: str, name: str) -> str:
    """Write two rows of (`name`, price) as a kind; return the source file."""
    if kind == "parquet":
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table({name: ["a", "b"], "price": [1, 2]}), folder / "t.parquet")
        return table("path: t.parquet, columns: {sku: varchar, price: bigint}")
    if kind == "sqlite":
        (folder / "t.db").unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        with closing(sqlite3.connect(folder / "t.db")) as database, database:
            database.execute(f"CREATE TABLE t ({name} TEXT, price INTEGER)")
            database.executemany("INSERT INTO t VALUES (?, ?)", [("a", 1), ("b", 2)])
        return "kind: sqlite\npath: t.db\ntables:\n  t: {columns: {sku: varchar, price: bigint}}\n"
    lines = {
        "csv": f"{name},price\na,1\nb,2\n",
        "jsonl": f'{{"{name}": "a", "price": 1}}\n{{"{name}": "b", "price": 2}}\n',
        "json": f'[{{"{name}": "a", "price": 1}}, {{"{name}": "b", "price": 2}}]',
    }
    put(folder, {f"t.{kind}": lines[kind]})
    return table(f"path: t.{kind}, columns: {{sku: varchar, price: bigint}}")


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite", "jsonl", "json"])
def test_a_declared_column_that_is_gone_fails_the_load(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {**MODEL, "sources/s.yaml": give(tmp_path, kind, "sku")})
    run_well(tmp_path)
    give(tmp_path, kind, "product_code")
    if "json" not in kind:  # of JSON only its rows tell
        plan = load(tmp_path).plan()
        assert [str(one) for one in plan.breaks] == [
            "s.t: column sku is declared and gone from the source: its load will fail; "
            "hits m.x.sku (value), m.x (group)"
        ]
        with pytest.raises(ProjectErrors, match="no column sku, which is declared"):
            load(tmp_path).check()
    results = run(tmp_path)
    failed = [result.error for result in results.values() if result.error]
    assert any("sku" in error and "optional: true" in error for error in failed)
    assert rows(tmp_path, "select * from m.x order by 1") == [("a", 1), ("b", 2)]


def test_one_renamed_file_among_many_fails_the_load(tmp_path: Path) -> None:
    put(tmp_path, {**MODEL, "in/1.csv": "sku,price\na,1\n", "in/2.csv": "product,price\nb,2\n"})
    put(tmp_path, {"sources/s.yaml": table('path: "in/*.csv", columns: {sku: varchar, price: bigint}')})
    assert "in/2.csv has no column sku" in run(tmp_path)["s.t/extract"].error
    optional = 'path: "in/*.csv", columns: {sku: {type: varchar, optional: true}, price: bigint}'
    put(tmp_path, {"sources/s.yaml": table(optional)})
    run_well(tmp_path)
    assert rows(tmp_path, "select sku, price from s.t order by price") == [("a", 1), (None, 2)]


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_json_without_any_declared_key_or_in_another_case(tmp_path: Path, kind: str) -> None:
    def wrap(*lines: str) -> str:
        return "\n".join(lines) + "\n" if kind == "jsonl" else f"[{','.join(lines)}]"

    put(tmp_path, {**MODEL, "sources/s.yaml": table(f"path: t.{kind}, columns: {{sku: varchar, price: bigint}}")})
    put(tmp_path, {f"t.{kind}": wrap('{"a": 1}', '{"b": 2}')})
    assert "none of the declared columns (sku, price) is among the keys: a, b" in run(tmp_path)["s.t/extract"].error
    put(tmp_path, {f"t.{kind}": wrap('{"SKU": "a", "price": 1}')})
    assert "column 'sku' is declared, and the key is 'SKU'" in run(tmp_path)["s.t/extract"].error
    good = ['{"sku": "a", "price": 1}'] * 300
    put(tmp_path, {f"t.{kind}": wrap(*good, '{"Sku": "b", "price": 2}', '{"sku": "c", "sku": "d"}')})
    run_well(tmp_path)
    assert rows(tmp_path, "select sku, count(*) from s.t group by all") == [("a", 300)]
    reasons = rows(tmp_path, "select rule, reason from quarantine.s__t order by reason")
    assert reasons == [("json", "a key is there twice: sku"), ("json", "keys in another case than declared: sku")]


def test_a_rare_key_of_json_may_be_missing_from_an_increment(tmp_path: Path) -> None:
    put(tmp_path, {**MODEL, "in/1.jsonl": '{"sku": "a", "price": 1}\n{"sku": "b"}\n'})
    options = 'path: "in/*.jsonl", load: incremental, columns: {sku: varchar, price: bigint}'
    put(tmp_path, {"sources/s.yaml": table(options)})
    run_well(tmp_path)
    put(tmp_path, {"in/2.jsonl": '{"sku": "c"}\n'})
    run_well(tmp_path)
    put(tmp_path, {"in/3.jsonl": '{"price": 5}\n'})
    assert "no row of the load has the key 'sku'" in run(tmp_path)["s.t/load"].error
    assert rows(tmp_path, "select count(*) from s.t") == [(3,)]


@pytest.mark.parametrize("key", ["", "key: sku, "])
def test_a_changed_file_of_rejects_keeps_its_rows(tmp_path: Path, key: str) -> None:
    columns = "columns: {sku: bigint, day: date}"
    put(tmp_path, {"headwater.yaml": "name: x\n", "in/1.csv": "sku,day\n1,2024-01-01\n2,2024-01-02\n"})
    put(tmp_path, {"in/2.csv": "sku,day\n3,2024-01-03\n"})
    put(tmp_path, {"sources/s.yaml": table(f'path: "in/*.csv", load: incremental, {key}{columns}')})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": "sku,day\n1,01.01.2024\n2,02.01.2024\n"})
    error = run(tmp_path)["s.t/load"].error
    assert "in/1.csv changed and all its rows are rejects; the load would remove the 2 rows it gave" in error
    assert rows(tmp_path, "select sku from s.t order by 1") == [(1,), (2,), (3,)]
    put(tmp_path, {"sources/s.yaml": table(f'path: "in/*.csv", load: incremental, allow_empty: true, {key}{columns}')})
    run_well(tmp_path)
    assert rows(tmp_path, "select sku from s.t order by 1") == [(3,)]
    put(tmp_path, {"sources/s.yaml": table(f'path: "in/*.csv", load: incremental, {key}{columns}')})
    put(tmp_path, {"in/2.csv": "sku,day\n"})
    assert "this load would remove the 1 rows there are" in run(tmp_path)["s.t/load"].error


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_rejects_of_json_lines_say_where_they_stand(tmp_path: Path, name: str) -> None:
    lines = [
        '{"sku": "a", "price": 1}',
        '{"sku": "b", "price": 1.5}',
        "",
        "  nonsense",
        '{"sku": "c", "price": true}  ',
        "7",
    ]
    put(tmp_path, {"headwater.yaml": "name: x\n"})
    text = "\n".join([*lines, lines[1]]) + "\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    put(tmp_path, {"sources/s.yaml": table(f"path: {name}, columns: {{sku: varchar, price: bigint}}")})
    run_well(tmp_path)
    found = rows(tmp_path, "select _line, rule from quarantine.s__t order by _line")
    assert found == [(2, "cast"), (4, "json"), (5, "cast"), (6, "json")]  # line 7 is the same row as line 2


@pytest.mark.parametrize(
    "rule", ["reject_if: {odd: cast(sku as bigint) % 2 = 1}", "prepare: [{sql: {n: cast(sku as bigint)}}]"]
)
def test_an_expression_that_fails_on_a_value_says_so(tmp_path: Path, rule: str) -> None:
    put(tmp_path, {"headwater.yaml": "name: x\n", "t.csv": "sku,price\n1,1\nx,2\n"})
    put(tmp_path, {"sources/s.yaml": table(f"path: t.csv, columns: {{sku: varchar, price: bigint}}, {rule}")})
    error = run(tmp_path)["s.t/extract"].error
    assert error.startswith("sources/s.yaml:3: s.t: an expression of reject_if or prepare fails on a value: ")
    assert "Could not convert string 'x' to INT64" in error
    assert "try_cast" in error


ROW = st.tuples(st.integers(1, 3), st.integers(1, 9))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(loads=st.lists(st.lists(ROW, min_size=1, max_size=4), min_size=1, max_size=3))
@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_the_highest_cursor_wins_in_whatever_order_loads_come(
    tmp_path_factory: pytest.TempPathFactory, store: str, loads: list[list[tuple[int, int]]]
) -> None:
    """Rows of one key come in several loads: the one with the highest cursor stays, the later of equal ones."""
    folder = tmp_path_factory.mktemp("cursor")
    columns = "columns: {sku: bigint, at: bigint, price: bigint}"
    put(folder, {"headwater.yaml": "name: x\n"})
    options = f'path: "in/*.csv", load: incremental, key: sku, cursor: at, into: {store}, {columns}'
    put(folder, {"sources/s.yaml": table(options)})
    number = itertools.count()
    best: dict[int, tuple[int, int]] = {}
    for index, load_rows in enumerate(loads):
        text, winners = "sku,at,price\n", {}
        for sku, at in load_rows:
            price = next(number)
            text += f"{sku},{at},{price}\n"
            if sku not in winners or at > winners[sku][0]:
                winners[sku] = (at, price)
        for sku, found in winners.items():
            if sku not in best or found[0] >= best[sku][0]:
                best[sku] = found
        put(folder, {f"in/{index}.csv": text})
        run_well(folder)
        there: list[Any] = rows(folder, 'select sku, "at", price from s.t order by 1')
        assert there == [(sku, *found) for sku, found in sorted(best.items())]
