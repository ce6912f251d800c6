"""The journal: the history of runs, in SQLite. History and cache, never the truth: deleting it loses no position."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.policies import Severity
from headwater.core.run import CheckResult, Event, EventName, Run, Status, StepResult
from headwater.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  run_id TEXT PRIMARY KEY, environment TEXT, started TEXT, now TEXT, status TEXT, duration_s REAL);
CREATE TABLE IF NOT EXISTS steps (
  run_id TEXT, step TEXT, status TEXT, started TEXT, result TEXT, run INTEGER,
  PRIMARY KEY (run_id, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (run_id TEXT, at TEXT, name TEXT, step TEXT, data TEXT);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, step);
CREATE TABLE IF NOT EXISTS observations (name TEXT PRIMARY KEY, at TEXT, observation TEXT);
"""
_RUNS = "SELECT run_id, status, started, duration_s, now FROM runs"
_INDEXES = """
DROP INDEX IF EXISTS steps_by_step;
CREATE INDEX IF NOT EXISTS steps_by_run ON steps (step, run);
CREATE INDEX IF NOT EXISTS steps_that_did_something ON steps (step, run, status)
  WHERE status NOT IN ('skipped', 'blocked');
"""
KEPT_RUNS = 200
"""Runs that are kept however old they are."""

KEPT_AGE = timedelta(days=7)
"""Age up to which further runs are kept: many small ones must not push out what ran this morning."""

MOST_RUNS = 50_000
"""Runs that are kept at most."""

_GOOD = (Status.DONE.value, Status.UNCHANGED.value)


