"""Temporary data: in one place per project, for the user alone, and gone when its process is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headwater.temporary import folder_named, place_of, remove_left, temporary_folder
from tests.run.projects import write

HOLD = """
import sys
from headwater.temporary import temporary_folder
with temporary_folder(sys.argv[1]) as folder:
    (folder / "data").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    sys.stdin.read()
"""


def hold(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process with a folder of its own in the project."""
    command = [sys.executable, "-c", HOLD, str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_the_users_alone_and_stays_while_its_process_lives(tmp_path: Path) -> None:
    process, folder = hold(tmp_path)
    assert folder.parent == place_of(tmp_path)
    assert folder.name.startswith(f"{process.pid}-")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder.parent)] == [0o700, 0o700]
    assert folder_named(tmp_path, folder.name) == folder
    assert remove_left(tmp_path) == (0, 0)
    assert (folder / "data").exists()
    process.communicate("")
    assert os.listdir(folder.parent) == []


def test_what_a_killed_process_leaves_is_removed_and_counted(tmp_path: Path) -> None:
    process, folder = hold(tmp_path)
    other, kept = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (folder / "data").exists()
    assert remove_left(tmp_path) == (1, 1000)
    assert sorted(os.listdir(folder.parent)) == sorted([kept.name, f"{kept.name}.lock"])
    other.communicate("")


def test_nothing_is_removed_that_no_process_of_ours_made(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    place = place_of(tmp_path)
    place.mkdir(parents=True)
    (place / "7-00000000.lock").touch()
    (place / "7-00000000").symlink_to(elsewhere)
    (place / "8-00000000.lock").symlink_to(elsewhere / "kept")
    (place / "other.lock").touch()
    (place / "other").mkdir()
    assert folder_named(tmp_path, "7-00000000") is None
    remove_left(tmp_path)
    assert (elsewhere / "kept").exists()
    assert (place / "other").is_dir()
    assert not (place / "7-00000000").is_symlink()


def test_a_link_in_the_place_of_all_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "7-00000000").mkdir(parents=True)
    (elsewhere / "7-00000000.lock").touch()
    (tmp_path / ".headwater").mkdir()
    place_of(tmp_path).symlink_to(elsewhere)
    assert remove_left(tmp_path) == (0, 0)
    with pytest.raises(NotADirectoryError), temporary_folder(tmp_path):
        pass
    assert len(os.listdir(elsewhere)) == 2


def test_the_next_command_of_any_kind_clears_an_unpacked_archive(tmp_path: Path) -> None:
    """A run is killed while an archive is unpacked: what was in it does not stay in the clear."""
    write(tmp_path, {"headwater.yaml": "name: left\n", "sources/in.yaml": "kind: files\ntables:\n  t: {path: a.zip, "
                     "format: csv, columns: {a: integer}}\n"})  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
    script = (
        "import os, sys\nfrom headwater.api import load\n"
        "def kill(event):\n    event.name == 'chunk_read' and os.kill(os.getpid(), 9)\n"
        "load(sys.argv[1]).run(listeners=[kill])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    place = place_of(tmp_path)
    assert [file for file in place.rglob("a.csv") if file.is_file()]
    told = subprocess.run(
        [sys.executable, "-m", "headwater", "-p", str(tmp_path), "maintain"], capture_output=True, text=True, check=True
    )
    assert "temporary data: " in told.stdout
    assert os.listdir(place) == []
