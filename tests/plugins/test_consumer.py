"""A consumer of another package: declared, planned, made, skipped, shown; no line of the product knows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.install import install

DECLARED = "kind: statement\nowner: ann\nquery: select id, name from marts.base order by id\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    site = [str(install(tmp_path / "site")), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, site)), "COLUMNS": "200"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models" / "marts").mkdir(parents=True)
    (folder / "dashboards").mkdir()
    (folder / "headwater.yaml").write_text("name: other\n")
    (folder / "models" / "marts" / "base.sql").write_text("select range as id, 'row' as name from range(3)\n")
    (folder / "models" / "marts" / "seen.sql").write_text(
        "/* headwater\nmaterialize: view\n*/\nselect id from marts.base where id > 0\n"
    )
    (folder / "dashboards" / "account.yaml").write_text(DECLARED)
    return folder


def call(environment: dict[str, str], folder: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "headwater", "-p", str(folder), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def run(environment: dict[str, str], folder: Path, code: int = 0) -> dict[str, Any]:
    told = json.loads(call(environment, folder, "run", "--json", code=code).partition("\nwarning")[0])
    return {result["step"]: result for result in told["results"]}


def latest(folder: Path) -> Path:
    return folder / "data" / "artefacts" / "dashboards" / "account" / "latest"


def declare(folder: Path, text: str) -> None:
    (folder / "dashboards" / "account.yaml").write_text(text)


def test_it_is_made_once_and_again_when_what_it_reads_changes(environment: dict[str, str], project: Path) -> None:
    first = run(environment, project)
    assert first["dashboards.account"]["status"] == "done"
    assert first["dashboards.account"]["rows"] == 3
    assert (latest(project) / "statement.txt").read_text() == "0, row\n1, row\n2, row\n"
    assert {one["status"] for one in run(environment, project).values()} == {"skipped"}
    model = project / "models" / "marts" / "base.sql"
    model.write_text(model.read_text().replace("range(3)", "range(4)"))
    plan = json.loads(call(environment, project, "plan", "--json"))
    assert {step["node"]: step["decision"] for step in plan["steps"]}["dashboards.account"] == "if_inputs_changed"
    assert run(environment, project)["dashboards.account"]["rows"] == 4
    shown = json.loads(call(environment, project, "show", "dashboards.account", "--json"))
    assert shown["position"]["details"] == {"lines": 4, "before": 3, "versions": {"marts.base": 2}}
    assert (shown["kind"], shown["store"], shown["owner"], shown["rows"]) == ("statement", "artefacts", "ann", 4)
    assert shown["reads"] == ["marts.base"]
    assert next((c["name"], c["from"]) for c in shown["columns"]) == ("lines.id", ["marts.base.id"])
    assert Path(shown["location"]).resolve() == latest(project).resolve()


def test_the_same_files_are_only_recorded(environment: dict[str, str], project: Path) -> None:
    run(environment, project)
    declare(project, DECLARED.replace("owner: ann", "owner: bob"))
    again = run(environment, project)["dashboards.account"]
    assert (again["status"], again["version"]) == ("unchanged", 1)
    declare(project, DECLARED.replace("order by id", "order by id desc"))
    assert run(environment, project)["dashboards.account"]["status"] == "done"
    assert (latest(project) / "statement.txt").read_text().startswith("2")


def test_a_view_whose_sql_changes_makes_it_due(environment: dict[str, str], project: Path) -> None:
    declare(project, DECLARED.replace("select id, name from marts.base", "select id from marts.seen"))
    run(environment, project)
    assert {one["status"] for one in run(environment, project).values()} == {"skipped"}
    view = project / "models" / "marts" / "seen.sql"
    view.write_text(view.read_text().replace("> 0", "> 1"))
    assert run(environment, project)["dashboards.account"]["status"] == "done"
    assert (latest(project) / "statement.txt").read_text() == "2\n"


def test_what_is_refused_leaves_the_last_version(environment: dict[str, str], project: Path) -> None:
    run(environment, project)
    declare(project, DECLARED.replace("order by id", "order by id desc") + "refuse: it is worse\n")
    failed = run(environment, project, code=1)["dashboards.account"]
    assert failed["status"] == "failed"
    assert "it is worse" in failed["error"]
    assert (latest(project) / "statement.txt").read_text().startswith("0")
    assert len(list(latest(project).parent.glob("load=*"))) == 1


def test_a_part_that_went_wrong_is_told_published_and_tried_again(environment: dict[str, str], project: Path) -> None:
    declare(project, DECLARED + "problems: ['dashboards/account.yaml:3: no luck', second]\n")
    for _ in range(2):
        failed = run(environment, project, code=1)["dashboards.account"]
        assert failed["status"] == "failed"
        assert "dashboards/account.yaml:3: no luck; and 1 more" in failed["error"]
    assert (latest(project) / "statement.txt").read_text().startswith("0")
    declare(project, DECLARED)
    assert run(environment, project)["dashboards.account"]["status"] == "unchanged"
    assert run(environment, project)["dashboards.account"]["status"] == "skipped"


def test_wrong_sql_is_told_at_its_line_before_anything_runs(environment: dict[str, str], project: Path) -> None:
    declare(project, DECLARED.replace("select id, name", "select id, nam"))
    told = call(environment, project, "check", code=2)
    assert "dashboards/account.yaml:1" in told
    assert "name" in told
    declare(project, DECLARED.replace("marts.base", "marts.bas"))
    assert "dashboards.account reads marts.bas, which nothing declares" in call(environment, project, "check", code=2)
    declare(project, DECLARED.replace("kind: statement", "kind: statment"))
    assert "did you mean 'statement'" in call(environment, project, "check", code=2)


def test_what_a_lost_column_hits_names_it_and_its_owner(environment: dict[str, str], project: Path) -> None:
    run(environment, project)
    model = project / "models" / "marts" / "base.sql"
    model.write_text("select range as id, 'row' as title from range(3)\n")
    told = call(environment, project, "plan", code=2)
    assert "hits dashboards.account.lines.name (value, ann)" in told


def test_its_files_hold_no_rows_for_a_query(environment: dict[str, str], project: Path) -> None:
    run(environment, project)
    told = call(environment, project, "query", "select * from dashboards.account", code=2)
    assert "dashboards.account makes files and holds no rows" in told
    (project / "models" / "marts" / "off.sql").write_text("select * from dashboards.account\n")
    assert "makes files and holds no rows" in call(environment, project, "check", code=2)


def test_a_model_cannot_be_stored_there(environment: dict[str, str], project: Path) -> None:
    (project / "models" / "marts" / "off.sql").write_text("/* headwater\nstore: artefacts\n*/\nselect 1 as a\n")
    assert "'artefacts' is not known" in call(environment, project, "check", code=2)


def test_it_is_drawn_listed_looked_over_and_reset(environment: dict[str, str], project: Path) -> None:
    run(environment, project)
    assert "dashboards.account" in call(environment, project, "draw", "--format", "mermaid")
    status = json.loads(call(environment, project, "status", "--json"))
    about = {one["dataset"]: one for one in status["datasets"]}["dashboards.account"]
    assert (about["status"], about["rows"], about["version"]) == ("done", 3, 1)
    assert "bytes" in call(environment, project, "doctor")
    (latest(project) / "statement.txt").write_text("0, row\n1, row\n2, ROW\n")
    assert "its bytes are not those that were written" in call(environment, project, "doctor", code=1)
    (latest(project) / "statement.txt").unlink()
    failed = run(environment, project, code=1)["dashboards.account"]
    assert "is gone" in failed["error"]
    call(environment, project, "run", "--reset", "dashboards.account")
    assert (latest(project) / "statement.txt").read_text() == "0, row\n1, row\n2, row\n"
