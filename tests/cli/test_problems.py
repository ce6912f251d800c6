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


TYPOS = [
    (["test", "m.town"], "no unit test is named 'm.town'\n  fix: did you mean 'm.towns'?"),
    (["test", "towns", "twns"], "no unit test is named 'twns'\n  fix: did you mean 'towns'?"),
    (["test", "m.untested"], "no unit test is about m.untested"),
    (["show", "m.town"], "no dataset is named m.town\n  fix: did you mean 'm.towns'?"),
    (["plan", "-s", "m.town"], "'m.town' selects nothing\n  fix: did you mean 'm.towns'?"),
    (["plan", "-s", ""], "an empty selection"),
    (["run", "-s", ""], "an empty selection"),
    (["run", "--exclude", ""], "an empty selection"),
    (["run", "--full", ""], "an empty selection"),
    (["run", "--full", "m.town"], "'m.town' selects nothing\n  fix: did you mean 'm.towns'?"),
    (["run", "--full", "state:modified"], "names no table"),
    (["run", "--reset", "m.town"], "'m.town' selects nothing\n  fix: did you mean 'm.towns'?"),
    (["run", "--reset", "m.towns", "-s", "m.town"], "'m.town' selects nothing"),
    (["run", "--reset", "m.towns", "--full", ""], "an empty selection"),
    (["test", "--json", ""], ""),
]


@pytest.mark.parametrize(("arguments", "says"), TYPOS)
def test_a_typo_is_2_and_changes_nothing(shop: Call, arguments: list[str], says: str) -> None:
    write({"models/m/untested.sql": "select 1 as a\n"})
    shop("run")
    told = shop(*arguments)
    assert (told.code, says in told.error) == (2, True), told
    assert {row["status"] for row in shop("status", "--json").json["datasets"]} == {"done"}


def test_nothing_modified_is_no_error_and_a_line(shop: Call) -> None:
    shop("run")
    for command in ("plan", "run"):
        told = shop(command, "-s", "state:modified")
        assert told.code == 0
        assert "state:modified: nothing is selected: nothing is modified" in told.text + told.error
    assert "done in" in shop("run", "-s", "state:modified+").text


def test_a_plan_of_a_selection_lists_its_names(shop: Call) -> None:
    write({"models/m/tagged.sql": "/* headwater\ntags: [x]\n*/\nselect 1 as a\n"})
    shop("run")
    assert ". m.tagged/transform  nothing it reads has changed" in shop("plan", "-s", "tag:x").text
    assert "m.tagged" not in shop("plan").text
