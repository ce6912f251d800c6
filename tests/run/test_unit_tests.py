"""Unit tests of tests/*.yaml: given rows, expected rows, types, clocks, intervals, and errors that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.api import load
from tests.run.runner import put

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.workspace.unit_tests import UnitTestResult

PROJECT = {
    "headwater.yaml": "name: demo\nvars: {least: 2}\n",
    "sources/shop.yaml": "kind: files\ntables:\n  orders:\n    path: in/*.csv\n"
    "    columns: {id: integer, amnt: 'decimal(8,2)', ts: epoch_ms, day: date}\n"
    "    prepare: [{rename: {amnt: amount}}]\n"
    "  loose: {path: in/*.csv, columns: {id: {description: d}}}\n",
    "models/v/paid.sql": "/* headwater\nmaterialize: view\n*/\nselect * from shop.orders where amount >= $least\n",
    "models/v/recent.sql": "/* headwater\nmaterialize: view\n*/\nselect * from v.paid where ts <= $now\n",
    "models/m/daily.sql": "select day, sum(amount) as total, typeof(any_value(id)) as kind from v.recent\n"
    "group by all\n",
    "models/m/span.sql": "/* headwater\nmaterialize: incremental\ntime: day\nevery: day\nstart: 2026-01-01\n*/\n"
    "select day, count(*) as n from shop.orders where day >= $interval_start and day < $interval_end group by all\n",
    "models/m/types.sql": "select * from shop.loose\n",
    "models/m/fails.sql": "select amount::varchar::date as d from shop.orders\n",
    "models/m/py.py": "import headwater as hw\n\n\n@hw.model(inputs={'orders': 'shop.orders'})\ndef py(orders):\n"
    "    if orders.filter('id = 13').fetchall():\n        raise KeyError('thirteen')\n"
    "    return orders.aggregate('count(*) as n')\n",
}


def check(folder: Path, text: str, name: str = "t") -> UnitTestResult:
    put(folder, {**PROJECT, f"tests/{name}.yaml": text})
    (result,) = load(folder).test([name])
    return result


def test_rows_that_fit_pass_through_views(tmp_path: Path) -> None:
    given = (
        "model: m.daily\nnow: 2026-01-02T00:00:00Z\ngiven:\n  shop.orders:\n"
        "    - {id: 1, amount: 2.10, ts: '2026-01-01T12:00:00Z', day: 2026-01-01}\n"
        "    - {id: 2, amount: 3.20, ts: '2026-01-01T12:00:00Z', day: 2026-01-01}\n"
        "    - {id: 3, amount: 1.99, ts: '2026-01-01T12:00:00Z', day: 2026-01-01}\n"
        "    - {id: 4, amount: 9.00, ts: '2026-01-03T12:00:00Z', day: 2026-01-01}\n"
    )
    result = check(tmp_path, f"{given}expect: [{{day: 2026-01-01, total: 5.3, kind: BIGINT}}]\n")
    assert (result.passed, result.error, result.missing) == (True, "", ())
    assert check(tmp_path, f"{given}expect: [{{total: 5.30}}]\n").passed
    assert check(tmp_path, "model: m.daily\ngiven: {v.recent: []}\nexpect: []\n").error.startswith("nothing is given")
    assert check(tmp_path, "model: m.daily\ngiven: {shop.orders: []}\nexpect: []\n").passed


def test_missing_and_unexpected_rows_are_told(tmp_path: Path) -> None:
    given = "model: m.types\ngiven: {shop.loose: [{id: 1, t: a}, {id: 1, t: a}, {id: 2, t: null}]}\n"
    result = check(tmp_path, f"{given}expect: [{{id: 1, t: a}}, {{id: 2, t: b}}]\n")
    assert not result.passed
    assert result.missing == ("id: 2, t: b",)
    assert result.unexpected == ("id: 1, t: a", "id: 2, t: None")
    assert result.location.startswith("tests/t.yaml:1")
    assert check(tmp_path, f"{given}expect: [{{id: 1}}, {{id: 1}}, {{id: 2}}]\n").passed
    assert check(tmp_path, f"{given}expect: [{{t: a}}, {{t: a}}, {{t: null}}]\n").passed


def test_types_are_taken_from_the_values_when_nobody_declares_them(tmp_path: Path) -> None:
    dates = "d: 2026-01-01, z: '2026-01-01T00:00:00Z', l: 2026-01-01T10:00:00"
    values = f"{{id: 1, b: true, f: 1e3, {dates}, s: x, c: 1.25, n: null}}"
    kinds = "typeof(b) || typeof(f) || typeof(d) || typeof(z) || typeof(l) || typeof(s) || typeof(c) || typeof(n)"
    put(tmp_path, {**PROJECT, "models/m/kinds.sql": f"select {kinds} as k from shop.loose\n"})
    wanted = "BOOLEANDOUBLEDATETIMESTAMP WITH TIME ZONETIMESTAMPVARCHARDECIMAL(38,2)VARCHAR"
    result = check(tmp_path, f"model: m.kinds\ngiven: {{shop.loose: [{values}]}}\nexpect: [{{k: '{wanted}'}}]\n")
    assert (result.unexpected, result.error) == ((), "")


def test_an_interval_bounds_what_the_query_sees(tmp_path: Path) -> None:
    text = (
        "model: m.span\ninterval: [2026-01-02, 2026-01-03]\n"
        "given: {shop.orders: [{day: 2026-01-01}, {day: 2026-01-02}, {day: 2026-01-03}]}\n"
        "expect: [{day: 2026-01-02, n: 1}]\n"
    )
    assert check(tmp_path, text).passed


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    given = "given: {shop.orders: [{id: 1, amount: 1}]}\n"
    wrong = check(tmp_path, f"model: m.daily\n{given}expect: [{{totl: 1}}]\n")
    assert "the model gives no column 'totl'" in wrong.error
    assert "it gives: day, total, kind" in wrong.error
    failed = check(tmp_path, f"model: m.fails\n{given}expect: []\n")
    assert not failed.passed
    assert "invalid date field format" in failed.error
    typed = check(tmp_path, "model: m.daily\ngiven: {shop.orders: [{id: x}]}\nexpect: []\n")
    assert "x is no BIGINT, which column shop.orders.id is" in typed.error
    rounded = check(tmp_path, "model: m.py\ngiven: {shop.orders: [{id: 1}]}\nexpect: [{n: 1.4}]\n")
    assert "1.4 is no BIGINT" in rounded.error


def test_a_python_model_under_test(tmp_path: Path) -> None:
    assert check(tmp_path, "model: m.py\ngiven: {shop.orders: [{id: 1}, {id: 2}]}\nexpect: [{n: 2}]\n").passed
    failed = check(tmp_path, "model: m.py\ngiven: {shop.orders: [{id: 13}]}\nexpect: [{n: 1}]\n")
    assert failed.error == "models/m/py.py:7: KeyError: 'thirteen'\n  fix: mend the model's Python"
    text = PROJECT["models/m/py.py"].replace("return orders.aggregate('count(*) as n')", "return 7")
    put(tmp_path, {"models/m/py.py": text})
    put(tmp_path, {"tests/t.yaml": "model: m.py\ngiven: {shop.orders: [{id: 1}]}\nexpect: [{n: 1}]\n"})
    (wrong,) = load(tmp_path).test(["m.py"])
    assert "py() returned int" in wrong.error


def test_names_choose_tests_by_file_or_model(tmp_path: Path) -> None:
    text = "model: {}\ngiven: {{shop.orders: [{{id: 1}}]}}\nexpect: [{{n: 1}}]\n"
    put(tmp_path, {**PROJECT, "tests/a.yaml": text.format("m.py"), "tests/b.yaml": text.format("m.py")})
    loaded = load(tmp_path)
    assert [result.name for result in loaded.test()] == ["a", "b"]
    assert [result.name for result in loaded.test(["b"])] == ["b"]
    assert [result.name for result in loaded.test(["m.py"])] == ["a", "b"]
    assert not (tmp_path / "data").exists()


def test_a_time_with_an_offset_becomes_utc(tmp_path: Path) -> None:
    sources = PROJECT["sources/shop.yaml"] + "  at: {path: in/*.csv, columns: {t: timestamp, z: timestamptz}}\n"
    put(
        tmp_path,
        {**PROJECT, "sources/shop.yaml": sources, "models/m/at.sql": "select t, t::varchar as s from shop.at\n"},
    )
    text = (
        "model: m.at\ngiven: {shop.at: [{t: '2026-01-01T01:30:00+02:00'}]}\n"
        "expect: [{t: '2025-12-31T20:30:00-03:00', s: '2025-12-31 23:30:00'}]\n"
    )
    put(tmp_path, {"tests/t.yaml": text})
    (result,) = load(tmp_path).test(["t"])
    assert (result.missing, result.unexpected, result.error) == ((), (), "")
