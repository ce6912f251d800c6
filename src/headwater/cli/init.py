"""`headwater init`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from headwater.cli.options import errors_as_json, json_option
from headwater.cli.out import print_json, say
from headwater.errors import ProjectError

_FILES = {
    "headwater.yaml": "name: {name}\n",
    ".gitignore": ".headwater/\ndata/\n.env\n",
    "files/orders.csv": (
        "order_id,customer,amount,ordered_at\n"
        "1,ada,20.00,2026-01-05 09:12:00\n"
        "2,grace,35.50,2026-01-05 11:40:00\n"
        "3,ada,12.25,2026-01-06 08:05:00\n"
        "4,alan,99.90,2026-01-07 17:30:00\n"
    ),
    "sources/shop.yaml": """# One file per source: where it is, its tables, how each is ingested.
kind: files
tables:
  orders:
    path: files/orders*.csv
    load: incremental            # new and changed files only
    key: order_id
    columns: {order_id: bigint, customer: varchar, amount: "decimal(12,2)", ordered_at: timestamp}
    reject_if: {negative_amount: amount < 0}
""",
    "models/marts/daily_sales.sql": """/* headwater
description: Sales per day.
columns:
  day: {checks: [not_null, unique]}
  sales: {checks: [{range: {min: 0}}]}
*/
select cast(ordered_at as date) as day, sum(amount) as sales, count(*) as orders
from shop.orders
group by all
""",
    "tests/daily_sales.yaml": """model: marts.daily_sales
given:
  shop.orders:
    - {order_id: 1, amount: 20.00, ordered_at: "2026-01-05T09:00:00"}
    - {order_id: 2, amount: 1.50, ordered_at: "2026-01-05T10:00:00"}
expect:
  - {day: 2026-01-05, sales: 21.50, orders: 2}
""",
}


@click.command()
@click.argument("folder", default=".")
@json_option
@click.pass_context
def command(ctx: click.Context, folder: str, as_json: bool) -> None:
    """Make a small project that runs: a CSV, a source, a model with checks, a unit test."""

    def body() -> int:
        written = make_project(Path(folder))
        if as_json:
            print_json({"folder": folder, "files": written})
            return 0
        say(f"made a project in {folder}: {', '.join(written)}")
        say("next: headwater plan, headwater run, headwater draw --open")
        return 0

    ctx.exit(errors_as_json(body, as_json))


def make_project(root: Path) -> list[str]:
    """Write the small project; files that are there already stay. Return what was written.

    Raises:
        ProjectError: There is a project already.
    """
    if (root / "headwater.yaml").exists():
        raise ProjectError(f"{root / 'headwater.yaml'} is there already", fix="name another folder")
    stem = re.sub(r"[^A-Za-z0-9_]", "_", root.resolve().name).strip("_") or "project"
    name = stem if stem[0].isalpha() else f"p_{stem}"
    written = []
    for path, text in _FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(text.replace("{name}", name), encoding="utf-8")
            written.append(path)
    return written
