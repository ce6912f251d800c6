"""Which version of an artefact is read: the last one, or an earlier one that somebody asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headwater.contracts import Load
from headwater.core.graph import Role
from headwater.core.near import suggest
from headwater.errors import PlanError, StateError
from headwater.plan.observe import read_states
from headwater.run.committing import commit_kept
from headwater.run.context import aware_clock
from headwater.state import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headwater.core.commit import KeptVersion, TableState
    from headwater.core.project import Project
    from headwater.workspace.access import Access


def use_versions(
    access: Access, terms: Iterable[str], *, wait: bool = False, tell: Callable[[str], None] | None = None
) -> None:
    """Make earlier versions of what consumers made the ones that are read: `ml.late@3`; `ml.late` ends that.

    Raises:
        PlanError: A term names no consumer, or a version that is not kept.
        StateError: Its last version is damaged, or it has none.
    """
    project = access.project
    chosen = [(term, *_parse(project, term)) for term in terms]
    with (
        Lease(access.folder, project.environment, wait=wait),
        access.writing(wait=wait, tell=tell) as (session, connectors),
    ):
        states = read_states(project, connectors.stores)[0]
        found = [(name, _kept(states, name, version)) for _, name, version in chosen]
        for name, kept in found:
            now = aware_clock(None)
            load_id = f"{now.strftime('%Y%m%dT%H%M%S')}-use-{os.urandom(2).hex()}"
            with session.cursor() as connection:
                load = Load(table=name, producer=name, load_id=load_id, connection=connection)
                commit_kept(connectors.stores[project.store_of(name)], states[name], kept, load, now)


def _parse(project: Project, term: str) -> tuple[str, int | None]:
    name, at, number = term.partition("@")
    makers = [one for one, dataset in project.consumers.items() if dataset.role is Role.CONSUMER]
    if name not in makers:
        raise PlanError(f"--use {term}: nothing that makes files is named {name}", fix=suggest(name, makers))
    if at and not number.isdecimal():
        raise PlanError(
            f"--use {term}: {number!r} is no version", fix=f"write {name}@3; headwater show {name} lists them"
        )
    return name, int(number) if at else None


def _kept(states: Mapping[str, TableState], name: str, version: int | None) -> KeptVersion | None:
    state = states.get(name)
    if state is None or state.commit is None or state.foreign:
        what = state.foreign if state is not None and state.foreign else f"{name} was never made"
        raise StateError(what, fix=state.way_out if state is not None and state.foreign else "headwater run")
    if version is None:
        return None
    known = {kept.commit.version: kept for kept in state.kept}
    if version not in known:
        told = ", ".join(map(str, sorted(known)))
        raise PlanError(f"{name} has no version {version} whose files are kept", fix=f"these are: {told}")
    return known[version]
