"""Datasets that are declared in another store than the one that holds them: they are made anew, which is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.policies import Materialization
from headwater.core.project import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headwater.core.commit import TableState
    from headwater.core.plan import Orphan, Step
    from headwater.core.project import Project


def tell_moves(
    project: Project, steps: Iterable[Step], states: Mapping[str, TableState], orphans: Iterable[Orphan]
) -> list[str]:
    """Say which datasets these steps make anew in another store, and what then is only in the old one; a line each."""
    models, planned = project.declared(Model), {step.dataset for step in steps}
    told = []
    for orphan in orphans:
        state = states.get(orphan.dataset)
        if orphan.dataset not in planned or (state is not None and state.commit is not None):
            continue
        dataset = project.everything[orphan.dataset]
        model = models.get(orphan.dataset)
        rows = "its rows" if orphan.rows is None else f"its {orphan.rows:,} rows"
        history = model is not None and model.spec.materialize == Materialization.SNAPSHOT
        more = " and its history" if history else ", and those that its source no longer has," if model is None else ""
        told.append(
            f"{orphan.dataset} has moved from {orphan.store} to {dataset.store}, where it is made anew; {rows}{more} "
            f"stay in {orphan.store} until `headwater maintain --drop-orphans`"
        )
    return told
