from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.core.commit import Commit
from headwater.storage.common.claims import (
    Record,
    claim_commit,
    claim_path,
    is_retired,
    list_producers,
    merge_chain,
    read_chain,
    read_record,
    retire_claims,
)
from headwater.storage.common.disk import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Commit("a.b/c", 1, None, "r", "f", "n", 1)


def follow(commit: Commit, **fields: object) -> Commit:
    number = commit.sequence + 1
    return replace(commit, sequence=number, previous=commit.sequence, version=number, **fields)  # type: ignore[arg-type]


def chain_of(folder: Path, commit: Commit) -> list[Record]:
    last = read_record(claim_path(folder, commit.producer, commit.sequence))
    return read_chain(last, lambda each, number: read_record(claim_path(folder, each.producer, number)))


def test_a_claim_is_made_once_and_the_next_number_is_taken(tmp_path: Path) -> None:
    assert claim_commit(tmp_path, FIRST, {"n": 1}, []) == FIRST
    second = follow(FIRST)
    assert claim_commit(tmp_path, second, {}, []).sequence == 2
    moved = claim_commit(tmp_path, second, {"x": 1}, [])
    assert (moved.sequence, moved.previous, moved.version) == (3, 1, 3)
    assert claim_commit(tmp_path, replace(second, version=1), {}, []).version == 1
    found = read_record(claim_path(tmp_path, FIRST.producer, 3))
    assert found == Record(moved, {"x": 1})
    assert list_producers(tmp_path) == [FIRST.producer]
    assert read_record(claim_path(tmp_path, FIRST.producer, 9)) is None


def test_a_first_commit_goes_on_counting(tmp_path: Path) -> None:
    assert is_retired(tmp_path)
    for commit in (FIRST, follow(FIRST)):
        claim_commit(tmp_path, commit, {}, [])
    assert not is_retired(tmp_path)
    assert claim_commit(tmp_path, replace(FIRST, producer="other"), {}, []).sequence == 3
    retire_claims(tmp_path)
    retire_claims(tmp_path)
    assert is_retired(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["00000003.retired"]
    assert claim_commit(tmp_path, FIRST, {}, []).sequence == 4
    assert not is_retired(tmp_path)


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    claim_commit(tmp_path, FIRST, {}, [])
    path = claim_path(tmp_path, FIRST.producer, 1)
    known = read_json(path)
    assert known is not None
    write_json(path, {**known, "commit": {**known["commit"], "new": 1}})
    assert read_record(path) == Record(FIRST, {})


def test_a_chain_skips_what_was_never_committed_and_ends_at_a_whole_position(tmp_path: Path) -> None:
    commit = claim_commit(tmp_path, replace(FIRST, position={"files": {"0": 0}, "c": 0}), {}, [])
    for number in range(1, 120):
        claim_commit(tmp_path, follow(commit, position={"files": {"dead": 1}}), {}, [])
        each = follow(commit, position={"files": {str(number): number}, "c": number})
        commit = claim_commit(tmp_path, each, {}, chain_of(tmp_path, commit))
    chain = chain_of(tmp_path, commit)
    assert len(chain) <= 50
    assert chain[0].commit.position["complete"]
    assert merge_chain(chain) == {"files": {str(number): number for number in range(120)}, "c": 119}
    assert commit.sequence == 239
