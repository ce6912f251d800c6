"""Rejects of a load that failed: nothing of it is visible, but what was wrong with it has to be seen."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.sql.placeholders import quote_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.project import Project


def failed_rejects_file(project: Project, dataset: str) -> Path:
    """Return where the rejects of a table's last failed load lie (Parquet, `REJECT_COLUMNS`); a cache, never truth."""
    return Path(project.root) / ".headwater" / "rejected" / (project.environment or "default") / f"{dataset}.parquet"


def keep_failed_rejects(project: Project, dataset: str, connection: DuckDBPyConnection, rejects: str) -> None:
    """Keep the rejects of a load that failed, for `show --rejected`; a disk that is full keeps none."""
    import duckdb

    if not rejects:
        return
    file = failed_rejects_file(project, dataset)
    with suppress(OSError, duckdb.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        unique = f"SELECT * FROM ({rejects}) QUALIFY row_number() OVER (PARTITION BY _reject_key) = 1"
        connection.execute(f"COPY ({unique}) TO {quote_text(str(file))} (FORMAT parquet)")


def forget_failed_rejects(project: Project, dataset: str) -> None:
    """Drop them: a later load kept its limits, or there is nothing to load."""
    with suppress(OSError):
        failed_rejects_file(project, dataset).unlink(missing_ok=True)
