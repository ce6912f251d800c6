"""Objects through a whole run: the catalogue, Python models that open them, maintenance, rivals, kills."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headwater as hw
from headwater.api import load
from headwater.core.run import Status
from headwater.errors import ProjectErrors, RunError
from headwater.sources.common import listing as files_listing
from tests.run.kill import copy_project, read_tables
from tests.run.runner import NOW, put, rows, run, run_well, statuses, version
from tests.storage.children import run_child

if TYPE_CHECKING:
    from headwater.core.run import Event

multiprocessing.get_context("forkserver").set_forkserver_preload(["headwater.api", "pandas", "pyarrow", __name__])

PNG = b"\x89PNG\r\n\x1a\n"


def source(mode: str = "incremental", more: str = "") -> str:
    text = f"kind: files\ntables:\n  docs:\n    path: in/**\n    format: objects\n    into: lake\n    load: {mode}\n"
    return text + "".join(f"    {line}\n" for line in more.splitlines())


def project(folder: Path, mode: str = "incremental", more: str = "") -> Path:
    files: dict[str, str | bytes] = {
        "sources/archive.yaml": source(mode, more),
        "models/marts/kinds.sql": "select media_type, sum(size_bytes)::bigint as n from archive.docs group by all",
        "in/a.png": PNG,
        "in/sub/b.txt": "hello",
        "in/same.txt": "hello",
        "in/empty": b"",
    }
    return put(folder, files)


def change(folder: Path) -> None:
    """A file is new, one has changed, one of equal bytes under another name has come."""
    put(folder, {"in/new.pdf": "%PDF-", "in/a.png": PNG + b"more", "in/copy.txt": "hello"})


def objects(folder: Path) -> set[str]:
    lake = folder / "data" / "lake"
    return {path.relative_to(lake).as_posix() for path in lake.glob("*/*/_objects/*/*")}


def check_objects(folder: Path) -> None:
    """Every row's object holds the bytes that the row tells of."""
    found = rows(folder, "select object, sha256, size_bytes from archive.docs")
    assert found
    for place, sha256, size_bytes in found:
        content = (folder / "data" / "lake" / place).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (sha256, size_bytes)


def sizes(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder, "select path, size_bytes from archive.docs")


FIRST = [("in/a.png", 8), ("in/empty", 0), ("in/same.txt", 5), ("in/sub/b.txt", 5)]
SECOND = [("in/a.png", 12), ("in/copy.txt", 5), ("in/empty", 0), ("in/new.pdf", 5), *FIRST[2:]]


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_new_and_changed_files_land(tmp_path: Path, mode: str) -> None:
    folder = project(tmp_path, mode, "columns: {path: {checks: [unique, not_null]}}")
    run_well(folder)
    assert sizes(folder) == FIRST
    assert rows(folder, "select * from marts.kinds") == [("image/png", 8), ("text/plain", 10)]
    assert rows(folder, "select distinct _file = path from system.archive__docs") == [(True,)]
    assert len(objects(folder)) == 3
    check_objects(folder)
    assert set(statuses(run_well(folder)).values()) == {"skipped"}
    change(folder)
    run_well(folder)
    assert sizes(folder) == SECOND
    assert rows(folder, "select media_type from marts.kinds") == [("application/pdf",), ("image/png",), ("text/plain",)]
    check_objects(folder)


def test_a_vanished_file_goes_with_a_full_load_only(tmp_path: Path) -> None:
    folder = project(tmp_path)
    run_well(folder)
    (folder / "in" / "empty").unlink()
    put(folder, {"in/new": "n"})
    run_well(folder)
    assert ("in/empty", 0) in sizes(folder)
    run_well(folder, full=["archive.docs"])
    assert sizes(folder) == [("in/a.png", 8), ("in/new", 1), *FIRST[2:]]


def test_a_full_load_of_the_same_files_is_no_new_version_and_copies_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path, "full")
    run_well(folder)
    before = {name: (folder / "data/lake" / name).stat().st_ino for name in objects(folder)}
    put(folder, {"sources/archive.yaml": source("full", "checks: [{row_count: {min: 1}}]")})
    assert run_well(folder)["archive.docs/load"].status is Status.UNCHANGED
    assert version(folder, "archive.docs") == 1
    assert {name: (folder / "data/lake" / name).stat().st_ino for name in objects(folder)} == before


def test_prepare_and_reject_if_work_on_the_catalogue(tmp_path: Path) -> None:
    rules = (
        "prepare: [{rename: {path: name}}, {sql: {folder: \"split_part(name, '/', 2)\"}}, {drop: sha256}]\n"
        "reject_if: {empty: size_bytes = 0}"
    )
    folder = project(tmp_path, more=rules)
    run_well(folder)
    assert rows(folder, "select name, folder from archive.docs where folder = 'sub'") == [("in/sub/b.txt", "sub")]
    assert rows(folder, "select _file, rule from quarantine.archive__docs") == [("in/empty", "empty")]
    change(folder)
    run_well(folder)
    assert [row[0] for row in rows(folder, "select name from archive.docs")] == [
        path for path, size_bytes in SECOND if size_bytes
    ]


@pytest.mark.parametrize("into", ["lakehouse", "warehouse", ""])
def test_another_store_is_refused_with_its_place(tmp_path: Path, into: str) -> None:
    text = source().replace("    into: lake\n", f"    into: {into}\n" if into else "")
    folder = put(project(tmp_path), {"sources/archive.yaml": text})
    with pytest.raises(ProjectErrors, match=r"sources/archive\.yaml:3:3: .* write into: lake"):
        load(folder)


