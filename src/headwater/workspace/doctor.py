"""Looking a project over: what is damaged, and the command that mends it. Nothing is changed by it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Literal

from headwater.contracts import FileStore
from headwater.core.secrets import redact
from headwater.errors import BusyError, HeadwaterError, ProjectError
from headwater.plan.observe import Connectors, open_stores
from headwater.project.loader import find_root, read_project
from headwater.state import look_at_journal, look_at_lease
from headwater.workspace.access import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.core.commit import TableState
    from headwater.core.project import Project
    from headwater.processing.duckdb.session import DuckDBSession

_VERSIONS = ("headwater", "duckdb", "deltalake", "pyarrow", "sqlglot", "pydantic", "click", "ruamel.yaml")
_EXTRA = re.compile(r"""^([A-Za-z0-9._-]+).*;\s*extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: What kind of thing: version, extra, project, journal, lease, store, table, artefact, temporary.
        name: Which one.
        state: "damaged" is what makes `headwater doctor` fail; "note" is worth knowing.
        what: What was found.
        fix: What mends it.
    """

    about: str
    name: str
    state: Literal["ok", "note", "damaged"] = "ok"
    what: str = ""
    fix: str = ""


def diagnose(folder: str | os.PathLike[str] = ".", environment: str | None = None) -> list[Finding]:
    """Look over versions, extras, the project, journal and lease, and every table of every store, to its last row.

    It works on a project that does not load, and while a run is on its way: the run is asked what the warehouse holds.
    """
    found = [*_versions(), *_extras()]
    try:
        root = find_root(folder)
        project, errors = read_project(folder, environment)
    except ProjectError as error:
        return [*found, Finding("project", str(folder), "damaged", error.what, error.fix)]
    found += [Finding("project", e.where or str(root), "damaged", e.what, e.fix) for e in errors]
    if not errors:
        found.append(Finding("project", str(root)))
    own = root / ".headwater"
    chosen = os.environ.get("HEADWATER_ENV", "") if environment is None else environment
    for about, (what, fix, damaged) in (
        ("journal", look_at_journal(own, chosen)),
        ("lease", look_at_lease(own, chosen)),
    ):
        found.append(Finding(about, about, "damaged" if damaged else "note" if what else "ok", what, fix))
    if project is not None:
        found += [_redacted(project, finding) for finding in _stores(project)]
    return found


def _redacted(project: Project, one: Finding) -> Finding:
    return Finding(one.about, one.name, one.state, redact(one.what, project.secrets), redact(one.fix, project.secrets))


# --------------------------------------------------------------------------------------------- what is installed


def _versions() -> Iterator[Finding]:
    yield Finding("version", "python", what=platform.python_version())
    for name in _VERSIONS:
        yield Finding("version", name, what=_version_of(name) or "not installed")


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _extras() -> Iterator[Finding]:
    wanted: dict[str, list[str]] = {}
    for text in requires("headwater") or ():
        if match := _EXTRA.match(text):
            wanted.setdefault(match[2], []).append(match[1])
    for extra, names in sorted(wanted.items()):
        missing = [name for name in names if not _version_of(name)]
        told = f"not installed: {', '.join(missing)}" if missing else ", ".join(f"{n} {_version_of(n)}" for n in names)
        yield Finding("extra", extra, what=told, fix=f"pip install 'headwater[{extra}]'" if missing else "")


# ------------------------------------------------------------------------------------------------------- stores


def _stores(project: Project) -> Iterator[Finding]:
    access = Access(project)
    if access.left[0]:
        told = f"{access.left[0]} files, {access.left[1]:,} bytes of processes that are gone were removed"
        yield Finding("temporary", "temporary data", "note", told)
    with access.looking() as session:
        try:
            opened = open_stores(project, session)
        except HeadwaterError as error:
            yield Finding("store", "stores", "damaged", error.what, error.fix)
            return
        for kind, store in opened.items():
            place = project.stores[kind].path
            try:
                states = access.read_stored(Connectors({kind: store}))[0]
                if not states:  # of a store in which nothing is declared, nobody has said whether it can be read
                    store.describe()
            except BusyError as error:
                yield Finding("store", kind, "note", f"{place} cannot be looked at: {error.what}", error.fix)
                continue
            except HeadwaterError as error:
                yield Finding("store", kind, "damaged", error.what, error.fix)
                continue
            broken = next((state for state in states.values() if state.foreign and state.mend), None)
            if broken is not None:
                yield Finding("store", kind, "damaged", broken.foreign.partition(": ")[2], broken.mend)
                continue
            yield Finding("store", kind, what=place)
            for name, state in sorted(states.items()):
                yield _table(session, f"{name} ({kind})", state)
                if isinstance(store, FileStore) and not state.foreign:
                    yield from _files(store, f"{name} ({kind})", state)


def _table(session: DuckDBSession, name: str, state: TableState) -> Finding:
    """Read a table and its quarantine to their ends, where they can be read from here."""
    import duckdb

    if state.foreign:
        return Finding("table", name, "damaged", state.foreign, state.way_out)
    if state.commit is None:
        return Finding("table", name, "note", "it holds nothing yet")
    if not state.columns:  # files that a consumer made
        return Finding("artefact", name, what=f"{state.size_bytes or 0:,} bytes")
    if not state.scan:
        return Finding("table", name, "note", "a run has it: its rows were not read")
    for what, query in (("its data", state.scan), ("its quarantine", state.rejects)):
        connection = session.cursor()
        try:
            if query:
                connection.execute(f"SELECT max(hash(t)) FROM ({query}) AS t").fetchall()
        except duckdb.Error as error:
            told = str(error).partition("\n")[0]
            return Finding("table", name, "damaged", f"{what} cannot be read: {told}", state.way_out)
        finally:
            connection.close()
    return Finding("table", name, what="" if state.commit.rows is None else f"{state.commit.rows:,} rows")


def _files(store: FileStore, name: str, state: TableState) -> Iterator[Finding]:
    for what in store.find_damaged(state.name):
        yield Finding("table", name, "damaged", what, state.way_out)
