"""The schema policy: what the table's columns are after a load whose incoming columns differ from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.core.policies import SchemaPolicy
from headwater.core.types import wider_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.commit import Column


@dataclass(frozen=True, slots=True)
class SchemaDecision:
    """What the policy decided.

    Attributes:
        columns: The table's columns after the load, in order, without system columns.
        discarded: Incoming columns that the table does not take: a row with a value in one is a reject.
        errors: Why the load must not run; each names the column and the way out.
    """

    columns: tuple[Column, ...]
    discarded: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def decide_schema(
    policy: SchemaPolicy,
    incoming: Sequence[Column],
    current: Sequence[Column] | None,
    *,
    widens: bool = True,
    replaces: bool = False,
    declared: bool = False,
) -> SchemaDecision:
    """Decide the table's columns.

    `evolve` adds new columns and widens where that loses nothing and the store can (Delta cannot). `freeze` takes no
    difference at all. `discard_row` keeps the table's columns and rejects rows with a value in an unknown one;
    `discard_value` leaves out the values that have no place or are not of the column's type. A missing column is NULL,
    but for `freeze`. Names are compared without case; the table's spelling stays.

    Args:
        policy: `evolve`, `freeze`, `discard_row` or `discard_value`.
        incoming: The landed columns of the load.
        current: The table's columns without system columns, None when there is no table yet.
        widens: Whether a column in the store may take a wider type.
        replaces: The load replaces all rows: `evolve` may then take another type.
        declared: The incoming columns are those that the project declares, so that a new one has its place.
    """
    if not current:
        return SchemaDecision(tuple(incoming))
    arriving = {column.name.lower(): column for column in incoming}
    known = {column.name.lower() for column in current}
    new = [column for column in incoming if column.name.lower() not in known]
    if policy == SchemaPolicy.FREEZE:
        return SchemaDecision(tuple(current), (), tuple(_differences(current, arriving, new)))
    columns, errors = [], []
    for column in current:
        decided, error = _decide_column(column, arriving.get(column.name.lower()), policy, widens, replaces)
        columns.append(decided)
        errors += [error] if error else []
    if policy != SchemaPolicy.EVOLVE and not declared:
        discarded = tuple(c.name for c in new) if policy == SchemaPolicy.DISCARD_ROW else ()
        return SchemaDecision(tuple(columns), discarded, tuple(errors))
    return SchemaDecision((*columns, *new), (), tuple(errors))


def _decide_column(
    column: Column, arriving: Column | None, policy: SchemaPolicy, widens: bool, replaces: bool
) -> tuple[Column, str]:
    """Return the column after the load, and an error or ""."""
    if arriving is None or arriving.type == column.type:
        return column, ""
    wider = wider_type(column.type, arriving.type)
    if wider == column.type or policy == SchemaPolicy.DISCARD_VALUE:
        return column, ""
    if policy == SchemaPolicy.EVOLVE:
        if replaces:
            return replace(column, type=arriving.type, source_type=arriving.source_type), ""
        if wider is not None and widens:
            return replace(column, type=wider, source_type=arriving.source_type), ""
    return column, (
        f"column {column.name!r} is {column.type} in the table and arrives as {arriving.type}; "
        f"cast it in prepare (cast: {{{column.name}: {column.type.lower()}}}), or load the table anew"
    )


def _differences(current: Sequence[Column], arriving: dict[str, Column], new: Sequence[Column]) -> list[str]:
    """Name every difference, for `freeze`."""
    errors = [
        f"column {column.name!r} ({column.type}) is new and schema is freeze; "
        "drop it in prepare, or allow schema: evolve"
        for column in new
    ]
    for column in current:
        found = arriving.get(column.name.lower())
        if found is None:
            errors.append(f"column {column.name!r} is missing and schema is freeze; allow schema: evolve")
        elif found.type != column.type:
            errors.append(
                f"column {column.name!r} is {column.type} in the table, arrives as {found.type}, and schema is freeze; "
                f"cast it in prepare (cast: {{{column.name}: {column.type.lower()}}})"
            )
    return errors
