from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from headwater.errors import ConnectorError
from headwater.storage.common.disk import create_json, link_file, read_json, remove_tree, report_full_disk, write_json
from headwater.testing.stores import rows_of

from .children import STORES, make_writer, run_child, write_on_full_disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("kind", STORES)
def test_a_full_disk_changes_nothing_and_names_the_folder(tmp_path: Path, kind: str, staged: bool) -> None:
    path = str(tmp_path / "store")
    writer = make_writer(kind, path)
    writer.write("append", rows_of({1: "a"}))
    writer.session.close()
    code, sent = run_child(write_on_full_disk, kind, path, 600_000, staged)
    assert code == 0
    assert sent[0] == "ConnectorError", sent
    assert str(tmp_path) in sent[1]
    assert "free space" in sent[1]
    writer = make_writer(kind, path)
    assert writer.read() == [(1, "a")]
    assert writer.described.foreign == ""
    writer.write("append", rows_of({2: "b"}))
    assert writer.read() == [(1, "a"), (2, "b")]
    writer.session.close()


@pytest.mark.parametrize("kind", ["lake", "lakehouse"])
def test_a_disk_without_room_for_the_commit_itself(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "store")
    writer = make_writer(kind, path)
    writer.write("append", rows_of({1: "a"}))
    code, sent = run_child(write_on_full_disk, kind, path, 100, False)
    assert (code, sent[0]) == (0, "ConnectorError"), sent
    assert writer.read() == [(1, "a")]
    writer.write("append", rows_of({2: "b"}))
    assert writer.read() == [(1, "a"), (2, "b")]
    writer.session.close()


def test_json_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    assert read_json(path) is None
    assert create_json(path, {"n": 1})
    assert not create_json(path, {"n": 2})
    assert read_json(path) == {"n": 1}
    write_json(path, {"é": None})
    assert read_json(path) == {"é": None}
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_a_file_is_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    (tmp_path / "a").write_text("x")
    monkeypatch.setattr("os.link", refuse)
    link_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"


def test_a_link_never_replaces_a_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        link_file(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        link_file(tmp_path / "none", tmp_path / "c")
    assert (tmp_path / "b").read_text() == "b"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_is_explained(number: int) -> None:
    with pytest.raises(ConnectorError, match="/data/lake"), report_full_disk("/data/lake"):
        raise OSError(number, "full")


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), report_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "not yours")


def test_removed_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one").write_text("123")
    (tmp_path / "a" / "two").write_text("4567")
    (tmp_path / "three").write_text("8")
    assert remove_tree(tmp_path / "three") == (1, 1)
    assert remove_tree(tmp_path / "a") == (2, 7)
    assert remove_tree(tmp_path / "a") == (0, 0)
    assert list(tmp_path.iterdir()) == []
