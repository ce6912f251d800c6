"""Python models: relations in; a relation, Arrow, pandas or polars out."""

from __future__ import annotations

import sys
from collections.abc import Callable

import duckdb
import pytest

from headwater.core.project import Model, Project
from headwater.errors import UserCodeError
from headwater.processing.duckdb.python_models import call_model
from headwater.sql.binding import describe_query

from ..conftest import ORDERS

Load = Callable[..., Project]
HEAD = """import headwater as hw


@hw.model(inputs={"orders": "shop.orders"})
def a(orders: hw.Relation) -> object:
"""


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.orders AS SELECT 1 AS id, 2.5::DECIMAL(8,2) AS amount UNION ALL SELECT 2, NULL"
    )
    return connection


@pytest.fixture
def call(load_files: Load, connection: duckdb.DuckDBPyConnection) -> Callable[..., list[tuple[object, ...]]]:
    """Write a model with a body, run it, and return its rows."""

    def run(body: str, **files: str) -> list[tuple[object, ...]]:
        text = HEAD + "".join(f"    {line}\n" for line in body.splitlines())
        project = load_files({"sources/shop.yaml": ORDERS, "models/m/a.py": text, **files})
        query, alive = call_model(project.declared(Model)["m.a"], project.root, connection)
        columns = ", ".join(f'"{column.name}"' for column in describe_query(connection, query))
        rows = connection.execute(f"SELECT {columns} FROM (\n{query}\n) ORDER BY ALL").fetchall()
        del alive
        return rows

    return run


BODIES = {
    "the relation itself": "return orders",
    "a relation": 'return orders.filter("id > 0").project("id, amount")',
    "a relation of SQL": 'return orders.query("o", "select id, amount from o")',
    "an Arrow table": "return orders.to_arrow_table()",
    "an Arrow reader": "return orders.to_arrow_table().to_reader()",
    "pandas": "return orders.df()",
    "polars": "return orders.pl()",
    "lazy polars": "return orders.pl().lazy()",
    "a relation over a frame": "import duckdb\nframe = orders.to_arrow_table()\nreturn duckdb.from_arrow(frame)",
}


@pytest.mark.parametrize("kind", BODIES)
def test_what_a_model_may_return(kind: str, call: Callable[..., list[tuple[object, ...]]]) -> None:
    assert [(row[0], None if row[1] is None else float(str(row[1]))) for row in call(BODIES[kind])] == [
        (1, 2.5), (2, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind"), [("return 7", "int"), ("return None", "NoneType"), ("return [{'a': 1}]", "list")]
)
def test_what_a_model_may_not_return(body: str, kind: str, call: Callable[..., object]) -> None:
    message = rf"a\(\) returned {kind}\n  fix: return a relation, an Arrow table, a pandas or a polars frame"
    with pytest.raises(UserCodeError, match=f"^models/m/a.py:4: {message}"):
        call(body)


def test_the_model_s_own_error_comes_out_as_it_is(call: Callable[..., object]) -> None:
    with pytest.raises(ZeroDivisionError):
        call("return 1 / 0")


def test_imports_come_from_the_project_and_are_fresh(call: Callable[..., list[tuple[object, ...]]]) -> None:
    body = (
        "from lib.top import x\nfrom lib import deep\nfrom _near import y\n"
        "return orders.project(f'{x} as a, {y} as b, {deep.z} as c').limit(1)"
    )
    files = {"lib/__init__.py": "", "lib/top.py": "x = 1\n", "lib/deep.py": "z = 3\n", "models/m/_near.py": "y = 2\n"}
    assert call(body, **files) == [(1, 2, 3)]
    assert call(body, **{**files, "lib/top.py": "x = 100\n"}) == [(100, 2, 3)]


def test_files_of_one_name_in_two_folders_are_two_modules(
    load_files: Load, connection: duckdb.DuckDBPyConnection
) -> None:
    text = HEAD.replace("import headwater as hw\n", "import headwater as hw\nfrom _helper import x\n")
    files = {"sources/shop.yaml": ORDERS}
    for number, folder in enumerate(("one", "two"), 1):
        files[f"models/{folder}/a.py"] = text + "    return orders.project(f'{x} as x').limit(1)\n"
        files[f"models/{folder}/_helper.py"] = f"x = {number}\n"
    project = load_files(files)
    for name, expected in (("one.a", 1), ("two.a", 2), ("one.a", 1)):
        query, alive = call_model(project.declared(Model)[name], project.root, connection)
        assert connection.execute(query).fetchall() == [(expected,)]
        del alive


def test_the_path_is_as_before(call: Callable[..., object]) -> None:
    before = list(sys.path)
    call("return orders")
    with pytest.raises(ModuleNotFoundError):
        call("import no_such_module_anywhere")
    assert sys.path == before
