"""A run's clock that is before what was committed already: never decided by, and always said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headwater.core.commit import TableState
    from headwater.core.plan import Step


def tell_clocks(steps: Iterable[Step], states: Mapping[str, TableState], now: datetime) -> list[str]:
    """Say which datasets were last committed by a clock that is ahead of this run's, a line for each instant."""
    ahead: dict[str, dict[str, bool]] = {}
    for step in steps:
        state = states.get(step.dataset)
        if state is not None and state.commit is not None and _read(state.commit.now) > now:
            ahead.setdefault(state.commit.now, {})[step.dataset] = step.is_dated_by_clock
    return [
        f"the clock of this run, {_tell(now)}, is before that of the last commit of {', '.join(names)}, "
        f"{_tell(_read(instant))}: see --now and the machine's clock{_tell_snapshots(names)}"
        for instant, names in sorted(ahead.items())
    ]


def _tell_snapshots(names: Mapping[str, bool]) -> str:
    snapshots = [name for name, dated in names.items() if dated]
    return f"; until it has passed that, {', '.join(snapshots)} dates changes right after it" if snapshots else ""


def _read(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _tell(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
