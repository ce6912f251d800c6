"""Models: what a SQL or Python file declares, and what changes its fingerprint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.core.project import Model, Project

from ..conftest import ORDERS, Files

Load = Callable[..., Project]

SQL = """/* headwater
materialize: incremental
time: day
every: day
start: 2024-01-01
description: Sales.
columns: {day: {checks: [not_null]}}
*/
select cast(placed as date) as day, sum(amount) as sales -- money
from shop.orders
where id > $least and placed < $now
group by all;
"""
VARS = "name: demo\nvars: {least: 10, unused: x}\n"


@pytest.fixture
def read_sql(load_files: Load) -> Callable[..., Model]:
    def read(text: str = SQL, variables: str = VARS) -> Model:
        files = {"headwater.yaml": variables, "sources/shop.yaml": ORDERS, "models/m/a.sql": text}
        return load_files(files).declared(Model)["m.a"]

    return read


def test_a_sql_model_is_its_header_query_and_references(read_sql: Callable[..., Model]) -> None:
    model = read_sql()
    assert (model.name, model.language, str(model.location)) == ("m.a", "sql", "models/m/a.sql:2")
    assert [(r.name, str(r.location)) for r in model.references] == [("shop.orders", "models/m/a.sql:10:6")]
    assert model.spec.every == "day"
    assert model.uses == ("now",)
    assert model.volatile == ()
    lines = model.text.split("\n")
    assert lines[8].startswith("select cast(placed as date) as day")
    assert lines[10] == "where id > 10 and placed < $now"
    assert lines[11] == "group by all "


def test_volatile_functions_are_noted_unless_ignored(read_sql: Callable[..., Model]) -> None:
    assert read_sql("select random() as r, now() as n").volatile == ("random", "now")
    assert read_sql("/* headwater\nvolatile: ignore\n*/\nselect random() as r").volatile == ()


def test_a_place_is_told_as_in_the_file_when_variables_are_longer(
    errors_of: Callable[..., list[str]],
) -> None:
    files = {
        "headwater.yaml": 'name: demo\nvars: {v: 2024-01-01, t: "a\\nb\'c"}\n',
        "models/m/a.sql": "select $v, $t, $now, (select 1 from no.where),\n $now from no.place",
    }
    assert [text.partition(" m.a")[0] for text in errors_of(files)] == [
        "models/m/a.sql:1:37:",
        "models/m/a.sql:2:12:",
    ]


PRINTS_STAY = {
    "layout": SQL.replace("select cast", "select\n\n   cast").replace("group by all;", "group   by\tall"),
    "comments": SQL.replace("-- money", "/* it's /* nested */ money */").replace("from shop", "-- 'x\nfrom shop"),
    "description": SQL.replace("Sales.", "Sales per day."),
    "owner and tags": SQL.replace("description: Sales.", "owner: me\ntags: [a]"),
    "lookback and schedule": SQL.replace("description: Sales.", "lookback: 3d\nschedule: every 5m"),
    "an unused variable": SQL,
}
ROWS_CHANGE = {
    "the query": SQL.replace("sum(amount)", "max(amount)"),
    "a text": SQL.replace("as sales", "as sales, 'a  b' as c"),
    "the header": SQL.replace("every: day", "every: month"),
    "a declared type": SQL.replace("{day: {checks: [not_null]}}", "{day: {type: date, checks: [not_null]}}"),
    "where it is stored": SQL.replace("every: day", "every: day\nstore: lakehouse"),
}
CHECKS_CHANGE = {
    "a check more": SQL.replace("[not_null]", "[not_null, unique]"),
    "a check at another column": SQL.replace("{day: {", "{sales: {checks: [not_null]}, day: {"),
    "a severity": SQL.replace("checks: [not_null]", "checks: [{not_null: [], severity: warning}]"),
    "a check of the table": SQL.replace("description: Sales.", "checks: [{row_count: {min: 1}}]"),
}


@pytest.mark.parametrize("name", PRINTS_STAY)
def test_the_fingerprint_stays(name: str, read_sql: Callable[..., Model]) -> None:
    more = "name: demo\nvars: {least: 10, unused: y}\n"
    assert read_sql(PRINTS_STAY[name], more).fingerprint == read_sql().fingerprint


@pytest.mark.parametrize("name", ROWS_CHANGE)
def test_the_fingerprint_of_rows_changes(name: str, read_sql: Callable[..., Model]) -> None:
    (old, old_checks), (new, new_checks) = (read_sql(t).fingerprint.split(".") for t in (SQL, ROWS_CHANGE[name]))
    assert old != new
    assert old_checks == new_checks


@pytest.mark.parametrize("name", CHECKS_CHANGE)
def test_the_fingerprint_of_checks_changes_alone(name: str, read_sql: Callable[..., Model]) -> None:
    (old, old_checks), (new, new_checks) = (read_sql(t).fingerprint.split(".") for t in (SQL, CHECKS_CHANGE[name]))
    assert old == new
    assert old_checks != new_checks


def test_a_used_variable_changes_the_fingerprint(read_sql: Callable[..., Model]) -> None:
    assert read_sql(SQL, VARS.replace("10", "11")).fingerprint != read_sql().fingerprint


# ------------------------------------------------------------------------------------------------------------- python

PYTHON = '''import headwater as hw
import lib.rates
from . import near
raise RuntimeError("this file must not be run by loading")


@hw.model(inputs={"orders": "shop.orders"}, checks=[{"unique": ["id"]}], materialize="table")
def a(orders: hw.Relation) -> hw.Relation:
    """Orders once.

    And more.
    """
    return orders.distinct()  # every row once
'''
PYTHON_FILES = {
    "sources/shop.yaml": ORDERS,
    "models/m/a.py": PYTHON,
    "lib/__init__.py": "",
    "lib/rates.py": "from lib.deep import tax\n",
    "lib/deep.py": "tax = 19\n",
    "lib/other.py": "x = 1\n",
}


def test_a_python_model_is_read_without_running_it(load_files: Load) -> None:
    model = load_files(PYTHON_FILES).declared(Model)["m.a"]
    assert (model.language, model.function, model.arguments) == ("python", "a", {"orders": "shop.orders"})
    assert model.spec.description == "Orders once.\n\nAnd more."
    assert [(r.name, str(r.location)) for r in model.references] == [("shop.orders", "models/m/a.py:7:11")]
    assert str(model.location) == "models/m/a.py:7"
    assert [check.unique for check in model.spec.checks] == [["id"]]


@pytest.mark.parametrize(
    ("path", "old", "new", "changes"),
    [
        ("lib/deep.py", "19", "21", True),
        ("lib/__init__.py", "", "rate = 1\n", True),
        ("lib/rates.py", "from lib", "import lib.other\nfrom lib", True),
        ("lib/other.py", "1", "2", False),
        ("lib/deep.py", "tax", "# a comment\ntax", False),
        ("models/m/a.py", "distinct()", "distinct().limit(5)", True),
        ("models/m/a.py", "every row once", "each row once", False),
        ("models/m/a.py", "Orders once.", "Each order once.", False),
        ("models/m/a.py", 'inputs={"orders"', 'description="x", inputs={"orders"', False),
        ("models/m/a.py", 'materialize="table"', 'store="lakehouse"', True),
    ],
)
def test_the_fingerprint_of_a_python_model(path: str, old: str, new: str, changes: bool, load_files: Load) -> None:
    before = load_files(PYTHON_FILES).declared(Model)["m.a"].fingerprint
    text = PYTHON_FILES[path]
    changed = load_files({**PYTHON_FILES, path: text.replace(old, new, 1) if old else new})
    assert (changed.declared(Model)["m.a"].fingerprint != before) is changes


def test_relative_imports_count(load_files: Load) -> None:
    files = {
        "models/m/a.py": "import headwater as hw\nfrom .._far import x\nfrom ._near import y\n\n\n"
        "@hw.model(inputs={})\ndef a():\n    return x, y\n",
        "models/m/_near.py": "y = 1\n",
        "models/_far.py": "from .m import a\nx = 1\n",
    }
    texts = ["y = 1\n", "y = 2\n", "y = = 2\n"]
    prints = [load_files({**files, "models/m/_near.py": text}).declared(Model)["m.a"].fingerprint for text in texts]
    prints.append(load_files({**files, "models/_far.py": "x = 2\n"}).declared(Model)["m.a"].fingerprint)
    assert len(set(prints)) == 4


def test_other_decorators_are_passed_over(load_files: Load) -> None:
    text = "import functools\nimport headwater as hw\n\n\n@functools.lru_cache(maxsize=1)\n@functools.cache\n"
    model = load_files({"models/m/a.py": text + "@hw.model(inputs={})\ndef a():\n    return None\n"}).declared(Model)[
        "m.a"
    ]
    assert model.function == "a"


HEAD = "import headwater as hw\n\n\n"
PYTHON_ERRORS = {
    "no decorator": ("def a():\n    pass\n", "models/m/a.py:1: no function is decorated with @hw.model(…)"),
    "a decorator inside": (
        "def f():\n    @hw.model(inputs={})\n    def a():\n        pass\n",
        "models/m/a.py:1: no function is decorated with @hw.model(…)",
    ),
    "two models": (
        "@hw.model(inputs={})\ndef a():\n    pass\n\n\n@hw.model(inputs={})\ndef b():\n    pass\n",
        "models/m/a.py:1: more than one @hw.model in one file",
    ),
    "a positional argument": (
        "@hw.model({})\ndef a():\n    pass\n",
        "models/m/a.py:4: @hw.model takes keywords only",
    ),
    "an argument that is computed": (
        "@hw.model(inputs={}, key=KEYS)\ndef a():\n    pass\n",
        "models/m/a.py:4: key: not a literal",
    ),
    "arguments unpacked": ("@hw.model(**ALL)\ndef a():\n    pass\n", "models/m/a.py:4: **: not a literal"),
    "a literal that cannot be": (
        "@hw.model(inputs={[]: 1})\ndef a():\n    pass\n",
        "models/m/a.py:4: inputs: not a literal",
    ),
    "parameters that are not the inputs": (
        '@hw.model(inputs={"x": "shop.orders"})\ndef a(y):\n    pass\n',
        "models/m/a.py:5: the parameters of a() are not those of inputs\n"
        "  fix: inputs names ['x'], the function takes ['y']",
    ),
    "inputs that are a list": (
        '@hw.model(inputs=["x"])\ndef a(x):\n    pass\n',
        "models/m/a.py:5: the parameters of a() are not those of inputs",
    ),
    "an unknown word": (
        "@hw.model(inputs={},\n    materialise='view')\ndef a():\n    pass\n",
        "models/m/a.py:5:5: unknown word 'materialise'\n  fix: did you mean 'materialize'?",
    ),
    "a view": (
        "@hw.model(inputs={}, materialize='view')\ndef a():\n    pass\n",
        "models/m/a.py:4: a Python model cannot be a view",
    ),
    "a syntax error": ("def (\n", "models/m/a.py:4:5: Python: "),
    "an unknown input": (
        '@hw.model(inputs={"x": "shop.order"})\ndef a(x):\n    pass\n',
        "models/m/a.py:4:11: m.a reads shop.order, which nothing declares",
    ),
}


@pytest.mark.parametrize("name", PYTHON_ERRORS)
def test_what_is_wrong_with_a_python_model(name: str, errors_of: Callable[[Files], list[str]]) -> None:
    text, expected = PYTHON_ERRORS[name]
    found = errors_of({"sources/shop.yaml": ORDERS, "models/m/a.py": HEAD + text})
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_files_that_begin_with_an_underscore_are_not_models(load_files: Load) -> None:
    assert load_files({"models/m/_lib.py": "x = 1\n", "models/m/__init__.py": ""}).declared(Model) == {}


def test_deeper_folders_group_and_a_file_at_the_top_is_in_main(load_files: Load) -> None:
    files = {"models/x.sql": "select 1 as a", "models/m/deep/er/y.sql": "select a from main.x union select a from x"}
    project = load_files(files)
    assert list(project.declared(Model)) == ["m.y", "main.x"]
    assert project.declared(Model)["m.y"].inputs == ("main.x",)
