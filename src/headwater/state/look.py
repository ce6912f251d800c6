"""Looking at journal and lease as they lie there, without opening them as a run does: nothing is changed by it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from headwater.state.journal import Journal
from headwater.state.lease import Lease, find_holder

if TYPE_CHECKING:
    from pathlib import Path

Noticed = tuple[str, str, bool]
"""What is worth telling, what mends it, whether it is damage; all empty when there is nothing."""

_NOTHING: Noticed = ("", "", False)


def look_at_journal(folder: Path, environment: str = "") -> Noticed:
    """Check the whole file of the journal, and that every entry can be read back."""
    file = Journal(folder, environment).file
    mend = f"delete {file}: that loses history only"
    if (kind := _kind_of(file)) is not None:
        return _NOTHING if kind == "" else (f"{file} is {kind}", mend, True)
    plain = "" if os.path.exists(f"{file}-wal") else "&immutable=1"  # else SQLite would make files beside it
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro{plain}", uri=True)) as journal:
            problems = [row[0] for row in journal.execute("PRAGMA quick_check")]
            broken = journal.execute("SELECT count(*) FROM steps WHERE NOT json_valid(result)").fetchone()[0]
    except sqlite3.Error as error:
        return (f"{file} cannot be read: {error}", mend, True)
    if problems != ["ok"]:
        return (f"{file}: {problems[0]}", mend, True)
    return (f"{file}: {broken} entries cannot be read", mend, True) if broken else _NOTHING


def look_at_lease(folder: Path, environment: str = "") -> Noticed:
    """Tell who holds the lease; it is not tried, so that nobody finds it taken meanwhile."""
    file = Lease(folder, environment).file
    if (kind := _kind_of(file)) is not None:
        return _NOTHING if kind == "" else (f"{file} is {kind}", f"remove {file}", True)
    holder, _ = find_holder(folder, environment)
    if holder and os.path.exists(f"/proc/{holder}"):
        return (f"a run holds the project (process {holder})", "", False)
    return _NOTHING


def _kind_of(file: Path) -> str | None:
    """Return what stands in place of a file: "" when nothing does, None when it is one that can be read."""
    try:
        about = os.stat(file)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"not to be read: {error.strerror}"
    if not stat.S_ISREG(about.st_mode):
        return "not a file"
    return None if os.access(file, os.R_OK) else "not to be read"
