"""Loads of changes: whatever the log and however it is cut, the table is what the log leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.run import Status
from headwater.errors import ProjectErrors
from tests.run.change_log import ChangeLog, Entry, install, replay
from tests.run.projects import write
from tests.run.runner import rows, run, run_well

if TYPE_CHECKING:
    from pathlib import Path

MERGING = ("lakehouse", "warehouse")
SELECT = "select id, name, body from app.users"


def project(folder: Path, store: str, more: str = "") -> Path:
    return write(
        folder,
        {
            "headwater.yaml": "name: changes\n",
            "sources/app.yaml": (
                f"kind: changelog\ntables:\n  users:\n    load: cdc\n    key: id\n    into: {store}\n{more}"
            ),
            "models/m/names.sql": "select name, count(*) as n from app.users group by all",
        },
    )


@pytest.mark.parametrize("store", MERGING)
@pytest.mark.parametrize("chunk", [2, 1_000])
def test_the_table_follows_the_log(tmp_path: Path, store: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch, chunk)
    project(tmp_path, store)
    log += [("upsert", 1, "a", "long a", ()), ("upsert", 2, "b", "long b", ()), ("upsert", 3, "c", None, ())]
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == replay(log)
    log += [
        ("upsert", 1, "a2", None, ("body",)),
        ("delete", 2, None, None, ()),
        ("upsert", 4, "d", "long d", ()),
        ("upsert", 4, "d2", None, ("body",)),
        ("delete", 3, None, None, ()),
        ("upsert", 3, "again", "back", ()),
        ("upsert", 5, "short", "lived", ()),
        ("delete", 5, None, None, ()),
    ]
    second = run_well(tmp_path)
    assert rows(tmp_path, SELECT) == replay(log) == [(1, "a2", "long a"), (3, "again", "back"), (4, "d2", "long d")]
    assert second["m.names/transform"].status is Status.DONE
    third = run_well(tmp_path)
    assert third["app.users/load"].status is Status.UNCHANGED
    assert third["m.names/transform"].status is Status.SKIPPED
    assert ChangeLog.reported == [3, 11, 11] or ChangeLog.reported[:2] == [3, 11]


@pytest.mark.parametrize("store", MERGING)
def test_a_truncate_empties_the_table(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch)
    project(tmp_path, store)
    log += [("upsert", 1, "a", "x", ()), ("upsert", 2, "b", "y", ())]
    run_well(tmp_path)
    log += [("upsert", 3, "c", "z", ()), ("truncate", None, None, None, ()), ("upsert", 2, "new", "w", ())]
    emptied = run_well(tmp_path)
    assert emptied["app.users/extract"].rows_inserted == 2, "a truncate is no row"
    assert rows(tmp_path, SELECT) == replay(log) == [(2, "new", "w")]
    log.append(("truncate", None, None, None, ()))
    assert run_well(tmp_path)["app.users/load"].status is Status.DONE
    assert rows(tmp_path, SELECT) == []


_ids = st.integers(1, 4)
_names = st.sampled_from(["a", "b", None])
_entries = st.one_of(
    st.tuples(st.just("upsert"), _ids, _names, _names, st.just(())),
    st.tuples(st.just("touch"), _ids, _names, st.none(), st.just(("body",))),
    st.tuples(st.just("delete"), _ids, st.none(), st.none(), st.just(())),
    st.tuples(st.just("truncate"), st.none(), st.none(), st.none(), st.just(())),
)


def as_log(drawn: list[Entry]) -> list[Entry]:
    """An update that leaves a value out is only sent for a row that is there."""
    log: list[Entry] = []
    for op, key, name, body, unchanged in drawn:
        there = {found[0] for found in replay(log)}
        if op == "touch":
            log.append(("upsert", key, name, body, unchanged) if key in there else ("upsert", key, name, "new", ()))
        else:
            log.append((op, key, name, body, unchanged))
    return log


@pytest.mark.parametrize("store", ["warehouse"])
@given(drawn=st.lists(_entries, min_size=1, max_size=12), cut=st.integers(0, 12), chunk=st.integers(1, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_log_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, store: str, drawn: list[Entry], cut: int, chunk: int
) -> None:
    whole = as_log(drawn)
    with pytest.MonkeyPatch.context() as patch:
        log = install(patch, chunk)
        folder = project(tmp_path_factory.mktemp("log"), store)
        log += whole[:cut]
        run_well(folder)
        log += whole[cut:]
        run_well(folder)
        assert rows(folder, SELECT) == replay(whole)


@pytest.mark.parametrize("store", MERGING)
def test_soft_flag_keeps_deleted_rows(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch)
    project(tmp_path, store, "    deletes: soft_flag\n")
    log += [("upsert", 1, "a", "x", ()), ("upsert", 2, "b", "y", ()), ("upsert", 3, "c", "z", ())]
    run_well(tmp_path)
    log += [("delete", 1, None, None, ()), ("delete", 3, None, None, ())]
    run_well(tmp_path)
    flagged = "select id, name, _deleted_at is not null from app.users"
    assert rows(tmp_path, flagged) == [(1, "a", True), (2, "b", False), (3, "c", True)]
    log += [("upsert", 3, "back", "z", ()), ("truncate", None, None, None, ())]
    run_well(tmp_path)
    assert rows(tmp_path, flagged) == [(1, "a", True), (2, "b", True), (3, "c", True)]
    log.append(("upsert", 3, "back", "z", ()))
    run_well(tmp_path)
    assert rows(tmp_path, flagged) == [(1, "a", True), (2, "b", True), (3, "back", False)]


def test_deletes_may_be_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch)
    project(tmp_path, "lakehouse", "    deletes: ignore\n")
    log += [("upsert", 1, "a", "x", ()), ("delete", 1, None, None, ()), ("truncate", None, None, None, ())]
    run_well(tmp_path)
    log += [("upsert", 2, "b", "y", ()), ("delete", 2, None, None, ())]
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == [(1, "a", "x"), (2, "b", "y")]


def test_a_delete_is_never_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch)
    project(tmp_path, "lakehouse", "    reject_if: {nameless: name is null}\n")
    log += [("upsert", 1, "a", "x", ()), ("upsert", 2, None, "y", ())]
    assert run_well(tmp_path)["app.users/load"].rejected == 1
    log.append(("delete", 1, None, None, ()))
    assert run_well(tmp_path)["app.users/load"].rejected == 0
    assert rows(tmp_path, SELECT) == []


def test_renamed_and_masked_values_that_are_not_repeated_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(monkeypatch)
    project(tmp_path, "warehouse", "    prepare: [{rename: {body: text}}, {mask: {columns: [text], key: k}}]\n")
    log.append(("upsert", 1, "a", "secret", ()))
    run_well(tmp_path)
    before = rows(tmp_path, "select text from app.users")
    log.append(("upsert", 1, "a2", None, ("body",)))
    run_well(tmp_path)
    assert rows(tmp_path, "select text from app.users") == before
    assert rows(tmp_path, "select name from app.users") == [("a2",)]


def test_a_column_computed_from_what_is_not_repeated_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = install(monkeypatch)
    project(tmp_path, "warehouse", "    prepare: [{sql: {both: name || body}}]\n")
    log.append(("upsert", 1, "a", "b", ()))
    run_well(tmp_path)
    log.append(("upsert", 1, "c", None, ("body",)))
    error = run(tmp_path)["app.users/load"].error
    assert "computed from 'body'" in error
    assert "REPLICA IDENTITY FULL" in error


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("    cursor: id\n", "leave cursor and lag out"),
        ("    deletes: compare_keys\n", "sees deletes"),
        ("    prepare: [{dedupe: {by: id}}]\n", "leave dedupe out"),
    ],
)
def test_what_does_not_go_with_a_log(tmp_path: Path, more: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(ProjectErrors, match=told):
        run(project(tmp_path, "lakehouse", more))


def test_a_kind_without_a_log_does_not_know_cdc(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "headwater.yaml": "name: x\n",
            "sources/a.yaml": "kind: files\ntables:\n  t: {path: a.csv, load: cdc, key: id, columns: {id: bigint}}\n",
        },
    )
    with pytest.raises(ProjectErrors, match="load"):
        run(tmp_path)
