"""A store of another package: named by a project, planned, run, drawn, killed and resumed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.install import install
from tests.plugins.test_ledger import append, kill_everywhere

REJECTS = "(select count(*) from quarantine.books__entries)"
ANSWER = f"select (select both_of_them from marts.after), n, {REJECTS} from marts.total"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    site = [str(install(tmp_path / "site")), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, site)), "COLUMNS": "200"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "sources").mkdir(parents=True)
    (folder / "models" / "marts").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: books\nstores:\n  top: {kind: shelf, path: data/top}\n")
    append(folder, range(1, 26))
    (folder / "sources" / "books.yaml").write_text(
        "kind: ledger\ntables:\n  entries: {file: entries.txt, first: 2, load: incremental, into: top, "
        "reject_if: {odd_one: id = 7}}\n"
    )
    texts = {"total": ("top", "select sum(changed) as total, count(*) as n from books.entries")}
    texts["after"] = ("warehouse", "select total + n as both_of_them from marts.total")
    for name, (store, text) in texts.items():
        header = f"/* headwater\nstore: {store}\nchecks:\n  - row_count: {{min: 1}}\n*/\n"
        (folder / "models" / "marts" / f"{name}.sql").write_text(f"{header}{text}\n")
    return folder


def call(environment: dict[str, str], *arguments: str, code: int | None = 0) -> str:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout


def headwater(environment: dict[str, str], folder: Path, *arguments: str, code: int = 0) -> str:
    return call(environment, "-m", "headwater", "-p", str(folder), *arguments, code=code)


def answer(environment: dict[str, str], folder: Path) -> list[str]:
    return headwater(environment, folder, "query", ANSWER, "--format", "csv").split()[-1].split(",")


def test_it_passes_the_public_suite(environment: dict[str, str]) -> None:
    suite = Path(__file__).parent / "ledger" / "tests" / "test_store.py"
    out = call(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", str(suite))
    assert re.search(r"\b[4-9][0-9] passed", out), out


def test_it_is_planned_run_and_goes_on(environment: dict[str, str], project: Path) -> None:
    plan = json.loads(headwater(environment, project, "plan", "--json"))
    assert {step["decision"] for step in plan["steps"]} == {"run", "if_inputs_changed"}
    headwater(environment, project, "run")
    first = sum(n * n for n in range(2, 26) if n != 7)
    assert answer(environment, project) == [str(first + 23), "23", "1"]
    run = json.loads(headwater(environment, project, "run", "--json"))
    assert not [result for result in run["results"] if result["status"] == "done" and "extract" not in result["step"]]
    append(project, range(26, 31))
    headwater(environment, project, "run")
    more = first + sum(n * n for n in range(26, 31))
    assert answer(environment, project) == [str(more + 28), "28", "1"]
    status = json.loads(headwater(environment, project, "status", "--json"))
    assert {one["dataset"]: one["store"] for one in status["datasets"]} == {
        "books.entries": "top",
        "marts.total": "top",
        "marts.after": "warehouse",
    }


def test_it_is_drawn_and_shown(environment: dict[str, str], project: Path) -> None:
    headwater(environment, project, "run")
    shown = json.loads(headwater(environment, project, "show", "marts.total", "--json"))
    assert (shown["store"], shown["rows"], shown["reads"]) == ("top", 1, ["books.entries"])
    assert "marts.total" in headwater(environment, project, "draw", "--format", "text")


def test_killed_anywhere_it_resumes(environment: dict[str, str], project: Path, tmp_path: Path) -> None:
    found = kill_everywhere(environment, project, tmp_path, ANSWER)
    first = sum(n * n for n in range(2, 26) if n != 7)
    assert found["wanted"] == [[str(first + 23), "23", "1"]]
    assert {at: rows for at, rows in found["after"].items() if rows != found["wanted"]} == {}


@pytest.mark.parametrize("word", ["run --reset marts.total", "maintain"])
def test_it_is_maintained(environment: dict[str, str], project: Path, word: str) -> None:
    headwater(environment, project, "run")
    before: Any = answer(environment, project)
    headwater(environment, project, *word.split())
    headwater(environment, project, "run")
    assert answer(environment, project) == before
