"""What a pattern names: all of it, or an error; never fewer files, never a wait."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from headwater.contracts import ReadRequest
from headwater.errors import ConnectorError, Retryable
from headwater.sources.common.listing import FileFormatError, explain_errors
from headwater.sources.common.walk import list_files
from headwater.sources.files.source import Files, FilesConnection, FilesTable
from headwater.sources.logs.source import Logs
from headwater.sources.logs.spec import LogsConnection, LogsTable

from .harness import read, request
from .unprivileged import open_folder, unprivileged

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a\n1\n")


def paths(folder: Path, pattern: str) -> list[str]:
    return [file.path for file in list_files(str(folder), pattern)]


def csv_read(con: DuckDBPyConnection, folder: Path, pattern: str) -> list[Any]:
    asked = request(con, FilesTable(path=pattern, format="csv"), {"a": "varchar"})
    return read(Files(FilesConnection(), str(folder)), asked).values("_file")


def objects_read(con: DuckDBPyConnection, folder: Path, pattern: str) -> list[Any]:
    options = FilesTable(path=pattern, format="objects", into="lake")
    asked = request(con, options, {}, {"into": "lake"}, keep_object=lambda _: pytest.fail("nothing is to be copied"))
    return read(Files(FilesConnection(), str(folder)), asked).values("_file")


def logs_read(con: DuckDBPyConnection, folder: Path, pattern: str) -> list[Any]:
    options = LogsTable(path=pattern, pattern="^(?P<a>.*)$")
    asked: ReadRequest = request(con, options, {"a": "varchar"}, {"load": "incremental"})
    return read(Logs(LogsConnection(), str(folder)), asked).values("_file")


READS = [csv_read, objects_read, logs_read]


@pytest.mark.parametrize(
    "pattern", ["*.csv", "**", "**/*.csv", "*/*.csv", "in/*", "in/**/x.csv", "./in/../in/[x]*", "?n/x*"]
)
def test_it_finds_what_glob_finds(tmp_path: Path, pattern: str) -> None:
    import glob

    write(
        tmp_path, "1.csv", "in/x.csv", "in/y.csv", "in/deep/x.csv", "in/deep/er/z.csv", ".h/x.csv", "in/.h.csv", "in/t"
    )
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)
    wanted = sorted(Path(path).as_posix() for path in found if (tmp_path / path).is_file())
    assert paths(tmp_path, pattern) == wanted
    assert paths(tmp_path, f"{tmp_path}/{pattern}") == sorted(str(Path(f"{tmp_path}/{path}")) for path in wanted)


@pytest.mark.parametrize("read_kind", READS)
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_may_not_be_read_is_an_error(con: DuckDBPyConnection, read_kind: Any, mode: int) -> None:
    with open_folder() as folder:
        write(folder, "in/1.csv", "in/closed/2.csv")
        os.chmod(folder / "in/closed", mode)
        with unprivileged(), pytest.raises(ConnectorError, match=r"in/closed.*Permission denied") as caught:
            read_kind(con, folder, "in/**/*.csv")
        assert "let the user of the run read it" in caught.value.fix
        assert not isinstance(caught.value, Retryable)
        os.chmod(folder / "in/closed", 0o755)


def test_a_file_that_may_not_be_read_is_an_error(con: DuckDBPyConnection) -> None:
    with open_folder() as folder:
        write(folder, "in/1.csv", "in/2.csv")
        csv_read(con, folder, "in/*.csv")
        logs_read(con, folder, "in/*.csv")
        os.chmod(folder / "in/2.csv", 0)
        for kind in (csv_read, logs_read):
            with unprivileged(), pytest.raises(ConnectorError, match=r"in/2\.csv") as caught:
                kind(con, folder, "in/*.csv")
            assert caught.value.fix


@pytest.fixture
def circles(tmp_path: Path) -> Path:
    write(tmp_path, "d/x.csv", "e/x.csv")
    (tmp_path / "d/self").symlink_to(".")
    (tmp_path / "d/up").symlink_to("..")
    (tmp_path / "d/other").symlink_to("../e")
    (tmp_path / "e/other").symlink_to("../d")
    return tmp_path


@pytest.mark.parametrize("pattern", ["**/*.csv", "*/*.csv", "*/**/x.csv"])
def test_links_in_a_circle_are_read_once(circles: Path, pattern: str) -> None:
    found = paths(circles, pattern)
    assert len({os.path.realpath(circles / path) for path in found}) == len(found) > 0
    assert "d/x.csv" in found


def test_links_in_a_circle_that_lead_elsewhere_are_read_once_or_refused(circles: Path) -> None:
    with pytest.raises(FileFormatError, match="d/other and d/up are links to the same files"):
        paths(circles, "d/**/*.csv")
    (circles / "d/other").unlink()
    assert paths(circles, "d/**/*.csv") == ["d/up/e/x.csv", "d/x.csv"]


def test_a_folder_elsewhere_is_read_through_its_link(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/deep/x.csv", "in/y.csv")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    assert paths(tmp_path, "in/**/*.csv") == ["in/link/deep/x.csv", "in/y.csv"]
    assert paths(tmp_path, "**/*.csv") == ["elsewhere/deep/x.csv", "in/y.csv"]


def test_a_tree_deeper_than_the_stack(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            here, last = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(last)
    finally:
        os.close(here)
    try:
        assert paths(tmp_path, "**/*.csv") == []
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def no_file(folder: Path, what: str, name: str) -> None:
    place = folder / name
    if what == "pipe":
        os.mkfifo(place)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    elif what == "device":
        place.symlink_to("/dev/null")
    elif what == "endless device":
        place.symlink_to("/dev/zero")
    elif what == "link to nowhere":
        place.symlink_to(folder / "gone")
    elif what == "link to itself":
        place.symlink_to(place)


NO_FILES = ["pipe", "socket", "device", "endless device", "link to nowhere", "link to itself"]


@pytest.mark.parametrize("read_kind", READS)
@pytest.mark.parametrize("pattern", ["2.csv", "*.csv", "**/*.csv"])
@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_file_is_an_error(
    con: DuckDBPyConnection, tmp_path: Path, read_kind: Any, what: str, pattern: str
) -> None:
    no_file(tmp_path, what, "2.csv")
    with pytest.raises(ConnectorError, match=r"2\.csv") as caught:
        read_kind(con, tmp_path, pattern)
    assert caught.value.fix


@pytest.mark.parametrize("read_kind", READS)
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("gone.csv", "no file matches gone.csv"),
        ("gone/x.csv", "the folder gone does not exist"),
        ("gone/*.csv", "the folder gone does not exist"),
        ("file/x.csv", "the folder file does not exist"),
        ("folder", "folder is a folder, not a file: write folder/"),
    ],
)
def test_a_path_that_names_no_file_is_an_error(
    con: DuckDBPyConnection, tmp_path: Path, read_kind: Any, path: str, told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConnectorError, match=told) as caught:
        read_kind(con, tmp_path, path)
    assert caught.value.fix


@pytest.mark.parametrize("read_kind", READS)
def test_a_pattern_that_nothing_matches_yet_is_no_error(
    con: DuckDBPyConnection, tmp_path: Path, read_kind: Any
) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert read_kind(con, tmp_path, "*.csv") == []


@pytest.mark.parametrize("links", ["abcdef", "fedcba", "cafebd"])
def test_many_links_to_a_folder_elsewhere_are_refused(tmp_path: Path, links: str) -> None:
    """Which of them is its path could change, and then every file would be new."""
    (tmp_path / "in").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x.csv").touch()
    for link in links:
        (tmp_path / "in" / link).symlink_to("../real")
    with pytest.raises(FileFormatError, match="in/a and in/b are links to the same files") as caught:
        list_files(str(tmp_path), "in/**")
    assert caught.value.fix == "keep one of the links"


@pytest.mark.parametrize("links", [("a", "b"), ("b", "a")])
def test_a_link_into_what_another_one_leads_to_is_refused(tmp_path: Path, links: tuple[str, str]) -> None:
    write(tmp_path, "real/deep/x.csv", "in/y.csv")
    for link, target in zip(links, ["../real", "../real/deep"], strict=True):
        (tmp_path / "in" / link).symlink_to(target)
    with pytest.raises(FileFormatError, match="in/a and in/b are links to the same files"):
        list_files(str(tmp_path), "in/**/*.csv")


def test_a_circle_elsewhere_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "real/deep/x.csv", "in/y.csv")
    (tmp_path / "real/deep/up").symlink_to("..")
    (tmp_path / "in/a").symlink_to("../real")
    assert paths(tmp_path, "in/**/*.csv") == ["in/a/deep/x.csv", "in/y.csv"]


def test_a_damaged_file_is_named_while_another_thread_imports_arrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is being imported is there, and has nothing yet."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    files = list_files(str(tmp_path), "*.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", ModuleType("pyarrow"))
    with pytest.raises(FileFormatError, match=r"a\.csv: cut short"), explain_errors(str(tmp_path), files):
        raise EOFError("cut short")
