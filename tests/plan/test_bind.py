"""Binding: everything that would not run is told with its file and line before anything does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.api import LoadedProject
from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.core.project import Project, SourceTable
from headwater.errors import ProjectErrors
from headwater.plan.bind import Bound, bind_project, declared_columns, source_schema, sure_times
from headwater.plan.planning import Observed
from headwater.project.cache import ParseCache
from headwater.sql.binding import Binder

from ..conftest import ORDERS
from .states import made

Load = Callable[..., Project]
UNDECLARED = "kind: files\ntables:\n  orders: {path: in/*.csv}\n"


def bind(project: Project, observed: Observed | None = None) -> Bound:
    cache = ParseCache(Path(project.root) / ".headwater" / "cache" / "bound.json")
    bound = bind_project(project, observed or Observed(), cache)
    cache.save()
    return bound


def shapes(bound: Bound, name: str) -> list[str] | None:
    columns = bound.schemas[name]
    return None if columns is None else [f"{column.name} {column.type}" for column in columns]


def test_columns_flow_through_stores_views_and_snapshots(load_files: Load) -> None:
    project = load_files(
        {
            "sources/shop.yaml": ORDERS.replace("id: bigint", "id: uinteger"),
            "models/m/v.sql": "/* headwater\nmaterialize: view\n*/\nselect *, 1::utinyint as one from shop.orders",
            "models/m/t.sql": "select id, one, sum(1) as many from m.v group by all",
            "models/m/h.sql": "/* headwater\nmaterialize: snapshot\nkey: id\nstore: lakehouse\n*/\nselect id, "
            "one::int as i from m.v",
            "models/m/r.sql": "select valid_to, i from m.h",
        }
    )
    bound = bind(project)
    assert bound.errors == []
    assert shapes(bound, "shop.orders") == ["id BIGINT", "amount DECIMAL(8,2)", "placed TIMESTAMP"]
    assert shapes(bound, "m.v") == ["id BIGINT", "amount DECIMAL(8,2)", "placed TIMESTAMP", "one UTINYINT"]
    assert shapes(bound, "m.t") == ["id BIGINT", "one SMALLINT", "many BIGINT"]
    assert shapes(bound, "m.h") == [
        "id BIGINT", "i BIGINT", "valid_from TIMESTAMP WITH TIME ZONE", "valid_to TIMESTAMP WITH TIME ZONE",
    ]  # fmt: skip
    assert shapes(bound, "m.r") == ["valid_to TIMESTAMP WITH TIME ZONE", "i BIGINT"]
    assert [column.type for column in bound.queries["m.t"][0]] == ["BIGINT", "UTINYINT", "HUGEINT"]


ERRORS = {
    "an unknown column": (
        {"models/m/a.sql": "/* headwater\nowner: me\n*/\nselect id,\n  amont from shop.orders"},
        'models/m/a.sql:5:3: m.a: SQL: Referenced column "amont" not found in FROM clause!\n  fix: nearest: "amount"',
    ),
    "an unknown column after a variable and the clock": (
        {
            "headwater.yaml": "name: demo\nvars: {first: 2024-01-01}\n",
            "models/m/a.sql": "select $first, $now, 'é', amont from shop.orders",
        },
        'models/m/a.sql:1:27: m.a: SQL: Referenced column "amont" not found in FROM clause!\n  fix: nearest: "amount"',
    ),
    "an error without a place": (
        {"models/m/a.sql": "/* headwater\nowner: me\n*/\nselect strptime('a', '%Q') as x"},
        "models/m/a.sql:2: m.a: SQL: Failed to parse format specifier %Q: Unrecognized format for "
            "strftime/strptime: %Q",
    ),
    "a key that the query does not give": (
        {"models/m/a.sql": "/* headwater\nkey: order_id\n*/\nselect id as orderid from shop.orders"},
        "models/m/a.sql:2: m.a: the query gives no column 'order_id'\n  fix: did you mean 'orderid'?",
    ),
    "a column that the query does not give": (
        {"models/m/a.sql": "/* headwater\ncolumns: {zzz: int}\n*/\nselect id, amount from shop.orders"},
        "models/m/a.sql:2: m.a: the query gives no column 'zzz'\n  fix: known: amount, id",
    ),
    "a time that the query does not give": (
        {
            "models/m/a.sql": "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2024-01-01\n*/\n"
            "select placed as days from shop.orders"
        },
        "models/m/a.sql:2: m.a: the query gives no column 'day'\n  fix: did you mean 'days'?",
    ),
    "another type than declared": (
        {"models/m/a.sql": "/* headwater\ncolumns: {id: varchar}\n*/\nselect id from shop.orders"},
        "models/m/a.sql:2: m.a: column id is BIGINT, declared as VARCHAR\n  fix: cast it: id::VARCHAR",
    ),
    "a type that the store refuses": (
        {"models/m/a.sql": "/* headwater\nstore: lakehouse\n*/\nselect interval 1 day as i"},
        "models/m/a.sql:2: m.a: the lakehouse cannot hold INTERVAL (column i)\n"
        "  fix: cast it in the query, for instance to VARCHAR",
    ),
    "a type that would lose a part": (
        {"models/m/a.sql": "select '2024-01-01'::timestamp_ns as t"},
        "models/m/a.sql:1: m.a: the warehouse would lose part of TIMESTAMP_NS (column t)\n"
        "  fix: cast it in the query, for instance to TIMESTAMP",
    ),
    "a check of an unknown column": (
        {"models/m/a.sql": "/* headwater\nchecks: [{unique: [id, amont]}]\n*/\nselect id, amount from shop.orders"},
        'models/m/a.sql:2: m.a: the check unique(id, amont): SQL: Referenced column "amont" not found in FROM clause!\n'
        '  fix: nearest: "amount"',
    ),
    "a check's own SQL": (
        {"models/m/a.sql": "/* headwater\nchecks: [{sql: from this where x > 1, name: small}]\n*/\nselect 1 as id"},
        'models/m/a.sql:2: m.a: the check small: SQL: Referenced column "x" not found in FROM clause!\n'
        '  fix: nearest: "id"',
    ),
    "a relationship to an unknown column": (
        {
            "models/m/a.sql": "/* headwater\nchecks: [{relationship: {to: shop.orders, field: ident}, column: "
                "id}]\n*/\n"
            "select id from shop.orders"
        },
        "models/m/a.sql:2: m.a: a relationship to shop.orders.ident\n  fix: known: amount, id, placed",
    ),
    "a check of a source": (
        {"sources/shop.yaml": ORDERS + "    checks: [{not_null: ident}]\n"},
        'sources/shop.yaml:3:3: shop.orders: the check not_null(ident): SQL: Referenced column "ident" not found in '
        'FROM clause!\n  fix: nearest: "id", "amount"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_would_not_run_is_told(case: str, load_files: Load) -> None:
    files, expected = ERRORS[case]
    project = load_files({"sources/shop.yaml": ORDERS, **files})
    for _ in ("found", "from the cache"):
        assert [str(error) for error in bind(project).errors] == [expected]


def test_a_column_renamed_in_a_project_of_200_models_breaks_its_readers_by_name(load_files: Load) -> None:
    files = {"sources/shop.yaml": ORDERS, "models/staging/orders.sql": "select id, amount as money from shop.orders"}
    broken = []
    for number in range(200):
        reads = "money" if number % 4 == 0 else "id"
        below = f", staging.orders as o{number}" if number % 3 == 0 else ""
        files[f"models/marts/m{number:03}.sql"] = f"select s.id,\n  s.{reads} as x\nfrom staging.orders as s{below}\n"
        if reads == "money":
            broken.append(f"models/marts/m{number:03}.sql:2:3: marts.m{number:03}: ")
    assert bind(load_files(files)).errors == []
    project = load_files({**files, "models/staging/orders.sql": "select id, amount from shop.orders"})
    errors = [str(error) for error in bind(project).errors]
    assert len(errors) == 50
    assert all(error.startswith(place) for error, place in zip(errors, broken, strict=True))
    assert all('does not have a column named "money"' in error for error in errors)
    with pytest.raises(ProjectErrors, match=r"marts\.m196"):
        LoadedProject(project).run()
    assert not (Path(project.root) / "data").exists()


def test_a_second_binding_binds_nothing(load_files: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"sources/shop.yaml": ORDERS, "models/m/a.sql": "select id from shop.orders", "models/m/b.sql": "from m.a"}
    first = bind(load_files(files))
    bound: list[str] = []
    genuine = Binder.bind
    monkeypatch.setattr(Binder, "bind", lambda self, query, domain: bound.append(query) or genuine(self, query, domain))
    assert bind(load_files(files)) == first
    assert bound == []
    bind(load_files({**files, "models/m/a.sql": "select id, amount from shop.orders"}))
    assert bound == ["select id, amount from shop.orders", "from m.a"]


# ------------------------------------------------------------------------------------------- what is known of a schema


def test_below_an_unknown_schema_a_model_is_bound_at_run(load_files: Load) -> None:
    files = {
        "sources/shop.yaml": UNDECLARED,
        "models/m/a.sql": "select nonsense from shop.orders",
        "models/m/b.sql": "/* headwater\nchecks: [{relationship: {to: m.a, field: x}, column: one}]\n*/\nselect "
        "1 as one",
    }
    bound = bind(load_files(files))
    assert (bound.errors, bound.schemas["shop.orders"], bound.schemas["m.a"]) == ([], None, None)
    assert bound.notes == ["models/m/a.sql:1: m.a is bound at run: the schema of shop.orders is not known yet"]


def test_a_reader_of_a_broken_model_is_bound_against_its_last_commit(load_files: Load) -> None:
    files = {
        "sources/shop.yaml": ORDERS,
        "models/m/a.sql": "select amont from shop.orders",
        "models/m/b.sql": "select amount from m.a",
    }
    project = load_files(files)
    state = made("m.a", columns=(Column("amount", "DOUBLE"), Column("_batch", "VARCHAR")))
    bound = bind(project, Observed({"m.a": state}))
    assert [error.line for error in bound.errors] == [1]
    assert (shapes(bound, "m.a"), shapes(bound, "m.b"), bound.notes) == (["amount DOUBLE"], ["amount DOUBLE"], [])
    assert bind(project).notes == ["models/m/b.sql:1: m.b is bound at run: the schema of m.a is not known yet"]


def test_the_order_in_which_a_source_s_schema_is_known(load_files: Load) -> None:
    described = {"shop.orders": TableDescription((Column("id", "BIGINT"), Column("seen", "DATE")))}
    last = (Column("id", "BIGINT"), Column("old", "VARCHAR"), Column("_file", "VARCHAR"))
    undeclared = load_files({"sources/shop.yaml": UNDECLARED})
    table = undeclared.declared(SourceTable)["shop.orders"]
    same, other = made("shop.orders", table.fingerprint, columns=last), made("shop.orders", "other", columns=last)

    def names(project: Project, observed: Observed) -> list[str] | None:
        columns = source_schema(project.declared(SourceTable)["shop.orders"], observed)
        return None if columns is None else [column.name for column in columns]

    assert names(undeclared, Observed()) is None
    assert names(undeclared, Observed(sources=described)) == ["id", "seen"]
    assert names(undeclared, Observed({"shop.orders": other})) == ["id", "old"]
    assert names(undeclared, Observed({"shop.orders": other}, described)) == ["id", "seen"]
    assert names(undeclared, Observed({"shop.orders": same}, described)) == ["id", "old"]
    declared = load_files({"sources/shop.yaml": ORDERS})
    assert names(declared, Observed({"shop.orders": other}, described)) == ["id", "amount", "placed"]


def test_columns_are_declared_only_when_every_one_has_a_type(load_files: Load) -> None:
    text = "kind: files\ntables:\n  a: {path: x.csv, columns: {x: int, y: {description: words}}}\n"
    project = load_files({"sources/shop.yaml": text})
    assert declared_columns(project.declared(SourceTable)["shop.a"]) == ()


PYTHON = '@hw.model(inputs={{"orders": "shop.orders"}}{0})\ndef a(orders):\n    return orders\n'


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ('columns={"x": "int"}', ["x INTEGER"]),
        ('columns={"x": "int", "y": {"description": "no type"}}', ["last DATE"]),
        ("", ["last DATE"]),
        (
            'columns={"x": "int"}, materialize="snapshot", key="x"',
            ["x INTEGER", "valid_from TIMESTAMP WITH TIME ZONE", "valid_to TIMESTAMP WITH TIME ZONE"],
        ),
    ],
)
def test_a_python_model_states_its_columns_or_has_those_of_its_last_commit(
    more: str, known: list[str], load_files: Load
) -> None:
    text = PYTHON.format(f", {more}" if more else "")
    project = load_files({"sources/shop.yaml": ORDERS, "models/m/a.py": "import headwater as hw\n" + text})
    state = made("m.a", columns=(Column("last", "DATE"),))
    assert shapes(bind(project, Observed({"m.a": state})), "m.a") == known


def test_a_preparation_that_does_not_fit_is_told_at_its_table(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": ORDERS + "    prepare: [{drop: nothing}]\n"})
    bound = bind(project)
    assert [(error.path, error.line) for error in bound.errors] == [("sources/shop.yaml", 3)]
    assert bound.schemas["shop.orders"] is None


def test_a_relationship_that_fits_is_bound(load_files: Load) -> None:
    check = "/* headwater\nchecks: [{relationship: {to: shop.orders, field: id}, column: id}]\n*/\n"
    bound = bind(load_files({"sources/shop.yaml": ORDERS, "models/m/a.sql": check + "select id from shop.orders"}))
    assert bound.errors == []


def test_the_time_of_a_query_that_names_it_twice_is_not_guessed(load_files: Load) -> None:
    header = "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2026-01-01\n*/\n"
    source = "kind: files\ntables:\n  {}: {{path: x/*.csv, columns: {{id: bigint, day: date}}}}\n"
    project = load_files(
        {
            "sources/a.yaml": source.format("o"), "sources/b.yaml": source.format("o"),
            "models/m/one.sql": f"{header}select x.id, y.day from a.o as x join b.o as y using (id)\n",
            "models/m/two.sql": f"{header}select x.*, y.day from a.o as x join b.o as y using (id)\n",
        }
    )  # fmt: skip
    found = {"m.one": ("b.o", "day"), "m.two": ("b.o", "day")}
    assert sure_times(project, Observed(time_sources=found), bind(project)) == {"m.one": ("b.o", "day"), "m.two": None}


def test_a_snapshot_that_selects_its_own_columns_is_told_at_its_file(load_files: Load) -> None:
    header = "/* headwater\nmaterialize: snapshot\nkey: id\n*/\n"
    bound = bind(load_files({"models/m/s.sql": f"{header}select 1 as id, current_date as Valid_From\n"}))
    assert [
        bound.errors[0].path, bound.errors[0].what.partition("a ")[2].partition(",")[0]
    ] == ["models/m/s.sql", "snapshot adds valid_from itself"]  # fmt: skip
