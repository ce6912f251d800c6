"""The commits of a file store: one immutable file each, created exclusively before the commit is made visible.

A file under a sequence that was never made visible belongs to a killed writer: it is never read again, its sequence is
never used again. Each record names the one it follows, so the visible ones form a chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headwater.contracts.commits import merges_positions
from headwater.core.commit import Commit, merge_positions
from headwater.storage.common.disk import DamagedFileError, create_json, read_json, remove_tree
from headwater.storage.common.folders import decode_name, encode_name, own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


_RETIRED = ".retired"
"""Suffix of the file that keeps the last number of a table that was dropped."""


@dataclass(frozen=True, slots=True)
class Record:
    """One commit as it was claimed, with what the store keeps beside it."""

    commit: Commit
    kept: Mapping[str, Any]


def claim_path(folder: Path, producer: str, sequence: int) -> Path:
    """Return the file of a commit."""
    return own_folder(folder) / "commits" / encode_name(producer) / f"{sequence:08d}.json"


def record_json(commit: Commit, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a commit's file holds."""
    return {"commit": {name: getattr(commit, name) for name in Commit.__dataclass_fields__}, "kept": dict(kept)}


def read_record(path: Path) -> Record | None:
    """Return a commit that was made visible, or None when its file is gone.

    Raises:
        DamagedFileError: The file is not what was written.
    """
    data = read_json(path)
    if data is None:
        return None
    try:
        known = {name: value for name, value in data["commit"].items() if name in Commit.__dataclass_fields__}
        return Record(Commit(**known), data["kept"])
    except (KeyError, TypeError, AttributeError):
        raise DamagedFileError(f"{path} is damaged: it does not hold a commit") from None


def list_producers(folder: Path) -> list[str]:
    """Return everybody who ever claimed a commit of this table."""
    return [decode_name(path.name) for path in own_folder(folder).glob("commits/*")]


def list_claims(folder: Path) -> list[Path]:
    """Return the files of all commits, and of the number that a dropped table has left, in their order."""
    return sorted(own_folder(folder).glob("commits/*/*"), key=lambda path: (path.stem, path.suffix))


def is_retired(folder: Path) -> bool:
    """Whether the table was dropped by us, or never made."""
    claims = list_claims(folder)
    return not claims or claims[-1].suffix == _RETIRED


def read_chain(last: Record | None, read: Callable[[Commit, int], Record | None]) -> list[Record]:
    """Return the visible commits from the last that holds a whole position up to `last`, oldest first.

    Raises:
        DamagedFileError: One of them is gone, so that it is not known how far the reader was.
    """
    chain = [last] if last else []
    while chain and not chain[-1].commit.position.get("complete") and chain[-1].commit.previous is not None:
        before = read(chain[-1].commit, chain[-1].commit.previous)
        if before is None:
            raise DamagedFileError(
                f"commit {chain[-1].commit.previous}, which {chain[-1].commit.commit_id} follows, is gone"
            )
        chain.append(before)
    return chain[::-1]


def merge_chain(chain: Sequence[Record]) -> dict[str, Any]:
    """Return the position merged over a chain."""
    return merge_positions(record.commit.position for record in chain)


def complete_position(commit: Commit, chain: Sequence[Record]) -> Commit:
    """Return the commit as it is kept: now and then its position holds everything before it."""
    if not merges_positions(commit):
        return commit
    return replace(commit, position={**merge_positions([merge_chain(chain), commit.position]), "complete": True})


def claim_commit(folder: Path, commit: Commit, kept: Mapping[str, Any], chain: Sequence[Record]) -> Commit:
    """Write the commit's file under its sequence, or the next one that is free; return it as it was written."""
    claims = list_claims(folder) if commit.previous is None else []
    if claims:
        commit = commit.at(max(commit.sequence, int(claims[-1].stem) + 1))
    while True:
        whole = complete_position(commit, chain)
        if create_json(claim_path(folder, commit.producer, commit.sequence), record_json(whole, kept)):
            return whole
        commit = commit.at(commit.sequence + 1)


def retire_claims(folder: Path, listed: Sequence[Path] | None = None) -> None:
    """Forget the commits of a table that is gone, but for the last number: a later table goes on counting.

    Those `listed` before the table went, or all: a table that was made anew since then keeps its own.
    """
    claims = list_claims(folder) if listed is None else listed
    if claims:
        claims[-1].with_suffix(_RETIRED).touch()
    for path in claims:
        if path.suffix != _RETIRED:
            remove_tree(path)
