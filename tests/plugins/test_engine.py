"""An engine of another package: named by a project, it runs models, and commits and skips are as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.install import install


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    site = [str(install(tmp_path / "site")), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, site)), "COLUMNS": "200"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models" / "marts").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: other\nengine: {kind: scribe}\n")
    stores = {"base": "warehouse", "doubled": "lakehouse", "total": "warehouse", "kept": "lake"}
    texts = {
        "base": "select range as id, 'row ' || range as name from range(5)",
        "doubled": "select id, name, id * 2.5::double as twice from marts.base",
        "total": "select sum(twice) as total, count(*) as n from marts.doubled",
        "kept": "select * from marts.total",
    }
    for name, text in texts.items():
        header = f"/* headwater\nstore: {stores[name]}\nchecks:\n  - row_count: {{min: 1}}\n*/\n"
        (folder / "models" / "marts" / f"{name}.sql").write_text(f"{header}{text}\n")
    return folder


def call(environment: dict[str, str], folder: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "headwater", "-p", str(folder), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def steps(environment: dict[str, str], folder: Path) -> dict[str, Any]:
    run = json.loads(call(environment, folder, "run", "--json"))
    return {result["step"].partition("/")[0]: result for result in run["results"]}


def test_models_run_on_it(environment: dict[str, str], project: Path) -> None:
    first = steps(environment, project)
    assert {name: result["status"] for name, result in first.items()} == dict.fromkeys(
        ("marts.base", "marts.doubled", "marts.total", "marts.kept"), "done"
    )
    assert {result["rows"] for result in first.values()} == {5, 1}
    assert all(check["passed"] for result in first.values() for check in result["checks"])
    for name in ("total", "kept"):
        found = call(environment, project, "query", f"select total, n from marts.{name}", "--format", "csv")
        assert found.split() == ["total,n", "25.0,5"]
    assert {result["status"] for result in steps(environment, project).values()} == {"skipped"}
    assert not list((project / ".headwater").glob("scribe-*"))


def test_a_change_goes_all_the_way(environment: dict[str, str], project: Path) -> None:
    steps(environment, project)
    model = project / "models" / "marts" / "base.sql"
    model.write_text(model.read_text().replace("range(5)", "range(7)"))
    assert {result["status"] for result in steps(environment, project).values()} == {"done"}
    found = call(environment, project, "query", "select n from marts.kept", "--format", "csv")
    assert found.split() == ["n", "7"]


def test_an_error_of_it_is_told(environment: dict[str, str], project: Path) -> None:
    model = project / "models" / "marts" / "doubled.sql"
    model.write_text(
        model.read_text().replace("id * 2.5", "case when id = 3 then error('not today') else id * 2.5 end")
    )
    run = json.loads(call(environment, project, "run", "--json", code=1))
    results = {result["step"]: result for result in run["results"]}
    assert "not today" in results["marts.doubled/transform"]["error"]
    assert results["marts.total/transform"]["status"] == "blocked"


def test_without_the_package_it_is_unknown(project: Path) -> None:
    out = call(dict(os.environ), project, "check", "--json", code=2)
    (error,) = json.loads(out)["errors"]
    assert error["path"] == "headwater.yaml"
    assert error["line"] == 2
    assert "unknown engine 'scribe'" in error["what"]
