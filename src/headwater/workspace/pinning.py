"""Which version of an artefact is read: the newest one, or an earlier one that somebody asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.contracts import Load
from headwater.core.commit import PINNED
from headwater.core.graph import Role
from headwater.core.near import suggest
from headwater.errors import PlanError, StateError
from headwater.plan.observe import read_states
from headwater.plugins import load_consumer
from headwater.run.committing import commit_kept
from headwater.run.context import aware_clock
from headwater.state import Lease
from headwater.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headwater.core.commit import KeptVersion, TableState
    from headwater.core.project import Project
    from headwater.workspace.access import Access


def use_versions(
    access: Access, terms: Sequence[str], *, wait: bool = False, tell: Callable[[str], None] | None = None
) -> None:
    """Make earlier versions of what consumers made the ones that are read: `ml.late@3`; `ml.late` ends that.

    Raises:
        PlanError: A term names nothing that is made of files, a version that is not kept, or something twice.
        StateError: It was never made, or a file is not as it was written.
    """
    project = access.project
    chosen = dict(_parse(project, term) for term in terms)
    if len(chosen) < len(terms):
        raise PlanError("--use names something twice", fix="name each once")
    with (
        Lease(access.folder, project.environment, wait=wait),
        access.writing(wait=wait, tell=tell) as (session, connectors),
        temporary_folder(project.root) as scratch,
    ):
        states = read_states(project, connectors.stores)[0]
        found = {name: _find(states, name, version) for name, version in chosen.items()}
        for name, kept in found.items():
            _copy(name, kept, scratch / name)
        for name, kept in found.items():
            now = aware_clock(None)
            load_id = f"{now.strftime('%Y%m%dT%H%M%S')}-use-{os.urandom(2).hex()}"
            store = connectors.stores[project.store_of(name)]
            with session.cursor() as connection:
                load = Load(table=name, producer=name, load_id=load_id, connection=connection)
                folder, pin = str(scratch / name), chosen[name] is not None
                commit_kept(store, states[name], kept, load, now, folder=folder, pin=pin)


def _parse(project: Project, term: str) -> tuple[str, int | None]:
    name, at, number = term.partition("@")
    makers = {one: dataset for one, dataset in project.consumers.items() if dataset.role is Role.CONSUMER}
    if name not in makers:
        raise PlanError(f"--use {term}: nothing that makes files is named {name}", fix=suggest(name, makers))
    if not load_consumer(makers[name].kind).is_its_files:
        fix = "publish it again from what it reads"
        raise PlanError(f"--use {term}: what {name} makes is not in its files", fix=fix)
    if at and not number.isdecimal():
        raise PlanError(
            f"--use {term}: {number!r} is no version", fix=f"write {name}@3; headwater show {name} lists them"
        )
    return name, int(number) if at else None


def _find(states: Mapping[str, TableState], name: str, version: int | None) -> KeptVersion | None:
    """Return a version, or the newest that was made and not asked for; None when that is no longer there."""
    state = states.get(name)
    if state is None or state.commit is None:
        raise StateError(
            state.foreign if state is not None and state.foreign else f"{name} was never made",
            fix="see `headwater doctor`" if state is not None and state.foreign else "headwater run",
        )
    if version is None:
        return next((kept for kept in state.kept if PINNED not in kept.commit.position), None)
    known = {kept.commit.version: kept for kept in state.kept}
    if version not in known:
        told = ", ".join(map(str, sorted(known)))
        raise PlanError(f"{name} has no version {version} whose files are kept", fix=f"these are: {told}")
    return known[version]


def _copy(name: str, kept: KeptVersion | None, folder: Path) -> None:
    """Copy the files of a version, those that were written and no others, as they were written."""
    folder.mkdir()
    for file, sha256 in kept.files.items() if kept else ():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(kept.location if kept else "", file), target)
        with target.open("rb") as copied:
            if hashlib.file_digest(copied, "sha256").hexdigest() != sha256:
                what = f"{name}: {file} of version {kept.commit.version if kept else 0} is not as it was written"
                raise StateError(what, fix=f"use another version: headwater show {name} lists them")
