"""What a run would refuse: `check` and `plan` say it first, and one broken file hides nothing in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Call

FILES = {
    "headwater.yaml": "name: shop\n",
    "raw/people.csv": "id,town\n1,Ulm\n",
    "sources/people.yaml": "kind: files\ntables:\n  p: {path: raw/people.csv, columns: {id: bigint, town: varchar}}\n",
    "models/m/towns.sql": "select town, count(*) as n from people.p group by all\n",
    "tests/towns.yaml": "model: m.towns\ngiven: {people.p: [{id: 1, town: Ulm}]}\nexpect: [{town: Ulm, n: 1}]\n",
}
PROBLEMS = {
    "models/m/syntax.sql": ("select 1 a frm x\n", "syntax error"),
    "models/m/column.sql": ("select city from people.p\n", '"city" not found'),
    "models/m/variable.sql": ("select $day as d\n", "unknown variable $day"),
    "models/m/header.sql": ("/* headwater\nmaterialise: table\n*/\nselect 1 as a\n", "unknown word 'materialise'"),
    "models/m/python.py": ("def broken(:\n", "python.py"),
    "sources/yaml.yaml": ("kind: files\ntables: {t: [\n", "not YAML"),
    "sources/key.yaml": ("kind: files\ntables:\n  t: {path: x.csv, ket: id}\n", "unknown word 'ket'"),
    "sources/rule.yaml": (
        "kind: files\ntables:\n  t: {path: x.csv, columns: {a: bigint}, prepare: [{drop: [b]}]}\n",
        "drop names column 'b'",
    ),
    "sources/sampled.yaml": ("kind: files\ntables:\n  t: {path: raw/people.csv}\n", "its schema is not declared"),
    "sources/rowid.yaml": (
        "kind: files\ntables:\n  t: {path: x.csv, columns: {rowid: bigint}, into: warehouse, load: incremental}\n",
        "rowid hides DuckDB's own",
    ),
    "sources/people.schema.yaml": ("q:\n  columns: {id: bigint}\n", "unknown table 'q'"),
    "tests/model.yaml": ("model: m.twns\ngiven: {}\nexpect: []\n", "no model is named m.twns"),
    "tests/given.yaml": ("model: m.towns\ngiven: {people.q: []}\nexpect: []\n", "reads no dataset named people.q"),
    "tests/yaml.yaml": ("model: [\n", "not YAML"),
}


@pytest.fixture
def shop(call: Call) -> Call:
    write(FILES)
    return call


def write(files: dict[str, str]) -> None:
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_every_problem_is_told_at_once(shop: Call, command: str) -> None:
    assert shop("check").code == 0
    write({path: text for path, (text, _) in PROBLEMS.items()})
    told = shop(command)
    assert told.code == 2
    for path, (_, says) in PROBLEMS.items():
        place = "sources/people.yaml" if path.endswith("people.schema.yaml") else path
        lines = [line for line in told.error.splitlines() if says in line]
        assert lines, says
        assert any(line.startswith((path, place)) for line in lines), (path, lines)
    assert not Path("data").exists()


@pytest.mark.parametrize("path", PROBLEMS)
def test_no_problem_makes_others_of_its_own(shop: Call, path: str) -> None:
    write({path: PROBLEMS[path][0]})
    told = shop("check", "--json")
    assert (told.code, len(told.json["errors"])) == (2, 1), told.text


def test_a_broken_project_file_hides_no_other(shop: Call) -> None:
    write({"headwater.yaml": "nme: shop\nvars: {day: 1}\n"})
    write({path: text for path, (text, _) in PROBLEMS.items()})
    told = shop("check").error
    for path in (
        "models/m/syntax.sql",
        "models/m/header.sql",
        "sources/yaml.yaml",
        "sources/key.yaml",
        "tests/yaml.yaml",
    ):
        assert PROBLEMS[path][1] in told, path
    assert "unknown word 'nme'" in told
    assert "variable" not in told


def test_a_schema_that_nobody_declared_is_refused_without_a_terminal(
    shop: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"sources/sampled.yaml": PROBLEMS["sources/sampled.yaml"][0]})
    for command in ("check", "plan", "run"):
        told = shop(command)
        assert (told.code, "sampled.t: its schema is not declared" in told.error) == (2, True)
    monkeypatch.setattr("headwater.cli.check.attended", lambda: True)
    watched = shop("check")
    assert (watched.code, "a run proposes it" in watched.text) == (0, True)
