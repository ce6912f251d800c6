"""Whose fault an error of the engine is: data of a store that cannot be read, or the query that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.secrets import redact
from headwater.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headwater.core.plan import Step
    from headwater.run.catalogue import Catalogue


def blame_step(error: Exception, step: Step, catalogue: Catalogue) -> Exception:
    """Return the error of a step, or the one of the damaged table that it met."""
    return find_damage(error, (*step.inputs, step.dataset), catalogue) or error


def find_damage(error: Exception, datasets: Iterable[str], catalogue: Catalogue) -> StateError | None:
    """Return an error that names the table whose data cannot be read, if one of these cannot; else None.

    The tables and their quarantines are read to their end, which only an error of a kind that damage makes is worth;
    one that comes through Arrow has lost its kind.
    """
    import duckdb

    kinds = (
        duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException, duckdb.InternalException,
        duckdb.FatalException, OSError,
    )  # fmt: skip
    if not isinstance(error, kinds) and type(error) is not duckdb.Error:
        return None
    for name in datasets:
        state = catalogue.states.get(name)
        if state is None or not state.scan:
            continue
        try:
            with catalogue.cursor() as connection:
                for query in (state.scan, state.rejects):
                    if query:
                        connection.execute(f"SELECT max(hash(t)) FROM ({query}) AS t").fetchall()
        except duckdb.Error as found:
            told = redact(str(found).partition("\n")[0], catalogue.project.secrets)
            return StateError(f"{name}: its data cannot be read: {told}", fix=state.way_out)
    return None
