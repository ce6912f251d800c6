"""What the checks of datasets look into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.project.cache import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from headwater.core.dataset import Dataset
    from headwater.core.graph import Location
    from headwater.project.readers import LoadContext


def judge_checks(context: LoadContext, datasets: Mapping[str, Dataset], broken: Collection[str]) -> None:
    """See that a check looks into its own table and, a relationship, into one that is declared."""
    for name, dataset in datasets.items():
        for check in dataset.checks:
            to = check.relationship.to if check.relationship else name
            if to not in datasets and not {to, to.partition(".")[0]} & set(broken):
                context.error(
                    dataset.location, f"a relationship to {to}, which nothing declares", suggest(to, datasets)
                )
            for sql in filter(None, (check.sql, check.query)):
                _judge_sql(context, dataset.location, name, sql)


def _judge_sql(context: LoadContext, place: Location, name: str, sql: str) -> None:
    """A check's SQL reads its own table, and asks nothing else of the engine."""

    def parse() -> dict[str, Any]:
        from headwater.sql.parse import parse_query

        try:
            parsed = parse_query(sql)
        except ProjectError as error:
            return {"error": error.what}
        errors = [found.error(declared=True) for found in parsed.refused]
        others = [table.name for table in parsed.tables if table.name.lower() != "main.this"]
        return {"others": others, "refused": [[error.what, error.fix] for error in errors]}

    found = context.cache.get(digest("check judged", sql), parse)
    if "error" in found:
        fix = "write one SELECT of the rows that are wrong, from this"
        context.error(place, f"a check's SQL: {found['error']}", fix)
        return
    for what, fix in found["refused"]:
        context.error(place, f"a check of {name}: {what}", fix)
    for other in found["others"]:
        context.error(place, f"a check of {name} reads {other}", "only `this` can be read in a check's SQL")
