"""What a query of the project reads and may not call, as DuckDB's own parser sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.errors import ProjectError
from headwater.project.cache import digest
from headwater.sql.placeholders import CLOCK_PROBE, column_before, fill_placeholders
from headwater.sql.tokens import canonical_text

if TYPE_CHECKING:
    from headwater.project.cache import ParseCache


def judge_query(query: str, cache: ParseCache) -> dict[str, Any]:
    """Return what there is to know of a query before it is bound, as plain values.

    Either `error`: what, fix, line and column; or `tables`, `bare`, `volatile`, `refused`, `canonical` and `mentions`,
    with lines and columns of the text.
    """
    return dict(cache.get(digest("query judged, with bare names", query), lambda: _judge(query)))


def _judge(query: str) -> dict[str, Any]:
    from headwater.sql.parse import parse_query

    probe, shifts = fill_placeholders(query, CLOCK_PROBE.get)

    def place(line: int, column: int) -> list[int]:
        return [line, column_before(shifts, line, column)]

    try:
        parsed = parse_query(probe)
    except ProjectError as error:
        return {"error": [error.what, error.fix, *place(error.line, error.column)]}
    refused = [found.error(declared=True) for found in parsed.refused]
    return {
        "tables": [[found.name, *place(found.line, found.column)] for found in parsed.tables],
        "volatile": [found.name for found in parsed.volatile],
        "refused": [[e.what, e.fix, *place(e.line, e.column)] for e in refused],
        "canonical": digest(canonical_text(query)),
        "bare": [[found.name, *place(found.line, found.column)] for found in parsed.bare],
        "mentions": [list(mention) for mention in parsed.mentions] if probe == query else [],
    }
