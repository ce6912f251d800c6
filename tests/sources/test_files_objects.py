"""Objects: the catalogue's rows, media types, files that change, vanish, are forbidden or lead elsewhere."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from pydantic import ValidationError

from headwater.contracts import ObjectCopy
from headwater.core.specs import STORES
from headwater.errors import ConnectorError, ProjectError, Retryable
from headwater.sources.common import listing as files_listing
from headwater.sources.files.objects import OBJECT_COLUMNS, find_media_type
from headwater.sources.files.source import Files, FilesConnection, FilesTable
from tests import declared

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = {column.name: column.type for column in OBJECT_COLUMNS}


def table(**keys: Any) -> FilesTable:
    values = {"path": "in/**", "format": "objects", "into": "lake", **keys}
    return FilesTable.model_validate(values, context={STORES: declared.STORES})


@dataclass
class Keeper:
    """Takes the place of a store: hashes a file, after something has happened to it."""

    before: Callable[[str], object] = id
    kept: list[str] = field(default_factory=list)

    def __call__(self, path: str) -> ObjectCopy:
        self.before(path)
        content = Path(path).read_bytes()
        self.kept.append(os.path.basename(path))
        sha256 = hashlib.sha256(content).hexdigest()
        return ObjectCopy(f"kept/{sha256}", sha256, len(content))


def load(
    con: Any, folder: Path, keeper: Keeper | None = None, *, path: str = "in/**", base: str = "", **more: Any
) -> Outcome:
    incremental = more.pop("incremental", True)
    ingest = {"load": "incremental" if incremental else "full"}
    asked = request(con, table(path=path), COLUMNS, ingest, keep_object=keeper or Keeper(), **more)
    return read(Files(FilesConnection(path=base), str(folder)), asked)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(content)
    return folder


# ---------------------------------------------------------------------------------------------------- declaration


def test_only_format_makes_objects_of_files() -> None:
    assert table().kind == "objects"
    with pytest.raises(ProjectError, match="does not say"):
        _ = FilesTable(path="in/*.png").kind


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"into": "lakehouse"}, "write into: lake"),
        ({"into": "warehouse"}, "write into: lake"),
        ({"columns": {"path": "varchar"}}, "leave the type of path out"),
        ({"columns": {"size_bytes": {"type": "int"}}}, "size_bytes bigint"),
        ({"prepare": [{"drop": ["object"]}]}, "cannot change the column object"),
        ({"prepare": [{"rename": {"Object": "o"}}]}, "cannot change"),
        ({"prepare": [{"rename": {"path": "object"}}]}, "cannot change"),
        ({"prepare": [{"mask": {"columns": ["object"], "key": "k"}}]}, "cannot change"),
        ({"prepare": [{"sql": {"object": "path"}}]}, "cannot change"),
        ({"prepare": [{"cast": {"object": "blob"}}]}, "cannot change"),
        ({"prepare": [{"null_if": {"object": "x"}}]}, "cannot change"),
    ],
)
def test_what_cannot_be_said_of_objects(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        table(**keys)


def test_what_can_be_said_of_objects() -> None:
    rules = [{"trim": "all"}, {"drop": ["sha256"]}, {"rename": {"path": "name"}}, {"sql": {"kb": "size_bytes / 1e3"}}]
    table(prepare=rules, columns={"path": {"checks": ["unique"]}}, reject_if={"empty": "size_bytes = 0"})
    FilesTable.model_validate({"path": "a.csv", "columns": {"a": "int"}, "prepare": [{"drop": ["object"]}]})


def test_its_columns_are_known(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"1", "b": b""})
    source = Files(FilesConnection(), str(tmp_path))
    about = source.describe({"t": table()})["t"]
    assert (about.columns, about.proposed, about.estimated_rows, about.notes) == (OBJECT_COLUMNS, False, 2, ())
    (tmp_path / "in" / "c").touch()
    assert source.describe({"t": table()})["t"].version != about.version
    assert source.describe({"t": table(path="gone/*")})["t"].notes == ("the folder gone does not exist",)
    assert source.describe({"t": table(path="in/*.png")})["t"].notes == ("no file matches in/*.png",)


def test_a_store_that_keeps_no_objects_is_refused(con: Any, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="keeps no objects"):
        Files(FilesConnection(), str(tmp_path)).read("t", request(con, table(), COLUMNS))


# ------------------------------------------------------------------------------------------------------------ rows


def test_a_row_says_what_a_file_is(con: Any, tmp_path: Path) -> None:
    write(tmp_path, {"it's [1] ü*?.png": b"\0png", "deep/er/x": b""})
    os.utime(tmp_path / "in/deep/er/x", ns=(0, -1_500))
    outcome = load(con, tmp_path)
    empty, image = hashlib.sha256().hexdigest(), hashlib.sha256(b"\0png").hexdigest()
    assert outcome.values(*COLUMNS)[1] == (
        "in/deep/er/x", 0, empty, "text/plain", "1969-12-31 23:59:59.999998+00", f"kept/{empty}"
    )  # fmt: skip
    name, size_bytes, sha256, media_type, modified_at, _ = outcome.values(*COLUMNS)[0]
    assert (name, size_bytes, sha256, media_type) == ("in/it's [1] ü*?.png", 4, image, "image/png")
    changed_s = os.stat(tmp_path / name).st_mtime_ns // 1000 / 1e6
    assert duckdb.sql(f"SELECT epoch(TIMESTAMPTZ '{modified_at}')").fetchall()[0][0] == pytest.approx(changed_s)
    assert [row["_file"] for row in outcome.rows] == [row["path"] for row in outcome.rows]
    assert outcome.rejects == []


def test_archives_are_taken_as_they_are(con: Any, tmp_path: Path) -> None:
    write(tmp_path, {"a.zip": b"no archive", "b.csv.gz": b"not packed"})
    outcome = load(con, tmp_path)
    assert outcome.values("path", "media_type") == [
        ("in/a.zip", "application/zip"), ("in/b.csv.gz", "application/gzip")
    ]  # fmt: skip


def test_new_and_changed_files_only(con: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_listing, "GROUP_BYTES", 2)
    write(tmp_path, {"1": b"a", "2": b"b", "3": b"c"})
    first = load(con, tmp_path)
    assert first.chunks == ["files-00000", "files-00001"]
    keeper = Keeper()
    assert load(con, tmp_path, keeper, position=first.position).rows == []
    assert keeper.kept == []
    write(tmp_path, {"2": b"bb", "4": b""})
    (tmp_path / "in" / "3").unlink()
    second = load(con, tmp_path, keeper, position=first.position)
    assert sorted(keeper.kept) == ["2", "4"]
    assert second.values("path", "size_bytes") == [("in/2", 2), ("in/4", 0)]
    assert second.reading.manifest["vanished"] == ["in/3"]
    full = load(con, tmp_path, incremental=False)
    assert full.values("path") == [("in/1",), ("in/2",), ("in/4",)]


def test_a_resumed_read_copies_only_what_is_left(con: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_listing, "GROUP_BYTES", 1)
    write(tmp_path, {"1": b"a", "2": b"b", "3": b"c"})
    manifest = load(con, tmp_path).reading.manifest
    keeper = Keeper()
    rest = load(con, tmp_path, keeper, manifest=manifest, finished=frozenset({"files-00000", "files-00002"}))
    assert keeper.kept == ["2"]
    assert rest.values("path") == [("in/2",)]


def test_an_empty_folder(con: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    full = load(con, tmp_path, incremental=False)
    assert (full.rows, full.chunks) == ([], ["empty"])
    assert load(con, tmp_path).chunks == []


# ------------------------------------------------------------------------------------------- files that misbehave


def _grow(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(("happens", "message"), [(_grow, "changed while it was read"), (os.unlink, "cannot be read")])
def test_a_file_that_changes_in_the_middle(
    con: Any, tmp_path: Path, happens: Callable[[str], object], message: str
) -> None:
    write(tmp_path, {"a": b"1", "b": b"2"})

    def disturb(path: str) -> None:
        if path.endswith("b"):
            happens(path)

    with pytest.raises(ConnectorError, match=f"in/b .*{message}") as caught:
        load(con, tmp_path, Keeper(disturb))
    assert isinstance(caught.value, Retryable)


def test_links_that_leave_the_folder_are_refused(con: Any, tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"a", "sub/b.txt": b"b"})
    (tmp_path / "secret").write_bytes(b"keep out")
    (tmp_path / "in" / "inside").symlink_to("sub/b.txt")
    assert load(con, tmp_path).values("path", "media_type")[1] == ("in/inside", "text/plain")
    (tmp_path / "in" / "photo.png").symlink_to(tmp_path / "secret")
    keeper = Keeper()
    with pytest.raises(ConnectorError, match=r"in/photo\.png is a link that leads out of the folder in"):
        load(con, tmp_path, keeper)
    assert "secret" not in keeper.kept
    (tmp_path / "in" / "photo.png").unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.txt").write_bytes(b"c")
    (tmp_path / "in" / "way").symlink_to(tmp_path / "other")
    with pytest.raises(ConnectorError, match=r"in/way/c\.txt is a link"):
        load(con, tmp_path)
    assert load(con, tmp_path, path="*", base="in/way").values("path") == [("c.txt",)]
    assert load(con, tmp_path, path=str(tmp_path / "in" / "way" / "*")).values("sha256") == [
        (hashlib.sha256(b"c").hexdigest(),)
    ]


def test_an_error_of_the_store_is_not_the_files(con: Any, tmp_path: Path) -> None:
    write(tmp_path, {"a": b"1"})

    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied", "/lake")

    with pytest.raises(PermissionError):
        load(con, tmp_path, Keeper(refuse))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into: the one of pytest is its user's only."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def _load_as_nobody(folder: str, sender: Any) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        load(duckdb.connect(), Path(folder))
    except ConnectorError as error:
        sender.send(str(error))


def test_a_file_that_must_not_be_read_is_named(open_folder: Path) -> None:
    write(open_folder, {"a": b"1", "private.pdf": b"2"})
    os.chmod(open_folder / "in" / "private.pdf", 0)
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_load_as_nobody, args=(str(open_folder), sender))
    child.start()
    sender.close()
    sent = receiver.recv()
    child.join()
    assert "in/private.pdf cannot be copied: Permission denied" in sent
    assert "fix: let the user of the run read it" in sent


# ---------------------------------------------------------------------------------------------------- media types

TYPES = [
    ("a.PNG", b"", "image/png"),
    ("a.jpeg", b"", "image/jpeg"),
    ("a.webp", b"", "image/webp"),
    ("a.txt", b"\xff", "text/plain"),
    ("a.html", b"", "text/html"),
    ("a.mp4", b"", "video/mp4"),
    ("a.csv", b"", "text/csv"),
    ("a.json", b"", "application/json"),
    ("a.pdf", b"", "application/pdf"),
    ("a.tar.gz", b"", "application/gzip"),
    ("a.tgz", b"", "application/gzip"),
    ("a.bz2", b"", "application/x-bzip2"),
    ("data:x.png", b"", "image/png"),
    ("what?.png", b"", "image/png"),
    ("a", b"\x89PNG\r\n\x1a\n...", "image/png"),
    ("a.unknown", b"\xff\xd8\xff\xe0", "image/jpeg"),
    ("a", b"GIF87a", "image/gif"),
    ("a", b"GIF89a", "image/gif"),
    ("a", b"RIFF\0\0\0\0WEBPVP8", "image/webp"),
    ("a", b"RIFF\0\0\0\0WAVEfmt", "application/octet-stream"),
    ("a", b"%PDF-1.7", "application/pdf"),
    ("a", b"PK\x03\x04", "application/zip"),
    ("a", b"PK\x05\x06", "application/zip"),
    ("a", b"\x1f\x8b\x08", "application/gzip"),
    ("a", "grüße".encode(), "text/plain"),
    ("a", "grüße".encode("latin-1"), "application/octet-stream"),
    ("a", b"text\0", "application/octet-stream"),
    ("a", b"a" * 65535 + "ü".encode() + b"b", "text/plain"),
    ("a", b"a" * 100 + b"\xc3", "application/octet-stream"),
    ("README", b"", "text/plain"),
]


@pytest.mark.parametrize(("name", "content", "media_type"), TYPES)
def test_the_media_type(tmp_path: Path, name: str, content: bytes, media_type: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert find_media_type(str(tmp_path / name)) == media_type
