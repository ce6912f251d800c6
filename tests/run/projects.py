"""Small projects that the tests of running build: files or SQLite through one store and load mode, models above."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.http import Asked

STORES = ("warehouse", "lakehouse", "lake")


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write text files below a folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def files_project(folder: Path, store: str, mode: str) -> Path:
    """Three CSV files (a broken row in one) loaded in a mode: full, append or merge; a table and a view above."""
    options = {
        "full": "load: full",
        "append": "load: incremental",
        "merge": "load: incremental\n    key: id",
    }[mode]
    return write(
        folder,
        {
            "headwater.yaml": "name: kills\n",
            "sources/shop.yaml": (
                "kind: files\ntables:\n  orders:\n    path: in/*.csv\n"
                f"    {options}\n    into: {store}\n"
                '    columns: {id: bigint, item: varchar, price: "decimal(8,2)", day: date}\n'
            ),
            "in/1.csv": "id,item,price,day\n1,a,1.50,2026-01-01\n2,b,2.00,2026-01-01\n",
            "in/2.csv": "id,item,price,day\n3,c,3.00,2026-01-02\n4,d,oops,2026-01-02\n",
            "in/3.csv": "id,item,price,day\n5,e,5.00,2026-01-03\n",
            "models/marts/totals.sql": (
                f"/* headwater\nstore: {store}\nchecks: [{{unique: day}}]\n*/\n"
                "select day, sum(price) as total from marts.priced group by all\n"
            ),
            "models/marts/priced.sql": (
                "/* headwater\nmaterialize: view\n*/\nselect * from shop.orders where price > 0\n"
            ),
        },
    )


def change_files(folder: Path, mode: str) -> None:
    """New files come, and where the mode allows it one is corrected."""
    write(
        folder,
        {"in/4.csv": "id,item,price,day\n6,f,6.00,2026-01-03\n7,g,7.00,\n8,x\n", "in/5.csv": "id,item,price,day\n"},
    )
    if mode != "append":
        write(folder, {"in/1.csv": "id,item,price,day\n1,a,9.50,2026-01-01\n9,i,2.25,2026-01-04\n"})


def sqlite_project(folder: Path, store: str, mode: str) -> Path:
    """A SQLite table loaded in a mode: full, append (cursor without key) or merge (cursor, key, deletes)."""
    options = {
        "full": "load: full",
        "append": "load: incremental\n    cursor: at",
        "merge": "load: incremental\n    cursor: at\n    key: id\n    deletes: compare_keys\n    max_deleted: 100%",
    }[mode]
    write(
        folder,
        {
            "headwater.yaml": "name: kills\n",
            "sources/db.yaml": (f"kind: sqlite\npath: in.db\ntables:\n  orders:\n    {options}\n    into: {store}\n"),
            "models/marts/totals.sql": (
                f"/* headwater\nstore: {store}\n*/\nselect item, count(*) as n from db.orders group by all\n"
            ),
        },
    )
    with sqlite3.connect(folder / "in.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, at TIMESTAMP)")
        rows = [(n, f"item {n % 3}", f"2026-01-01 00:00:{n:02d}") for n in range(1, 9)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    connection.close()
    return folder


def change_sqlite(folder: Path, mode: str) -> None:
    """Rows are added, at the last cursor value too; where the mode allows it one is changed and one deleted."""
    with sqlite3.connect(folder / "in.db") as connection:
        rows = [(20, "tie", "2026-01-01 00:00:08"), (21, "new", "2026-01-02 00:00:00")]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        if mode != "append":
            connection.execute("UPDATE orders SET item = 'changed', at = '2026-01-03 00:00:00' WHERE id = 2")
            connection.execute("DELETE FROM orders WHERE id = 3")
    connection.close()


def rest_project(folder: Path, store: str, mode: str, url: str) -> Path:
    """A table of an API whose pages are two rows: full, or merge by key with a cursor that is sent."""
    options = {
        "full": "load: full",
        "merge": "load: incremental\n    cursor: at\n    key: id\n    send_cursor: {as: since}\n    lag: 0s",
    }[mode]
    return write(
        folder,
        {
            "headwater.yaml": "name: kills\n",
            "sources/api.yaml": (
                f"kind: rest\nconnection: {url}\ntables:\n  orders:\n    path: /orders\n    records: $.data\n"
                '    paginate: {kind: cursor, from: "$.next", as: after}\n'
                f"    {options}\n    into: {store}\n    columns: {{id: bigint, item: varchar, at: epoch_s}}\n"
            ),
            "models/marts/totals.sql": (
                f"/* headwater\nstore: {store}\n*/\nselect item, count(*) as n from api.orders group by all\n"
            ),
        },
    )


def rest_orders(rows: list[dict[str, object]]) -> Callable[[Asked], object]:
    """The route `/orders` of `rest_project` over these rows, in the order of `at`."""

    def answer(asked: Asked) -> object:
        since, first = int(asked.value("since", "0")), int(asked.value("after", "0"))
        found = [row for row in rows if int(str(row["at"])) >= since]
        return {"data": found[first : first + 2], "next": first + 2 if first + 2 < len(found) else None}

    return answer


def models_project(folder: Path, store: str) -> Path:
    """Models of every materialization above two tables of values."""
    return write(
        folder,
        {
            "headwater.yaml": "name: kills\nvars: {bump: 0}\n",
            "models/raw/events.sql": (
                f"/* headwater\nstore: {store}\n*/\nselect i as id, date '2026-01-01' + (i % 5)::int as day, "
                "i * 10 + $bump as v from range(20) as r(i)\n"
            ),
            "models/marts/by_day.sql": (
                f"/* headwater\nstore: {store}\nmaterialize: incremental\ntime: day\nevery: day\n"
                "start: 2026-01-01\n*/\nselect day, sum(v) as v from raw.events group by all\n"
            ),
            "models/marts/by_key.sql": (
                f"/* headwater\nstore: {store}\nmaterialize: incremental\nkey: id\n*/\n"
                "select id, v from raw.events where v % 3 <> 0\n"
            ),
            "models/marts/history.sql": (
                f"/* headwater\nstore: {store}\nmaterialize: snapshot\nkey: id\n*/\n"
                "select id, v // 100 as size from raw.events\n"
            ),
        },
    )


def change_models(folder: Path) -> None:
    """Other values: rows change, vanish and come."""
    write(folder, {"headwater.yaml": "name: kills\nvars: {bump: 7}\n"})


def small_models_project(folder: Path, store: str, count: int = 9) -> Path:
    """Small models above one: each reads the two before it, so that they share transactions."""
    header = f"/* headwater\nstore: {store}\n*/\n"
    files = {
        "headwater.yaml": "name: kills\nvars: {bump: 0}\n",
        "models/raw/m0.sql": f"{header}select i as id, i * 10 + $bump as v from range(20) as r(i)\n",
        "models/marts/m1.sql": f"{header}select id, v + 1 as v from raw.m0\n",
    }
    for number in range(2, count):
        one, other = f"marts.m{number - 1}", "raw.m0" if number == 2 else f"marts.m{number - 2}"
        query = f"select a.id, a.v + b.v as v from {one} as a join {other} as b using (id)\n"
        files[f"models/marts/m{number}.sql"] = header + query
    return write(folder, files)


def mesh_project(folder: Path, *, learns: bool) -> Path:
    """A port, a domain that reads it, a page of both; and with `learns` a model that learns and its scores."""
    files = {
        "headwater.yaml": "name: kills\nvars: {bump: 0}\n",
        "models/marts/daily.sql": (
            "select i as id, timestamp '2026-01-01' + to_hours(i::int) as due, i * 10 + $bump as v, i % 3 = 0 as odd\n"
            "from range(60) as r(i)\n"
        ),
        "products/daily.yaml": (
            "kind: product\nports:\n  daily:\n    version: 1.0.0\n    from: marts.daily\n    strict: false\n"
            "    columns: {id: {type: bigint, unique: true}, v: {type: bigint, required: true}}\n"
        ),
        "domains/shop/models/reports/total.sql": "select sum(v) as total, count(*) as n from main.daily_v1\n",
        "domains/shop/dashboards/total.md": (
            "# Total\n\n```sql total\nselect total, n from reports.total\n```\n\n```table\n{query: total}\n```\n"
        ),
    }
    if learns:
        files |= {
            "models/marts/known.sql": (
                "select id, due - interval 1 minute as seen, (id % 3) + v % 2 as k from marts.daily\n"
            ),
            "ml/odd.yaml": (
                "kind: model\nspine: {from: marts.daily, key: id, time: due, label: odd}\n"
                "features: [{from: marts.known, columns: [k], available: seen}]\ntrain: odd.py:train\n"
                "split: {test_from: 2026-01-03}\nmetrics: [accuracy]\nscore: {rows: marts.daily, into: lakehouse}\n"
            ),
            "ml/odd.py": (
                "import numpy as np\nfrom sklearn.tree import DecisionTreeClassifier\n\n\ndef train(rows):\n"
                "    matrix = np.column_stack([rows['k'].to_numpy()])\n"
                "    return DecisionTreeClassifier(random_state=0).fit(matrix, rows['odd'].to_pylist())\n"
            ),
        }
    return write(folder, files)
