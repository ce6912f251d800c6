"""What ports promise of time, against what was published: late is told, and fails nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from headwater.core.port import Port
from headwater.core.product import SlaName
from headwater.core.values import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.commit import Commit, TableState
    from headwater.core.product import SlaTerm
    from headwater.core.project import Project


def tell_late(project: Project, states: Mapping[str, TableState], now: datetime) -> dict[str, list[str]]:
    """Return, by port, the promises of time that are not kept now; a port that was never published has none."""
    found: dict[str, list[str]] = {}
    for name, port in project.declared(Port).items():
        state = states.get(name)
        if state is None or state.commit is None or state.foreign:
            continue
        told = [text for term in port.contract.sla if (text := _tell(term, state.commit, now))]
        if told:
            found[name] = [f"{name}: {text}" for text in told]
    return found


def _tell(term: SlaTerm, commit: Commit, now: datetime) -> str:
    limit = format_duration(term.limit)
    if term.name is SlaName.RETENTION:
        return _tell_retention(term, commit, now)
    if not term.column:
        age = now - _moment(commit.now)
        return f"{term.name}: published {_say_age(age)} ago, promised {limit}" if age > term.limit else ""
    newest = _ends(commit, term.column)
    if newest is None:
        return ""
    age = now - newest[1]
    late = f"{term.name}: the newest {term.column} is {_say_age(age)} old, promised {limit}"
    return late if age > term.limit else ""


def _tell_retention(term: SlaTerm, commit: Commit, now: datetime) -> str:
    """Rows younger than the promise may not have gone: the oldest value moves up only as rows pass that age."""
    history = [times for _, times in commit.history() if times is not None]
    ends = [one for times in history[-2:] if (one := _read(times, term.column)) is not None]
    if len(ends) < 2:
        return ""
    before, after = ends[0][0], ends[1][0]
    if after <= before or after <= now - term.limit:
        return ""
    limit = format_duration(term.limit)
    return f"{term.name}: rows of {term.column} before {after:%Y-%m-%d %H:%M} are gone, promised {limit}"


def _ends(commit: Commit, column: str) -> tuple[datetime, datetime] | None:
    """Return the lowest and highest value of a column in the published rows; None when they are not known."""
    history = commit.history()
    times = history[-1][1] if history else None
    return _read(times, column) if times is not None else None


def _read(times: Mapping[str, list[str]], column: str) -> tuple[datetime, datetime] | None:
    found = next((ends for name, ends in times.items() if name.lower() == column.lower()), None)
    return (_moment(found[0]), _moment(found[1])) if found else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _say_age(age: timedelta) -> str:
    """Write an age the way people read it: days from two of them on, then hours, then minutes."""
    for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)):
        if age >= 2 * unit or unit == timedelta(minutes=1):
            return format_duration(unit * (age // unit))
    return ""
