"""Service levels of the Open Data Contract Standard as promises of time, and what cannot be evaluated of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.near import suggest
from headwater.core.odcs.kept import carry, carry_model
from headwater.core.odcs.types import read_span
from headwater.core.product import SlaName, SlaTerm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.specs.standards import OdcsContract, OdcsObject, OdcsSla

_TERMS = {
    "latency": SlaName.LATENCY, "ly": SlaName.LATENCY, "freshness": SlaName.FRESHNESS,
    "frequency": SlaName.FREQUENCY, "fy": SlaName.FREQUENCY, "retention": SlaName.RETENTION, "re": SlaName.RETENTION,
}  # fmt: skip
_DATES = frozenset(("generalavailability", "ga", "endofsupport", "es", "endoflife", "el"))
"""Dates of a port's life: kept, there is nothing to measure."""


@dataclass(slots=True)
class TermsReading:
    """What the service levels of a contract come to.

    Attributes:
        terms: The promises of time.
        kept: The service levels that are only kept.
        said: What is said beside a promise: the promise, and the words.
        unknown: Keys that the standard does not have.
        problems: The place of a service level in their list, what is wrong with it, and the fix.
    """

    terms: list[SlaTerm] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    said: list[list[Any]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[int, str, str]] = field(default_factory=list)


def term_key(term: SlaTerm) -> dict[str, str]:
    """Return what tells a promise apart from the others, for what is said beside it."""
    return {"sla": str(term.name), "column": term.column}


def read_terms(odcs: OdcsContract, table: OdcsObject, names: Mapping[str, str]) -> TermsReading:
    """Read the service levels of a contract, of one of its objects.

    Args:
        odcs: The contract.
        table: The object.
        names: Its columns by the names of their properties.
    """
    reading = TermsReading()
    for index, sla in enumerate(odcs.sla_properties):
        word = sla.property.strip().lower()
        if word in _DATES:
            reading.kept.append(carry_model(sla))
        elif word not in _TERMS:
            what = f"the service level {sla.property} cannot be evaluated"
            known = sorted({str(name) for name in SlaName})
            fix = suggest(sla.property, known, "say it in a custom property, or leave it out")
            reading.problems.append((index, what, fix))
        elif (term := _term(odcs, sla, _TERMS[word], table, names)) is not None:
            if isinstance(term, tuple):
                reading.problems.append((index, f"{sla.property}: {term[0]}", term[1]))
                continue
            reading.terms.append(term)
            if words := carry(sla.unread):
                reading.said.append([term_key(term), words])
    return reading


def _term(
    odcs: OdcsContract, sla: OdcsSla, name: SlaName, table: OdcsObject, names: Mapping[str, str]
) -> SlaTerm | tuple[str, str] | None:
    """Return a promise of time, or what is wrong with it; None for one about another object."""
    span = read_span(sla.value, sla.unit)
    if isinstance(span, tuple):
        return span
    element = sla.element.strip() or ("" if name is SlaName.FREQUENCY else odcs.sla_default_element.strip())
    first, _, rest = element.partition(".")
    column = rest if rest and first in (table.name, table.physical_name) else element
    if element in (table.name, table.physical_name):
        column = ""
    if column not in names and "," in element:
        return "several elements cannot be evaluated together", "write one service level for each"
    if rest and first != table.name and first in [one.name for one in odcs.schema_]:
        return None
    return SlaTerm(name, span, "" if name is SlaName.FREQUENCY else names.get(column, column))
