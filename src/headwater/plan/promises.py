"""What a port promised when it was last published, and promises no longer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.core.graph import Location
from headwater.core.product import PortContract, SlaName
from headwater.core.promises import columns_of, describe_check
from headwater.core.specs.base import CheckSpec
from headwater.core.values import format_duration
from headwater.plan.promised_checks import BreakKind, is_implied, loosened, singled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from headwater.core.product import PortColumn, SlaTerm


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """Something that readers of a port could rely on, and no longer can.

    Attributes:
        port: The port's dataset, `<domain>.<port>_v<major>`.
        column: The column it is about; "" for several, or the port.
        kind: What became of the promise.
        text: What was and what is, for people.
        location: Where the port is declared now, or was.
    """

    port: str
    column: str
    kind: BreakKind
    text: str
    location: Location = field(default=Location(""))

    def __str__(self) -> str:
        return f"{self.port}: {self.text}"


def compare_ports(
    published: Mapping[str, PortContract], declared: Mapping[str, PortContract], retired: Collection[str] = ()
) -> tuple[BrokenPromise, ...]:
    """Return what the ports that were published promise no longer, those that are gone included.

    Args:
        published: The contracts that were last published, by the port's dataset.
        declared: The contracts that are declared now, by the port's dataset.
        retired: The datasets of ports that may go.
    """
    found: list[BrokenPromise] = []
    for dataset, contract in published.items():
        if (now := declared.get(dataset)) is not None:
            found += compare_contracts(contract, now)
        elif dataset not in retired:
            found.append(_gone(contract, declared))
    return tuple(found)


def _gone(contract: PortContract, declared: Mapping[str, PortContract]) -> BrokenPromise:
    others = [one for one in declared.values() if (one.domain, one.port) == (contract.domain, contract.port)]
    if not others:
        text = f"the port was published as {contract.version} and is declared no longer"
        return BrokenPromise(contract.dataset, "", BreakKind.PORT_GONE, text, contract.location)
    majors = ", ".join(str(major) for major in sorted(one.major for one in others))
    text = f"major {contract.major} was published and only {majors} is declared"
    return BrokenPromise(contract.dataset, "", BreakKind.MAJOR_GONE, text, others[0].location)


def compare_contracts(published: PortContract, declared: PortContract) -> tuple[BrokenPromise, ...]:
    """Return what a contract that was published promised, and the declared one of the same major does not.

    More columns, tighter bounds and words for people break nothing; that further columns of the dataset pass unseen
    (`strict: false`) does not either. Case matters in names: not every reader of a Delta table passes over it.
    """
    found = [
        *_compare_columns(published, declared),
        *_compare_checks(published, declared),
        *_compare_sla(published, declared),
    ]
    return tuple(BrokenPromise(declared.dataset, column, kind, text, declared.location) for column, kind, text in found)


_Found = tuple[str, BreakKind, str]
"""The column, what became of its promise, and the text."""


def _compare_columns(published: PortContract, declared: PortContract) -> Iterator[_Found]:
    given = {column.name: column for column in declared.columns}
    spelled = {name.lower(): name for name in given}
    kept = list(singled(declared.audit_checks()))
    types = _types(published)
    for column in published.columns:
        now = given.get(column.name)
        if now is None:
            other = spelled.get(column.name.lower(), "")
            told = f"is now spelled {other}" if other else f"is gone (it was {column.type})"
            yield column.name, BreakKind.COLUMN_GONE, f"column {column.name} {told}"
            continue
        if now.type != column.type:
            yield column.name, BreakKind.TYPE_CHANGED, f"column {column.name} was {column.type} and is {now.type}"
        yield from _compare_flags(column, kept, types)


def _compare_flags(column: PortColumn, kept: Sequence[CheckSpec], types: Mapping[str, str]) -> Iterator[_Found]:
    name = column.name
    if column.required and not is_implied(CheckSpec(not_null=[name], column=name), kept, types):
        yield name, BreakKind.REQUIRED_DROPPED, f"column {name} was required and may hold NULL"
    if column.unique and not is_implied(CheckSpec(unique=[name], column=name), kept, types):
        yield name, BreakKind.UNIQUE_DROPPED, f"column {name} was unique and its values may stand twice"


def _compare_checks(published: PortContract, declared: PortContract) -> Iterator[_Found]:
    """Compare the checks; what is about a column that is gone was said with the column."""
    given = {column.name.lower() for column in declared.columns}
    kept = list(singled(declared.audit_checks()))
    types = _types(published)
    for check in singled(published.checks):
        names = columns_of(check)
        if any(name.lower() not in given for name in names) or is_implied(check, kept, types):
            continue
        column = names[0] if len(names) == 1 else ""
        other = _counterpart(check, kept)
        if other is None:
            yield column, BreakKind.CHECK_REMOVED, f"{_about(names)}the check {describe_check(check)} is gone"
            continue
        for kind in loosened(check, other, types):
            told = f"the check was {describe_check(check)} and is {describe_check(other)}"
            yield column, kind, f"{_about(names)}{told}"


def _counterpart(check: CheckSpec, kept: Sequence[CheckSpec]) -> CheckSpec | None:
    """Return what a check has become: that of its name, or the one of its kind and columns."""
    names = sorted(name.lower() for name in columns_of(check))
    alike = [
        one for one in kept
        if one.kind == check.kind and sorted(name.lower() for name in columns_of(one)) == names
    ]  # fmt: skip
    if check.name and (named := [one for one in alike if one.name == check.name]):
        return named[0]
    if check.kind in ("sql", "query"):
        value = getattr(check, check.kind)
        return next((one for one in alike if getattr(one, one.kind) == value), None)
    return alike[0] if alike else None


def _about(names: Sequence[str]) -> str:
    return f"column {names[0]}: " if len(names) == 1 else f"columns {', '.join(names)}: " if names else ""


def _types(contract: PortContract) -> dict[str, str]:
    return {column.name.lower(): column.type for column in contract.columns}


_AGES = (SlaName.FRESHNESS, SlaName.LATENCY)


def _compare_sla(published: PortContract, declared: PortContract) -> Iterator[_Found]:
    for term in published.sla:
        alike = [one for one in declared.sla if _same_promise(term, one)]
        if any(_is_kept(term, one) for one in alike):
            continue
        if alike:
            text = f"{_describe_term(term)} became {format_duration(alike[0].limit)}"
            yield term.column, BreakKind.SLA_LOOSENED, text
        else:
            yield term.column, BreakKind.SLA_REMOVED, f"{_describe_term(term)} is promised no longer"


def _same_promise(one: SlaTerm, other: SlaTerm) -> bool:
    same = one.name is other.name or (one.name in _AGES and other.name in _AGES)
    return same and one.column.lower() == other.column.lower()


def _is_kept(before: SlaTerm, after: SlaTerm) -> bool:
    return after.limit >= before.limit if before.name is SlaName.RETENTION else after.limit <= before.limit


def _describe_term(term: SlaTerm) -> str:
    by = f" by {term.column}" if term.column else ""
    return f"{term.name}{by} {format_duration(term.limit)}"
