"""A process that is killed at any boundary leaves the old table or the new one, and the next run gets it right."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from headwater.testing.stores import rows_of

from .children import STORES, make_writer, run_child, write_and_die

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = {1: "a", 2: "b", 3: "c"}
CHANGES: dict[str, tuple[str, dict[str, Any], dict[int, str | None]]] = {
    "append": (rows_of({4: "d"}), {}, {**BEFORE, 4: "d"}),
    "replace": (rows_of({9: "z"}), {}, {9: "z"}),
    "merge": (rows_of({2: "B", 4: "D"}), {"key": ("id",), "deletes": "SELECT 3 AS id"}, {1: "a", 2: "B", 4: "D"}),
    "overwrite_where": (rows_of({7: "x"}), {"where": "id >= 2"}, {1: "a", 7: "x"}),
    "record": ("", {"version": 1}, {**BEFORE}),
}
CASES = [(kind, mode) for kind, store in STORES.items() for mode in [*sorted(store.capabilities.modes), "record"]]


@pytest.mark.parametrize("boundary", ["before_commit", "claimed", "after_commit"])
@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_a_writer_killed_at_a_boundary(tmp_path: Path, kind: str, mode: str, boundary: str) -> None:
    path = str(tmp_path / "store")
    first = make_writer(kind, path)
    first.write("append", rows_of({1: "a", 2: "b"}), position={"files": {"1": 1}})
    first.write("append", rows_of({3: "c"}), position={"files": {"2": 2}})
    first.session.close()
    rows, fields, after = CHANGES[mode]
    fields = {**fields, "position": {"files": {"3": 3}}}
    code, _ = run_child(write_and_die, kind, path, boundary, mode, rows, fields)
    assert code == -signal.SIGKILL

    writer = make_writer(kind, path)
    state = writer.described
    done = boundary == "after_commit"
    assert state.foreign == ""
    assert writer.read() == sorted((after if done else BEFORE).items())
    assert ("3" in state.position["files"]) is done
    if not done:
        writer.write(mode, rows, **fields)
    assert writer.read() == sorted(after.items())
    assert writer.described.position == {"files": {"1": 1, "2": 2, "3": 3}}
    writer.store.maintain([writer.table], {"age_s": 0.0})
    assert writer.read() == sorted(after.items())
    writer.write("replace", rows_of({5: "e"}))
    assert writer.read() == [(5, "e")]
    writer.session.close()


@pytest.mark.parametrize("kind", STORES)
def test_a_writer_killed_before_its_table_is_there(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "store")
    for boundary in ("before_commit", "claimed"):
        code, _ = run_child(write_and_die, kind, path, boundary, "append", rows_of({1: "a"}), {})
        assert code == -signal.SIGKILL
    writer = make_writer(kind, path)
    assert writer.state is None or writer.state.commit is None
    writer.write("append", rows_of({2: "b"}))
    assert writer.read() == [(2, "b")]
    writer.session.close()


@pytest.mark.parametrize("kind", STORES)
def test_a_load_killed_while_it_stages_is_resumed(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "store")
    code, _ = run_child(write_and_die, kind, path, "staged", "append", rows_of({1: "a"}), {})
    assert code == -signal.SIGKILL
    writer = make_writer(kind, path)
    staging = writer.described.staging
    assert staging is not None
    assert (staging.load_id, staging.manifest) == ("killed", {"bounds": 1})
    assert [(part.chunk, part.end) for part in staging.parts] == [("1", {"n": 1})]
    load = writer.load("killed")
    writer.store.stage(load, staging.manifest, "2", rows_of({2: "b"})).finish_chunk({"n": 2})
    parts = writer.described.staging.parts  # type: ignore[union-attr]  # staged just now
    query = " UNION ALL ".join(part.query for part in parts)
    writer.write("append", query, parts=tuple(part.chunk for part in parts), load=load)
    assert writer.read() == [(1, "a"), (2, "b")]
    assert writer.described.staging is None
    writer.session.close()
