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
    from headwater.quality import Scan
    from headwater.run.context import RunContext

_RANKS = {"error": 0, "warning": 1}


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
                context.show(check.relationship.to)

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
        failed = [result for result in self.results if not result.passed]
        if not failed:
            return
        lines = [self._line(scan, result, this) for result in sorted(failed, key=lambda r: _RANKS[r.severity])]
        if any(result.severity == "error" for result in failed):
            raise CheckFailedError("\n".join(["checks failed; the last good version stays", *lines]))
        for line in lines:
            self.context.emit("warning", self.step, text=line.strip())

    def _line(self, scan: Scan, result: CheckResult, this: str) -> str:
        measure = next(m for m in scan.measures if m.name == result.check and m.severity == result.severity)
        text = f"  {result.severity}: {result.check}: {result.failing:,} of {result.rows:,} rows"
        if result.detail:
            return f"{text} ({result.detail})"
        query = sample_query(measure, this, 3)
        if not query:
            return text
        found = self.connection.execute(query)
        names = [column[0] for column in found.description or ()]
        rows = [", ".join(f"{n}={v!s:.40}" for n, v in zip(names[:8], row, strict=False)) for row in found.fetchall()]
        return f"{text}, for example ({'); ('.join(rows)})"
