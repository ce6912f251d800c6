"""Rejects of a load that failed: nothing of it is visible, but what was wrong with it has to be seen."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.contracts import NO_REJECTS
from headwater.core.files import open_regular, read_regular
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.errors import StateError
from headwater.sql.placeholders import timestamp_literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.core.project import Project

KEPT_ROWS = 1_000
"""How many rows that broke a check are kept, of a table that nobody delivers."""


def failed_rejects_file(project: Project, dataset: str) -> Path:
    """Return where the rejects of a table's last failed load lie (Parquet, `REJECT_COLUMNS`); a cache, never truth."""
    return Path(project.root) / ".headwater" / "rejected" / (project.environment or "default") / f"{dataset}.parquet"


def read_rejects(file: Path) -> Any:
    """Return what `keep_failure` kept, as Arrow.

    Raises:
        StateError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(file, "rb", opener=open_regular) as held:
            return pq.read_table(held)
    except (pa.ArrowException, OSError) as error:
        raise StateError(f"the rejects in {file} cannot be read: {error}", fix="run the load again") from None


def read_failure(project: Project, dataset: str) -> str:
    """Return the run whose load of a table broke a limit or a check, or "" when the last one kept them.

    What that load has staged is not for the next one: its source is to be read again, mended as it may be.
    """
    try:
        return read_regular(failed_rejects_file(project, dataset).with_suffix(".failed")).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return "unreadable"


def keep_failure(
    project: Project, dataset: str, run_id: str, connection: DuckDBPyConnection, rejects: Callable[[], SelectSql]
) -> None:
    """Keep that a load failed, and its rejects for `show --rejected`; a disk that is full keeps none.

    `rejects` gives the SELECT of them: that they cannot be told hides nothing of why the load failed.
    """
    import duckdb

    file = failed_rejects_file(project, dataset)
    with suppress(OSError, duckdb.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".failed").write_text(run_id, encoding="utf-8")
        file.unlink(missing_ok=True)  # an earlier load's
        unique = f"SELECT * FROM ({rejects() or NO_REJECTS}) QUALIFY row_number() OVER (PARTITION BY _reject_key) = 1"
        connection.execute(f"COPY ({unique}) TO {quote_text(str(file))} (FORMAT parquet)")


def forget_failure(project: Project, dataset: str) -> None:
    """Drop what is kept: a later load kept its limits, or there is nothing to load."""
    file = failed_rejects_file(project, dataset)
    for kept in (file, file.with_suffix(".failed")):
        with suppress(OSError):
            kept.unlink(missing_ok=True)


def as_rejects(rows: SelectSql, hidden: Collection[str], run_id: str, now: datetime) -> SelectSql:
    """Return rows that checks found wrong (`_rule` and their columns) as rejects; hidden columns are left out."""
    if not rows:
        return NO_REJECTS
    left_out = f" EXCLUDE ({', '.join(quote_identifier(name) for name in sorted(hidden))})" if hidden else ""
    raw = "CAST(json_merge_patch(to_json(one), '{\"_rule\": null}') AS VARCHAR)"
    texts = f"SELECT row_number() OVER () AS _hw_at, _rule, {raw} AS raw FROM (SELECT *{left_out} FROM ({rows})) AS one"
    return SelectSql(
        f"SELECT sha256(concat(_hw_at, chr(31), _rule, chr(31), raw)) AS _reject_key, {quote_text(run_id)} AS _batch, "
        f"{timestamp_literal(now)} AS _loaded_at, NULL::VARCHAR AS _file, NULL::BIGINT AS _line, _rule AS rule, "
        f"'a check found it wrong' AS reason, raw FROM ({texts})"
    )
