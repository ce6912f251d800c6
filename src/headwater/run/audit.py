"""Checks on the result a commit will make, before anything is visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import CheckFailedError
from headwater.quality import compile_scan, read_scan, sample_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.run import CheckResult
    from headwater.core.specs import CheckSpec
    from headwater.quality import Measure
    from headwater.run.context import RunContext

_RANKS = {"error": 0, "warning": 1}
_SHOWN_COLUMNS = 8


def _cut(value: str | None) -> str:
    return "NULL" if value is None else value[:40]


class Audit:
    """Runs a table's checks when the store asks; keeps the outcome in `results`.

    Args:
        context: The run.
        step: Name of the step.
        checks: The table's checks.
        connection: Connection on which the store's SELECT runs.
    """

    def __init__(
        self, context: RunContext, step: str, checks: Sequence[CheckSpec], connection: DuckDBPyConnection
    ) -> None:
        self.context, self.step, self.checks, self.connection = context, step, checks, connection
        self.results: tuple[CheckResult, ...] = ()
        for check in checks:
            if check.relationship is not None:  # before the store's transaction: a view made later is not seen in it
                context.catalogue.show(check.relationship.to)

    def __call__(self, this: str) -> None:
        """Check a SELECT of the table as it will be.

        Raises:
            CheckFailedError: An error-check failed; the message names each with counts and samples.
        """
        if not self.checks:
            return
        scan = compile_scan(self.checks, this, self.context.now)
        row = self.connection.execute(scan.query).fetchone()
        self.results = read_scan(scan, row or ())
        pairs = zip(scan.measures, self.results, strict=True)
        failed = sorted((p for p in pairs if not p[1].passed), key=lambda pair: _RANKS[pair[1].severity])
        lines = [self._line(measure, result, this) for measure, result in failed]
        if any(result.severity == "error" for _, result in failed):
            raise CheckFailedError("\n".join(["checks failed; the last good version stays", *lines]))
        for line in lines:
            self.context.emit("warning", self.step, text=line.strip())

    def _line(self, measure: Measure, result: CheckResult, this: str) -> str:
        text = f"  {result.severity}: {result.check}: {result.failing:,} of {result.rows:,} rows"
        if result.detail:
            return f"{text} ({result.detail})"
        found = self.connection.execute(sample_query(measure, this, 3))
        names = [column[0] for column in found.description or ()]
        shown = measure.choose(names, _SHOWN_COLUMNS)
        rows = [", ".join(f"{names[at]}={_cut(row[at])}" for at in shown) for row in found.fetchall()]
        return f"{text}, for example ({'); ('.join(rows)})"
