"""Nothing heavy is imported until it is used: help is instant."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"duckdb", "pyarrow", "sqlglot", "pydantic", "deltalake"}


def imported_by(*arguments: str) -> set[str]:
    """Top-level packages that a Python process imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import headwater"), ("-c", "import headwater.cli"), ("-m", "headwater", "--help")],
    ids=["import headwater", "import headwater.cli", "headwater --help"],
)
def test_nothing_heavy(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments)
    assert "headwater" in imported
    assert imported & HEAVY == set()


def test_the_rule_sees_a_heavy_import() -> None:
    assert imported_by("-c", "def f():\n import sqlglot.tokens\nf()") & HEAVY == {"sqlglot"}