class Journal:
    """The journal of one project; one writer thread at a time, any number of readers.

    Args:
        folder: `.headwater` of the project; created when something is first written.
        environment: Name of the environment, "" for the default one.

    Raises:
        StateError: The file is not a journal (damaged): it may be deleted, which loses history only.
    """

    def __init__(self, folder: Path, environment: str = "") -> None:
        self.file = folder / f"journal{f'-{environment}' if environment else ''}.db"
        self.environment = environment
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending, as far as the disk lets it, and close the file."""
        with self._lock:
            if self._connection is not None:
                with suppress(sqlite3.DatabaseError):
                    self._connection.commit()
                self._connection.close()
                self._connection = None

    # --------------------------------------------------------------------------------------------------- writing

    def start_run(self, run_id: str, started: str, now: str) -> None:
        """Note that a run has begun, and forget old ones: by their number and their age, see `KEPT_AGE`.

        Args:
            run_id: The run.
            started: When it did, ISO, UTC.
            now: Its clock.
        """
        self._write("INSERT INTO runs VALUES (?, ?, ?, ?, 'running', 0)", (run_id, self.environment, started, now))
        old = (
            "SELECT run_id FROM runs WHERE rowid <= (SELECT rowid FROM runs ORDER BY rowid DESC LIMIT 1 OFFSET ?) "
            "AND (started < ? OR rowid <= (SELECT rowid FROM runs ORDER BY rowid DESC LIMIT 1 OFFSET ?))"
        )
        since = (datetime.fromisoformat(started) - KEPT_AGE).isoformat(timespec="microseconds")
        for table in ("events", "steps", "runs"):
            self._write(f"DELETE FROM {table} WHERE run_id IN ({old})", (KEPT_RUNS, since, MOST_RUNS))
        self.flush()

    def write_event(self, run_id: str, event: Event) -> None:
        """Add an event; it reaches the disk with the next `flush`."""
        row = (run_id, event.at, event.name, event.step, json.dumps(event.data, default=str))
        self._write("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)

    def write_result(self, run_id: str, result: StepResult) -> None:
        """Add a step's result; it reaches the disk with the next `flush`."""
        fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
        text = json.dumps({**fields, "checks": [asdict(check) for check in result.checks]}, default=str)
        row = (run_id, result.step, result.status.value, result.started, text)
        number = "(SELECT rowid FROM runs WHERE run_id = ?1)"
        self._write(f"INSERT OR REPLACE INTO steps VALUES (?1, ?2, ?3, ?4, ?5, {number})", row)

    def end_run(self, run: Run) -> None:
        """Note how a run ended."""
        self._write(
            "UPDATE runs SET status = ?, duration_s = ? WHERE run_id = ?",
            (run.status.value, run.duration_s, run.run_id),
        )
        self.flush()

    def write_observation(self, name: str, at: str, observation: dict[str, Any]) -> None:
        """Keep what a source said of itself, for `plan --offline`."""
        self._write("INSERT OR REPLACE INTO observations VALUES (?, ?, ?)", (name, at, json.dumps(observation)))

    def flush(self) -> None:
        """Make everything written so far durable."""
        with self._lock:
            try:
                if self._connection is not None:
                    self._connection.commit()
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from None

    def _write(self, statement: str, row: tuple[Any, ...]) -> None:
        with self._lock:
            try:
                self._open().execute(statement, row)
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from None

    # --------------------------------------------------------------------------------------------------- reading

    def list_runs(self, limit: int = 20) -> list[Run]:
        """Return the newest runs first, without their steps. A run that was killed has status "stopped".

        Newest is what was written last, not what a clock, which may be set back, says.
        """
        rows = self._read(f"{_RUNS} ORDER BY rowid DESC LIMIT ?", (limit,))
        with self._told():
            return [_run(row) for row in rows]

    def read_run(self, run_id: str) -> Run | None:
        """Return a run with its steps, or None."""
        found = self._read(f"{_RUNS} WHERE run_id = ?", (run_id,))
        rows = self._read("SELECT result FROM steps WHERE run_id = ? ORDER BY started", (run_id,))
        with self._told():
            return replace(_run(found[0]), results=tuple(_result(r[0]) for r in rows)) if found else None

    def last_results(self) -> dict[str, StepResult]:
        """Return the newest result of every step that did something; a skip does not hide what was done before.

        A failure is over when a later run skips the step because its table is as it should be: then it is the last
        result that was good, or the skip itself.
        """
        did = "status NOT IN ('skipped', 'blocked')"
        rows = self._read(
            f"SELECT step, result, run FROM steps JOIN (SELECT step, max(run) AS run FROM steps WHERE {did} "
            f"GROUP BY step) USING (step, run) WHERE {did}",
            (),
        )
        with self._told():
            return {step: self._settled(step, _result(text), run) for step, text, run in rows}

    def _settled(self, step: str, result: StepResult, run: int) -> StepResult:
        if result.status.value in _GOOD:
            return result
        skips = self._last(step, "status = 'skipped' AND run > ?", run)
        if not any(skip.settled for skip in skips):
            return result
        return next(iter([*self._last(step, "status IN ('done', 'unchanged') AND run < ?", run), *skips]))

    def _last(self, step: str, where: str, run: int) -> list[StepResult]:
        """Return the newest result of a step that a condition on a run holds for, if there is one."""
        found = self._read(
            f"SELECT result FROM steps WHERE step = ? AND {where} ORDER BY run DESC LIMIT 1", (step, run)
        )
        return [_result(text) for (text,) in found]

    def step_history(self, step: str, limit: int = 10) -> list[tuple[str, StepResult]]:
        """Return (run id, result) of a step, newest first."""
        rows = self._read("SELECT run_id, result FROM steps WHERE step = ? ORDER BY run DESC LIMIT ?", (step, limit))
        with self._told():
            return [(row[0], _result(row[1])) for row in rows]

    def read_events(self, run_id: str) -> list[Event]:
        """Return a run's events in order."""
        rows = self._read("SELECT name, at, step, data FROM events WHERE run_id = ? ORDER BY rowid", (run_id,))
        with self._told():
            return [Event(EventName(row[0]), row[1], row[2], json.loads(row[3])) for row in rows]

    def read_observations(self) -> dict[str, dict[str, Any]]:
        """Return the last observation of every source table."""
        rows = self._read("SELECT name, observation FROM observations", ())
        with self._told():
            return {row[0]: dict(json.loads(row[1])) for row in rows}

    def _read(self, statement: str, row: tuple[Any, ...]) -> list[Any]:
        if not self.file.exists():
            return []
        with self._lock:
            try:
                return self._open().execute(statement, row).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, check_same_thread=False, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            if "run" not in [row[1] for row in connection.execute("PRAGMA table_info(steps)")]:  # of an older version
                connection.executescript(
                    "ALTER TABLE steps ADD COLUMN run INTEGER; "
                    "UPDATE steps SET run = (SELECT rowid FROM runs WHERE runs.run_id = steps.run_id);"
                )
            connection.executescript(_INDEXES)
            self._connection = connection
        return self._connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of an entry that cannot be read back that the journal is damaged."""
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> StateError:
        return StateError(f"the journal {self.file} cannot be used: {error}", fix="delete it: that loses history only")


def _run(row: tuple[Any, ...]) -> Run:
    return Run(row[0], _status(row[1]), row[2], row[3] or 0.0, row[4])


def _status(text: str) -> Status:
    return Status.STOPPED if text == "running" else Status(text)


def _result(text: str) -> StepResult:
    data = json.loads(text)
    data["status"] = Status(data["status"])
    data["checks"] = tuple(
        CheckResult(**{**check, "severity": Severity(check["severity"])}) for check in data["checks"]
    )
    data["notes"] = tuple(data.get("notes", ()))
    return StepResult(**data)
