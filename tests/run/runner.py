"""Running small projects in this process: a run's results by step, the rows of a query, counts that must add up."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.api import load

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.core.run import Run, StepResult

NOW = datetime(2026, 1, 10, tzinfo=UTC)

COLUMNS = 'columns: {id: bigint, item: varchar, price: "decimal(8,2)"}'
HEADER = "id,item,price\n"


def run_all(folder: Path, **options: Any) -> Run:
    """Run a project with one worker and a fixed clock."""
    return load(folder).run(**{"now": NOW, "workers": 1, **options})


def run(folder: Path, **options: Any) -> dict[str, StepResult]:
    """Run a project; return the results by step."""
    return {result.step: result for result in run_all(folder, **options).results}


def run_well(folder: Path, **options: Any) -> dict[str, StepResult]:
    """Run a project in which nothing may fail."""
    results = run(folder, **options)
    errors = [f"{name}: {result.error}" for name, result in results.items() if result.error]
    assert not errors, "\n".join(errors)
    return results


def statuses(results: dict[str, StepResult]) -> dict[str, str]:
    """Return the status of every step as text."""
    return {name: result.status.value for name, result in results.items()}


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, sorted."""
    table = load(folder).query(sql)
    found = [tuple(row.values()) for row in table.to_pylist()]
    return sorted(found, key=lambda row: [(value is None, 0 if value is None else value) for value in row])


def version(folder: Path, dataset: str) -> int | None:
    """Return the version that readers of a dataset compare."""
    return load(folder).states()[dataset].version


def source(store: str, more: str = "", columns: str = COLUMNS) -> str:
    """Return a source file of one table of CSV files, `shop.orders`, loaded into a store."""
    extra = "".join(f"    {line}\n" for line in more.splitlines())
    return f"kind: files\ntables:\n  orders:\n    path: in/*.csv\n    into: {store}\n    {columns}\n{extra}"


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files; each gets a time of last change of its own, so that equal sizes do not hide a change."""
    (folder / "headwater.yaml").exists() or files.setdefault("headwater.yaml", "name: demo\n")
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.stat().st_mtime_ns if file.exists() else 0
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        stamp = max(file.stat().st_mtime_ns, before + 1_000_000)
        os.utime(file, ns=(stamp, stamp))
    return folder
