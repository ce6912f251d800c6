"""Bad and odd input through source, store, model and query: every row is landed or quarantined, every name survives."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from headwater.api import load
from headwater.errors import ProjectErrors
from tests.run.projects import STORES
from tests.run.runner import HEADER, put, rows, run, run_well, source

if TYPE_CHECKING:
    from pathlib import Path

QUARANTINE = "select _file, rule from quarantine.shop__orders"
QUOTES = ("", chr(34))
BIG = "x" * 5_000_000

FILES: dict[str, tuple[bytes, int, list[str]]] = {
    "bom.csv": (b"\xef\xbb\xbf" + (HEADER + "1,a,1\n").encode(), 1, []),
    "crlf.csv": ((HEADER + '1,"two\nlines",1\n2,b,2\n').replace("\n", "\r\n").encode(), 2, []),
    "nul.csv": ((HEADER + "1,a\0b,1\n2,b,2\n").encode(), 1, ["nul_byte"]),
    "fields.csv": ((HEADER + "1,a\n2,b,2,3\n3,c,3\n\n").encode(), 1, ["too_few_fields", "too_many_fields"]),
    "latin.csv": ((HEADER + "1,Käse,1\n2,b,2\n").encode("latin-1"), 1, ["encoding"]),
    "open.csv": ((HEADER + '1,a,1\n2,"b,2\n3,c,3\n').encode(), 1, ["quote"]),
    "big.csv": ((HEADER + f"1,{BIG},1\n2,b,2\n").encode(), 2, []),
    "last.csv": ((HEADER + "1,a,1").encode(), 1, []),
    "numbers.csv": ((HEADER + "1e3,a,1\n99999999999999999999,b,1\n3,c,1234567.005\n").encode(), 0, ["cast"] * 3),
    "empty.csv": (b"", 0, []),
    "header.csv": (HEADER.encode(), 0, []),
}


@pytest.mark.parametrize("store", STORES)
def test_damaged_files_add_up(tmp_path: Path, store: str) -> None:
    files: dict[str, str | bytes] = {f"in/{name}": content for name, (content, _, _) in FILES.items()}
    put(tmp_path, {"sources/shop.yaml": source(store, "load: incremental"), **files})
    put(tmp_path, {"models/m/n.sql": "select count(*) as n, max(length(item)) as longest from shop.orders\n"})
    results = run_well(tmp_path)
    found = dict(rows(tmp_path, "select _file, count(*) from system.shop__orders group by all"))
    rejects = rows(tmp_path, QUARANTINE)
    for name, (_, good, rules) in FILES.items():
        told = sorted(rule for file, rule in rejects if file == f"in/{name}")
        if name != "numbers.csv":
            assert (name, found.get(f"in/{name}", 0), told) == (name, good, rules)
        assert found.get(f"in/{name}", 0) + len(told) == good + len(rules), name
    landed = results["shop.orders/load"]
    assert landed.rows == sum(found.values())
    assert landed.rejected == len(rejects)
    assert rows(tmp_path, "from m.n") == [(landed.rows, 5_000_000)]


@pytest.mark.parametrize("store", STORES)
def test_latin_1_when_it_is_declared(tmp_path: Path, store: str) -> None:
    put(tmp_path, {"sources/shop.yaml": source(store, "encoding: latin-1")})
    put(tmp_path, {"in/1.csv": (HEADER + "1,Käse ½,1\n").encode("latin-1")})
    run_well(tmp_path)
    assert rows(tmp_path, "select item from shop.orders") == [("Käse ½",)]


NAMES = ["select", "my col", 'quo"te', "it's", "🦆", "Größe", "a.b", "tab\tname", "x;--", "1st", "_x", "$now", "NULL"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", ["", "load: incremental\nkey: select"])
def test_names_that_have_to_be_quoted(tmp_path: Path, store: str, mode: str) -> None:
    if store == "lake" and mode:
        pytest.skip("the lake does not merge")
    doubled = ['"' + name.replace('"', '""') + '"' for name in NAMES]
    declared = ", ".join('"' + name.replace('"', '\\"').replace("\t", "\\t") + '": bigint' for name in NAMES)
    head = ",".join(doubled) + "\n"
    put(
        tmp_path,
        {
            "sources/shop.yaml": source(store, mode, f"columns: {{{declared}}}"),
            "in/1.csv": head + ",".join(str(n) for n in range(len(NAMES))) + "\n" + "x," * (len(NAMES) - 1) + "0\n",
            "models/m/a.sql": f"/* headwater\nstore: {store}\n*/\nselect *, {' + '.join(doubled)} as total "
            "from shop.orders\n",
        },
    )
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": head + ",".join(str(n + 100) for n in range(len(NAMES))) + "\n"})
    run_well(tmp_path)
    table = load(tmp_path).query("from m.a order by total")
    assert table.column_names == [*NAMES, "total"]
    assert [list(row.values())[:-1] for row in table.to_pylist()] == [
        list(range(len(NAMES))), [n + 100 for n in range(len(NAMES))],
    ]  # fmt: skip
    raw = load(tmp_path).query("select raw from quarantine.shop__orders").column("raw").to_pylist()
    assert len(raw) == 1


@pytest.mark.parametrize("store", STORES)
def test_names_that_differ_in_case_only_are_refused(tmp_path: Path, store: str) -> None:
    put(
        tmp_path,
        {"sources/shop.yaml": source(store, "", "columns: {id: bigint, ID: bigint}"), "in/1.csv": "id,ID\n1,2\n"},
    )
    with pytest.raises(ProjectErrors, match="differ only in case"):
        run(tmp_path)


@pytest.mark.parametrize("name", ["_batch", "_file", "_hw_x", "_line"])
def test_reserved_names_of_a_source_are_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"in/1.csv": f"id,{name}\n1,2\n", "sources/shop.yaml": source("lake", "", "columns: {id: bigint}")})
    error = run(tmp_path)["shop.orders/extract"].error
    assert f"column '{name}' has a name that is reserved" in error


@pytest.mark.parametrize("store", STORES)
def test_file_names_that_look_like_patterns_or_partitions(tmp_path: Path, store: str) -> None:
    names = ["in/a b.csv", "in/it's.csv", "in/[1].csv", "in/x=1.csv", "in/🦆.csv", 'in/q".csv', "in/100%.csv"]
    files: dict[str, str | bytes] = {name: f"{HEADER}{n},a,1\n" for n, name in enumerate(names)}
    put(tmp_path, {"sources/shop.yaml": source(store, "load: incremental"), **files})
    run_well(tmp_path)
    found = rows(tmp_path, "select id, _file from system.shop__orders")
    assert found == [(n, name) for n, name in enumerate(names)]
    if store != "lake":
        for name in names:
            put(tmp_path, {name: f"{HEADER}7,b,1\n"})
        run_well(tmp_path)
        assert len(rows(tmp_path, "select id, _file from system.shop__orders where id = 7")) == len(names)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, {"sources/shop.yaml": source("lake"), "in/1.csv": HEADER})
    (tmp_path / "in/2.csv").symlink_to(tmp_path / "gone.csv")
    assert "in/2.csv is a link to" in run(tmp_path)["shop.orders/extract"].error
    os.unlink(tmp_path / "in/2.csv")
    (tmp_path / "in/2.csv").mkdir()
    assert run_well(tmp_path)["shop.orders/load"].rows == 0


@pytest.mark.parametrize("store", STORES)
def test_odd_names_and_values_of_a_database(tmp_path: Path, store: str) -> None:
    with closing(sqlite3.connect(tmp_path / "in.db")) as database, database:
        database.execute('CREATE TABLE "or""ders" ("select" INTEGER PRIMARY KEY, "my 🦆" TEXT, blob BLOB)')
        values = [
            (1, "a\0b", b"\0\xff"),
            (2, "", b""),
            (3, None, None),
            (4, "x" * 100_000, b"y"),
            (5, "\ud7ff\ue000", b"z"),
        ]
        database.executemany('INSERT INTO "or""ders" VALUES (?, ?, ?)', values)
    table = f"{{table: 'or\"ders', into: {store}}}"
    put(tmp_path, {"sources/shop.yaml": f"kind: sqlite\npath: in.db\ntables:\n  orders: {table}\n"})
    put(
        tmp_path,
        {"models/m/a.sql": 'select "select" as n, length("my 🦆") as l, octet_length(blob) as b from shop.orders\n'},
    )
    landed = run_well(tmp_path)["shop.orders/load"]
    assert (landed.rows, landed.rejected) == (4, 1)
    assert rows(tmp_path, "from m.a") == [(2, 0, 0), (3, None, None), (4, 100_000, 1), (5, 2, 1)]
    assert rows(tmp_path, "select rule from quarantine.shop__orders") == [("nul_byte",)]


@pytest.mark.parametrize(("limit", "fails"), [("5", True), ("6", False), ("10%", True)])
def test_the_lines_that_an_open_quote_swallows_count_against_max_rejected(
    tmp_path: Path, limit: str, fails: bool
) -> None:
    lines = "".join(f"{number},{QUOTES[number == 15]}item,1\n" for number in range(1, 21))
    put(tmp_path, {"sources/shop.yaml": source("lake", f"max_rejected: {limit}"), "in/1.csv": HEADER + lines})
    loaded = run(tmp_path)["shop.orders/load"]
    assert bool(loaded.error) == fails
    if fails:
        assert "6 of 20 rows are rejects" in loaded.error
        assert "5 of them lines that others took in: a quote is not closed" in loaded.error


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_a_refused_load_shows_the_rows_that_refused_it_and_none_of_an_earlier_one(tmp_path: Path, store: str) -> None:
    strict = "max_rejected: 0\nkey: id"
    put(tmp_path, {"sources/shop.yaml": source(store, strict), "in/1.csv": HEADER + "x,a,1\n1,b,2\n"})
    assert "1 of 2 rows are rejects" in run(tmp_path)["shop.orders/load"].error
    shown, of_failed_load = load(tmp_path).rejects("shop.orders")
    assert (shown.column("rule").to_pylist(), of_failed_load) == (["cast"], True)

    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n1,b,2\n2,c,3\n"})
    assert "1 of 3 rows are rejects" in run(tmp_path)["shop.orders/load"].error
    shown, of_failed_load = load(tmp_path).rejects("shop.orders")
    assert [(row["rule"], row["_file"], row["_line"]) for row in shown.to_pylist()] == [
        ("duplicate_key", "in/1.csv", 3)
    ]

    put(tmp_path, {"in/1.csv": HEADER + "1,a,1\n"})
    put(tmp_path, {"sources/shop.yaml": source(store, f"{strict}\nchecks: [{{row_count: {{min: 2}}}}]")})
    assert "row_count" in run(tmp_path)["shop.orders/load"].error
    shown, of_failed_load = load(tmp_path).rejects("shop.orders")
    assert (shown.num_rows, of_failed_load) == (0, True)


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
@pytest.mark.parametrize(("limit", "refused"), [("60%", "2 of 3 rows are rejects"), ("70%", ""), ("2", "")])
def test_a_row_with_a_key_that_came_before_counts_once(tmp_path: Path, store: str, limit: str, refused: str) -> None:
    more = f"load: incremental\nkey: id\nmax_rejected: {limit}"
    put(tmp_path, {"sources/shop.yaml": source(store, more), "in/1.csv": HEADER + "7,a,1\n"})
    run_well(tmp_path)
    put(tmp_path, {"in/2.csv": HEADER + "1,a,1\n1,b,2\n,c,3\n"})
    assert refused in run(tmp_path)["shop.orders/load"].error
    assert rows(tmp_path, "select count(*) from shop.orders") == [(1 if refused else 2,)]


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_a_full_load_that_compares_keys_removes_no_more_than_it_may(tmp_path: Path, store: str) -> None:
    more = "key: id\ndeletes: compare_keys\nmax_deleted: 20%"
    lines = [f"{number},a,1\n" for number in range(10)]
    put(tmp_path, {"sources/shop.yaml": source(store, more), "in/1.csv": HEADER + "".join(lines)})
    run_well(tmp_path)
    put(tmp_path, {"in/1.csv": HEADER + "".join(lines[:7])})
    assert "3 of 10 rows (30.0%) are gone from the source, 20.0% allowed" in run(tmp_path)["shop.orders/load"].error
    assert rows(tmp_path, "select count(*) from shop.orders") == [(10,)]
    run_well(tmp_path, full=["shop.orders"])
    assert rows(tmp_path, "select count(*) from shop.orders") == [(7,)]
    put(tmp_path, {"in/1.csv": HEADER + "".join(lines[:6])})
    run_well(tmp_path)
    assert rows(tmp_path, "select count(*) from shop.orders") == [(6,)]
