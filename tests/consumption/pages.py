"""Dashboards on a plain DuckDB connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.consumption.dashboards.consumer import Dashboard, DashboardSpec
from headwater.contracts.consumer import Consumption, Made
from headwater.core.consumer import DeclaredConsumer
from headwater.core.graph import Location
from headwater.documents import parse_document
from headwater.validate import validate

if TYPE_CHECKING:
    from headwater.core.fragments import SelectSql
    from headwater.errors import ProjectError

PATH = "dashboards/page.md"
NOW = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)


def declare(text: str, name: str = "dashboards.page") -> Dashboard:
    """Declare a dashboard as the loader does: the head between `---` is YAML and is blanked."""
    head, body = "", text
    if text.startswith("---\n"):
        head, _, rest = text.removeprefix("---\n").partition("\n---\n")
        body = "\n" * (text[: len(text) - len(rest)].count("\n")) + rest
    document = parse_document(head, PATH, 2)
    errors: list[ProjectError] = []
    options = validate(DashboardSpec, document.data, document, (), errors)
    if options is None:
        raise errors[0]
    return Dashboard(DeclaredConsumer(name, "dashboard", options, Location(PATH, 1), "/project", body))


@dataclass
class Page:
    """A page that was made."""

    html: str
    made: Made
    queries: dict[str, SelectSql] = field(default_factory=dict)


def make(
    text: str,
    folder: Path,
    connection: duckdb.DuckDBPyConnection | None = None,
    **changed: Any,
) -> Page:
    """Declare and make a dashboard; the queries are bound to themselves."""
    dashboard = declare(text)
    con = connection or connect()
    queries = {query.name: query.sql for query in dashboard.queries()}
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "connection": con, "queries": queries, "versions": {"marts.daily_revenue": 7}, "folder": folder, "now": NOW,
        "temporary": folder.parent, **changed,
    }  # fmt: skip
    made = dashboard.make(Consumption(**values))
    return Page((folder / "index.html").read_text(encoding="utf-8"), made, queries)


def connect() -> duckdb.DuckDBPyConnection:
    """A database with the shop's daily revenue."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE SCHEMA marts")
    con.execute("""CREATE TABLE marts.daily_revenue AS
        SELECT DATE '2026-01-01' + CAST(n // 2 AS INTEGER) AS day, if(n % 2 = 0, 'EUR', 'USD') AS currency,
               CAST(1000 + 400 * sin(n / 9.0) + n * 3.17 AS DECIMAL(18, 2)) AS revenue,
               CAST(20 + n % 13 AS BIGINT) AS orders
        FROM range(120) AS t(n)""")
    return con
