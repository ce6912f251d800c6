"""`headwater plan`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.options import (
    attended,
    errors_as_json,
    exclude_option,
    from_option,
    json_option,
    load,
    now_option,
    offline_option,
    parse_clock,
    select_option,
    tell_problems,
    to_option,
)
from headwater.cli.out import print_json, say

if TYPE_CHECKING:
    from headwater.core.plan import Plan, Step

_MARKS = {"run": "+", "if_inputs_changed": "?", "skip": "."}


@click.command()
@select_option
@exclude_option
@click.option("--full", multiple=True, metavar="TERM", help="Rebuild these from nothing.")
@click.option("--keep-history", is_flag=True, help="Changed SQL does not rebuild finished intervals.")
@click.option("--retire", multiple=True, metavar="PORT", help="This port may go; no product declares it any more.")
@from_option
@to_option
@now_option
@offline_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], full: tuple[str, ...], keep_history: bool,
    retire: tuple[str, ...], begin: str | None, end: str | None, now: str | None, offline: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show what a run would do, and why. Nothing is changed."""

    def body() -> int:
        loaded = load(ctx, whole=True, offline=offline)
        plan = loaded.plan(
            select=select, exclude=exclude, full=full, keep_history=keep_history, begin=begin, end=end,
            now=parse_clock(now), offline=offline, attended=attended(), retire=retire,
        )  # fmt: skip
        print_json(plan_as_json(plan)) if as_json else print_plan(plan)
        tell_problems(loaded)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def print_plan(plan: Plan) -> None:
    """Print a plan for people: what runs, what may, what is skipped; by name, when it was asked for."""
    width = max((len(step.node) for step in plan.steps), default=0)
    skipped = [step for step in plan.steps if step.decision == "skip"]
    for step in plan.steps:
        if plan.selected or step.decision != "skip":
            say(f"{_MARKS[step.decision.value]} {step.node:<{width}}  {step.reason}{_spans(step)}{_size(step)}")
    if skipped:
        say(f". {len(skipped)} steps have nothing to do")
    for one in plan.breaks:
        say(f"! {one}")
    for note in plan.notes:
        say(f"note: {note}")
    for orphan in plan.orphans:
        rows = "it" if orphan.rows is None else f"its {orphan.rows:,} rows"
        say(f"orphan: {orphan} is no longer declared there; `headwater maintain --drop-orphans` drops {rows}")


def _size(step: Step) -> str:
    rows = step.estimated_rows
    return "" if rows is None else f" (about {rows:,} row{'s' if rows != 1 else ''} at the source)"


def _spans(step: Step) -> str:
    spans = step.spans
    if not spans:
        return ""
    shown = ", ".join(
        f"{span.start:%Y-%m-%d %H:%M}..{span.end:%Y-%m-%d %H:%M}".replace(" 00:00", "") for span in spans[:3]
    )
    return f" [{shown}{' …' if len(spans) > 3 else ''}]"


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON values."""
    return {
        "now": plan.now.isoformat(),
        "steps": [
            {
                "node": step.node,
                "action": step.role.value,
                "decision": step.decision.value,
                "reason": step.reason,
                "upstream": list(step.upstream),
                "intervals": [str(span) for span in step.spans],
                "source_rows": step.estimated_rows,
            }
            for step in plan.steps
        ],
        "breaks": [{**asdict(one), "hits": [asdict(hit) for hit in one.hits]} for one in plan.breaks],
        "orphans": [str(orphan) for orphan in plan.orphans],
        "notes": list(plan.notes),
    }