def test_a_failed_load_changes_nothing_and_its_rerun_copies_nothing_again(tmp_path: Path) -> None:
    folder = project(tmp_path)
    run_well(folder)
    change(folder)
    put(folder, {"sources/archive.yaml": source(more="checks: [{row_count: {max: 4}}]")})
    assert "row_count" in str(run(folder)["archive.docs/load"].error)
    assert sizes(folder) == FIRST
    before = {name: (folder / "data/lake" / name).stat().st_ino for name in objects(folder)}
    put(folder, {"sources/archive.yaml": source()})
    run_well(folder)
    assert sizes(folder) == SECOND
    assert {name: (folder / "data/lake" / name).stat().st_ino for name in objects(folder)} == before


def test_maintain_removes_what_no_load_names(tmp_path: Path) -> None:
    folder = project(tmp_path)
    run_well(folder)
    first = objects(folder)
    change(folder)
    run_well(folder)
    load(folder).maintain()
    assert objects(folder) > first
    load(folder).maintain(age_s=0.0)
    assert objects(folder) == {row[0] for row in rows(folder, "select distinct object from archive.docs")}
    assert len(first - objects(folder)) == 1
    check_objects(folder)
    (folder / "sources/archive.yaml").unlink()
    (folder / "models/marts/kinds.sql").unlink()
    load(folder).maintain(drop_orphans=True)
    assert objects(folder) == set()


# ----------------------------------------------------------------------------------------------------- Python models

EXAMPLES = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
WORDS = next(text for text in re.findall(r"```python\n(.*?)```", EXAMPLES, re.DOTALL) if "object_path" in text)
"""The example of the docs, as it stands there."""

PROD = "name: demo\nenvironments: {prod: {shared: [warehouse], stores: {lake: {path: prod}}}}\n"


def test_a_python_model_opens_objects(tmp_path: Path) -> None:
    folder = put(
        project(tmp_path),
        {"models/marts/words.py": WORDS.replace("archive.documents", "archive.docs"), "headwater.yaml": PROD},
    )
    run_well(folder)
    wanted = [("in/empty", 0), ("in/same.txt", 1), ("in/sub/b.txt", 1)]
    assert rows(folder, "select * from marts.words") == wanted
    shutil.rmtree(folder / "data")
    done = load(folder, "prod").run(now=NOW, workers=1)
    assert [result.error for result in done.results if result.error] == []
    assert load(folder, "prod").query("select * from marts.words order by path").num_rows == len(wanted)
    assert not (folder / "data" / "lake").exists()


def test_outside_of_a_model_there_is_no_lake() -> None:
    with pytest.raises(RunError, match="no model is running"):
        hw.object_path("archive/docs/_objects/x")


# ------------------------------------------------------------------------------------------------------ two and kills


def test_a_rival_that_was_faster(tmp_path: Path) -> None:
    """Two projects write one lake: the slower one is refused, and no object of the faster one is harmed."""
    stores = f"name: demo\nstores: {{lake: {{path: {tmp_path / 'shared'}}}}}\n"
    one = put(project(tmp_path / "one"), {"headwater.yaml": stores})
    run_well(one)
    change(one)
    other = copy_project(one, tmp_path / "other")
    wanted: list[dict[str, list[Any]]] = []

    def overtake(event: Event) -> None:
        if event.name == "before_commit" and event.step == "archive.docs/load":
            run_well(other)
            wanted.append(read_tables(load(other)))

    late = run(one, listeners=[overtake])
    assert "another writer came in between" in str(late["archive.docs/load"].error)
    assert sizes(other) == SECOND
    run_well(one)
    assert read_tables(load(one)) == wanted[0]
    load(one).maintain(age_s=0.0)
    for place, sha256 in rows(one, "select object, sha256 from archive.docs"):
        assert hashlib.sha256((tmp_path / "shared" / place).read_bytes()).hexdigest() == sha256


def _run(sender: Any, folder: str, at: int) -> None:
    """Run with a chunk per file or two, killed at an event; send how many there were, and the tables; then maintain."""
    files_listing.GROUP_BYTES = 8
    events = 0

    def listen(_: Event) -> None:
        nonlocal events
        events += 1
        if events == at:
            os.kill(os.getpid(), signal.SIGKILL)

    loaded = load(folder)
    done = loaded.run(listeners=[listen], now=NOW, workers=1)
    loaded.maintain(age_s=0.0)
    sender.send((done.status, events, read_tables(loaded)))


@pytest.mark.parametrize(("mode", "first"), [("full", False), ("incremental", True), ("incremental", False)])
def test_killed_at_every_boundary(tmp_path: Path, mode: str, first: bool) -> None:
    base = project(tmp_path / "base", mode)
    (base / "models/marts/kinds.sql").unlink()
    if not first:
        run_well(base)
        change(base)
    code, (status, events, wanted) = run_child(_run, str(copy_project(base, tmp_path / "whole")), 0)
    assert (code, status) == (0, "done")
    named = {row[0] for row in rows(tmp_path / "whole", "select distinct object from archive.docs")}
    for at in range(1, events + 1):
        work = copy_project(base, tmp_path / "work")
        assert run_child(_run, str(work), at)[0] == -signal.SIGKILL, at
        code, (status, _, found) = run_child(_run, str(work), 0)
        assert (code, status, found) == (0, "done", wanted), f"killed at event {at}"
        assert objects(work) == named, f"killed at event {at}"
        for place in named:
            content = (work / "data/lake" / place).read_bytes()
            assert Path(place).stem == hashlib.sha256(content).hexdigest(), f"killed at event {at}"
