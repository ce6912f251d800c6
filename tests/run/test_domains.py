"""Domains: their own names, ports of others, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import headwater
from headwater.api import LoadedProject
from headwater.core.run import Status
from headwater.errors import HeadwaterError, ProjectErrors
from headwater.plan.observe import read_states
from headwater.workspace.access import Access
from headwater.workspace.query import run_query

Write = Callable[[dict[str, str]], Path]

PROJECT = {
    "models/staging/orders.sql": "select range as id, range * 10 as amount, 'c' || range % 2 as customer from range(6)",
    "models/marts/daily.sql": "select customer, sum(amount) as amount from staging.orders group by all",
    "domains/shop/models/staging/orders.sql": "select range as id, -range as amount from range(3)",
    "domains/shop/models/marts/totals.sql": "select sum(o.amount) as total, count(*) as n from staging.orders as o",
    "domains/shop/models/marts/seen.sql": (
        "/* headwater\nmaterialize: view\n*/\nselect staging.orders.id, amount from shop.staging.orders where id > 0"
    ),
    "domains/shop/models/marts/twice.sql": "select id, amount * 2 as twice from marts.seen",
}


@pytest.fixture
def load(write_project: Write) -> Callable[..., LoadedProject]:
    def make(**changed: str) -> LoadedProject:
        return headwater.load(write_project({**PROJECT, **changed}))

    return make


def rows(loaded: LoadedProject, sql: str) -> list[dict[str, object]]:
    return loaded.query(sql).to_pylist()


def test_names_mean_their_own_domain(load: Callable[..., LoadedProject]) -> None:
    loaded = load()
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "from shop.marts.totals") == [{"total": -3, "n": 3}]
    assert rows(loaded, "select sum(amount) as s from staging.orders") == [{"s": 150}]
    assert rows(loaded, "select sum(twice) as s from shop.marts.twice") == [{"s": -6}]
    assert rows(loaded, "select count(*) as n from shop.marts.seen join staging.orders using (id)") == [{"n": 2}]
    assert {result.status for result in loaded.run().results} == {Status.SKIPPED}


def test_a_change_stays_in_its_domain(load: Callable[..., LoadedProject], write_project: Write) -> None:
    load().run()
    loaded = headwater.load(
        write_project({"domains/shop/models/staging/orders.sql": "select range as id, -range as amount from range(4)"})
    )
    done = {result.step for result in loaded.run().results if result.status is Status.DONE}
    assert done == {f"shop.{name}/transform" for name in ("staging.orders", "marts.totals", "marts.twice")}
    assert rows(loaded, "from shop.marts.totals") == [{"total": -6, "n": 4}]


def test_lineage_knows_the_domain(load: Callable[..., LoadedProject]) -> None:
    found = load().lineage()
    assert found.upstream("shop.marts.totals", "total") == (("shop.staging.orders", "amount"),)
    assert found.upstream("marts.daily", "amount") == (("staging.orders", "amount"),)
    assert found.upstream("shop.marts.twice", "twice") == (("shop.staging.orders", "amount"),)
    assert found.datasets["shop.marts.seen"].traced.unknown == ""


@pytest.mark.parametrize(
    ("file", "sql", "told"),
    [
        ("models/marts/off.sql", "from shop.marts.totals", "which is private to the domain shop"),
        ("domains/shop/models/marts/off.sql", "from marts.daily", "which is private to the root"),
        ("domains/other/models/marts/off.sql", "from shop.marts.totals", "which is private to the domain shop"),
    ],
)
def test_what_is_private_is_refused_with_both_places(
    load: Callable[..., LoadedProject], file: str, sql: str, told: str
) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load(**{file: f"select *\n{sql}"})
    (error,) = caught.value.errors
    assert told in error.what
    assert error.path == file
    assert error.line == 2
    assert ".sql:1)" in error.what
    assert "products/" in error.fix


def test_an_unknown_name_is_told_with_the_nearest_of_the_domain(load: Callable[..., LoadedProject]) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load(**{"domains/shop/models/marts/off.sql": "from staging.order"})
    assert "did you mean 'staging.orders'" in str(caught.value)


@pytest.mark.parametrize("name", ["main", "memory", "system", "temp", "quarantine", "_hw", "a__b", "a.b"])
def test_a_domain_cannot_have_a_name_of_the_engine(load: Callable[..., LoadedProject], name: str) -> None:
    with pytest.raises(ProjectErrors, match="a domain cannot be named"):
        load(**{f"domains/{name}/models/m/x.sql": "select 1 as a"})


def test_names_that_cannot_be_told_apart_are_refused(load: Callable[..., LoadedProject]) -> None:
    with pytest.raises(ProjectErrors, match="the namespace shop is named like the domain shop"):
        load(**{"models/shop/x.sql": "select 1 as a"})
    with pytest.raises(ProjectErrors, match="the domains SHOP and shop differ only in case"):
        load(**{"domains/SHOP/models/m/x.sql": "select 1 as a"})


def test_a_file_that_no_domain_reads_is_refused(load: Callable[..., LoadedProject]) -> None:
    with pytest.raises(ProjectErrors, match="nothing reads the folder domains/shop/modles/"):
        load(**{"domains/shop/modles/m/x.sql": "select 1 as a"})
    with pytest.raises(ProjectErrors, match="no folder of a domain"):
        load(**{"domains/readme.txt": "hello"})


def test_checks_tests_python_and_selection_know_the_domain(load: Callable[..., LoadedProject]) -> None:
    loaded = load(
        **{
            "domains/shop/models/marts/py.py": (
                "import headwater as hw\n\n\n@hw.model(inputs={'orders': 'staging.orders'})\n"
                "def py(orders):\n    return orders.to_arrow_table()\n"
            ),
            "domains/shop/models/marts/checked.sql": (
                "/* headwater\nchecks:\n  - relationship: {to: staging.orders, field: id}\n    column: id\n*/\n"
                "select id from staging.orders"
            ),
            "domains/shop/tests/totals.yaml": (
                "model: marts.totals\ngiven: {staging.orders: [{id: 1, amount: 5}]}\nexpect: [{total: 5, n: 1}]\n"
            ),
        }
    )
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "select count(*) as n from shop.marts.py") == [{"n": 3}]
    assert [(test.name, test.passed) for test in loaded.test()] == [("shop/totals", True)]
    chosen = {step.dataset for step in loaded.plan(select=["domain:shop"]).steps}
    assert chosen == {
        f"shop.{name}" for name in ("staging.orders", "marts.totals", "marts.twice", "marts.py", "marts.checked")
    }
    assert {step.dataset for step in loaded.plan(select=["shop.marts.totals+"]).steps} == {"shop.marts.totals"}
    assert {step.dataset for step in loaded.plan(select=["marts.totals"]).steps} == {"shop.marts.totals"}


def test_a_source_of_a_domain(load: Callable[..., LoadedProject], write_project: Write) -> None:
    loaded = load(
        **{
            "data.csv": "id,name\n1,a\nx,b\n",
            "domains/shop/sources/crm.yaml": (
                "kind: files\ntables:\n  people: {path: data.csv, columns: {id: bigint, name: varchar}}\n"
            ),
            "domains/shop/models/marts/people.sql": "select name from crm.people",
        }
    )
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "from shop.marts.people") == [{"name": "a"}]
    assert rows(loaded, "select rule from quarantine.shop__crm__people") == [{"rule": "cast"}]
    assert rows(loaded, "select id, _file is not null as f from system.shop__crm__people") == [{"id": 1, "f": True}]
    assert loaded.rejects("shop.crm.people")[0].num_rows == 1


def test_a_query_of_its_own_session_finds_domains(load: Callable[..., LoadedProject]) -> None:
    loaded = load()
    loaded.run()
    access = Access(loaded.project)
    with access.reading() as (session, connectors), session.aside() as own:
        catalogue = access.catalogue(own, connectors, read_states(loaded.project, connectors.stores)[0])
        with catalogue.cursor() as connection:
            for sql in ("select t.total from shop.marts.totals as t", 'from "shop"."marts"."totals" select total'):
                assert run_query(catalogue, connection, sql).table().to_pylist() == [{"total": -3}]
            assert (
                run_query(catalogue, connection, "select sum(twice) as s from SHOP.marts.twice").table().num_rows == 1
            )


def test_bare_names_are_of_main(load: Callable[..., LoadedProject]) -> None:
    loaded = load(
        **{
            "domains/shop/models/base.sql": "select 7 as a",
            "domains/shop/models/marts/over.sql": "select a from base",
            "domains/shop/models/marts/view.sql": "/* headwater\nmaterialize: view\n*/\nselect a from main.base",
            "domains/shop/models/marts/through.sql": "select a + 1 as b from marts.view",
        }
    )
    run = loaded.run()
    assert run.status is Status.DONE, [result.error for result in run.results]
    assert rows(loaded, "select a, b from shop.marts.over, shop.marts.through") == [{"a": 7, "b": 8}]
    assert rows(loaded, "from shop.main.base") == [{"a": 7}]


def test_what_reads_a_lost_column_is_told_with_its_domain(
    load: Callable[..., LoadedProject], write_project: Write
) -> None:
    load().run()
    path = "domains/shop/models/staging/orders.sql"
    loaded = headwater.load(write_project({path: "select range as id, -range as cost from range(3)"}))
    with pytest.raises(HeadwaterError) as caught:
        loaded.plan()
    assert "shop.staging.orders: column amount is gone" in str(caught.value)
    assert "shop.marts.totals.total" in str(caught.value)


def test_a_bare_name_in_a_view_of_a_domain_is_refused(load: Callable[..., LoadedProject]) -> None:
    """The engine looks for it in the domain of who asks, where another table may have the name."""
    files = {
        "models/base.sql": "select 1 as a",
        "domains/shop/models/base.sql": "select 7 as a",
        "domains/shop/models/marts/view.sql": "/* headwater\nmaterialize: view\n*/\nselect a\nfrom base",
    }
    with pytest.raises(ProjectErrors) as caught:
        load(**files)
    (error,) = caught.value.errors
    assert (error.line, error.fix) == (5, "write main.base")
    view = files["domains/shop/models/marts/view.sql"].replace("from base", "from main.base")
    loaded = load(**{**files, "domains/shop/models/marts/view.sql": view})
    assert loaded.run().status is Status.DONE
    assert rows(loaded, "from shop.marts.view") == [{"a": 7}]
