"""The README's first project, pasted line by line; only making the environment is left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[str]:
    section = README.read_text(encoding="utf-8").split("## Your first project in five minutes")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    kept = [line for line in lines if not line.startswith(("python3 -m venv", "pip install"))]
    assert len(lines) - len(kept) == 2
    return kept


def test_the_first_project_of_the_readme(tmp_path: Path) -> None:
    script = "\n".join(["set -e", *(f'{line}\necho "=== done {i}"' for i, line in enumerate(commands()))])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert "2026-01-05  55.50" in out
    assert "rule=cast" in out
    assert "_line=7" in out
    assert "1 passed, 0 failed" in out
    assert (tmp_path / "coffee" / ".headwater" / "diagram.svg").is_file()


def test_its_last_promise_a_wrong_column_is_named_before_anything_runs(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "headwater"]
    subprocess.run([*run, "init", str(tmp_path / "coffee")], check=True, capture_output=True)
    model = tmp_path / "coffee" / "models" / "marts" / "daily_sales.sql"
    model.write_text(model.read_text().replace("sum(amount)", "sum(amnt)"))
    plan = [*run, "-p", str(tmp_path / "coffee"), "plan"]
    done = subprocess.run(plan, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "models/marts/daily_sales.sql:7:" in done.stderr
    assert "amount" in done.stderr


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
