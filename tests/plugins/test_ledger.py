"""A connector of another package: through its entry point, with no line of Headwater changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.install import install

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(install(tmp_path / "site")), "COLUMNS": "200"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "sources").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "headwater.yaml").write_text("name: books\n")
    append(folder, range(1, 26))
    (folder / "sources" / "books.yaml").write_text(
        "kind: ledger\ntables:\n  entries: {file: entries.txt, first: 2, load: incremental, key: id}\n"
    )
    (folder / "models" / "total.sql").write_text("select sum(changed) as total, count(*) as n from books.entries\n")
    return folder


def append(folder: Path, numbers: Iterable[int]) -> None:
    with (folder / "entries.txt").open("a", encoding="utf-8") as file:
        for number in numbers:
            file.write(json.dumps([number, number * number, f"entry {number}"]) + "\n")


def call(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def headwater(environment: dict[str, str], project: Path, *arguments: str) -> str:
    return call(environment, "-m", "headwater", "-p", str(project), *arguments)


def totals(environment: dict[str, str], project: Path) -> str:
    return headwater(environment, project, "query", "select total, n from main.total", "--format", "csv")


def test_it_passes_the_public_suite(environment: dict[str, str]) -> None:
    suite = Path(__file__).parent / "ledger" / "tests" / "test_contract.py"
    out = call(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", str(suite))
    assert re.search(r"\b1[0-9] passed", out), out


def test_without_the_package_the_kind_is_unknown(project: Path) -> None:
    out = call(dict(os.environ), "-m", "headwater", "-p", str(project), "check", "--json", code=2)
    assert "unknown kind 'ledger'" in out


def test_it_runs_and_goes_on_where_it_stood(environment: dict[str, str], project: Path) -> None:
    headwater(environment, project, "run")
    assert totals(environment, project) == f"total,n\n{sum(n * n for n in range(2, 26))},24\n"
    append(project, range(26, 32))
    headwater(environment, project, "run")
    assert totals(environment, project) == f"total,n\n{sum(n * n for n in range(2, 32))},30\n"


def test_it_is_drawn_in_the_box_it_names(environment: dict[str, str], project: Path) -> None:
    drawn = headwater(environment, project, "draw", "--level", "architecture", "--format", "dot")
    assert 'label="APIs & Web Services"' in drawn
    assert 'label="API Calls"' in drawn
    assert "books.entries" in headwater(environment, project, "draw", "--format", "svg")


def test_it_is_in_the_json_schema(environment: dict[str, str], project: Path) -> None:
    headwater(environment, project, "check", "--write-schemas")
    schema = json.loads((project / ".headwater" / "schemas" / "source.schema.json").read_text())
    assert "ledger" in [alternative["title"] for alternative in schema["oneOf"]]
    assert "first" in schema["$defs"]["ledger_table"]["properties"]
    assert "key" in schema["$defs"]["ledger_table"]["properties"]


def test_its_words_are_checked(environment: dict[str, str], project: Path) -> None:
    file = project / "sources" / "books.yaml"
    file.write_text(file.read_text().replace("first: 2", "frist: 2"))
    out = call(environment, "-m", "headwater", "-p", str(project), "check", "--json", code=2)
    problem = json.loads(out)["errors"][0]
    assert (problem["path"], problem["line"]) == ("sources/books.yaml", 3)
    assert "'first'" in problem["fix"]


def kill_everywhere(environment: dict[str, str], project: Path, folder: Path, sql: str) -> dict[str, Any]:
    """Return what a query answers undisturbed, and after a kill at every third event (`killing.py`)."""
    killing = str(Path(__file__).parent / "killing.py")
    told = call(environment, killing, str(project), str(folder), sql)
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    assert len(found["after"]) >= 5
    return found


def test_killed_anywhere_it_resumes(environment: dict[str, str], project: Path, tmp_path: Path) -> None:
    found = kill_everywhere(environment, project, tmp_path, "select total, n from main.total")
    assert found["wanted"] == [[str(sum(n * n for n in range(2, 26))), "24"]]
    assert {at: rows for at, rows in found["after"].items() if rows != found["wanted"]} == {}
