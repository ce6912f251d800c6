"""Checks on the result a commit will make, before anything is visible."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.core.fragments import SelectSql
from headwater.core.policies import Severity
from headwater.errors import CheckFailedError
from headwater.quality.scan import compile_scan, read_scan, sample_query

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from headwater.core.run import CheckResult
    from headwater.core.specs import CheckSpec
    from headwater.quality.scan import Measure

_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1}
_SHOWN_COLUMNS = 8


def _cut(value: str | None) -> str:
    return "NULL" if value is None else value[:40]


class Audit:
    """Runs a table's checks when the store asks; keeps the outcome in `results`.

    Args:
        checks: The table's checks.
        connection: Connection on which the store's SELECT runs; what a relationship names is there by its name.
        now: The clock, for checks of age.
        warn: Called with a line per check of severity `warning` that failed.
        hidden: Columns whose values stand in no message and no result.
    """

    def __init__(
        self,
        checks: Sequence[CheckSpec],
        connection: DuckDBPyConnection,
        now: datetime,
        warn: Callable[[str], None],
        hidden: Collection[str] = (),
    ) -> None:
        self.checks, self.connection, self.now, self.warn = checks, connection, now, warn
        self.hidden = frozenset(name.lower() for name in hidden)
        self.results: tuple[CheckResult, ...] = ()
        self.failed: tuple[Measure, ...] = ()

    def __call__(self, this: SelectSql) -> None:
        """Check a SELECT of the table as it will be.

        Raises:
            CheckFailedError: An error-check failed; the message names each with counts and samples.
        """
        if not self.checks:
            return
        scan = compile_scan(self.checks, this, self.now)
        row = self.connection.execute(scan.query).fetchone()
        results = zip(scan.measures, read_scan(scan, row or ()), strict=True)
        self.results = tuple(self._without_hidden(measure, result) for measure, result in results)
        pairs = zip(scan.measures, self.results, strict=True)
        failed = sorted((p for p in pairs if not p[1].passed), key=lambda pair: _RANKS[pair[1].severity])
        self.failed = tuple(measure for measure, _ in failed)
        lines = [self._line(measure, result, this) for measure, result in failed]
        if any(result.severity == Severity.ERROR for _, result in failed):
            raise CheckFailedError("\n".join(["checks failed; the last good version stays", *lines]))
        for line in lines:
            self.warn(line.strip())

    def _without_hidden(self, measure: Measure, result: CheckResult) -> CheckResult:
        """Return a result that tells no value of a hidden column: the newest one, or what a query makes of it."""
        about = measure.columns | {measure.column.lower()}
        return replace(result, detail="the value is hidden") if result.detail and about & self.hidden else result

    def _cell(self, name: str, value: str | None) -> str:
        return f"{name}={_cut('(hidden)' if name.lower() in self.hidden and value is not None else value)}"

    def _line(self, measure: Measure, result: CheckResult, this: SelectSql) -> str:
        text = f"  {result.severity}: {result.check}: {result.failing:,} of {result.rows:,} rows"
        if result.detail:
            return f"{text} ({result.detail})"
        if self.hidden and measure.kind == "sql":
            return text
        found = self.connection.execute(sample_query(measure, this, 3))
        names = [column[0] for column in found.description or ()]
        shown = measure.choose(names, _SHOWN_COLUMNS)
        rows = [", ".join(self._cell(names[at], row[at]) for at in shown) for row in found.fetchall()]
        if not rows:
            return text
        return f"{text}, for example ({'); ('.join(rows)})"
