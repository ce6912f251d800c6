"""Ports before a run: whether what a dataset gives is what its port promises, and which promises are broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.contracts import SYSTEM_COLUMNS
from headwater.core.plan import CONTRACT
from headwater.core.port import Port
from headwater.core.product import from_json
from headwater.errors import StateError
from headwater.plan.promises import compare_ports

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headwater.core.commit import Column, TableState
    from headwater.core.product import PortContract
    from headwater.core.project import Project
    from headwater.plan.promises import BrokenPromise


def tell_unkept(contract: PortContract, columns: Sequence[Column], given: Sequence[Column]) -> list[str]:
    """Say which columns are not as a contract has them.

    Args:
        contract: What is promised.
        columns: The port's columns as they land.
        given: All columns of the dataset that it is made of; none when they are not known.
    """
    promised = {column.name.lower(): column for column in contract.columns}
    told = [
        f"column {column.name} is {column.type}, promised as {promised[column.name.lower()].type}"
        for column in columns
        if column.name.lower() in promised and column.type != promised[column.name.lower()].type
    ]
    more = [c.name for c in given if c.name.lower() not in promised and c.name not in SYSTEM_COLUMNS]
    if contract.strict and more:
        told.append(f"{contract.source} has {', '.join(more)}, which is not promised: add it, or say strict: false")
    return told


def read_published(states: Mapping[str, TableState]) -> dict[str, PortContract]:
    """Return the contracts that were last published, by the port's dataset.

    Raises:
        StateError: One of them cannot be read: it is not known what was promised.
    """
    found = {}
    for name, state in states.items():
        kept = state.position.get(CONTRACT)
        if state.commit is not None and isinstance(kept, dict):
            try:
                found[name] = from_json(kept)
            except ValueError as error:
                raise StateError(f"{name}: the contract that was published: {error}", fix=state.way_out) from None
    return found


def find_broken(
    project: Project, states: Mapping[str, TableState], retired: Collection[str] = ()
) -> tuple[BrokenPromise, ...]:
    """Return what was promised and is not any more, by what is declared now.

    What was promised is what was published; where nothing was, what the contract's file beside the product says.
    """
    ports = project.declared(Port)
    declared = {name: port.contract for name, port in ports.items()}
    committed = {name: port.committed for name, port in ports.items() if port.committed is not None}
    return compare_ports({**committed, **read_published(states)}, declared, retired)
